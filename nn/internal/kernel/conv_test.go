package kernel_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/nn/internal/kernel"
	"github.com/voxelstream/voxelstream/nn/internal/kernel/reference"
)

type convCase struct {
	name string
	geo  kernel.Geometry
	pool kernel.Window
}

func cube(n int) [3]int { return [3]int{n, n, n} }

// valid returns a convolution without padding and the pooling that reads it, pool 1 for none.
func valid(name string, in [3]int, inC int, k, stride, dilation [3]int, outC, pool, poolStride int) convCase {
	g := kernel.Geometry{In: in, InC: inC, Kernel: k, Stride: stride, Dilation: dilation, OutC: outC}
	w := kernel.Window{Size: cube(pool), Stride: cube(poolStride)}
	for i := range 3 {
		g.Out[i] = (in[i]-(k[i]-1)*dilation[i]-1)/stride[i] + 1
		w.Out[i] = (g.Out[i]-pool)/poolStride + 1
		// Dead outputs are left out.
		g.Out[i] = (w.Out[i]-1)*poolStride + pool
	}
	return convCase{name: name, geo: g, pool: w}
}

func same(name string, in [3]int, inC int, k, stride [3]int, outC, pool int) convCase {
	g := kernel.Geometry{In: in, InC: inC, Kernel: k, Stride: stride, Dilation: cube(1), OutC: outC}
	w := kernel.Window{Size: cube(pool), Stride: cube(pool)}
	for i := range 3 {
		g.Out[i] = (in[i] + stride[i] - 1) / stride[i]
		g.Pad[i] = max((g.Out[i]-1)*stride[i]+k[i]-in[i], 0) / 2
		w.Out[i] = g.Out[i] / pool
		g.Out[i] = w.Out[i] * pool
	}
	return convCase{name: name, geo: g, pool: w}
}

func convCases() []convCase {
	return []convCase{
		valid("kernel 5", [3]int{7, 8, 6}, 5, cube(5), cube(1), cube(1), 17, 1, 1),
		valid("kernel 5, pooled", cube(8), 16, cube(5), cube(1), cube(1), 24, 2, 2),
		same("same, kernel 5", [3]int{5, 4, 7}, 8, cube(5), cube(1), 16, 1),
		valid("tutorial 1, smaller", cube(8), 3, cube(3), cube(1), cube(1), 32, 2, 2),
		valid("tutorial 2", cube(7), 32, cube(3), cube(1), cube(1), 64, 2, 2),
		valid("no pooling", [3]int{5, 6, 7}, 4, cube(3), cube(1), cube(1), 9, 1, 1),
		valid("point", [3]int{3, 2, 5}, 17, cube(1), cube(1), cube(1), 33, 1, 1),
		valid("stride", [3]int{9, 8, 11}, 2, [3]int{3, 2, 5}, [3]int{2, 3, 2}, cube(1), 5, 1, 1),
		valid("dilation", [3]int{9, 8, 11}, 3, [3]int{3, 2, 3}, cube(1), [3]int{2, 3, 2}, 7, 2, 2),
		valid("stride and dilation", cube(13), 1, cube(3), cube(2), [3]int{1, 2, 3}, 16, 1, 1),
		valid("overlapping windows", cube(8), 2, cube(3), cube(1), cube(1), 6, 3, 2),
		valid("wide", [3]int{3, 4, 37}, 3, cube(3), cube(1), cube(1), 16, 1, 1),
		valid("one channel", cube(7), 1, cube(3), cube(1), cube(1), 16, 2, 2),
		valid("four channels", cube(6), 4, cube(3), cube(1), cube(1), 24, 2, 2),
		same("same", [3]int{5, 4, 7}, 3, cube(3), cube(1), 8, 1),
		same("same, stride", [3]int{5, 8, 7}, 2, [3]int{3, 5, 4}, cube(2), 18, 1),
		same("same, pooled", [3]int{6, 4, 7}, 3, cube(3), cube(1), 34, 2),
		valid("kernel 2", [3]int{6, 5, 9}, 5, cube(2), cube(1), cube(1), 17, 1, 1),
		valid("kernel 2, pooled", cube(7), 16, cube(2), cube(1), cube(1), 8, 2, 2),
		same("same, kernel 3, stride 2", [3]int{9, 14, 12}, 16, cube(3), cube(2), 24, 1),
		same("same, kernel 5, stride 2", [3]int{14, 7, 16}, 20, cube(5), cube(2), 8, 1),
		valid("kernel 3, stride 2, pooled", cube(17), 8, cube(3), cube(2), cube(1), 16, 2, 2),
		valid("kernel 4, stride 2", [3]int{10, 12, 11}, 3, cube(4), cube(2), cube(1), 16, 1, 1),
		valid("kernel 6, stride 2", [3]int{8, 10, 9}, 70, cube(6), cube(2), cube(1), 9, 1, 1),
		same("same, stride 2, many channels", [3]int{7, 9, 14}, 33, cube(3), cube(2), 50, 1),
		same("point, stride 2, many channels", [3]int{3, 4, 9}, 300, cube(1), cube(2), 20, 1),
		same("same, stride 3, rows in parts", [3]int{4, 6, 40}, 16, [3]int{1, 3, 4}, [3]int{1, 2, 3}, 70, 1),
		same("same, kernel 5, many channels", [3]int{3, 4, 9}, 17, cube(5), cube(1), 40, 1),
		valid("dilation, many channels", [3]int{9, 8, 11}, 20, [3]int{3, 2, 3}, cube(1), [3]int{2, 3, 2}, 34, 1, 1),
		valid("stride and dilation, many channels", [3]int{9, 8, 15}, 16, cube(3), cube(2), [3]int{1, 2, 2}, 16, 1, 1),
		same("large kernel", [3]int{2, 12, 9}, 1, [3]int{3, 250, 50}, cube(1), 2, 1),
		same("kernel larger than input", cube(2), 3, cube(5), cube(1), 4, 1),
	}
}

