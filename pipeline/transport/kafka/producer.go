package kafka

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// ProducerConfig bounds what a producer sends.
type ProducerConfig struct {
	// MaxMessageBytes is the largest message, encoded; a larger one is a permanent error. The default is 16 MiB; the broker's
	// message.max.bytes must exceed it.
	MaxMessageBytes int
	// BatchBytes is how much is sent to a partition at once; the default is 1 MiB. A larger message goes alone.
	BatchBytes int
	// Compression is "none" (the default), "gzip", "snappy", "lz4" or "zstd".
	Compression string
}

// Producer writes messages to topics, acknowledged by all replicas, each exactly once per call. It never gives up on what may still succeed
// while the context lives. Messages of one key go to one partition (FNV-1a, as Sarama and kafka-go's Hash), in order. The number of
// partitions is read once per topic: changing it later moves keys, so restart producers then.
type Producer struct {
	client *Client
	cfg    ProducerConfig
	codec  compress.Compression
	hash   kafkago.Hash

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	topics map[string][]*lane
}

// Position is where a message was stored. Offset is -1 where the broker confirmed a repeat without saying where the first one is.
type Position struct {
	Partition int
	Offset    int64
}

// NewProducer makes a producer.
func NewProducer(c *Client, cfg ProducerConfig) (*Producer, error) {
	p := &Producer{client: c, cfg: cfg, topics: map[string][]*lane{}}
	if cfg.Compression != "" {
		if err := p.codec.UnmarshalText([]byte(cfg.Compression)); err != nil {
			return nil, fmt.Errorf("kafka: compression %q: want none, gzip, snappy, lz4 or zstd", cfg.Compression)
		}
	}
	if p.cfg.MaxMessageBytes <= 0 {
		p.cfg.MaxMessageBytes = 16 << 20
	}
	if p.cfg.BatchBytes <= 0 {
		p.cfg.BatchBytes = 1 << 20
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p, nil
}

// Produce stores ms and returns where, in the order given. A *pipeline.PartialError names the messages that can never be stored; the others
// are. When ctx ends first, what is not yet on its way is withdrawn, and it is unknown whether the rest is stored; its bytes may still be read
// and must not be overwritten.
func (p *Producer) Produce(ctx context.Context, topic string, ms ...transport.Message) ([]Position, error) {
	if len(ms) == 0 {
		return nil, nil
	}
	lanes, err := p.lanes(ctx, topic)
	if err != nil {
		return nil, err
	}
	to := make([]int, len(ms))
	for i := range ms {
		to[i] = p.partition(ms[i].Key, len(lanes))
	}
	return p.produce(ctx, lanes, to, ms)
}

// partition places a key; nil keys take turns.
func (p *Producer) partition(key []byte, partitions int) int {
	return p.hash.Balance(kafkago.Message{Key: key}, all(partitions)...)
}

// call is one Produce: a slot for each message's outcome.
type call struct {
	mu     sync.Mutex
	left   int
	done   chan struct{}
	pos    []Position
	failed map[int]error
}

func (c *call) finish(i int, pos Position, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pos[i] = pos
	if err != nil {
		c.failed[i] = err
	}
	if c.left--; c.left == 0 {
		close(c.done)
	}
}

func (p *Producer) produce(ctx context.Context, lanes []*lane, to []int, ms []transport.Message) ([]Position, error) {
	c := &call{left: len(ms), done: make(chan struct{}), pos: make([]Position, len(ms)), failed: map[int]error{}}
	byLane := map[int][]entry{}
	for i, m := range ms {
		if n := recordBound(&m) + batchHeader; n > p.cfg.MaxMessageBytes {
			c.finish(i, Position{}, pipeline.Permanent(fmt.Errorf("kafka: message %s of %d bytes: at most %d are allowed", m.EventID(), n, p.cfg.MaxMessageBytes)))
			continue
		}
		byLane[to[i]] = append(byLane[to[i]], entry{m, c, i})
	}
	for l, es := range byLane {
		lanes[l].enqueue(es)
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		for l := range byLane {
			lanes[l].withdraw(c)
		}
		return nil, ctx.Err()
	}
	for _, err := range c.failed {
		if !pipeline.IsPermanent(err) {
			return nil, err
		}
	}
	if len(c.failed) > 0 {
		return c.pos, &pipeline.PartialError{Failed: c.failed}
	}
	return c.pos, nil
}

func (p *Producer) lanes(ctx context.Context, topic string) ([]*lane, error) {
	p.mu.Lock()
	lanes, closed := p.topics[topic], p.closed
	p.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if lanes != nil {
		return lanes, nil
	}
	n, err := p.client.Partitions(ctx, topic)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.topics[topic] == nil {
		lanes := make([]*lane, n)
		for i := range lanes {
			lanes[i] = &lane{p: p, topic: topic, partition: i, producer: noProducer}
		}
		p.topics[topic] = lanes
	}
	return p.topics[topic], nil
}

// Close waits within ctx for what is on its way, then gives up on the rest. Later calls of Produce fail.
func (p *Producer) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	done := make(chan struct{})
	go func() {
		p.wg.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("kafka: producer closed with messages on their way: %w", ctx.Err())
	}
	p.cancel()
	<-done
	return err
}

// entry is one message of a call on its way.
type entry struct {
	m    transport.Message
	call *call
	i    int
}

