package train

import (
	"math"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// Rule is the update rule of an optimizer: how a parameter changes with its gradient.
type Rule interface {
	// Class returns the Keras class name. The exported fields of a rule, under their JSON names, are the attributes
	// of that class.
	Class() string
	// Slots names the arrays, initially zero, that the rule keeps for each parameter. They are grouped as Keras
	// stores them: one group after the other, parameter by parameter within a group.
	Slots() [][]string
	// Update applies one step to the parameter's values. slots are the arrays in the order of Slots. iteration
	// counts from 1.
	Update(value, gradient []float32, slots [][]float32, rate float64, iteration int64)
}

// Optimizer updates the trainable parameters of a model with the gradients of a plan's last Backward. It does what
// every Keras optimizer does, in the same order: clip, decay, update with the rule, average.
type Optimizer struct {
	Rule Rule
	// Rate is the learning rate. Schedule, if not nil, sets it before each step.
	Rate     float64
	Schedule Schedule
	// WeightDecay is the decoupled weight decay: each parameter is reduced by WeightDecay*Rate times itself before
	// its update (Loshchilov & Hutter 2019). As in Keras, this includes biases.
	WeightDecay float64
	// Clip bounds the gradients.
	Clip Clip
	// EMA averages the parameters.
	EMA EMA
	// Iterations counts the steps so far.
	Iterations int64

	params  []*nn.Param
	slots   [][][]float32 // by parameter, then in the order of Slots
	average [][]float32   // by parameter; nil without EMA
}

// Clip limits gradients. 0 means no limit, and at most one field is above 0.
type Clip struct {
	// Norm is the maximum Euclidean norm of each parameter's gradient (clipnorm), and GlobalNorm that of all
	// gradients together (Pascanu, Mikolov & Bengio 2013; global_clipnorm). Larger gradients are scaled down. Value
	// is the maximum absolute value of each element (clipvalue); larger elements are clipped.
	Norm, GlobalNorm, Value float64
}

// EMA is an exponential moving average of the parameters, which replaces them when training ends (Polyak & Juditsky
// 1992). After each step average = Momentum average + (1-Momentum) parameter; after the first step it is the
// parameter itself.
type EMA struct {
	// Momentum is Keras's ema_momentum, usually .99; 0 means no average.
	Momentum float64
	// OverwriteEvery is the number of steps after which the average replaces the parameters; 0 means only when
	// training ends.
	OverwriteEvery int64
}

// New returns an optimizer of the model's trainable parameters. The rule's attributes must not be changed
// afterwards.
func New(m *nn.Model, rule Rule, rate float64) *Optimizer {
	o := &Optimizer{Rule: rule, Rate: rate}
	count := 0
	for _, group := range rule.Slots() {
		count += len(group)
	}
	for _, p := range m.Params() {
		if !p.Trainable {
			continue
		}
		arrays := make([][]float32, count)
		for i := range arrays {
			arrays[i] = make([]float32, len(p.Value))
		}
		o.params, o.slots = append(o.params, p), append(o.slots, arrays)
	}
	return o
}

// Step updates the parameters with the gradients of the plan's last Backward, which it may clip in place. It does
// not apply constraints; the model does.
func (o *Optimizer) Step(plan *nn.Plan) {
	if o.Schedule != nil {
		o.Rate = o.Schedule.Rate(o.Iterations)
	}
	o.clip(plan)
	if o.WeightDecay != 0 {
		decay := float32(o.WeightDecay * o.Rate)
		for _, p := range o.params {
			kernel.AddScaled(-decay, p.Value, p.Value)
		}
	}
	for i, p := range o.params {
		o.Rule.Update(p.Value, plan.Grad(p), o.slots[i], o.Rate, o.Iterations+1)
	}
	o.Iterations++
	o.accumulate()
}

// clip limits the gradients. Sums are in double precision, in the order of the parameters.
func (o *Optimizer) clip(plan *nn.Plan) {
	switch {
	case o.Clip.Norm > 0:
		for _, p := range o.params {
			g := plan.Grad(p)
			shrink(g, o.Clip.Norm, squares(g))
		}
	case o.Clip.GlobalNorm > 0:
		var sum float64
		for _, p := range o.params {
			sum += squares(plan.Grad(p))
		}
		for _, p := range o.params {
			shrink(plan.Grad(p), o.Clip.GlobalNorm, sum)
		}
	case o.Clip.Value > 0:
		limit := float32(o.Clip.Value)
		for _, p := range o.params {
			g := plan.Grad(p)
			for i := range g {
				g[i] = min(max(g[i], -limit), limit)
			}
		}
	}
}

// squares returns the sum of the squares, computed as four independent partial sums.
func squares(g []float32) float64 {
	var sums [4]float64
	for len(g) >= len(sums) {
		for i, v := range g[:len(sums)] {
			sums[i] += float64(v) * float64(v)
		}
		g = g[len(sums):]
	}
	for i, v := range g {
		sums[i] += float64(v) * float64(v)
	}
	return sums[0] + sums[1] + sums[2] + sums[3]
}

// shrink scales g down to the given norm if its sum of squares is larger.
func shrink(g []float32, norm, squares float64) {
	if squares <= norm*norm {
		return
	}
	scale := float32(norm / math.Sqrt(squares))
	for i := range g {
		g[i] *= scale
	}
}

// accumulate updates the averages, and overwrites the parameters with them when due.
func (o *Optimizer) accumulate() {
	if o.EMA.Momentum == 0 {
		return
	}
	o.averages()
	momentum := float32(o.EMA.Momentum)
	if o.Iterations == 1 {
		momentum = 0
	}
	for i, p := range o.params {
		kernel.Blend(o.average[i], p.Value, momentum, 1-momentum)
	}
	if every := o.EMA.OverwriteEvery; every > 0 && o.Iterations%every == 0 {
		o.Finalize()
	}
}

// averages allocates the averages, once.
func (o *Optimizer) averages() {
	if o.average == nil {
		o.average = make([][]float32, len(o.params))
		for i, p := range o.params {
			o.average[i] = make([]float32, len(p.Value))
		}
	}
}

// Finalize sets the parameters to their averages, if there are any. Fit calls it when training is complete.
func (o *Optimizer) Finalize() {
	if o.EMA.Momentum == 0 || o.Iterations == 0 {
		return
	}
	o.averages()
	for i, p := range o.params {
		copy(p.Value, o.average[i])
	}
}

// Slot is one array of an optimizer's state.
type Slot struct {
	// Name is the Keras name: "momentum", "velocity", "average".
	Name string
	// Param is the parameter that Value belongs to, element by element. Value shares memory with the optimizer.
	Param *nn.Param
	Value []float32
}

// State returns the optimizer's arrays in the order in which Keras stores them, after the iteration count and the
// learning rate.
func (o *Optimizer) State() []Slot {
	var state []Slot
	if o.EMA.Momentum != 0 {
		o.averages()
		for i, p := range o.params {
			state = append(state, Slot{"average", p, o.average[i]})
		}
	}
	first := 0
	for _, group := range o.Rule.Slots() {
		for i, p := range o.params {
			for j, name := range group {
				state = append(state, Slot{name, p, o.slots[i][first+j]})
			}
		}
		first += len(group)
	}
	return state
}
