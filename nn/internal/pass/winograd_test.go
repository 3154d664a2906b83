package pass_test

import (
	"testing"

	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/pass"
)

// TestFewStridedTiles follows the choice from one sample on. Each sample of 16x16x16 has 8 tiles with stride 2.
func TestFewStridedTiles(t *testing.T) {
	pass.SetStrided(224, 9)
	defer pass.SetStrided(1, 1000)
	for _, c := range []struct {
		what                string
		size, kernel        int
		in, out             int
		fewer, first, never int // first is the least number of samples for which it pays, never a number for which it does not; 0 is none
	}{
		{"weights of 12 MB, 2.4 times fewer products", 16, 3, 64, 64, 1, 8, 0},
		{"few outputs, whose inputs' transforms take too long", 16, 3, 64, 32, 1, 28, 27},
		{"tiles that lack outputs", 14, 3, 32, 64, 1, 0, 1000},
		{"six times fewer products, weights of 5 MB", 16, 5, 32, 32, 1, 1, 0},
		{"weights of 22 MB, which no cache holds", 16, 5, 64, 64, 1, 8, 7},
		{"one tile a sample, six times fewer products", 8, 5, 32, 32, 1, 8, 7},
		{"a gradient of the weights", 16, 3, 64, 64, 3, 0, 1000},
	} {
		side := (c.size + 1) / 2
		cube := func(n int) [3]int { return [3]int{n, n, n} }
		g := kernel.Geometry{In: cube(c.size), InC: c.in, Kernel: cube(c.kernel), Stride: cube(2), Dilation: cube(1), Pad: cube((c.kernel - 2) / 2), Out: cube(side), OutC: c.out}
		pays := func(samples int) bool { return pass.Pays(samples, g, g.Unit(), c.fewer) }
		for samples := 1; samples < c.first; samples++ {
			if pays(samples) {
				t.Errorf("%s: it pays for %d samples, want %d at least", c.what, samples, c.first)
				break
			}
		}
		if c.first > 0 && !pays(c.first) {
			t.Errorf("%s: it does not pay for %d samples", c.what, c.first)
		}
		if c.never > 0 && pays(c.never) {
			t.Errorf("%s: it pays for %d samples", c.what, c.never)
		}
	}
}