// lane is the way to one partition: at most one batch flies at a time, and what arrives meanwhile makes the next. So the batch grows with the
// load by itself, and a lone message waits for nothing.
type lane struct {
	p         *Producer
	topic     string
	partition int

	mu     sync.Mutex
	queue  []entry
	flying bool

	// Owned by fly: the producer id is per lane, so that starting over after a lost sequence concerns one partition only.
	producer int64
	epoch    int16
	sequence int32
}

const noProducer = -1

func (l *lane) enqueue(es []entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, es...)
	if !l.flying {
		l.flying = true
		l.p.wg.Go(l.fly)
	}
}

// withdraw removes what c has not yet on its way.
func (l *lane) withdraw(c *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	keep := l.queue[:0]
	for _, e := range l.queue {
		if e.call != c {
			keep = append(keep, e)
		}
	}
	clear(l.queue[len(keep):])
	l.queue = keep
}

// fly sends batches until the queue is empty.
func (l *lane) fly() {
	for {
		es := l.next()
		if len(es) == 0 {
			return
		}
		l.send(es)
	}
}

// next takes the next batch from the queue.
func (l *lane) next() []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.flying = false
		return nil
	}
	n, size := 0, 0
	for n < len(l.queue) {
		size += recordBound(&l.queue[n].m)
		if n > 0 && size > l.p.cfg.BatchBytes {
			break
		}
		n++
	}
	es := append([]entry(nil), l.queue[:n]...)
	clear(l.queue[:n])
	l.queue = l.queue[n:]
	return es
}

// send brings one batch to its end: every entry has its outcome when it returns.
func (l *lane) send(es []entry) {
	ms := make([]transport.Message, len(es))
	for i := range es {
		ms[i] = es[i].m
	}
	b, err := encodeBatch(ms, l.p.codec, time.Now())
	if err != nil {
		fail(es, pipeline.Permanent(err))
		return
	}
	var wait pipeline.Retry
	stamped := int64(noProducer)
	for failures := 1; ; failures++ {
		base, err := l.attempt(b, &stamped)
		switch {
		case err == nil || is(err, kafkago.DuplicateSequenceNumber):
			l.sequence = int32((int64(l.sequence) + int64(len(es))) & 0x7fffffff) // wraps as the protocol does
			for i, e := range es {
				pos := Position{l.partition, -1}
				if err == nil && base >= 0 {
					pos.Offset = base + int64(i)
				}
				e.call.finish(e.i, pos, nil)
			}
			return
		case neverWorks(err) && len(es) > 1:
			// One of them is at fault, or all together are too large. Nothing was stored, so no sequence number was used.
			for i := range es {
				l.send(es[i : i+1])
			}
			return
		case neverWorks(err):
			fail(es, pipeline.Permanent(fmt.Errorf("kafka: %s/%d refused a message of %d bytes: %w", l.topic, l.partition, len(b.raw), err)))
			return
		case sequenceLost(err):
			l.p.client.log.Warn("kafka: the broker lost our sequence, starting a new one", "topic", l.topic, "partition", l.partition, "error", err)
			l.producer = noProducer
		case is(err, kafkago.Unknown):
			// The broker failed on the way, on a full disk for example. The embedded one has counted the sequence by then though it stored nothing:
			// it would take the repeat for a duplicate and acknowledge it. Under a new id it may be stored twice, which sinks notice, but not lost.
			l.producer = noProducer
			l.p.client.logRetry(fmt.Sprintf("produce to %s/%d", l.topic, l.partition), failures, err)
		default:
			l.p.client.logRetry(fmt.Sprintf("produce to %s/%d", l.topic, l.partition), failures, err)
		}
		if !wait.Wait(l.p.ctx, failures) {
			fail(es, fmt.Errorf("%w: %d messages for %s/%d may or may not be stored: %w", ErrClosed, len(es), l.topic, l.partition, err))
			return
		}
	}
}

func fail(es []entry, err error) {
	for _, e := range es {
		e.call.finish(e.i, Position{}, err)
	}
}

// attempt sends the batch once. It is stamped only when its producer id is not the lane's: a repeat must be the same to the byte.
func (l *lane) attempt(b recordBatch, stamped *int64) (base int64, err error) {
	ctx, cancel := context.WithTimeout(l.p.ctx, requestTimeout)
	defer cancel()
	if l.producer == noProducer {
		// -1 asks for a new id; the zero values would ask for the epoch of producer 0.
		res, err := l.p.client.kafka.InitProducerID(ctx, &kafkago.InitProducerIDRequest{ProducerID: -1, ProducerEpoch: -1})
		if err == nil {
			err = res.Error
		}
		if err != nil {
			return 0, fmt.Errorf("producer id: %w", err)
		}
		l.producer, l.epoch, l.sequence = int64(res.Producer.ProducerID), int16(res.Producer.ProducerEpoch), 0
	}
	if *stamped != l.producer {
		b.stamp(l.producer, l.epoch, l.sequence)
		*stamped = l.producer
	}
	res, err := l.p.client.kafka.RawProduce(ctx, &kafkago.RawProduceRequest{
		Topic: l.topic, Partition: l.partition, RequiredAcks: kafkago.RequireAll,
		RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(b.raw)},
	})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return 0, err
	}
	return res.BaseOffset, nil
}
