package train

import (
	"fmt"
	"math"
	"slices"
)

// Loss measures how far a row of predictions is from the truth. A batch's loss is the mean over its rows, each
// times its weight.
type Loss interface {
	// Name is Keras's: "categorical_crossentropy".
	Name() string
	// Row returns the loss of the predictions y, where truth is as long, and, where grad is not nil, sets that to
	// the derivative by y.
	Row(y, truth, grad []float32) float64
}

// losses make each loss by Keras's name with its defaults.
var losses = choices[func() Loss]{
	{"categorical_crossentropy", "Cross-entropy between the classes.", func() Loss { return &CategoricalCrossentropy{} }},
	// The truth is made from labels anyway.
	{"sparse_categorical_crossentropy", "The same under Keras's name for integer labels.", func() Loss { return &CategoricalCrossentropy{} }},
	{
		"categorical_focal_crossentropy", "Cross-entropy in which rows that are already classified well count less (Lin et al. 2017).",
		func() Loss { return &CategoricalFocalCrossentropy{Alpha: .25, Gamma: 2} },
	},
	{"binary_crossentropy", "Cross-entropy of each output by itself.", func() Loss { return &BinaryCrossentropy{} }},
	{"mean_squared_error", "Mean of the squared differences.", func() Loss { return MeanSquaredError{} }},
	{"mean_absolute_error", "Mean of the absolute differences.", func() Loss { return MeanAbsoluteError{} }},
}

// Losses names all losses.
func Losses() []string { return losses.names() }

// LossDoc describes the loss of that name.
func LossDoc(name string) string { return losses.doc(name) }

// NewLoss makes a loss by Keras's name. fromLogits says that the model's output is not yet a probability, smoothing
// moves so much of the truth from its class to all of them (Szegedy et al. 2016); losses that are no cross-entropy
// take neither.
func NewLoss(name string, fromLogits bool, smoothing float64) (Loss, error) {
	c, err := losses.find("loss", name)
	if err != nil {
		return nil, err
	}
	if smoothing < 0 || smoothing > 1 {
		return nil, fmt.Errorf("loss %s: got label smoothing %g, want 0 to 1", name, smoothing)
	}
	l := c.make()
	switch l := l.(type) {
	case *CategoricalCrossentropy:
		l.FromLogits, l.LabelSmoothing = fromLogits, smoothing
	case *CategoricalFocalCrossentropy:
		l.FromLogits, l.LabelSmoothing = fromLogits, smoothing
	case *BinaryCrossentropy:
		l.FromLogits, l.LabelSmoothing = fromLogits, smoothing
	default:
		if fromLogits || smoothing != 0 {
			return nil, fmt.Errorf("loss %s: takes neither logits nor label smoothing", name)
		}
	}
	return l, nil
}

// epsilon is Keras's: probabilities are kept that far from 0 and 1. Where a model ends in a softmax, Keras (on
// TensorFlow) takes the logits instead, and probabilities stay as they are down to the least positive normal
// number.
const (
	epsilon = 1e-7
	tiny    = 0x1p-126
)

// CategoricalCrossentropy is -sum of truth log p over the classes, where p are the predictions as shares of their
// sum or, FromLogits, their softmax.
type CategoricalCrossentropy struct {
	FromLogits     bool
	LabelSmoothing float64
	// softmax says that the predictions are one already.
	softmax bool
}

// Name is Keras's.
func (*CategoricalCrossentropy) Name() string { return "categorical_crossentropy" }

// Row is the loss of one row.
func (c *CategoricalCrossentropy) Row(y, truth, grad []float32) (loss float64) {
	p := newDistribution(y, c.FromLogits, c.softmax)
	smooth := smoother(c.LabelSmoothing, len(y))
	var mass float64 // the sum of the truth, where no bound stops the gradient
	for i := range y {
		t := smooth(truth[i])
		q, inside := p.clipped(i)
		if inside {
			mass += t
		}
		if t != 0 {
			loss -= t * math.Log(q)
		}
	}
	for i := range grad {
		t := smooth(truth[i])
		if c.FromLogits {
			grad[i] = float32(p.at(i)*mass - t)
			continue
		}
		g := mass
		if q, inside := p.clipped(i); inside && t != 0 {
			g -= t / q
		}
		grad[i] = float32(g / p.sum)
	}
	return loss
}

// distribution is a row of predictions as probabilities.
type distribution struct {
	y        []float32
	logits   bool
	top, sum float64
	// Probabilities are kept floor from 0 and 1. Unless open, what lies outside has no gradient.
	floor float64
	open  bool
}

func newDistribution(y []float32, logits, softmax bool) distribution {
	d := distribution{y: y, logits: logits, floor: epsilon}
	if softmax || logits {
		d.floor, d.open = tiny, true
	}
	if logits {
		d.top = float64(slices.Max(y))
	}
	for _, v := range y {
		if logits {
			d.sum += math.Exp(float64(v) - d.top)
		} else {
			d.sum += float64(v)
		}
	}
	return d
}

