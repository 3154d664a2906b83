package models

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/screen"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/record"
)

// Summary is the result of model summary.
type Summary struct {
	record.Model
	Input      nn.Shape `json:"input"`
	Output     nn.Shape `json:"output"`
	Layers     []Layer  `json:"layers"`
	Classes    []string `json:"classes,omitempty"`
	Parameters int      `json:"parameters"`
	Trainable  int      `json:"trainable"`
	Precision  string   `json:"precision,omitempty"`
	// Augmentation says how the rows of the last training were augmented; see nn.Metadata.
	Augmentation string `json:"augmentation,omitempty"`
	// Table is the table of layers as Keras prints it, nn.SummaryWidth columns wide.
	Table string `json:"-" screen:"lines"`
}

// Layer is one layer of a model.
type Layer struct {
	Name       string   `json:"name"`
	Class      string   `json:"class"`
	Inputs     []string `json:"inputs"`
	Output     nn.Shape `json:"output"`
	Parameters int      `json:"parameters"`
}

// Summarize describes a model layer by layer. If svg is not empty, the graph is drawn to that file.
func Summarize(ctx context.Context, a *app.Env, path, svg string) (*Summary, error) {
	release, err := a.ClaimOutputs([]string{path}, svg)
	if err != nil {
		return nil, err
	}
	defer release()
	m, err := Load(ctx, path, a.Config.Model.Opening())
	if err != nil {
		return nil, err
	}
	if svg != "" {
		if err := ingest.WriteFile(svg, func(w io.Writer) error {
			_, err := io.WriteString(w, screen.Visible(m.SVG()))
			return err
		}); err != nil {
			return nil, err
		}
	}
	s := &Summary{
		Model: m.Info, Input: m.Inputs()[0].Shape, Output: m.Outputs()[0].Shape, Layers: []Layer{},
		Precision: m.Precision.Kind, Classes: m.Classes, Augmentation: m.Augmentation,
		Table: m.Summary(nn.SummaryWidth),
	}
	s.Parameters, s.Trainable = m.Count()
	for _, n := range m.Nodes() {
		if n.Layer == nil {
			continue
		}
		l := Layer{Name: n.Name(), Class: n.Layer.Class(), Output: n.Shape}
		for _, in := range n.Inputs {
			l.Inputs = append(l.Inputs, in.Name())
		}
		for _, p := range n.Layer.Base().Params {
			l.Parameters += len(p.Value)
		}
		s.Layers = append(s.Layers, l)
	}
	return s, nil
}

// Detail is the result of inspecting a model.
type Detail struct {
	Layers     int      `json:"layers"`
	Parameters int      `json:"parameters"`
	Trainable  int      `json:"trainable"`
	Input      nn.Shape `json:"input"`
	Output     nn.Shape `json:"output"`
	Digest     string   `json:"digest"`
}

// Detail describes the model.
func (m *Loaded) Detail() *Detail {
	total, trainable := m.Count()
	return &Detail{
		Layers: len(m.Layers()), Parameters: total, Trainable: trainable, Input: m.Inputs()[0].Shape,
		Output: m.Outputs()[0].Shape, Digest: m.Info.Digest,
	}
}

// Kind returns "model".
func (*Detail) Kind() string { return "model" }

// Text formats the detail, one fact per line.
func (d *Detail) Text() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "layers  %d\nparams  %d, %d trainable\ninput   %v\noutput  %v\ndigest  %s", d.Layers, d.Parameters,
		d.Trainable, d.Input, d.Output, d.Digest)
	return b.String()
}
