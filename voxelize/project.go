package voxelize

import (
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
)

// project converts a depth frame to points (see [ingest.Frame.Points]) after checking that no pixels are missing.
func project(f *ingest.Frame) (*ingest.PointCloud, error) {
	n := len(f.Depth)
	if f.Width < 1 || f.Height < 1 || n/f.Width != f.Height || n%f.Width != 0 || (f.Color != nil && len(f.Color) != n) {
		return nil, fmt.Errorf("depth frame of %dx%d pixels: found %d depths and %d colours, want one depth per pixel "+
			"and as many colours or none", f.Width, f.Height, n, len(f.Color))
	}
	return f.Points()
}
