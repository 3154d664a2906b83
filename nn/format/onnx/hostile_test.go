package onnx_test

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/voxelstream/voxelstream/internal/mutants"
	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/nn/format/onnx"
	"github.com/voxelstream/voxelstream/nn/format/onnx/internal/onnxpb"
)

// small is a graph with one node of an operator, and the constant "c".
func small(op string, attributes ...*onnxpb.Attribute) *onnxpb.Model {
	size := func(n int64) *onnxpb.Shape_Dimension {
		return &onnxpb.Shape_Dimension{Value: &onnxpb.Shape_Dimension_DimValue{DimValue: n}}
	}
	return &onnxpb.Model{
		IrVersion:   proto.Int64(8),
		OpsetImport: []*onnxpb.OperatorSet{{Version: proto.Int64(17)}},
		Graph: &onnxpb.Graph{
			Input: []*onnxpb.ValueInfo{{Name: new("x"), Type: &onnxpb.Type{TensorType: &onnxpb.Type_Dense{
				ElemType: proto.Int32(1), Shape: &onnxpb.Shape{Dim: []*onnxpb.Shape_Dimension{
					size(1), size(2),
					size(3), size(3), size(3),
				}},
			}}}},
			Output: []*onnxpb.ValueInfo{{Name: new("y")}},
			Initializer: []*onnxpb.Tensor{{
				Name: new("c"), DataType: proto.Int32(1), Dims: []int64{4, 2, 1, 1, 1},
				FloatData: make([]float32, 8),
			}},
			Node: []*onnxpb.Node{{
				Name: new("n"), OpType: new(op), Input: []string{"x", "c"},
				Output: []string{"y"}, Attribute: attributes,
			}},
		},
	}
}

// TestRefused wants errors that say what is wrong.
func TestRefused(t *testing.T) {
	ints := func(name string, values ...int64) *onnxpb.Attribute {
		return &onnxpb.Attribute{Name: &name, Ints: values}
	}
	for name, c := range map[string]struct {
		change func(m *onnxpb.Model)
		want   string
	}{
		"operator": {
			func(m *onnxpb.Model) { m.Graph.Node[0].OpType = new("LSTM") },
			`node "n" (LSTM): the operator is not supported`,
		},
		"attribute": {
			func(m *onnxpb.Model) { m.Graph.Node[0].Attribute = []*onnxpb.Attribute{ints("tilt", 1)} },
			`attribute "tilt" is not supported`,
		},
		"cycle": {
			func(m *onnxpb.Model) { m.Graph.Node[0].Input[0] = "y" },
			`input "y" is not computed by any node before it`,
		},
		"strides": {func(m *onnxpb.Model) {
			m.Graph.Node[0].Attribute = []*onnxpb.Attribute{ints("strides", 0, 1,
				1)}
		}, "three integers of at least 1"},
		"groups": {func(m *onnxpb.Model) { m.Graph.Initializer[0].Dims = []int64{4, 1, 2, 1, 1} }, "want 2 channels"},
		"external": {
			func(m *onnxpb.Model) { m.Graph.Initializer[0].DataLocation = onnxpb.Tensor_EXTERNAL.Enum() },
			"another file",
		},
		"sparse": {func(m *onnxpb.Model) { m.Graph.SparseInitializer = []*onnxpb.SparseTensor{{}} }, "sparse"},
		"huge": {
			func(m *onnxpb.Model) { m.Graph.Initializer[0].Dims = []int64{1 << 40, 1 << 40, 1, 1, 1} },
			"want sizes of at least 0",
		},
		"short": {func(m *onnxpb.Model) { m.Graph.Initializer[0].FloatData = make([]float32, 7) }, "want 8 numbers"},
		"type":  {func(m *onnxpb.Model) { m.Graph.Initializer[0].DataType = proto.Int32(8) }, "element type 8"},
		"padding": {func(m *onnxpb.Model) {
			m.Graph.Node[0].Attribute = []*onnxpb.Attribute{ints("pads", 1<<29, 0, 0, 1<<29, 0, 0)}
		}, "more than"},
		"opset":  {func(m *onnxpb.Model) { m.OpsetImport[0].Version = proto.Int64(99) }, "opset 99"},
		"domain": {func(m *onnxpb.Model) { m.Graph.Node[0].Domain = new("com.example") }, "com.example"},
		"output": {func(m *onnxpb.Model) { m.Graph.Output[0].Name = new("z") }, `output "z"`},
		"open axis": {func(m *onnxpb.Model) {
			m.Graph.Input[0].Type.TensorType.Shape.Dim[2].Value = &onnxpb.Shape_Dimension_DimParam{DimParam: "depth"}
		}, "(batch, 2, depth"},
		"no graph": {func(m *onnxpb.Model) { m.Graph = nil }, "no graph"},
	} {
		t.Run(name, func(t *testing.T) {
			m := small("Conv")
			c.change(m)
			data, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := onnx.Decode(data); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("found error %v, want one with %q", err, c.want)
			}
		})
	}
}

// TestDamaged truncates and changes files: an error or a model, within bounds of memory.
func TestDamaged(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 30))
	sample := read(t, testenv.Sample(t, "models/onnx/test_Conv3d/model.onnx"))
	for n := range sample {
		if _, err := onnx.Decode(sample[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are read as a whole model", n, len(sample))
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	files := [][]byte{sample}
	for _, name := range []string{"test_MaxPool3d", "test_AvgPool3d", "test_BatchNorm3d_eval", "test_Conv3d_stride"} {
		files = append(files, read(t, testenv.Sample(t, filepath.Join("models/onnx", name, "model.onnx"))))
	}
	for _, file := range files {
		for range 1000 {
			mutant := bytes.Clone(file)
			for range 1 + r.IntN(4) {
				mutant[r.IntN(min(len(mutant), 400))] = byte(r.IntN(256))
			}
			if m, err := onnx.Decode(mutant); err == nil && m == nil {
				t.Fatal("neither a model nor an error")
			}
		}
	}
}

// FuzzDecode wants an error or a model that can be written again or says why not.
func FuzzDecode(f *testing.F) {
	target := mutants.New(f, "model: onnx")
	for _, op := range []string{"Conv", "ConvTranspose", "Mul", "MaxPool", "PRelu", "Reshape"} {
		data, err := proto.Marshal(small(op))
		if err != nil {
			f.Fatal(err)
		}
		target.Add(data)
	}
	target.Fuzz(func(t *testing.T, data []byte) {
		m, err := onnx.Decode(data)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := onnx.Encode(&out, m); err == nil {
			if _, err := onnx.Decode(out.Bytes()); err != nil {
				t.Errorf("what was written is not read: %v", err)
			}
		}
	})
}
