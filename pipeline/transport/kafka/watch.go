package kafka

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/voxelstream/voxelstream/pipeline"
)

// watched is what is told of a consumer while it works: whether it is a member, and which partitions it owns.
type watched struct {
	mu sync.Mutex
	// notJoined says why the consumer is no member of the group now; nil: it is.
	notJoined error
	owned     map[int]bool
	changed   chan struct{} // has a token when owned has changed
	cancel    context.CancelFunc
}

var errJoining = errors.New("joining the group")

// Joined says why the consumer is no member of its group now; nil: it is. A member may own no partition, where the
// group has more members than the topic has partitions.
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

// begin says that a partition is owned now.
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

// end says that it is not any more. Its lag is for others to tell.
func (w *watched) end(k *Consumer, partition int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.owned, partition)
	k.observer.Level(pipeline.Partition(k.cfg.Topic, partition), pipeline.LevelLag, pipeline.Gone)
}

// watch tells the observer of lag and budget until ctx ends.
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
