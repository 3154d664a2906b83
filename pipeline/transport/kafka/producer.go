package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/voxelstream/voxelstream/internal/clip"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// ProducerConfig configures a producer.
type ProducerConfig struct {
	// MaxMessageBytes is the maximum encoded size of a message. A larger message is a permanent error. The default is
	// 16 MiB. The broker's message.max.bytes must exceed it.
	MaxMessageBytes int
	// BatchBytes is the maximum size of a batch for a partition. The default is 1 MiB. A larger message is sent alone.
	BatchBytes int
	// Compression is the compression of batches. The default is "none".
	Compression Compression
	// Observer receives the events of the part "producer TOPIC". The default is the observer of the client.
	Observer pipeline.Observer
}

// Compression is the name of a compression method.
type Compression string

// Choices returns the names of all methods.
func (Compression) Choices() []string { return []string{"none", "gzip", "snappy", "lz4", "zstd"} }

// Producer writes messages to topics. Each message is stored exactly once per call and acknowledged by all replicas.
// The producer retries until the context ends unless the error is permanent. Messages with the same key go to the
// same partition, in order. The partition is chosen by FNV-1a, as in Sarama and kafka-go's Hash. When the number of
// partitions of a topic changes, which is noticed within a second, keys move to other partitions.
type Producer struct {
	client   *Client
	cfg      ProducerConfig
	observer pipeline.Observer
	codec    compress.Compression
	hash     kafkago.Hash

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	// background is for reading ahead, which Close does not wait for.
	background    context.Context
	endBackground context.CancelFunc

	mu     sync.Mutex
	closed bool
	topics map[string]*topicQueues
}

// topicQueues are the queues of a topic for messages without a claim.
type topicQueues struct {
	queues  []*partitionQueue
	checked time.Time // when the number of partitions was last looked up
}

// Position is the place of a stored message. Offset is -1 if the broker only confirmed that the message was stored by
// an earlier attempt.
type Position struct {
	Partition int
	Offset    int64
}

// NewProducer returns a producer.
func NewProducer(c *Client, cfg ProducerConfig) (*Producer, error) {
	p := &Producer{client: c, cfg: cfg, observer: cfg.Observer, topics: map[string]*topicQueues{}}
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
		p.cfg.MaxMessageBytes = defaultMaxMessageBytes
	}
	if p.cfg.BatchBytes <= 0 {
		p.cfg.BatchBytes = 1 << 20
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.background, p.endBackground = context.WithCancel(p.ctx)
	return p, nil
}

// Fits reports whether a message is within MaxMessageBytes.
func (p *Producer) Fits(m *transport.Message) bool { return encodedBound(m) <= p.cfg.MaxMessageBytes }

// encodedBound returns an upper bound of the size of a batch with one message in bytes.
func encodedBound(m *transport.Message) int { return recordBound(m) + batchHeader }

// Produce stores ms and returns their positions, in the same order. A *pipeline.PartialError names the messages that
// can never be stored; the others are stored. If ctx ends first, messages that are not being sent yet are withdrawn.
// The others may or may not be stored, and their memory must not be overwritten because it may still be read.
func (p *Producer) Produce(ctx context.Context, topic string, ms ...transport.Message) ([]Position, error) {
	if len(ms) == 0 {
		return nil, nil
	}
	pos, failed := make([]Position, len(ms)), map[int]error{}
	left := all(len(ms)) // the messages to be sent
	for len(left) > 0 {
		queues, err := p.queues(ctx, topic)
		if err != nil {
			return nil, err
		}
		to, batch := make([]int, len(left)), make([]transport.Message, len(left))
		for j, i := range left {
			to[j], batch[j] = p.partition(ms[i].Key, len(queues)), ms[i]
		}
		c := newCall(len(left), nil)
		if err := p.produce(ctx, queues, to, batch, c); err != nil {
			return nil, err
		}
		var again []int
		for j, i := range left {
			switch err := c.failed[j]; {
			case err == nil:
				pos[i] = c.pos[j]
			case errors.Is(err, errMoved):
				again = append(again, i)
			case !pipeline.IsPermanent(err):
				return nil, err
			default:
				failed[i] = err
			}
		}
		left = again
	}
	return pos, pipeline.Partial(failed)
}

// partition returns the partition of a key. Messages with nil keys go to all partitions in turn.
func (p *Producer) partition(key []byte, partitions int) int {
	return p.hash.Balance(kafkago.Message{Key: key}, all(partitions)...)
}

