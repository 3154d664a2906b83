package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/pipelinetest"
	"github.com/voxelstream/voxelstream/pipeline/transport/recordset"
)

// count returns how often text is in the log.
func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// logged returns a client of a broker and what it logs.
func logged(t *testing.T, addresses []string, o pipeline.Observer) (*Client, *lines) {
	t.Helper()
	l := &lines{}
	c, err := Open(Config{Brokers: addresses, Log: slog.New(slog.NewTextHandler(l, nil)), Observer: o})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, l
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(testenv.Patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

// settled waits until a group has settled everything on the topic "t".
func settled(t *testing.T, c *Client) {
	t.Helper()
	eventually(t, "a lag of 0", func() bool {
		lag, err := c.Lag(t.Context(), "g", "t")
		for _, n := range lag {
			if n != 0 {
				return false
			}
		}
		return err == nil
	})
}

// take reads and settles messages, and returns their values.
func take(t *testing.T, k *Consumer, n int) (values []string) {
	t.Helper()
	for range n {
		d := next(t, k)
		values = append(values, string(d.Value.Value))
		d.Settle(nil)
	}
	return values
}

func produce(t *testing.T, p *Producer, from, to int) {
	t.Helper()
	if _, err := p.Produce(t.Context(), "t", numbered(to)[from:]...); err != nil {
		t.Fatal(err)
	}
}

// numbers are the values of numbered messages.
func numbers(from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

// TestRecreated deletes the topic, once while a member runs and once between two starts, and creates it again with
// more messages. All of them must be consumed, and the lag must not be 0 before.
func TestRecreated(t *testing.T) {
	for _, alive := range []bool{true, false} {
		t.Run(fmt.Sprintf("alive %v", alive), func(t *testing.T) {
			broker, _, p := fake(t, 1, "t")
			c, l := logged(t, broker.ListenAddrs(), nil)
			produce(t, p, 0, 10)
			seen := &pipelinetest.Recorder{}
			k := consume(t, c, ConsumerConfig{Observer: seen})
			if got := take(t, k, 10); !slices.Equal(got, numbers(0, 10)) {
				t.Fatalf("read %v", got)
			}
			settled(t, c)
			commits, err := c.commits(t.Context(), "g", "t", 0)
			if err != nil {
				t.Fatal(err)
			}
			if !alive {
				if err := k.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			var failing atomic.Bool // otherwise a fetch might find the new log before it is long enough
			failing.Store(true)
			broker.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
				broker.KeepControl()
				return nil, errors.New("the connection is lost"), failing.Load()
			})
			if err := broker.DeleteTopic("t"); err != nil {
				t.Fatal(err)
			}
			if err := broker.CreateTopic("t", 1, nil); err != nil {
				t.Fatal(err)
			}
			produce(t, p, 100, 140)
			failing.Store(false)
			if !alive {
				// Brokers forget the offsets of a deleted topic, but not at once, and a member may commit again.
				was := commits[0]
				res, err := c.kafka.OffsetCommit(t.Context(), &kafkago.OffsetCommitRequest{
					GroupID: "g", GenerationID: -1, Topics: map[string][]kafkago.OffsetCommit{
						"t": {{Offset: 10, Metadata: was.log.metadata(10)}},
					},
				})
				if err != nil || res.Topics["t"][0].Error != nil {
					t.Fatal(err, res)
				}
				lag, err := c.Lag(t.Context(), "g", "t")
				for begin := time.Now(); is(err, kafkago.UnknownTopicOrPartition) && time.Since(begin) < testenv.Patience; {
					time.Sleep(metadataTTL / 10) // the client has not noticed the new topic
					lag, err = c.Lag(t.Context(), "g", "t")
				}
				if err != nil || lag[0] == 0 {
					t.Errorf("lag %v, %v", lag, err)
				}
				k = consume(t, c, ConsumerConfig{Observer: seen})
			}
			if got := take(t, k, 40); !slices.Equal(got, numbers(100, 140)) {
				t.Errorf("read %v", got)
			}
			settled(t, c)
			if n := seen.Counted("consumer t", pipeline.EventLogChanged); n != 1 || l.count("created again") != 1 {
				t.Errorf("reported %d times, logged %d times", n, l.count("created again"))
			}
		})
	}
}

// TestTruncated makes the broker report a diverged log, once to a running member and once to one that starts. The
// member must continue where the logs diverge.
func TestTruncated(t *testing.T) {
	for _, alive := range []bool{true, false} {
		t.Run(fmt.Sprintf("alive %v", alive), func(t *testing.T) {
			broker, _, p := fake(t, 1, "t")
			c, l := logged(t, broker.ListenAddrs(), nil)
			produce(t, p, 0, 10)
			seen := &pipelinetest.Recorder{}
			k := consume(t, c, ConsumerConfig{Observer: seen})
			take(t, k, 10)
			settled(t, c)
			if !alive {
				if err := k.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				divergeAtStart(broker, 6)
				if lag, err := c.Lag(t.Context(), "g", "t"); err != nil || lag[0] != 4 {
					t.Errorf("lag %v, %v", lag, err)
				}
				k = consume(t, c, ConsumerConfig{Observer: seen})
			} else {
				divergeFetch(broker, 6)
			}
			if got := take(t, k, 4); !slices.Equal(got, numbers(6, 10)) {
				t.Errorf("read %v", got)
			}
			if n := seen.Counted("consumer t", pipeline.EventLogChanged); n != 1 || l.count("truncated") != 1 {
				t.Errorf("reported %d times, logged %d times", n, l.count("truncated"))
			}
		})
	}
}

// TestDivergesAgain has a broker that reports again and again that the log differs at the very offset to read. The member
// says so and does not ask without a pause, and reads on when the broker answers.
func TestDivergesAgain(t *testing.T) {
	broker, _, p := fake(t, 1, "t")
	c, l := logged(t, broker.ListenAddrs(), nil)
	produce(t, p, 0, 10)
	k := consume(t, c, ConsumerConfig{})
	take(t, k, 10)
	settled(t, c)
	var healed atomic.Bool
	broker.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		if healed.Load() {
			return nil, nil, false
		}
		req := r.(*kmsg.FetchRequest)
		return diverging(req, req.Topics[0].Partitions[0].FetchOffset), nil, true
	})
	eventually(t, "a log line", func() bool { return l.count("in the changed log failed") >= 3 }) // the 1st, 2nd and 4th
	healed.Store(true)
	produce(t, p, 10, 12)
	if got := take(t, k, 2); !slices.Equal(got, numbers(10, 12)) {
		t.Errorf("read %v", got)
	}
}

