package voxelize

import "github.com/voxelstream/voxelstream/ingest"

// MNIST3D is the method of the 3D MNIST archives, for clouds whose position and size carry no information.
var MNIST3D = Method{
	Name: "mnist3d",
	Doc: "Fits a cube to each point cloud, as in the 3D MNIST dataset. Each cell stores its point count, divided " +
		"by the largest count in the grid.",
	Needs: Needs{Cube: true},
	New: func(o Options) (func(ingest.Data) (*Field, error), error) {
		return ofPoints(func(p *ingest.PointCloud) (*Field, error) { return mnist3d(p, o.Dims[0]) }), nil
	},
}

// mnist3d follows the 3D MNIST archives. The bounding box is padded and extended to a cube of n cells per side. A
// point belongs to the cell whose lower edge is strictly below it (numpy's searchsorted from the left, minus one,
// clipped). The value is the number of points in the cell divided by the largest number in any cell.
//
// The authors' two archives differ. The archive of 16x16x16 cells pads by 0.001 on each side and is laid out
// [z][y][x]. The archive of 8x8x8 cells has no padding and is laid out [z][x][y]. Both sizes follow their archive;
// every other size follows 16x16x16.
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
