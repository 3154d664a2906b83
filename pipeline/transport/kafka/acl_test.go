package kafka

import (
	"context"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// allow is an ACL of kfake.
func allow(op kmsg.ACLOperation, kind kmsg.ACLResourceType, name string) kfake.ACL {
	return kfake.ACL{
		Resource: kind, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true,
	}
}

func onTopic(op kmsg.ACLOperation, name string) kfake.ACL {
	return allow(op, kmsg.ACLResourceTypeTopic, name)
}

func onGroup(op kmsg.ACLOperation, name string) kfake.ACL {
	return allow(op, kmsg.ACLResourceTypeGroup, name)
}

// TestDenied lets a client with too few rights do what the program does. Each error names the right that is missing and
// the command that grants it, and the code can still be found.
func TestDenied(t *testing.T) {
	const describe, read, write = kmsg.ACLOperationDescribe, kmsg.ACLOperationRead, kmsg.ACLOperationWrite
	produce := func(ctx context.Context, c *Client) error {
		p, err := NewProducer(c, ProducerConfig{})
		if err != nil {
			return err
		}
		q := &partitionQueue{p: p, topic: "t", producer: noProducer}
		b := must(encodeBatch([]transport.Message{transport.New("k", "1", "", nil)}, 0, time.Now()))(t)
		stamped := int64(noProducer)
		_, err = q.attempt(b, &stamped)
		_ = p.Close(ctx)
		return err
	}
	fetch := func(ctx context.Context, c *Client) error {
		_, err := c.fetch(ctx, at("t", 0, 0), 1<<20, time.Millisecond)
		return err
	}
	for _, c := range []struct {
		name   string
		rights []kfake.ACL
		do     func(context.Context, *Client) error
		code   kafkago.Error
		want   string
	}{
		{
			"look up a topic", nil,
			func(ctx context.Context, c *Client) error { _, err := c.partitions(ctx, "t"); return err },
			kafkago.TopicAuthorizationFailed, `Describe on topic "t" --operation Describe --topic t`,
		},
		{
			"offsets of a topic", nil,
			func(ctx context.Context, c *Client) error {
				_, err := c.offsets(ctx, "t", highWatermark, 0)
				return err
			},
			kafkago.TopicAuthorizationFailed, `Describe on topic "t" --operation Describe --topic t`,
		},
		{
			"create a topic that it may not see", nil,
			func(ctx context.Context, c *Client) error {
				_, err := c.missing(ctx, []Topic{{Name: "new"}})
				return err
			},
			kafkago.TopicAuthorizationFailed, `Describe on topic "new" --operation Describe --topic new`,
		},
		{
			"create a topic",
			[]kfake.ACL{onTopic(describe, "new")},
			func(ctx context.Context, c *Client) error {
				_, err := c.kafka.CreateTopics(ctx, &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{
					{Topic: "new", NumPartitions: 1, ReplicationFactor: 1},
				}})
				return err
			},
			kafkago.TopicAuthorizationFailed, `Create on topic "new" --operation Create --topic new`,
		},
		{
			"produce without any topic to write to",
			[]kfake.ACL{onTopic(describe, "t")},
			produce,
			kafkago.TopicAuthorizationFailed, `Write on a topic --operation Write --topic NAME`,
		},
		{
			"produce",
			[]kfake.ACL{onTopic(describe, "t"), onTopic(write, "other")},
			produce,
			kafkago.TopicAuthorizationFailed, `Write on topic "t" --operation Write --topic t`,
		},
		{
			"produce to a topic that it may not see",
			[]kfake.ACL{onTopic(write, "other")},
			produce,
			kafkago.TopicAuthorizationFailed, `Write on topic "t" --operation Write --topic t`,
		},
		{
			"fetch",
			[]kfake.ACL{onTopic(describe, "t")},
			fetch,
			kafkago.TopicAuthorizationFailed, `Read on topic "t" --operation Read --topic t`,
		},
		{
			"fetch from a topic that it may not see", nil, fetch,
			kafkago.TopicAuthorizationFailed, `Read on topic "t" --operation Read --topic t`,
		},
		{
			"lag of a group",
			[]kfake.ACL{onTopic(describe, "t")},
			func(ctx context.Context, c *Client) error { _, err := c.Lag(ctx, "our group", "t"); return err },
			kafkago.GroupAuthorizationFailed, `Describe on group "our group" --operation Describe --group 'our group'`,
		},
		{
			"commit",
			[]kfake.ACL{onTopic(read, "t"), onGroup(describe, "g")},
			func(ctx context.Context, c *Client) error {
				ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
				defer cancel()
				return c.commit(ctx, "g", "t", 0, 1)
			},
			kafkago.GroupAuthorizationFailed, `Read on group "g" --operation Read --group g`,
		},
		{
			"join a group with franz-go",
			[]kfake.ACL{onTopic(read, "t"), onGroup(describe, "g")},
			func(ctx context.Context, c *Client) error {
				g := must(kgo.NewClient(append(c.kgoOptions(), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"))...))(t)
				defer g.Close()
				for ctx.Err() == nil {
					for _, e := range g.PollFetches(ctx).Errors() {
						if is(e.Err, kafkago.GroupAuthorizationFailed) || strings.Contains(e.Err.Error(), "GROUP_AUTHORIZATION") {
							return c.explainGroup(e.Err, "g", "t")
						}
					}
				}
				return ctx.Err()
			},
			kafkago.GroupAuthorizationFailed, `Read on group "g" --operation Read --group g`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			broker := secured(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.User("PLAIN", "voxel", "s3cret", c.rights...))
			so := must(SASLOptions{Mechanism: "plain", User: "voxel", Password: "s3cret"}.Load())(t)
			client := must(Open(Config{
				Brokers: broker.ListenAddrs(), SASL: so, Log: slog.New(slog.DiscardHandler),
			}))(t)
			t.Cleanup(client.Close)
			ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
			defer cancel()
			err := c.do(ctx, client)
			operation, command, _ := strings.Cut(c.want, " --operation")
			for _, want := range []string{
				"the ACLs of the cluster do not allow User:voxel the operation " + operation + "; grant it with: ",
				"kafka-acls --bootstrap-server " + broker.ListenAddrs()[0] + " --add --allow-principal User:voxel " +
					"--operation" + command,
			} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("found %v, want %q", err, want)
				}
			}
			if code, ok := codeOf(err); !ok || code != c.code {
				t.Errorf("found code %v, want %v", code, c.code)
			}
		})
	}
}

