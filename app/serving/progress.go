package serving

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// progress counts the requests in progress.
type progress struct{ requests atomic.Int64 }

// count returns a handler like h whose requests are counted.
func (p *progress) count(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.requests.Add(1)
		defer p.requests.Add(-1)
		h.ServeHTTP(w, r)
	})
}

// drainPoll is how often drain checks.
const drainPoll = 5 * time.Millisecond

// drain waits until no request is in progress, ctx ends or abort is closed. Requests are still accepted.
func (p *progress) drain(ctx context.Context, abort <-chan struct{}) {
	t := time.NewTicker(drainPoll)
	defer t.Stop()
	for p.requests.Load() > 0 {
		select {
		case <-t.C:
		case <-abort:
			return
		case <-ctx.Done():
			return
		}
	}
}
