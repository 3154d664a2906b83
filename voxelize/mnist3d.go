package voxelize

import "github.com/voxelstream/voxelstream/ingest"

// MNIST3D is the method of the 3D MNIST archives, for clouds whose place and size mean nothing.
var MNIST3D = Method{
	Name: "mnist3d",
	Doc: "Fits a cube to each point cloud, as in the 3D MNIST data set. Each cell stores its point count, divided " +
		"by the largest count in the grid.",
	Needs: Needs{Cube: true},
	New: func(o Options) (func(ingest.Data) (*Field, error), error) {
		return ofPoints(func(p *ingest.PointCloud) (*Field, error) { return mnist3d(p, o.Dims[0]) }), nil
	},
}

// mnist3d is the convention of the 3D MNIST archives: the bounding box, padded, extended to a cube of n cells a side;
// a point belongs to the cell whose lower edge lies strictly below it (numpy's searchsorted from the left, minus one,
// clipped); value = points in the cell / most points in any cell.
//
// The authors' two archives differ: the one of 16^3 pads by 0.001 on each side and is laid out [z][y][x]; the one of
// 8^3 does not pad and is laid out [z][x][y]. Each size follows its archive, every other size follows 16^3.
func mnist3d(p *ingest.PointCloud, n int) (*Field, error) {
	b, err := measure(p)
	if err != nil {
		return nil, err
	}
	padding, stride := 0.001, [3]int{1, n, n * n}
	if n == 8 {
		padding, stride = 0, [3]int{n, 1, n * n}
	}
	c := newCube(b, n, padding)
	counts, most := c.count(p, stride)
	return newField(c.grid(), stride, counts, b.finite, 0, most), nil
}
