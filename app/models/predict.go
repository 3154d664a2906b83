package models

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/array"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
)

// Prediction is the result of model predict. Outputs has the files of several outputs; Output is the first.
type Prediction struct {
	Rows    int      `json:"rows"`
	Output  string   `json:"output"`
	Outputs []string `json:"outputs,omitempty"`
}

// predictBatch is the batch size of Predict.
const predictBatch = 64

// Predict runs a model on the rows of .npy files, one for each input, in the model's axis order, and writes each
// output to a .npy file. An element of inputs or outputs is a file or NAME=FILE. Several outputs can share one
// FILE.npy: they are written to FILE_NAME.npy. If the model takes inputs of any size, the first input gives the size.
// Volumes of values as measured are scaled as the model's metadata or the configuration says; a model of a colour map
// gets colours.
func Predict(ctx context.Context, a *app.Env, path string, inputs, outputs []string) (*Prediction, error) {
	if len(inputs) == 0 || len(outputs) == 0 {
		return nil, app.Usage(errors.New("missing --input X.npy or --output Y.npy; both are required"))
	}
	m, err := Load(ctx, path, a.Config.Model.Opening())
	if errors.Is(err, format.ErrInputShape) && a.Config.Model.InputShape == "" {
		o := a.Config.Model.Opening()
		if o.Input, err = array.RowShape(file(inputs[0])); err != nil {
			return nil, err
		}
		m, err = Load(ctx, path, o)
	}
	if err != nil {
		return nil, err
	}
	from, err := assign("input", m.Inputs(), inputs)
	if err != nil {
		return nil, app.Usage(fmt.Errorf("model %s: %w", m.Name, err))
	}
	if name, plain := outputs[0], len(outputs) == 1 && !strings.Contains(outputs[0], "="); plain && len(m.Outputs()) > 1 {
		outputs = nil
		for _, n := range m.Outputs() {
			ext := filepath.Ext(name)
			outputs = append(outputs, strings.TrimSuffix(name, ext)+"_"+safeName(n.Name())+ext)
		}
	}
	to, err := assign("output", m.Outputs(), outputs)
	if err != nil {
		return nil, app.Usage(fmt.Errorf("model %s: %w", m.Name, err))
	}
	release, err := a.ClaimOutputs(append([]string{path}, from...), to...)
	if err != nil {
		return nil, err
	}
	defer release()
	rows := 0
	x := make([][]float32, len(from))
	for i, n := range m.Inputs() {
		found, values, err := array.ReadRows(from[i], n.Shape)
		if err != nil {
			return nil, err
		}
		if i > 0 && found != rows {
			return nil, fmt.Errorf("%s: found %d rows, want %d as in %s", from[i], found, rows, from[0])
		}
		rows, x[i] = found, values
		if err := scaled(a, m, n.Shape, values); err != nil {
			return nil, err
		}
	}
	y, err := forward(ctx, a, m, rows, x)
	if err != nil {
		return nil, err
	}
	for i, n := range m.Outputs() {
		if err := ingest.WriteFile(to[i], func(w io.Writer) error {
			return array.WriteFloat32(w, append([]int{rows}, n.Shape...), y[i])
		}); err != nil {
			return nil, err
		}
	}
	p := &Prediction{Rows: rows, Output: to[0]}
	if len(to) > 1 {
		p.Outputs = to
	}
	return p, nil
}

// scaled scales the rows of an input in place, as the model's metadata or the configuration says.
func scaled(a *app.Env, m *Loaded, shape nn.Shape, values []float32) error {
	scale, err := classify.Scaler(m.Model, shape, classify.Preferences{Values: a.Config.Voxelize.Values})
	if scale == nil || err != nil {
		return err
	}
	for row := range slices.Chunk(values, shape.Size()) {
		if err := scale(row); err != nil {
			return err
		}
	}
	return nil
}

// forward computes the outputs for all rows.
func forward(ctx context.Context, a *app.Env, m *Loaded, rows int, x [][]float32) ([][]float32, error) {
	plan, err := m.Compile(min(predictBatch, rows), nn.Options{Threads: a.Threads()})
	if err != nil {
		return nil, err
	}
	defer plan.Close()
	y := make([][]float32, len(m.Outputs()))
	for lo := 0; lo < rows; lo += plan.Batch() {
		if err := ctx.Err(); err != nil {
			return nil, app.ErrInterrupted
		}
		n := min(plan.Batch(), rows-lo)
		for i, in := range m.Inputs() {
			copy(plan.Input(i), x[i][lo*in.Shape.Size():(lo+n)*in.Shape.Size()])
		}
		if err := plan.Forward(n, false, 0); err != nil {
			return nil, err
		}
		for i := range y {
			y[i] = append(y[i], plan.Output(i)...)
		}
	}
	return y, nil
}

// file returns the file of FILE or NAME=FILE.
func file(arg string) string { return arg[strings.Index(arg, "=")+1:] }

// assign returns the file of each input or output, given as NAME=FILE, or as FILE in order.
func assign(kind string, nodes []*nn.Node, args []string) ([]string, error) {
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name())
	}
	if len(args) != len(nodes) {
		return nil, fmt.Errorf("found %d --%s, want one for each of %s", len(args), kind, strings.Join(names, ", "))
	}
	out := make([]string, len(nodes))
	for i, arg := range args {
		if name, path, named := strings.Cut(arg, "="); named {
			if i = slices.Index(names, name); i < 0 {
				return nil, fmt.Errorf("found --%s %s, want a name of %s", kind, arg, strings.Join(names, ", "))
			}
			arg = path
		}
		if out[i] != "" {
			return nil, fmt.Errorf("found two files for the %s %s", kind, names[i])
		}
		out[i] = arg
	}
	return out, nil
}

// safeName replaces the characters of a name that are not safe in a file name.
func safeName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, name)
}
