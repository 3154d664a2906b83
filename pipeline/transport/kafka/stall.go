package kafka

import (
	"context"
	"time"
)

// stallPatience is how long a reader waits for something below the end of a log before it says so.
const stallPatience = 2 * time.Second

// stall detects a reader that gets nothing although the log continues, and logs it once.
type stall struct {
	at     int64 // the offset that is waited for
	since  time.Time
	logged bool
}

// empty takes note of an empty answer.
func (s *stall) empty(ctx context.Context, c *Client, set page) {
	offset, end := set.From, set.End
	if end < 0 || offset >= set.high {
		s.since = time.Time{}
		return
	}
	if s.since.IsZero() || s.at != offset {
		*s = stall{at: offset, since: time.Now()}
	}
	if s.logged || time.Since(s.since) < stallPatience {
		return
	}
	s.logged = true
	if offset < end {
		c.log.Warn("kafka: the broker returns no messages, although the log continues", "topic", set.Topic,
			"partition", set.Partition, "offset", offset, "end", end)
		return
	}
	c.log.Warn("kafka: waiting until another program ends its transaction; messages after its start cannot be read yet",
		"topic", set.Topic, "partition", set.Partition, "offset", offset, "end", set.high,
		"producer_id", c.openTransaction(ctx, set.Topic, set.Partition))
}