// diverging answers a fetch request as after a truncation at an offset.
func diverging(req *kmsg.FetchRequest, end int64) *kmsg.FetchResponse {
	res := req.ResponseKind().(*kmsg.FetchResponse)
	topic := kmsg.NewFetchResponseTopic()
	topic.Topic, topic.TopicID = req.Topics[0].Topic, req.Topics[0].TopicID
	part := kmsg.NewFetchResponseTopicPartition()
	part.DivergingEpoch.Epoch, part.DivergingEpoch.EndOffset = 0, end
	topic.Partitions = append(topic.Partitions, part)
	res.Topics = append(res.Topics, topic)
	return res
}

// divergeFetch makes a broker answer fetches behind an offset as after a truncation, until one begins at the offset. kfake
// does not compare leader epochs.
func divergeFetch(broker *kfake.Cluster, end int64) {
	done := false
	broker.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		req := r.(*kmsg.FetchRequest)
		p := req.Topics[0].Partitions[0]
		done = done || p.FetchOffset <= end
		if done || p.LastFetchedEpoch < 0 {
			return nil, nil, false
		}
		return diverging(req, end), nil, true
	})
}

// divergeAtStart makes a broker answer that the leader epoch of a commit ends at an offset.
func divergeAtStart(broker *kfake.Cluster, end int64) {
	broker.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		req := r.(*kmsg.OffsetForLeaderEpochRequest)
		res := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		topic := kmsg.NewOffsetForLeaderEpochResponseTopic()
		topic.Topic = "t"
		part := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
		part.LeaderEpoch, part.EndOffset = req.Topics[0].Partitions[0].LeaderEpoch, end
		topic.Partitions = append(topic.Partitions, part)
		res.Topics = append(res.Topics, topic)
		return res, nil, true
	})
}

