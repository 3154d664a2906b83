// Package onnx reads and writes models as ONNX files (https://onnx.ai), by which those of PyTorch and other
// libraries come over.
//
// ONNX has the channels before the depth, [N,C,D,H,W]; the layers here have them last. What is read keeps its own
// order at its inputs and outputs and changes it in between: a value of five axes is held with the channels last
// from the first layer that wants it so, by a Permute, up to the first operator that does not, by another.
// Transposes of the file that do the same cost nothing. What is written has the order of the model at both ends.
//
// Operators that are read are listed in operators, layers that are written in exporter.layer; others are errors
// that name the node and the operator, or the layer and its class. Initializers are the only weights: data in other
// files is refused, and nothing outside the file is read.
package onnx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format/internal/config"
	"github.com/voxelstream/voxelstream/nn/format/onnx/internal/onnxpb"
)

// MaxBytes bounds a file: a protocol buffer cannot be larger.
const MaxBytes = 1<<31 - 1

const (
	irVersion = 10 // that of opset 21
	opset     = 21 // that files are written for
	oldest    = 6  // opset that is read; from 13 on all operators have today's form
	newest    = 27
)

// Is reports whether data begins as an ONNX file does: with the version of the format, a small number, then another
// of a model's fields.
func Is(data []byte) bool {
	if len(data) < 3 || data[0] != 0x08 || data[1] == 0 || data[1] > 0x7f {
		return false
	}
	field, wire := data[2]>>3, data[2]&7
	return field >= 2 && field <= 14 && (wire == 2 || wire == 0 && field == 5)
}

// Decode makes the model that data, the content of a file, holds.
func Decode(data []byte) (*nn.Model, error) {
	file := &onnxpb.Model{}
	if err := proto.Unmarshal(data, file); err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	if file.Graph == nil {
		return nil, errors.New("onnx: the file has no graph")
	}
	i := newImporter(file.Graph)
	for _, set := range file.OpsetImport {
		if d := set.GetDomain(); d == "" || d == "ai.onnx" {
			i.opset = set.GetVersion()
		}
	}
	if i.opset < oldest || i.opset > newest {
		return nil, fmt.Errorf("onnx: found opset %d, want %d to %d", i.opset, oldest, newest)
	}
	m, err := i.model()
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	for _, e := range file.MetadataProps {
		switch e.GetKey() {
		case colormapKey:
			m.Colormap = e.GetValue()
		case precisionKey:
			if m.Precision, err = config.DecodePrecision([]byte(e.GetValue())); err != nil {
				return nil, fmt.Errorf("onnx: metadata %s: %w", precisionKey, err)
			}
		}
		for len(m.Classes) < maxClasses && e.GetKey() == classKey+strconv.Itoa(len(m.Classes)) {
			m.Classes = append(m.Classes, e.GetValue())
		}
	}
	return m, nil
}

// Our own facts among the file's metadata.
const (
	colormapKey  = "voxelstream.colormap"
	classKey     = "voxelstream.class."
	precisionKey = "voxelstream.precision"
	maxClasses   = 1 << 16
)

// Encode writes m. The same model gives the same bytes.
func Encode(w io.Writer, m *nn.Model) error {
	graph, err := export(m)
	if err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	file := &onnxpb.Model{
		IrVersion: proto.Int64(irVersion), ProducerName: new("voxelstream"), Graph: graph,
		OpsetImport: []*onnxpb.OperatorSet{{Domain: new(""), Version: proto.Int64(opset)}},
	}
	entry := func(key, value string) {
		file.MetadataProps = append(file.MetadataProps, &onnxpb.Entry{Key: &key, Value: &value})
	}
	if m.Colormap != "" {
		entry(colormapKey, m.Colormap)
	}
	if m.Precision.Kind != "" {
		precision, err := json.Marshal(m.Precision)
		if err != nil {
			return fmt.Errorf("onnx: %w", err)
		}
		entry(precisionKey, string(precision))
	}
	for c, name := range m.Classes {
		entry(classKey+strconv.Itoa(c), name)
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(file)
	if err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	_, err = w.Write(data)
	return err
}
