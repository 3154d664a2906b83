package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
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
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// The tests in this file check that each event is written once. Those that need no fault of the broker also run against
// the broker at $VOXELSTREAM_TEST_BROKER, for example Apache Kafka.

// writer is a process that writes classifications.
type writer struct {
	*Deduper
	client *Client
	seen   *pipelinetest.Recorder
	log    *logBuffer
}

// logBuffer is a log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// cluster is a broker with a topic.
type cluster struct {
	t     *testing.T
	addr  []string
	fake  *kfake.Cluster // nil for a real one
	topic string
	*writer
}

func newCluster(t *testing.T, partitions int) *cluster {
	t.Helper()
	cl := &cluster{t: t, topic: fmt.Sprintf("out-%d", time.Now().UnixNano())}
	if addr := os.Getenv("VOXELSTREAM_TEST_BROKER"); addr != "" {
		cl.addr = []string{addr}
	} else {
		cl.fakeBroker()
	}
	cl.writer = cl.open(nil)
	if err := cl.client.EnsureTopics(t.Context(), Topic{Name: cl.topic, Partitions: partitions}); err != nil {
		t.Fatal(err)
	}
	return cl
}

func (cl *cluster) fakeBroker() {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(cl.t.TempDir()))
	if err != nil {
		cl.t.Fatal(err)
	}
	cl.t.Cleanup(broker.Close)
	cl.addr, cl.fake = broker.ListenAddrs(), broker
}

// onlyFake skips a test that makes the broker misbehave.
func (cl *cluster) onlyFake() {
	if cl.fake == nil {
		cl.t.Skip("needs a broker that misbehaves")
	}
}

// open returns another process that writes to the topic.
func (cl *cluster) open(dial dialFunc) *writer {
	cl.t.Helper()
	w := &writer{seen: &pipelinetest.Recorder{}, log: &logBuffer{}}
	c, err := Open(Config{
		Brokers: cl.addr, Dial: dial, Observer: w.seen, Log: slog.New(slog.NewTextHandler(w.log, nil)),
	})
	if err != nil {
		cl.t.Fatal(err)
	}
	cl.t.Cleanup(c.Close)
	p, err := NewProducer(c, ProducerConfig{})
	if err != nil {
		cl.t.Fatal(err)
	}
	cl.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = p.Close(ctx)
	})
	w.client, w.Deduper = c, NewDeduper(p, cl.topic, 0)
	w.Sources = "group/volumes"
	return w
}

// events returns classifications from..to-1 of the volumes of a partition, of four streams.
func events(partition, from, to int) (ms []transport.Message) {
	for i := from; i < to; i++ {
		m := transport.New(fmt.Sprintf("s%d", i%4), fmt.Sprintf("s%d/%d@m", i%4, i), "text/plain", fmt.Appendf(nil, "%d", i))
		m.SetHeader(transport.HeaderVolume, fmt.Sprintf("%d/%d", partition, i))
		ms = append(ms, m)
	}
	return ms
}

func (w *writer) write(t *testing.T, ms []transport.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	if err := w.Write(ctx, ms); err != nil {
		t.Fatal(err)
	}
}

// exactly checks that the topic holds each event from 0 to n-1 once, those of each stream in order.
func (cl *cluster) exactly(n int) {
	cl.t.Helper()
	count, last := map[string]int{}, map[string]int{}
	moved := map[string]map[int]bool{}
	for m, err := range cl.client.Records(cl.t.Context(), cl.topic, false) {
		if err != nil {
			cl.t.Fatal(err)
		}
		count[m.EventID()]++
		var i int
		_, _ = fmt.Sscan(string(m.Value), &i)
		key := fmt.Sprintf("%s in %d", m.Key, m.Partition)
		if before, ok := last[key]; ok && i < before {
			cl.t.Errorf("%s: %d after %d", key, i, before)
		}
		last[key] = i
		if moved[string(m.Key)] == nil {
			moved[string(m.Key)] = map[int]bool{}
		}
		moved[string(m.Key)][m.Partition] = true
	}
	twice := 0
	for _, c := range count {
		if c > 1 {
			twice++
		}
	}
	if len(count) != n || twice > 0 {
		cl.t.Errorf("found %d events, %d of them more than once; want %d, each once", len(count), twice, n)
	}
}

