package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/voxelstream/voxelstream/pipeline"
)

// claim is the exclusive right to write the events of a source to a topic. It consists of the producer ID of a
// transactional ID, which is made of source and topic, and the latest epoch when the claim was made. Making a claim
// raises the epoch and ends an empty transaction. Its markers carry the epoch to the leader of every partition. From
// then on, the leaders refuse all batches of older claims, including those that are still on their way or are sent
// again. The batches themselves are not transactional, so readers are not affected.
//
// A process that was frozen while it made its claim can take the claim from the rightful owner. So a process that has
// lost its claim makes a new one, and looks again at what the topic holds before it writes. Each event is written
// once, whichever process has the claim.
type claim struct {
	source   string
	producer int64 // noProducer if the cluster does not let us make claims
	epoch    int16
	made     time.Time
	queues   []*partitionQueue // one per partition of the topic
	lost     atomic.Bool
}

func (c *claim) isLost() bool { return c != nil && c.lost.Load() }

// lose marks the claim as lost. It reports false if it was lost already.
func (c *claim) lose() bool { return !c.lost.Swap(true) }

// fenced reports whether the claim is exclusive.
func (c *claim) fenced() bool { return c.producer != noProducer }

// valid reports whether the claim can be used for a topic of n partitions.
func (c *claim) valid(n int) bool {
	if c == nil || c.lost.Load() {
		return false
	}
	if !c.fenced() {
		return time.Since(c.made) < unfencedAge
	}
	return len(c.queues) == n && time.Since(c.made) < claimAge
}

const (
	// claimAge is how long a claim is used before it is made again. The cluster forgets transactional IDs that are not
	// used (transactional.id.expiration.ms, 7 days), and the leader of a partition forgets producers that do not write
	// to it (producer.id.expiration.ms, 1 day). A claim made afterwards would not refuse the batches of this one.
	claimAge = 6 * time.Hour
	// unfencedAge is how long to go on without claims before trying again.
	unfencedAge = 10 * time.Minute
	// coordinatorTime is how long to wait for the transaction coordinator. A cluster that can never have one, because it
	// has fewer brokers than transaction.state.log.replication.factor, must not stop the stream.
	coordinatorTime = 30 * time.Second
	// markerTime is how long to wait for the markers of a transaction before the claim is made again.
	markerTime = 15 * time.Second
	// concurrentWait is the wait for the end of the transaction before.
	concurrentWait = 20 * time.Millisecond
	// transactionTime is how long a transaction may remain open if this process dies in between. It is empty, so it
	// holds nobody up.
	transactionTime = 10 * time.Second
)

// errNoClaims is the error of a cluster that does not let us make claims.
var errNoClaims = errors.New("the cluster does not allow transactions")

// makeClaim raises the epoch of a source and sends it to all partitions. The claim is exclusive at a partition as soon as
// its marker can be read there.
func (p *Producer) makeClaim(ctx context.Context, source, topic string, partitions int) (*claim, error) {
	waiting, cancel := context.WithTimeoutCause(ctx, coordinatorTime, fmt.Errorf("not done within %v", coordinatorTime))
	defer cancel()
	var c *claim
	var last error
	err := p.client.retry(waiting, "claim "+source+" for "+topic, func(ctx context.Context) (err error) {
		if c, err = p.tryClaim(ctx, source, topic, partitions); err != nil && ctx.Err() == nil {
			last = err
		}
		if is(err, kafkago.TransactionalIDAuthorizationFailed, kafkago.UnsupportedVersion) {
			err = pipeline.Permanent(fmt.Errorf("%w: %w", errNoClaims, err))
		}
		return err
	})
	if err != nil && ctx.Err() == nil && noCoordinator(last) {
		err = fmt.Errorf("%w: %w", errNoClaims, err)
	}
	return c, err
}

// noCoordinator reports whether the cluster answers, but has no coordinator for transactions.
func noCoordinator(err error) bool {
	return is(err, kafkago.GroupCoordinatorNotAvailable, kafkago.NotCoordinatorForGroup, kafkago.GroupLoadInProgress)
}

func (p *Producer) tryClaim(ctx context.Context, source, topic string, partitions int) (*claim, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	c, id := &claim{source: source, made: time.Now()}, source+"/"+topic
	err := whileConcurrent(ctx, func() error {
		// -1 asks for the next epoch. The zero values would name producer 0.
		res, err := p.client.kafka.InitProducerID(ctx, &kafkago.InitProducerIDRequest{
			TransactionalID: id, TransactionTimeoutMs: int(transactionTime.Milliseconds()),
			ProducerID: -1, ProducerEpoch: -1,
		})
		if err == nil {
			err = res.Error
		}
		if err == nil {
			c.producer, c.epoch = int64(res.Producer.ProducerID), int16(res.Producer.ProducerEpoch)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("producer id: %w", err)
	}
	for i := range partitions {
		c.queues = append(c.queues, &partitionQueue{
			p: p, topic: topic, partition: i, claim: c, producer: c.producer, epoch: c.epoch,
		})
	}
	if err := p.announce(ctx, c, id, topic); err != nil {
		return nil, err
	}
	return c, nil
}

// announce ends an empty transaction, which sends the epoch of a claim to all partitions of the topic.
func (p *Producer) announce(ctx context.Context, c *claim, id, topic string) error {
	add := &kafkago.AddPartitionsToTxnRequest{
		TransactionalID: id, ProducerID: int(c.producer), ProducerEpoch: int(c.epoch),
		Topics: map[string][]kafkago.AddPartitionToTxn{},
	}
	for i := range c.queues {
		add.Topics[topic] = append(add.Topics[topic], kafkago.AddPartitionToTxn{Partition: i})
	}
	err := whileConcurrent(ctx, func() error {
		res, err := p.client.kafka.AddPartitionsToTxn(ctx, add)
		if err != nil {
			return err
		}
		for _, r := range res.Topics[topic] {
			if r.Error != nil && !is(r.Error, notAttempted) {
				return r.Error
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("add partitions: %w", err)
	}
	err = whileConcurrent(ctx, func() error {
		res, err := p.client.kafka.EndTxn(ctx, &kafkago.EndTxnRequest{
			TransactionalID: id, ProducerID: int(c.producer), ProducerEpoch: int(c.epoch), Committed: true,
		})
		if err == nil {
			err = res.Error
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("end transaction: %w", err)
	}
	return nil
}

// notAttempted is the error of a partition that was not added because of the error of another one. kafka-go has another
// name for the code.
const notAttempted = kafkago.Error(55)

// whileConcurrent repeats f while the coordinator is still ending the transaction before.
func whileConcurrent(ctx context.Context, f func() error) error {
	for {
		err := f()
		if !is(err, kafkago.ConcurrentTransactions) {
			return err
		}
		select {
		case <-time.After(concurrentWait):
		case <-ctx.Done():
			return err
		}
	}
}
