package nn

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/op"
	"github.com/voxelstream/voxelstream/nn/internal/pass"
	"github.com/voxelstream/voxelstream/nn/internal/pool"
)

// Options configures a plan.
type Options struct {
	// Training plans can run Backward.
	Training bool
	// Threads is the number of threads; 0 means one per processor. The result does not depend on it.
	Threads int
	// Shared says that other goroutines need the processors too: threads do not stay on one while they wait.
	Shared bool
	// Palette makes the plan take palette indices instead of floats. The model must then have one input, whose
	// channels are the palette's: the last axis or, if that has another size, the first axis of a volume [C,D,H,W].
	Palette *Palette
	// Without names optimization passes to disable; "all" leaves only the reference operations.
	Without []string
	// Seed is the seed of random numbers in training (dropout).
	Seed uint64
	// Logits keeps the input of the activation that the model ends in; see [Plan.Logits].
	Logits bool
	// InputGrad plans can run Backward after any Forward, and it computes the gradients of the inputs; see
	// [Plan.InputGrad]. They take floats. Without Training, they compute no gradients of parameters, and leave out
	// penalties.
	InputGrad bool
	// Keep are nodes of the model's layers whose outputs the plan keeps; see [Plan.Kept].
	Keep []*Node
}

// Passes returns the name and description of each optimization pass, in the order in which they run.
func Passes() [][2]string {
	var out [][2]string
	for _, p := range pass.All {
		out = append(out, [2]string{p.Name, p.Doc})
	}
	return out
}

// CheckPasses returns an error if a name is not that of an optimization pass; "all" stands for all of them.
func CheckPasses(without []string) error { return pass.Check(without) }

// Plan runs a model for batches of up to a fixed size. All memory is allocated once; steps do not allocate. A plan
// must be used by one goroutine at a time. Plans of the same model share its parameters.
type Plan struct {
	model   *Model
	program *ir.Program
	grads   map[*Param][]float32
	// regularized are the trainable parameters with a penalty.
	regularized []*Param
	grad        func(*Param) []float32 // created once: a method value would allocate in every step
	seed        uint64
	step        uint64
	bound       int // samples of the last Forward
	train       bool
	logits      *ir.Value   // nil without Options.Logits
	kept        []*ir.Value // of Options.Keep
	watch       func(layer string, x []float32)
	timed       func(layer string, d time.Duration)
}

// Compile lowers the model for batches of up to batch samples, runs the passes and plans the memory.
func (m *Model) Compile(batch int, o Options) (*Plan, error) {
	if batch < 1 {
		return nil, fmt.Errorf("model %q: got batch size %d, want at least 1", m.Name, batch)
	}
	if o.Palette != nil {
		if err := m.checkPalette(o.Palette); err != nil {
			return nil, err
		}
		if o.InputGrad {
			return nil, fmt.Errorf("model %q: a plan that takes palette indices has no gradient of its input, want one "+
				"that takes float32", m.Name)
		}
	}
	for _, n := range o.Keep {
		if n.Layer == nil || !slices.Contains(m.nodes, n) {
			return nil, fmt.Errorf("model %q: node %q is not the output of one of its layers", m.Name, n.Name())
		}
	}
	p, logits, kept := m.lower(batch, o)
	if m.Exact {
		o.Without = append(slices.Clone(o.Without), "winograd", "winograd4")
	}
	if err := pass.Run(p, o.Without); err != nil {
		return nil, err
	}
	p.Pool = pool.New(o.Threads, o.Shared)
	p.Threads = p.Pool.Threads()
	p.Allocate()
	plan := &Plan{model: m, program: p, seed: o.Seed, grads: map[*Param][]float32{}, logits: logits, kept: kept}
	plan.grad = plan.Grad
	for _, param := range m.Params() {
		if !param.Trainable {
			continue
		}
		if param.Regularizer != (Regularizer{}) && o.penalties() {
			plan.regularized = append(plan.regularized, param)
		}
		if o.Training {
			plan.grads[param] = make([]float32, len(param.Value))
		}
	}
	return plan, nil
}

// penalties reports whether the plan computes the penalties of weights and activities.
func (o *Options) penalties() bool { return o.Training || !o.InputGrad }

func (m *Model) checkPalette(palette *Palette) error {
	if len(m.inputs) != 1 {
		return fmt.Errorf("model %q: palette input needs a model with one input, found %d", m.Name, len(m.inputs))
	}
	shape := m.inputs[0].Shape
	if palette.Channels < 1 || len(shape) == 0 || shape[len(shape)-1] != palette.Channels &&
		!channelsFirst(shape, palette) {
		return fmt.Errorf("model %q: found a palette of %d channels, want as many as the input %v", m.Name,
			palette.Channels, shape)
	}
	if len(palette.Colours) != 256*palette.Channels {
		return fmt.Errorf("model %q: found a palette of %d values, want 256 x %d", m.Name, len(palette.Colours),
			palette.Channels)
	}
	return nil
}

