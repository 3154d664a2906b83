package voxelize

import "github.com/voxelstream/voxelstream/ingest"

// DensityGrid stores point counts in one of three normalizations.
var DensityGrid = Method{
	Name: "density",
	Doc: "Uses a regular grid. Each cell stores its point count, divided by the largest count in the grid, by the " +
		"number of points in the grid, or by the volume of a cell in cubic metres; see voxelize.density.",
	Placed: true, Value: Density,
	Options: func() []any { return []any{&densityOptions{Per: perMost}} },
	New: func(o Options) (func(ingest.Data) (*Field, error), error) {
		per := MethodOptions(o, densityOptions{Per: perMost}).Per
		return ofPoints(func(p *ingest.PointCloud) (*Field, error) { return density(p, &o, per) }), nil
	},
}

type densityOptions struct {
	Per string `yaml:"density" flag:"density" enum:"most,all,volume" doc:"Divisor of the point counts of method density: the largest count of any cell, the number of points in the grid, or the volume of a cell in cubic metres."`
}

// The normalizations of a density.
const (
	perMost   = "most"
	perAll    = "all"
	perVolume = "volume"
)

func density(p *ingest.PointCloud, o *Options, per string) (*Field, error) {
	c, err := count(p, o)
	if err != nil {
		return nil, err
	}
	switch per {
	case perAll:
		return c.field(c.inside), nil
	case perVolume:
		f := c.field(1)
		volume := c.grid.Cell[0] * c.grid.Cell[1] * c.grid.Cell[2]
		for i, n := range f.Values {
			if n > 0 { // the volume of tiny cells may be 0
				f.Values[i] = bounded(n / volume)
			}
		}
		return f, nil
	}
	return c.field(c.most), nil
}
