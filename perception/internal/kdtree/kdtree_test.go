package kdtree

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestNearest(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, coordinate := range map[string]func() float64{
		"even":  r.Float64,
		"equal": func() float64 { return -0.7 },
		"ties":  func() float64 { return float64(r.IntN(4)) },
		"far":   func() float64 { return float64(r.IntN(3)-1)*1e9 + r.Float64() },
		"dense": func() float64 { return math.Exp(10 * r.Float64()) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{0, 1, 2, leafSize + 1, 1000} {
				x, y, z := make([]float64, n), make([]float64, n), make([]float64, n)
				for i := range x {
					x[i], y[i], z[i] = coordinate(), coordinate(), coordinate()
				}
				tree, err := New(x, y, z)
				if err != nil {
					t.Fatal(err)
				}
				for _, k := range []int{0, 1, 7, 40} {
					check(t, tree, x, y, z, k)
				}
			}
		})
	}
}

// check compares the neighbours of each point with those of an exhaustive search.
func check(t *testing.T, tree *Tree, x, y, z []float64, k int) {
	t.Helper()
	seen := make([]bool, len(x))
	visit := func(position int, near []Neighbour) {
		p := tree.Points[position]
		if seen[p] || tree.X[position] != x[p] || tree.Y[position] != y[p] || tree.Z[position] != z[p] {
			t.Fatalf("point %d: found it twice, or with other coordinates", p)
		}
		seen[p] = true
		var want []Neighbour
		for i := range x {
			dx, dy, dz := tree.X[i]-x[p], tree.Y[i]-y[p], tree.Z[i]-z[p]
			want = append(want, neighbour(dx*dx+dy*dy+dz*dz, uint32(i)))
		}
		// Which of several points at the same distance are found is not specified.
		near = slices.Sorted(slices.Values(near))
		if len(slices.Compact(slices.Clone(near))) != min(k, len(x)) {
			t.Fatalf("found the neighbours %x, want %d different ones", near, min(k, len(x)))
		}
		all := slices.Clone(want)
		slices.Sort(want)
		for i, n := range near {
			if n != all[n.Position()] || n.Squared() != want[i].Squared() {
				t.Fatalf("neighbour %d of point %d of %d: found %x, want %x", i, p, len(x), n, want[i])
			}
		}
	}
	half := tree.Blocks() / 2
	tree.Nearest(k, 0, half, visit)
	tree.Nearest(k, half, tree.Blocks(), visit)
	if k > 0 && slices.Contains(seen, false) {
		t.Fatalf("found no neighbours for point %d", slices.Index(seen, false))
	}
}

func TestTooLarge(t *testing.T) {
	for _, v := range []float64{1e19, -1e19, math.Inf(1)} {
		if _, err := New([]float64{0, 0}, []float64{0, v}, []float64{0, 0}); err == nil {
			t.Errorf("found no error for a coordinate of %g", v)
		}
	}
}

// TestManyEqual takes minutes if each of the equal points is compared with all others.
func TestManyEqual(t *testing.T) {
	const n = 1 << 17
	x := make([]float64, n)
	for i := range 100 {
		x[i*n/100] = float64(i)
	}
	tree, err := New(x, x, x)
	if err != nil {
		t.Fatal(err)
	}
	visited := 0
	tree.Nearest(20, 0, tree.Blocks(), func(int, []Neighbour) { visited++ })
	if visited != n {
		t.Errorf("found %d points, want %d", visited, n)
	}
}
