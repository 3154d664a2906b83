package voxelize_test

import (
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

// A cloud on a fixed grid of 2x2x2 cells of half a metre. Two points share a cell; one is outside.
func ExampleVoxelizer_Volume() {
	o := voxelize.DefaultOptions()
	o.Method = voxelize.Regular.Name
	o.Dims = [3]int{2, 2, 2}
	o.Origin, o.Edge = voxelize.At(0, 0, 0), voxelize.Cubes(0.5)
	v, err := voxelize.New(o)
	if err != nil {
		panic(err)
	}
	vol, err := v.Volume(ingest.Sample{
		ID: record.ID{Stream: "lidar", Seq: 12},
		Data: &ingest.PointCloud{
			X: []float64{0.1, 0.2, 0.7, 3},
			Y: []float64{0.1, 0.2, 0.1, 0},
			Z: []float64{0.1, 0.2, 0.9, 0},
		},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(vol.ID.String(), vol.Index, vol.Points, "inside,", vol.Outside, "outside")
	c := v.Palette().RGB[vol.Index[0]]
	fmt.Printf("densest cell: %.3f %.3f %.3f\n", c[0], c[1], c[2])
	// Output:
	// lidar/12 [255 0 0 0 0 128 0 0] 3 inside, 1 outside
	// densest cell: 0.498 0.153 0.016
}
