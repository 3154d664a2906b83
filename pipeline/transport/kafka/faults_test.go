package kafka

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/clip"
	"github.com/voxelstream/voxelstream/internal/testenv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/pipelinetest"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/recordset/recordtest"
)

// The tests in this file use kfake directly, because they make the broker misbehave.

func fake(t *testing.T, partitions int32, topics ...string) (*kfake.Cluster, *Client, *Producer) {
	t.Helper()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, topics...),
		kfake.DataDir(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	c, err := Open(Config{Brokers: broker.ListenAddrs(), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	p, err := NewProducer(c, ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close(context.Background()) })
	return broker, c, p
}

func numbered(n int) []transport.Message {
	ms := make([]transport.Message, n)
	for i := range ms {
		ms[i] = transport.New("key", fmt.Sprint(i), "text/plain", []byte(fmt.Sprint(i)))
	}
	return ms
}

func stored(t *testing.T, c *Client, topic string) (ids []string) {
	t.Helper()
	for m, err := range c.Records(t.Context(), topic, false) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, m.EventID())
	}
	return ids
}

// TestProducerRetries checks that each message is stored once and in order, whatever error code the broker returns.
func TestProducerRetries(t *testing.T) {
	for _, e := range []*kerr.Error{
		kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend, kerr.NotLeaderForPartition,
		kerr.UnknownTopicOrPartition, kerr.UnknownServerError,
		kerr.BrokerNotAvailable, kerr.TopicAuthorizationFailed, kerr.KafkaStorageError,
		kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID,
	} {
		t.Run(e.Message, func(t *testing.T) {
			broker, c, p := fake(t, 1, "t")
			if _, err := p.Produce(t.Context(), "t", numbered(2)...); err != nil {
				t.Fatal(err)
			}
			refused := 0
			broker.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
				broker.KeepControl()
				if refused++; refused > 3 {
					return nil, nil, false
				}
				req := r.(*kmsg.ProduceRequest)
				res := req.ResponseKind().(*kmsg.ProduceResponse)
				part := kmsg.NewProduceResponseTopicPartition()
				part.ErrorCode = e.Code
				topic := kmsg.NewProduceResponseTopic()
				topic.Topic, topic.Partitions = "t", append(topic.Partitions, part)
				res.Topics = append(res.Topics, topic)
				return res, nil, true
			})
			pos, err := p.Produce(t.Context(), "t", numbered(5)[2:]...)
			if err != nil || len(pos) != 3 || pos[2].Offset != 4 {
				t.Fatalf("%v, %v", pos, err)
			}
			if got := strings.Join(stored(t, c, "t"), ""); got != "01234" {
				t.Errorf("stored %s", got)
			}
		})
	}
}

// TestProducerCutsBatches uses a batch size that the broker rejects. Single messages must be stored, except one that is
// too large by itself.
func TestProducerCutsBatches(t *testing.T) {
	_, c, p := fake(t, 1, "t")
	ms := numbered(6)
	for i := range ms {
		ms[i].Value = make([]byte, 300<<10) // together more than the broker's limit of 1 MiB
	}
	ms[4].Value = make([]byte, 3<<20)
	p.cfg.BatchBytes = 100 << 20
	pos, err := p.Produce(t.Context(), "t", ms...)
	partial, ok := errors.AsType[*pipeline.PartialError](err)
	if !ok || len(partial.Failed) != 1 || !pipeline.IsPermanent(partial.Failed[4]) {
		t.Fatalf("%v", err)
	}
	if pos[5].Offset != 4 || len(stored(t, c, "t")) != 5 {
		t.Errorf("positions %v, stored %d", pos, len(stored(t, c, "t")))
	}
}

