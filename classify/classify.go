// Package classify classifies volumes with a network.
package classify

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Options configures a [Classifier]. The zero value is usable.
type Options struct {
	// Model identifies the model in classifications. Its digest is part of their key.
	Model record.Model
	// Preferences replace what the model's metadata says about its input.
	Preferences Preferences
	// TopK is the number of classes to report per classification; the default is 3.
	TopK int
	// Batch is the maximum number of volumes per forward pass; the default is 64. Larger batches are split.
	Batch int
	// Threads is the number of threads; 0 means one per CPU. The result does not depend on it.
	Threads int
	// Observer receives the duration of each forward pass, as part "network", and the time from reading its first
	// volume to its start, as part "queue". It may be nil.
	Observer pipeline.Observer
}

// Classifier classifies volumes with a network. It is a batch stage of a pipeline and must not be used concurrently.
type Classifier struct {
	options Options
	model   *nn.Model
	input   *Input
	plan    *nn.Plan
	judge   *Judge
}

var _ pipeline.BatchStage[Item, record.Classification] = (*Classifier)(nil)

// Item is a volume to classify.
type Item struct {
	voxelize.Volume
	// Read is the time at which the volume was read from the topic. Latency is measured from it.
	Read time.Time
	// Origin is where it was read; nil if it was no message.
	Origin *record.Origin
}

// New prepares a model whose input is volumes of one size (see Dims). Its output must be class probabilities of shape
// (C), logits (see Scored), or, for two classes, the probability of the second one as the output of a sigmoid, of
// shape (1). The caller must call Close.
//
// The model's metadata and the options' preferences determine which volumes it takes; see [InputOf].
func New(m *nn.Model, o Options) (*Classifier, error) {
	if o.TopK <= 0 {
		o.TopK = 3
	}
	if o.Batch <= 0 {
		o.Batch = 64
	}
	o.Observer = pipeline.Observed(o.Observer)
	in, err := InputOf(m, o.Preferences)
	if err != nil {
		return nil, err
	}
	if m, err = Scored(m); err != nil {
		return nil, err
	}
	c := &Classifier{options: o, model: m, input: in, judge: NewJudge(m, in)}
	if c.plan, err = m.Compile(o.Batch, nn.Options{
		Threads: o.Threads, Palette: in.Colours(), Logits: c.judge.NeedsLogits(),
	}); err != nil {
		return nil, err
	}
	if err := c.probe(); err != nil {
		c.plan.Close()
		return nil, err
	}
	return c, nil
}

// probe classifies an empty volume, to detect a network without a final softmax here instead of by implausible
// scores.
func (c *Classifier) probe() error {
	plan := c.plan
	if n, indices := c.input.Size(); indices {
		clear(plan.Index()[:n])
	} else {
		clear(plan.Input(0)[:n])
	}
	if err := plan.Forward(1, false, 0); err != nil {
		return err
	}
	sum := 0.0
	for _, p := range bothClasses(plan.Output(0)) {
		if !(p >= 0 && p <= 1) {
			return fmt.Errorf("model %s: found output %g for an empty volume, want probabilities, as from a "+
				"final softmax",
				c.model.Name, p)
		}
		sum += float64(p)
	}
	if math.Abs(sum-1) > 1e-3 {
		return fmt.Errorf("model %s: found outputs that sum to %g for an empty volume, want 1, as from a final softmax",
			c.model.Name, sum)
	}
	return nil
}

// Input describes the volumes that are accepted.
func (c *Classifier) Input() *Input { return c.input }

// Close stops the network's threads.
func (c *Classifier) Close() { c.plan.Close() }

// ProcessBatch returns one classification per item, in order. If some items cannot be classified, the error is a
// *pipeline.PartialError that lists them with permanent errors, and their classifications are empty.
func (c *Classifier) ProcessBatch(ctx context.Context, items []Item) ([]record.Classification, error) {
	out := make([]record.Classification, len(items))
	failed := map[int]error{}
	batch := make([]int, 0, min(len(items), c.options.Batch)) // indices into items
	for i := range items {
		v := &items[i].Volume
		if err := c.input.Check(v); err != nil {
			err = fmt.Errorf("volume %s, model %s: %w", v.ID.String(), c.options.Model.Name, err)
			failed[i] = pipeline.Permanent(err)
			continue
		}
		if batch = append(batch, i); len(batch) < c.options.Batch {
			continue
		}
		if err := c.pass(ctx, items, batch, out, failed); err != nil {
			return nil, err
		}
		batch = batch[:0]
	}
	if err := c.pass(ctx, items, batch, out, failed); err != nil {
		return nil, err
	}
	if len(failed) > 0 {
		return out, &pipeline.PartialError{Failed: failed}
	}
	return out, nil
}

