package kafka

import (
	"bytes"
	"context"
	"fmt"
	"strings"
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
	// MaxMessageBytes is the largest message, encoded; a larger one is a permanent error. The default is 16 MiB; the
	// broker's message.max.bytes must exceed it.
	MaxMessageBytes int
	// BatchBytes is how much is sent to a partition at once; the default is 1 MiB. A larger message goes alone.
	BatchBytes int
	// Compression of batches; the default is "none".
	Compression Compression
	// Observer is told what is sent, as the part "producer TOPIC"; nil: the client's is.
	Observer pipeline.Observer
}

// Compression names how batches are compressed.
type Compression string

// Choices lists the names.
func (Compression) Choices() []string { return []string{"none", "gzip", "snappy", "lz4", "zstd"} }

// Producer writes messages to topics, acknowledged by all replicas, each exactly once per call. It never gives up on
// what may still succeed while the context lives. Messages of one key go to one partition (FNV-1a, as Sarama and
// kafka-go's Hash), in order. The number of partitions is read once per topic: changing it later moves keys, so restart
// producers then.
type Producer struct {
	client   *Client
	cfg      ProducerConfig
	observer pipeline.Observer
	codec    compress.Compression
	hash     kafkago.Hash

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	topics map[string][]*partitionQueue
}

// Position is where a message was stored. Offset is -1 where the broker confirmed a repeat without saying where the
// first one is.
type Position struct {
	Partition int
	Offset    int64
}

