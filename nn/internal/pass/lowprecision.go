package pass

import (
	"strings"

	"github.com/voxelstream/voxelstream/nn/internal/fast"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/internal/kernel"
)

// Low returns the layer whose products a node makes, where it can make them in low precision.
func Low(n *ir.Node) (layer string, ok bool) {
	if c, _ := fast.Low(n); c == nil || c.Patch() > kernel.MaxInt8Patch {
		return "", false
	}
	layer, _, _ = strings.Cut(n.Layer, "+") // the others were fused into it
	return layer, true
}

// useLowPrecision computes the products of convolutions and dense layers with 8-bit integers or bfloat16, in programs
// that never train and ask for it. It is the one pass that is not exact: an input is rounded to 1/255 of its range, a
// weight to 1/127 of the largest of its output (int8), both to 8 bits of 24 (bfloat16). It leaves alone what would
// not gain: see lowPays.
func useLowPrecision(p *ir.Program) {
	if p.Training || p.Precision.Kind == "" {
		return
	}
	kind := kernel.Int8
	if p.Precision.Kind == ir.BFloat16 {
		kind = kernel.BFloat16
	}
	for _, n := range p.Nodes {
		layer, ok := Low(n)
		span, known := p.Precision.Ranges[layer]
		if !ok || kind == kernel.Int8 && !known {
			continue
		}
		if c, rows := fast.Low(n); lowPays(c, kind) {
			n.Op = &fast.LowPrecision{Conv: c, Rows: rows, Precision: kind, Range: span}
		}
	}
}

const (
	// lowProducts is the number of products for each input from which it pays to round the inputs.
	lowProducts = 24
	// lowSpeed is how many products of integers take the time of one of float32 in minimal filtering, its
	// transforms included.
	lowSpeed = 7
)

// lowPays reports whether a layer gains: not where few products share the rounding of an input, nor where its
// channels do not fill half of the words that are multiplied at once, nor where minimal filtering leaves fewer
// products still. Products of bfloat16 are twice as fast as those of float32, which minimal filtering always beats.
func lowPays(c *fast.Conv, kind kernel.Precision) bool {
	per := kind.PerWord()
	words := (c.InC + per - 1) / per
	products := ir.Size(c.Out[:]) * c.Patch() * c.OutC
	if products < lowProducts*c.InLen() || c.InC < 2*words {
		return false
	}
	if c.Winograd == 0 {
		return true
	}
	tiles, each := kernel.WinogradTiles(c.Geometry, c.Pool, c.Winograd)
	return kind == kernel.Int8 && lowSpeed*tiles*each > ir.Size(c.Out[:])*c.Taps()
}
