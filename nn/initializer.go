package nn

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
)

// Init fills every parameter using its initializer. A parameter's values depend only on the seed and its name, so
// that adding a layer does not change the initial values of the others.
func (m *Model) Init(seed uint64) {
	for _, p := range m.Params() {
		h := fnv.New64a()
		h.Write([]byte(p.Name))
		initialize(p, rand.New(rand.NewPCG(seed, h.Sum64())))
	}
}

// initializers lists the initializers by Keras name. Those that scale by fan are variance_scaling under a shorter
// name: glorot (Glorot & Bengio 2010), he (He et al. 2015), lecun (LeCun et al. 1998).
var initializers = map[string]func(p *Param, r *rand.Rand){
	"zeros":            func(p *Param, _ *rand.Rand) { clear(p.Value) },
	"ones":             func(p *Param, _ *rand.Rand) { fill(p, func() float64 { return 1 }) },
	"constant":         func(p *Param, _ *rand.Rand) { fill(p, func() float64 { return p.Initializer.Value }) },
	"identity":         identity,
	"orthogonal":       orthogonal,
	"random_normal":    func(p *Param, r *rand.Rand) { in := p.Initializer; fill(p, normal(r, in.Mean, in.Deviation)) },
	"truncated_normal": func(p *Param, r *rand.Rand) { in := p.Initializer; fill(p, truncated(r, in.Mean, in.Deviation)) },
	"random_uniform":   func(p *Param, r *rand.Rand) { in := p.Initializer; fill(p, uniform(r, in.Low, in.High)) },
	"variance_scaling": func(p *Param, r *rand.Rand) { in := p.Initializer; scaled(p, r, in.Scale, in.Mode, in.Distribution) },
	"glorot_uniform":   func(p *Param, r *rand.Rand) { scaled(p, r, 1, "fan_avg", "uniform") },
	"glorot_normal":    func(p *Param, r *rand.Rand) { scaled(p, r, 1, "fan_avg", "truncated_normal") },
	"he_uniform":       func(p *Param, r *rand.Rand) { scaled(p, r, 2, "fan_in", "uniform") },
	"he_normal":        func(p *Param, r *rand.Rand) { scaled(p, r, 2, "fan_in", "truncated_normal") },
	"lecun_uniform":    func(p *Param, r *rand.Rand) { scaled(p, r, 1, "fan_in", "uniform") },
	"lecun_normal":     func(p *Param, r *rand.Rand) { scaled(p, r, 1, "fan_in", "truncated_normal") },
}

// initialize fills p. Functional has checked that the initializer exists.
func initialize(p *Param, r *rand.Rand) {
	if p.Initializer.Name == "" {
		clear(p.Value)
		return
	}
	initializers[p.Initializer.Name](p, r)
}

// checkInitializer rejects initializers that initialize does not support.
func checkInitializer(p *Param) error {
	name := p.Initializer.Name
	switch {
	case name == "":
	case initializers[name] == nil:
		return fmt.Errorf("parameter %q: unknown initializer %q", p.Name, name)
	case name == "orthogonal" && len(p.Shape) < 2:
		return fmt.Errorf("parameter %q: initializer orthogonal needs at least two axes, found shape %v", p.Name, p.Shape)
	case name == "identity" && len(p.Shape) != 2:
		return fmt.Errorf("parameter %q: initializer identity needs two axes, found shape %v", p.Name, p.Shape)
	}
	return nil
}

func fill(p *Param, next func() float64) {
	for i := range p.Value {
		p.Value[i] = float32(next())
	}
}

func normal(r *rand.Rand, mean, deviation float64) func() float64 {
	return func() float64 { return mean + deviation*r.NormFloat64() }
}

// truncated redraws values more than two standard deviations from the mean, as Keras does.
func truncated(r *rand.Rand, mean, deviation float64) func() float64 {
	return func() float64 {
		v := r.NormFloat64()
		for math.Abs(v) > 2 {
			v = r.NormFloat64()
		}
		return mean + deviation*v
	}
}

func uniform(r *rand.Rand, low, high float64) func() float64 {
	return func() float64 { return low + (high-low)*r.Float64() }
}

// scaled draws values of variance scale/fan.
func scaled(p *Param, r *rand.Rand, scale float64, mode, distribution string) {
	in, out := fans(p.Shape)
	fan := float64(in)
	switch mode {
	case "fan_out":
		fan = float64(out)
	case "fan_avg":
		fan = float64(in+out) / 2
	}
	variance := scale / max(1, fan)
	switch distribution {
	case "uniform":
		limit := math.Sqrt(3 * variance)
		fill(p, uniform(r, -limit, limit))
	case "untruncated_normal":
		fill(p, normal(r, 0, math.Sqrt(variance)))
	default:
		// The standard deviation of the standard normal distribution truncated at 2, by which Keras divides too.
		fill(p, truncated(r, 0, math.Sqrt(variance)/0.87962566103423978))
	}
}

// fans counts a weight's inputs and outputs as Keras does: the last two axes times the rest.
func fans(shape []int) (in, out int) {
	switch len(shape) {
	case 0:
		return 1, 1
	case 1:
		return shape[0], shape[0]
	}
	receptive := 1
	for _, d := range shape[:len(shape)-2] {
		receptive *= d
	}
	return shape[len(shape)-2] * receptive, shape[len(shape)-1] * receptive
}

// identity is Value on the diagonal.
func identity(p *Param, _ *rand.Rand) {
	clear(p.Value)
	for i := range min(p.Shape[0], p.Shape[1]) {
		p.Value[i*p.Shape[1]+i] = float32(p.Initializer.Value)
	}
}

// orthogonal fills p, as a matrix of the last axis by all others, so that its rows or columns, whichever are fewer,
// are orthogonal with length Value. It applies Gram-Schmidt, twice because of rounding, to random normal vectors,
// which equals the QR decomposition of Saxe et al. 2014 with a positive diagonal.
func orthogonal(p *Param, r *rand.Rand) {
	columns := p.Shape[len(p.Shape)-1]
	rows := len(p.Value) / columns
	count, length := columns, rows
	at := func(vector, i int) int { return i*columns + vector }
	if rows < columns {
		count, length = rows, columns
		at = func(vector, i int) int { return vector*columns + i }
	}
	vectors := make([][]float64, count)
	for v := range vectors {
		x := make([]float64, length)
		for i := range x {
			x[i] = r.NormFloat64()
		}
		for range 2 {
			for _, before := range vectors[:v] {
				along := dot(x, before)
				for i := range x {
					x[i] -= along * before[i]
				}
			}
		}
		norm := math.Sqrt(dot(x, x))
		for i := range x {
			x[i] /= norm
			p.Value[at(v, i)] = float32(p.Initializer.Value * x[i])
		}
		vectors[v] = x
	}
}

func dot(a, b []float64) (sum float64) {
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}
