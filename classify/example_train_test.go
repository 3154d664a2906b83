package classify_test

import (
	"context"
	"fmt"

	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Train a network to tell lying bars from standing ones, and classify with it. nn/format saves such a model with what it
// takes and its classes.
func ExampleNewInput() {
	ctx := context.Background()
	o := voxelize.DefaultOptions()
	o.Method = voxelize.Regular.Name
	o.Dims = [3]int{4, 4, 4}
	o.Origin, o.Edge = voxelize.At(0, 0, 0), voxelize.Cubes(1)
	voxelizer, err := voxelize.New(o)
	if err != nil {
		panic(err)
	}
	bar := func(i int) voxelize.Volume {
		along, across := []float64{0.5, 1.5, 2.5, 3.5}, make([]float64, 4)
		for k := range across {
			across[k] = float64(i/2%4) + 0.5
		}
		cloud := &ingest.PointCloud{X: along, Y: across, Z: across}
		if i%2 == 1 {
			cloud.X, cloud.Z = across, along
		}
		v, err := voxelizer.Volume(ingest.Sample{ID: record.ID{Stream: "bars", Seq: uint64(i)}, Data: cloud})
		if err != nil {
			panic(err)
		}
		return v
	}

	// The input describes the volumes that the voxelizer makes: palette indices of colours.
	input, err := classify.NewInput(o)
	if err != nil {
		panic(err)
	}
	rows := &train.Data{Palette: input.Colours()}
	for i := range 8 {
		rows.Index = append(rows.Index, bar(i).Index...)
		rows.Labels = append(rows.Labels, int32(i%2))
	}
	model, err := nn.Sequential("bars", nn.Shape{4, 4, 4, 3},
		layers.NewConv3D(8, 3, "relu"), layers.NewGlobalMaxPooling3D(), layers.NewDense(2, "softmax"))
	if err != nil {
		panic(err)
	}
	model.Init(1)
	model.Metadata = input.Metadata([]string{"lying", "standing"})
	if _, err := train.Fit(ctx, model, rows, train.Options{Epochs: 200, BatchSize: 8, LearningRate: 0.02}); err != nil {
		panic(err)
	}

	c, err := classify.New(model, classify.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	results, err := c.ProcessBatch(ctx, []classify.Item{{Volume: bar(0)}, {Volume: bar(1)}})
	if err != nil {
		panic(err)
	}
	for _, r := range results {
		fmt.Println(r.EventID, r.Name)
	}
	// Output:
	// bars/0 lying
	// bars/1 standing
}
