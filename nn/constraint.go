package nn

import (
	"fmt"
	"math"
	"slices"
)

// Constrain applies the constraints of the trainable parameters. Call it after each optimizer step. Source of the
// formulas: Keras 3, which adds 1e-7 to the norm that it divides by.
func (m *Model) Constrain() {
	for _, p := range m.constrained {
		constrain(p)
	}
}

func constrain(p *Param) {
	c := p.Constraint
	var desired func(norm float64) float64
	switch c.Name {
	case "non_neg":
		for i, v := range p.Value {
			p.Value[i] = max(v, 0)
		}
		return
	case "max_norm":
		desired = func(norm float64) float64 { return min(norm, c.Max) }
	case "min_max_norm":
		desired = func(norm float64) float64 { return c.Rate*min(max(norm, c.Min), c.Max) + (1-c.Rate)*norm }
	case "unit_norm":
		desired = func(float64) float64 { return 1 }
	}
	const epsilon = 1e-7
	group, groups := normGroups(p)
	squares := make([]float64, groups)
	for i, v := range p.Value {
		squares[group(i)] += float64(v) * float64(v)
	}
	for g, s := range squares {
		norm := math.Sqrt(s)
		squares[g] = desired(norm) / (norm + epsilon)
	}
	for i := range p.Value {
		p.Value[i] *= float32(squares[group(i)])
	}
}

// normGroups assigns each element to the group over which its norm is computed. Elements that differ along an axis
// that the norm does not run over are in different groups.
func normGroups(p *Param) (group func(i int) int, groups int) {
	rank := len(p.Shape)
	over := make([]bool, rank)
	axes := p.Constraint.Axes
	if len(axes) == 0 {
		axes = []int{0}
	}
	for _, a := range axes {
		over[(a+rank)%rank] = true
	}
	groups = 1
	for a, size := range p.Shape {
		if !over[a] {
			groups *= size
		}
	}
	return func(i int) int {
		g, scale := 0, 1
		for a, size := range slices.Backward(p.Shape) {
			if !over[a] {
				g += i % size * scale
				scale *= size
			}
			i /= size
		}
		return g
	}, groups
}

// checkConstraint rejects constraints that constrain does not support.
func checkConstraint(p *Param) error {
	rank := len(p.Shape)
	switch p.Constraint.Name {
	case "", "non_neg", "max_norm", "min_max_norm", "unit_norm":
	default:
		return fmt.Errorf("parameter %q: unknown constraint %q", p.Name, p.Constraint.Name)
	}
	for _, a := range p.Constraint.Axes {
		if a < -rank || a >= rank {
			return fmt.Errorf("parameter %q: constraint %s has axis %d, want an axis of shape %v", p.Name, p.Constraint.Name, a, p.Shape)
		}
	}
	return nil
}
