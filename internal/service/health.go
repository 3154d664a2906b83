package service

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Check returns nil if a part is ready, else an error with the reason.
type Check func(ctx context.Context) error

const (
	// checkTime limits the duration of a check.
	checkTime = 2 * time.Second
	// checkEvery is how long an answer is cached.
	checkEvery = time.Second
)

// Health holds the checks that determine whether the process is ready. The zero Health is ready. It is safe for
// concurrent use.
type Health struct {
	mu       sync.Mutex
	checks   []named
	stopping bool
	version  int // counts changes of checks

	asking   sync.Mutex // one goroutine runs the checks at a time
	last     Readiness
	asked    time.Time
	lastOf   int // the version that last belongs to
	interval time.Duration
}

type named struct {
	name  string
	check Check
}

// Readiness is the answer of /readyz.
type Readiness struct {
	Ready  bool          `json:"ready"`
	Checks []CheckResult `json:"checks"`
}

// CheckResult is the result of one check.
type CheckResult struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
	// Reason is why the part is not ready.
	Reason string `json:"reason,omitempty"`
}

// Reasons says in one line what is not ready.
func (r *Readiness) Reasons() string {
	var out []string
	for _, c := range r.Checks {
		if !c.Ready {
			out = append(out, c.Name+": "+c.Reason)
		}
	}
	return strings.Join(out, "; ")
}

// Register adds a check, or replaces the check of that name.
func (h *Health) Register(name string, c Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.version++
	if i := slices.IndexFunc(h.checks, func(n named) bool { return n.name == name }); i >= 0 {
		h.checks[i].check = c
		return
	}
	h.checks = append(h.checks, named{name, c})
}

// Stopping makes the process not ready, whatever the checks return, because it is about to end.
func (h *Health) Stopping() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopping = true
	h.version++
}

// Ready runs all checks concurrently. The result may be up to a second old.
func (h *Health) Ready(ctx context.Context) Readiness {
	h.asking.Lock()
	defer h.asking.Unlock()
	h.mu.Lock()
	checks, stopping, version := slices.Clone(h.checks), h.stopping, h.version
	h.mu.Unlock()
	if version == h.lastOf && !h.asked.IsZero() && time.Since(h.asked) < cmp.Or(h.interval, checkEvery) {
		return h.last
	}
	// The result is cached for other callers, so it must not depend on the context of this one.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTime)
	defer cancel()
	r := Readiness{Ready: true, Checks: make([]CheckResult, len(checks))}
	answers := make([]chan error, len(checks))
	for i, c := range checks {
		answers[i] = make(chan error, 1)
		go func() { answers[i] <- c.check(ctx) }()
	}
	for i, c := range checks {
		var err error
		select {
		case err = <-answers[i]:
		case <-ctx.Done():
			err = errors.New("no answer in time")
		}
		r.Checks[i] = CheckResult{Name: c.name, Ready: err == nil}
		if err != nil {
			r.Checks[i].Reason, r.Ready = err.Error(), false
		}
	}
	if stopping {
		r.Ready = false
		r.Checks = append(r.Checks, CheckResult{Name: "process", Reason: "stopping"})
	}
	h.last, h.asked, h.lastOf = r, time.Now(), version
	return r
}

// ready answers /readyz with status 200, or with 503 if something is not ready.
func (h *Health) ready(w http.ResponseWriter, r *http.Request) {
	answer := h.Ready(r.Context())
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	respond(w, status, answer)
}

// alive answers /healthz. A process that answers is alive.
func alive(w http.ResponseWriter, _ *http.Request) {
	respond(w, http.StatusOK, map[string]bool{"alive": true})
}

func respond(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

// State is a [Check] whose result is set by its owner.
type State struct {
	mu  sync.Mutex
	err error
}

// NewState returns a state that is not ready, for that reason.
func NewState(reason string) *State { return &State{err: errors.New(reason)} }

// Set sets the result: nil if the part is ready, else the reason.
func (s *State) Set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// Check returns the result.
func (s *State) Check(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
