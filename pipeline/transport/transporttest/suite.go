// Package transporttest is the test suite for a broker and the client in package kafka. It runs against the embedded
// broker, and against Apache Kafka in the integration tests.
package transporttest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/testenv"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/pipelinetest"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
	"github.com/voxelstream/voxelstream/pipeline/transport/recordset/recordtest"
)

// Broker is a running broker.
type Broker struct {
	// Addr is its host:port.
	Addr string
	// Restart kills the broker and starts it again on the same data and address after down. It is nil if that is not
	// possible.
	Restart func(t testing.TB, down time.Duration)
	// Down is how long the broker is down during a restart. 0 means 2 s.
	Down time.Duration
}

// Run runs the suite. start starts a broker and stops it with t.Cleanup.
func Run(t *testing.T, start func(t testing.TB) Broker) {
	b := start(t)
	for _, c := range []struct {
		name string
		run  func(t *testing.T, b Broker)
	}{
		{"order within a key", testOrder},
		{"a poisoned message becomes a dead letter and can be replayed", testPoison},
		{"a damaged message becomes a dead letter and the stream goes on", testDamaged},
		{"a hostile batch is refused or becomes a dead letter and the stream goes on", testHostile},
		{"a message that is too large is a permanent error", testTooLarge},
		{"a second run continues where the first stopped", testSecondRun},
		{"two members share and hand over", testRebalance},
		{"a deduper recognizes the messages of an earlier run", testDedupe},
		{"a sink that reports false failures", testChaos},
		{"connections that are reset", testResets},
		{"a single message has a low latency", testLatency},
		{"events are observed", testObserved},
		{"the broker is restarted", testRestart},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, b) })
	}
}

// limit is how long a case may take before it counts as hanging.
const limit = testenv.Patience

// bench holds the client and the topics of a case.
type bench struct {
	testing.TB
	ctx      context.Context
	client   *kafka.Client
	producer *kafka.Producer
	in, out  string
	dead     string
	group    string
	seen     *pipelinetest.Recorder // observes the client and the producer
}

var unique atomic.Int64

