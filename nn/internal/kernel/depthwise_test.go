package kernel_test

import (
	"math/rand/v2"
	"testing"

	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

func TestDepthwise(t *testing.T) {
	cases := append(convCases(), same("same, 37 channels", [3]int{4, 5, 18}, 37, cube(3), cube(1), 37, 1))
	eachTier(t, func(t *testing.T) {
		for _, c := range cases {
			if c.pool.Size == cube(1) {
				t.Run(c.name, func(t *testing.T) { testDepthwise(t, c.geo, 3) })
			}
		}
	})
}

// testDepthwise compares a convolution of each channel by itself with one of all channels whose other weights are zero.
func testDepthwise(t *testing.T, g kernel.Geometry, n int) {
	g.OutC = g.InC
	channels, taps := g.InC, g.Taps()
	k, ok := kernel.NewDepthwise(kernel.NewConv(g, g.Unit(), false))
	if !ok {
		return
	}
	r, ar := rand.New(rand.NewPCG(15, 16)), arena{t: t}
	src, w, bias, grad := random(r, n*g.InLen()), random(r, taps*channels), random(r, channels), random(r, n*g.OutLen())
	all := make([]float32, taps*channels*channels)
	diagonal := func(tap, c int) int { return (tap*channels+c)*channels + c }
	for i, v := range w {
		all[diagonal(i/channels, i%channels)] = v
	}
	want := reckon(convCase{geo: g, pool: g.Unit()}, false, n, src, all, bias, grad)
	dwWant := make([]float32, len(w))
	for i := range dwWant {
		dwWant[i] = want.dw[diagonal(i/channels, i%channels)]
	}

	in, weights, dy := ar.from(src), ar.from(w), ar.from(grad)
	out, plain, dw := ar.alloc(n*g.OutLen()), ar.alloc(n*g.OutLen()), ar.alloc(len(w))
	strips := n * k.Strips()
	for _, cut := range [][2]int{{strips / 2, strips}, {0, strips / 2}} {
		k.Forward(out, in, weights, bias, cut[0], cut[1])
		k.Forward(plain, in, weights, nil, cut[0], cut[1])
		k.WeightGrad(dw, in, dy, cut[0], cut[1])
	}
	near(t, "output", out, want.out, 1e-5)
	for i := range plain {
		plain[i] += bias[i%channels]
	}
	near(t, "output without bias", plain, want.out, 1e-5)
	near(t, "weight gradient", dw, dwWant, 2e-5)

	phases, _, ok := g.Phases()
	if !ok {
		ar.check()
		return
	}
	added, set := ar.alloc(n*g.InLen()), ar.alloc(n*g.InLen())
	for i := range added {
		added[i] = 1
	}
	for _, p := range phases {
		mirror := ar.alloc(p.Taps() * channels)
		for tap := range p.Taps() {
			p.MirrorDepthwise(mirror, weights, tap)
		}
		back, ok := kernel.NewDepthwise(p.NewConv())
		if !ok {
			t.Fatal("phases of a convolution of few kinds of patches have many")
		}
		back.Forward(set, dy, mirror, nil, 0, n*back.Strips())
		back.Accumulate = true
		back.Forward(added, dy, mirror, nil, 0, n*back.Strips())
	}
	for i := range added {
		added[i]--
	}
	near(t, "input gradient", set, want.dsrc, 2e-5)
	near(t, "added input gradient", added, want.dsrc, 2e-5)
	ar.check()
}