// truth is the reference of a convolution with fused rectifier and pooling over a batch.
type truth struct {
	out, dw, db, dsrc []float32
	arg               []uint8
}

func reckon(c convCase, relu bool, n int, src, w, bias, grad []float32) truth {
	var all truth
	g := c.geo
	all.dw, all.db = make([]float32, len(w)), make([]float32, g.OutC)
	out := c.pool.Out[0] * c.pool.Out[1] * c.pool.Out[2] * g.OutC
	for i := range n {
		in := src[i*g.InLen() : (i+1)*g.InLen()]
		x := reference.ConvForward(g, in, w, bias)
		if relu {
			reference.ReLU(x)
		}
		pooled, arg := reference.MaxPool(g.Out, g.OutC, c.pool, x)
		dx := reference.MaxPoolGrad(g.Out, g.OutC, c.pool, arg, grad[i*out:(i+1)*out])
		if relu {
			reference.ReLUGrad(dx, x)
		}
		dw, db, dsrc := reference.ConvGrad(g, in, w, dx)
		all.out = append(all.out, pooled...)
		all.arg = append(all.arg, arg...)
		all.dsrc = append(all.dsrc, dsrc...)
		for j, v := range dw {
			all.dw[j] += v
		}
		for j, v := range db {
			all.db[j] += v
		}
	}
	return all
}

// checkArg compares only where the output is not cut off.
func checkArg(t *testing.T, got, want []uint8, out []float32, relu bool) {
	t.Helper()
	for i, at := range got {
		if relu && out[i] <= 0 {
			if at != kernel.Dead {
				t.Fatalf("arg %d is %d where nothing flows, want Dead", i, at)
			}
		} else if at != want[i] {
			t.Fatalf("arg %d is %d, want %d", i, at, want[i])
		}
	}
}

func TestConv(t *testing.T) {
	const n = 3
	cases := convCases()
	eachTier(t, func(t *testing.T) {
		for _, c := range cases {
			for _, relu := range []bool{false, true} {
				name := c.name
				if relu {
					name += ", rectified"
				}
				t.Run(name, func(t *testing.T) { testConv(t, c, relu, n) })
			}
		}
	})
}

