// Package onnx reads and writes models as ONNX files (https://onnx.ai), the way to exchange models with PyTorch and
// other libraries.
//
// ONNX has the channels before the depth, [N,C,D,H,W]; the layers here have them last. An imported model keeps its
// own order at inputs and outputs. In between, a Permute converts a value with five axes to channels last for the
// first layer that needs it, and another converts it back for the first operator that does not. Equivalent
// transposes in the file are absorbed. An exported file has the model's order at both ends.
//
// Supported operators are listed in operators, supported layers in exporter.layer. Unsupported ones are reported by
// name: the node and its operator, or the layer and its class.
//
// PrincipalPlane and CubeRotation are written as several standard operators, which compute poses in float64. They are read
// back as these operators, in float32: such a model predicts the same, but cannot be written again.
//
// An operator that a layer computes becomes that layer. Others become operations on arrays of any shape, which are
// slower, or constants where their inputs are constants: the arithmetic on shapes that exporters write is computed
// when the file is read. Computed values are float32, whatever the file's type; integers are exact up to 2^24.
//
// The first axis of an input is the batch. Where the file leaves its size open, operators must keep the samples
// apart. A file for a batch of 1 may use that axis as it likes; it is applied to each sample of a larger batch.
package onnx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format/internal/config"
	"github.com/voxelstream/voxelstream/nn/format/onnx/internal/onnxpb"
)

// MaxBytes limits the size of a file: a protocol buffer cannot be larger.
const MaxBytes = 1<<31 - 1

const (
	irVersion = 10 // the version for opset 21
	opset     = 21 // opset of files that we write
	oldest    = 1  // oldest opset that is read; since 13 all operators have their current form
	newest    = 28
)

// Is reports whether data starts like an ONNX file: with the format version, a small number, followed by another
// field of a model.
func Is(data []byte) bool {
	if len(data) < 3 || data[0] != 0x08 || data[1] == 0 || data[1] > 0x7f {
		return false
	}
	field, wire := data[2]>>3, data[2]&7
	return field >= 2 && field <= 14 && (wire == 2 || wire == 0 && field == 5)
}

// Options are what a file may leave open.
type Options struct {
	// Input gives the sizes of input axes that have none in the file, in order, without the batch.
	Input nn.Shape
	// Folder is that of the file, in which other files may hold its weights; if it is empty, they are an error.
	Folder string
}

// Decode decodes the model in data, the content of a file.
func Decode(data []byte) (*nn.Model, error) { return DecodeWith(data, Options{}) }

// DecodeWith is like Decode, with options.
func DecodeWith(data []byte, o Options) (*nn.Model, error) {
	from := &external{}
	if o.Folder != "" {
		root, err := os.OpenRoot(o.Folder)
		if err != nil {
			return nil, fmt.Errorf("onnx: %w", err)
		}
		from = &external{root: root, files: map[string]*os.File{}}
		defer from.close()
	}
	return decode(data, o.Input, from)
}

// read converts a graph. Where the size of the batch is open, or above 1, the operators must keep the samples apart.
// If they do not, or the inputs have no batch in common, and all sizes are fixed, a sample is all of the inputs.
func read(g *onnxpb.Graph, version int64, open nn.Shape, from *external) (*nn.Model, error) {
	given := map[string]bool{}
	for _, t := range g.Initializer {
		given[t.GetName()] = true
	}
	batch, common, fixed := int64(-1), true, true
	for _, in := range g.Input {
		if given[in.GetName()] {
			continue
		}
		shape := in.GetType().GetTensorType().GetShape()
		dims := shape.GetDim()
		size := int64(0)
		if len(dims) > 0 {
			size = dims[0].GetDimValue()
		}
		for _, d := range dims {
			fixed = fixed && d.GetDimValue() > 0
		}
		fixed = fixed && shape != nil
		common = common && len(dims) > 1 && (batch < 0 || size == batch)
		batch = size
	}
	var failed error
	if common || !fixed {
		i := newImporter(g, version, open, from)
		i.strict = !common || batch != 1
		m, err := i.model()
		if err == nil || !i.strict || !fixed {
			return m, err
		}
		failed = err
	}
	i := newImporter(g, version, open, from)
	i.whole = true
	m, err := i.model()
	if err != nil && failed != nil {
		return nil, failed
	}
	return m, err
}

