// Package classify classifies volumes: it joins a network (nn), volumes (voxelize) and what is said of them (sinks).
package classify

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// Options say how to classify. The zero value works.
type Options struct {
	// Model is what the classifications name; its digest is part of their key.
	Model record.Model
	// Colormap is the palette of a model that does not name its own.
	Colormap string
	// TopK is how many classes a classification lists; the default is 3.
	TopK int
	// Batch is the most volumes of one pass through the network; the default is 64. More volumes are classified in several passes.
	Batch int
	// Threads compute; 0 means one per processor. The result does not depend on it.
	Threads int
	// Observer is told of each pass through the network, as the part "network"; nil: nobody is.
	Observer pipeline.Observer
}

// Classifier is a network that is ready to classify: the batch stage of a pipeline. It is for one goroutine.
type Classifier struct {
	options Options
	classes []string
	dims    [3]int
	palette *colormap.Palette
	plan    *nn.Plan
}

var _ pipeline.BatchStage[Item, record.Classification] = (*Classifier)(nil)

// Item is a volume on its way.
type Item struct {
	voxelize.Volume
	// Read is when the volume was read off the topic: where its latency starts.
	Read time.Time
}

// New prepares a model that takes volumes of one size, in colours or as densities (see Dims), and gives the probabilities of classes, (C), or their logits
// (see Scored), or that of the second of two classes, (1), by a sigmoid. Close it.
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
	palette, err := Palette(m, o.Colormap)
	if err != nil {
		return nil, err
	}
	if m, err = Scored(m); err == nil {
		m, err = twoClasses(m)
	}
	if err != nil {
		return nil, err
	}
	plan, err := m.Compile(o.Batch, nn.Options{Threads: o.Threads, Palette: Plan(m, palette)})
	if err != nil {
		return nil, err
	}
	c := &Classifier{options: o, classes: m.Classes, dims: dims, palette: palette, plan: plan}
	if err := c.probe(m); err != nil {
		plan.Close()
		return nil, err
	}
	return c, nil
}

// Dims is depth, height and width of the volumes that a model takes, (D, H, W, C) or, as PyTorch has them, (C, D, H, W): of C = 3 colours, or of one
// channel, the density. An error says why it is no classifier of volumes.
func Dims(m *nn.Model) (dims [3]int, err error) {
	if len(m.Inputs()) != 1 || len(m.Outputs()) != 1 {
		return dims, fmt.Errorf("model %s: found %d inputs and %d outputs, want one of each", m.Name, len(m.Inputs()), len(m.Outputs()))
	}
	in, out := m.Inputs()[0].Shape, m.Outputs()[0].Shape
	if channels, first := layout(in); channels > 0 && len(out) == 1 {
		if out[0] == 1 && !activated(m.Outputs()[0].Layer, "sigmoid") {
			return dims, fmt.Errorf("model %s: its one output comes from layer %q; want a sigmoid there, which tells two classes apart", m.Name, m.Outputs()[0].Name())
		}
		if first {
			return [3]int(in[1:]), nil
		}
		return [3]int(in[:3]), nil
	}
	return dims, fmt.Errorf("model %s: found input %v and output %v, want (None, D, H, W, C) or (None, C, D, H, W) with 1 or 3 channels, and (None, classes)", m.Name, in, out)
}

// layout is the number of channels of an input, and whether they come first; 0 where it is no volume of 1 or 3 channels.
func layout(in nn.Shape) (channels int, first bool) {
	if len(in) != 4 {
		return 0, false
	}
	switch {
	case in[3] == 1 || in[3] == 3:
		return in[3], false
	case in[0] == 1 || in[0] == 3:
		return in[0], true
	}
	return 0, false
}

// Scored is a model that gives probabilities: m itself or, where it ends in logits, as PyTorch's classifiers do (a dense layer without activation, or the
// logarithms of probabilities), m with a softmax after them. It shares the parameters of m.
func Scored(m *nn.Model) (*nn.Model, error) {
	if len(m.Outputs()) != 1 || len(m.Outputs()[0].Shape) != 1 || !endsInLogits(m.Outputs()[0].Layer) {
		return m, nil
	}
	softmax := layers.NewSoftmax()
	softmax.Name = "probabilities"
	return extended(m, softmax)
}

func endsInLogits(l nn.Layer) bool {
	dense, ok := l.(*layers.Dense)
	return ok && dense.Units > 1 && activated(l, "linear") || activated(l, "log_softmax")
}

// activated tells whether a layer ends in that activation.
func activated(l nn.Layer, function string) bool {
	return l != nil && l.Config()["activation"] == function
}

// twoClasses makes the probabilities of both classes, 1-p and p, of one output p; a model with more is returned as it is.
func twoClasses(m *nn.Model) (*nn.Model, error) {
	if m.Outputs()[0].Shape[0] != 1 {
		return m, nil
	}
	both := layers.NewDense(2, "")
	both.Name = "probabilities"
	two, err := extended(m, both)
	if err != nil {
		return nil, err
	}
	copy(both.Params[0].Value, []float32{-1, 1})
	copy(both.Params[1].Value, []float32{1, 0})
	return two, nil
}

