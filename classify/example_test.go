package classify_test

import (
	"context"
	"fmt"

	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Classify a volume as empty or full by the mean of its cells. Other programs load a model with nn/format.
func ExampleClassifier_ProcessBatch() {
	m, err := nn.Sequential("fill", nn.Shape{2, 2, 2, 1}, layers.NewGlobalAveragePooling3D(), layers.NewDense(2, "softmax"))
	if err != nil {
		panic(err)
	}
	m.Values, m.Classes = "raw", []string{"empty", "full"}
	copy(m.Params()[0].Value, []float32{-10, 10}) // kernel
	copy(m.Params()[1].Value, []float32{5, -5})   // bias

	c, err := classify.New(m, classify.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	results, err := c.ProcessBatch(context.Background(), []classify.Item{{Volume: voxelize.Volume{
		ID: record.ID{Stream: "shelf", Seq: 7}, Label: -1,
		Dims: [3]int{2, 2, 2}, Content: voxelize.FloatContent(1), Values: []float32{1, 1, 1, 1, 1, 1, 1, 0},
	}}})
	if err != nil {
		panic(err)
	}
	for _, r := range results {
		fmt.Printf("%s %s %.2f\n", r.EventID, r.Name, r.Score)
	}
	// Output:
	// shelf/7 full 1.00
}
