package pass_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// TestLowPrecision compares with float32, on every tier, and wants the same bits from any number of threads.
func TestLowPrecision(t *testing.T) {
	before := kernel.InUse()
	t.Cleanup(func() {
		if err := kernel.Use(before); err != nil {
			t.Error(err)
		}
	})
	same := func(filters, size int) *layers.Conv3D {
		c := layers.NewConv3D(filters, size, "relu")
		c.Padding = "same"
		return c
	}
	wide := must(nn.Sequential("wide", nn.Shape{8, 7, 9, 3}, same(24, 3), layers.NewBatchNormalization(), same(30, 2), layers.NewMaxPooling3D(2),
		layers.NewBatchNormalization(), layers.NewReLU(), layers.NewFlatten(), layers.NewDense(33, "relu"), layers.NewDense(5, "softmax")))
	low := map[string]int{"wide": 3, "tutorial": 3, "voxnet": 2} // how many operations, at least
	for _, m := range append(models(), wide) {
		m.Init(1)
		exact, ranges := forward(t, m, 1, true)
		for kind, tolerance := range map[string]float64{nn.Int8: .03, nn.BFloat16: .01} {
			small := m.In(nn.Precision{Kind: kind, Ranges: ranges})
			for _, tier := range kernel.Tiers() {
				if err := kernel.Use(tier); err != nil {
					t.Fatal(err)
				}
				want, _ := forward(t, small, 1, false)
				if e := rms(want, exact); !(e <= tolerance) {
					t.Errorf("%s, %s, %s: found an error of %.4f, want %g", m.Name, kind, tier, e, tolerance)
				}
				for _, threads := range []int{2, 3} {
					if got, _ := forward(t, small, threads, false); !slices.Equal(got, want) {
						t.Errorf("%s, %s, %s: %d threads give another result", m.Name, kind, tier, threads)
					}
				}
			}
			plan := must(small.Compile(batch, nn.Options{}))
			fill(plan, nil)
			if n := testing.AllocsPerRun(3, func() { _ = plan.Forward(batch, false, 0) }); n > 0 {
				t.Errorf("%s, %s: a step allocates %g times", m.Name, kind, n)
			}
			ops := strings.Join(plan.Ops(), "\n")
			plan.Close()
			if n := strings.Count(ops, "LowPrecision"); n < low[m.Name] && kind == nn.Int8 {
				t.Errorf("%s: %d operations of low precision, want %d:\n%s", m.Name, n, low[m.Name], ops)
			}
			training := must(small.Compile(batch, nn.Options{Training: true}))
			ops = strings.Join(training.Ops(), "\n")
			training.Close()
			if strings.Contains(ops, "LowPrecision") {
				t.Errorf("%s: trains in low precision", m.Name)
			}
		}
	}
}

// forward returns the output for batch samples, of half as many too, and the ranges that it watched.
func forward(t *testing.T, m *nn.Model, threads int, watch bool) ([]float32, map[string][2]float32) {
	t.Helper()
	plan := must(m.Compile(batch, nn.Options{Threads: threads}))
	defer plan.Close()
	fill(plan, nil)
	ranges := map[string][2]float32{}
	if watch {
		plan.Watch(func(layer string, x []float32) {
			r := ranges[layer]
			ranges[layer] = [2]float32{min(r[0], slices.Min(x)), max(r[1], slices.Max(x))}
		})
	}
	var out []float32
	for _, n := range []int{batch, batch / 2} {
		if err := plan.Forward(n, false, 0); err != nil {
			t.Fatal(err)
		}
		out = append(out, plan.Output(0)...)
	}
	return out, ranges
}

// rms is the root mean square of the difference over that of want.
func rms(got, want []float32) float64 {
	d, s := 0., 0.
	for i := range want {
		d += math.Pow(float64(got[i]-want[i]), 2)
		s += math.Pow(float64(want[i]), 2)
	}
	return math.Sqrt(d / s)
}