// TestDeleted checks that a member reports that its topic was deleted, and continues when it is created again.
func TestDeleted(t *testing.T) {
	broker, _, p := fake(t, 1, "t")
	c, l := logged(t, broker.ListenAddrs(), nil)
	produce(t, p, 0, 3)
	k := consume(t, c, ConsumerConfig{})
	take(t, k, 3)
	settled(t, c)
	if err := k.Joined(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := broker.DeleteTopic("t"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a reason", func() bool {
		err := k.Joined(t.Context())
		return err != nil && strings.Contains(err.Error(), "topic t does not exist") && l.count("does not exist") > 0
	})
	if err := broker.CreateTopic("t", 1, nil); err != nil {
		t.Fatal(err)
	}
	produce(t, p, 10, 20)
	if got := take(t, k, 10); !slices.Equal(got, numbers(10, 20)) {
		t.Errorf("read %v", got)
	}
	eventually(t, "no reason", func() bool { return k.Joined(t.Context()) == nil })
}

// transactional returns a producer of transactions on partition 0 of the topic "t".
func transactional(t *testing.T, addresses []string, id string) *kgo.Client {
	t.Helper()
	return transactionalOn(t, addresses, id, "t")
}

func transactionalOn(t *testing.T, addresses []string, id, topic string) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addresses...), kgo.TransactionalID(id), kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// begin begins a transaction with numbered messages.
func begin(t *testing.T, cl *kgo.Client, from, to int) {
	t.Helper()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for i := from; i < to; i++ {
		r := &kgo.Record{Key: []byte("key"), Value: fmt.Append(nil, i)}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func end(t *testing.T, cl *kgo.Client, commit kgo.TransactionEndTry) {
	t.Helper()
	if err := cl.EndTransaction(t.Context(), commit); err != nil {
		t.Fatal(err)
	}
}

// TestTransactions checks that records of aborted transactions and control records are not delivered, that they count as
// consumed at the end of a log, and that an open transaction is waited for.
func TestTransactions(t *testing.T) {
	broker, _, p := fake(t, 1, "t", "dead")
	c, l := logged(t, broker.ListenAddrs(), nil)
	a, b := transactional(t, broker.ListenAddrs(), "a"), transactional(t, broker.ListenAddrs(), "b")
	begin(t, a, 0, 3)
	end(t, a, kgo.TryCommit)
	begin(t, a, 100, 105)
	begin(t, b, 3, 5) // at the same time
	end(t, b, kgo.TryCommit)
	end(t, a, kgo.TryAbort)
	produce(t, p, 5, 6)
	begin(t, a, 6, 8)
	end(t, a, kgo.TryCommit)
	begin(t, a, 110, 112)
	end(t, a, kgo.TryAbort)
	k := consume(t, c, ConsumerConfig{DeadLetters: p, DeadLetterTopic: "dead"})
	if got := take(t, k, 8); !slices.Equal(got, numbers(0, 8)) {
		t.Errorf("read %v", got)
	}
	settled(t, c)
	last, err := c.offsets(t.Context(), "t", highWatermark, 0)
	if err != nil {
		t.Fatal(err)
	}
	if at, err := committed(t, c); err != nil || at[0] != last[0] {
		t.Errorf("committed %d, %v; the log ends at %d", at[0], err, last[0])
	}
	if ids := stored(t, c, "t"); len(ids) != 8 {
		t.Errorf("a reader without a group has read %d messages", len(ids))
	}
	if dead := stored(t, c, "dead"); len(dead) > 0 {
		t.Errorf("dead letters %v", dead)
	}
	// Offset 3 is the end of the first transaction. Offset 9 holds the first message that was not aborted after it.
	fetched := func(offset int64, size int, want int64) {
		t.Helper()
		got := int64(-1)
		ms, err := c.Fetch(t.Context(), "t", 0, offset, size)
		if len(ms) > 0 {
			got = ms[0].Offset
		}
		if err != nil || got != want {
			t.Errorf("fetch at %d: found offset %d, %v, want %d", offset, got, err, want)
		}
	}
	fetched(2, 1, 2)
	fetched(3, 1<<20, 9)
	fetched(4, 1<<20, 9)
	fetched(last[0]-1, 1, -1)

	var fetches atomic.Int64
	broker.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		fetches.Add(1)
		return nil, nil, false
	})
	begin(t, b, 8, 9)
	produce(t, p, 9, 10)
	began := time.Now()
	before := fetches.Load()
	eventually(t, "a line about the transaction", func() bool { return l.count("ends its transaction") > 0 })
	if n, most := fetches.Load()-before, int64(time.Since(began)/readerWait)+5; n > most {
		t.Errorf("%d fetches while it waited, want at most %d", n, most)
	}
	if l.count("producer_id=-1") > 0 {
		t.Error("the producer is not named")
	}
	settled(t, c)
	end(t, b, kgo.TryCommit)
	if got := take(t, k, 2); !slices.Equal(got, numbers(8, 10)) {
		t.Errorf("read %v", got)
	}
	settled(t, c)
	if n := l.count("ends its transaction"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	produce(t, p, 10, 11) // after two messages and the end of the transaction
	fetched(last[0]+2, 1, last[0]+3)
}

// TestOvertaken checks that a running consumer reports at once what retention deletes before it is read.
func TestOvertaken(t *testing.T) {
	broker, c, p := fake(t, 1, "t")
	produce(t, p, 0, 1)
	seen := &pipelinetest.Recorder{}
	k := consume(t, c, ConsumerConfig{Observer: seen})
	take(t, k, 1)
	settled(t, c)
	// While fetches fail, messages come and go.
	var failing atomic.Bool
	failing.Store(true)
	broker.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		return nil, errors.New("the connection is lost"), failing.Load()
	})
	produce(t, p, 1, 8)
	if err := broker.DeleteRecords("t", 0, 8); err != nil {
		t.Fatal(err)
	}
	failing.Store(false)
	eventually(t, "an alarm", func() bool { return seen.Counted("consumer t", pipeline.EventLost) == 7 })
	produce(t, p, 8, 9)
	if got := take(t, k, 1); got[0] != "8" {
		t.Errorf("read %v", got)
	}
	settled(t, c)
	if n := seen.Counted("consumer t", pipeline.EventLost); n != 7 || k.Stats().Lost.Load() != 7 {
		t.Errorf("%d lost, want 7", n)
	}
}

