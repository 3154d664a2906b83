package train

import (
	"fmt"
	"math"
	"slices"
)

// Loss measures the distance between a row of predictions and the ground truth. A batch's loss is the mean of its
// rows' losses times their weights.
type Loss interface {
	// Name returns the Keras name, such as "categorical_crossentropy".
	Name() string
	// Row returns the loss of the predictions y; truth has the same length. If grad is not nil, Row sets it to the
	// derivative with respect to y.
	Row(y, truth, grad []float32) float64
}

// losses constructs each loss, by Keras name, with its defaults.
var losses = choices[func() Loss]{
	{"categorical_crossentropy", "Cross-entropy between the classes.", func() Loss { return &CategoricalCrossentropy{} }},
	// The one-hot truth is computed from labels anyway.
	{
		"sparse_categorical_crossentropy", "The same, under Keras's name for integer labels.",
		func() Loss { return &CategoricalCrossentropy{} },
	},
	{
		"categorical_focal_crossentropy", "Cross-entropy in which rows that are already classified well count less " +
			"(Lin et al. 2017).",
		func() Loss { return &CategoricalFocalCrossentropy{Alpha: .25, Gamma: 2} },
	},
	{"binary_crossentropy", "Cross-entropy of each output on its own.", func() Loss { return &BinaryCrossentropy{} }},
	{"mean_squared_error", "Mean of the squared differences.", func() Loss { return MeanSquaredError{} }},
	{"mean_absolute_error", "Mean of the absolute differences.", func() Loss { return MeanAbsoluteError{} }},
}

// Losses returns the names of all losses.
func Losses() []string { return losses.names() }

// LossDoc describes the loss with the given name.
func LossDoc(name string) string { return losses.doc(name) }

// NewLoss returns the loss with the given Keras name. fromLogits means that the model's outputs are logits rather
// than probabilities. smoothing is the fraction of the truth that is spread evenly over all classes (Szegedy et al.
// 2016). Losses other than cross-entropy accept neither.
func NewLoss(name string, fromLogits bool, smoothing float64) (Loss, error) {
	c, err := losses.find("loss", name)
	if err != nil {
		return nil, err
	}
	if smoothing < 0 || smoothing > 1 {
		return nil, fmt.Errorf("loss %s: found label smoothing %g, want 0 to 1", name, smoothing)
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
			return nil, fmt.Errorf("loss %s: does not support logits or label smoothing", name)
		}
	}
	return l, nil
}

// epsilon is Keras's: probabilities are clipped to that distance from 0 and 1. If a model ends in a softmax, Keras
// (on TensorFlow) uses the logits instead, as do we (see objective), and probabilities are unchanged down to the
// smallest positive normal number.
const (
	epsilon = 1e-7
	tiny    = 0x1p-126
)

// CategoricalCrossentropy is -sum of truth log p over the classes, where p are the predictions divided by their sum
// or, with FromLogits, their softmax.
type CategoricalCrossentropy struct {
	FromLogits     bool
	LabelSmoothing float64
	// softmax means that the predictions are already a softmax.
	softmax bool
}

// Name returns the Keras name.
func (*CategoricalCrossentropy) Name() string { return "categorical_crossentropy" }

// Row returns the loss of one row.
func (c *CategoricalCrossentropy) Row(y, truth, grad []float32) (loss float64) {
	p := newDistribution(y, c.FromLogits, c.softmax)
	smooth := smoother(c.LabelSmoothing, len(y))
	var mass float64 // the sum of the truth over classes that are not clipped
	for i := range y {
		t := smooth(truth[i])
		q, inside := p.clipped(i)
		if inside {
			mass += t
		}
		if t != 0 {
			loss -= t * p.log(i, q)
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

// distribution is a row of predictions converted to probabilities.
type distribution struct {
	y        []float32
	logits   bool
	top, sum float64
	// Probabilities are clipped to floor and 1-floor. Unless open, clipped ones have no gradient.
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

// at returns the probability of class i.
func (d *distribution) at(i int) float64 {
	if d.logits {
		return math.Exp(float64(d.y[i])-d.top) / d.sum
	}
	return float64(d.y[i]) / d.sum
}

// clipped returns the probability that the loss uses and whether it has a gradient.
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

// log returns the logarithm of the probability of class i, which clipped gave as q. That of logits has no limit.
func (d *distribution) log(i int, q float64) float64 {
	if d.logits && q == d.floor {
		return float64(d.y[i]) - d.top - math.Log(d.sum)
	}
	return math.Log(q)
}

// smoother returns a function that mixes the truth with the uniform distribution.
func smoother(smoothing float64, classes int) func(float32) float64 {
	return func(t float32) float64 { return float64(t)*(1-smoothing) + smoothing/float64(classes) }
}

// CategoricalFocalCrossentropy weights the cross-entropy of each class by Alpha (1-p)^Gamma, so that rows that are
// already classified well count little (Lin et al. 2017).
type CategoricalFocalCrossentropy struct {
	Alpha, Gamma   float64
	FromLogits     bool
	LabelSmoothing float64
}

// Name returns the Keras name.
func (*CategoricalFocalCrossentropy) Name() string { return "categorical_focal_crossentropy" }

// Row returns the loss of one row.
func (c *CategoricalFocalCrossentropy) Row(y, truth, grad []float32) (loss float64) {
	p := newDistribution(y, c.FromLogits, false)
	p.floor, p.open = epsilon, false // for logits too: Keras applies the softmax first
	smooth := smoother(c.LabelSmoothing, len(y))
	// by returns the derivative of the loss with respect to the probability of class i.
	by := func(i int) float64 {
		q, inside := p.clipped(i)
		if !inside {
			return 0
		}
		return smooth(truth[i]) * c.Alpha * (c.Gamma*math.Pow(1-q, c.Gamma-1)*math.Log(q) - math.Pow(1-q, c.Gamma)/q)
	}
	var through float64 // the gradient that reaches every class through the sum
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

// BinaryCrossentropy is the mean over the outputs of -(truth log p + (1-truth) log (1-p)). With FromLogits, p is
// the sigmoid of the output.
type BinaryCrossentropy struct {
	FromLogits     bool
	LabelSmoothing float64
}

// Name returns the Keras name.
func (*BinaryCrossentropy) Name() string { return "binary_crossentropy" }

// Row returns the loss of one row.
func (b *BinaryCrossentropy) Row(y, truth, grad []float32) (loss float64) {
	smooth := smoother(b.LabelSmoothing, 2)
	n := float64(len(y))
	for i, v := range y {
		t, x := smooth(truth[i]), float64(v)
		if b.FromLogits {
			// -(t log s(x) + (1-t) log (1-s(x))), in a form that cannot overflow.
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

// Name returns the Keras name.
func (MeanSquaredError) Name() string { return "mean_squared_error" }

// Row returns the loss of one row.
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

// MeanAbsoluteError is the mean over the outputs of the absolute difference.
type MeanAbsoluteError struct{}

// Name returns the Keras name.
func (MeanAbsoluteError) Name() string { return "mean_absolute_error" }

// Row returns the loss of one row.
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