// TestProduceContext checks that Produce stops waiting when the context ends, and that Close ends all retries.
func TestProduceContext(t *testing.T) {
	broker, _, p := fake(t, 1, "t")
	if _, err := p.Produce(t.Context(), "t", numbered(1)...); err != nil {
		t.Fatal(err)
	}
	broker.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		return nil, errors.New("no answer"), true
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := p.Produce(ctx, "t", numbered(3)...); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if err := p.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("close: %v", err)
	}
	if _, err := p.Produce(t.Context(), "t", numbered(1)...); !errors.Is(err, ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

func consume(t *testing.T, c *Client, cfg ConsumerConfig) *Consumer {
	t.Helper()
	cfg.Group, cfg.Topic = "g", "t"
	if cfg.Budget == nil {
		cfg.Budget = pipeline.NewBudget(1 << 20)
	}
	k, err := NewConsumer(c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return k
}

func next(t *testing.T, k *Consumer) pipeline.Delivery[transport.Message] {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	d, err := k.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// committed returns what the group of the tests has committed for partition 0, or -1.
func committed(t *testing.T, c *Client) (map[int]int64, error) {
	t.Helper()
	found, err := c.commits(t.Context(), "g", "t", 0)
	return map[int]int64{0: found[0].offset}, err
}

// TestOffsetFetchErrors checks that a coordinator's error is not mistaken for "no offset", as kafka-go does. Otherwise
// everything would be delivered again.
func TestOffsetFetchErrors(t *testing.T) {
	broker, c, p := fake(t, 1, "t")
	if _, err := p.Produce(t.Context(), "t", numbered(10)...); err != nil {
		t.Fatal(err)
	}
	if err := c.commit(t.Context(), "g", "t", 0, 6); err != nil {
		t.Fatal(err)
	}
	errs := 0
	broker.ControlKey(int16(kmsg.OffsetFetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		if errs++; errs > 3 {
			return nil, nil, false
		}
		res := r.(*kmsg.OffsetFetchRequest).ResponseKind().(*kmsg.OffsetFetchResponse)
		res.ErrorCode = kerr.CoordinatorLoadInProgress.Code
		return res, nil, true
	})
	k := consume(t, c, ConsumerConfig{})
	d := next(t, k)
	d.Settle(nil)
	if d.Value.Offset != 6 || errs < 3 {
		t.Errorf("started at %d after %d errors, want 6", d.Value.Offset, errs)
	}
}

// TestLost checks that messages deleted before they were read are reported, and that a committed offset beyond the end
// of the log starts over.
func TestLost(t *testing.T) {
	for _, c := range []struct {
		name              string
		committed, delete int64
		start, lost       int64
	}{
		{"nothing lost", 3, 2, 3, 0},
		{"retention was faster", 3, 7, 7, 4},
		{"first run, old messages are deleted", -1, 7, 7, 0},
		{"beyond the end of the log", 50, 2, 2, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			broker, client, p := fake(t, 1, "t")
			if _, err := p.Produce(t.Context(), "t", numbered(10)...); err != nil {
				t.Fatal(err)
			}
			if c.committed >= 0 {
				if err := client.commit(t.Context(), "g", "t", 0, c.committed); err != nil {
					t.Fatal(err)
				}
			}
			if err := broker.DeleteRecords("t", 0, c.delete); err != nil {
				t.Fatal(err)
			}
			var seen pipelinetest.Recorder
			k := consume(t, client, ConsumerConfig{Observer: &seen})
			d := next(t, k)
			d.Settle(nil)
			if n := seen.Counted("consumer t", pipeline.EventLost); n != int(c.lost) {
				t.Errorf("observed %d lost, want %d", n, c.lost)
			}
			if d.Value.Offset != c.start || k.Stats().Lost.Load() != c.lost {
				t.Errorf("started at %d with %d lost, want %d with %d", d.Value.Offset, k.Stats().Lost.Load(), c.start,
					c.lost)
			}
		})
	}
}

// TestAbandoned checks that a message left unfinished ends the consumer with an error and is not committed.
func TestAbandoned(t *testing.T) {
	for _, outcome := range []error{
		errors.New("sink failed"),
		pipeline.Permanent(errors.New("at fault, but there is no dead letter topic")),
	} {
		_, c, p := fake(t, 1, "t")
		if _, err := p.Produce(t.Context(), "t", numbered(3)...); err != nil {
			t.Fatal(err)
		}
		k := consume(t, c, ConsumerConfig{CommitEvery: time.Millisecond})
		first, second := next(t, k), next(t, k)
		second.Settle(nil)
		first.Settle(outcome)
		if _, err := k.Read(t.Context()); !errors.Is(err, outcome) {
			t.Errorf("Read after %v: %v", outcome, err)
		}
		if err := k.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		at, err := committed(t, c)
		if err != nil || at[0] > 0 {
			t.Errorf("committed %d, %v", at[0], err)
		}
	}
}

// TestBounds checks that the consumer stops reading at its limits, and that a message larger than the whole budget
// becomes a dead letter.
func TestBounds(t *testing.T) {
	_, c, p := fake(t, 1, "t", "dead")
	ms := numbered(20)
	ms[3].Value = make([]byte, 8000)
	ms[3].Headers = nil
	if _, err := p.Produce(t.Context(), "t", ms...); err != nil {
		t.Fatal(err)
	}
	budget := pipeline.NewBudget(5000)
	k := consume(t, c, ConsumerConfig{Budget: budget, MaxInFlight: 6, DeadLetters: p, DeadLetterTopic: "dead"})
	var held []pipeline.Delivery[transport.Message]
	for range 5 { // 0 1 2 4 5: with the dead letter, six are pending
		held = append(held, next(t, k))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if d, err := k.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("beyond the limit: offset %d, %v", d.Value.Offset, err)
	}
	held[4].Settle(nil) // makes no room, because earlier ones are unsettled
	ctx2, cancel2 := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel2()
	if d, err := k.Read(ctx2); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("beyond the limit: offset %d, %v", d.Value.Offset, err)
	}
	for _, d := range held {
		d.Settle(nil)
	}
	for range 14 {
		next(t, k).Settle(nil)
	}
	if n := budget.InUse(); n != 0 {
		t.Errorf("%d bytes are still charged", n)
	}
	dead := stored(t, c, "dead")
	if len(dead) != 1 || k.Stats().DeadLettered.Load() != 1 {
		t.Errorf("dead letters %v", dead)
	}
}

// TestCharge: a message takes as much of the budget as the configuration says, which may be more than its size.
func TestCharge(t *testing.T) {
	_, c, p := fake(t, 1, "t", "dead")
	if _, err := p.Produce(t.Context(), "t", numbered(4)...); err != nil {
		t.Fatal(err)
	}
	budget := pipeline.NewBudget(5000)
	k := consume(t, c, ConsumerConfig{
		Budget: budget, DeadLetters: p, DeadLetterTopic: "dead", Charge: func(m *transport.Message) int64 {
			if m.Offset == 1 {
				return 1 << 62
			}
			return 3000
		},
	})
	first := next(t, k)
	if n := budget.InUse(); n != 3000 {
		t.Errorf("found %d bytes in use, want 3000", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if d, err := k.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("beyond the budget: offset %d, %v", d.Value.Offset, err)
	}
	first.Settle(nil)
	for range 2 {
		next(t, k).Settle(nil)
	}
	if n := budget.InUse(); n != 0 {
		t.Errorf("%d bytes are still charged", n)
	}
	if dead := stored(t, c, "dead"); len(dead) != 1 {
		t.Errorf("dead letters %v", dead)
	}
}

// TestCommitFenced checks that settlements after the end of a generation do not move the group's offset.
func TestCommitFenced(t *testing.T) {
	_, c, p := fake(t, 1, "t")
	if _, err := p.Produce(t.Context(), "t", numbered(10)...); err != nil {
		t.Fatal(err)
	}
	k := consume(t, c, ConsumerConfig{Handover: 50 * time.Millisecond})
	var held []pipeline.Delivery[transport.Message]
	for range 4 {
		held = append(held, next(t, k))
	}
	if err := k.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, d := range held {
		d.Settle(nil)
	}
	at, err := committed(t, c)
	if err != nil || at[0] > 0 {
		t.Errorf("committed %d, %v", at[0], err)
	}
}

// TestHostileBatches stores batches that no reader may accept on a broker that does not look into them. Each must become
// one dead letter, and everything else must be read. Readers without a dead letter topic leave them out.
func TestHostileBatches(t *testing.T) {
	for _, h := range recordtest.HostileBatches(100) {
		t.Run(h.Name, func(t *testing.T) {
			broker, c, p := fake(t, 1, "t", "dead")
			if _, err := p.Produce(t.Context(), "t", numbered(1)...); err != nil {
				t.Fatal(err)
			}
			code, err := recordtest.ProduceRaw(broker.ListenAddrs()[0], "t", 0, h.Raw)
			if err != nil {
				t.Fatal(err)
			}
			if code != 0 {
				t.Skip("the broker has refused it")
			}
			if _, err := p.Produce(t.Context(), "t", numbered(2)[1:]...); err != nil {
				t.Fatal(err)
			}
			k := consume(t, c, ConsumerConfig{DeadLetters: p, DeadLetterTopic: "dead"})
			for want := range 2 {
				d := next(t, k)
				if got := string(d.Value.Value); got != fmt.Sprint(want) {
					t.Errorf("read %q, want %d", got, want)
				}
				d.Settle(nil)
			}
			if err := k.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			dead := slices.Collect(deadLetters(t, c))
			if len(dead) != 1 || dead[0].Offset != 1 || dead[0].Last < 1 || dead[0].Bytes != int64(len(h.Raw)) ||
				dead[0].Stage != "decode batch" {
				t.Errorf("dead letters %+v", dead)
			}
			if lag, err := c.Lag(t.Context(), "g", "t"); err != nil || lag[0] != 0 {
				t.Errorf("lag %v, %v", lag, err)
			}
			if ids := stored(t, c, "t"); len(ids) != 2 {
				t.Errorf("a reader without a group has read %v", ids)
			}
			e, err := c.JoinExclusive(t.Context(), "e", "t", 0)
			if err != nil {
				t.Fatal(err)
			}
			for want := range 2 {
				if m, err := e.Read(t.Context()); err != nil || string(m.Value) != fmt.Sprint(want) {
					t.Errorf("an exclusive consumer has read %q, %v; want %d", m.Value, err, want)
				}
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDeadLetterAfterOutage has brokers that answer no fetch request for longer than a request may take, while a message
// fails for good. Its dead letter must have the value all the same.
func TestDeadLetterAfterOutage(t *testing.T) {
	t.Parallel() // it takes long
	broker, c, p := fake(t, 1, "t", "dead")
	if _, err := p.Produce(t.Context(), "t", numbered(1)...); err != nil {
		t.Fatal(err)
	}
	d := next(t, consume(t, c, ConsumerConfig{DeadLetters: p, DeadLetterTopic: "dead"}))
	end := time.Now().Add(requestTimeout + time.Second)
	broker.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		if time.Now().After(end) {
			return nil, nil, false
		}
		broker.KeepControl()
		res := r.(*kmsg.FetchRequest).ResponseKind().(*kmsg.FetchResponse)
		res.ErrorCode = kerr.UnknownServerError.Code
		return res, nil, true
	})
	d.Settle(pipeline.Permanent(errors.New("bad")))
	for m, err := range c.Records(t.Context(), "dead", true) {
		if err != nil {
			t.Fatal(err)
		}
		if id, _ := m.Header(transport.HeaderEventID); string(m.Value) != "0" || id != "0" {
			t.Errorf("found the value %q and the event ID %q, want those of the message", m.Value, id)
		}
		break
	}
}

// TestDeadLetterGone: retention deletes a message before it is copied to its dead letter. The dead letter says so, and is
// not sent back as an empty message.
func TestDeadLetterGone(t *testing.T) {
	broker, c, p := fake(t, 1, "t", "dead")
	if _, err := p.Produce(t.Context(), "t", numbered(1)...); err != nil {
		t.Fatal(err)
	}
	k := consume(t, c, ConsumerConfig{DeadLetters: p, DeadLetterTopic: "dead"})
	d := next(t, k)
	if err := broker.DeleteRecords("t", 0, 1); err != nil {
		t.Fatal(err)
	}
	d.Settle(pipeline.Permanent(errors.New("bad")))
	if err := k.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := slices.Collect(deadLetters(t, c)); len(d) != 1 || !d[0].Gone || d[0].LeftOut() || d[0].Error != "bad" {
		t.Fatalf("found %+v, want one whose message is gone", d)
	}
	var left error
	n, err := c.Replay(t.Context(), p, ReplayConfig{
		Topic: "dead", To: []string{"t"}, Left: func(_ transport.Message, err error) { left = err },
	})
	if got := stored(t, c, "t"); n != 0 || err != nil || left == nil || !strings.Contains(left.Error(), "gone") ||
		len(got) > 0 {
		t.Errorf("replayed %d, %v; left because of %v; on the topic: %v", n, err, left, got)
	}
}

// TestReferenceInFlood: a message that refers to an object has no value that could be left out. Its dead letter keeps the
// reference, also if there are very many.
func TestReferenceInFlood(t *testing.T) {
	broker, c, p := fake(t, 1, "t", "dead")
	ref := transport.Reference{Size: 1 << 30, SHA256: strings.Repeat("ab", 32)}
	if _, err := p.Produce(t.Context(), "t", numbered(1)[0].WithReference(ref)); err != nil {
		t.Fatal(err)
	}
	k := consume(t, c, ConsumerConfig{DeadLetters: p, DeadLetterTopic: "dead"})
	k.values = allowance{used: 2 * valueBurst, at: time.Now()}
	next(t, k).Settle(pipeline.Permanent(errors.New("bad")))
	if err := k.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := broker.DeleteRecords("t", 0, 1); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Replay(t.Context(), p, ReplayConfig{
		Topic: "dead", To: []string{"t"}, Left: func(_ transport.Message, err error) { t.Errorf("left: %v", err) },
	}); n != 1 || err != nil {
		t.Errorf("replayed %d, %v", n, err)
	}
	for m, err := range c.Records(t.Context(), "t", false) {
		if err != nil {
			t.Fatal(err)
		}
		if found, err := m.Reference(); err != nil || found == nil || *found != ref {
			t.Errorf("found the reference %+v, %v", found, err)
		}
	}
}

// deadLetters returns the dead letters of the topic "dead".
func deadLetters(t *testing.T, c *Client) iter.Seq[transport.DeadLetter] {
	return func(yield func(transport.DeadLetter) bool) {
		for m, err := range c.Records(t.Context(), "dead", false) {
			if err != nil {
				t.Fatal(err)
			}
			d, err := transport.ReadDeadLetter(m)
			if err != nil {
				t.Fatal(err)
			}
			if !yield(d) {
				return
			}
		}
	}
}

// TestReplayTrustsNoHeader replays dead letters that anyone may have written. Only those for the given topics are sent;
// the others are left, and those behind them are sent.
func TestReplayTrustsNoHeader(t *testing.T) {
	broker, c, p := fake(t, 1, "t", "results", "forbidden", "dead")
	broker.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		req := r.(*kmsg.ProduceRequest)
		if req.Topics[0].Topic != "forbidden" {
			return nil, nil, false
		}
		res := req.ResponseKind().(*kmsg.ProduceResponse)
		part := kmsg.NewProduceResponseTopicPartition()
		part.ErrorCode = kerr.InvalidRecord.Code
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic, topic.Partitions = "forbidden", append(topic.Partitions, part)
		res.Topics = append(res.Topics, topic)
		return res, nil, true
	})
	pos, err := p.Produce(t.Context(), "t", transport.New("k", "original", "text/plain", []byte("original value")))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("original value"))
	digest := hex.EncodeToString(sum[:])
	letters := []transport.DeadLetter{
		{Topic: "results"},
		{Topic: "t"},
		{Topic: "gone"},
		{Topic: strings.Repeat("long", 10_000)},
		{Topic: "dead"},
		{Topic: "forbidden"},
		{Topic: "t", Last: 17, SHA256: digest}, // of a batch
		{Topic: "t", Count: 1000},              // a summary
		{Topic: "t", Offset: pos[0].Offset, Bytes: 14, SHA256: digest},                  // the value is on its topic
		{Topic: "t", Offset: pos[0].Offset, Bytes: 14, SHA256: strings.Repeat("0", 64)}, // another value
		{Topic: "t", Offset: 1 << 50, Bytes: 14, SHA256: digest},
		{Topic: "t", Partition: 1 << 30, Bytes: 14, SHA256: digest},
		{Topic: "t"},
	}
	for i, d := range letters {
		d.Time, d.Stage, d.Error = time.Now(), "s", "boom"
		m := transport.DeadLetterOf(transport.New("k", fmt.Sprint(i), "text/plain", []byte("value")), d)
		if d.LeftOut() {
			m.Value = nil
		}
		if _, err := p.Produce(t.Context(), "dead", m); err != nil {
			t.Fatal(err)
		}
	}
	var left []string
	n, err := c.Replay(t.Context(), p, ReplayConfig{
		Topic: "dead", To: []string{"t", "gone", "forbidden"},
		Left: func(m transport.Message, err error) {
			t.Log(m.Offset, clip.Text(err.Error())[:min(len(err.Error()), 150)])
			left = append(left, fmt.Sprint(m.Offset))
		},
	})
	if err != nil || n != 3 || strings.Join(left, " ") != "0 2 3 4 5 6 7 9 10 11" {
		t.Errorf("sent %d, left %v, %v", n, left, err)
	}
	if got := strings.Join(stored(t, c, "t"), " "); got != "original 1 original 12" {
		t.Errorf("on the topic: %s", got)
	}
	if got := append(stored(t, c, "results"), stored(t, c, "forbidden")...); len(got) > 0 {
		t.Errorf("on other topics: %v", got)
	}
}

// TestDeadLettersFit stores dead letters on topics with a small limit, and a large one. They must never fail.
func TestDeadLettersFit(t *testing.T) {
	long := strings.Repeat("A", 3<<20)
	big := transport.New("key", "id", "text/plain", []byte(long))
	keyed := transport.New(long, "id", "text/plain", []byte("value"))
	named := transport.New("key", long, "text/plain", []byte("value"))
	headed := transport.New("key", "id", "text/plain", []byte("value"))
	headed.Headers = append(headed.Headers, transport.Header{Key: long, Value: []byte(long)})
	for _, limit := range []int{0, 100_000, 6_000, 1_000} {
		for name, m := range map[string]transport.Message{
			"value": big, "key": keyed, "event ID": named, "header": headed, "reason": numbered(1)[0],
		} {
			t.Run(fmt.Sprint(name, " ", limit), func(t *testing.T) {
				_, c, p := fake(t, 1)
				topic := Topic{Name: "dead", Partitions: 1}
				if limit > 0 {
					topic.Config = map[string]string{"max.message.bytes": fmt.Sprint(limit)}
				}
				if err := c.EnsureTopics(t.Context(), topic); err != nil {
					t.Fatal(err)
				}
				p.cfg.MaxMessageBytes = 2 << 20
				err := p.ProduceDeadLetter(t.Context(), "dead", m, transport.DeadLetter{
					Topic: "t", Partition: 3, Offset: 7, Stage: "s", Error: long, Attempts: 1, Time: time.Now(),
				})
				if err != nil {
					t.Fatal(err)
				}
				letters := slices.Collect(deadLetters(t, c))
				if len(letters) != 1 {
					t.Fatalf("%d dead letters", len(letters))
				}
				d := letters[0]
				sum := sha256.Sum256(m.Value)
				if d.Topic != "t" || d.Partition != 3 || d.Offset != 7 ||
					!strings.Contains(d.Error, "(cut, 3145728 bytes") ||
					d.LeftOut() && (d.Bytes != int64(len(m.Value)) || d.SHA256 != hex.EncodeToString(sum[:])) {
					t.Errorf("%+v", d)
				}
			})
		}
	}
}

// TestNoDeadLetterFits uses a topic that accepts no dead letter at all. The message is named in the log, and the stream
// goes on.
func TestNoDeadLetterFits(t *testing.T) {
	_, c, p := fake(t, 1, "t")
	if err := c.EnsureTopics(t.Context(), Topic{
		Name: "dead", Partitions: 1, Config: map[string]string{"max.message.bytes": "100"},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Produce(t.Context(), "t", numbered(2)...); err != nil {
		t.Fatal(err)
	}
	var seen pipelinetest.Recorder
	p.observer = &seen
	k := consume(t, c, ConsumerConfig{DeadLetters: p, DeadLetterTopic: "dead"})
	next(t, k).Settle(pipeline.Permanent(errors.New("bad")))
	next(t, k).Settle(nil)
	if err := k.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if lag, err := c.Lag(t.Context(), "g", "t"); err != nil || lag[0] != 0 {
		t.Errorf("lag %v, %v", lag, err)
	}
	if n := seen.Counted("producer dead", pipeline.EventLost); n != 1 {
		t.Errorf("observed %d lost dead letters", n)
	}
}

// TestValuesOfManyDeadLetters checks that a flood of dead letters becomes small, and recovers.
func TestValuesOfManyDeadLetters(t *testing.T) {
	var a allowance
	begin := time.Now()
	took := 0
	for range 3 * valueBurst {
		if a.take(begin) {
			took++
		}
	}
	if took != valueBurst {
		t.Errorf("%d values at once, want %d", took, valueBurst)
	}
	for i, want := range []bool{true, true, false} {
		if a.take(begin.Add(2*valueEvery)) != want {
			t.Errorf("two seconds later, value %d: want %v", i, want)
		}
	}

	_, c, p := fake(t, 1, "t", "dead")
	ms := numbered(1)
	if _, err := p.Produce(t.Context(), "t", ms...); err != nil {
		t.Fatal(err)
	}
	k := consume(t, c, ConsumerConfig{DeadLetters: p, DeadLetterTopic: "dead"})
	k.values = allowance{used: 2 * valueBurst, at: time.Now()}
	next(t, k).Settle(pipeline.Permanent(errors.New("bad")))
	if err := k.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := slices.Collect(deadLetters(t, c)); len(d) != 1 || d[0].Bytes != 1 || !d[0].LeftOut() {
		t.Fatalf("found %+v", d)
	}
	n, err := c.Replay(t.Context(), p, ReplayConfig{Topic: "dead", To: []string{"t"}})
	if got := strings.Join(stored(t, c, "t"), " "); n != 1 || err != nil || got != "0 0" {
		t.Errorf("replayed %d, %v; on the topic: %s", n, err, got)
	}
}
