package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
)

// How a candidate is tried.
const (
	modeShadow = "shadow"
	modeCanary = "canary"
)

// rollout is the stage that classifies while a candidate is tried: beside the serving model (shadow) or in its place
// for some streams (canary). A candidate that fails is not used any more.
type rollout struct {
	app     *app.Env
	network *network // that serves
	mode    string
	percent float64
	info    record.Model // of the candidate
	// candidate classifies with the candidate; nil if it failed a check. free closes it.
	candidate pipeline.BatchStage[classify.Item, record.Classification]
	free      func()
	threads   int // of each network that serves
	failed    atomic.Pointer[error]
	counts    comparison
	shadow    *shadow // nil for a canary
}

var _ pipeline.BatchStage[classify.Item, record.Classification] = (*rollout)(nil)

// newRollout prepares the configured candidate. It returns nil if there is none. A candidate that fails a check is
// reported and not used; only a missing file is an error.
func newRollout(ctx context.Context, a *app.Env, n *network, parallel int) (*rollout, error) {
	c := &a.Config.Model
	r := &rollout{app: a, network: n, mode: modeShadow, percent: c.ShadowPercent, threads: max(1, a.Threads()/parallel)}
	path := c.Shadow
	if c.Canary != "" {
		r.mode, r.percent, path = modeCanary, c.CanaryPercent, c.Canary
	}
	if path == "" {
		return nil, nil
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && path != models.Builtin && path != models.Objects {
		return nil, app.Usage(fmt.Errorf("model.%s: %w", r.mode, err))
	}
	if err := r.load(ctx, path); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		r.fail(err)
	}
	current, _ := n.inUse()
	r.counts.begin(current.Info)
	if r.info == current.Info {
		a.Log.Warn("the model on trial is the one that serves", "mode", r.mode, "model", r.info.Name,
			"version", r.info.Version)
	}
	if r.mode == modeShadow {
		r.shadow = newShadow()
		go r.work()
	}
	a.Live.Describe("rollout", func() any { return r.report() })
	return r, nil
}

// load loads, checks and warms up the candidate.
func (r *rollout) load(ctx context.Context, path string) error {
	m, err := models.LoadChecked(ctx, r.app, path, "")
	if err != nil {
		return err
	}
	r.info = m.Info
	o := r.network.options(m)
	o.Observer = trial{r.app.Observer, r.mode}
	networks := r.app.Config.Pipeline.Networks
	if r.mode == modeShadow {
		// One thread is what may be spare. It is also our own goroutine, so that we can recover from a panic.
		o.Batch, o.Threads, networks = shadowBatch, 1, 1
	} else {
		o.Observer = pipeline.Observers(pipeline.Observed(r.app.Observer), o.Observer)
	}
	pool, err := classify.NewPool(m.Model, o, networks)
	if err != nil {
		return err
	}
	if err := r.network.stage.Input().TakesSame(pool.Input()); err != nil {
		pool.Close()
		return fmt.Errorf("model %s, version %s: %w", m.Info.Name, m.Info.Version, err)
	}
	r.candidate, r.free = pool, pool.Close
	r.network.try(m.Info)
	r.app.Log.Info("trying a model", "mode", r.mode, "percent", r.percent, "model", m.Info.Name,
		"version", m.Info.Version)
	return nil
}

// fail stops the use of the candidate.
func (r *rollout) fail(err error) {
	if !r.failed.CompareAndSwap(nil, &err) {
		return
	}
	r.network.try(record.Model{})
	pipeline.Observed(r.app.Observer).Count(r.mode, pipeline.EventModelRefused, 1)
	if r.mode == modeShadow {
		r.app.Log.Warn("the shadow model failed and is not used any more", "error", err)
		return
	}
	r.app.Log.Error("the canary model failed; the serving model classifies all streams", "error", err)
}

// Close stops the candidate. No batch may be in progress.
func (r *rollout) Close() {
	if r.shadow != nil {
		r.finish(nil, 0)
	}
	if r.candidate != nil {
		r.free()
	}
}

// ProcessBatch classifies a batch.
func (r *rollout) ProcessBatch(ctx context.Context, items []classify.Item) ([]record.Classification, error) {
	if r.shadow == nil {
		return r.canary(ctx, items)
	}
	r.shadow.enter()
	out, took, err := r.serve(ctx, items)
	r.shadow.leave()
	r.offer(items, out, took)
	return out, err
}

// serve classifies a batch with the serving model. It returns the time of one thread for a volume.
func (r *rollout) serve(
	ctx context.Context, items []classify.Item,
) ([]record.Classification, time.Duration, error) {
	start := time.Now()
	out, err := r.network.stage.ProcessBatch(ctx, items)
	return out, r.perVolume(start, r.threads, len(items)), err
}

func (r *rollout) perVolume(start time.Time, threads, volumes int) time.Duration {
	return time.Since(start) * time.Duration(threads) / time.Duration(max(1, volumes))
}

