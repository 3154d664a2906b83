package kafka

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/pipelinetest"
	"github.com/voxelstream/voxelstream/pipeline/transport/embedded"
)

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func secured(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	broker, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1), kfake.SeedTopics(2, "t"))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	return broker
}

// connect opens a client from settings, as a command does, and pings the broker.
func connect(t *testing.T, broker *kfake.Cluster, to TLSOptions, so SASLOptions) (*Client, error) {
	t.Helper()
	tc, err := to.Load()
	if err != nil {
		t.Fatal(err)
	}
	sc, err := so.Load()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(Config{Brokers: broker.ListenAddrs(), TLS: tc, SASL: sc, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	return c, c.Ping(ctx)
}

// roundTrip produces messages and consumes them as a member of a group. It uses every kind of connection.
func roundTrip(t *testing.T, c *Client, compression Compression) {
	t.Helper()
	p, err := NewProducer(c, ProducerConfig{Compression: compression})
	if err != nil {
		t.Fatal(err)
	}
	ms := numbered(20)
	for i := range ms {
		ms[i].Value = bytes.Repeat(ms[i].Value, 500)
		ms[i].Headers = nil
	}
	if _, err := p.Produce(t.Context(), "t", ms...); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	k := consume(t, c, ConsumerConfig{})
	for i := range ms {
		d := next(t, k)
		if !bytes.Equal(d.Value.Value, ms[i].Value) {
			t.Fatalf("message %d: found %d bytes %.20q", i, len(d.Value.Value), d.Value.Value)
		}
		d.Settle(nil)
	}
	if n := len(stored(t, c, "t")); n != len(ms) {
		t.Errorf("found %d messages, want %d", n, len(ms))
	}
}

func TestTLS(t *testing.T) {
	ours, theirs := testenv.NewAuthority(t), testenv.NewAuthority(t)
	cert, key := ours.Issue("client")
	foreignCert, foreignKey := theirs.Issue("client")
	mutual := ours.Server("broker")
	mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	text, err := os.ReadFile(ours.File)
	if err != nil || !mutual.ClientCAs.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	encrypted := secured(t, kfake.TLS(ours.Server("broker")))
	both := secured(t, kfake.TLS(mutual))
	for _, c := range []struct {
		name   string
		broker *kfake.Cluster
		o      TLSOptions
		want   string // part of the error; empty if it must work
	}{
		{"the right authority", encrypted, TLSOptions{Enabled: true, CAFile: ours.File}, ""},
		{"by name", encrypted, TLSOptions{Enabled: true, CAFile: ours.File, ServerName: "broker"}, ""},
		{
			"another name", encrypted,
			TLSOptions{Enabled: true, CAFile: ours.File, ServerName: "other"},
			"certificate is not trusted",
		},
		{"another authority", encrypted, TLSOptions{Enabled: true, CAFile: theirs.File}, "certificate is not trusted"},
		{"the system's authorities", encrypted, TLSOptions{Enabled: true}, "certificate is not trusted"},
		{"client certificate", both, TLSOptions{Enabled: true, CAFile: ours.File, CertFile: cert, KeyFile: key}, ""},
		{
			"no client certificate", both,
			TLSOptions{Enabled: true, CAFile: ours.File},
			"may require another client certificate",
		},
		{
			"another client certificate", both,
			TLSOptions{Enabled: true, CAFile: ours.File, CertFile: foreignCert, KeyFile: foreignKey},
			"may require another client certificate",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin := time.Now()
			client, err := connect(t, c.broker, c.o, SASLOptions{})
			if c.want != "" {
				if !errors.Is(err, ErrAccess) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("found %v, want %q", err, c.want)
				}
				if took := time.Since(begin); took > time.Minute {
					t.Errorf("it took %v", took)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.name != "by name" {
				roundTrip(t, client, "")
			}
		})
	}
	plain, err := embedded.Start(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close() //nolint:errcheck // no longer needed
	for name, c := range map[string]Config{
		"plain text to TLS": {Brokers: encrypted.ListenAddrs()},
		"TLS to plain text": {Brokers: []string{plain.Addr()}, TLS: must(TLSOptions{Enabled: true}.Load())(t)},
	} {
		t.Run(name, func(t *testing.T) {
			c.Log = slog.New(slog.DiscardHandler)
			client, err := Open(c)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if err := client.Reach(t.Context()); err == nil || !strings.Contains(err.Error(), "TLS") {
				t.Errorf("found %v", err)
			}
		})
	}
}

func TestSASL(t *testing.T) {
	ours := testenv.NewAuthority(t)
	const user, password = "voxel", "s3cret, =word"
	file := filepath.Join(t.TempDir(), "password")
	write(t, file, []byte(password+"\n"))
	for mechanism, name := range map[string]string{
		"plain": "PLAIN", "scram-sha-256": "SCRAM-SHA-256",
		"scram-sha-512": "SCRAM-SHA-512",
	} {
		for _, encrypted := range []bool{false, true} {
			opts, to := []kfake.Opt{kfake.EnableSASL(), kfake.Superuser(name, user, password)}, TLSOptions{}
			if encrypted {
				opts, to = append(opts, kfake.TLS(ours.Server("broker"))), TLSOptions{Enabled: true, CAFile: ours.File}
			}
			broker := secured(t, opts...)
			t.Run(fmt.Sprintf("%s, TLS %v", mechanism, encrypted), func(t *testing.T) {
				client, err := connect(t, broker, to, SASLOptions{Mechanism: mechanism, User: user, PasswordFile: file})
				if err != nil {
					t.Fatal(err)
				}
				roundTrip(t, client, "")
				for _, wrong := range []SASLOptions{
					{Mechanism: mechanism, User: user, Password: "wrong"},
					{Mechanism: mechanism, User: "nobody", Password: password},
				} {
					begin := time.Now()
					_, err := connect(t, broker, to, wrong)
					if !errors.Is(err, ErrAccess) ||
						!strings.Contains(err.Error(), "authentication failed (SASL "+mechanism+" as "+wrong.User+")") {
						t.Errorf("%v: found %v", wrong, err)
					}
					if strings.Contains(fmt.Sprint(err), wrong.Password) {
						t.Errorf("the error shows the password: %v", err)
					}
					if took := time.Since(begin); took > time.Minute {
						t.Errorf("it took %v", took)
					}
				}
				c, err := Open(Config{
					Brokers: broker.ListenAddrs(), TLS: client.cfg.TLS, Log: slog.New(slog.DiscardHandler),
				})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if err := c.Reach(t.Context()); err != nil { // the API versions need no authentication
					t.Errorf("without SASL: found %v", err)
				}
				if _, err := c.partitions(t.Context(), "t"); err == nil {
					t.Error("without SASL: the broker returned metadata")
				}
			})
		}
	}
}

// TestRefusedMechanism checks the explanation of the error codes that real brokers return.
func TestRefusedMechanism(t *testing.T) {
	for code, want := range map[int16]string{
		kerr.SaslAuthenticationFailed.Code: "authentication failed (SASL plain as u)",
		kerr.UnsupportedSaslMechanism.Code: "does not offer the SASL mechanism plain",
		kerr.IllegalSaslState.Code:         "does not use SASL",
	} {
		broker := secured(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "p"))
		broker.ControlKey(int16(kmsg.SASLHandshake), func(r kmsg.Request) (kmsg.Response, error, bool) {
			broker.KeepControl()
			res := r.(*kmsg.SASLHandshakeRequest).ResponseKind().(*kmsg.SASLHandshakeResponse)
			res.ErrorCode = code
			return res, nil, true
		})
		_, err := connect(t, broker, TLSOptions{}, SASLOptions{Mechanism: "plain", User: "u", Password: "p"})
		if !errors.Is(err, ErrAccess) || !strings.Contains(err.Error(), want) {
			t.Errorf("code %d: found %v, want %q", code, err, want)
		}
	}
}

func TestCompression(t *testing.T) {
	sizes := map[Compression]int{}
	for _, name := range Compression("").Choices() {
		codec := Compression(name)
		t.Run(name, func(t *testing.T) {
			var seen pipelinetest.Recorder
			c, err := Open(Config{
				Brokers: secured(t).ListenAddrs(), Log: slog.New(slog.DiscardHandler), Observer: &seen,
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			roundTrip(t, c, codec)
			sizes[codec] = seen.Counted("producer t", pipeline.EventBytes)
		})
	}
	for codec, n := range sizes {
		if codec != "none" && n > sizes["none"]/2 {
			t.Errorf("%s sends %d bytes, none %d", codec, n, sizes["none"])
		}
	}
	if _, err := NewProducer(nil, ProducerConfig{Compression: "rar", Observer: pipeline.Unobserved}); err == nil ||
		!strings.Contains(err.Error(), `"rar"`) {
		t.Errorf("found %v", err)
	}
}

func TestSecurityFiles(t *testing.T) {
	ours := testenv.NewAuthority(t)
	cert, key := ours.Issue("a")
	_, otherKey := ours.Issue("b")
	dir := t.TempDir()
	empty, large, missing := filepath.Join(dir, "empty"), filepath.Join(dir, "large"), filepath.Join(dir, "missing")
	write(t, empty, []byte("\n"))
	write(t, large, make([]byte, 1<<20+1))
	for _, c := range []struct {
		o    TLSOptions
		want []string
	}{
		{TLSOptions{Enabled: true, CAFile: missing}, []string{"tls.ca_file", missing}},
		{TLSOptions{Enabled: true, CAFile: empty}, []string{"tls.ca_file", empty, "found no certificate"}},
		{TLSOptions{Enabled: true, CAFile: key}, []string{"tls.ca_file", key, "found no certificate"}},
		{TLSOptions{Enabled: true, CAFile: large}, []string{"tls.ca_file", large, "limit"}},
		{TLSOptions{Enabled: true, CertFile: missing, KeyFile: key}, []string{"tls.cert_file", missing}},
		{TLSOptions{Enabled: true, CertFile: cert, KeyFile: missing}, []string{"tls.key_file", missing}},
		{
			TLSOptions{Enabled: true, CertFile: cert, KeyFile: otherKey},
			[]string{"tls.cert_file", cert, otherKey, "does not match"},
		},
	} {
		_, err := c.o.Load()
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: found %v, want %q", c.o, err, want)
			}
		}
	}
	for _, c := range []struct {
		o    SASLOptions
		want []string
	}{
		{SASLOptions{Mechanism: "plain", User: "u", PasswordFile: missing}, []string{"sasl.password_file", missing}},
		{SASLOptions{Mechanism: "plain", User: "u", PasswordFile: empty}, []string{"sasl.password_file", empty, "empty"}},
		{SASLOptions{Mechanism: "plain", User: "u", PasswordFile: large}, []string{"sasl.password_file", large, "limit"}},
	} {
		_, err := c.o.Load()
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: found %v, want %q", c.o, err, want)
			}
		}
	}
	if c, err := (TLSOptions{}).Load(); c != nil || err != nil {
		t.Errorf("without TLS: found %v, %v", c, err)
	}
	if s, err := (SASLOptions{Mechanism: "none"}).Load(); s != nil || err != nil {
		t.Errorf("without SASL: found %v, %v", s, err)
	}
}