// TestCompacted checks that a compacted topic is refused, and that a client without the right to see that is warned.
func TestCompacted(t *testing.T) {
	broker, c, _ := fake(t, 1)
	for name, policy := range map[string]string{"a": "compact", "b": "compact,delete", "c": "delete"} {
		if err := broker.CreateTopic(name, 1, map[string]string{"cleanup.policy": policy}); err != nil {
			t.Fatal(err)
		}
		err := c.EnsureTopics(t.Context(), Topic{Name: name, Partitions: 1, Replication: 1})
		switch {
		case policy == "delete" && err != nil:
			t.Error(err)
		case policy != "delete" &&
			(err == nil || !strings.Contains(err.Error(), "topic "+name+": found cleanup.policy="+policy)):
			t.Errorf("%s: %v", policy, err)
		}
	}
	broker.ControlKey(int16(kmsg.DescribeConfigs), func(r kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		res := r.(*kmsg.DescribeConfigsRequest).ResponseKind().(*kmsg.DescribeConfigsResponse)
		resource := kmsg.NewDescribeConfigsResponseResource()
		resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, "a"
		resource.ErrorCode = kerr.TopicAuthorizationFailed.Code
		res.Resources = append(res.Resources, resource)
		return res, nil, true
	})
	warned, l := logged(t, broker.ListenAddrs(), nil)
	err := warned.EnsureTopics(t.Context(), Topic{Name: "a", Partitions: 1, Replication: 1})
	if err != nil || l.count("settings of a topic cannot be checked") != 1 {
		t.Errorf("%v, warned %d times", err, l.count("cannot be checked"))
	}
}

// TestDefaults checks what is requested for a topic without a replication factor, and the error for brokers before 2.4.
func TestDefaults(t *testing.T) {
	broker, c, _ := fake(t, 1)
	var asked atomic.Int64
	broker.ControlKey(int16(kmsg.CreateTopics), func(r kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		asked.Store(int64(r.(*kmsg.CreateTopicsRequest).Topics[0].ReplicationFactor))
		return nil, nil, false
	})
	if err := c.EnsureTopics(t.Context(), Topic{Name: "t", Partitions: 3}); err != nil {
		t.Fatal(err)
	}
	if asked.Load() != -1 {
		t.Errorf("requested a replication factor of %d", asked.Load())
	}
	broker.ControlKey(int16(kmsg.ApiVersions), func(r kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		res := r.(*kmsg.ApiVersionsRequest).ResponseKind().(*kmsg.ApiVersionsResponse)
		for key, newest := range map[kmsg.Key]int16{
			kmsg.ApiVersions: 0, kmsg.Metadata: 8, kmsg.CreateTopics: 3, kmsg.ListOffsets: 5, kmsg.DescribeConfigs: 2,
		} {
			k := kmsg.NewApiVersionsResponseApiKey()
			k.ApiKey, k.MaxVersion = int16(key), newest
			res.ApiKeys = append(res.ApiKeys, k)
		}
		return res, nil, true
	})
	old, _ := logged(t, broker.ListenAddrs(), nil)
	err := old.EnsureTopics(t.Context(), Topic{Name: "u", Partitions: 3})
	if err == nil || !strings.Contains(err.Error(), "kafka.replication") {
		t.Errorf("%v", err)
	}
	if err := old.EnsureTopics(t.Context(), Topic{Name: "u", Partitions: 3, Replication: 1}); err != nil {
		t.Error(err)
	}
}