func testConv(t *testing.T, c convCase, relu bool, n int) {
	r := rand.New(rand.NewPCG(5, 6))
	ar := arena{t: t}
	k := kernel.NewConv(c.geo, c.pool, relu)
	pooled := c.pool.Size != cube(1)
	g := c.geo
	src, w, bias := random(r, n*g.InLen()), random(r, g.Patch()*g.OutC), random(r, g.OutC)
	outLen := k.Windows() * g.OutC
	grad := random(r, n*outLen)
	want := reckon(c, relu, n, src, w, bias, grad)

	in, scratch := ar.from(src), ar.alloc(k.ScratchLen())
	out := ar.alloc(n * outLen)
	var arg []uint8
	if pooled {
		arg = make([]uint8, n*outLen)
	}
	// In uneven parts, the last first: each writes its own range only.
	cuts := []int{0, 1, k.Windows() + 1, n * k.Windows()}
	for i := len(cuts) - 1; i > 0; i-- {
		k.Forward(out, arg, in, w, bias, cuts[i-1], cuts[i], scratch)
	}
	near(t, "output", out, want.out, 1e-5)
	gathered := ar.alloc(n * outLen)
	k.Near(true)
	k.Forward(gathered, arg, in, w, bias, 0, n*k.Windows(), scratch)
	k.Near(false)
	near(t, "output of inputs from the caches", gathered, out, 0)
	past, streamed := kernel.NewConv(c.geo, c.pool, relu), ar.alloc(n*outLen)
	past.Stream(true)
	past.Forward(streamed, nil, in, w, bias, cuts[1], cuts[3], scratch)
	past.Forward(streamed, nil, in, w, bias, cuts[0], cuts[1], scratch)
	near(t, "output past the caches", streamed, out, 0)
	if kernel.WinogradFits(g, c.pool) {
		tolerance := map[int]float64{2: 1e-5, 4: 5e-5}
		if g.Kernel == cube(5) && g.Stride == cube(1) {
			tolerance[2] = 5e-5
		}
		for _, outputs := range minimalOutputs(g) {
			testWinograd(t, k, outputs, tolerance[outputs], in, w, bias, want, n)
		}
		if !pooled {
			dense := slices.Clone(grad)
			if relu {
				reference.ReLUGrad(dense, want.out)
			}
			testWinogradGrad(t, k, in, dense, want, n)
		}
	}
	if pooled {
		checkArg(t, arg, want.arg, out, relu)
		again := ar.alloc(n * outLen)
		k.Forward(again, nil, in, w, bias, 0, n*k.Windows(), scratch)
		near(t, "output without arg", again, out, 0)
	}

	dw, db, wt, dsrc := ar.alloc(len(w)), ar.alloc(g.OutC), ar.alloc(len(w)), ar.alloc(len(src))
	for i := len(cuts) - 1; i > 0; i-- {
		k.WeightGrad(dw, db, in, grad, arg, out, cuts[i-1], cuts[i], scratch)
	}
	near(t, "weight gradient", dw, want.dw, 2e-5)
	near(t, "bias gradient", db, want.db, 2e-5)
	if !pooled && c.pool.Out == g.Out {
		testDenseGrad(t, k, in, w, grad, want, n)
	}
	kernel.Transpose(wt, w, g.Patch(), g.OutC)
	k.InputGrad(dsrc, wt, grad, arg, out, 1, n, scratch)
	k.InputGrad(dsrc, wt, grad, arg, out, 0, 1, scratch)
	near(t, "input gradient", dsrc, want.dsrc, 2e-5)

	if pooled {
		dwt, db, dsrc := ar.alloc(len(w)), ar.alloc(g.OutC), ar.alloc(len(src))
		k.SparseWeightGrad(dwt, db, in, grad, arg, 0, n, 1, g.OutC, k.NewSurvivors(g.OutC))
		k.SparseWeightGrad(dwt, db, in, grad, arg, 0, n, 0, 1, k.NewSurvivors(1))
		kernel.Transpose(dw, dwt, g.OutC, g.Patch())
		near(t, "sparse weight gradient", dw, want.dw, 2e-5)
		near(t, "sparse bias gradient", db, want.db, 2e-5)
		places := k.NewPlaces()
		k.SparseInputGrad(dsrc, wt, grad, arg, 1, n, places)
		k.SparseInputGrad(dsrc, wt, grad, arg, 0, 1, places)
		near(t, "sparse input gradient", dsrc, want.dsrc, 2e-5)
	}
	ar.check()
}

