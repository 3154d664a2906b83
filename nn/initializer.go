package nn

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
)

// Init fills every parameter by its initializer. The numbers of a parameter depend on the seed and its name alone, so that adding a layer
// does not change the start of the others.
func (m *Model) Init(seed uint64) {
	for _, p := range m.Params() {
		h := fnv.New64a()
		h.Write([]byte(p.Name))
		initialize(p, rand.New(rand.NewPCG(seed, h.Sum64())))
	}
}

// Initializers are the names that a parameter may be initialised by, as in Keras.
var Initializers = []string{
	"zeros", "ones", "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal",
}

// initialize fills p. Limits: uniform in +-sqrt(3 scale/fan), or a normal of variance scale/fan cut off at two deviations, with scale and fan 1
// and the mean of both fans for glorot (Glorot & Bengio 2010), 2 and fan in for he (He et al. 2015), 1 and fan in for lecun.
func initialize(p *Param, r *rand.Rand) {
	in, out := fans(p.Shape)
	scale, fan, normal := 0.0, float64(in), false
	switch p.Init {
	case "ones":
		for i := range p.Value {
			p.Value[i] = 1
		}
		return
	case "glorot_uniform":
		scale, fan = 1, float64(in+out)/2
	case "glorot_normal":
		scale, fan, normal = 1, float64(in+out)/2, true
	case "he_uniform":
		scale = 2
	case "he_normal":
		scale, normal = 2, true
	case "lecun_uniform":
		scale = 1
	case "lecun_normal":
		scale, normal = 1, true
	default:
		clear(p.Value)
		return
	}
	// 0.87962566103423978 is the deviation of the standard normal cut off at 2; Keras divides by it too.
	limit, deviation := math.Sqrt(3*scale/fan), math.Sqrt(scale/fan)/0.87962566103423978
	for i := range p.Value {
		v := (2*r.Float64() - 1) * limit
		if normal {
			v = r.NormFloat64()
			for math.Abs(v) > 2 {
				v = r.NormFloat64()
			}
			v *= deviation
		}
		p.Value[i] = float32(v)
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
