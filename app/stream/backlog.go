package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/internal/option"
)

// backlog delays a producer that is so far ahead of its consumers that the broker's retention would delete unread
// messages.
type backlog struct {
	// lag returns the number of unsettled messages in the partition that has most.
	lag func(context.Context) (int64, error)
	// limit is the maximum size of the unsettled messages of a partition in bytes.
	limit int64
	// alone is true if no other process can read the topic now, so waiting would never end.
	alone bool

	messages, bytes int64 // sent in total
	since           int64 // bytes since the last check
}

const backlogPoll = 50 * time.Millisecond

// backlogOf returns a backlog for the group on the volumes topic. Half of the retention size of a partition may be
// unread.
func backlogOf(a *app.Env, cl *cluster, alone bool) *backlog {
	lags := lags{env: a, client: cl.client}
	return &backlog{
		limit: int64(a.Config.Broker.RetentionBytes) / 2, alone: alone,
		lag: func(ctx context.Context) (most int64, err error) {
			lag, err := lags.get(ctx)
			for _, n := range lag {
				most = max(most, n)
			}
			return most, err
		},
	}
}

// wait is called before size bytes are sent. It waits until there is room for them, but checks only now and then.
func (b *backlog) wait(ctx context.Context, size int64) error {
	b.messages++
	b.bytes += size
	if b.since += size; b.since < b.limit/8 {
		return nil
	}
	for {
		lag, err := b.lag(ctx)
		behind := lag * (b.bytes / b.messages)
		if err == nil && behind < b.limit {
			b.since = 0
			return nil
		}
		if err == nil && b.alone {
			return fmt.Errorf("the topic holds %v of unclassified volumes, and the broker retains only %v per partition; "+
				"run classify first, or raise broker.retention_bytes",
				option.Bytes(behind), option.Bytes(2*b.limit))
		}
		select {
		case <-time.After(backlogPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
