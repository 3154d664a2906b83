// Package classify classifies volumes with a network.
package classify

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// Options configures a [Classifier]. The zero value is usable.
type Options struct {
	// Model identifies the model in classifications. Its digest is part of their key.
	Model record.Model
	// Colormap is the palette for models that do not specify one.
	Colormap string
	// Raw announces raw values. New compiles the network for them; otherwise for palette indices, if the model
	// accepts any. The network for the other kind is compiled when the first such volume arrives.
	Raw bool
	// TopK is the number of classes to report per classification; the default is 3.
	TopK int
	// Batch is the maximum number of volumes per forward pass; the default is 64. Larger batches are split.
	Batch int
	// Threads is the number of threads; 0 means one per CPU. The result does not depend on it.
	Threads int
	// Observer receives the duration of each forward pass, as part "network". It may be nil.
	Observer pipeline.Observer
}

// Classifier classifies volumes with a network. It is a batch stage of a pipeline and must not be used concurrently.
type Classifier struct {
	options Options
	model   *nn.Model
	dims    [3]int
	// channels is the number of channels of the model's input. first reports that they come before depth, height and
	// width.
	channels int
	first    bool
	// palette is the palette of accepted volumes, or nil if palette indices are not accepted.
	palette *colormap.Palette
	// indexed and dense are the plans for palette indices and raw values. They are nil until they are needed.
	indexed, dense *nn.Plan
}

var _ pipeline.BatchStage[Item, record.Classification] = (*Classifier)(nil)

// Item is a volume to classify.
type Item struct {
	voxelize.Volume
	// Read is the time at which the volume was read from the topic. Latency is measured from it.
	Read time.Time
}

// New prepares a model whose input is volumes of one size (see Dims). Its output must be class probabilities of shape
// (C), logits (see Scored), or, for two classes, the probability of the second one as the output of a sigmoid, of
// shape (1). The caller must call Close.
//
// A model that specifies a colour map accepts only palette indices of that map. Any other model accepts raw values
// with the channels of its input. If it has 1 or 3 channels, it also accepts indices of the colour map in the
// options.
func New(m *nn.Model, o Options) (*Classifier, error) {
	if o.TopK <= 0 {
		o.TopK = 3
	}
	if o.Batch <= 0 {
		o.Batch = 64
	}
	o.Observer = pipeline.Observed(o.Observer)
	dims, err := Dims(m)
	if err != nil {
		return nil, err
	}
	c := &Classifier{options: o, dims: dims}
	c.channels, c.first = layout(m.Inputs()[0].Shape)
	if m.Colormap != "" || colours(c.channels) {
		if c.palette, err = Palette(m, o.Colormap); err != nil {
			return nil, err
		}
	}
	if m, err = Scored(m); err == nil {
		m, err = twoClasses(m)
	}
	if err != nil {
		return nil, err
	}
	c.model = m
	plan, err := c.plan(c.palette == nil || o.Raw && c.TakesRaw())
	if err != nil {
		return nil, err
	}
	if err := c.probe(plan); err != nil {
		plan.Close()
		return nil, err
	}
	return c, nil
}

// plan returns the plan for raw values or for palette indices. It compiles the plan on first use.
func (c *Classifier) plan(raw bool) (*nn.Plan, error) {
	o, plan := nn.Options{Threads: c.options.Threads}, &c.dense
	if !raw {
		o.Palette, plan = Plan(c.model, c.palette), &c.indexed
	}
	if *plan == nil {
		p, err := c.model.Compile(c.options.Batch, o)
		if err != nil {
			return nil, err
		}
		*plan = p
	}
	return *plan, nil
}