func TestPaletteConv(t *testing.T) {
	const n, background = 3, 4
	cases := convCases()
	eachTier(t, func(t *testing.T) {
		for _, c := range cases {
			for _, relu := range []bool{false, true} {
				name := c.name
				if relu {
					name += ", rectified"
				}
				t.Run(name, func(t *testing.T) { testPaletteConv(t, c, relu, n, background) })
			}
		}
	})
}

func testPaletteConv(t *testing.T, c convCase, relu bool, n int, background uint8) {
	r := rand.New(rand.NewPCG(7, 8))
	ar := arena{t: t}
	g := c.geo
	colours := random(r, kernel.PaletteSize*g.InC)
	k := kernel.NewPaletteConv(g, c.pool, relu, colours, background)
	voxels := n * g.InLen() / g.InC
	indices, src := make([]uint8, voxels), make([]float32, 0, n*g.InLen())
	for i := range indices {
		indices[i] = background
		if r.IntN(3) == 0 {
			indices[i] = uint8(r.IntN(kernel.PaletteSize))
		}
		src = append(src, colours[int(indices[i])*g.InC:(int(indices[i])+1)*g.InC]...)
	}
	w, bias := random(r, g.Patch()*g.OutC), random(r, g.OutC)
	outLen := k.Windows() * g.OutC
	grad := random(r, n*outLen)
	want := reckon(c, relu, n, src, w, bias, grad)
	pooled := c.pool.Size != cube(1)

	table, base := ar.alloc(k.TableLen()), ar.alloc(k.BaseLen())
	k.Base(base, w, bias, ar.alloc(k.BaseScratchLen()))
	k.Table(table, w, 0, 100)
	k.Table(table, w, 100, kernel.PaletteSize)
	out, scratch, v := ar.alloc(n*outLen), ar.alloc(k.PlaneScratchLen()), k.NewVoxels(true)
	var arg []uint8
	if pooled {
		arg = make([]uint8, n*outLen)
	}
	cuts := []int{0, 1, k.Slabs() + 1, n * k.Slabs()}
	for i := len(cuts) - 1; i > 0; i-- {
		k.Forward(out, arg, indices, w, table, base, cuts[i-1], cuts[i], v, scratch)
	}
	near(t, "output", out, want.out, 1e-5)
	if pooled {
		checkArg(t, arg, want.arg, out, relu)
	}
	sums := ar.alloc(k.WeightGradLen())
	for i := len(cuts) - 1; i > 0; i-- {
		k.WeightGrad(sums, indices, grad, arg, out, cuts[i-1], cuts[i], v, scratch)
	}
	dw, db := ar.alloc(len(w)), ar.alloc(g.OutC)
	k.FinishWeightGrad(dw, db, sums, ar.alloc(k.BaseScratchLen()))
	near(t, "weight gradient", dw, want.dw, 2e-5)
	near(t, "bias gradient", db, want.db, 2e-5)
	ar.check()
}

// minimalOutputs lists the sizes of tiles that a convolution has.
func minimalOutputs(g kernel.Geometry) []int {
	largest := kernel.WinogradOutputs(g)
	if taps := (g.Kernel[0] + g.Stride[0] - 1) / g.Stride[0]; taps == 3 {
		return []int{2, largest}
	}
	return []int{largest}
}

