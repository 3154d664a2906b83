package train

import (
	"fmt"
	"math"
	"slices"
)

// Schedule gives the learning rate of each step. The exported fields of a schedule, under their JSON names, are
// Keras's attributes of the class.
type Schedule interface {
	// Class is Keras's class name.
	Class() string
	// Rate is that of a step; they count from 0.
	Rate(step int64) float64
	// Check says what is wrong with the attributes.
	Check() error
}

// CosineDecay falls along half a cosine from Initial to Alpha times that within Steps (Loshchilov & Hutter 2017).
// With a WarmupTarget it first rises in a line from Initial to that within WarmupSteps, and then falls from there.
type CosineDecay struct {
	Initial      float64  `json:"initial_learning_rate"`
	Steps        int64    `json:"decay_steps"`
	Alpha        float64  `json:"alpha"`
	WarmupTarget *float64 `json:"warmup_target"`
	WarmupSteps  int64    `json:"warmup_steps"`
}

// Class is "CosineDecay".
func (*CosineDecay) Class() string { return "CosineDecay" }

// Rate is that of a step.
func (c *CosineDecay) Rate(step int64) float64 {
	from := c.Initial
	if c.WarmupTarget != nil {
		if step < c.WarmupSteps {
			return c.Initial + (*c.WarmupTarget-c.Initial)*float64(step)/float64(c.WarmupSteps)
		}
		from, step = *c.WarmupTarget, step-c.WarmupSteps
	}
	cosine := .5 * (1 + math.Cos(math.Pi*float64(min(step, c.Steps))/float64(c.Steps)))
	return from * ((1-c.Alpha)*cosine + c.Alpha)
}

// Check wants steps.
func (c *CosineDecay) Check() error { return wantSteps(c.Steps) }

// ExponentialDecay multiplies the rate by Factor within each Steps: steadily or, as a Staircase, at their ends.
type ExponentialDecay struct {
	Initial   float64 `json:"initial_learning_rate"`
	Steps     int64   `json:"decay_steps"`
	Factor    float64 `json:"decay_rate"`
	Staircase bool    `json:"staircase"`
}

// Class is "ExponentialDecay".
func (*ExponentialDecay) Class() string { return "ExponentialDecay" }

// Rate is that of a step.
func (e *ExponentialDecay) Rate(step int64) float64 {
	p := float64(step) / float64(e.Steps)
	if e.Staircase {
		p = math.Floor(p)
	}
	return e.Initial * math.Pow(e.Factor, p)
}

// Check wants steps.
func (e *ExponentialDecay) Check() error { return wantSteps(e.Steps) }

func wantSteps(n int64) error {
	if n < 1 {
		return fmt.Errorf("got decay_steps %d, want at least 1", n)
	}
	return nil
}

// PiecewiseConstantDecay has the first of Values up to and with the first of Boundaries, and so on; the last Value
// after all of them.
type PiecewiseConstantDecay struct {
	Boundaries []int64   `json:"boundaries"`
	Values     []float64 `json:"values"`
}

// Class is "PiecewiseConstantDecay".
func (*PiecewiseConstantDecay) Class() string { return "PiecewiseConstantDecay" }

// Rate is that of a step.
func (p *PiecewiseConstantDecay) Rate(step int64) float64 {
	for i, b := range p.Boundaries {
		if step <= b {
			return p.Values[i]
		}
	}
	return p.Values[len(p.Values)-1]
}

// Check wants boundaries in order and one value more.
func (p *PiecewiseConstantDecay) Check() error {
	if len(p.Values) != len(p.Boundaries)+1 || !slices.IsSorted(p.Boundaries) {
		return fmt.Errorf("got %d values for boundaries %v, want one more than boundaries, and those in order", len(p.Values), p.Boundaries)
	}
	return nil
}