// pass classifies one batch of volumes.
func (c *Classifier) pass(
	ctx context.Context, items []Item, batch []int, out []record.Classification, failed map[int]error,
) error {
	if len(batch) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	n, indices := c.input.Size()
	for j, i := range batch {
		if v := &items[i].Volume; indices {
			copy(c.plan.Index()[j*n:(j+1)*n], v.Index)
		} else if err := c.input.Put(c.plan.Input(0)[j*n:(j+1)*n], v); err != nil {
			return err
		}
	}
	begin := time.Now()
	if read := items[batch[0]].Read; !read.IsZero() {
		c.options.Observer.Time("queue", len(batch), begin.Sub(read), nil)
	}
	err := c.plan.Forward(len(batch), false, 0)
	c.options.Observer.Time("network", len(batch), time.Since(begin), err)
	if err != nil {
		return err
	}
	scores := c.plan.Output(0)
	logits, _ := c.plan.Logits()
	k := len(scores) / len(batch)
	now, unfamiliar := time.Now(), 0
	room := newRoom(items, batch, min(c.options.TopK, max(k, 2))) // a sigmoid stands for two classes
	for j, i := range batch {
		row := Row{Scores: scores[j*k : (j+1)*k]}
		if logits != nil {
			row.Logits = logits[j*k : (j+1)*k]
		}
		if indices {
			row.Index = c.plan.Index()[j*n : (j+1)*n]
		} else {
			row.X = c.plan.Input(0)[j*n : (j+1)*n]
		}
		top, err := room.top(c.judge.Scores(row))
		if err != nil {
			failed[i] = pipeline.Permanent(fmt.Errorf("volume %s: %w", items[i].ID.String(), err))
			continue
		}
		out[i] = c.classification(&items[i], top, now, room)
		out[i].Energy, out[i].Unfamiliar = c.judge.Energy(row)
		if out[i].Unfamiliar {
			unfamiliar++
		}
		pipeline.Score(c.options.Observer, "network", float64(top[0].Score))
	}
	if unfamiliar > 0 {
		c.options.Observer.Count("network", pipeline.EventUnfamiliar, unfamiliar)
	}
	return nil
}

func cellsOf(dims [3]int) string { return fmt.Sprintf("%dx%dx%d", dims[0], dims[1], dims[2]) }

// room is memory for what the classifications of a batch refer to.
type room struct {
	k      int // scores of a classification, at most
	scores []record.Score
	labels []int32
	ids    strings.Builder
}

func newRoom(items []Item, batch []int, k int) *room {
	r := &room{k: k, scores: make([]record.Score, 0, len(batch)*k), labels: make([]int32, 0, len(batch))}
	size := 0
	for _, i := range batch {
		size += len(items[i].Stream) + 24 // digits, and more for objects and views
	}
	r.ids.Grow(size)
	return r
}

// id returns the text of an ID.
func (r *room) id(id record.ID) string {
	var text [64]byte
	at := r.ids.Len()
	r.ids.Write(id.Append(text[:0]))
	return r.ids.String()[at:]
}

// label returns a pointer to a copy.
func (r *room) label(label int32) *int32 {
	r.labels = append(r.labels, label)
	return &r.labels[len(r.labels)-1]
}

// top returns the best classes, best first, and among equal scores the lower class first.
func (r *room) top(scores []float32) ([]record.Score, error) {
	at := len(r.scores)
	for class, s := range scores {
		if s != s {
			return nil, errors.New("the network's output is NaN")
		}
		s = min(s, 1) // rounding may exceed 1 slightly
		n := len(r.scores)
		switch {
		case n-at < r.k:
			r.scores = append(r.scores, record.Score{})
			n++
		case s <= r.scores[n-1].Score:
			continue
		}
		place := n - 1
		for ; place > at && r.scores[place-1].Score < s; place-- {
			r.scores[place] = r.scores[place-1]
		}
		r.scores[place] = record.Score{Class: class, Score: s}
	}
	return r.scores[at:len(r.scores):len(r.scores)], nil
}

func (c *Classifier) classification(v *Item, top []record.Score, now time.Time, r *room) record.Classification {
	out := record.Classification{
		EventID: r.id(v.ID), Stream: v.Stream, Seq: v.Seq, Object: v.Object, View: v.View, Time: v.Time,
		Track: v.Track, Origin: v.Origin,
		Model: c.options.Model, Class: top[0].Class, Score: top[0].Score, TopK: top,
	}
	if v.Box != nil {
		box := *v.Box // results must not refer to the memory of the batch
		out.Box = &box
	}
	if v.Distance != nil {
		distance := *v.Distance
		out.Distance = &distance
	}
	if v.Velocity != nil {
		velocity := *v.Velocity
		out.Velocity = &velocity
	}
	out.Name = c.model.ClassName(out.Class)
	if v.Label >= 0 {
		out.Label = r.label(v.Label)
	}
	if !v.Read.IsZero() {
		out.LatencyMS = float64(now.Sub(v.Read).Nanoseconds()) / 1e6
	}
	return out
}