// gate delays the produce requests of a process, like a slow network, or like a process that is frozen after it has
// checked what is stored.
type gate struct {
	mu     sync.Mutex
	closed chan struct{} // nil while it is open
	held   chan struct{} // has a token when a request is held
}

func newGate() *gate { return &gate{held: make(chan struct{}, 1)} }

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.closed)
	g.closed = nil
}

func (g *gate) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	return &gatedConn{c, g}, err
}

type gatedConn struct {
	net.Conn
	g *gate
}

// Write holds requests with the key of produce, 0.
func (c *gatedConn) Write(b []byte) (int, error) {
	c.g.mu.Lock()
	closed := c.g.closed
	c.g.mu.Unlock()
	if closed != nil && len(b) > 8 && b[4] == 0 && b[5] == byte(kmsg.Produce) {
		select {
		case c.g.held <- struct{}{}:
		default:
		}
		<-closed
	}
	return c.Conn.Write(b)
}

// TestLateBatch takes a partition over while a batch of the old owner is on its way. The broker must refuse the batch,
// wherever it goes, and the old owner must neither fail nor store anything twice.
func TestLateBatch(t *testing.T) {
	cl := newCluster(t, 4)
	g := newGate()
	old := cl.open(g.dial)
	old.write(t, events(0, 0, 8))
	g.shut()
	written := make(chan error, 1)
	go func() { written <- old.Write(t.Context(), events(0, 8, 40)) }()
	select {
	case <-g.held:
	case <-time.After(testenv.Patience):
		t.Fatal("no request was held")
	}
	if err := cl.Own(t.Context(), "group/volumes/0"); err != nil {
		t.Fatal(err)
	}
	cl.write(t, events(0, 0, 40))
	g.open()
	if err := <-written; err != nil {
		t.Errorf("the old owner: %v", err)
	}
	cl.exactly(40)
	if n := old.seen.Counted("producer "+cl.topic, pipeline.EventFenced); n == 0 {
		t.Error("the broker refused nothing")
	}
	// Whoever is right, the stream goes on.
	cl.write(t, events(0, 40, 60))
	old.write(t, events(0, 40, 80))
	cl.write(t, events(0, 60, 100))
	cl.exactly(100)
}

