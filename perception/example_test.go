package perception_test

import (
	"context"
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/perception"
	"github.com/voxelstream/voxelstream/record"
)

// Find two boxes in a scan. The default steps also remove the ground and fit oriented boxes.
func ExampleDetector_Detect() {
	cloud := &ingest.PointCloud{}
	add := func(x, y float64) { // a column of 10x10x10 points, half a metre wide
		for i := range 1000 {
			cloud.X = append(cloud.X, x+float64(i%10)*0.05)
			cloud.Y = append(cloud.Y, y+float64(i/10%10)*0.05)
			cloud.Z = append(cloud.Z, float64(i/100)*0.05)
		}
	}
	add(4, 0)
	add(8, 3)

	o := perception.DefaultOptions()
	o.Scan = []string{string(perception.Euclidean.Name)}
	d, err := perception.New(o)
	if err != nil {
		panic(err)
	}
	scene, err := d.Detect(context.Background(), ingest.Sample{ID: record.ID{Stream: "lidar"}, Data: cloud})
	if err != nil {
		panic(err)
	}
	for _, object := range scene.Objects {
		fmt.Printf("%d points, centre %.1f\n", len(object.Points), object.Box.Center)
	}
	// Output:
	// 1000 points, centre [4.2 0.2 0.2]
	// 1000 points, centre [8.2 3.2 0.2]
}
