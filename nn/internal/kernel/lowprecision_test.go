package kernel_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// TestLowConv compares with the plain convolution of what integers and bfloat16 stand for.
func TestLowConv(t *testing.T) {
	const n = 3
	cases := convCases()
	for _, in := range []int{64, 65, 1100} { // a dense layer, too
		cases = append(cases, valid("dense", cube(1), in, cube(1), cube(1), cube(1), 10+in%3*16, 1, 1))
	}
	eachTier(t, func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				for _, p := range []kernel.Precision{kernel.Int8, kernel.BFloat16} {
					testLowConv(t, c, p, false, -2.5, 3, n)
					testLowConv(t, c, p, true, 0, 2, n)
				}
			})
		}
	})
}

// testLowConv draws inputs, some of them outside of the range.
func testLowConv(t *testing.T, c convCase, p kernel.Precision, relu bool, least, most float32, n int) {
	r := rand.New(rand.NewPCG(3, uint64(c.geo.InC)))
	g := c.geo
	src, w, bias := random(r, n*g.InLen()), random(r, g.Patch()*g.OutC), random(r, g.OutC)
	for i := 0; i < len(w); i += g.OutC { // an output that is always its bias
		w[i] = 0
	}
	a := kernel.NewAffine(least, most)
	x, weights := slices.Clone(src), slices.Clone(w)
	if p == kernel.Int8 {
		for i, v := range x {
			q := min(max(math.RoundToEven(float64(v*a.Scale))+float64(a.Zero), 0), 255)
			x[i] = float32((q - float64(a.Zero)) / float64(a.Scale))
		}
		for j := range g.OutC {
			column := float32(0)
			for i := j; i < len(w); i += g.OutC {
				column = max(column, float32(math.Abs(float64(w[i]))))
			}
			for i := j; i < len(w) && column > 0; i += g.OutC {
				weights[i] = float32(math.RoundToEven(float64(w[i]/(column/127)))) * (column / 127)
			}
		}
	} else {
		short := func(x []float32) {
			for i, v := range x {
				_, e := math.Frexp(float64(v)) // eight bits
				x[i] = float32(math.Ldexp(math.RoundToEven(math.Ldexp(float64(v), 8-e)), e-8))
			}
		}
		short(x)
		short(weights)
	}
	want := reckon(c, relu, n, x, weights, bias, make([]float32, n*c.pool.Out[0]*c.pool.Out[1]*c.pool.Out[2]*g.OutC)).out

	ar := arena{t: t}
	k := kernel.NewLowConv(g, c.pool, relu, p, w, bias, a)
	words, scratch := ar.alloc(n*k.SampleLen()), ar.alloc(k.ScratchLen())
	k.Begin(words)
	out := ar.alloc(len(want))
	in := ar.from(src)
	for z := 0; z < n*k.Planes(); z += 2 {
		k.Prepare(words, in, z, min(z+2, n*k.Planes()), scratch)
	}
	half := n * k.Windows() / 2
	k.Forward(out, words, half, n*k.Windows(), scratch)
	k.Forward(out, words, 0, half, scratch)
	ar.check()
	near(t, c.name, out, want, 2e-5)
}

// TestSpecialNumbers quantizes what is not finite.
func TestSpecialNumbers(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	src := []float32{inf, -inf, nan, 0, 1e30, -1e30, .5, -.5, 1e-40, -1e-40, 2.5, 3.5, 127.49, -128, 254, 255}
	for len(src) < 75 {
		src = append(src, src...)
	}
	for _, v := range []uint32{0x7f800001, 0xffffffff, 0x7fffffff} { // more that is no number
		src = append(src, math.Float32frombits(v))
	}
	src = src[len(src)-76:]
	var bytes, halves [][]float32
	eachTier(t, func(t *testing.T) {
		ar := arena{t: t}
		b, h := ar.alloc(len(src)/4), ar.alloc(len(src)/2)
		kernel.Quantize(b, src, kernel.NewAffine(-128, 127))
		kernel.Shorten(h, src)
		ar.check()
		bytes, halves = append(bytes, b), append(halves, h)
		for i, v := range src {
			got := math.Float32bits(b[i/4]) >> (8 * (i % 4)) & 255
			want := min(max(math.RoundToEven(float64(v))+128, 0), 255)
			if v != v {
				want = 0
			}
			if float64(got) != want {
				t.Errorf("%v became %d, want %v", v, got, want)
			}
			upper := math.Float32frombits(math.Float32bits(h[i/2]) >> (16 * (i % 2)) << 16)
			if v != v != (upper != upper) || v == v && math.Abs(float64(upper-v)) > math.Abs(float64(v))/256 && !(v-v != 0 && upper == v) && math.Abs(float64(v)) > 1e-38 {
				t.Errorf("%v became %v", v, upper)
			}
		}
	})
	for i := range bytes {
		for j := range bytes[0] {
			if math.Float32bits(bytes[i][j]) != math.Float32bits(bytes[0][j]) {
				t.Errorf("tier %d: word %d differs", i, j)
			}
		}
		for j := range halves[0] {
			if math.Float32bits(halves[i][j]) != math.Float32bits(halves[0][j]) {
				t.Errorf("tier %d: half %d differs", i, j)
			}
		}
	}
}

// TestInt8Sums wants every tier to give the very same sums, of the largest products too.
func TestInt8Sums(t *testing.T) {
	g := kernel.Geometry{In: cube(1), InC: 66000, Kernel: cube(1), Stride: cube(1), Dilation: cube(1), Out: cube(1), OutC: 16}
	src, w := make([]float32, g.InC), make([]float32, g.InC*g.OutC)
	for i := range src {
		src[i] = 255
	}
	for i := range w {
		w[i] = 127
	}
	eachTier(t, func(t *testing.T) {
		k := kernel.NewLowConv(g, g.Unit(), false, kernel.Int8, w, nil, kernel.NewAffine(0, 255))
		words, out := make([]float32, k.SampleLen()), make([]float32, g.OutC)
		scratch := make([]float32, k.ScratchLen())
		k.Prepare(words, src, 0, 1, scratch)
		k.Forward(out, words, 0, 1, scratch)
		for _, v := range out {
			if want := float32(255 * 127 * 66000); v != want {
				t.Fatalf("got %v, want %v", v, want)
			}
		}
	})
}
