package voxelize

import (
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
)

// project turns a depth frame into points in the camera's frame: x right, y down, z along the optical axis, in metres. Pixel (u, v) with
// depth z lies at ((u-cx)*z/fx, (v-cy)*z/fy, z); pixels without depth make no point.
func project(f *ingest.Frame) (*ingest.PointCloud, error) {
	n := len(f.Depth)
	if f.Width < 1 || f.Height < 1 || n/f.Width != f.Height || n%f.Width != 0 {
		return nil, fmt.Errorf("depth frame of %dx%d pixels with %d depths: want width x height", f.Width, f.Height, n)
	}
	c := f.Cam
	if !(c.Fx > 0 && c.Fy > 0) || !finite(c.Fx, c.Fy, c.Cx+c.Cy) {
		return nil, fmt.Errorf("depth frame with intrinsics %+v: want finite numbers and focal lengths above 0", c)
	}
	p := &ingest.PointCloud{X: make([]float64, 0, n), Y: make([]float64, 0, n), Z: make([]float64, 0, n)}
	for i, d := range f.Depth {
		z := float64(d)
		if !(z > 0) {
			continue
		}
		u, v := float64(i%f.Width), float64(i/f.Width)
		p.X = append(p.X, (u-c.Cx)*z/c.Fx)
		p.Y = append(p.Y, (v-c.Cy)*z/c.Fy)
		p.Z = append(p.Z, z)
	}
	return p, nil
}