func TestSecurityValidate(t *testing.T) {
	for _, c := range []struct {
		tls  TLSOptions
		sasl SASLOptions
		want string
	}{
		{TLSOptions{}, SASLOptions{}, "[]"},
		{
			TLSOptions{Enabled: true, CertFile: "c", KeyFile: "k"},
			SASLOptions{Mechanism: "plain", User: "u", Password: "p"},
			"[]",
		},
		{TLSOptions{CAFile: "c"}, SASLOptions{}, "[enabled: found false with other settings of tls, want true]"},
		{
			TLSOptions{Enabled: true, CertFile: "c"},
			SASLOptions{},
			`[cert_file, key_file: found "c" and "", want both or none]`,
		},
		{
			TLSOptions{},
			SASLOptions{Mechanism: "none", User: "u"},
			"[mechanism: found none together with a user or a password, want plain, scram-sha-256 or scram-sha-512]",
		},
		{
			TLSOptions{},
			SASLOptions{Mechanism: "plain", Password: "p"},
			`[user: found "", want a name for the mechanism plain]`,
		},
		{
			TLSOptions{},
			SASLOptions{Mechanism: "plain", User: "u"},
			"[password, password_file: want exactly one of them]",
		},
		{
			TLSOptions{},
			SASLOptions{Mechanism: "plain", User: "u", Password: "p", PasswordFile: "f"},
			"[password, password_file: want exactly one of them]",
		},
	} {
		var found []error
		for _, err := range []error{c.tls.Validate(), c.sasl.Validate()} {
			if err != nil {
				found = append(found, err)
			}
		}
		if got := fmt.Sprint(found); got != c.want {
			t.Errorf("%+v %v: found %s, want %s", c.tls, c.sasl, got, c.want)
		}
	}
}

