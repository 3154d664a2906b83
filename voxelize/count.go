package voxelize

import "github.com/voxelstream/voxelstream/ingest"

// CountGrid counts points.
var CountGrid = Method{
	Name:   "count",
	Doc:    "Uses a regular grid. Each cell stores the number of its points.",
	Placed: true, Value: Measured,
	New: func(o Options) (func(ingest.Data) (*Field, error), error) {
		return ofPoints(func(p *ingest.PointCloud) (*Field, error) {
			c, err := count(p, &o)
			if err != nil {
				return nil, err
			}
			return c.field(1), nil
		}), nil
	},
}
