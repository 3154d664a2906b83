//go:build unix

package integration

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// issuer signs tokens that the broker verifies against a file of keys.
type issuer struct{ key *rsa.PrivateKey }

func newIssuer(t *testing.T, file string) *issuer {
	t.Helper()
	i := &issuer{must(rsa.GenerateKey(rand.Reader, 2048))(t)}
	b64 := base64.RawURLEncoding.EncodeToString
	text := must(json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "RSA", "kid": "test", "use": "sig", "alg": "RS256", "n": b64(i.key.N.Bytes()),
		"e": b64(big.NewInt(int64(i.key.E)).Bytes()),
	}}}))(t)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return i
}

// token makes a token of a subject that is valid for some time.
func (i *issuer) token(t *testing.T, subject string, life time.Duration) string {
	t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	now := time.Now()
	claims := must(json.Marshal(map[string]any{
		"sub": subject, "aud": "kafka", "iat": now.Unix(), "exp": now.Add(life).Unix(),
	}))(t)
	signed := b64([]byte(`{"alg":"RS256","kid":"test"}`)) + "." + b64(claims)
	sum := sha256.Sum256([]byte(signed))
	return signed + "." + b64(must(rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, sum[:]))(t))
}

// guardedKafka is Apache Kafka with ACLs and OAUTHBEARER. Its listener without SASL belongs to a super user.
type guardedKafka struct {
	admin, secure string // addresses
	issuer        *issuer
}