// NewProducer makes a producer.
func NewProducer(c *Client, cfg ProducerConfig) (*Producer, error) {
	p := &Producer{client: c, cfg: cfg, observer: cfg.Observer, topics: map[string][]*partitionQueue{}}
	if p.observer == nil {
		p.observer = c.observer
	}
	if cfg.Compression != "" {
		if err := p.codec.UnmarshalText([]byte(cfg.Compression)); err != nil {
			return nil, fmt.Errorf("kafka: compression: found %q, want one of %s", cfg.Compression,
				strings.Join(cfg.Compression.Choices(), ", "))
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

// Produce stores ms and returns where, in the order given. A *pipeline.PartialError names the messages that can never
// be stored; the others are. When ctx ends first, what is not yet being sent is withdrawn, and it is unknown whether
// the rest is stored; its bytes may still be read and must not be overwritten.
func (p *Producer) Produce(ctx context.Context, topic string, ms ...transport.Message) ([]Position, error) {
	if len(ms) == 0 {
		return nil, nil
	}
	queues, err := p.queues(ctx, topic)
	if err != nil {
		return nil, err
	}
	to := make([]int, len(ms))
	for i := range ms {
		to[i] = p.partition(ms[i].Key, len(queues))
	}
	return p.produce(ctx, queues, to, ms)
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

func (p *Producer) produce(ctx context.Context, queues []*partitionQueue, to []int,
	ms []transport.Message,
) ([]Position, error) {
	c := &call{left: len(ms), done: make(chan struct{}), pos: make([]Position, len(ms)), failed: map[int]error{}}
	byPartition := map[int][]entry{}
	for i, m := range ms {
		if n := recordBound(&m) + batchHeader; n > p.cfg.MaxMessageBytes {
			c.finish(i, Position{}, pipeline.Permanent(fmt.Errorf("kafka: message %s of %d bytes exceeds the limit "+
				"of %d bytes", m.EventID(), n, p.cfg.MaxMessageBytes)))
			continue
		}
		byPartition[to[i]] = append(byPartition[to[i]], entry{m, c, i})
	}
	for i, es := range byPartition {
		queues[i].enqueue(es)
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		for i := range byPartition {
			queues[i].withdraw(c)
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

func (p *Producer) queues(ctx context.Context, topic string) ([]*partitionQueue, error) {
	p.mu.Lock()
	queues, closed := p.topics[topic], p.closed
	p.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if queues != nil {
		return queues, nil
	}
	n, err := p.client.Partitions(ctx, topic)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.topics[topic] == nil {
		queues := make([]*partitionQueue, n)
		for i := range queues {
			queues[i] = &partitionQueue{p: p, topic: topic, partition: i, producer: noProducer}
		}
		p.topics[topic] = queues
	}
	return p.topics[topic], nil
}

// Close waits within ctx for what is queued or being sent, then gives up on the rest. Later calls of Produce fail.
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
		err = fmt.Errorf("kafka: producer closed with unsent messages: %w", ctx.Err())
	}
	p.cancel()
	<-done
	return err
}

// entry is one message of a call that is to be sent.
type entry struct {
	m    transport.Message
	call *call
	i    int
}

// partitionQueue holds what waits to be sent to one partition. At most one batch is being sent at a time, and what
// arrives meanwhile makes the next: the batch grows with the load by itself, and a lone message waits for nothing.
type partitionQueue struct {
	p         *Producer
	topic     string
	partition int

	mu      sync.Mutex
	queue   []entry
	sending bool

	// Owned by run: the producer id is per partition, so that starting over after a lost sequence concerns one
	// partition only.
	producer int64
	epoch    int16
	sequence int32
}

const noProducer = -1

func (q *partitionQueue) enqueue(es []entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue = append(q.queue, es...)
	if !q.sending {
		q.sending = true
		q.p.wg.Go(q.run)
	}
}

// withdraw removes what c has in the queue.
func (q *partitionQueue) withdraw(c *call) {
	q.mu.Lock()
	defer q.mu.Unlock()
	keep := q.queue[:0]
	for _, e := range q.queue {
		if e.call != c {
			keep = append(keep, e)
		}
	}
	clear(q.queue[len(keep):])
	q.queue = keep
}

// run sends batches until the queue is empty.
func (q *partitionQueue) run() {
	for {
		es := q.next()
		if len(es) == 0 {
			return
		}
		q.send(es)
	}
}

// next takes the next batch from the queue.
func (q *partitionQueue) next() []entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.queue) == 0 {
		q.sending = false
		return nil
	}
	n, size := 0, 0
	for n < len(q.queue) {
		size += recordBound(&q.queue[n].m)
		if n > 0 && size > q.p.cfg.BatchBytes {
			break
		}
		n++
	}
	es := append([]entry(nil), q.queue[:n]...)
	clear(q.queue[:n])
	q.queue = q.queue[n:]
	return es
}

// send brings one batch to its end: every entry has its outcome when it returns.
func (q *partitionQueue) send(es []entry) {
	ms := make([]transport.Message, len(es))
	for i := range es {
		ms[i] = es[i].m
	}
	b, err := encodeBatch(ms, q.p.codec, time.Now())
	if err != nil {
		fail(es, pipeline.Permanent(err))
		return
	}
	var wait pipeline.Retry
	stamped := int64(noProducer)
	part, observer := producerPart(q.topic), q.p.observer
	for failures := 1; ; failures++ {
		begin := time.Now()
		base, err := q.attempt(b, &stamped)
		stored := err == nil || is(err, kafkago.DuplicateSequenceNumber)
		if stored {
			observer.Time(part, len(es), time.Since(begin), nil)
		} else {
			observer.Time(part, len(es), time.Since(begin), err)
		}
		switch {
		case stored:
			observer.Count(part, pipeline.EventWritten, len(es))
			observer.Count(part, pipeline.EventBytes, len(b.raw))
			q.sequence = int32((int64(q.sequence) + int64(len(es))) & 0x7fffffff) // wraps as the protocol does
			for i, e := range es {
				pos := Position{q.partition, -1}
				if err == nil && base >= 0 {
					pos.Offset = base + int64(i)
				}
				e.call.finish(e.i, pos, nil)
			}
			return
		case neverWorks(err) && len(es) > 1:
			// One of them is at fault, or all together are too large. Nothing was stored, so no sequence number was
			// used.
			for i := range es {
				q.send(es[i : i+1])
			}
			return
		case neverWorks(err):
			observer.Count(part, pipeline.EventFailed, 1)
			fail(es, pipeline.Permanent(fmt.Errorf("kafka: %s/%d refused a message of %d bytes: %w", q.topic,
				q.partition, len(b.raw), err)))
			return
		case sequenceLost(err):
			q.p.client.log.Warn("kafka: the broker lost this producer's sequence; starting a new one", "topic",
				q.topic, "partition", q.partition, "error", err)
			q.producer = noProducer
		case is(err, kafkago.Unknown):
			// The broker failed half way, on a full disk for example. The embedded one has counted the sequence by then
			// though it stored nothing: it would take the repeat for a duplicate and acknowledge it. Under a new id it
			// may be stored twice, which sinks notice, but not lost.
			q.producer = noProducer
			q.p.client.logRetry(fmt.Sprintf("produce to %s/%d", q.topic, q.partition), failures, err)
		default:
			q.p.client.logRetry(fmt.Sprintf("produce to %s/%d", q.topic, q.partition), failures, err)
		}
		observer.Count(part, pipeline.EventRetried, 1)
		if !wait.Wait(q.p.ctx, failures) {
			observer.Count(part, pipeline.EventUnfinished, len(es))
			fail(es, fmt.Errorf("%w: %d messages for %s/%d may or may not be stored: %w", ErrClosed, len(es),
				q.topic, q.partition, err))
			return
		}
	}
}

// producerPart is what a producer of a topic is called where it is observed.
func producerPart(topic string) string { return "producer " + topic }

func fail(es []entry, err error) {
	for _, e := range es {
		e.call.finish(e.i, Position{}, err)
	}
}

// attempt sends the batch once. It is stamped only when its producer id is not the queue's: a repeat must be the same
// to the byte.
func (q *partitionQueue) attempt(b recordBatch, stamped *int64) (base int64, err error) {
	ctx, cancel := context.WithTimeout(q.p.ctx, requestTimeout)
	defer cancel()
	if q.producer == noProducer {
		// -1 asks for a new id; the zero values would ask for the epoch of producer 0.
		res, err := q.p.client.kafka.InitProducerID(ctx, &kafkago.InitProducerIDRequest{ProducerID: -1, ProducerEpoch: -1})
		if err == nil {
			err = res.Error
		}
		if err != nil {
			return 0, fmt.Errorf("producer id: %w", err)
		}
		q.producer, q.epoch, q.sequence = int64(res.Producer.ProducerID), int16(res.Producer.ProducerEpoch), 0
	}
	if *stamped != q.producer {
		b.stamp(q.producer, q.epoch, q.sequence)
		*stamped = q.producer
	}
	res, err := q.p.client.kafka.RawProduce(ctx, &kafkago.RawProduceRequest{
		Topic: q.topic, Partition: q.partition, RequiredAcks: kafkago.RequireAll,
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