// channelsFirst reports whether the channels of an input come before depth, height and width.
func channelsFirst(shape Shape, palette *Palette) bool {
	return len(shape) == 4 && shape[3] != palette.Channels && shape[0] == palette.Channels
}

// Lower returns the reference operations of all layers as a program without memory. Passes start from it, and
// package nntest checks it.
func (m *Model) Lower(batch int, o Options) *ir.Program {
	p, _, _ := m.lower(batch, o)
	return p
}

// lower is Lower. It returns the values of Options.Logits and Options.Keep too, which are outputs of the program
// after those of the model.
func (m *Model) lower(batch int, o Options) (p *ir.Program, logits *ir.Value, kept []*ir.Value) {
	p = &ir.Program{
		Batch: batch, Training: o.Training || o.InputGrad, Palette: o.Palette, Precision: m.Precision,
	}
	values := map[*Node]*ir.Value{}   // what readers of a node read
	computed := map[*Node]*ir.Value{} // the same, or the original of a kept copy
	for _, in := range m.inputs {
		v := &ir.Value{Shape: in.Shape, NoGrad: !o.InputGrad}
		p.Inputs = append(p.Inputs, v)
		values[in] = v
	}
	if p.Palette != nil {
		in := m.inputs[0]
		values[in] = lowerPalette(p, in, values[in])
	}
	number := 0
	for _, n := range m.nodes {
		if n.Layer == nil {
			continue
		}
		l := &Lowering{Layer: n.Layer.Base(), Number: number, program: p}
		number++
		for _, in := range n.Inputs {
			l.Inputs = append(l.Inputs, values[in])
		}
		n.Layer.Lower(l)
		if r := l.Layer.ActivityRegularizer; r != (Regularizer{}) && o.penalties() {
			l.Emit(&op.Penalty{L1: r.L1, L2: r.L2}, n.Shape)
		}
		computed[n] = l.Output
		if slices.Contains(o.Keep, n) { // readers read a copy: operations may change the gradient of their output
			l.Emit(&op.Copy{}, n.Shape)
		}
		values[n] = l.Output
	}
	for _, out := range m.outputs {
		p.Outputs = append(p.Outputs, computed[out])
	}
	for _, n := range o.Keep {
		kept = append(kept, values[n])
	}
	if o.Logits && len(p.Outputs) == 1 {
		if logits = logitsOf(p); logits != nil {
			p.Outputs = append(p.Outputs, logits)
		}
	}
	p.Outputs = append(p.Outputs, kept...)
	return p, logits, kept
}

// logitsOf returns the input of the softmax or sigmoid that computes the first output, or nil if there is none.
func logitsOf(p *ir.Program) *ir.Value {
	for _, n := range slices.Backward(p.Nodes) {
		if n.Out != p.Outputs[0] {
			continue
		}
		switch o := n.Op.(type) {
		case *op.Softmax:
			return n.In[0]
		case *op.Elementwise:
			if o.Name == "sigmoid" {
				return n.In[0]
			}
		}
		return nil
	}
	return nil
}

// lowerPalette emits the operation that maps the indices of an input to colours.
func lowerPalette(p *ir.Program, in *Node, index *ir.Value) *ir.Value {
	emit := func(o ir.Op, from *ir.Value, shape Shape) *ir.Value {
		v := &ir.Value{Shape: shape, NoGrad: true}
		p.Nodes = append(p.Nodes, &ir.Node{Layer: in.name, Op: o, In: []*ir.Value{from}, Out: v})
		return v
	}
	if !channelsFirst(in.Shape, p.Palette) {
		return emit(&op.Expand{Palette: p.Palette}, index, in.Shape)
	}
	c, cells := in.Shape[0], in.Shape[1:].Size()
	first := &op.Gather{From: make([]int32, c*cells), Cells: c * cells, C: 1}
	for i := range first.From {
		first.From[i] = int32(i%cells*c + i/cells)
	}
	return emit(first, emit(&op.Expand{Palette: p.Palette}, index, append(slices.Clone(in.Shape[1:]), c)), in.Shape)
}

// Close stops the plan's threads.
func (p *Plan) Close() { p.program.Pool.Close() }

// Batch returns the maximum number of samples per call.
func (p *Plan) Batch() int { return p.program.Batch }

// Ops describes the operations that the plan runs, in order, by layer and kind.
func (p *Plan) Ops() []string {
	var out []string
	for _, n := range p.program.Nodes {
		out = append(out, fmt.Sprintf("%s: %T", n.Layer, n.Op))
	}
	return out
}

// Input returns the buffer of input i for the whole batch. Fill its first n samples, then call Forward. Nil if the
// plan takes palette indices.
func (p *Plan) Input(i int) []float32 { return p.program.Inputs[i].Data }

// Index returns the buffer of the palette input for the whole batch, one byte per voxel. Nil if the plan takes
// floats.
func (p *Plan) Index() []uint8 { return p.program.Inputs[0].Index }