func startGuardedKafka(t *testing.T) *guardedKafka {
	t.Helper()
	needRealKafka(t)
	dir, port := t.TempDir(), freePorts(t, 2)
	secure := freePort(t)
	for secure == port || secure == port+1 {
		secure = freePort(t)
	}
	keys := filepath.Join(dir, "keys.json")
	k := &guardedKafka{
		admin: fmt.Sprintf("127.0.0.1:%d", port), secure: fmt.Sprintf("127.0.0.1:%d", secure), issuer: newIssuer(t, keys),
	}
	listeners := fmt.Sprintf("PLAINTEXT://%s,SASL_PLAINTEXT://%s", k.admin, k.secure)
	const oauth = "org.apache.kafka.common.security.oauthbearer.OAuthBearer"
	extra := fmt.Sprintf(`
listeners=%s,CONTROLLER://127.0.0.1:%d
advertised.listeners=%s
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
sasl.enabled.mechanisms=OAUTHBEARER
sasl.oauthbearer.jwks.endpoint.url=file://%s
sasl.oauthbearer.expected.audience=kafka
listener.name.sasl_plaintext.oauthbearer.sasl.jaas.config=%sLoginModule required;
listener.name.sasl_plaintext.oauthbearer.sasl.server.callback.handler.class=%sValidatorCallbackHandler
listener.name.sasl_plaintext.oauthbearer.connections.max.reauth.ms=3600000
`, listeners, port+1, listeners, keys, oauth, oauth)
	if err := os.WriteFile(filepath.Join(dir, "extra.properties"), []byte(extra), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("JAVA_TOOL_OPTIONS", "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://"+keys)
	realKafka(t, "start", dir, strconv.Itoa(port))
	t.Cleanup(func() { realKafka(t, "kill", dir, strconv.Itoa(port)) })
	return k
}

// client is a client of the super user.
func (k *guardedKafka) client(t *testing.T) *kafka.Client {
	t.Helper()
	c := must(kafka.Open(kafka.Config{Brokers: []string{k.admin}, Log: slog.New(slog.DiscardHandler)}))(t)
	t.Cleanup(c.Close)
	return c
}

var (
	aclCommands = regexp.MustCompile(`kafka-acls --bootstrap-server (\S+) --add --allow-principal (\S+) ` +
		`--operation (\w+) (--[a-z-]+) ?([\w.:/-]*)`)
	producedTo = regexp.MustCompile(`produce to (\S+)/\d+ failed`)
	aclKinds   = map[string]kmsg.ACLResourceType{
		"--topic": kmsg.ACLResourceTypeTopic, "--group": kmsg.ACLResourceTypeGroup,
		"--cluster": kmsg.ACLResourceTypeCluster, "--transactional-id": kmsg.ACLResourceTypeTransactionalId,
	}
	aclOperations = map[string]kmsg.ACLOperation{
		"Read": kmsg.ACLOperationRead, "Write": kmsg.ACLOperationWrite, "Describe": kmsg.ACLOperationDescribe,
		"Create": kmsg.ACLOperationCreate, "IdempotentWrite": kmsg.ACLOperationIdempotentWrite,
		"DescribeConfigs": kmsg.ACLOperationDescribeConfigs,
	}
)

// grant adds an ACL, as the command kafka-acls does.
func (k *guardedKafka) grant(t *testing.T, principal, operation, kind, name string) {
	t.Helper()
	c := must(kgo.NewClient(kgo.SeedBrokers(k.admin)))(t)
	defer c.Close()
	if kind == "--cluster" {
		name = "kafka-cluster"
	}
	a := kmsg.NewCreateACLsRequestCreation()
	a.ResourceType, a.ResourceName, a.ResourcePatternType = aclKinds[kind], name, kmsg.ACLResourcePatternTypeLiteral
	a.Principal, a.Host, a.PermissionType = principal, "*", kmsg.ACLPermissionTypeAllow
	a.Operation = aclOperations[operation]
	req := kmsg.NewPtrCreateACLsRequest()
	req.Creations = append(req.Creations, a)
	res := must(req.RequestWith(t.Context(), c))(t)
	if code := res.Results[0].ErrorCode; code != 0 {
		t.Fatalf("%s on %s %s: code %d", operation, kind, name, code)
	}
}

// TestRealKafkaAccess: users without rights, and tokens that expire, on Apache Kafka.
func TestRealKafkaAccess(t *testing.T) {
	k := startGuardedKafka(t)
	t.Run("rights", k.rights)
	t.Run("tokens", k.tokens)
}

// rights runs each command as a user without rights, and grants what the messages ask for, until it is done. In the end,
// the users have the rights that the guide lists, and no others.
func (k *guardedKafka) rights(t *testing.T) {
	admin := k.client(t)
	var topics []kafka.Topic
	for _, name := range []string{"volumes", "classifications", "volumes.dlq"} {
		topics = append(topics, kafka.Topic{Name: name, Partitions: 1, Replication: 1}) // so that all share it
	}
	if err := admin.EnsureTopics(t.Context(), topics...); err != nil {
		t.Fatal(err)
	}
	p := must(kafka.NewProducer(admin, kafka.ProducerConfig{}))(t)
	if _, err := p.Produce(t.Context(), "volumes", transport.New("k", "poison", "", []byte("no volume"))); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	archive, more, broken := w.digits("d.h5", 40, 1), w.digits("e.h5", 20, 2), w.write("broken.pcd", []byte("VERSION .7\n"))
	w.set("kafka.brokers", k.secure)
	w.set("kafka.sasl.mechanism", "oauthbearer")
	granted := map[string]map[string]bool{}
	for _, c := range []struct {
		user string
		code int
		args []string
	}{
		{"ingest", exitDeadLetters, []string{"ingest", archive, broken, "-q"}},
		{"classify", exitDeadLetters, []string{"classify", "--once"}},
		{"ingest", exitDone, []string{"ingest", more, "-q"}},
		{"classify", exitDone, []string{"classify", "--once"}}, // reads what it has written before
		{"dlq list", exitDone, []string{"dlq", "list"}},
		{"dlq replay", exitDone, []string{"dlq", "replay"}},
	} {
		if granted[c.user] == nil {
			granted[c.user] = map[string]bool{}
		}
		k.follow(t, w, c.user, granted[c.user], c.code, c.args...)
	}
	guide := rightsOfGuide(t)
	for user, rights := range granted {
		// The guide grants all transactional IDs of a group together.
		for right := range maps.Clone(rights) {
			if on, _, ok := strings.Cut(right, " --transactional-id voxelstream/"); ok {
				delete(rights, right)
				rights[on+" --transactional-id voxelstream/ --resource-pattern-type prefixed"] = true
			}
		}
		maps.DeleteFunc(rights, func(right string, _ bool) bool { // others imply it
			on, ok := strings.CutPrefix(right, "Describe ")
			return ok && (rights["Read "+on] || rights["Write "+on])
		})
		if got := slices.Sorted(maps.Keys(rights)); !slices.Equal(got, guide[user]) {
			t.Errorf("%s needs %q, the guide says %q", user, got, guide[user])
		}
	}
}

// follow runs a command as a user, and grants what its messages ask for while it runs. A command that does not wait for a
// right is started again.
func (k *guardedKafka) follow(t *testing.T, w *world, user string, granted map[string]bool, code int, args ...string) {
	t.Helper()
	principal := strings.ReplaceAll(user, " ", "-")
	token := w.write(principal, []byte(k.issuer.token(t, principal, time.Hour)))
	for {
		p := start(t, w.bin, w.dir, append(slices.Clone(w.env), "VOXELSTREAM_KAFKA_SASL_TOKEN_FILE="+token), args...)
		had := len(granted)
		for over := false; !over; time.Sleep(20 * time.Millisecond) {
			over = p.ended()
			k.grantAll(t, principal, p.stderr.String(), granted)
		}
		if strings.Contains(p.stderr.String(), "eyJ") {
			t.Errorf("the token is shown:\n%s", p.stderr.String())
		}
		if p.cmd.ProcessState.ExitCode() == code || len(granted) == had {
			p.wait(t, code)
			return
		}
	}
}

// grantAll grants the rights that messages ask for, if they are not granted yet.
func (k *guardedKafka) grantAll(t *testing.T, principal, text string, granted map[string]bool) {
	t.Helper()
	for line := range strings.Lines(text) {
		for _, m := range aclCommands.FindAllStringSubmatch(line, -1) {
			if m[1] != k.secure || m[2] != "User:"+principal {
				t.Fatalf("found %q", m[0])
			}
			name := m[5]
			if name == "NAME" { // it is in the rest of the line
				to := producedTo.FindStringSubmatch(line)
				if to == nil {
					t.Fatalf("no topic in %q", line)
				}
				name = to[1]
			}
			right := strings.TrimSpace(m[3] + " " + m[4] + " " + name)
			if !granted[right] {
				granted[right] = true
				k.grant(t, m[2], m[3], m[4], name)
			}
		}
	}
}

// rightsOfGuide returns the rights that the guide lists for each command, as options of kafka-acls.
func rightsOfGuide(t *testing.T) map[string][]string {
	t.Helper()
	text := string(must(os.ReadFile(filepath.Join(testenv.Root(), "docs/how-to/kafka-rights.md")))(t))
	out := map[string][]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z ]+)` \\| `--operation (\\w+) (--[^`]+)` \\|").
		FindAllStringSubmatch(text, -1) {
		out[m[1]] = append(out[m[1]], m[2]+" "+m[3])
	}
	for _, rights := range out {
		slices.Sort(rights)
	}
	return out
}

// tokens keeps a producer and a consumer busy beyond the life of several tokens, from a file and from an endpoint. The
// broker ends connections whose token has expired; nothing is lost.
func (k *guardedKafka) tokens(t *testing.T) {
	const life = 8 * time.Second
	var issued atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, secret, _ := r.BasicAuth(); id != "worker" || secret != password {
			http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
			return
		}
		issued.Add(1)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"bearer","expires_in":%d}`, k.issuer.token(t, "worker", life),
			int(life.Seconds()))
	}))
	t.Cleanup(server.Close)
	for _, kind := range []string{"--topic", "--group"} {
		for _, operation := range []string{"Read", "Write", "Describe", "Create"} {
			if kind == "--group" && operation != "Read" {
				continue
			}
			for _, name := range []string{"endpoint", "file"} {
				k.grant(t, "User:worker", operation, kind, name)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "token")
	renew := func() {
		next := file + ".new"
		if err := os.WriteFile(next, []byte(k.issuer.token(t, "worker", life)), 0o600); err != nil {
			t.Error(err)
		}
		if err := os.Rename(next, file); err != nil {
			t.Error(err)
		}
	}
	renew() // the options want a token to begin with
	for name, o := range map[string]kafka.SASLOptions{
		"endpoint": {Mechanism: "oauthbearer", TokenEndpoint: server.URL, ClientID: "worker", ClientSecret: password},
		"file":     {Mechanism: "oauthbearer", TokenFile: file},
	} {
		t.Run(name, func(t *testing.T) {
			renew()
			var log output
			c := must(kafka.Open(kafka.Config{
				Brokers: []string{k.secure}, SASL: must(o.Load())(t),
				Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			}))(t)
			t.Cleanup(c.Close)
			if err := c.EnsureTopics(t.Context(), kafka.Topic{Name: name, Partitions: 1, Replication: 1}); err != nil {
				t.Fatal(err)
			}
			outlive(t, c, name, 3*life, renew)
			if s := log.String(); strings.Contains(s, "eyJ") || strings.Contains(s, password) {
				t.Errorf("the log shows a token or the secret:\n%s", s)
			}
		})
	}
	t.Run("expired", func(t *testing.T) {
		o := kafka.SASLOptions{Mechanism: "oauthbearer", TokenFile: filepath.Join(t.TempDir(), "token")}
		if err := os.WriteFile(o.TokenFile, []byte(k.issuer.token(t, "worker", -time.Hour)), 0o600); err != nil {
			t.Fatal(err)
		}
		c := must(kafka.Open(kafka.Config{
			Brokers: []string{k.secure}, SASL: must(o.Load())(t), Log: slog.New(slog.DiscardHandler),
		}))(t)
		defer c.Close()
		err := c.Ping(t.Context())
		if err == nil || !strings.Contains(err.Error(), "authentication failed (SASL oauthbearer)") {
			t.Errorf("found %v", err)
		}
	})
	t.Cleanup(func() { t.Logf("the endpoint issued %d tokens", issued.Load()) })
}

// outlive exchanges a message every 100 ms for some time. All of them must arrive in order.
func outlive(t *testing.T, c *kafka.Client, topic string, d time.Duration, renew func()) {
	t.Helper()
	p := must(kafka.NewProducer(c, kafka.ProducerConfig{}))(t)
	k := must(kafka.NewConsumer(c, kafka.ConsumerConfig{Group: topic, Topic: topic, Budget: pipeline.NewBudget(1 << 20)}))(t)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	renewed := time.Now()
	n := 0
	for end := time.Now().Add(d); time.Now().Before(end); n++ {
		if time.Since(renewed) > 3*time.Second {
			renewed = time.Now()
			renew()
		}
		id := strconv.Itoa(n)
		if _, err := p.Produce(ctx, topic, transport.New("k", id, "", []byte(id))); err != nil {
			t.Fatal(err)
		}
		for { // a message whose commit was refused with the connection comes again
			got := must(k.Read(ctx))(t)
			got.Settle(nil)
			at := must(strconv.Atoi(got.Value.EventID()))(t)
			if at > n {
				t.Fatalf("found message %d, want %d", at, n)
			}
			if at == n {
				break
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := k.Close(ctx); err != nil {
		t.Error(err)
	}
	if n < 10 {
		t.Errorf("exchanged %d messages", n)
	}
}