// call holds the outcome of each message of a call of produce.
type call struct {
	// each, if set, is called once for every message, as soon as its outcome is known. That may be after produce has
	// returned because its context ended.
	each func(i int, pos Position, err error)

	mu     sync.Mutex
	left   int
	done   chan struct{}
	pos    []Position
	failed map[int]error
}

func newCall(n int, each func(i int, pos Position, err error)) *call {
	return &call{each: each, left: n, done: make(chan struct{}), pos: make([]Position, n), failed: map[int]error{}}
}

func (c *call) finish(i int, pos Position, err error) {
	if c.each != nil {
		c.each(i, pos, err)
	}
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

// produce sends ms to the given partitions and waits until each has its outcome, or until ctx ends.
func (p *Producer) produce(ctx context.Context, queues []*partitionQueue, to []int, ms []transport.Message,
	c *call,
) error {
	byPartition := map[int][]entry{}
	for i, m := range ms {
		if !p.Fits(&m) {
			c.finish(i, Position{}, pipeline.Permanent(fmt.Errorf("kafka: %w: found %s of %d bytes, limit %d",
				errTooLarge, clip.Text(m.EventID()), encodedBound(&m), p.cfg.MaxMessageBytes)))
			continue
		}
		byPartition[to[i]] = append(byPartition[to[i]], entry{m, c, i})
	}
	for i, es := range byPartition {
		queues[i].enqueue(es)
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		for i := range byPartition {
			queues[i].withdraw(c, ctx.Err())
		}
		return ctx.Err()
	}
}

// countEvery is how often the number of partitions of a topic is looked up.
const countEvery = time.Second

// queues returns the queues of a topic, one per partition. If the topic does not exist, it waits for it.
func (p *Producer) queues(ctx context.Context, topic string) ([]*partitionQueue, error) {
	return p.queuesSince(ctx, topic, time.Now().Add(-countEvery))
}

// queuesSince is queues with a number of partitions that was looked up at a time or later.
func (p *Producer) queuesSince(ctx context.Context, topic string, since time.Time) ([]*partitionQueue, error) {
	p.mu.Lock()
	t, closed := p.topics[topic], p.closed
	p.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if t != nil && t.checked.After(since) {
		return t.queues, nil
	}
	checked := time.Now()
	n, err := p.count(ctx, topic, t)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh := &topicQueues{checked: checked}
	if t = p.topics[topic]; t != nil && t.checked.After(checked) {
		return t.queues, nil // another goroutine has looked later
	} else if t != nil {
		fresh.queues = t.queues[:min(n, len(t.queues)):min(n, len(t.queues))]
	}
	if had := len(fresh.queues); t != nil && n != len(t.queues) {
		p.client.log.Warn("kafka: the number of partitions has changed; keys move to other partitions",
			"topic", topic, "partitions", n, "before", len(t.queues))
	} else if had == n && t != nil {
		fresh.queues = t.queues
	}
	for i := len(fresh.queues); i < n; i++ {
		fresh.queues = append(fresh.queues, &partitionQueue{p: p, topic: topic, partition: i, producer: noProducer})
	}
	p.topics[topic] = fresh
	return fresh.queues, nil
}

// counted returns the number of partitions that a topic had when it was last looked up.
func (p *Producer) counted(topic string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.topics[topic]; t != nil {
		return len(t.queues)
	}
	return 0
}

// count returns the number of partitions of a topic. If it cannot be looked up again, it is unchanged, unless the topic
// does not exist any more.
func (p *Producer) count(ctx context.Context, topic string, known *topicQueues) (int, error) {
	if known == nil {
		return p.client.Partitions(ctx, topic)
	}
	n, err := p.client.partitionsNow(ctx, topic)
	switch {
	case err == nil:
		return n, nil
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case !unknownPartition(err):
		return p.counted(topic), nil
	}
	p.client.log.Error("kafka: the topic does not exist any more; waiting until it is created again", "topic", topic)
	err = p.client.retry(ctx, "look up topic "+topic, func(ctx context.Context) (err error) {
		if p.isClosed() {
			return pipeline.Permanent(ErrClosed)
		}
		n, err = p.client.partitionsNow(ctx, topic)
		return err
	})
	return n, err
}

// Close waits until all messages are sent or ctx ends, then gives up on the rest. Later calls of Produce fail.
func (p *Producer) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.endBackground()
	done := make(chan struct{})
	go func() {
		p.wg.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("kafka: producer closed with unsent messages: %w", context.Cause(ctx))
	}
	p.cancel()
	<-done
	return err
}

