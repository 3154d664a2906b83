package nn_test

import (
	"math"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// TestDropoutIsRandom measures which elements fall: as many as the rate says, each apart from its neighbours, from
// the same element of the next sample and of the next step, and from that of another layer; what stays is scaled so
// that the mean does not change. The second layer follows a normalization, into which a pass draws it.
func TestDropoutIsRandom(t *testing.T) {
	const size, batch, steps = 300, 32, 60
	in := nn.Input("", nn.Shape{size})
	norm := layers.NewBatchNormalization()
	norm.Frozen = true // of its moving statistics, 0 and 1
	for _, rate := range []float64{.5, .2} {
		first := must(nn.Apply(layers.NewDropout(rate), in))
		second := must(nn.Apply(layers.NewDropout(rate), must(nn.Apply(norm, in))))
		m := must(nn.Functional("", []*nn.Node{in}, []*nn.Node{first, second}))
		m.Init(1)
		for _, without := range [][]string{nil, {"all"}} {
			plan := must(m.Compile(batch, nn.Options{Training: true, Threads: 2, Without: without, Seed: 3}))
			for i := range plan.Input(0) {
				plan.Input(0)[i] = 1
			}
			var masks [2][]float64 // by layer: for each step, sample and element 1 where it stays, less the share that stays
			for step := range steps {
				if err := plan.Forward(batch, true, uint64(step)); err != nil {
					t.Fatal(err)
				}
				for k := range masks {
					for _, v := range plan.Output(k) {
						kept := 0.
						if v != 0 {
							kept = 1
							if want := 1 / (1 - rate); math.Abs(float64(v)-want) > 2e-3*want { // the normalization's epsilon
								t.Fatalf("layer %d: what stays of 1 is %g, want %g", k, v, want)
							}
						}
						masks[k] = append(masks[k], kept-(1-rate))
					}
				}
			}
			plan.Close()
			for k, mask := range masks {
				sum := 0.
				for _, v := range mask {
					sum += v
				}
				if z := sum / math.Sqrt(float64(len(mask))*rate*(1-rate)); math.Abs(z) > 4 {
					t.Errorf("layer %d, rate %g, without %v: the share that stays is %.1f deviations from %g", k, rate, without, z, 1-rate)
				}
				for _, lag := range []int{1, 2, 3, 16, 64, size, 2 * size, batch * size, 2 * batch * size} {
					if z := correlation(mask[lag:], mask[:len(mask)-lag], rate); math.Abs(z) > 4 {
						t.Errorf("layer %d, rate %g, without %v: elements %d apart fall together, %.1f deviations", k, rate, without, lag, z)
					}
				}
			}
			if z := correlation(masks[0], masks[1], rate); math.Abs(z) > 4 {
				t.Errorf("rate %g, without %v: elements of two layers fall together, %.1f deviations", rate, without, z)
			}
		}
	}
}

// correlation is the sum of products of independent masks in standard deviations.
func correlation(a, b []float64, rate float64) (z float64) {
	for i := range a {
		z += a[i] * b[i]
	}
	return z / (math.Sqrt(float64(len(a))) * rate * (1 - rate))
}