// TestSecretsAreHidden checks that no format verb and no log handler shows the password.
func TestSecretsAreHidden(t *testing.T) {
	s := must(SASLOptions{Mechanism: "plain", User: "u", Password: "s3cret"}.Load())(t)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "sasl", s, "value", *s)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "sasl", s, "value", *s)
	for _, shown := range []string{
		fmt.Sprintf("%v %+v %#v %s", s, s, s, s),
		fmt.Sprintf("%v %+v %#v", *s, Config{SASL: s}, *s), log.String(),
	} {
		if strings.Contains(shown, "s3cret") {
			t.Errorf("found %s", shown)
		}
	}
}

// TestExplainOnce checks that an error is explained only once, even if it passes explain at several levels.
func TestExplainOnce(t *testing.T) {
	for _, c := range []struct {
		cfg  *TLS
		want string
	}{
		{nil, "the broker closed the connection; it may require TLS or SASL: EOF"},
		{&TLS{}, "the broker closed the connection; it may not speak TLS at this address: EOF"},
	} {
		client := &Client{cfg: Config{TLS: c.cfg}}
		err := client.explain(fmt.Errorf("dial: %w", client.explain(io.EOF)))
		if err.Error() != "dial: "+c.want || !errors.Is(err, io.EOF) {
			t.Errorf("found %v, want dial: %s", err, c.want)
		}
	}
}