// TestNeeds answers each request with each error for a missing right that it can have.
func TestNeeds(t *testing.T) {
	c := &Client{cfg: Config{Brokers: []string{"b:9092"}}}
	n := 0
	for key, operations := range needs {
		for code, operation := range operations {
			req, res := key.Request(), key.Response()
			fill(reflect.ValueOf(req), code)
			fill(reflect.ValueOf(res), code)
			err := c.denied(missing(key, req, res))
			want := operation + " on " + resources[code].name + ` "name"`
			switch {
			case key == kmsg.InitProducerID && code == kafkago.ClusterAuthorizationFailed:
				want = "Write on a topic;"
			case code == kafkago.ClusterAuthorizationFailed:
				want = operation + " on the cluster;"
			}
			if err == nil || !strings.Contains(err.Error(), "the operation "+want) {
				t.Errorf("%s with code %d: found %v, want %q", key.Name(), code, err, want)
			}
			n++
		}
	}
	if n < 30 {
		t.Errorf("tried %d", n)
	}
}

// fill puts an element into each list, a name into each text, and an error into each code.
func fill(v reflect.Value, code kafkago.Error) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		fill(v.Elem(), code)
	case reflect.String:
		v.SetString("name")
	case reflect.Slice:
		if k := v.Type().Elem().Kind(); k == reflect.Struct || k == reflect.String {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			fill(v.Index(0), code)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			switch name := v.Type().Field(i).Name; {
			case name == "ErrorCode":
				v.Field(i).SetInt(int64(code))
			case name != "UnknownTags":
				fill(v.Field(i), code)
			}
		}
	}
}

// TestEveryRequestHasNeeds checks that all requests that reach a broker are in the table, or need no right.
func TestEveryRequestHasNeeds(t *testing.T) {
	broker := secured(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "voxel", "s3cret"))
	var mu sync.Mutex
	seen := map[kmsg.Key]bool{}
	broker.Control(func(r kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		seen[kmsg.Key(r.Key())] = true
		return nil, nil, false
	})
	c, err := connect(t, broker, TLSOptions{}, SASLOptions{Mechanism: "plain", User: "voxel", Password: "s3cret"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.EnsureTopics(t.Context(), Topic{Name: "new", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	roundTrip(t, c, "")
	if _, err := c.Lag(t.Context(), "g", "t"); err != nil {
		t.Fatal(err)
	}
	if err := c.commit(t.Context(), "unused", "t", 0, 1); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(seen)) {
		if key == kmsg.ApiVersions || key == kmsg.SASLHandshake || key == kmsg.SASLAuthenticate {
			continue
		}
		if len(needs[key]) == 0 {
			t.Errorf("request %s has no entry", key.Name())
		}
	}
	if len(seen) < 12 {
		t.Errorf("found only %d requests: %v", len(seen), seen)
	}
}

// TestPrincipal checks what is known about the principal.
func TestPrincipal(t *testing.T) {
	ours := testenv.NewAuthority(t)
	cert, key := ours.Issue("client")
	log := slog.New(slog.DiscardHandler)
	encrypted := must(TLSOptions{Enabled: true, CAFile: ours.File}.Load())(t)
	mutual := must(TLSOptions{Enabled: true, CAFile: ours.File, CertFile: cert, KeyFile: key}.Load())(t)
	bearer := &SASL{name: oauthBearer, subject: new(atomic.Pointer[string])}
	for _, c := range []struct {
		cfg   Config
		token string
		want  string
	}{
		{Config{}, "", "User:ANONYMOUS"},
		{Config{TLS: encrypted}, "", "User:ANONYMOUS"},
		{Config{TLS: mutual}, "", "User:CN=client"},
		{Config{TLS: mutual, SASL: &SASL{name: "plain", user: "u"}}, "", "User:u"},
		{Config{SASL: bearer}, "e30.eyJzdWIiOiJ3b3JrZXIifQ.", "User:worker"},
		{Config{SASL: bearer}, "opaque", ""},
		{Config{SASL: bearer}, "a.b.c", ""},
	} {
		if c.cfg.SASL == bearer {
			bearer.subject.Store(subject(c.token))
		}
		client := &Client{cfg: c.cfg, log: log}
		if got := client.principal(); got != c.want {
			t.Errorf("%+v: found %q, want %q", c, got, c.want)
		}
	}
	e := &deniedError{rights: []right{{kafkago.GroupAuthorizationFailed, "it's", "Read"}}, broker: "b:1"}
	const want = `the ACLs of the cluster do not allow this user the operation Read on group "it's"; grant it with: ` +
		`kafka-acls --bootstrap-server b:1 --add --allow-principal User:NAME --operation Read --group 'it'\''s'`
	if e.Error() != want {
		t.Errorf("found %s", e)
	}
}