// entry is a message to be sent: the i-th of its call.
type entry struct {
	m    transport.Message
	call *call
	i    int
}

// partitionQueue holds the messages to be sent to a partition. One batch is sent at a time. Messages that arrive
// meanwhile form the next batch, so batches grow with the load, and a single message is sent at once.
type partitionQueue struct {
	p         *Producer
	topic     string
	partition int

	// claim, if set, has the producer ID of the queue. Once it is lost, everything fails with errFenced.
	claim *claim

	mu      sync.Mutex
	queue   []entry
	sending bool

	// The fields below are owned by run. Each partition has its own producer ID unless it has a claim, so that a lost
	// sequence affects only one partition.
	producer int64
	epoch    int16
	sequence int32
}

const noProducer = -1

func (q *partitionQueue) enqueue(es []entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.sending && !q.p.start(q.run) {
		fail(es, ErrClosed)
		return
	}
	q.queue, q.sending = append(q.queue, es...), true
}

func (p *Producer) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// start runs f in a goroutine that Close waits for. It reports false after Close.
func (p *Producer) start(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.wg.Go(f)
	return true
}

// withdraw removes the messages of c from the queue. Their outcome is err.
func (q *partitionQueue) withdraw(c *call, err error) {
	q.mu.Lock()
	keep := q.queue[:0]
	var out []entry
	for _, e := range q.queue {
		if e.call != c {
			keep = append(keep, e)
		} else {
			out = append(out, e)
		}
	}
	clear(q.queue[len(keep):])
	q.queue = keep
	q.mu.Unlock()
	fail(out, err)
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

// send sends a batch. Every entry has its outcome when it returns.
func (q *partitionQueue) send(es []entry) {
	ms := make([]transport.Message, len(es))
	for i := range es {
		ms[i] = es[i].m
	}
	b, err := encodeBatch(ms, q.p.codec, q.p.client.clock.now())
	if err != nil {
		fail(es, pipeline.Permanent(err))
		return
	}
	var wait pipeline.Retry
	stamped := int64(noProducer)
	part, observer := producerPart(q.topic), q.p.observer
	for failures := 1; ; failures++ {
		if q.claim.isLost() {
			fail(es, errFenced)
			return
		}
		begin := time.Now()
		base, err := q.attempt(b, &stamped)
		if is(err, kafkago.DuplicateSequenceNumber) {
			base, err = -1, nil // an earlier attempt was stored
		}
		observer.Time(part, len(es), time.Since(begin), err)
		switch {
		case err == nil:
			observer.Count(part, pipeline.EventWritten, len(es))
			observer.Count(part, pipeline.EventBytes, len(b.raw))
			q.stored(es, base)
			return
		case messageRefused(err) && len(es) > 1:
			// One message is at fault, or all together are too large. Nothing was stored, so no sequence number was
			// used.
			for i := range es {
				q.send(es[i : i+1])
			}
			return
		case messageRefused(err):
			observer.Count(part, pipeline.EventFailed, 1)
			fail(es, pipeline.Permanent(fmt.Errorf("kafka: %s/%d refused a message of %d bytes: %w", q.topic,
				q.partition, len(b.raw), err)))
			return
		case unknownPartition(err) && q.gone():
			fail(es, errMoved)
			return
		case is(err, kafkago.InvalidTimestamp):
			// The same sequence number is used again: if an earlier attempt was stored, the broker recognizes it.
			q.p.client.clock.refused(q.p.client.log, q.topic, err)
			b.restamp(q.p.client.clock.now())
			stamped = noProducer
		case q.claim != nil && (sequenceLost(err) || is(err, kafkago.Unknown)):
			if q.claim.lose() {
				q.p.client.log.Warn("kafka: another process has claimed a partition, or the broker has lost the claim; "+
					"claiming it again, and skipping what is stored", "source", q.claim.source, "topic", q.topic, "error", err)
			}
			fail(es, fmt.Errorf("%w: %w", errFenced, err))
			return
		default:
			q.again(failures, err)
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

// again prepares another attempt after an error.
func (q *partitionQueue) again(failures int, err error) {
	log := q.p.client.log
	switch {
	case sequenceLost(err):
		log.Warn("kafka: the broker lost this producer's sequence; starting a new one",
			"topic", q.topic, "partition", q.partition, "error", err)
		q.producer = noProducer
		return
	case is(err, kafkago.Unknown):
		// The broker failed halfway, for example on a full disk. The embedded broker has already counted the sequence
		// although it stored nothing, so it would acknowledge a retry as a duplicate. With a new ID, the batch may be
		// stored twice, which sinks detect, but it is not lost.
		q.producer = noProducer
	case unknownPartition(err):
		// A new partition is unknown to the transport for a short time.
		if failures >= 8 && failures&(failures-1) == 0 {
			log.Error("kafka: the topic or partition does not exist; waiting until it is created",
				"topic", q.topic, "partition", q.partition, "failures", failures)
		}
		return
	}
	q.p.client.logRetry(fmt.Sprintf("produce to %s/%d", q.topic, q.partition), retrying, failures, err)
}

// gone reports whether the topic exists but the partition does not, because it was created again with fewer
// partitions.
func (q *partitionQueue) gone() bool {
	ctx, cancel := context.WithTimeout(q.p.ctx, requestTimeout)
	defer cancel()
	n, err := q.p.client.partitionsNow(ctx, q.topic)
	return err == nil && n <= q.partition
}

// stored finishes the entries of a stored batch. base is the offset of the first, or negative if it is unknown.
func (q *partitionQueue) stored(es []entry, base int64) {
	q.sequence = int32((int64(q.sequence) + int64(len(es))) & 0x7fffffff) // wraps to 0, as the protocol requires
	for i, e := range es {
		pos := Position{q.partition, -1}
		if base >= 0 {
			pos.Offset = base + int64(i)
		}
		e.call.finish(e.i, pos, nil)
	}
}

// producerPart returns the name for the observer of the producer of a topic.
func producerPart(topic string) string { return "producer " + topic }

func fail(es []entry, err error) {
	for _, e := range es {
		e.call.finish(e.i, Position{}, err)
	}
}

// attempt sends the batch once. It stamps the batch only if the producer ID has changed, because a retry must be
// identical to the byte. stamped is the producer ID of the batch, or noProducer.
func (q *partitionQueue) attempt(b recordBatch, stamped *int64) (base int64, err error) {
	ctx, cancel := context.WithTimeout(q.p.ctx, requestTimeout)
	defer cancel()
	if q.producer == noProducer {
		// -1 requests a new ID. The zero values would request an epoch of producer 0.
		res, err := q.p.client.kafka.InitProducerID(ctx,
			&kafkago.InitProducerIDRequest{ProducerID: -1, ProducerEpoch: -1})
		if err == nil {
			err = res.Error
		}
		if err != nil {
			return 0, fmt.Errorf("producer id: %w", err)
		}
		q.producer, q.epoch, q.sequence = int64(res.Producer.ProducerID), int16(res.Producer.ProducerEpoch), 0
	}
	if *stamped != q.producer { // q.producer is a valid ID here
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
		if res != nil && is(err, kafkago.InvalidTimestamp) {
			err = withReason(err, res.RecordErrors)
		}
		return 0, err
	}
	return res.BaseOffset, nil
}

// ProduceDeadLetter stores the dead letter of m on a topic. If the topic refuses it as too large, a smaller one is
// stored, without the value but with its size and digest. If the topic accepts none, the dead letter is only logged,
// because one message must not stop all others.
func (p *Producer) ProduceDeadLetter(ctx context.Context, topic string, m transport.Message,
	d transport.DeadLetter,
) error {
	return p.deadLetter(ctx, topic, m, d, func(ctx context.Context, m transport.Message) error {
		_, err := p.Produce(ctx, topic, m)
		return err
	})
}

// deadLetter is ProduceDeadLetter with a function that stores a message on the topic.
func (p *Producer) deadLetter(ctx context.Context, topic string, m transport.Message, d transport.DeadLetter,
	store func(context.Context, transport.Message) error,
) error {
	err := store(ctx, transport.DeadLetterOf(m, d))
	if !tooLarge(err) {
		return err
	}
	for _, small := range transport.Smaller(m, d) {
		if err = store(ctx, small); !tooLarge(err) {
			return err
		}
	}
	p.observer.Count(producerPart(topic), pipeline.EventLost, 1)
	p.client.log.Error("kafka: the topic refuses even a dead letter without a value; raise its max.message.bytes",
		"topic", topic, "event_id", clip.Text(m.EventID()), "from_topic", d.Topic, "partition", d.Partition,
		"offset", d.Offset, "stage", d.Stage, "reason", clip.Text(d.Error), "error", err)
	return nil
}
