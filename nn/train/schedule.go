package train

import (
	"fmt"
	"math"
	"slices"
)

// Schedule determines the learning rate of each step. The exported fields of a schedule, under their JSON names,
// are the attributes of its Keras class.
type Schedule interface {
	// Class returns the Keras class name.
	Class() string
	// Rate returns the learning rate of a step; steps count from 0.
	Rate(step int64) float64
	// Check validates the attributes.
	Check() error
}

// CosineDecay decays the rate along half a cosine from Initial to Alpha times Initial within Steps (Loshchilov &
// Hutter 2017). With a WarmupTarget the rate first rises linearly from Initial to it within WarmupSteps, and then
// decays from there.
type CosineDecay struct {
	Initial      float64  `json:"initial_learning_rate"`
	Steps        int64    `json:"decay_steps"`
	Alpha        float64  `json:"alpha"`
	WarmupTarget *float64 `json:"warmup_target"`
	WarmupSteps  int64    `json:"warmup_steps"`
}

// Class returns "CosineDecay".
func (*CosineDecay) Class() string { return "CosineDecay" }

// Rate returns the learning rate of a step.
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

// Check requires at least one step.
func (c *CosineDecay) Check() error { return wantSteps(c.Steps) }

// ExponentialDecay multiplies the rate by Factor every Steps steps: continuously or, with Staircase, in discrete
// steps.
type ExponentialDecay struct {
	Initial   float64 `json:"initial_learning_rate"`
	Steps     int64   `json:"decay_steps"`
	Factor    float64 `json:"decay_rate"`
	Staircase bool    `json:"staircase"`
}

// Class returns "ExponentialDecay".
func (*ExponentialDecay) Class() string { return "ExponentialDecay" }

// Rate returns the learning rate of a step.
func (e *ExponentialDecay) Rate(step int64) float64 {
	p := float64(step) / float64(e.Steps)
	if e.Staircase {
		p = math.Floor(p)
	}
	return e.Initial * math.Pow(e.Factor, p)
}

// Check requires at least one step.
func (e *ExponentialDecay) Check() error { return wantSteps(e.Steps) }

func wantSteps(n int64) error {
	if n < 1 {
		return fmt.Errorf("found decay_steps %d, want at least 1", n)
	}
	return nil
}

// PiecewiseConstantDecay uses the first of Values up to and including the first of Boundaries, and so on, and the
// last of Values after the last boundary.
type PiecewiseConstantDecay struct {
	Boundaries []int64   `json:"boundaries"`
	Values     []float64 `json:"values"`
}

// Class returns "PiecewiseConstantDecay".
func (*PiecewiseConstantDecay) Class() string { return "PiecewiseConstantDecay" }

// Rate returns the learning rate of a step.
func (p *PiecewiseConstantDecay) Rate(step int64) float64 {
	for i, b := range p.Boundaries {
		if step <= b {
			return p.Values[i]
		}
	}
	return p.Values[len(p.Values)-1]
}

// Check requires ascending boundaries and one more value than boundaries.
func (p *PiecewiseConstantDecay) Check() error {
	if len(p.Values) != len(p.Boundaries)+1 || !slices.IsSorted(p.Boundaries) {
		return fmt.Errorf("found %d values for boundaries %v, want ascending boundaries and one more value than "+
			"boundaries", len(p.Values), p.Boundaries)
	}
	return nil
}
