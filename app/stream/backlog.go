package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/internal/option"
)

// backlog keeps a producer from running so far ahead of its consumers that the broker's retention would delete what
// nobody has read yet.
type backlog struct {
	// lag is how many messages of the fullest partition are not settled.
	lag func(context.Context) (int64, error)
	// limit is in bytes, of one partition.
	limit int64
	// alone says that nobody else can read the topic now, so that waiting would never end.
	alone bool

	messages, bytes int64 // sent in all
	since           int64 // bytes since the last look
}

const backlogPoll = 50 * time.Millisecond

// backlogOf watches the group's lag on the topic of volumes. Half of what retention keeps of a partition may be unread.
func backlogOf(a *app.Env, cl *cluster, alone bool) *backlog {
	return &backlog{
		limit: int64(a.Config.Broker.RetentionBytes) / 2, alone: alone,
		lag: func(ctx context.Context) (most int64, err error) {
			lag, err := cl.client.Lag(ctx, a.Config.Kafka.Group, a.Config.Kafka.Volumes)
			for _, n := range lag {
				most = max(most, n)
			}
			return most, err
		},
	}
}

// wait is called before size bytes are sent. It returns when there is room for them; it looks only now and then.
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
