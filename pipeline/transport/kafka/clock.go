package kafka

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"
)

// clock stamps batches with the time of this machine. A broker refuses stamps that differ too much from its own time
// (message.timestamp.before.max.ms and message.timestamp.after.max.ms) and says what it accepts. From then on, stamps
// are shifted into that range. The stamps are only used for retention, which depends on the time of the broker
// anyway.
type clock struct {
	mu    sync.Mutex
	shift time.Duration
	last  time.Time // when the difference was last logged
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.shift)
}

const (
	// clockMargin is how far within the accepted range stamps are, if the range is large enough.
	clockMargin = time.Second
	// clockEvery is how often a refusal is logged.
	clockEvery = 10 * time.Second
)

// refused learns from the error of a refused stamp.
func (c *clock) refused(log *slog.Logger, topic string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	shift, known := shiftInto(now, err)
	if known {
		c.shift = shift
	}
	if now.Sub(c.last) < clockEvery {
		return
	}
	c.last = now
	if known {
		log.Error("kafka: the broker refuses the time of this machine; the clocks differ. Messages are sent with a "+
			"shifted time. Synchronize the clocks, for example with NTP", "topic", topic, "shift", shift.Round(time.Millisecond),
			"error", err)
		return
	}
	log.Error("kafka: the broker refuses the time of this machine; retrying. Synchronize the clocks, for example with NTP, "+
		"or raise the topic's message.timestamp.before.max.ms and message.timestamp.after.max.ms", "topic", topic,
		"time", now.UTC(), "error", err)
}

// acceptedRange matches the range of accepted times in the error of a broker, in milliseconds since 1970.
var acceptedRange = regexp.MustCompile(`within \[(-?\d+), (-?\d+)\]`)

// shiftInto returns what must be added to now for a time that the broker accepts.
func shiftInto(now time.Time, err error) (time.Duration, bool) {
	found := acceptedRange.FindStringSubmatch(err.Error())
	if found == nil {
		return 0, false
	}
	from, err1 := strconv.ParseInt(found[1], 10, 64)
	to, err2 := strconv.ParseInt(found[2], 10, 64)
	if cmp.Or(err1, err2) != nil || from > to {
		return 0, false
	}
	margin := min(clockMargin.Milliseconds(), to/2-from/2)
	at := now.UnixMilli()
	switch {
	case at < from+margin:
		at = from + margin
	case at > to-margin:
		at = to - margin
	}
	return time.Duration(at-now.UnixMilli()) * time.Millisecond, true
}

// withReason adds what a broker says of the records of a refused batch.
func withReason(err error, reasons map[int]error) error {
	for _, i := range slices.Sorted(maps.Keys(reasons)) {
		return fmt.Errorf("%w: %w", err, reasons[i])
	}
	return err
}
