package stream

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestBacklog: with a consumer half as fast as the producer the backlog stays below the limit and a little, and
// everything is sent.
func TestBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, limit, n = 1000, 80_000, 2000
		sent, start := int64(0), time.Now()
		settled := func() int64 { return min(sent, int64(time.Since(start)/(2*time.Millisecond))) }
		most := int64(0)
		b := &backlog{limit: limit, lag: func(context.Context) (int64, error) { return sent - settled(), nil }}
		for range n {
			if err := b.wait(t.Context(), size); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
			sent++
			most = max(most, sent-settled())
		}
		if most*size < limit/2 || most*size > limit+limit/8+size {
			t.Errorf("found a backlog of %d bytes, want about %d", most*size, limit)
		}
	})
}

func TestBacklogAlone(t *testing.T) {
	b := &backlog{limit: 1 << 20, alone: true, lag: func(context.Context) (int64, error) { return 2000, nil }}
	var err error
	for i := 0; i < 1000 && err == nil; i++ {
		err = b.wait(t.Context(), 1024)
	}
	if err == nil || !strings.Contains(err.Error(), "2000KiB") ||
		!strings.Contains(err.Error(), "broker.retention_bytes") {
		t.Errorf("found %v", err)
	}
}

// TestBacklogCancelled: a cluster that does not answer holds the producer until the context ends.
func TestBacklogCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		b := &backlog{limit: 8, lag: func(context.Context) (int64, error) { return 0, errors.New("away") }}
		if err := b.wait(ctx, 100); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("found %v", err)
		}
	})
}