// try classifies a batch with the candidate. A panic is an error.
func (r *rollout) try(ctx context.Context, items []classify.Item) (out []record.Classification, err error) {
	defer func() {
		if p := recover(); p != nil {
			r.app.Log.Error("panic in the model on trial", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return r.candidate.ProcessBatch(ctx, items)
}

// canary classifies the streams of the candidate with it, and the others with the serving model.
func (r *rollout) canary(ctx context.Context, items []classify.Item) ([]record.Classification, error) {
	var mine, others []int // indices into items
	trying := r.trying()
	stream, chosen := "", false
	for i := range items {
		if s := items[i].Stream; i == 0 || s != stream {
			stream, chosen = s, trying && share(s) < r.percent
		}
		if chosen {
			mine = append(mine, i)
		} else {
			others = append(others, i)
		}
	}
	out, failed := make([]record.Classification, len(items)), map[int]error{}
	put := func(which []int, part []record.Classification, took time.Duration, err error) error {
		bad, ok := failures(err)
		if !ok {
			return err
		}
		for j, i := range which {
			if err := bad[j]; err != nil {
				failed[i] = err
				continue
			}
			out[i] = part[j]
			r.count(&part[j], took)
		}
		return nil
	}
	if len(others) > 0 {
		part, took, err := r.serve(ctx, pick(items, others))
		if err := put(others, part, took, err); err != nil {
			return nil, err
		}
	}
	if len(mine) > 0 {
		if err := put(r.tryStreams(ctx, items, mine)); err != nil {
			return nil, err
		}
	}
	return out, pipeline.Partial(failed)
}

// tryStreams classifies some of the items with the candidate. If it fails for a volume that the serving model
// classifies, the candidate is at fault, and the results are those of the serving model.
func (r *rollout) tryStreams(
	ctx context.Context, items []classify.Item, which []int,
) (_ []int, out []record.Classification, took time.Duration, err error) {
	mine := pick(items, which)
	start := time.Now()
	out, err = r.try(ctx, mine)
	took = r.perVolume(start, r.threads, len(mine))
	if err == nil || ctx.Err() != nil {
		return which, out, took, err
	}
	instead, tookInstead, errInstead := r.serve(ctx, mine)
	worked, ok := failures(errInstead)
	if !ok {
		return which, nil, 0, errInstead
	}
	bad, partial := failures(err)
	atFault := !partial
	for i := range bad {
		atFault = atFault || worked[i] == nil
	}
	if !atFault {
		return which, out, took, err
	}
	r.fail(err)
	return which, instead, tookInstead, errInstead
}

// failures returns the errors of single items, by index. ok is false if err is about all of them.
func failures(err error) (failed map[int]error, ok bool) {
	if partial, is := errors.AsType[*pipeline.PartialError](err); is {
		return partial.Failed, true
	}
	return nil, err == nil
}

// pick returns some of the items.
func pick(items []classify.Item, which []int) []classify.Item {
	if len(which) == len(items) {
		return items
	}
	out := make([]classify.Item, len(which))
	for j, i := range which {
		out[j] = items[i]
	}
	return out
}

// trying reports whether the candidate is in use: it has not failed, and is not the model that serves.
func (r *rollout) trying() bool {
	current, _ := r.network.inUse()
	return r.candidate != nil && r.failed.Load() == nil && r.info != current.Info
}

// count counts the classification of a volume by one of the models.
func (r *rollout) count(c *record.Classification, took time.Duration) {
	if serving := r.serving(c.Model); serving || c.Model == r.info {
		r.counts.one(!serving, verdictOf(c, took))
	}
}

// serving reports whether a model is the one that serves. After a switch, the counts begin again.
func (r *rollout) serving(m record.Model) bool {
	current, _ := r.network.inUse()
	if m != current.Info {
		return false
	}
	r.counts.begin(m)
	return true
}

// share places a text in 0 to below 100, evenly, and in the same way in every process.
func share(text string) float64 {
	key := dedupe.Of(text)
	return float64(binary.BigEndian.Uint64(key[:8])>>11) / (1 << 53) * 100
}

// report compares the models; nil without a candidate.
func (r *rollout) report() *Rollout {
	if r == nil {
		return nil
	}
	out := &Rollout{Mode: r.mode, Percent: r.percent}
	out.Serving, out.Candidate = r.counts.models(r.info)
	if err := r.failed.Load(); err != nil {
		out.Failed = (*err).Error()
	}
	if r.shadow != nil {
		out.Shadow = r.counts.shadow()
	}
	return out
}

// trial observes the networks of a candidate under names of their own. What is counted by part only, such as
// unfamiliar volumes, would distort the sums over all parts.
type trial struct {
	to   pipeline.Observer // may be nil
	mode string
}

// Count does nothing.
func (trial) Count(string, pipeline.Event, int) {}

// Level does nothing.
func (trial) Level(string, pipeline.Level, int64) {}

// Time passes a duration on.
func (t trial) Time(part string, n int, d time.Duration, err error) {
	pipeline.Observed(t.to).Time(t.mode+" "+part, n, d, err)
}

// Score passes a score on.
func (t trial) Score(part string, score float64) { pipeline.Score(t.to, t.mode+" "+part, score) }