func decode(data []byte, open nn.Shape, from *external) (*nn.Model, error) {
	file := &onnxpb.Model{}
	if err := proto.Unmarshal(data, file); err != nil {
		return nil, fmt.Errorf("onnx: the file is damaged or incomplete: %w", err)
	}
	if file.Graph == nil {
		return nil, errors.New("onnx: the file has no graph")
	}
	version := int64(0)
	for _, set := range file.OpsetImport {
		if d := set.GetDomain(); d == "" || d == "ai.onnx" {
			version = set.GetVersion()
		}
	}
	if version < oldest || version > newest {
		return nil, fmt.Errorf("onnx: found opset %d, want %d to %d", version, oldest, newest)
	}
	m, err := read(file.Graph, version, open, from)
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	for _, e := range file.MetadataProps {
		switch e.GetKey() {
		case colormapKey:
			m.Colormap = e.GetValue()
		case valuesKey:
			m.Values = e.GetValue()
		case voxelizeKey:
			if err := json.Unmarshal([]byte(e.GetValue()), &m.Voxelize); err != nil {
				return nil, fmt.Errorf("onnx: metadata %s: %w", voxelizeKey, err)
			}
		case augmentationKey:
			m.Augmentation = e.GetValue()
		case precisionKey:
			if m.Precision, err = config.DecodePrecision([]byte(e.GetValue())); err != nil {
				return nil, fmt.Errorf("onnx: metadata %s: %w", precisionKey, err)
			}
		case temperatureKey:
			if m.Trust.Temperature, err = strconv.ParseFloat(e.GetValue(), 64); err != nil {
				return nil, fmt.Errorf("onnx: metadata %s: %w", temperatureKey, err)
			}
		case energyKey:
			m.Trust.Energy = &nn.Energy{}
			if err := json.Unmarshal([]byte(e.GetValue()), m.Trust.Energy); err != nil {
				return nil, fmt.Errorf("onnx: metadata %s: %w", energyKey, err)
			}
		}
		for len(m.Classes) < nn.MaxClasses && e.GetKey() == classKey+strconv.Itoa(len(m.Classes)) {
			m.Classes = append(m.Classes, e.GetValue())
		}
	}
	if err := m.Trust.Check(); err != nil {
		return nil, fmt.Errorf("onnx: metadata: %w", err)
	}
	if len(m.Classes) == 0 {
		m.Classes = foreignClasses(file, m)
	}
	m.Older = file.GetProducerName() == producer && m.Values == "" && m.Colormap == ""
	return m, nil
}

// foreignClasses returns the names of classes in the metadata of another program: ultralytics writes a Python
// dictionary as names, others a JSON list. Names that do not fit the outputs are ignored.
func foreignClasses(file *onnxpb.Model, m *nn.Model) []string {
	for _, key := range []string{"names", "classes", "class_names", "labels"} {
		for _, e := range file.MetadataProps {
			if e.GetKey() != key {
				continue
			}
			if names, err := nn.ParseClasses(e.GetValue()); err == nil && len(names) == m.ClassCount() {
				return names
			}
		}
	}
	return nil
}

// producer is the name of this program in its files. The keys are those of our own entries in the metadata.
const (
	producer        = "voxelstream"
	colormapKey     = "voxelstream.colormap"
	valuesKey       = "voxelstream.values"
	voxelizeKey     = "voxelstream.voxelize"
	augmentationKey = "voxelstream.augmentation"
	classKey        = "voxelstream.class."
	precisionKey    = "voxelstream.precision"
	// Those of nn.Trust.
	temperatureKey = "voxelstream.temperature"
	energyKey      = "voxelstream.energy"
)

// Check returns an error if ONNX cannot hold m.
func Check(m *nn.Model) error {
	if _, err := export(m); err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	return nil
}

// Encode writes m. The output is deterministic.
func Encode(w io.Writer, m *nn.Model) error {
	graph, err := export(m)
	if err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	file := &onnxpb.Model{
		IrVersion: proto.Int64(irVersion), ProducerName: new(producer), Graph: graph,
		OpsetImport: []*onnxpb.OperatorSet{{Domain: new(""), Version: proto.Int64(opset)}},
	}
	if err := setMetadata(file, m); err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	return write(w, file)
}

// Rewrite writes the model in data, the content of a file, with the metadata of m and everything else unchanged.
func Rewrite(w io.Writer, data []byte, m *nn.Model) error {
	file := &onnxpb.Model{}
	err := proto.Unmarshal(data, file)
	if err == nil {
		err = setMetadata(file, m)
	}
	if err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	return write(w, file)
}

// setMetadata replaces our own entries in the file's metadata.
func setMetadata(file *onnxpb.Model, m *nn.Model) error {
	file.MetadataProps = slices.DeleteFunc(file.MetadataProps, func(e *onnxpb.Entry) bool {
		key := e.GetKey()
		return slices.Contains([]string{
			colormapKey, valuesKey, voxelizeKey, augmentationKey, precisionKey, temperatureKey, energyKey,
		}, key) ||
			strings.HasPrefix(key, classKey)
	})
	entry := func(key, value string) {
		if value != "" {
			file.MetadataProps = append(file.MetadataProps, &onnxpb.Entry{Key: &key, Value: &value})
		}
	}
	entry(colormapKey, m.Colormap)
	entry(valuesKey, config.Values(m))
	if len(m.Voxelize) > 0 {
		settings, err := json.Marshal(m.Voxelize)
		if err != nil {
			return err
		}
		entry(voxelizeKey, string(settings))
	}
	entry(augmentationKey, m.Augmentation)
	if m.Precision.Kind != "" {
		precision, err := json.Marshal(m.Precision)
		if err != nil {
			return err
		}
		entry(precisionKey, string(precision))
	}
	if t := m.Trust.Temperature; t != 0 {
		entry(temperatureKey, strconv.FormatFloat(t, 'g', -1, 64))
	}
	if m.Trust.Energy != nil {
		energy, err := json.Marshal(m.Trust.Energy)
		if err != nil {
			return err
		}
		entry(energyKey, string(energy))
	}
	for c, name := range m.Classes {
		key := classKey + strconv.Itoa(c)
		file.MetadataProps = append(file.MetadataProps, &onnxpb.Entry{Key: &key, Value: &name})
	}
	return nil
}

// write writes a file.
func write(w io.Writer, file *onnxpb.Model) error {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(file)
	if err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	_, err = w.Write(data)
	return err
}
