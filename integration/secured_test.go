//go:build unix

package integration

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

const user, password = "voxel", "s3cret-of-the-test"

// TestSecuredCluster runs the binary on a broker that wants TLS and SASL, configured by the environment; it never shows
// the password.
func TestSecuredCluster(t *testing.T) {
	t.Parallel()
	needHDF5(t)
	ours, theirs := testenv.NewAuthority(t), testenv.NewAuthority(t)
	broker := must(kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(ours.Server("broker")), kfake.EnableSASL(),
		kfake.Superuser("SCRAM-SHA-512", user, password),
		kfake.BrokerConfigs(map[string]string{"message.max.bytes": "20971520"})))(t)
	t.Cleanup(broker.Close)
	w := newWorld(t)
	archive := w.digits("d.h5", 40, 1)
	w.set("kafka.brokers", broker.ListenAddrs()[0])
	w.set("kafka.tls.enabled", true)
	w.set("kafka.tls.ca_file", ours.File)
	w.set("kafka.sasl.mechanism", "scram-sha-512")
	w.set("kafka.sasl.user", user)
	w.set("kafka.compression", "zstd")
	right := w.env

	w.set("kafka.sasl.password_file", w.write("password", []byte(password+"\n")))
	w.do(exitDone, "run", archive, "-q")
	if n := len(stored(t, w.path("classifications.jsonl"))); n != 40 {
		t.Errorf("found %d classifications, want 40", n)
	}
	for name, c := range map[string]struct {
		says string
		set  map[string]string
	}{
		"another password": {"authentication failed", map[string]string{"kafka.sasl.password": password + "?"}},
		"another authority": {
			"certificate is not trusted",
			map[string]string{"kafka.sasl.password": password, "kafka.tls.ca_file": theirs.File},
		},
		"no file": {"missing.pem", map[string]string{
			"kafka.sasl.password": password,
			"kafka.tls.ca_file":   "missing.pem",
		}},
	} {
		w.env = append([]string(nil), right...)
		for key, value := range c.set {
			w.set(key, value)
		}
		begin := time.Now()
		p := w.do(exitFailed, "classify", "--once", "--log-level", "debug")
		p.says(t, c.says)
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("%s: it took %v to fail", name, took)
		}
		shown := w.do(exitDone, "config", "print").stdout.String() + p.stdout.String() + p.stderr.String()
		if strings.Contains(shown, password) {
			t.Errorf("%s: the password is shown:\n%s", name, shown)
		}
	}
}