func newBench(t testing.TB, b Broker, dial func(context.Context, string, string) (net.Conn, error)) *bench {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	name := fmt.Sprintf("t%d-%d", time.Now().UnixMilli(), unique.Add(1))
	seen := &pipelinetest.Recorder{}
	c, err := kafka.Open(kafka.Config{
		Brokers: []string{b.Addr}, Dial: dial,
		Log: slog.New(slog.NewTextHandler(testWriter{t}, nil)), Observer: seen,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	p, err := kafka.NewProducer(c, kafka.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	k := &bench{
		TB: t, ctx: ctx, client: c, producer: p, in: name + "-in", out: name + "-out", dead: name + "-dead",
		group: name, seen: seen,
	}
	if err := c.EnsureTopics(ctx, kafka.Topic{Name: k.in, Partitions: 4}, kafka.Topic{Name: k.out, Partitions: 4},
		kafka.Topic{Name: k.dead, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	return k
}

// testWriter writes a log to the log of a test.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	if w.t.Context().Err() == nil {
		w.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

// messages makes n messages, spread over keys; the value is the event id, which ascends.
func messages(n, keys int) []transport.Message {
	ms := make([]transport.Message, n)
	for i := range ms {
		id := fmt.Sprintf("event-%06d", i)
		ms[i] = transport.New(fmt.Sprintf("key-%d", i%keys), id, "text/plain", []byte(id))
	}
	return ms
}

func (b *bench) produce(ms ...transport.Message) {
	b.Helper()
	if _, err := b.producer.Produce(b.ctx, b.in, ms...); err != nil {
		b.Fatal(err)
	}
}

// member is one running pipeline from in to out.
type member struct {
	consumer *kafka.Consumer
	stop     context.CancelFunc
	ended    chan error
	seen     *pipelinetest.Recorder
}

// join starts a member with the stage f.
func (b *bench) join(f pipeline.StageFunc[transport.Message, transport.Message]) *member {
	b.Helper()
	seen := &pipelinetest.Recorder{}
	k, err := kafka.NewConsumer(b.client, kafka.ConsumerConfig{
		Group: b.group, Topic: b.in, Budget: pipeline.NewBudget(64 << 20), DeadLetters: b.producer,
		DeadLetterTopic: b.dead, Observer: seen,
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.ctx)
	m := &member{consumer: k, stop: stop, ended: make(chan error, 1), seen: seen}
	p := &pipeline.Pipeline[transport.Message, transport.Message, transport.Message]{
		Source: k, Stage: f, StageName: "test stage", Work: pipeline.Pass[transport.Message](),
		Outputs: []pipeline.Output[transport.Message]{{Sink: kafka.NewDeduper(b.producer, b.out, 0)}},
		Workers: 4, Batch: pipeline.Batch{Size: 64, Linger: 2 * time.Millisecond},
	}
	go func() { m.ended <- p.Run(ctx) }()
	b.Cleanup(stop)
	return m
}

// leave stops a member softly and checks that it ends without an error.
func (m *member) leave(t testing.TB) {
	t.Helper()
	m.stop()
	if err := <-m.ended; err != nil {
		t.Errorf("member: %v", err)
	}
}

func pass(_ context.Context, m transport.Message) ([]transport.Message, error) {
	return []transport.Message{transport.New(string(m.Key), m.EventID(), "text/plain", m.Value)}, nil
}

// read returns the messages of a topic, partition by partition.
func (b *bench) read(topic string) []transport.Message {
	b.Helper()
	var out []transport.Message
	for m, err := range b.client.Records(b.ctx, topic, false) {
		if err != nil {
			b.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

// await waits until a topic holds n messages, and returns them.
func (b *bench) await(topic string, n int) []transport.Message {
	b.Helper()
	for {
		ms := b.read(topic)
		if len(ms) >= n {
			return ms
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-b.ctx.Done():
			b.Fatalf("%s holds %d messages, want %d", topic, len(ms), n)
		}
	}
}

// exactly checks that ms contains each event of want once, and the events of each key in order.
func (b *bench) exactly(ms, want []transport.Message) {
	b.Helper()
	count, last := map[string]int{}, map[string]string{}
	for _, m := range ms {
		id := m.EventID()
		count[id]++
		if err := m.Verify(); err != nil {
			b.Error(err)
		}
		if key := string(m.Key); id < last[key] {
			b.Errorf("key %s: %s came after %s", key, id, last[key])
		} else {
			last[key] = id
		}
	}
	missing, repeated := 0, 0
	for _, m := range want {
		switch n := count[m.EventID()]; {
		case n == 0:
			missing++
		case n > 1:
			repeated++
		}
		delete(count, m.EventID())
	}
	if missing > 0 || repeated > 0 || len(count) > 0 {
		b.Errorf("of %d messages, %d are missing and %d repeated; %d others are unknown", len(want), missing, repeated,
			len(count))
	}
}

func testOrder(t *testing.T, broker Broker) {
	b := newBench(t, broker, nil)
	ms := messages(4000, 7)
	m := b.join(pass)
	for batch := range slices.Chunk(ms, 250) {
		b.produce(batch...)
	}
	b.exactly(b.await(b.out, len(ms)), ms)
	m.leave(t)
	lag, err := b.client.Lag(b.ctx, b.group, b.in)
	if err != nil {
		t.Fatal(err)
	}
	for p, n := range lag {
		if n != 0 {
			t.Errorf("partition %d: lag %d after a drain", p, n)
		}
	}
}

func testPoison(t *testing.T, broker Broker) {
	b := newBench(t, broker, nil)
	ms := messages(200, 5)
	b.produce(ms...)
	var healed atomic.Bool
	m := b.join(func(ctx context.Context, m transport.Message) ([]transport.Message, error) {
		if strings.HasSuffix(m.EventID(), "7") && !healed.Load() {
			return nil, pipeline.Permanent(errors.New("seven"))
		}
		return pass(ctx, m)
	})
	b.await(b.out, 180)
	dead := b.await(b.dead, 20)
	if len(dead) != 20 {
		t.Fatalf("%d dead letters, want 20", len(dead))
	}
	for _, m := range dead {
		d, err := transport.ReadDeadLetter(m)
		if err != nil {
			t.Fatal(err)
		}
		if d.Topic != b.in || d.Stage != "test stage" || d.Error != "seven" || d.Attempts != 1 ||
			time.Since(d.Time) > limit {
			t.Errorf("dead letter %+v", d)
		}
		if string(m.Value) != m.EventID() || m.Verify() != nil {
			t.Errorf("dead letter %s holds %q", m.EventID(), m.Value)
		}
	}
	healed.Store(true)
	n, err := b.client.Replay(b.ctx, b.producer, kafka.ReplayConfig{Topic: b.dead, To: []string{b.in}})
	if err != nil || n != 20 {
		t.Fatalf("sent %d, %v; want 20", n, err)
	}
	out := b.await(b.out, 200)
	m.leave(t)
	// Replayed messages are out of order.
	slices.SortFunc(out, func(x, y transport.Message) int { return strings.Compare(x.EventID(), y.EventID()) })
	b.exactly(out, ms)
}

func testDamaged(t *testing.T, broker Broker) {
	b := newBench(t, broker, nil)
	ms := messages(100, 4)
	ms[50].Value = []byte("event-000059") // does not match the checksum
	b.produce(ms...)
	m := b.join(pass)
	out := b.await(b.out, 99)
	dead := b.await(b.dead, 1)
	b.exactly(out, slices.Delete(slices.Clone(ms), 50, 51))
	d, err := transport.ReadDeadLetter(dead[0])
	if err != nil || d.Stage != "checksum" || dead[0].EventID() != "event-000050" {
		t.Errorf("dead letter %s: %+v, %v", dead[0].EventID(), d, err)
	}
	m.leave(t)
	for _, e := range []pipeline.Event{pipeline.EventDamaged, pipeline.EventDeadLetter, pipeline.EventDeadLetterStored} {
		if n := m.seen.Counted("consumer "+b.in, e); n != 1 {
			t.Errorf("observed %d %s, want 1", n, e)
		}
	}
}

// testHostile sends batches that no reader may accept. The broker refuses some of them. Each of the others must become
// one dead letter with its coordinates, and the messages around them must be read by all kinds of readers.
func testHostile(t *testing.T, broker Broker) {
	b := newBench(t, broker, nil)
	var accepted []string
	var good []transport.Message
	for i, h := range recordtest.HostileBatches(100) {
		m := transport.New("same", fmt.Sprintf("event-%06d", i), "text/plain", fmt.Appendf(nil, "event-%06d", i))
		pos, err := b.producer.Produce(b.ctx, b.in, m)
		if err != nil {
			t.Fatal(err)
		}
		good = append(good, m)
		code, err := recordtest.ProduceRaw(broker.Addr, b.in, int32(pos[0].Partition), h.Raw)
		if err == nil && code == 0 {
			accepted = append(accepted, h.Name)
		}
	}
	t.Logf("the broker has accepted %d of %d: %v", len(accepted), len(recordtest.HostileBatches(1)), accepted)
	m := b.join(pass)
	out := b.await(b.out, len(good))
	dead := b.await(b.dead, len(accepted))
	m.leave(t)
	b.exactly(out, good)
	if len(dead) != len(accepted) {
		t.Errorf("%d dead letters, want %d", len(dead), len(accepted))
	}
	for _, m := range dead {
		d, err := transport.ReadDeadLetter(m)
		if err != nil || d.Topic != b.in || d.Stage != "decode batch" || d.Error == "" || d.Last < d.Offset ||
			d.Bytes < 61 || len(d.SHA256) != 64 || len(m.Value) > 0 {
			t.Errorf("dead letter %+v, %v", d, err)
		}
	}
	if got := b.read(b.in); len(got) != len(good) {
		t.Errorf("read %d messages from the topic, want %d", len(got), len(good))
	}
	b.committed()
}

// committed checks that the group has committed everything.
func (b *bench) committed() {
	b.Helper()
	lag, err := b.client.Lag(b.ctx, b.group, b.in)
	if err != nil {
		b.Fatal(err)
	}
	for p, n := range lag {
		if n != 0 {
			b.Errorf("partition %d: %d messages are not committed", p, n)
		}
	}
}

func testTooLarge(t *testing.T, broker Broker) {
	b := newBench(t, broker, nil)
	ms := messages(3, 1)
	ms[1].Value = make([]byte, 17<<20)
	_, err := b.producer.Produce(b.ctx, b.in, ms...)
	partial, ok := errors.AsType[*pipeline.PartialError](err)
	if !ok || len(partial.Failed) != 1 || !pipeline.IsPermanent(partial.Failed[1]) {
		t.Fatalf("error %v, want a permanent error for message 1 only", err)
	}
	if n := len(b.read(b.in)); n != 2 {
		t.Errorf("%d messages stored, want 2", n)
	}
	big := transport.New("key", "big", "application/octet-stream", make([]byte, 15<<20))
	b.produce(big)
	m := b.join(pass)
	b.await(b.out, 3)
	m.leave(t)
}

func testSecondRun(t *testing.T, broker Broker) {
	b := newBench(t, broker, nil)
	ms := messages(3000, 9)
	b.produce(ms[:2000]...)
	m := b.join(pass)
	b.await(b.out, 500)
	m.leave(t)
	b.produce(ms[2000:]...)
	var repeated atomic.Int64
	var seen sync.Map
	for _, m := range b.read(b.out) {
		seen.Store(m.EventID(), true)
	}
	m = b.join(func(ctx context.Context, m transport.Message) ([]transport.Message, error) {
		if _, ok := seen.Load(m.EventID()); ok {
			repeated.Add(1)
		}
		return pass(ctx, m)
	})
	b.exactly(b.await(b.out, len(ms)), ms)
	m.leave(t)
	if n := repeated.Load(); n > 0 {
		t.Errorf("%d messages were delivered again after a clean stop", n)
	}
}

func testRebalance(t *testing.T, broker Broker) {
	b := newBench(t, broker, nil)
	ms := messages(3000, 16)
	slow := func(ctx context.Context, m transport.Message) ([]transport.Message, error) {
		time.Sleep(rand.N(time.Millisecond))
		return pass(ctx, m)
	}
	first := b.join(slow)
	var feed sync.WaitGroup
	feed.Go(func() {
		for batch := range slices.Chunk(ms, 50) {
			if _, err := b.producer.Produce(b.ctx, b.in, batch...); err != nil {
				t.Error(err)
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	b.await(b.out, 200)
	second := b.join(slow)
	for second.seen.Counted("consumer "+b.in, pipeline.EventRead) == 0 {
		if time.Sleep(20 * time.Millisecond); b.ctx.Err() != nil {
			t.Fatal("the second member got nothing")
		}
	}
	first.leave(t)
	feed.Wait()
	b.exactly(b.await(b.out, len(ms)), ms)
	second.leave(t)
}

func testDedupe(t *testing.T, broker Broker) {
	b := newBench(t, broker, nil)
	ms := messages(500, 6)
	first := kafka.NewDeduper(b.producer, b.out, 0)
	if err := first.Write(b.ctx, ms[:300]); err != nil {
		t.Fatal(err)
	}
	second := kafka.NewDeduper(b.producer, b.out, 0)
	if err := second.Write(b.ctx, append(slices.Clone(ms[200:]), ms[400])); err != nil {
		t.Fatal(err)
	}
	if err := first.Write(b.ctx, ms); err != nil { // must recognize its own messages and those of the second
		t.Fatal(err)
	}
	b.exactly(b.read(b.out), ms)
	if n := second.Dropped(); n != 101 {
		t.Errorf("the second deduper dropped %d, want 101", n)
	}
	if n := first.Dropped(); n != 500 {
		t.Errorf("the first deduper dropped %d, want 500", n)
	}
}

func testChaos(t *testing.T, broker Broker) {
	b := newBench(t, broker, nil)
	ms := messages(1000, 5)
	sink := kafka.NewDeduper(b.producer, b.out, 0)
	source := &pipelinetest.Source[transport.Message]{Values: ms}
	p := &pipeline.Pipeline[transport.Message, transport.Message, transport.Message]{
		Source: source, Stage: pipeline.StageFunc[transport.Message, transport.Message](pass),
		Work: pipeline.Pass[transport.Message](),
		Outputs: []pipeline.Output[transport.Message]{{
			Sink: &pipelinetest.Chaos[transport.Message]{Sink: sink, Rate: 0.4, Rand: rand.New(rand.NewPCG(1, 6))},
		}},
		Batch: pipeline.Batch{Size: 20}, Retry: pipeline.Retry{First: time.Millisecond, Max: 10 * time.Millisecond},
	}
	if err := p.Run(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.exactly(b.read(b.out), ms)
	for i := range ms {
		if got := source.Outcomes(i); len(got) != 1 || got[0] != nil {
			t.Errorf("message %d was settled with %v", i, got)
		}
	}
	if sink.Dropped() == 0 {
		t.Error("no duplicate reached the deduper")
	}
}

// resets returns a dial function. Its connections are reset (RST) after each read with a probability of p in 1000. The
// broker has processed the request by then, but the response is lost.
func resets(p *atomic.Int64) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &resetConn{TCPConn: c.(*net.TCPConn), permille: p}, nil
	}
}

type resetConn struct {
	*net.TCPConn
	permille *atomic.Int64
}

func (c *resetConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if err == nil && rand.Int64N(1000) < c.permille.Load() {
		_ = c.SetLinger(0)
		_ = c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

func testResets(t *testing.T, broker Broker) {
	var permille atomic.Int64
	b := newBench(t, broker, resets(&permille))
	ms := messages(2000, 8)
	m := b.join(pass)
	permille.Store(40)
	for batch := range slices.Chunk(ms, 20) {
		b.produce(batch...)
	}
	permille.Store(0)
	b.exactly(b.read(b.in), ms) // the guarantee of the producer
	b.exactly(b.await(b.out, len(ms)), ms)
	m.leave(t)
}

func testLatency(t *testing.T, broker Broker) {
	b := newBench(t, broker, nil)
	got := make(chan time.Time, 1)
	m := b.join(func(context.Context, transport.Message) ([]transport.Message, error) {
		got <- time.Now()
		return nil, nil
	})
	var took []time.Duration
	for _, m := range messages(60, 4) {
		start := time.Now()
		b.produce(m)
		took = append(took, (<-got).Sub(start))
	}
	m.leave(t)
	// The first message of each partition may have waited for the consumer to join.
	slices.Sort(took)
	t.Logf("latency of a single message: median %v, 9th decile %v", took[30], took[54])
}

func testRestart(t *testing.T, broker Broker) {
	if broker.Restart == nil {
		t.Skip("this broker cannot be restarted")
	}
	b := newBench(t, broker, nil)
	ms := messages(2000, 8)
	m := b.join(pass)
	var feed sync.WaitGroup
	feed.Go(func() {
		for batch := range slices.Chunk(ms, 10) {
			if _, err := b.producer.Produce(b.ctx, b.in, batch...); err != nil {
				t.Error(err)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	b.await(b.out, 100)
	broker.Restart(t, cmp.Or(broker.Down, 2*time.Second))
	feed.Wait()
	b.exactly(b.await(b.out, len(ms)), ms)
	b.exactly(b.read(b.in), ms)
	m.leave(t)
	if n := m.consumer.Stats().Lost.Load(); n != 0 {
		t.Errorf("%d messages lost to retention", n)
	}
}

// testObserved checks that all events are reported, and that the lag of a partition is reported as long as a member
// owns it.
func testObserved(t *testing.T, broker Broker) {
	b := newBench(t, broker, nil)
	ms := messages(500, 6)
	b.produce(ms...)
	m := b.join(pass)
	b.await(b.out, len(ms))
	for p := range 4 {
		part := pipeline.Partition(b.in, p)
		for {
			lag := m.seen.Levels(part, pipeline.LevelLag)
			if len(lag) > 0 && lag[len(lag)-1] == 0 {
				break
			}
			if time.Sleep(20 * time.Millisecond); b.ctx.Err() != nil {
				t.Fatalf("observed lags %v of %s, want 0 at the end", lag, part)
			}
		}
	}
	if err := m.consumer.Joined(b.ctx); err != nil {
		t.Errorf("the member has not joined: %v", err)
	}
	m.leave(t)
	for p := range 4 {
		if lag := m.seen.Levels(pipeline.Partition(b.in, p), pipeline.LevelLag); lag[len(lag)-1] != pipeline.Gone {
			t.Errorf("observed lags %v of partition %d, want it gone at the end", lag, p)
		}
	}
	if m.consumer.Joined(b.ctx) == nil {
		t.Error("Joined returned nil for a member that has left")
	}
	in, out := "consumer "+b.in, "producer "+b.out
	if owned := m.seen.Levels(in, pipeline.LevelPartitions); !slices.Contains(owned, 4) || owned[len(owned)-1] != 0 {
		t.Errorf("observed %v partitions owned, want 4, then 0", owned)
	}
	bytes := 0
	for i := range ms {
		bytes += int(ms[i].Size())
	}
	if n := m.seen.Counted(in, pipeline.EventBytes); n != bytes {
		t.Errorf("observed %d bytes read, want %d", n, bytes)
	}
	for _, c := range []struct {
		seen  *pipelinetest.Recorder
		part  string
		event pipeline.Event
		want  int
	}{
		{m.seen, in, pipeline.EventRead, len(ms)},
		{b.seen, "producer " + b.in, pipeline.EventWritten, len(ms)},
		{b.seen, out, pipeline.EventWritten, len(ms)},
		{b.seen, out, pipeline.EventFailed, 0},
		{m.seen, in, pipeline.EventLost, 0},
		{m.seen, in, pipeline.EventDeadLetter, 0},
	} {
		if n := c.seen.Counted(c.part, c.event); n != c.want {
			t.Errorf("observed %d %s by %s, want %d", n, c.event, c.part, c.want)
		}
	}
	sent, committed := 0, 0
	for _, o := range b.seen.Operations(out) {
		sent += o.N
	}
	for _, o := range m.seen.Operations("commit " + b.in) {
		if o.Err == nil {
			committed += o.N
		}
	}
	if sent < len(ms) || committed != len(ms) || b.seen.Counted(out, pipeline.EventBytes) == 0 {
		t.Errorf("observed %d messages sent in %d bytes and %d committed, want %d", sent,
			b.seen.Counted(out, pipeline.EventBytes), committed, len(ms))
	}
	if open := b.seen.Levels("kafka", pipeline.LevelConnections); len(open) == 0 || slices.Min(open) < 0 ||
		slices.Max(open) < 2 {
		t.Errorf("observed connections %v", open)
	}
}
