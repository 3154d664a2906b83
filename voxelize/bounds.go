package voxelize

import (
	"errors"
	"fmt"
	"math"

	"github.com/voxelstream/voxelstream/ingest"
)

// ErrEmpty reports a sample with nothing to voxelize: no points, no finite points, or no points inside the grid.
var ErrEmpty = errors.New("nothing to voxelize")

// bounds is the axis-aligned bounding box of a cloud's finite points: x, y, z in metres.
type bounds struct {
	min, max [3]float64
	finite   uint32
}

// measure checks the columns of a cloud and returns its bounds.
func measure(p *ingest.PointCloud) (bounds, error) {
	n := len(p.X)
	if len(p.Y) != n || len(p.Z) != n {
		return bounds{}, fmt.Errorf("found point columns of %d, %d and %d values, want equal lengths", n, len(p.Y),
			len(p.Z))
	}
	if uint64(n) > math.MaxUint32 {
		return bounds{}, fmt.Errorf("found a cloud of %d points, want at most %d", n, uint32(math.MaxUint32))
	}
	inf := math.Inf(1)
	lo, hi := [3]float64{inf, inf, inf}, [3]float64{-inf, -inf, -inf}
	var b bounds
	for i, x := range p.X {
		y, z := p.Y[i], p.Z[i]
		if !finite(x, y, z) {
			continue
		}
		b.finite++
		// Plain comparisons: the built-in min and max are several times slower, because they handle NaN, which cannot
		// occur here.
		if x < lo[0] {
			lo[0] = x
		}
		if x > hi[0] {
			hi[0] = x
		}
		if y < lo[1] {
			lo[1] = y
		}
		if y > hi[1] {
			hi[1] = y
		}
		if z < lo[2] {
			lo[2] = z
		}
		if z > hi[2] {
			hi[2] = z
		}
	}
	b.min, b.max = lo, hi
	if b.finite == 0 {
		return b, fmt.Errorf("%w: none of %d points is finite", ErrEmpty, n)
	}
	for a := range 3 {
		if r := b.max[a] - b.min[a]; r > math.MaxFloat64/4 {
			return b, fmt.Errorf("points range from %g to %g along %c: too far apart for a grid", b.min[a], b.max[a],
				"xyz"[a])
		}
	}
	return b, nil
}

// finite reports whether a point has neither NaN nor infinite coordinates: x-x is 0 for a finite x, and NaN
// otherwise.
func finite(x, y, z float64) bool { return x-x+(y-y)+(z-z) == 0 }
