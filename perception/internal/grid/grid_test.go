package grid

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// near returns the cells that Near finds near each cell, one by one.
func near(g *Grid, reach, first, last int) map[int][]int {
	out := map[int][]int{}
	g.Near(reach, first, last, func(cell int, runs [][2]int32) {
		for _, r := range runs {
			for c := r[0]; c < r[1]; c++ {
				out[cell] = append(out[cell], int(c))
			}
		}
	})
	return out
}

func index(v, edge float64) int64 { return int64(math.Floor(v / edge)) }

// again is used for all clouds.
var again Groups

// check compares a grid with the definition.
func check(t *testing.T, x, y, z []float64, edge float64) {
	t.Helper()
	g, err := New(x, y, z, edge)
	if err != nil {
		t.Fatal(err)
	}
	cellOf := func(i int32) [3]int64 { return [3]int64{index(z[i], edge), index(y[i], edge), index(x[i], edge)} }
	order := make([]int32, len(x))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int {
		p, q := cellOf(a), cellOf(b)
		return slices.Compare(p[:], q[:])
	})
	if !slices.Equal(g.Points, order) {
		t.Fatalf("found points in the order %v, want %v", g.Points, order)
	}
	var cells [][3]int64
	for i, p := range order {
		if c := cellOf(p); i == 0 || c != cells[len(cells)-1] {
			if g.Start[len(cells)] != int32(i) {
				t.Fatalf("found the start of cell %d at %d, want %d", len(cells), g.Start[len(cells)], i)
			}
			cells = append(cells, c)
		}
	}
	if g.Cells() != len(cells) || g.Start[len(cells)] != int32(len(x)) {
		t.Fatalf("found %d cells up to %d, want %d up to %d", g.Cells(), g.Start[len(g.Start)-1], len(cells), len(x))
	}
	for reach := range MaxReach + 1 {
		found := near(g, reach, 0, len(cells))
		middle := len(cells) / 2
		later := near(g, reach, middle, len(cells))
		for i, a := range cells {
			var want []int
			for j, b := range cells {
				far := false
				for k := range a {
					d := a[k] - b[k]
					far = far || max(d, -d) > int64(reach)
				}
				if !far {
					want = append(want, j)
				}
			}
			if !slices.Equal(found[i], want) {
				t.Fatalf("reach %d, cell %d: found %v, want %v", reach, i, found[i], want)
			}
			if i >= middle && !slices.Equal(later[i], want) {
				t.Fatalf("reach %d, cell %d, from cell %d: found %v, want %v", reach, i, middle, later[i], want)
			}
		}
	}
	if err := again.Group(x, y, z, edge); err != nil {
		t.Fatal(err)
	}
	groups, of := again.Cells, again.Of
	numbers := map[[3]int64]int32{}
	var first, count []int32
	for i, c := range of {
		key := cellOf(int32(i))
		if _, ok := numbers[key]; !ok {
			numbers[key] = int32(len(first))
			first, count = append(first, int32(i)), append(count, 0)
		}
		if c != numbers[key] {
			t.Fatalf("point %d: found it in group %d, want %d", i, c, numbers[key])
		}
		count[c]++
	}
	if len(groups) != len(first) {
		t.Fatalf("found %d groups, want %d", len(groups), len(first))
	}
	for c, g := range groups {
		if g.First != first[c] || g.Count != count[c] || [3]int64{g.Index[2], g.Index[1], g.Index[0]} != cellOf(first[c]) {
			t.Fatalf("group %d: found %+v, want the first point %d and %d in all", c, g, first[c], count[c])
		}
		for axis, column := range [][]float64{x, y, z} {
			sum := int64(0)
			for i, o := range of {
				if int(o) == c {
					v := column[i] / edge
					sum += int64((v - math.Floor(v)) * Resolution)
				}
			}
			if g.Offset[axis] != sum {
				t.Fatalf("group %d: found offsets of %d along axis %d, want %d", c, g.Offset[axis], axis, sum)
			}
		}
	}
	sx, sy, sz := g.Sorted()
	for i, p := range g.Points {
		if sx[i] != x[p] || sy[i] != y[p] || sz[i] != z[p] {
			t.Fatalf("found other coordinates for point %d", p)
		}
	}
}

func TestGrid(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	cloud := func(n int, coordinate func() float64) (x, y, z []float64) {
		for range n {
			x, y, z = append(x, coordinate()), append(y, coordinate()), append(z, coordinate())
		}
		return x, y, z
	}
	for name, coordinate := range map[string]func() float64{
		"dense":  func() float64 { return r.Float64()*3 - 1.5 },
		"equal":  func() float64 { return -0.7 },
		"edges":  func() float64 { return float64(r.IntN(7)-3) * 0.5 },
		"sparse": func() float64 { return r.Float64()*100 - 50 },
		"wide":   func() float64 { return []float64{-1e9, 0, 1e9}[r.IntN(3)] + r.Float64()*2 },
		"widest": func() float64 { return math.Ldexp(r.Float64()*2-1, 2+r.IntN(50)) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{0, 1, 2, 300} {
				x, y, z := cloud(n, coordinate)
				check(t, x, y, z, 0.5)
			}
		})
	}
}

// TestTooManyCells has so many cells along each axis that even numbered without gaps they do not fit in 64 bits, or
// fit but leave no room for the indices of points.
func TestTooManyCells(t *testing.T) {
	const n = 1 << 20
	x, y, z := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range x {
		v := float64(i) * 20
		x[i], y[i], z[i] = v, -v, v
	}
	if _, err := New(x, y, z, 1); err == nil {
		t.Errorf("found no error for %d cells along each axis", n)
	}
	x, y, z = x[:n/8], y[:n/8], z[:n/8]
	g, err := New(x, y, z, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range g.Points {
		if int(p) != i {
			t.Fatalf("found point %d at %d, want the order of z", p, i)
		}
	}
}

func TestTooLarge(t *testing.T) {
	for _, v := range []float64{1e300, -1e300, math.Inf(1)} {
		if _, err := New([]float64{0, 0}, []float64{0, v}, []float64{0, 0}, 0.1); err == nil {
			t.Errorf("found no error for a coordinate of %g", v)
		}
		if err := again.Group([]float64{0, 0}, []float64{0, v}, []float64{0, 0}, 0.1); err == nil {
			t.Errorf("groups: found no error for a coordinate of %g", v)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	const n = 120_000
	x, y, z := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range x {
		d, a := math.Exp(1+3*r.Float64()), 2*math.Pi*float64(i)/n
		x[i], y[i], z[i] = d*math.Cos(a), d*math.Sin(a), 3*r.Float64()
	}
	for b.Loop() {
		if _, err := New(x, y, z, 0.2); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNear(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	const n = 120_000
	x, y, z := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range x {
		d, a := math.Exp(1+3*r.Float64()), 2*math.Pi*float64(i)/n
		x[i], y[i], z[i] = d*math.Cos(a), d*math.Sin(a), 3*r.Float64()
	}
	g, err := New(x, y, z, 0.5)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		g.Near(1, 0, g.Cells(), func(int, [][2]int32) {})
	}
}