// at is the probability of class i.
func (d *distribution) at(i int) float64 {
	if d.logits {
		return math.Exp(float64(d.y[i])-d.top) / d.sum
	}
	return float64(d.y[i]) / d.sum
}

// clipped is the probability that the loss uses, and whether it has a gradient.
func (d *distribution) clipped(i int) (p float64, inside bool) {
	p = d.at(i)
	switch {
	case p < d.floor:
		return d.floor, d.open
	case p > 1-d.floor:
		return 1 - d.floor, d.open
	}
	return p, true
}

// smoother mixes a truth with the uniform one.
func smoother(smoothing float64, classes int) func(float32) float64 {
	return func(t float32) float64 { return float64(t)*(1-smoothing) + smoothing/float64(classes) }
}

// CategoricalFocalCrossentropy weighs the cross-entropy of each class by Alpha (1-p)^Gamma, so that what is already
// right counts little (Lin et al. 2017).
type CategoricalFocalCrossentropy struct {
	Alpha, Gamma   float64
	FromLogits     bool
	LabelSmoothing float64
}

// Name is Keras's.
func (*CategoricalFocalCrossentropy) Name() string { return "categorical_focal_crossentropy" }

// Row is the loss of one row.
func (c *CategoricalFocalCrossentropy) Row(y, truth, grad []float32) (loss float64) {
	p := newDistribution(y, c.FromLogits, false)
	p.floor, p.open = epsilon, false // also of logits: Keras takes their softmax first
	smooth := smoother(c.LabelSmoothing, len(y))
	// by is the derivative of the loss by the probability of class i.
	by := func(i int) float64 {
		q, inside := p.clipped(i)
		if !inside {
			return 0
		}
		return smooth(truth[i]) * c.Alpha * (c.Gamma*math.Pow(1-q, c.Gamma-1)*math.Log(q) - math.Pow(1-q, c.Gamma)/q)
	}
	var through float64 // what reaches every class through the sum
	for i := range y {
		q, _ := p.clipped(i)
		loss -= c.Alpha * math.Pow(1-q, c.Gamma) * smooth(truth[i]) * math.Log(q)
		if grad != nil {
			through += by(i) * p.at(i)
		}
	}
	for i := range grad {
		d := by(i) - through
		if c.FromLogits {
			d *= p.at(i)
		} else {
			d /= p.sum
		}
		grad[i] = float32(d)
	}
	return loss
}

// BinaryCrossentropy is -(truth log p + (1-truth) log (1-p)), mean over the outputs; FromLogits p is the sigmoid.
type BinaryCrossentropy struct {
	FromLogits     bool
	LabelSmoothing float64
}

// Name is Keras's.
func (*BinaryCrossentropy) Name() string { return "binary_crossentropy" }

// Row is the loss of one row.
func (b *BinaryCrossentropy) Row(y, truth, grad []float32) (loss float64) {
	smooth := smoother(b.LabelSmoothing, 2)
	n := float64(len(y))
	for i, v := range y {
		t, x := smooth(truth[i]), float64(v)
		if b.FromLogits {
			// -(t log s(x) + (1-t) log (1-s(x))), so written that nothing overflows.
			loss += (max(x, 0) - x*t + math.Log1p(math.Exp(-math.Abs(x)))) / n
			if grad != nil {
				grad[i] = float32((1/(1+math.Exp(-x)) - t) / n)
			}
			continue
		}
		p := min(max(x, epsilon), 1-epsilon)
		loss -= (t*math.Log(p) + (1-t)*math.Log1p(-p)) / n
		if grad != nil {
			grad[i] = float32(((1-t)/(1-p) - t/p) / n)
		}
	}
	return loss
}

// MeanSquaredError is the mean over the outputs of the squared difference.
type MeanSquaredError struct{}

// Name is Keras's.
func (MeanSquaredError) Name() string { return "mean_squared_error" }

// Row is the loss of one row.
func (MeanSquaredError) Row(y, truth, grad []float32) (loss float64) {
	n := float64(len(y))
	for i, v := range y {
		d := float64(v) - float64(truth[i])
		loss += d * d / n
		if grad != nil {
			grad[i] = float32(2 * d / n)
		}
	}
	return loss
}

// MeanAbsoluteError is the mean over the outputs of the size of the difference.
type MeanAbsoluteError struct{}

// Name is Keras's.
func (MeanAbsoluteError) Name() string { return "mean_absolute_error" }

// Row is the loss of one row.
func (MeanAbsoluteError) Row(y, truth, grad []float32) (loss float64) {
	n := float64(len(y))
	for i, v := range y {
		d := float64(v) - float64(truth[i])
		loss += math.Abs(d) / n
		if grad != nil {
			switch {
			case d > 0:
				grad[i] = float32(1 / n)
			case d < 0:
				grad[i] = float32(-1 / n)
			default:
				grad[i] = 0
			}
		}
	}
	return loss
}