// extended is m with a layer on its output. It shares the parameters of m.
func extended(m *nn.Model, l nn.Layer) (*nn.Model, error) {
	out, err := nn.Apply(l, m.Outputs()[0])
	if err != nil {
		return nil, err
	}
	longer, err := nn.Functional(m.Name, m.Inputs(), []*nn.Node{out})
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", m.Name, err)
	}
	longer.Classes, longer.Colormap, longer.Precision = m.Classes, m.Colormap, m.Precision
	return longer, nil
}

// Palette is the colour map that a model was trained on, or the named one where the model does not say.
func Palette(m *nn.Model, otherwise string) (*colormap.Palette, error) {
	name := m.Colormap
	if name == "" {
		name = otherwise
	}
	if name == "" {
		name = string(voxelize.DefaultOptions().Colormap)
	}
	p, err := colormap.ByName(name)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", m.Name, err)
	}
	return p, nil
}

// Plan is a palette in the form that plans of m take; its background is entry 0, the colour of an empty cell. Of a model of one channel an entry is its place in
// the palette, 0 to 1: the density.
func Plan(m *nn.Model, p *colormap.Palette) *nn.Palette {
	if channels, _ := layout(m.Inputs()[0].Shape); channels == 1 {
		density := make([]float32, colormap.Size)
		for i := range density {
			density[i] = float32(i) / (colormap.Size - 1)
		}
		return &nn.Palette{Colours: density, Channels: 1}
	}
	colours := make([]float32, 0, 3*colormap.Size)
	for _, c := range p.RGB {
		colours = append(colours, c[:]...)
	}
	return &nn.Palette{Colours: colours, Channels: 3}
}

// probe classifies an empty volume: a network without softmax at its end is noticed here rather than by strange scores.
func (c *Classifier) probe(m *nn.Model) error {
	clear(c.plan.Index()[:c.cells()])
	if err := c.plan.Forward(1, false, 0); err != nil {
		return err
	}
	sum := 0.0
	for _, p := range c.plan.Output(0) {
		if !(p >= 0 && p <= 1) {
			return fmt.Errorf("model %s: gave an empty volume the output %g, want probabilities: its last activation must be softmax", m.Name, p)
		}
		sum += float64(p)
	}
	if math.Abs(sum-1) > 1e-3 {
		return fmt.Errorf("model %s: gave an empty volume outputs with the sum %g, want 1: its last activation must be softmax", m.Name, sum)
	}
	return nil
}

func (c *Classifier) cells() int { return c.dims[0] * c.dims[1] * c.dims[2] }

// Dims is the size of the volumes that it takes.
func (c *Classifier) Dims() [3]int { return c.dims }

// Colormap names the palette of the volumes that it takes.
func (c *Classifier) Colormap() string { return c.palette.Name }

// Close ends the network's threads.
func (c *Classifier) Close() { c.plan.Close() }

// check says why a volume does not fit the network.
func (c *Classifier) check(v *Item) error {
	switch {
	case v.Dims != c.dims:
		return fmt.Errorf("volume %s: found %v cells, want %v: the model %s takes no other size", v.ID.String(), v.Dims, c.dims, c.options.Model.Name)
	case v.Content != voxelize.PaletteContent(c.palette.Name):
		return fmt.Errorf("volume %s: found %v, want palette %s: the model %s takes no other",
			v.ID.String(), v.Content, c.palette.Name, c.options.Model.Name)
	}
	if err := v.Volume.Check(); err != nil {
		return fmt.Errorf("volume %s: %w", v.ID.String(), err)
	}
	return nil
}

// ProcessBatch gives one classification per item, in order. A *pipeline.PartialError names the items that the network cannot classify; they are
// permanently at fault, and their places in the result are empty.
func (c *Classifier) ProcessBatch(ctx context.Context, items []Item) ([]record.Classification, error) {
	out := make([]record.Classification, len(items))
	failed := map[int]error{}
	var batch []int // indices of items
	for i := range items {
		if err := c.check(&items[i]); err != nil {
			failed[i] = pipeline.Permanent(err)
			continue
		}
		if batch = append(batch, i); len(batch) < c.plan.Batch() {
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

// pass classifies one batch.
func (c *Classifier) pass(ctx context.Context, items []Item, batch []int, out []record.Classification, failed map[int]error) error {
	if len(batch) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	index := c.plan.Index()
	for j, i := range batch {
		copy(index[j*c.cells():], items[i].Index)
	}
	begin := time.Now()
	err := c.plan.Forward(len(batch), false, 0)
	c.options.Observer.Time("network", len(batch), time.Since(begin), err)
	if err != nil {
		return err
	}
	scores := c.plan.Output(0)
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
	if out.Class < len(c.classes) && c.classes[out.Class] != strconv.Itoa(out.Class) {
		out.Name = c.classes[out.Class]
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
