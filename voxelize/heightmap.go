package voxelize

import (
	"math"

	"github.com/voxelstream/voxelstream/ingest"
)

// HeightMap is an image of heights, seen from above.
var HeightMap = Method{
	Name: "heightmap",
	Doc: "Has one cell per column, which stores the height of its highest point above the lower face of the grid in " +
		"metres, or 0 if it has no points. The grid must have a depth of 1, and its edge along z is the range of " +
		"heights.",
	Placed: true, Value: Measured, Needs: Needs{Flat: true},
	New: func(o Options) (func(ingest.Data) (*Field, error), error) {
		return ofPoints(func(p *ingest.PointCloud) (*Field, error) {
			return ofColumns(p, &o, []reducer{{"max", "height"}})
		}), nil
	},
}

// ofColumns reduces the points of each column. Heights are those above the lower face of the grid.
func ofColumns(p *ingest.PointCloud, o *Options, rs []reducer) (*Field, error) {
	bounds, err := measure(p)
	if err != nil {
		return nil, err
	}
	flat := columns(bounds, *o)
	b, err := binAt(p, bounds, fit(bounds, &flat))
	if err != nil {
		return nil, err
	}
	above := *p
	above.Z = make([]float64, p.Len())
	for i, z := range p.Z {
		above.Z[i] = z - b.grid.Origin[2]
	}
	f := newChannels(b.grid, len(rs))
	f.Points, f.Outside = b.inside, b.outside
	channel := make([]float64, len(b.cells))
	for k, r := range rs {
		if err := b.reduce(&above, r, 0, channel); err != nil {
			return nil, err
		}
		for i, x := range channel {
			f.Values[i*len(rs)+k] = x
		}
	}
	return f, nil
}

// logDensity replaces counts n by min(1, ln(n + 1) / ln 64).
func logDensity(f *Field, channel int) {
	for i := channel; i < len(f.Values); i += f.Channels {
		f.Values[i] = min(1, math.Log1p(f.Values[i])/math.Log(64))
	}
}
