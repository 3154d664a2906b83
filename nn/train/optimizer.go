package train

import (
	"math"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// Rule is the arithmetic that tells one optimizer from another: how a parameter moves by its gradient.
type Rule interface {
	// Class is Keras's class name. The exported fields of a rule, under their JSON names, are Keras's attributes of
	// the class.
	Class() string
	// Slots names the arrays that the rule keeps beside each parameter, zero at first, in Keras's groups: the
	// arrays of a group lie parameter by parameter, one group after the other.
	Slots() [][]string
	// Update moves the parameter's values by the gradient. slots are the arrays in the order of Slots; iteration
	// counts from 1.
	Update(value, gradient []float32, slots [][]float32, rate float64, iteration int64)
}

// Optimizer moves the trainable parameters of one model by the gradients of a plan's last Backward. Around its rule
// it does what all optimizers of Keras do, in Keras's order: clip, decay, update, average.
type Optimizer struct {
	Rule Rule
	// Rate is the learning rate. A Schedule, where there is one, sets it before each step.
	Rate     float64
	Schedule Schedule
	// WeightDecay takes WeightDecay*Rate times itself from each parameter before it moves (Loshchilov & Hutter
	// 2019). As in Keras it takes from biases too.
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

// Clip bounds gradients; at most one of its fields is above 0, which stands for no bound.
type Clip struct {
	// Norm is the greatest Euclidean norm of a parameter's gradient (clipnorm), GlobalNorm that of all gradients
	// together (Pascanu, Mikolov & Bengio 2013; global_clipnorm), Value the greatest size of a number (clipvalue).
	// Larger ones are scaled down, or cut.
	Norm, GlobalNorm, Value float64
}

// EMA is an exponential moving average of the parameters, which take its value when training ends (Polyak &
// Juditsky 1992): after each step average = Momentum average + (1-Momentum) parameter, and after the first the
// parameter alone.
type EMA struct {
	// Momentum is Keras's ema_momentum, usually .99; 0 means no average.
	Momentum float64
	// OverwriteEvery puts the average in the parameters' place every so many steps; 0 means when training ends only.
	OverwriteEvery int64
}

// New makes an optimizer of the model's trainable parameters. The rule's attributes do not change any more.
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

// Step moves the parameters by the gradients of the plan's last Backward, which it may clip in place. Constraints
// are the model's to apply.
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

// clip bounds the gradients. Sums are in double precision and in the order of the parameters.
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

// squares is the sum of the squares, in four parts that need not wait for each other.
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

// shrink scales g down to the norm where the squares add up to more.
func shrink(g []float32, norm, squares float64) {
	if squares <= norm*norm {
		return
	}
	scale := float32(norm / math.Sqrt(squares))
	for i := range g {
		g[i] *= scale
	}
}

// accumulate moves the averages, and the parameters where it is time.
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

// averages makes their memory, once.
func (o *Optimizer) averages() {
	if o.average == nil {
		o.average = make([][]float32, len(o.params))
		for i, p := range o.params {
			o.average[i] = make([]float32, len(p.Value))
		}
	}
}

// Finalize gives the parameters their averages, where there are any: Fit calls it when training has come to its end.
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
	// Name is Keras's: "momentum", "velocity", "average".
	Name string
	// Param is the parameter that Value belongs to, element by element. Value is shared with the optimizer.
	Param *nn.Param
	Value []float32
}

// State lists the optimizer's arrays in the order in which Keras stores them, after the iteration count and the
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
