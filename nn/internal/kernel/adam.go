package kernel

import "math"

// Adam makes one step of the optimizer on a range of parameters p, with gradient g and the running moments m and v,
// all of one length: m += (g-m)*(1-beta1); v += (g*g-v)*(1-beta2); p -= m*rate/(sqrt(v)+epsilon). The rate includes
// the correction of the bias, as in Keras.
func Adam(p, g, m, v []float32, rate, beta1, beta2, epsilon float32) {
	if len(p) == 0 {
		return
	}
	loops.adam(p, g[:len(p)], m[:len(p)], v[:len(p)], rate, 1-beta1, 1-beta2, epsilon)
}

func portableAdam(p, g, m, v []float32, rate, f1, f2, epsilon float32) {
	g, m, v = g[:len(p)], m[:len(p)], v[:len(p)]
	for i, gi := range g {
		mi := m[i] + (gi-m[i])*f1
		vi := v[i] + (gi*gi-v[i])*f2
		m[i], v[i] = mi, vi
		p[i] -= mi * rate / (float32(math.Sqrt(float64(vi))) + epsilon)
	}
}
