// Package nntest provides the tests that models and layers must pass.
package nntest

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

const (
	// samples is the batch size for gradient checks.
	samples = 3
	// nudge is the step of the finite differences. Their error is about nudge squared from curvature and
	// 1e-16/nudge from rounding.
	nudge = 1e-5
	// tolerance is the maximum difference, relative to 1 or the derivative.
	tolerance = 1e-6
)

// CheckGradients compares the derivatives computed by a model's reference operations with central differences, all
// in float64. It differentiates a weighted sum of the outputs and the activity penalties with respect to each
// element of each trainable parameter and each input. Inputs and parameters are random, from a fixed seed. With
// train the layers behave as in training. The model should be small: each element takes two forward passes.
func CheckGradients(tb testing.TB, m *nn.Model, train bool) {
	tb.Helper()
	c := newChecker(tb, m, train)
	c.forward()
	c.backward()
	for i, in := range c.program.Inputs {
		c.compare(m.Inputs()[i].Name(), c.values[in].data, c.values[in].grad)
	}
	for _, p := range m.Params() {
		if p.Trainable {
			c.compare(p.Name, c.params[p].data, c.params[p].grad)
		}
	}
}

// array holds the data and gradient of a value or a parameter.
type array struct{ data, grad []float64 }

type checker struct {
	tb      testing.TB
	train   bool
	program *ir.Program
	values  map[*ir.Value]*array
	params  map[*ir.Param]*array
	still   map[*ir.Param][]float64 // statistics, which a training pass updates
	weights [][]float64             // weights of the outputs in the sum
}

// wanted is the initial value of gradients: operations must add to them rather than overwrite them.
const wanted = 1.5

func newChecker(tb testing.TB, m *nn.Model, train bool) *checker {
	c := &checker{
		tb: tb, train: train, program: m.Lower(samples, nn.Options{Training: train}),
		values: map[*ir.Value]*array{}, params: map[*ir.Param]*array{}, still: map[*ir.Param][]float64{},
	}
	r := rand.New(rand.NewPCG(17, 4))
	random := func(n int) []float64 {
		x := make([]float64, n)
		for i := range x {
			x[i] = r.NormFloat64()
		}
		return x
	}
	for _, in := range c.program.Inputs {
		n := samples * in.Size()
		c.values[in] = &array{random(n), slices.Repeat([]float64{wanted}, n)}
	}
	for _, p := range m.Params() {
		a := &array{random(len(p.Value)), slices.Repeat([]float64{wanted}, len(p.Value))}
		if !p.Trainable {
			for i, v := range a.data {
				a.data[i] = .5 + math.Abs(v) // a variance is positive
			}
			c.still[p] = slices.Clone(a.data)
		}
		c.params[p] = a
	}
	for _, n := range c.program.Nodes {
		size := samples * n.Out.Size()
		c.values[n.Out] = &array{make([]float64, size), make([]float64, size)}
	}
	for _, out := range c.program.Outputs {
		c.weights = append(c.weights, random(samples*out.Size()))
	}
	return c
}

func (c *checker) env(n *ir.Node) *ir.Env[float64] {
	out := c.values[n.Out]
	e := &ir.Env[float64]{N: samples, Train: c.train, Seed: 5, Step: 6, Y: out.data, DY: out.grad}
	for _, in := range n.In {
		e.X, e.DX = append(e.X, c.values[in].data), append(e.DX, c.values[in].grad)
	}
	for _, p := range n.Params {
		e.P = append(e.P, c.params[p].data)
		if !p.Trainable {
			e.DP = append(e.DP, nil)
			continue
		}
		e.DP = append(e.DP, c.params[p].grad)
	}
	return e
}

func (c *checker) reference(n *ir.Node) op.Reference {
	o, ok := n.Op.(op.Reference)
	if !ok {
		c.tb.Fatalf("layer %q: operation %T does not support float64", n.Layer, n.Op)
	}
	return o
}

// forward runs the model and returns the weighted sum of its outputs.
func (c *checker) forward() float64 {
	for p, v := range c.still {
		copy(c.params[p].data, v)
	}
	var sum float64
	for _, n := range c.program.Nodes {
		c.reference(n).Forward64(c.env(n))
		if activity, ok := n.Op.(*op.Penalty); ok {
			sum += activity.Value()
		}
	}
	for i, out := range c.program.Outputs {
		for j, v := range c.values[out].data {
			sum += c.weights[i][j] * v
		}
	}
	return sum
}

func (c *checker) backward() {
	for i, out := range c.program.Outputs {
		for j, w := range c.weights[i] {
			c.values[out].grad[j] += w
		}
	}
	for _, n := range slices.Backward(c.program.Nodes) {
		c.reference(n).Backward64(c.env(n))
	}
}

// compare checks the derivative with respect to each element of x.
func (c *checker) compare(name string, x, grad []float64) {
	c.tb.Helper()
	for i, v := range x {
		x[i] = v + nudge
		above := c.forward()
		x[i] = v - nudge
		below := c.forward()
		x[i] = v
		got, want := grad[i]-wanted, (above-below)/(2*nudge)
		if d := math.Abs(got - want); !(d <= tolerance*max(1, math.Abs(want))) {
			c.tb.Errorf("derivative with respect to element %d of %s: got %.10g, want %.10g", i, name, got, want)
			return
		}
	}
}
