package stream

import (
	"context"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/voxelstream/voxelstream/internal/clip"
)

// The limits of dead letters with the same reason. Without them, a covered lens or hostile packets would make so many
// that retention deletes the others.
const (
	// sensorBurst is how many dead letters of a live source are stored one by one, and sensorEvery how often one more
	// is allowed afterwards.
	sensorBurst = 100
	sensorEvery = 10 * time.Second
	// itemBurst and itemEvery are the same for files, watched folders and requests.
	itemBurst = 10_000
	itemEvery = time.Second
	// firstSummary is how long the first summary of a reason waits for more items. Each following one waits twice as
	// long, up to lastSummary.
	firstSummary = time.Second
	lastSummary  = 10 * time.Minute
	// maxReasons limits the reasons that are told apart.
	maxReasons = 256
)

// reason identifies dead letters that are counted together.
type reason struct{ input, stage, text string }

// otherReason replaces the reasons after the first maxReasons.
var otherReason = reason{text: "other reasons"}

// varying are the parts of an error that differ from item to item.
var varying = regexp.MustCompile(`"[^"]*"|[0-9][0-9a-fA-F.x]*`)

// flood is the state of a reason.
type flood struct {
	tokens float64
	at     time.Time // when tokens was valid
	sum    *summary  // the items that are not stored yet
	wait   time.Duration
	timer  *time.Timer
}

// summary stands for several dead letters.
type summary struct {
	deadLetter // the first one
	count      int64
	last       string // the ID of the last item
	began      time.Time
}

// floods decides which dead letters are stored one by one. The others are summarized.
type floods struct {
	store func(context.Context, deadLetter) error // stores a summary
	fail  func(deadLetter, error)                 // is called for a summary that cannot be stored

	ctx    context.Context // of storing summaries
	cancel context.CancelFunc

	mu    sync.Mutex
	known map[reason]*flood
	wg    sync.WaitGroup
	ended bool
}

func newFloods(store func(context.Context, deadLetter) error, fail func(deadLetter, error)) *floods {
	f := &floods{store: store, fail: fail, known: map[reason]*flood{}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// add returns true if a dead letter is to be stored by itself. Otherwise it becomes a part of a summary.
func (f *floods) add(d deadLetter) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	burst, every := float64(itemBurst), itemEvery
	if d.sensor {
		burst, every = sensorBurst, sensorEvery
	}
	key := reason{d.Input, d.Stage, varying.ReplaceAllString(d.Error[:min(len(d.Error), 200)], "#")}
	state := f.known[key]
	if state == nil && len(f.known) >= maxReasons {
		key = otherReason
		state = f.known[key]
	}
	now := time.Now()
	if state == nil {
		state = &flood{tokens: burst, at: now, wait: firstSummary}
		f.known[key] = state
	}
	state.tokens = min(burst, state.tokens+float64(now.Sub(state.at))/float64(every))
	if now.Sub(state.at) > 2*state.wait && state.sum == nil {
		state.wait = firstSummary // it has been quiet
	}
	state.at = now
	// A sensor that sees nothing is no fault, so not even the first such items are stored one by one.
	if state.tokens >= 1 && !(d.sensor && d.empty) || f.ended {
		state.tokens--
		return true
	}
	if state.sum == nil {
		state.sum = &summary{deadLetter: d, began: now}
		f.wg.Add(1)
		state.timer = time.AfterFunc(state.wait, func() {
			defer f.wg.Done()
			f.flush(state)
		})
		state.wait = min(2*state.wait, lastSummary)
	}
	state.sum.count++
	state.sum.last = d.id().String()
	return false
}

// flush stores the summary of a reason.
func (f *floods) flush(state *flood) {
	f.mu.Lock()
	sum := state.sum
	state.sum = nil
	f.mu.Unlock()
	if sum == nil {
		return
	}
	d := sum.letter(time.Now())
	if err := f.store(f.ctx, d); err != nil {
		f.fail(d, err)
	}
}

// letter returns the dead letter that stands for the others.
func (s *summary) letter(now time.Time) deadLetter {
	d := s.deadLetter
	if s.count == 1 {
		return d
	}
	d.Count, d.Last = s.count, s.last
	d.Error = fmt.Sprintf("%d items from %v to %s within %v: %s", s.count, d.id(), s.last,
		now.Sub(s.began).Round(time.Millisecond), clip.Text(d.Error))
	return d
}

// end stores the summaries that are waiting, until ctx ends. Later dead letters are stored one by one.
func (f *floods) end(ctx context.Context) {
	defer f.cancel()
	defer context.AfterFunc(ctx, f.cancel)()
	f.mu.Lock()
	f.ended = true
	var waiting []*flood
	for _, state := range f.known {
		if state.timer != nil && state.timer.Stop() {
			f.wg.Done()
			waiting = append(waiting, state)
		}
	}
	f.mu.Unlock()
	for _, state := range waiting {
		f.flush(state)
	}
	f.wg.Wait()
}