// Output returns output i of the last Forward, for its n samples. It is valid until the next Forward.
func (p *Plan) Output(i int) []float32 {
	v := p.program.Outputs[i]
	return v.Data[:p.bound*v.Size()]
}

// Logits returns the input of the softmax or sigmoid that the model ends in, for the n samples of the last Forward,
// and the buffer for the derivative of the loss with respect to it, to which Backward adds what follows from
// OutputGrad. Probabilities near 0 and 1 lose what their logits still tell. Both are nil without Options.Logits, and
// if the model ends in anything else. A plan for inference has no grad.
func (p *Plan) Logits() (x, grad []float32) {
	if p.logits == nil {
		return nil, nil
	}
	return p.boundTo(p.logits)
}

// Kept returns the output of node i of Options.Keep, for the n samples of the last Forward, and its gradient, which
// Backward computes. Both are valid until the next Forward. A plan for inference has no grad.
func (p *Plan) Kept(i int) (x, grad []float32) { return p.boundTo(p.kept[i]) }

// boundTo returns a value and its gradient for the samples of the last Forward.
func (p *Plan) boundTo(v *ir.Value) (x, grad []float32) {
	x = v.Data[:p.bound*v.Size()]
	if v.Grad != nil {
		grad = v.Grad[:len(x)]
	}
	return x, grad
}

// Forward computes the outputs for the first n samples of the inputs. With train the layers behave as in training:
// dropout is active, and batch normalization uses the batch's statistics and updates the moving ones. The plan's
// seed and step determine the random numbers.
func (p *Plan) Forward(n int, train bool, step uint64) error {
	if n < 1 || n > p.program.Batch {
		return fmt.Errorf("model %q: got %d samples, want 1 to %d", p.model.Name, n, p.program.Batch)
	}
	if train && !p.program.Training {
		return errors.New("the plan was compiled for inference; set Options.Training")
	}
	p.bound, p.train, p.step = n, train, step
	p.program.Bind(n, train, p.seed, step, p.grad)
	for _, node := range p.program.Nodes {
		if p.watch != nil {
			if layer, ok := pass.Low(node); ok {
				p.watch(layer, node.Env.X[0])
			}
		}
		if p.timed == nil {
			node.Op.Forward(&node.Env)
			continue
		}
		begin := time.Now()
		node.Op.Forward(&node.Env)
		p.timed(node.Layer, time.Since(begin))
	}
	return nil
}

// Time makes Forward call f with the time that each operation took. Passes fuse layers into others: layer then has
// their names, joined by "+", and one layer may have several operations. A nil f ends it.
func (p *Plan) Time(f func(layer string, d time.Duration)) { p.timed = f }

// Watch makes Forward call f with the input of each layer that supports low precision, before the layer is
// computed.
func (p *Plan) Watch(f func(layer string, x []float32)) { p.watch = f }

// NonFinite returns the name of the first layer whose output in the last Forward of a training plan contains a NaN
// or an infinity, or "" if there is none.
func (p *Plan) NonFinite() string {
	for _, n := range p.program.Nodes {
		for _, v := range n.Env.Y {
			if v-v != 0 { // infinity minus itself is NaN too
				return n.Layer
			}
		}
	}
	return ""
}

// OutputGrad returns the buffer for the derivative of the loss with respect to output i, for the n samples of the
// last Forward. Fill it, then call Backward.
func (p *Plan) OutputGrad(i int) []float32 {
	v := p.program.Outputs[i]
	return v.Grad[:p.bound*v.Size()]
}

// InputGrad returns the gradient of input i after Backward, for the n samples of the last Forward. It is nil without
// Options.InputGrad, and valid until the next Backward.
func (p *Plan) InputGrad(i int) []float32 {
	_, grad := p.boundTo(p.program.Inputs[i])
	return grad
}

// Backward computes the gradient of every trainable parameter from OutputGrad, including the gradient of Penalty.
// It must follow a Forward with train, or any Forward of a plan with Options.InputGrad.
func (p *Plan) Backward() {
	for _, g := range p.grads {
		clear(g)
	}
	for _, in := range p.program.Inputs {
		if !in.GradSet {
			clear(in.Grad)
		}
	}
	for _, n := range p.program.Nodes {
		if !n.Out.GradSet && !p.isOutput(n.Out) {
			clear(n.Env.DY)
		}
	}
	for _, n := range slices.Backward(p.program.Nodes) {
		if !n.Out.NoGrad {
			n.Op.Backward(&n.Env)
		}
	}
	p.regularize()
}

// isOutput reports whether the caller writes the gradient of v.
func (p *Plan) isOutput(v *ir.Value) bool {
	return slices.Contains(p.program.Outputs, v) && !slices.Contains(p.kept, v)
}

// Grad returns the gradient of a trainable parameter after Backward; nil for others. It is valid until the next
// Backward.
func (p *Plan) Grad(param *Param) []float32 { return p.grads[param] }