func testWinograd(t *testing.T, c *kernel.Conv, outputs int, tolerance float64, src, w, bias []float32, want truth,
	n int,
) {
	ar := arena{t: t}
	k := kernel.NewWinograd(c, outputs)
	u, weightScratch, scratch := ar.alloc(k.WeightLen()), ar.alloc(k.WeightScratchLen()), ar.alloc(k.TileScratchLen())
	k.Weights(u, w, 1, c.InC, weightScratch)
	k.Weights(u, w, 0, 1, weightScratch)
	out := ar.alloc(len(want.out))
	var arg []uint8
	if c.Pool.Size != cube(1) {
		arg = make([]uint8, len(out))
	}
	cuts := []int{0, 1, k.Tiles() + 1, n * k.Tiles()}
	for i := len(cuts) - 1; i > 0; i-- {
		k.Forward(out, arg, src, u, bias, cuts[i-1], cuts[i], scratch)
	}
	near(t, "minimal filtering", out, want.out, tolerance)
	if arg != nil {
		checkArg(t, arg, want.arg, out, c.ReLU)
	}
	near(t, "minimal filtering in stages", inStages(&ar, k, src, u, bias, n), out, 0)
	past := kernel.NewConv(c.Geometry, c.Pool, c.ReLU)
	past.Stream(true)
	k = kernel.NewWinograd(past, outputs)
	streamed := ar.alloc(len(out))
	k.Forward(streamed, nil, src, u, bias, 0, n*k.Tiles(), scratch)
	near(t, "minimal filtering past the caches", streamed, out, 0)
	near(t, "minimal filtering in stages past the caches", inStages(&ar, k, src, u, bias, n), out, 0)
	ar.check()
}

// inStages computes a forward pass in groups of five tiles.
func inStages(ar *arena, k *kernel.Winograd, src, u, bias []float32, n int) []float32 {
	const group = 5
	inputs, products := k.GroupLen(group)
	v, m, scratch := ar.alloc(inputs), ar.alloc(products), ar.alloc(k.TileScratchLen())
	out := ar.alloc(n * k.Windows() * k.OutC)
	var arg []uint8
	if k.Pool.Size != cube(1) {
		arg = make([]uint8, len(out))
	}
	for first := 0; first < n*k.Tiles(); first += group {
		tiles := min(group, n*k.Tiles()-first)
		for t := range tiles {
			for part := range k.StageParts() {
				k.StageInput(v, src, first+t, part, t, group, scratch)
			}
		}
		for p := range k.Points() {
			k.StageProducts(m, v, u, p, tiles, group)
		}
		for t := range tiles {
			k.StageOutput(out, arg, m, bias, first+t, t, group, scratch)
		}
	}
	return out
}

// testDenseGrad compares the gradients of a convolution without pooling: that of the weights by groups of rows,
// that of the input by phases, which add to what is there or set it.
func testDenseGrad(t *testing.T, k *kernel.Conv, in, w, grad []float32, want truth, n int) {
	ar := arena{t: t}
	dense := ar.from(grad)
	if k.ReLU {
		reference.ReLUGrad(dense, want.out)
	}
	dw, db, scratch := ar.alloc(len(w)), ar.alloc(k.OutC), ar.alloc(k.ScratchLen())
	for g := range k.Groups() {
		sums := db
		if g > 0 {
			sums = nil
		}
		k.GroupGrad(dw, sums, in, dense, g, 2, n*k.Windows(), scratch)
		k.GroupGrad(dw, sums, in, dense, g, 0, 2, scratch)
	}
	near(t, "weight gradient by groups", dw, want.dw, 2e-5)
	near(t, "bias gradient by groups", db, want.db, 2e-5)
	phases, gaps, ok := k.Phases()
	if ok {
		dsrc, covered := ar.alloc(len(want.dsrc)), 0
		for i := range dsrc {
			dsrc[i] = 1
		}
		for _, p := range phases {
			mirror := ar.alloc(p.Patch() * p.OutC)
			for tap := range p.Taps() {
				p.Mirror(mirror, w, tap)
			}
			back := p.NewConv()
			back.Accumulate = true
			covered += back.Windows()
			back.Forward(dsrc, nil, dense, mirror, nil, 2, n*back.Windows(), ar.alloc(back.ScratchLen()))
			back.Forward(dsrc, nil, dense, mirror, nil, 0, 2, ar.alloc(back.ScratchLen()))
			again := ar.alloc(len(dsrc))
			back.Accumulate = false
			back.Forward(again, nil, dense, mirror, nil, 0, n*back.Windows(), ar.alloc(back.ScratchLen()))
			set := make([]float32, len(again))
			for i, v := range again {
				if v != 0 { // elsewhere other phases are
					set[i] = want.dsrc[i]
				}
			}
			near(t, "input gradient of a phase", again, set, 2e-5)
			streamed := ar.alloc(len(dsrc))
			back.Stream(true)
			back.Forward(streamed, nil, dense, mirror, nil, 0, n*back.Windows(), ar.alloc(back.ScratchLen()))
			near(t, "input gradient of a phase past the caches", streamed, again, 0)
		}
		for i := range dsrc {
			dsrc[i]--
		}
		near(t, "input gradient by phases", dsrc, want.dsrc, 2e-5)
		if all := k.In[0] * k.In[1] * k.In[2]; gaps != (covered < all) {
			t.Errorf("phases cover %d of %d positions, but gaps is %v", covered, all, gaps)
		}
	}
	ar.check()
}

