package voxelize

import "github.com/voxelstream/voxelstream/ingest"

// Pyntcloud is the method of the pyntcloud library.
var Pyntcloud = Method{
	Name: "pyntcloud",
	Doc: "Fits a cube to each point cloud, as the pyntcloud library does. Each cell stores its fraction of all " +
		"points. The axis order is x, y, z instead of z, y, x.",
	Needs: Needs{Cube: true},
	New: func(o Options) (func(ingest.Data) (*Field, error), error) {
		return ofPoints(func(p *ingest.PointCloud) (*Field, error) { return pyntcloud(p, o.Dims[0]) }), nil
	},
}

// pyntcloud follows the library of that name (structures/voxelgrid.py, regular bounding box, feature vector
// "density"). The bounding box is extended to a cube of n cells per side, without padding. Cells are those of
// [mnist3d], laid out [x][y][z], so depth runs along x and width along z. The value is the number of points in the
// cell divided by all points.
func pyntcloud(p *ingest.PointCloud, n int) (*Field, error) {
	b, err := measure(p)
	if err != nil {
		return nil, err
	}
	c := newCube(b, n, 0)
	stride := [3]int{n * n, n, 1}
	counts, _ := c.count(p, stride)
	return newField(c.grid(), stride, counts, b.finite, 0, b.finite), nil
}