// TestRealKafkaSecured: Apache Kafka with TLS and each mechanism, with the right and the wrong password and authority,
// and each compression.
func TestRealKafkaSecured(t *testing.T) {
	needRealKafka(t)
	ours, theirs := testenv.NewAuthority(t), testenv.NewAuthority(t)
	dir, port := t.TempDir(), freePorts(t, 2)
	_, secure, err := net.SplitHostPort(fmt.Sprintf("127.0.0.1:%d", freePort(t)))
	if err != nil {
		t.Fatal(err)
	}
	cert, key := ours.Issue("broker")
	store := append(must(os.ReadFile(key))(t), must(os.ReadFile(cert))(t)...)
	if err := os.WriteFile(filepath.Join(dir, "store.pem"), store, 0o600); err != nil {
		t.Fatal(err)
	}
	plain := fmt.Sprintf("PLAINTEXT://127.0.0.1:%d,SASL_SSL://127.0.0.1:%s", port, secure)
	const module = "org.apache.kafka.common.security"
	extra := fmt.Sprintf(`
listeners=%s,CONTROLLER://127.0.0.1:%d
advertised.listeners=%s
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location=%s
ssl.truststore.type=PEM
ssl.truststore.location=%s
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config=%s.plain.PlainLoginModule required user_%s="%s";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=%s.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=%s.scram.ScramLoginModule required;
`, plain, port+1, plain, filepath.Join(dir, "store.pem"), ours.File, module, user, password, module, module)
	if err := os.WriteFile(filepath.Join(dir, "extra.properties"), []byte(extra), 0o600); err != nil {
		t.Fatal(err)
	}
	users := fmt.Sprintf("--add-scram SCRAM-SHA-256=[name=%s,password=%s] --add-scram "+
		"SCRAM-SHA-512=[name=%s,password=%s]", user, password, user, password)
	if err := os.WriteFile(filepath.Join(dir, "format.args"), []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	realKafka(t, "start", dir, strconv.Itoa(port))
	t.Cleanup(func() { realKafka(t, "kill", dir, strconv.Itoa(port)) })

	open := func(t *testing.T, o kafka.TLSOptions, s kafka.SASLOptions) *kafka.Client {
		t.Helper()
		c := must(kafka.Open(kafka.Config{
			Brokers: []string{"127.0.0.1:" + secure}, TLS: must(o.Load())(t), SASL: must(s.Load())(t),
			Log: slog.New(slog.DiscardHandler),
		}))(t)
		t.Cleanup(c.Close)
		return c
	}
	encrypted := kafka.TLSOptions{Enabled: true, CAFile: ours.File}
	codecs := kafka.Compression("").Choices()
	for i, mechanism := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		t.Run(mechanism, func(t *testing.T) {
			right := kafka.SASLOptions{Mechanism: mechanism, User: user, Password: password}
			c := open(t, encrypted, right)
			if err := c.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, codec := range codecs[i : i+3] { // each mechanism some of them, all together all
				exchange(t, c, mechanism+"-"+codec, kafka.Compression(codec))
			}
			for _, bad := range []struct {
				o    kafka.TLSOptions
				s    kafka.SASLOptions
				says string
			}{
				{
					encrypted,
					kafka.SASLOptions{Mechanism: mechanism, User: user, Password: "wrong"},
					"authentication failed",
				},
				{
					encrypted,
					kafka.SASLOptions{Mechanism: mechanism, User: "nobody", Password: password},
					"authentication failed",
				},
				{kafka.TLSOptions{Enabled: true, CAFile: theirs.File}, right, "certificate is not trusted"},
				{
					kafka.TLSOptions{Enabled: true, CAFile: ours.File, ServerName: "other"},
					right,
					"certificate is not trusted",
				},
			} {
				if err := open(t, bad.o, bad.s).Ping(t.Context()); !errors.Is(err, kafka.ErrAccess) ||
					!strings.Contains(err.Error(), bad.says) {
					t.Errorf("found %v, want %q", err, bad.says)
				}
			}
		})
	}
	t.Run("plain text", func(t *testing.T) {
		c := must(kafka.Open(kafka.Config{
			Brokers: []string{"127.0.0.1:" + secure},
			Log:     slog.New(slog.DiscardHandler),
		}))(t)
		defer c.Close()
		if err := c.Reach(t.Context()); err == nil || !strings.Contains(err.Error(), "answers with TLS; enable kafka.tls") {
			t.Errorf("found %v", err)
		}
	})
	t.Run("TLS and SASL at a listener of plain text", func(t *testing.T) {
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		c := must(kafka.Open(kafka.Config{
			Brokers: []string{addr}, TLS: must(encrypted.Load())(t),
			Log: slog.New(slog.DiscardHandler),
		}))(t)
		defer c.Close()
		if err := c.Reach(t.Context()); err == nil || !strings.Contains(err.Error(), "it may not speak TLS") {
			t.Errorf("found %v", err)
		}
		s := must(kafka.SASLOptions{Mechanism: "plain", User: user, Password: password}.Load())(t)
		c = must(kafka.Open(kafka.Config{Brokers: []string{addr}, SASL: s, Log: slog.New(slog.DiscardHandler)}))(t)
		defer c.Close()
		if err := c.Ping(t.Context()); !errors.Is(err, kafka.ErrAccess) ||
			!strings.Contains(err.Error(), "does not use SASL") {
			t.Errorf("found %v", err)
		}
	})
}

// exchange sends messages and takes them as a member of a group.
func exchange(t *testing.T, c *kafka.Client, topic string, codec kafka.Compression) {
	t.Helper()
	if err := c.EnsureTopics(t.Context(), kafka.Topic{Name: topic, Partitions: 1, Replication: 1}); err != nil {
		t.Fatal(err)
	}
	p := must(kafka.NewProducer(c, kafka.ProducerConfig{Compression: codec}))(t)
	value := bytes.Repeat([]byte("0123456789"), 1000)
	const n = 10
	for i := range n {
		if _, err := p.Produce(t.Context(), topic,
			transport.New("k", strconv.Itoa(i), "text/plain", value)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	k := must(kafka.NewConsumer(c,
		kafka.ConsumerConfig{Group: topic, Topic: topic, Budget: pipeline.NewBudget(1 << 20)}))(t)
	for i := range n {
		d := must(k.Read(t.Context()))(t)
		if !bytes.Equal(d.Value.Value, value) || d.Value.EventID() != strconv.Itoa(i) {
			t.Fatalf("message %d: found %s, %d bytes", i, d.Value.EventID(), len(d.Value.Value))
		}
		d.Settle(nil)
	}
	if err := k.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
