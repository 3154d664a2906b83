package voxelize

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
)

// TestFinder compares the cells of a finder with those of single points, on and near faces, far outside and not finite.
func TestFinder(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for round := range 300 {
		g := Grid{Dims: [3]int{1 + rng.IntN(70), 1 + rng.IntN(70), 1 + rng.IntN(70)}}
		for a := range 3 {
			g.Cell[a] = []float64{0.1, 0.25, rng.Float64(), 1e-7, 1e5}[rng.IntN(5)]
			g.Origin[a] = []float64{0, rng.NormFloat64(), 5.3e6, -1e9}[rng.IntN(4)]
		}
		p := &ingest.PointCloud{}
		for range 1 + rng.IntN(3*findBlock/2) {
			var at [3]float64
			for a := range at {
				k := float64(rng.IntN(g.Dims[2-a]+3) - 1)
				at[a] = g.Origin[a] + k*g.Cell[2-a]
				switch rng.IntN(8) {
				case 0: // on a face
				case 1:
					at[a] = math.Nextafter(at[a], math.Inf(1))
				case 2:
					at[a] = math.Nextafter(at[a], math.Inf(-1))
				case 3:
					at[a] += g.Cell[2-a] * rng.Float64() * 1e-12
				default:
					at[a] += g.Cell[2-a] * rng.Float64()
				}
			}
			if rng.IntN(50) == 0 {
				at[rng.IntN(3)] = []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e300, -1e300}[rng.IntN(5)]
			}
			p.X, p.Y, p.Z = append(p.X, at[0]), append(p.Y, at[1]), append(p.Z, at[2])
		}
		finders := map[string]*finder{"grid": g.finder()}
		if b, err := measure(p); err == nil && b.max[0] < 1e100 && b.min[0] > -1e100 {
			c := newCube(b, g.Dims[0], 0.001*float64(round%2))
			finders["cube"] = c.finder([3]int{1, c.n, c.n * c.n})
		}
		for name, f := range finders {
			seen := 0
			f.each(p, func(first int, cells []int32) {
				for k, got := range cells {
					i := first + k
					want, ok := f.exact(p.X[i], p.Y[i], p.Z[i])
					if !ok {
						want = outsideGrid
					}
					if int(got) != want {
						t.Fatalf("%s of %v: point %v, %v, %v: found cell %d, want %d", name, g, p.X[i], p.Y[i], p.Z[i], got,
							want)
					}
				}
				seen += len(cells)
			})
			if seen != p.Len() {
				t.Fatalf("found cells of %d points, want %d", seen, p.Len())
			}
		}
	}
}

func BenchmarkField(b *testing.B) {
	for _, size := range []struct {
		points, cells int
		name          string
	}{{25_000, 16, "25000 to 16"}, {120_000, 64, "120000 to 64"}} {
		rng := rand.New(rand.NewPCG(1, 1))
		p := &ingest.PointCloud{}
		for range size.points {
			p.X, p.Y, p.Z = append(p.X, rng.NormFloat64()), append(p.Y, rng.NormFloat64()), append(p.Z, rng.NormFloat64())
		}
		for _, m := range []Method{MNIST3D, Regular, CountGrid, MeanGrid} {
			b.Run(string(m.Name)+"/"+size.name, func(b *testing.B) {
				v := mustNew(b, options(m, size.cells))
				for b.Loop() {
					if _, err := v.Field(sampleOf(p)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
