package train

import "testing"

// BenchmarkUpdate measures a step of each optimizer on the parameters of the tutorial's network: nanoseconds a
// parameter on one thread.
func BenchmarkUpdate(b *testing.B) {
	const n = 258_058
	for _, c := range []struct {
		name string
		rule Rule
	}{
		{"sgd", &SGD{}},
		{"momentum", &SGD{Momentum: .9}},
		{"nesterov", &SGD{Momentum: .9, Nesterov: true}},
		{"rmsprop", defaultRMSprop()},
		{"rmsprop centred, momentum", &RMSprop{Rho: .9, Epsilon: 1e-7, Momentum: .9, Centered: true}},
		{"adam", defaultAdam()},
		{"amsgrad", &Adam{Beta1: .9, Beta2: .999, Epsilon: 1e-7, AMSGrad: true}},
	} {
		b.Run(c.name, func(b *testing.B) {
			value, gradient := make([]float32, n), make([]float32, n)
			for i := range gradient {
				gradient[i] = float32(i%7) - 3
			}
			var slots [][]float32
			for _, group := range c.rule.Slots() {
				for range group {
					slots = append(slots, make([]float32, n))
				}
			}
			b.ReportAllocs()
			for i := int64(1); b.Loop(); i++ {
				c.rule.Update(value, gradient, slots, .001, i)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/parameter")
		})
	}
}