// probe classifies an empty volume, to detect a network without a final softmax here instead of by implausible
// scores.
func (c *Classifier) probe(plan *nn.Plan) error {
	if plan == c.dense {
		clear(plan.Input(0)[:c.channels*c.cells()])
	} else {
		clear(plan.Index()[:c.cells()])
	}
	if err := plan.Forward(1, false, 0); err != nil {
		return err
	}
	sum := 0.0
	for _, p := range plan.Output(0) {
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

func (c *Classifier) cells() int { return c.dims[0] * c.dims[1] * c.dims[2] }

// Dims returns the size of accepted volumes: depth, height, width in cells.
func (c *Classifier) Dims() [3]int { return c.dims }

// Colormap returns the name of the palette of accepted volumes, or an empty string if palette indices are not
// accepted.
func (c *Classifier) Colormap() string {
	if c.palette == nil {
		return ""
	}
	return c.palette.Name
}

// TakesRaw reports whether volumes of raw values are accepted. They must have Channels channels.
func (c *Classifier) TakesRaw() bool { return c.model.Colormap == "" }

// Channels returns the number of values per cell of the model's input.
func (c *Classifier) Channels() int { return c.channels }

// Takes describes the content of accepted volumes, for example "palette Oranges, or raw values of 1 channel".
func (c *Classifier) Takes() string {
	var all []string
	if c.palette != nil {
		all = append(all, voxelize.PaletteContent(c.palette.Name).String())
	}
	if c.TakesRaw() {
		raw := "raw values of 1 channel"
		if c.channels != 1 {
			raw = fmt.Sprintf("raw values of %d channels", c.channels)
		}
		all = append(all, raw)
	}
	return strings.Join(all, ", or ")
}

// Close stops the network's threads.
func (c *Classifier) Close() {
	for _, p := range []*nn.Plan{c.indexed, c.dense} {
		if p != nil {
			p.Close()
		}
	}
}

// check reports a volume that the network cannot classify.
func (c *Classifier) check(v *voxelize.Volume) error {
	if v.Dims != c.dims {
		return fmt.Errorf("found %s cells, want %s, the input size of model %s",
			cellsOf(v.Dims), cellsOf(c.dims), c.options.Model.Name)
	}
	fits := c.palette != nil && v.Content == voxelize.PaletteContent(c.palette.Name)
	if v.Content.Palette == "" {
		fits = c.TakesRaw() && v.Content.Channels == c.channels
	}
	if !fits {
		return fmt.Errorf("found %v, want %s, the input of model %s", v.Content, c.Takes(), c.options.Model.Name)
	}
	if err := v.Check(); err != nil {
		return err
	}
	for i, x := range v.Values {
		if x-x != 0 {
			return fmt.Errorf("found value %g at cell (%d,%d,%d), want finite numbers",
				x, i/c.channels/(c.dims[1]*c.dims[2]), i/c.channels/c.dims[2]%c.dims[1], i/c.channels%c.dims[2])
		}
	}
	return nil
}

// ProcessBatch returns one classification per item, in order. If some items cannot be classified, the error is a
// *pipeline.PartialError that lists them with permanent errors, and their classifications are empty.
func (c *Classifier) ProcessBatch(ctx context.Context, items []Item) ([]record.Classification, error) {
	out := make([]record.Classification, len(items))
	failed := map[int]error{}
	var indexed, dense []int // indices into items
	for i := range items {
		v := &items[i].Volume
		if err := c.check(v); err != nil {
			failed[i] = pipeline.Permanent(fmt.Errorf("volume %s: %w", v.ID.String(), err))
			continue
		}
		batch := &dense
		if v.Content.Palette != "" {
			batch = &indexed
		}
		if *batch = append(*batch, i); len(*batch) < c.options.Batch {
			continue
		}
		if err := c.pass(ctx, items, *batch, out, failed); err != nil {
			return nil, err
		}
		*batch = (*batch)[:0]
	}
	for _, batch := range [][]int{indexed, dense} {
		if err := c.pass(ctx, items, batch, out, failed); err != nil {
			return nil, err
		}
	}
	if len(failed) > 0 {
		return out, &pipeline.PartialError{Failed: failed}
	}
	return out, nil
}

// pass classifies one batch of volumes, which hold either all palette indices or all raw values.
func (c *Classifier) pass(
	ctx context.Context, items []Item, batch []int, out []record.Classification, failed map[int]error,
) error {
	if len(batch) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	raw := items[batch[0]].Content.Palette == ""
	plan, err := c.plan(raw)
	if err != nil {
		return err
	}
	for j, i := range batch {
		if v := &items[i].Volume; raw {
			c.spread(plan.Input(0)[j*c.channels*c.cells():][:c.channels*c.cells()], v)
		} else {
			copy(plan.Index()[j*c.cells():], v.Index)
		}
	}
	begin := time.Now()
	err = plan.Forward(len(batch), false, 0)
	c.options.Observer.Time("network", len(batch), time.Since(begin), err)
	if err != nil {
		return err
	}
	scores := plan.Output(0)
	n := len(scores) / len(batch)
	now := time.Now()
	for j, i := range batch {
		top, err := c.top(scores[j*n : (j+1)*n])
		if err != nil {
			failed[i] = pipeline.Permanent(fmt.Errorf("volume %s: %w", items[i].ID.String(), err))
			continue
		}
		out[i] = c.classification(&items[i], top, now)
	}
	return nil
}

func cellsOf(dims [3]int) string { return fmt.Sprintf("%dx%dx%d", dims[0], dims[1], dims[2]) }

// spread copies the raw values of a volume in the axis order of the model's input.
func (c *Classifier) spread(dst []float32, v *voxelize.Volume) {
	if v.Content.Float && !c.first {
		copy(dst, v.Values)
		return
	}
	value := func(i int) float32 { return v.Values[i] }
	if !v.Content.Float {
		value = func(i int) float32 { return v.Content.Offset + v.Content.Scale*float32(v.Index[i]) }
	}
	cellStride, channelStride := c.channels, 1
	if c.first {
		cellStride, channelStride = 1, c.cells()
	}
	for i := range c.cells() {
		for k := range c.channels {
			dst[i*cellStride+k*channelStride] = value(i*c.channels + k)
		}
	}
}

// top returns the best classes, best first, and among equal scores the lower class first.
func (c *Classifier) top(scores []float32) ([]record.Score, error) {
	all := make([]record.Score, len(scores))
	for i, s := range scores {
		if s != s {
			return nil, errors.New("the network's output is NaN")
		}
		all[i] = record.Score{Class: i, Score: min(s, 1)} // rounding may exceed 1 slightly
	}
	slices.SortStableFunc(all, func(a, b record.Score) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return 0
	})
	return all[:min(c.options.TopK, len(all))], nil
}

func (c *Classifier) classification(v *Item, top []record.Score, now time.Time) record.Classification {
	out := record.Classification{
		EventID: v.ID.String(), Stream: v.Stream, Seq: v.Seq, Object: v.Object, View: v.View, Time: v.Time,
		Track: v.Track,
		Model: c.options.Model, Class: top[0].Class, Score: top[0].Score, TopK: top,
	}
	if v.Box != nil {
		box := *v.Box // results must not refer to the memory of the batch
		out.Box = &box
	}
	if names := c.model.Classes; out.Class < len(names) && names[out.Class] != strconv.Itoa(out.Class) {
		out.Name = names[out.Class]
	}
	if v.Label >= 0 {
		label := v.Label
		out.Label = &label
	}
	if !v.Read.IsZero() {
		out.LatencyMS = float64(now.Sub(v.Read).Nanoseconds()) / 1e6
	}
	return out
}
