package voxelize

import "github.com/voxelstream/voxelstream/ingest"

// Pillars is a bird's eye view with five channels, as detectors of cars and pedestrians take it. The density is that of
// MV3D (Chen et al., "Multi-View 3D Object Detection Network for Autonomous Driving", CVPR 2017), section 3.1; columns
// as cells are the pillars of PointPillars (Lang et al., CVPR 2019).
var Pillars = Method{
	Name: "pillars",
	Doc: "Has one cell per column, with five channels: density min(1, ln(n + 1) / ln 64) of n points, the maximum, " +
		"minimum and mean height above the lower face of the grid in metres, and the mean intensity. The intensity of " +
		"points without one counts as 0. The grid must have a depth of 1, and its edge along z is the range of heights.",
	Placed: true, Value: Measured, Needs: Needs{Flat: true},
	Channels: func(Options) int { return len(pillars) },
	New: func(o Options) (func(ingest.Data) (*Field, error), error) {
		return ofPoints(func(p *ingest.PointCloud) (*Field, error) {
			if p.Intensity == nil {
				dark := *p
				dark.Intensity = make([]float32, p.Len())
				p = &dark
			}
			f, err := ofColumns(p, &o, pillars)
			if err == nil {
				logDensity(f, 0)
			}
			return f, err
		}), nil
	},
}

var pillars = []reducer{
	{reduce: "count"}, {"max", "height"}, {"min", "height"}, {"mean", "height"}, {"mean", "intensity"},
}