// TestLeaderMoves moves leaders around while a member reads. Connections must not accumulate.
func TestLeaderMoves(t *testing.T) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(4, "t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	seen := &pipelinetest.Recorder{}
	c, _ := logged(t, broker.ListenAddrs(), seen)
	p, err := NewProducer(c, ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close(context.Background()) })
	k := consume(t, c, ConsumerConfig{})
	const rounds = 12
	for i := range rounds {
		for part := range int32(4) {
			if err := broker.MoveTopicPartition("t", part, int32(i)%3); err != nil {
				t.Fatal(err)
			}
		}
		produce(t, p, i*10, i*10+10)
		if got := take(t, k, 10); !slices.Equal(got, numbers(i*10, i*10+10)) {
			t.Errorf("read %v", got)
		}
	}
	// Every broker has led every partition: two connections for each, and some for the rest. If a move leaked one, there
	// would be 48 more.
	if most := slices.Max(seen.Levels("kafka", pipeline.LevelConnections)); most > 40 {
		t.Errorf("%d connections", most)
	}
}

// TestLineage checks where consumption continues after leader epochs were cut off.
func TestLineage(t *testing.T) {
	l := &lineage{id: topicID{1, 2, 3}}
	l.read([]recordset.Epoch{{Epoch: 1, From: 0}, {Epoch: 3, From: 100}})
	l.read([]recordset.Epoch{{Epoch: 3, From: 120}, {Epoch: 4, From: 200}})
	if l.epoch() != 4 || l.upTo(200).epoch() != 3 || l.upTo(100).epoch() != 1 || l.upTo(0).epoch() != noEpoch {
		t.Errorf("epochs %v", l.epochs)
	}
	for _, c := range []struct {
		epoch    int32
		end, to  int64
		whatever string
	}{
		{4, 230, 230, "the newest epoch was cut"},
		{3, 180, 180, "the newest epoch is gone"},
		{3, 500, 200, "the other leader has more of an epoch than was read: it must not be skipped"},
		{2, 90, 90, "an epoch that was never seen"},
		{2, 150, 100, "an epoch that was never seen, with more"},
		{noEpoch, 0, 0, "nothing in common"},
	} {
		if to := l.join(&divergence{epoch: c.epoch, end: c.end}, 250); to != c.to {
			t.Errorf("%s: continue at %d, want %d", c.whatever, to, c.to)
		}
	}
	text := l.metadata(150)
	if want := "log AQIDAAAAAAAAAAAAAAAAAA 1:0 3:100"; text != want {
		t.Errorf("metadata %q, want %q", text, want)
	}
	if back := parseLineage(text); back == nil || back.id != l.id || !reflect.DeepEqual(back.epochs, l.upTo(150).epochs) {
		t.Errorf("parsed %+v", back)
	}
	l.skip()
	if l.epoch() != noEpoch {
		t.Error("the epoch is known behind a gap")
	}
	for i := range int32(50) {
		l.read([]recordset.Epoch{{Epoch: 5 + i, From: 300 + int64(i)}})
	}
	if n := len(l.epochs); n != maxEpochs || l.epoch() != 54 || parseLineage(l.metadata(1000)) == nil {
		t.Errorf("%d epochs, the last is %d", n, l.epoch())
	}
	for _, bad := range []string{
		"", "log", "log ", "someone else's", "log AQID", "log " + strings.Repeat("A", 23), "log AQIDAAAAAAAAAAAAAAAAAA 1",
		"log AQIDAAAAAAAAAAAAAAAAAA 1:", "log AQIDAAAAAAAAAAAAAAAAAA -1:3", "log AQIDAAAAAAAAAAAAAAAAAA 3:3 2:4",
		"log AQIDAAAAAAAAAAAAAAAAAA" + strings.Repeat(" 1:1", 100), "log AQIDAAAAAAAAAAAAAAAAAA 1:99999999999999999999",
	} {
		if parseLineage(bad) != nil {
			t.Errorf("accepted %q", bad)
		}
	}
}