// TestTokenEndpointEncrypted: the client secret is sent over https, or to this machine.
func TestTokenEndpointEncrypted(t *testing.T) {
	for endpoint, want := range map[string]string{
		"https://login.example.com/token": "", "http://localhost:8080/token": "", "http://127.0.0.1/token": "",
		"http://[::1]:8080/token":               "",
		"http://login.example.com/token":        `found http:// and the host "login.example.com", want https://`,
		"http://localhost.example.com/token":    "want https://",
		"http://10.0.0.1/token":                 "want https://",
		"ftp://login.example.com/token":         "want an https:// URL",
		"https://user:secret@login.example.com": "want an https:// URL without credentials",
	} {
		err := SASLOptions{
			Mechanism: oauthBearer, TokenEndpoint: endpoint, ClientID: "id", ClientSecret: "s",
		}.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found %v, want %q", endpoint, err, want)
		}
	}
}

// TestAbsent: that no broker listens is said in plain words and, with a limit, is not tried again for longer. With a
// limit of the context only, it is.
func TestAbsent(t *testing.T) {
	for want, err := range map[string]error{
		"connection refused by 127.0.0.1:9092": &net.OpError{
			Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9092},
			Err: os.NewSyscallError("connect", syscall.ECONNREFUSED),
		},
		"unknown host kafka": &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Name: "kafka", IsNotFound: true}},
	} {
		limited, stop := context.WithTimeout(t.Context(), time.Hour)
		log := &stopping{stop: stop}
		conf := Config{
			Brokers: []string{"kafka:9092"}, Patience: time.Nanosecond, Log: slog.New(slog.NewTextHandler(log, nil)),
			Dial: func(context.Context, string, string) (net.Conn, error) { return nil, err },
		}
		ping := func(ctx context.Context) error {
			c, err := Open(conf)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			return c.Ping(ctx)
		}
		if err := ping(t.Context()); !Absent(err) || err.Error() != "kafka: reach kafka:9092: "+want || log.Len() > 0 {
			t.Errorf("found %v and the log %q, want %s", err, log.String(), want)
		}
		conf.Patience = 0
		if err := ping(limited); err == nil || !strings.Contains(log.String(), "failed, retrying for ") ||
			!strings.Contains(log.String(), want) {
			t.Errorf("found %v and the log %q", err, log.String())
		}
	}
}

// stopping is a log that ends a context at its first line.
type stopping struct {
	bytes.Buffer
	stop func()
}

func (s *stopping) Write(b []byte) (int, error) {
	s.stop()
	return s.Buffer.Write(b)
}
