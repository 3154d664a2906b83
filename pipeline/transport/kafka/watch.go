package kafka

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/voxelstream/voxelstream/pipeline"
)

// watched is the reported state of a consumer: whether it is a member of its group, and which partitions it owns.
type watched struct {
	mu        sync.Mutex
	notJoined error // why the consumer is not a member of the group; nil if it is
	owned     map[int]bool
	changed   chan struct{} // has a token when owned has changed
	cancel    context.CancelFunc
}

var (
	errJoining = errors.New("joining the group")
	errLeft    = errors.New("left the group")
)

// Joined returns nil if the consumer is a member of its group, or else the reason why it is not. A member may own no
// partition if the group has more members than the topic has partitions.
func (k *Consumer) Joined(context.Context) error {
	k.watched.mu.Lock()
	defer k.watched.mu.Unlock()
	return k.watched.notJoined
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