// TestFetchResponse decodes responses of each version of the fetch request, as another implementation encodes them, and
// damaged ones.
func TestFetchResponse(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 22))
	c := &Client{}
	for version := int16(minFetch); version <= idFetch; version++ {
		r := &fetchRequest{location: at("topic", 3, 17), client: c, size: 1000, limit: 1 << 20}
		ranges := versions{kmsg.Fetch: {0, version}}
		if version >= idFetch {
			r.id = topicID{9}
		}
		raw := fetchAnswer(version)
		m, err := r.exchange(&wire{in: bytes.NewReader(raw)}, ranges)
		if err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
		got := m.(*fetchResponse)
		want := &fetchResponse{
			high: 100, stable: 90, raw: make([]byte, 20),
			aborted: []recordset.Aborted{{Producer: 7, First: 12}, {Producer: 8, First: 13}},
		}
		if version >= epochFetch {
			want.diverged = &divergence{epoch: 5, end: 15}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("version %d: %+v, want %+v", version, got, want)
		}
		for range 3000 {
			bad := slices.Clone(raw)
			for range 1 + rng.IntN(3) {
				bad[4+rng.IntN(len(bad)-4)] = byte(rng.Uint32())
			}
			if rng.IntN(3) == 0 {
				bad = bad[:rng.IntN(len(bad))]
			}
			_, _ = r.exchange(&wire{in: bytes.NewReader(bad)}, ranges)
		}
	}
	r := &fetchRequest{location: at("topic", 3, 17), client: c, size: 1000, limit: 1 << 20}
	if _, err := r.exchange(&wire{}, versions{kmsg.Fetch: {idFetch, 18}}); err == nil {
		t.Error("accepted a broker without a known version")
	}
}

// wire is a connection with a prepared answer.
type wire struct{ in io.Reader }

func (w *wire) Read(b []byte) (int, error)  { return w.in.Read(b) }
func (w *wire) Write(b []byte) (int, error) { return len(b), nil }

// fetchAnswer is a response in a version, with its size.
func fetchAnswer(version int16) []byte {
	res := kmsg.NewPtrFetchResponse()
	res.Version = version
	topic := kmsg.NewFetchResponseTopic()
	topic.Topic, topic.TopicID = "topic", topicID{9}
	part := kmsg.NewFetchResponseTopicPartition()
	part.Partition, part.HighWatermark, part.LastStableOffset = 3, 100, 90
	for i := range int64(2) {
		a := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
		a.ProducerID, a.FirstOffset = 7+i, 12+i
		part.AbortedTransactions = append(part.AbortedTransactions, a)
	}
	part.RecordBatches = make([]byte, 20)
	part.DivergingEpoch.Epoch, part.DivergingEpoch.EndOffset = 5, 15
	part.CurrentLeader.LeaderID = 4
	topic.Partitions = append(topic.Partitions, part)
	res.Topics = append(res.Topics, topic)
	header := []byte{0, 0, 0, 0, 0, 0, 0, correlation}
	if version >= epochFetch {
		header = append(header, 0) // tags
	}
	out := res.AppendTo(header)
	n := len(out) - 4
	copy(out, []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	return out
}

// TestLogRetry checks the line about something that is tried again.
func TestLogRetry(t *testing.T) {
	c, log := logged(t, []string{"localhost:9092"}, nil)
	for failures := 1; failures <= 9; failures++ {
		c.logRetry("produce to volumes/0", retrying, failures, errors.New("no space"))
	}
	if n := log.count(`msg="kafka: produce to volumes/0 failed, retrying" failures=`); n != 4 {
		t.Errorf("logged %d times, want 1, 2, 4 and 8", n)
	}
}

// TestCreatedTopic: a topic that is created is logged once, and one that exists is not.
func TestCreatedTopic(t *testing.T) {
	broker, _, _ := fake(t, 1)
	c, log := logged(t, broker.ListenAddrs(), nil)
	for range 2 {
		if err := c.EnsureTopics(t.Context(), Topic{Name: "volums", Partitions: 3, Replication: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if n := log.count(`msg="created topic" topic=volums partitions=3 replication=1`); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
}
