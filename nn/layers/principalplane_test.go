package layers_test

import (
	"math"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/nn/nntest"
)

// TestPlaneIsReproducible checks that the random changes depend only on the seed, the step and the number of the sample.
// They do not depend on the number of threads or on other samples. Inference has no random changes.
func TestPlaneIsReproducible(t *testing.T) {
	const batch, cells, pixels = 11, 16 * 16 * 16, 12 * 12
	digits := nntest.Digits(t)
	same := slices.Repeat(digits[cells:2*cells], batch)
	face := layers.NewPrincipalPlane(12)
	face.Turn, face.Stretch, face.Shift, face.Mirror = .2, .1, .1, .5
	m, err := nn.Sequential("", nn.Shape{16, 16, 16, 1}, face)
	if err != nil {
		t.Fatal(err)
	}
	// forward returns images and gradients.
	forward := func(threads int, x []float32, seed, step uint64, train bool, without ...string) []float32 {
		t.Helper()
		plan, err := m.Compile(batch, nn.Options{
			Training: true, InputGrad: true, Threads: threads, Seed: seed, Without: without,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer plan.Close()
		copy(plan.Input(0), x)
		if err := plan.Forward(len(x)/cells, train, step); err != nil {
			t.Fatal(err)
		}
		out := slices.Clone(plan.Output(0))
		if !train {
			return out
		}
		for i := range plan.OutputGrad(0) {
			plan.OutputGrad(0)[i] = float32(i%7) - 3
		}
		plan.Backward()
		return append(out, plan.InputGrad(0)...)
	}
	want := forward(1, same, 3, 4, true)
	for _, threads := range []int{2, 3} {
		if !slices.Equal(forward(threads, same, 3, 4, true), want) {
			t.Errorf("%d threads: another result", threads)
		}
	}
	if !slices.Equal(forward(1, same, 3, 4, true, "all"), want) {
		t.Error("the reference operation: another result")
	}
	image := func(out []float32, n int) []float32 { return out[n*pixels : (n+1)*pixels] }
	for n := range batch {
		if n > 0 && slices.Equal(image(want, n), image(want, 0)) {
			t.Errorf("sample %d is changed as sample 0", n)
		}
	}
	mixed := slices.Clone(digits[:batch*cells])
	copy(mixed[5*cells:6*cells], same)
	if got := forward(3, mixed, 3, 4, true); !slices.Equal(image(got, 5), image(want, 5)) {
		t.Error("the values of other samples change sample 5")
	}
	if got := forward(3, same[:4*cells], 3, 4, true); !slices.Equal(got[:4*pixels], want[:4*pixels]) {
		t.Error("the number of samples changes sample 0 to 3")
	}
	if slices.Equal(image(forward(1, same, 3, 5, true), 0), image(want, 0)) {
		t.Error("another step makes the same changes")
	}
	if slices.Equal(image(forward(1, same, 4, 4, true), 0), image(want, 0)) {
		t.Error("another seed makes the same changes")
	}
	still := forward(3, same, 3, 4, false)
	for n := range batch {
		if !slices.Equal(image(still, n), image(still, 0)) {
			t.Errorf("inference changes sample %d", n)
		}
	}
	if !slices.Equal(still, forward(1, same, 9, 9, false)) {
		t.Error("inference depends on the seed, the step or the threads")
	}
}

// TestPlaneFinite refuses angles and zooms that JSON cannot hold.
func TestPlaneFinite(t *testing.T) {
	for _, key := range []string{"angle", "zoom"} {
		for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			if _, err := layers.FromConfig("PrincipalPlane", map[string]any{"size": 8., key: v}); err == nil {
				t.Errorf("%s %g was accepted", key, v)
			}
		}
	}
}
