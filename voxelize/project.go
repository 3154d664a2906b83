package voxelize

import (
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
)

// project turns a depth frame into points (see [ingest.Frame.Points]) after checking that its pixels are all there.
func project(f *ingest.Frame) (*ingest.PointCloud, error) {
	n := len(f.Depth)
	if f.Width < 1 || f.Height < 1 || n/f.Width != f.Height || n%f.Width != 0 || (f.Color != nil && len(f.Color) != n) {
		return nil, fmt.Errorf("depth frame of %dx%d pixels with %d depths and %d colours: want width x height, and as "+
			"many colours or none",
			f.Width, f.Height, n, len(f.Color))
	}
	return f.Points()
}
