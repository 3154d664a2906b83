package train

import (
	"fmt"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/nn"
)

// objective applies a loss to batches of labelled rows.
type objective struct {
	Loss
	outputs int
	// half is the threshold that the single output of a two-class model must exceed for class 1.
	half        float32
	classWeight []float64
	truth       []float32 // of the current row
	// onLogits is the loss of a row's logits, if the model ends in an activation whose rounded output is not always
	// enough: near 0 and 1, a probability has lost what tells the way back. Keras on TensorFlow does the same.
	onLogits Loss
}

// outputs are the results of a model for a batch: rows, and their logits if the plan has them. The gradients are nil
// in inference.
type outputs struct{ y, logits, grad, logitGrad []float32 }

func outputsOf(p *nn.Plan, train bool) outputs {
	o := outputs{y: p.Output(0)}
	o.logits, o.logitGrad = p.Logits()
	if train {
		o.grad = p.OutputGrad(0)
	}
	return o
}

// of returns the part of v that belongs to row i, or nil if there is none.
func of(v []float32, i, width int) []float32 {
	if v == nil {
		return nil
	}
	return v[i*width : (i+1)*width]
}

func newObjective(m *nn.Model, l Loss, classWeight []float64) (*objective, error) {
	if len(m.Inputs()) != 1 || len(m.Outputs()) != 1 || len(m.Outputs()[0].Shape) != 1 {
		return nil, fmt.Errorf("model %q: a classifier needs one input and one output with a single axis", m.Name)
	}
	if l == nil {
		l = &CategoricalCrossentropy{}
		if m.Outputs()[0].Shape[0] == 1 {
			l = &BinaryCrossentropy{}
		}
	}
	o := &objective{Loss: l, outputs: m.Outputs()[0].Shape[0], half: .5, classWeight: classWeight}
	o.truth = make([]float32, o.outputs)
	switch l := l.(type) {
	case *CategoricalCrossentropy:
		c := *l
		c.softmax = endsIn(m, "softmax")
		o.Loss = &c
		if c.softmax && !c.FromLogits {
			o.onLogits = &CategoricalCrossentropy{FromLogits: true, LabelSmoothing: c.LabelSmoothing}
		}
	case *BinaryCrossentropy:
		if l.FromLogits {
			o.half = 0
		} else if endsIn(m, "sigmoid") {
			o.onLogits = &BinaryCrossentropy{FromLogits: true, LabelSmoothing: l.LabelSmoothing}
		}
	}
	if n := len(classWeight); n != 0 && n != o.classes() {
		return nil, fmt.Errorf("found %d class weights, want %d, one per class", n, o.classes())
	}
	return o, nil
}

// endsIn reports whether the model ends in an activation, given its Keras name.
func endsIn(m *nn.Model, activation string) bool {
	l := m.Outputs()[0].Layer
	return l != nil && (l.Config()["activation"] == activation || activation == "softmax" && l.Class() == "Softmax")
}

// classes returns the number of classes; a single output distinguishes two.
func (o *objective) classes() int { return max(2, o.outputs) }

// predicted returns the class that a row of predictions stands for.
func (o *objective) predicted(y []float32) int {
	if o.outputs > 1 {
		return ArgMax(y)
	}
	if y[0] > o.half {
		return 1
	}
	return 0
}

// confidence returns the probability of the predicted class.
func (o *objective) confidence(y []float32) float64 {
	logits := false
	switch l := o.Loss.(type) {
	case *CategoricalCrossentropy:
		logits = l.FromLogits
	case *CategoricalFocalCrossentropy:
		logits = l.FromLogits
	case *BinaryCrossentropy:
		logits = l.FromLogits
	}
	if o.outputs > 1 {
		best := ArgMax(y)
		if logits {
			d := newDistribution(y, true, false)
			return d.at(best)
		}
		return float64(y[best])
	}
	p := float64(y[0])
	if logits {
		p = 1 / (1 + math.Exp(-p))
	}
	return max(p, 1-p)
}

// row returns the unweighted loss of row i and sets its gradients.
func (o *objective) row(out outputs, i int, label int32, mixed Mixed) float64 {
	clear(o.truth)
	if o.outputs == 1 {
		o.truth[0] = (1-mixed.Share)*float32(label) + mixed.Share*float32(mixed.Label)
	} else {
		o.truth[label] = 1 - mixed.Share
		o.truth[mixed.Label] += mixed.Share
	}
	y, grad := of(out.y, i, o.outputs), of(out.grad, i, o.outputs)
	if o.onLogits != nil && out.logits != nil && o.saturated(y, label, mixed) {
		clear(grad)
		return o.onLogits.Row(of(out.logits, i, o.outputs), o.truth, of(out.logitGrad, i, o.outputs))
	}
	clear(of(out.logitGrad, i, o.outputs))
	return o.Row(y, o.truth, grad)
}

// saturated reports whether a row of probabilities needs its logits. A softmax does where float32 cannot hold the
// probability of a label, or of any class if the truth is smoothed; a sigmoid always does, because 1-p is coarse.
func (o *objective) saturated(y []float32, label int32, mixed Mixed) bool {
	c, ok := o.Loss.(*CategoricalCrossentropy)
	switch {
	case !ok:
		return true
	case c.LabelSmoothing != 0:
		return slices.Min(y) < tiny
	}
	return y[label] < tiny || mixed.Share > 0 && y[mixed.Label] < tiny
}

// batch sums the weighted losses of the rows and counts the correct predictions. If out has gradients, they are set
// to the derivative of the mean loss.
func (o *objective) batch(out outputs, b *Batch) (loss float64, correct int) {
	n := len(b.Labels)
	for i, label := range b.Labels {
		var mixed Mixed
		if b.Mixed != nil {
			mixed = b.Mixed[i]
		}
		weight := float64(b.Weights[i])
		if o.classWeight != nil {
			other := float64(mixed.Share)
			weight *= (1-other)*o.classWeight[label] + other*o.classWeight[mixed.Label]
		}
		loss += weight * o.row(out, i, label, mixed)
		if o.predicted(of(out.y, i, o.outputs)) == int(label) {
			correct++
		}
		scale := float32(weight / float64(n))
		for _, grad := range [][]float32{of(out.grad, i, o.outputs), of(out.logitGrad, i, o.outputs)} {
			for j := range grad {
				grad[j] *= scale
			}
		}
	}
	return loss, correct
}

// check rejects labels that are out of range. first is the number of the batch's first row.
func (o *objective) check(b *Batch, first int) error {
	for i, label := range b.Labels {
		if label >= 0 && int(label) < o.classes() && b.Mixed != nil {
			label = b.Mixed[i].Label
		}
		if label < 0 || int(label) >= o.classes() {
			return fmt.Errorf("row %d: found label %d, want 0 to %d", first+i, label, o.classes()-1)
		}
	}
	return nil
}

// ArgMax returns the index of the largest value, the first if there are several.
func ArgMax(row []float32) int {
	best := 0
	for i, v := range row {
		if v > row[best] {
			best = i
		}
	}
	return best
}