// TestNewestBehindMarkers: the last message of a topic has a time, however many claims were made after it.
func TestNewestBehindMarkers(t *testing.T) {
	cl := newCluster(t, 1)
	cl.write(t, events(0, 0, 8))
	for i := range 5 {
		if err := cl.Own(t.Context(), fmt.Sprintf("group/volumes/%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	state, err := cl.client.DescribeTopics(t.Context(), cl.topic)
	if err != nil {
		t.Fatal(err)
	}
	p := state.Topics[0].Partitions[0]
	if p.End <= 8 {
		t.Fatalf("the partition ends at %d: the claims have left no markers", p.End)
	}
	if p.Newest.IsZero() || p.Newest.Before(p.Oldest) {
		t.Errorf("found messages from %v to %v", p.Oldest, p.Newest)
	}
}

// TestTwoOwners lets three processes write the same events at the same time, each in order, as if all owned the
// partition. None may fail, and each event must be stored once.
func TestTwoOwners(t *testing.T) {
	cl := newCluster(t, 3)
	var wg sync.WaitGroup
	for range 3 {
		w := cl.open(nil)
		wg.Go(func() {
			for i := 0; i < 200; i += 20 {
				ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
				if err := w.Write(ctx, events(0, i, i+20)); err != nil {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	cl.exactly(200)
}

// TestOwnHoldsUpNobody claims a partition while the transaction of the previous owner blocks the claim. Meanwhile,
// other partitions must be written.
func TestOwnHoldsUpNobody(t *testing.T) {
	cl := newCluster(t, 2)
	cl.onlyFake()
	cl.write(t, events(0, 0, 8))
	asked := make(chan struct{}, 1)
	var mu sync.Mutex
	blocked := true
	cl.fake.ControlKey(int16(kmsg.InitProducerID), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cl.fake.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		id := r.(*kmsg.InitProducerIDRequest).TransactionalID
		if !blocked || id == nil || !strings.HasPrefix(*id, "group/volumes/1/") {
			return nil, nil, false
		}
		select {
		case asked <- struct{}{}:
		default:
		}
		res := r.ResponseKind().(*kmsg.InitProducerIDResponse)
		res.ErrorCode = kerr.ConcurrentTransactions.Code
		return res, nil, true
	})
	owned := make(chan error, 1)
	go func() { owned <- cl.Own(t.Context(), "group/volumes/1") }()
	<-asked
	cl.write(t, events(0, 8, 40))
	mu.Lock()
	blocked = false
	mu.Unlock()
	if err := <-owned; err != nil {
		t.Error(err)
	}
	cl.write(t, events(1, 40, 60))
	cl.exactly(60)
}

// TestNoClaims refuses transactional IDs, as ACLs do, or has no coordinator. The stream must continue, with a
// warning.
func TestNoClaims(t *testing.T) {
	cl := newCluster(t, 2)
	cl.onlyFake()
	cl.fake.ControlKey(int16(kmsg.InitProducerID), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cl.fake.KeepControl()
		if r.(*kmsg.InitProducerIDRequest).TransactionalID == nil {
			return nil, nil, false
		}
		res := r.ResponseKind().(*kmsg.InitProducerIDResponse)
		res.ErrorCode = kerr.TransactionalIDAuthorizationFailed.Code
		return res, nil, true
	})
	for i := range 3 {
		if err := cl.Own(t.Context(), fmt.Sprintf("group/volumes/%d", i)); err != nil {
			t.Fatal(err)
		}
		cl.write(t, events(i, 20*i, 20*i+20))
	}
	cl.open(nil).write(t, events(1, 0, 60))
	cl.exactly(60)
	if n := strings.Count(cl.log.String(), "without protection"); n != 1 {
		t.Errorf("warned %d times:\n%v", n, cl.log)
	}
}

// TestPartitionsAdded adds partitions to the topic while a process writes, starts another process, and lets both
// continue. Keys move to other partitions, and nothing may be written twice.
func TestPartitionsAdded(t *testing.T) {
	for _, sources := range []string{"group/volumes", ""} {
		t.Run("sources "+sources, func(t *testing.T) {
			cl := newCluster(t, 2)
			old := cl.open(nil)
			old.Sources, cl.Sources = sources, sources
			old.write(t, events(0, 0, 400))
			cl.addPartitions(7)
			fresh := cl.open(nil) // it has only ever seen seven
			fresh.Sources = sources
			fresh.write(t, events(0, 0, 420))
			old.write(t, events(0, 0, 440))
			time.Sleep(countEvery + metadataTTL) // until old has noticed
			old.write(t, events(0, 0, 460))
			fresh.write(t, events(0, 0, 480))
			cl.exactly(480)
			found, err := cl.client.ends(t.Context(), cl.topic, 2, 3, 4, 5, 6)
			if err != nil {
				t.Fatal(err)
			}
			if sum := found[2] + found[3] + found[4] + found[5] + found[6]; sum < 10 {
				t.Errorf("%d messages in the new partitions", sum)
			}
		})
	}
}

// TestCountedBefore lets a reader that counted the partitions before some were added read after one that knows them. What
// lies in the new ones must be remembered.
func TestCountedBefore(t *testing.T) {
	cl := newCluster(t, 1)
	cl.write(t, events(0, 0, 100))
	cl.addPartitions(7)
	waitFor(t, func() bool {
		queues, err := cl.p.queuesSince(t.Context(), cl.topic, time.Now())
		return err == nil && len(queues) == 7
	})
	cl.write(t, events(0, 100, 200))
	if err := cl.readAll(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	cl.write(t, events(0, 0, 200))
	cl.exactly(200)
}

// TestForgottenWhileRead has a partition that is found to be another log while a piece of the former one is on its way.
// The piece must not count as read.
func TestForgottenWhileRead(t *testing.T) {
	cl := newCluster(t, 1)
	cl.write(t, events(0, 0, 10))
	fresh := cl.open(nil)
	if err := fresh.readAll(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	s := fresh.parts[0]
	fresh.mu.Lock()
	before := s.resets
	fresh.recreated(s)
	fresh.mu.Unlock()
	if err := fresh.step(t.Context(), 0, s, 5, before); err != nil {
		t.Fatal(err)
	}
	if s.next != unread || s.ids.Len() != 0 {
		t.Errorf("found the next offset %d and %d events, want none", s.next, s.ids.Len())
	}
	fresh.write(t, events(0, 0, 10))
	cl.exactly(10)
}

// TestCloseWhileReading closes a producer while its process waits for the transaction of another program. Nothing remains
// to be sent, so that is not an error.
func TestCloseWhileReading(t *testing.T) {
	cl := newCluster(t, 1)
	if err := cl.Own(t.Context(), "group/volumes/0"); err != nil {
		t.Fatal(err)
	}
	other := transactionalOn(t, cl.addr, fmt.Sprint("other-", cl.topic), cl.topic)
	begin(t, other, 0, 1)
	cl.write(t, events(0, 0, 1))
	ctx, cancel := context.WithTimeout(t.Context(), requestTimeout/2)
	defer cancel()
	if err := cl.p.Close(ctx); err != nil {
		t.Error(err)
	}
	end(t, other, kgo.TryAbort)
}

func (cl *cluster) addPartitions(n int) {
	cl.t.Helper()
	res, err := cl.client.kafka.CreatePartitions(cl.t.Context(), &kafkago.CreatePartitionsRequest{
		Topics: []kafkago.TopicPartitionsConfig{{Name: cl.topic, Count: int32(n)}},
	})
	if err == nil {
		err = res.Errors[cl.topic]
	}
	if err != nil {
		cl.t.Fatal(err)
	}
}

func (cl *cluster) deleteTopic() {
	cl.t.Helper()
	res, err := cl.client.kafka.DeleteTopics(cl.t.Context(), &kafkago.DeleteTopicsRequest{Topics: []string{cl.topic}})
	if err == nil {
		err = res.Errors[cl.topic]
	}
	if err != nil {
		cl.t.Fatal(err)
	}
}

// TestTopicCreatedAgain deletes the topic and creates it with fewer partitions while a process writes. The process
// must continue, and write what the new topic does not hold.
func TestTopicCreatedAgain(t *testing.T) {
	for _, sources := range []string{"group/volumes", ""} {
		t.Run("sources "+sources, func(t *testing.T) {
			cl := newCluster(t, 6)
			w := cl.open(nil)
			w.Sources = sources
			w.write(t, events(0, 0, 100))
			cl.deleteTopic()
			written := make(chan error, 1)
			go func() { written <- w.Write(t.Context(), events(0, 100, 200)) }()
			time.Sleep(300 * time.Millisecond)
			if err := cl.client.EnsureTopics(t.Context(), Topic{Name: cl.topic, Partitions: 2}); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-written:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(testenv.Patience):
				t.Fatalf("stuck:\n%v", w.log)
			}
			w.write(t, events(0, 200, 300))
			n := len(stored(t, cl.client, cl.topic))
			if n != 200 {
				t.Errorf("found %d events, want the 200 written since", n)
			}
		})
	}
}

// TestTopicGone deletes the topic for good. The producer says so, and ends when it is closed.
func TestTopicGone(t *testing.T) {
	cl := newCluster(t, 1)
	w := cl.open(nil)
	w.Sources = ""
	w.write(t, events(0, 0, 10))
	cl.deleteTopic()
	written := make(chan error, 1)
	go func() {
		_, err := w.p.Produce(context.Background(), cl.topic, events(0, 10, 20)...)
		written <- err
	}()
	time.Sleep(2 * time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := w.p.Close(ctx); err == nil {
		t.Error("closed with unsent messages without an error")
	}
	select {
	case err := <-written:
		if err == nil {
			t.Error("written to a topic that does not exist")
		}
	case <-time.After(testenv.Patience):
		t.Fatal("stuck")
	}
	if !strings.Contains(w.log.String(), "does not exist") {
		t.Errorf("the log says nothing:\n%v", w.log)
	}
}

// TestDeadLettersOnce fails a message, kills the consumer before it commits, and lets the next one fail it again: one
// dead letter. When the message is sent back and fails again, there is a second one.
func TestDeadLettersOnce(t *testing.T) {
	_, c, p := fake(t, 1, "t", "dead")
	if _, err := p.Produce(t.Context(), "t", numbered(1)...); err != nil {
		t.Fatal(err)
	}
	failAt := func(p *Producer, offset int64) {
		t.Helper()
		k := &Consumer{client: c, cfg: ConsumerConfig{Group: "g", Topic: "t", DeadLetters: p, DeadLetterTopic: "dead"}}
		k.ctx, k.observer, k.failed = t.Context(), pipeline.Unobserved, make(chan struct{})
		k.dead = newDeadLetterWriter(k.cfg)
		o := &ownership{
			k: k, tracker: pipeline.NewOffsetTracker(10), log: &lineage{}, settled: make(chan struct{}, 1),
		}
		if err := o.tracker.Add(t.Context(), offset); err != nil {
			t.Fatal(err)
		}
		o.inFlight.Add(1)
		o.deadLetter(offset, nil, &pipeline.Failure{Stage: "decode", Attempts: 1, Err: errors.New("bad")})
		select {
		case <-o.settled:
		case <-time.After(testenv.Patience):
			t.Fatal("stuck")
		}
	}
	for range 2 {
		other, err := NewProducer(c, ProducerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		failAt(other, 0)
		_ = other.Close(t.Context())
	}
	if got := slices.Collect(deadLetters(t, c)); len(got) != 1 {
		t.Errorf("found %d dead letters of one message", len(got))
	}
	if n, err := c.Replay(t.Context(), p, ReplayConfig{Topic: "dead", To: []string{"t"}}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	failAt(p, 1)
	if got := slices.Collect(deadLetters(t, c)); len(got) != 2 {
		t.Errorf("found %d dead letters of a message that failed again", len(got))
	}
}

// TestTimestamps has a broker whose clock differs. It refuses the time of this machine, and says what it accepts.
func TestTimestamps(t *testing.T) {
	for name, reason := range map[string]string{
		"with a range":    "Timestamp %d of message with offset 0 is out of range. The timestamp should be within [%d, %d]",
		"without a range": "no",
	} {
		t.Run(name, func(t *testing.T) {
			cl := newCluster(t, 1)
			cl.onlyFake()
			refused := 0
			cl.fake.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
				cl.fake.KeepControl()
				req := r.(*kmsg.ProduceRequest)
				var b kmsg.RecordBatch
				if err := b.ReadFrom(req.Topics[0].Partitions[0].Records); err != nil {
					return nil, err, true
				}
				now := time.Now().Add(-time.Hour).UnixMilli()
				if name == "with a range" && b.MaxTimestamp <= now+5000 || name != "with a range" && refused == 5 {
					return nil, nil, false
				}
				refused++
				res := req.ResponseKind().(*kmsg.ProduceResponse)
				part := kmsg.NewProduceResponseTopicPartition()
				part.ErrorCode = kerr.InvalidTimestamp.Code
				text := reason
				if strings.Contains(reason, "%d") {
					text = fmt.Sprintf(reason, b.MaxTimestamp, now-5000, now+5000)
				}
				part.ErrorRecords = []kmsg.ProduceResponseTopicPartitionErrorRecord{{RelativeOffset: 0, ErrorMessage: &text}}
				topic := kmsg.NewProduceResponseTopic()
				topic.Topic, topic.Partitions = cl.topic, append(topic.Partitions, part)
				res.Topics = append(res.Topics, topic)
				return res, nil, true
			})
			cl.write(t, events(0, 0, 20))
			cl.write(t, events(0, 20, 40))
			cl.exactly(40)
			if refused == 0 || refused > 5 {
				t.Errorf("refused %d times", refused)
			}
			if n := strings.Count(cl.log.String(), "refuses the time of this machine"); n != 1 {
				t.Errorf("%d lines about the clock:\n%v", n, cl.log)
			}
		})
	}
}

// TestPolicies: errors that no message has caused are retried, however often they occur.
func TestPolicies(t *testing.T) {
	for _, e := range []*kerr.Error{
		kerr.PolicyViolation, kerr.InvalidConfig, kerr.InvalidReplicationFactor, kerr.UnsupportedForMessageFormat,
		kerr.InvalidTopicException, kerr.ClusterAuthorizationFailed, kerr.InvalidTxnState,
	} {
		t.Run(e.Message, func(t *testing.T) {
			cl := newCluster(t, 1)
			cl.onlyFake()
			refused := 0
			cl.fake.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
				cl.fake.KeepControl()
				if refused++; refused > 3 {
					return nil, nil, false
				}
				req := r.(*kmsg.ProduceRequest)
				res := req.ResponseKind().(*kmsg.ProduceResponse)
				part := kmsg.NewProduceResponseTopicPartition()
				part.ErrorCode = e.Code
				topic := kmsg.NewProduceResponseTopic()
				topic.Topic, topic.Partitions = cl.topic, append(topic.Partitions, part)
				res.Topics = append(res.Topics, topic)
				return res, nil, true
			})
			cl.write(t, events(0, 0, 20))
			cl.exactly(20)
		})
	}
}

// TestForgotten writes more events than the window covers. This must be logged once and be visible in the metric.
func TestForgotten(t *testing.T) {
	cl := newCluster(t, 2)
	cl.Deduper = NewDeduper(cl.p, cl.topic, 100)
	cl.Sources = "group/volumes"
	part := "producer " + cl.topic
	cl.write(t, events(0, 0, 1000))
	waitFor(t, func() bool { return len(cl.seen.Levels(part, pipeline.LevelForgotten)) > 0 })
	cl.mu.Lock()
	cl.measure, cl.polled = time.Time{}, time.Time{}
	cl.mu.Unlock()
	cl.write(t, events(0, 1000, 1010))
	waitFor(t, func() bool {
		n := cl.seen.Levels(part, pipeline.LevelForgotten)
		return n[len(n)-1] >= 800
	})
	if n := strings.Count(cl.log.String(), "more messages than are remembered"); n != 1 {
		t.Errorf("said %d times, want once", n)
	}
}

func waitFor(t *testing.T, ready func() bool) {
	t.Helper()
	for end := time.Now().Add(testenv.Patience); !ready(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

// TestUnique reads a topic with repeated events, some of them in other partitions, and continues later where it
// stopped.
func TestUnique(t *testing.T) {
	cl := newCluster(t, 2)
	raw := func(ms []transport.Message) {
		t.Helper()
		if _, err := cl.p.Produce(t.Context(), cl.topic, ms...); err != nil {
			t.Fatal(err)
		}
	}
	raw(events(0, 0, 200))
	raw(events(0, 100, 250))
	cl.addPartitions(7)
	cl.p.mu.Lock()
	clear(cl.p.topics)
	cl.p.mu.Unlock()
	time.Sleep(metadataTTL)
	raw(events(0, 200, 400)) // 50 again, most in other partitions
	next, last := map[int]int64{}, map[string]int{}
	count := 0
	read := func(stop int) {
		t.Helper()
		for m, err := range cl.client.Unique(t.Context(), cl.topic, UniqueConfig{From: next}) {
			if err != nil {
				t.Fatal(err)
			}
			var i int
			_, _ = fmt.Sscan(string(m.Value), &i)
			if before, ok := last[string(m.Key)]; ok && i <= before {
				t.Errorf("%s: %d after %d", m.Key, i, before)
			}
			last[string(m.Key)] = i
			next[m.Partition] = m.Offset + 1
			if count++; count == stop {
				return
			}
		}
	}
	read(130)
	read(0)
	if count != 400 {
		t.Errorf("read %d events, want 400", count)
	}
}

// TestFollowReplaced deletes a topic and creates it again while it is read. Its messages must not be left out silently.
func TestFollowReplaced(t *testing.T) {
	for _, c := range []struct {
		name string
		read func(c *Client, topic string) iter.Seq2[transport.Message, error]
		from int64
	}{
		{"unique", func(c *Client, topic string) iter.Seq2[transport.Message, error] {
			return c.Unique(t.Context(), topic, UniqueConfig{Follow: true})
		}, 0},
		{"unique later", func(c *Client, topic string) iter.Seq2[transport.Message, error] {
			return c.Unique(t.Context(), topic, UniqueConfig{From: map[int]int64{0: 50}})
		}, 50},
		{"records", func(c *Client, topic string) iter.Seq2[transport.Message, error] {
			return c.Records(t.Context(), topic, true)
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newCluster(t, 1)
			cl.onlyFake() // a real one needs more time for the second topic
			again := func(n int) {
				t.Helper()
				if n < 100 {
					cl.deleteTopic()
					if err := cl.client.EnsureTopics(t.Context(), Topic{Name: cl.topic, Partitions: 1}); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := cl.p.Produce(t.Context(), cl.topic, events(0, 0, n)...); err != nil {
					t.Fatal(err)
				}
			}
			again(100)
			if c.from > 0 {
				again(10)
			}
			count := 0
			var last error
			for _, err := range c.read(cl.client, cl.topic) {
				if last = err; err != nil {
					break
				}
				if count++; count == 100 {
					again(10)
				}
			}
			if !errors.Is(last, errReplaced) {
				t.Errorf("found %v after %d messages, want the error for another log", last, count)
			}
		})
	}
}

// TestDeadLetterTopicGone deletes the topic of dead letters before one must be stored. Consumer and producer must end.
func TestDeadLetterTopicGone(t *testing.T) {
	_, c, p := fake(t, 1, "t", "dead")
	if _, err := p.Produce(t.Context(), "t", numbered(1)...); err != nil {
		t.Fatal(err)
	}
	if _, err := c.kafka.DeleteTopics(t.Context(), &kafkago.DeleteTopicsRequest{Topics: []string{"dead"}}); err != nil {
		t.Fatal(err)
	}
	k, err := NewConsumer(c, ConsumerConfig{
		Group: "g", Topic: "t", Budget: pipeline.NewBudget(1 << 20), DeadLetters: p, DeadLetterTopic: "dead",
		Handover: 100 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	next(t, k).Settle(pipeline.Permanent(errors.New("bad")))
	time.Sleep(200 * time.Millisecond)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = k.Close(ctx)
		_ = p.Close(ctx)
	}()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("stuck")
	}
	if at, err := committed(t, c); err != nil || at[0] > 0 {
		t.Errorf("committed %v, %v", at, err)
	}
}
