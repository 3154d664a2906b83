package train

import (
	"fmt"
	"math"

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
		c.softmax = endsInSoftmax(m)
		o.Loss = &c
	case *BinaryCrossentropy:
		if l.FromLogits {
			o.half = 0
		}
	}
	if n := len(classWeight); n != 0 && n != o.classes() {
		return nil, fmt.Errorf("found %d class weights, want %d, one per class", n, o.classes())
	}
	return o, nil
}

func endsInSoftmax(m *nn.Model) bool {
	l := m.Outputs()[0].Layer
	return l != nil && (l.Class() == "Softmax" || l.Config()["activation"] == "softmax")
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

// row returns the unweighted loss of one row.
func (o *objective) row(y []float32, label int32, grad []float32) float64 {
	if o.outputs == 1 {
		o.truth[0] = float32(label)
		return o.Row(y, o.truth, grad)
	}
	clear(o.truth)
	o.truth[label] = 1
	return o.Row(y, o.truth, grad)
}

// batch sums the weighted losses of n rows and counts the correct predictions. If grad is not nil, it is set to the
// derivative of the mean loss.
func (o *objective) batch(y []float32, b *Batch, grad []float32) (loss float64, correct int) {
	n := len(b.Labels)
	for i, label := range b.Labels {
		row := y[i*o.outputs : (i+1)*o.outputs]
		var g []float32
		if grad != nil {
			g = grad[i*o.outputs : (i+1)*o.outputs]
		}
		weight := float64(b.Weights[i])
		if o.classWeight != nil {
			weight *= o.classWeight[label]
		}
		loss += weight * o.row(row, label, g)
		if o.predicted(row) == int(label) {
			correct++
		}
		scale := float32(weight / float64(n))
		for j := range g {
			g[j] *= scale
		}
	}
	return loss, correct
}

// check rejects labels that are out of range. first is the number of the batch's first row.
func (o *objective) check(b *Batch, first int) error {
	for i, label := range b.Labels {
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
