package kernel_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

func benchTiers(b *testing.B, run func(b *testing.B)) {
	before := kernel.InUse()
	for _, tier := range kernel.Tiers() {
		if err := kernel.Use(tier); err != nil {
			b.Fatal(err)
		}
		b.Run(string(tier), run)
	}
	if err := kernel.Use(before); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkGemm(b *testing.B) {
	for _, s := range [][3]int{{56, 64, 864}, {128, 256, 512}, {1, 256, 512}, {56, 24, 864}, {56, 7, 864}} {
		m, n, k := s[0], s[1], s[2]
		b.Run(fmt.Sprintf("%dx%dx%d", m, n, k), func(b *testing.B) {
			benchTiers(b, func(b *testing.B) {
				x, y, z := make([]float32, m*k), make([]float32, k*n), make([]float32, m*n)
				for b.Loop() {
					kernel.Gemm(m, n, k, x, k, 1, y, n, z, n, false)
				}
				b.ReportMetric(float64(m*n*k)*2*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		})
	}
}

// tutorial returns the two convolutions of the tutorial's network.
func tutorial() (first, second convCase) {
	return valid("first", cube(16), 3, cube(3), cube(1), cube(1), 32, 2, 2), valid("second", cube(7), 32, cube(3), cube(1), cube(1), 64, 2, 2)
}

func BenchmarkTutorialConv(b *testing.B) {
	const n = 16
	r := rand.New(rand.NewPCG(1, 1))
	first, second := tutorial()
	perSample := func(b *testing.B) {
		b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(b.N*n), "us/sample")
	}
	for _, c := range []convCase{first, second} {
		k := kernel.NewConv(c.geo, c.pool, true)
		g := c.geo
		src, w, bias, scratch := random(r, n*g.InLen()), random(r, g.Patch()*g.OutC), random(r, g.OutC), make([]float32, k.ScratchLen())
		out, arg := make([]float32, n*k.Windows()*g.OutC), make([]uint8, n*k.Windows()*g.OutC)
		lists := k.NewSurvivors(g.OutC)
		dw, db, dsrc := make([]float32, len(w)), make([]float32, g.OutC), make([]float32, len(src))
		grad := random(r, len(out))
		b.Run(c.name+"/forward", func(b *testing.B) {
			benchTiers(b, func(b *testing.B) {
				for b.Loop() {
					k.Forward(out, arg, src, w, bias, 0, n*k.Windows(), scratch)
				}
				perSample(b)
			})
		})
		b.Run(c.name+"/sparse weights", func(b *testing.B) {
			benchTiers(b, func(b *testing.B) {
				for b.Loop() {
					k.SparseWeightGrad(dw, db, src, grad, arg, 0, n, 0, g.OutC, lists)
				}
				perSample(b)
			})
		})
		b.Run(c.name+"/sparse input", func(b *testing.B) {
			benchTiers(b, func(b *testing.B) {
				for b.Loop() {
					k.SparseInputGrad(dsrc, w, grad, arg, 0, n, k.NewPlaces())
				}
				perSample(b)
			})
		})
	}
	g := first.geo
	k := kernel.NewPaletteConv(g, first.pool, true, random(r, kernel.PaletteSize*3), 0)
	src := make([]uint8, n*16*16*16)
	for i := range n * 700 {
		src[r.IntN(len(src))] = uint8(1 + i%200)
	}
	w, bias := random(r, g.Patch()*g.OutC), random(r, g.OutC)
	table, base, scratch, v := make([]float32, k.TableLen()), make([]float32, k.BaseLen()), make([]float32, k.PlaneScratchLen()), k.NewVoxels(true)
	out, arg := make([]float32, n*k.Windows()*g.OutC), make([]uint8, n*k.Windows()*g.OutC)
	grad, sums := random(r, len(out)), make([]float32, k.WeightGradLen())
	k.Base(base, w, bias, make([]float32, k.BaseScratchLen()))
	b.Run("palette/table", func(b *testing.B) {
		benchTiers(b, func(b *testing.B) {
			for b.Loop() {
				k.Table(table, w, 0, kernel.PaletteSize)
			}
		})
	})
	b.Run("palette/forward", func(b *testing.B) {
		benchTiers(b, func(b *testing.B) {
			for b.Loop() {
				k.Forward(out, arg, src, w, table, base, 0, n*k.Slabs(), v, scratch)
			}
			perSample(b)
		})
	})
	b.Run("palette/weights", func(b *testing.B) {
		benchTiers(b, func(b *testing.B) {
			for b.Loop() {
				k.WeightGrad(sums, src, grad, arg, out, 0, n*k.Slabs(), v, scratch)
			}
			perSample(b)
		})
	})
}