// testWinogradGrad compares the gradient of the weights by minimal filtering, over groups of three tiles. dense is
// the gradient before the ReLU.
func testWinogradGrad(t *testing.T, c *kernel.Conv, src, dense []float32, want truth, n int) {
	const group = 3
	ar := arena{t: t}
	k := kernel.NewWinograd(c, kernel.WinogradOutputs(c.Geometry))
	inputs, gradients := k.GroupLen(group)
	v, d, u := ar.alloc(inputs), ar.alloc(gradients), ar.alloc(k.WeightLen())
	scratch, fold, grad := ar.alloc(k.GradScratchLen()), ar.alloc(k.WeightScratchLen()), ar.from(dense)
	for first := 0; first < n*k.Tiles(); first += group {
		tiles := min(group, n*k.Tiles()-first)
		for t := range tiles {
			k.GradPoints(v, d, src, grad, first+t, t, group, scratch)
		}
		for p := range k.Points() {
			k.GradProducts(u, v, d, p, tiles, group)
		}
	}
	dw := ar.alloc(len(want.dw))
	for i := range dw {
		dw[i] = 1
	}
	k.Fold(dw, u, 1, c.InC, fold)
	k.Fold(dw, u, 0, 1, fold)
	for i := range dw {
		dw[i]--
	}
	near(t, "weight gradient by minimal filtering", dw, want.dw, 1e-4)
	ar.check()
}

// TestWinogradError measures the error of minimal filtering against the reference in float64: F(2,3) is held to
// three times that of the direct sum, what has larger tiles to 5e-6 of the outputs' root mean square.
func TestWinogradError(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		for _, shape := range [][3]int{
			{2, 1, 16},
			{2, 1, 64},
			{3, 1, 16},
			{3, 1, 32},
			{3, 1, 64},
			{5, 1, 16},
			{5, 1, 64},
			{3, 2, 16},
			{3, 2, 64},
			{5, 2, 16},
			{5, 2, 64},
		} {
			taps, stride, channels := shape[0], shape[1], shape[2]
			r := rand.New(rand.NewPCG(13, 14))
			c := valid("", cube(8*stride+taps-stride), channels, cube(taps), cube(stride), cube(1), 32, 1, 1)
			g := c.geo
			k := kernel.NewConv(g, g.Unit(), false)
			src, w, bias := random(r, g.InLen()), random(r, g.Patch()*g.OutC), make([]float32, g.OutC)
			want := reference.ConvForward(g, src, w, bias)
			direct := make([]float32, len(want))
			k.Forward(direct, nil, src, w, bias, 0, k.Windows(), make([]float32, k.ScratchLen()))
			for _, outputs := range minimalOutputs(g) {
				bound := 5e-6
				if outputs == 2 && taps != 5 {
					bound = 3 * rms(direct, want)
				}
				minimal, wino := make([]float32, len(want)), kernel.NewWinograd(k, outputs)
				u := make([]float32, wino.WeightLen())
				wino.Weights(u, w, 0, g.InC, make([]float32, wino.WeightScratchLen()))
				wino.Forward(minimal, nil, src, u, nil, 0, wino.Tiles(), make([]float32, wino.TileScratchLen()))
				got := rms(minimal, want)
				t.Logf("kernel %d, stride %d, %d channels: root mean square error relative to that of the output: "+
					"direct %.2g, tiles of %d %.2g",
					taps, stride, channels, rms(direct, want), outputs, got)
				if got > bound {
					t.Errorf("kernel %d, stride %d, %d channels: tiles of %d err by %g, want at most %g", taps,
						stride, channels, outputs, got, bound)
				}
			}
		}
	})
}

