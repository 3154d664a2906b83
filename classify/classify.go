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

// Options configure a [Classifier]. The zero value is usable.
type Options struct {
	// Model identifies the model in classifications. Its digest is part of their key.
	Model record.Model
	// Colormap is the palette of a model that does not name its own.
	Colormap string
	// Raw says that raw values are expected. The network is made ready for those in New, else for palette indices
	// where it takes any; for the others when the first volume of them comes.
	Raw bool
	// TopK is the number of classes listed per classification; the default is 3.
	TopK int
	// Batch is the most volumes of one pass through the network; the default is 64. More volumes are classified in
	// several passes.
	Batch int
	// Threads is the number of threads; 0 means one per CPU. The result does not depend on it.
	Threads int
	// Observer is told of each pass through the network, as the part "network"; nil: nobody is.
	Observer pipeline.Observer
}

// Classifier classifies volumes with a network. It is a batch stage of a pipeline, and not safe for concurrent use.
type Classifier struct {
	options Options
	model   *nn.Model
	dims    [3]int
	// channels are those of the model's input, first says that they come before depth, height and width.
	channels int
	first    bool
	// palette is that of the volumes that it takes; nil where it takes none.
	palette *colormap.Palette
	// indexed and dense are the plans for palette indices and for raw values; nil where they were not needed yet.
	indexed, dense *nn.Plan
}

var _ pipeline.BatchStage[Item, record.Classification] = (*Classifier)(nil)

// Item is a volume to classify.
type Item struct {
	voxelize.Volume
	// Read is the time at which the volume was read from the topic. Latency is measured from it.
	Read time.Time
}

// New prepares a model that takes volumes of one size (see Dims) and gives the probabilities of classes, (C), or
// their logits (see Scored), or that of the second of two classes, (1), by a sigmoid. Close it.
//
// A model that names a colour map takes palette indices of that map only. Another one takes raw values whose
// channels are those of its input and, where these are 1 or 3, indices of the colour map of the options.
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

// plan is the one for raw values or for palette indices, compiled when it is first needed.
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

// probe classifies an empty volume: a network without softmax at its end is noticed here rather than by strange
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
			return fmt.Errorf("model %s: found output %g of an empty volume, want probabilities, as of a softmax at the end",
				c.model.Name, p)
		}
		sum += float64(p)
	}
	if math.Abs(sum-1) > 1e-3 {
		return fmt.Errorf("model %s: found outputs of an empty volume whose sum is %g, want 1, as of a softmax at the end",
			c.model.Name, sum)
	}
	return nil
}

func (c *Classifier) cells() int { return c.dims[0] * c.dims[1] * c.dims[2] }

// Dims is the size of the volumes that it takes.
func (c *Classifier) Dims() [3]int { return c.dims }

// Colormap names the palette of the volumes that it takes; empty where it takes none.
func (c *Classifier) Colormap() string {
	if c.palette == nil {
		return ""
	}
	return c.palette.Name
}

// TakesRaw says whether it takes volumes of raw values, which are to have as many channels as Channels says.
func (c *Classifier) TakesRaw() bool { return c.model.Colormap == "" }

// Channels is the number of values of a cell that the model takes.
func (c *Classifier) Channels() int { return c.channels }

// Takes names the content of the volumes that it takes: "palette Oranges, or raw values of 1 channel".
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

// Close ends the network's threads.
func (c *Classifier) Close() {
	for _, p := range []*nn.Plan{c.indexed, c.dense} {
		if p != nil {
			p.Close()
		}
	}
}

// check says why a volume does not fit the network.
func (c *Classifier) check(v *voxelize.Volume) error {
	if v.Dims != c.dims {
		return fmt.Errorf("found %s cells, want %s: the model %s takes no other size",
			cellsOf(v.Dims), cellsOf(c.dims), c.options.Model.Name)
	}
	fits := c.palette != nil && v.Content == voxelize.PaletteContent(c.palette.Name)
	if v.Content.Palette == "" {
		fits = c.TakesRaw() && v.Content.Channels == c.channels
	}
	if !fits {
		return fmt.Errorf("found %v, want %s: the model %s takes no other", v.Content, c.Takes(), c.options.Model.Name)
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

// ProcessBatch gives one classification per item, in order. A *pipeline.PartialError names the items that the
// network cannot classify; they are permanently at fault, and their places in the result are empty.
func (c *Classifier) ProcessBatch(ctx context.Context, items []Item) ([]record.Classification, error) {
	out := make([]record.Classification, len(items))
	failed := map[int]error{}
	var indexed, dense []int // indices of items
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

// pass classifies one batch of volumes that are all of palette indices, or none of them.
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

// spread writes the raw values of a volume in the axis order of the model's input.
func (c *Classifier) spread(dst []float32, v *voxelize.Volume) {
	if v.Content.Float && !c.first {
		copy(dst, v.Values)
		return
	}
	value := func(i int) float32 { return v.Values[i] }
	if !v.Content.Float {
		value = func(i int) float32 { return v.Content.Offset + v.Content.Scale*float32(v.Index[i]) }
	}
	cells, cell := 1, c.channels // how far apart the values of a cell are, and those of a channel
	if c.first {
		cells, cell = c.cells(), 1
	}
	for i := range c.cells() {
		for k := range c.channels {
			dst[i*cell+k*cells] = value(i*c.channels + k)
		}
	}
}

// top lists the best classes, best first; of equal ones the lower number.
func (c *Classifier) top(scores []float32) ([]record.Score, error) {
	all := make([]record.Score, len(scores))
	for i, s := range scores {
		if s != s {
			return nil, errors.New("the network's output is NaN")
		}
		all[i] = record.Score{Class: i, Score: min(s, 1)} // rounding may leave it a hair above
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
		EventID: v.ID.String(), Stream: v.Stream, Seq: v.Seq, Object: v.Object, View: v.View, Time: v.Time, Track: v.Track,
		Model: c.options.Model, Class: top[0].Class, Score: top[0].Score, TopK: top,
	}
	if v.Box != nil {
		box := *v.Box // results must not keep the memory of the batch
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
