package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/voxelstream/voxelstream/pipeline"
)

// watched is the reported state of a consumer: whether it is a member of its group, and which partitions it owns.
type watched struct {
	mu        sync.Mutex
	notJoined error // why the consumer is not a member of the group; nil if it is
	missing   error // why there is nothing to consume; nil if the topic exists
	owned     map[int]bool
	changed   chan struct{} // has a token when owned has changed
	cancel    context.CancelFunc
}

var (
	errJoining = errors.New("joining the group")
	errLeft    = errors.New("left the group")
)

// Joined returns nil if the consumer is a member of its group and its topic exists, or else the reason. A member may own
// no partition if the group has more members than the topic has partitions.
func (k *Consumer) Joined(context.Context) error {
	k.watched.mu.Lock()
	defer k.watched.mu.Unlock()
	return cmp.Or(k.watched.missing, k.watched.notJoined)
}

const (
	// topicWatch is how often the consumer looks whether its topic exists.
	topicWatch = 2 * time.Second
	// missingAgain is how often it repeats that the topic does not.
	missingAgain = 30 * time.Second
)

// watchTopic reports that the topic has been deleted, until ctx ends.
func (k *Consumer) watchTopic(ctx context.Context) {
	tick := time.NewTicker(topicWatch)
	defer tick.Stop()
	var said time.Time
	for before := error(nil); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		_, err := k.client.partitions(ctx, k.cfg.Topic)
		missing := error(nil)
		switch {
		case is(err, kafkago.UnknownTopicOrPartition):
			missing = fmt.Errorf("topic %s does not exist; create it again, or stop this process", k.cfg.Topic)
		case err != nil:
			continue // nothing is known
		}
		// What the client knows may be of the time before the topic was created, so once is not enough.
		if missing != nil && before != nil && time.Since(said) >= missingAgain {
			said = time.Now()
			k.client.log.Error("kafka: the topic does not exist; it may have been deleted. Waiting until it is created",
				"topic", k.cfg.Topic, "group", k.cfg.Group)
		}
		if missing == nil && !said.IsZero() {
			said = time.Time{}
			k.client.log.Info("kafka: the topic exists again", "topic", k.cfg.Topic, "group", k.cfg.Group)
		}
		k.watched.mu.Lock()
		k.watched.missing = nil
		if before != nil {
			k.watched.missing = missing
		}
		k.watched.mu.Unlock()
		before = missing
	}
}

func (k *Consumer) joined(err error, partitions int) {
	k.watched.mu.Lock()
	k.watched.notJoined = err
	k.watched.mu.Unlock()
	k.observer.Level(k.part, pipeline.LevelPartitions, int64(partitions))
}

// begin records that a partition is owned.
func (w *watched) begin(partition int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.owned == nil {
		w.owned = map[int]bool{}
	}
	w.owned[partition] = true
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// end records that a partition is no longer owned. Its lag is reported by its next owner.
func (w *watched) end(k *Consumer, partition int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.owned, partition)
	k.observer.Level(pipeline.Partition(k.cfg.Topic, partition), pipeline.LevelLag, pipeline.Gone)
}

// watch reports the lag and the bytes in flight to the observer until ctx ends.
func (k *Consumer) watch(ctx context.Context) {
	tick := time.NewTicker(lagEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-k.watched.changed:
		case <-ctx.Done():
			return
		}
		k.observer.Level(k.part, pipeline.LevelBytesInFlight, k.cfg.Budget.InUse())
		bounded, cancel := context.WithTimeout(ctx, lagEvery)
		lag, err := k.client.Lag(bounded, k.cfg.Group, k.cfg.Topic)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			k.client.log.Debug("kafka: lag is unknown", "group", k.cfg.Group, "topic", k.cfg.Topic, "error", err)
			continue
		}
		k.watched.mu.Lock()
		for p := range k.watched.owned {
			k.observer.Level(pipeline.Partition(k.cfg.Topic, p), pipeline.LevelLag, max(lag[p], 0))
		}
		k.watched.mu.Unlock()
	}
}
