package models

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/array"
	"github.com/voxelstream/voxelstream/nn"
)

// Prediction is the result of model predict.
type Prediction struct {
	Rows   int    `json:"rows"`
	Output string `json:"output"`
}

// predictBatch is the batch size of Predict.
const predictBatch = 64

// Predict runs a model on the rows of a .npy file, in the model's axis order, and writes the outputs to another.
func Predict(ctx context.Context, a *app.Env, path, input, output string) (*Prediction, error) {
	if input == "" || output == "" {
		return nil, app.Usage(errors.New("missing --input X.npy or --output Y.npy; both are required"))
	}
	m, err := Load(ctx, path)
	if err != nil {
		return nil, err
	}
	if len(m.Inputs()) != 1 || len(m.Outputs()) != 1 {
		return nil, fmt.Errorf("model %s: found %d inputs and %d outputs, want one of each", m.Name, len(m.Inputs()),
			len(m.Outputs()))
	}
	in, out := m.Inputs()[0].Shape, m.Outputs()[0].Shape
	rows, x, err := array.ReadRows(input, in)
	if err != nil {
		return nil, err
	}
	plan, err := m.Compile(min(predictBatch, rows), nn.Options{Threads: a.Threads()})
	if err != nil {
		return nil, err
	}
	defer plan.Close()
	var y []float32
	for lo := 0; lo < rows; lo += plan.Batch() {
		if err := ctx.Err(); err != nil {
			return nil, app.ErrInterrupted
		}
		n := min(plan.Batch(), rows-lo)
		copy(plan.Input(0), x[lo*in.Size():(lo+n)*in.Size()])
		if err := plan.Forward(n, false, 0); err != nil {
			return nil, err
		}
		y = append(y, plan.Output(0)...)
	}
	if err := ingest.WriteFile(output, func(w io.Writer) error {
		return array.WriteFloat32(w, append([]int{rows}, out...), y)
	}); err != nil {
		return nil, err
	}
	return &Prediction{Rows: rows, Output: output}, nil
}
