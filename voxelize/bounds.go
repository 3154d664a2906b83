package voxelize

import (
	"errors"
	"fmt"
	"math"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/vector"
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
	b, ok := allFinitePoints(p)
	if !ok {
		b = finiteBounds(p)
	}
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

// allFinitePoints returns the bounds of a cloud if all of its points are finite.
func allFinitePoints(p *ingest.PointCloud) (b bounds, ok bool) {
	if p.Len() == 0 {
		return b, false
	}
	for a, column := range [][]float64{p.X, p.Y, p.Z} {
		lo, hi, finite := vector.Range64(column)
		if !finite {
			return b, false
		}
		b.min[a], b.max[a] = lo+0, hi+0 // -0 becomes 0
	}
	b.finite = uint32(p.Len())
	return b, true
}

// finiteBounds returns the bounds of the finite points of a cloud.
func finiteBounds(p *ingest.PointCloud) (b bounds) {
	lo, hi, n := p.Bounds()
	for a := range 3 {
		b.min[a], b.max[a] = lo[a]+0, hi[a]+0 // -0 becomes 0
	}
	b.finite = uint32(n)
	return b
}

// finite reports whether a point has neither NaN nor infinite coordinates: x-x is 0 for a finite x, and NaN
// otherwise.
func finite(x, y, z float64) bool { return x-x+(y-y)+(z-z) == 0 }