// rms is the root mean square of the difference, relative to that of want.
func rms(got, want []float32) float64 {
	var d, s float64
	for i := range got {
		e := float64(got[i]) - float64(want[i])
		d += e * e
		s += float64(want[i]) * float64(want[i])
	}
	return math.Sqrt(d / s)
}

// FuzzConv compares every tier with the reference on shapes and values that the fuzzer makes up.
func FuzzConv(f *testing.F) {
	f.Add(uint64(1), []byte{7, 7, 7, 3, 3, 3, 3, 1, 1, 1, 1, 1, 1, 0, 0, 0, 8, 2, 2})
	f.Add(uint64(2), []byte{5, 4, 9, 17, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 20, 1, 1})
	f.Add(uint64(3), []byte{6, 5, 4, 2, 2, 3, 1, 2, 1, 3, 1, 2, 1, 1, 0, 2, 5, 1, 1})
	f.Add(uint64(4), []byte{9, 8, 7, 17, 3, 3, 3, 2, 2, 2, 1, 1, 1, 1, 2, 1, 18, 1, 1})
	f.Add(uint64(5), []byte{9, 9, 8, 3, 4, 4, 4, 2, 2, 2, 1, 1, 1, 2, 1, 1, 7, 1, 1})
	f.Add(uint64(6), []byte{9, 8, 9, 17, 3, 3, 3, 1, 1, 1, 2, 2, 2, 2, 2, 2, 20, 1, 1})
	f.Add(uint64(7), []byte{9, 9, 9, 18, 3, 2, 4, 2, 1, 2, 1, 2, 2, 1, 2, 3, 19, 1, 1})
	f.Fuzz(func(t *testing.T, seed uint64, shape []byte) {
		c, ok := fuzzCase(shape)
		if !ok {
			t.Skip()
		}
		before := kernel.InUse()
		defer func() {
			if err := kernel.Use(before); err != nil {
				t.Fatal(err)
			}
		}()
		for _, tier := range kernel.Tiers() {
			if err := kernel.Use(tier); err != nil {
				t.Fatal(err)
			}
			testConv(t, c, seed%2 == 0, 2)
			testPaletteConv(t, c, seed%2 == 0, 2, uint8(seed))
			testDepthwise(t, c.geo, 2)
			testLowConv(t, c, kernel.Int8, seed%2 == 0, -1, 2, 2)
			testLowConv(t, c, kernel.BFloat16, seed%2 == 0, -1, 2, 2)
		}
	})
}

// fuzzCase makes a small convolution and a pooling of bytes, and tells whether there is one.
func fuzzCase(b []byte) (convCase, bool) {
	if len(b) < 19 {
		return convCase{}, false
	}
	next := func(most int) int {
		v := 1 + (int(b[0])+most-1)%most
		b = b[1:]
		return v
	}
	three := func(most int) (out [3]int) {
		for i := range out {
			out[i] = next(most)
		}
		return out
	}
	g := kernel.Geometry{In: three(9)}
	g.InC = next(20)
	g.Kernel, g.Stride, g.Dilation = three(4), three(3), three(3)
	pad := three(3)
	g.OutC = next(40)
	size, stride := next(3), next(3)
	w := kernel.Window{Size: cube(size), Stride: cube(stride)}
	for i := range 3 {
		reach := (g.Kernel[i]-1)*g.Dilation[i] + 1
		g.Pad[i] = (pad[i] - 1) % reach
		g.Out[i] = (g.In[i]+2*g.Pad[i]-reach)/g.Stride[i] + 1
		if g.In[i]+2*g.Pad[i] < reach || g.Out[i] < size {
			return convCase{}, false
		}
		w.Out[i] = (g.Out[i]-size)/stride + 1
	}
	return convCase{geo: g, pool: w}, true
}
