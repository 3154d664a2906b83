package onnx_test

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/voxelstream/voxelstream/nn/format/onnx"
	"github.com/voxelstream/voxelstream/nn/format/onnx/internal/onnxpb"
	"github.com/voxelstream/voxelstream/nn/nntest"
)

// graph makes a file with the input "x", of a shape in which 0 is open, and the output "y".
func graph(opset int64, shape []int64, constants []*onnxpb.Tensor, nodes ...*onnxpb.Node) []byte {
	in := &onnxpb.Shape{}
	for _, size := range shape {
		in.Dim = append(in.Dim, &onnxpb.Shape_Dimension{Value: &onnxpb.Shape_Dimension_DimValue{DimValue: size}})
	}
	data, err := proto.Marshal(&onnxpb.Model{
		IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSet{{Version: &opset}},
		Graph: &onnxpb.Graph{
			Input: []*onnxpb.ValueInfo{{Name: new("x"), Type: &onnxpb.Type{TensorType: &onnxpb.Type_Dense{
				ElemType: proto.Int32(1), Shape: in,
			}}}},
			Output: []*onnxpb.ValueInfo{{Name: new("y")}}, Initializer: constants, Node: nodes,
		},
	})
	if err != nil {
		panic(err)
	}
	return data
}

// apply is a node; attributes are pairs of names and ints, floats, strings or lists of ints.
func apply(op, out string, in []string, attributes ...any) *onnxpb.Node {
	n := &onnxpb.Node{Name: &out, OpType: &op, Input: in, Output: []string{out}}
	for k := 0; k < len(attributes); k += 2 {
		a := &onnxpb.Attribute{Name: new(attributes[k].(string))}
		switch v := attributes[k+1].(type) {
		case int:
			a.I = new(int64(v))
		case float64:
			a.F = new(float32(v))
		case string:
			a.S = []byte(v)
		case []int64:
			a.Ints = v
		}
		n.Attribute = append(n.Attribute, a)
	}
	return n
}

func floats(name string, dims []int64, v ...float32) *onnxpb.Tensor {
	return &onnxpb.Tensor{Name: &name, DataType: proto.Int32(1), Dims: dims, FloatData: v}
}

func integers(name string, v ...int64) *onnxpb.Tensor {
	return &onnxpb.Tensor{Name: &name, DataType: proto.Int32(7), Dims: []int64{int64(len(v))}, Int64Data: v}
}

// upTo returns 0, 1, ... n-1.
func upTo(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i)
	}
	return x
}

// TestTensors computes operators that were once read wrongly, or not at all, by hand.
func TestTensors(t *testing.T) {
	x := []string{"x"}
	for name, c := range map[string]struct {
		file []byte
		n    int
		x    []float32
		want []float32
	}{
		"slice without axes": {
			graph(9, []int64{0, 4}, nil, apply("Slice", "y", x, "starts", []int64{0, 1}, "ends", []int64{9999, math.MaxInt64})),
			2, upTo(8),
			[]float32{1, 2, 3, 5, 6, 7},
		},
		"slice backwards": {
			graph(13, []int64{0, 4}, []*onnxpb.Tensor{
				integers("from", -1), integers("to", math.MinInt64), integers("axis", -1), integers("step", -2),
			}, apply("Slice", "y", []string{"x", "from", "to", "axis", "step"})),
			2, upTo(8),
			[]float32{3, 1, 7, 5},
		},
		"clip from far below": {
			graph(9, []int64{0, 3}, nil, apply("Clip", "y", x, "min", -3.4028234663852886e38, "max", 1.)),
			1,
			[]float32{-5, .1, 7},
			[]float32{-5, .1, 1},
		},
		"clip the wrong way round": {
			graph(9, []int64{0, 3}, nil, apply("Clip", "y", x, "min", 2., "max", 1.)),
			1,
			[]float32{-5, .1, 7},
			[]float32{1, 1, 1},
		},
		"squeeze the batch": {
			graph(13, []int64{1, 2, 2}, []*onnxpb.Tensor{integers("axis", 0), floats("w", []int64{2, 1}, 1, 10)},
				apply("Squeeze", "s", []string{"x", "axis"}), apply("MatMul", "y", []string{"s", "w"})),
			2, upTo(8),
			[]float32{10, 32, 54, 76},
		},
		"bias of a column": {
			graph(13, []int64{2, 2}, []*onnxpb.Tensor{
				floats("w", []int64{2, 2}, 1, 0, 0, 1), floats("b", []int64{2, 1}, 10, 20),
			}, apply("Gemm", "y", []string{"x", "w", "b"})),
			1, upTo(4),
			[]float32{10, 11, 22, 23},
		},
		"slopes of channels before opset 7": {
			graph(6, []int64{0, 2, 2}, []*onnxpb.Tensor{floats("a", []int64{2}, 2, 3)}, apply("PRelu", "y", []string{"x", "a"})),
			1,
			[]float32{-1, -2, -3, 4},
			[]float32{-2, -4, -9, 4},
		},
		"softmax of all axes before opset 13": {
			graph(11, []int64{0, 2, 2}, nil, apply("Softmax", "y", x)),
			1,
			[]float32{0, 0, 0, 0},
			[]float32{.25, .25, .25, .25},
		},
		"a sum from an axis on": {
			graph(6, []int64{0, 2, 2}, []*onnxpb.Tensor{floats("b", []int64{2}, 10, 20)},
				apply("Add", "y", []string{"x", "b"}, "broadcast", 1, "axis", 1)),
			1, upTo(4),
			[]float32{10, 11, 22, 23},
		},
		"two axes of a constant": {
			graph(13, []int64{0, 2, 2}, []*onnxpb.Tensor{floats("b", []int64{2, 2}, 1, 2, 3, 4)},
				apply("Mul", "y", []string{"x", "b"})),
			2, upTo(8),
			[]float32{0, 2, 6, 12, 4, 10, 18, 28},
		},
		"division by what has no inverse": {
			graph(13, []int64{0, 2}, []*onnxpb.Tensor{floats("b", []int64{1}, 1e-39)}, apply("Div", "y", []string{"x", "b"})),
			1,
			[]float32{0, 1e-38},
			[]float32{0, 10},
		},
		"a shape with any batch": {
			graph(13, []int64{0, 2, 3}, []*onnxpb.Tensor{integers("one", 1), integers("minus", -1), integers("first", 0)},
				apply("Shape", "s", x), apply("Gather", "n", []string{"s", "first"}, "axis", 0),
				apply("Concat", "to", []string{"n", "minus", "one"}, "axis", 0), apply("Reshape", "r", []string{"x", "to"}),
				apply("ReduceSum", "y", []string{"r", "one"}, "keepdims", 0)),
			2, upTo(12),
			[]float32{15, 51},
		},
		"heads of attention": { // the batch moves behind the three parts and comes back
			graph(13, []int64{0, 2, 6}, []*onnxpb.Tensor{
				integers("parts", 0, 0, 3, 2), integers("two", 2),
				{Name: new("first"), DataType: proto.Int32(7), Int64Data: []int64{0}},
			},
				apply("Reshape", "r", []string{"x", "parts"}),
				apply("Transpose", "t", []string{"r"}, "perm", []int64{2, 0, 1, 3}),
				apply("Gather", "q", []string{"t", "first"}), apply("ReduceSum", "y", []string{"q", "two"}, "keepdims", 0)),
			2, upTo(24),
			[]float32{1, 13, 25, 37},
		},
		"a constant for each sample": {
			graph(13, []int64{0, 2}, []*onnxpb.Tensor{floats("c", []int64{1, 1}, 7), integers("first", 0), integers("one", 1)},
				apply("Shape", "s", x), apply("Gather", "n", []string{"s", "first"}, "axis", 0),
				apply("Concat", "to", []string{"n", "one"}, "axis", 0), apply("Expand", "e", []string{"c", "to"}),
				apply("Concat", "y", []string{"e", "x"}, "axis", 1)),
			2, upTo(4),
			[]float32{7, 0, 1, 7, 2, 3},
		},
		"edges": {
			graph(13, []int64{0, 2}, []*onnxpb.Tensor{integers("pads", 0, 2, 0, 1)},
				apply("Pad", "y", []string{"x", "pads"}, "mode", "edge")),
			1,
			[]float32{1, 2},
			[]float32{1, 1, 1, 2, 2},
		},
		"reflections": {
			graph(13, []int64{0, 3}, []*onnxpb.Tensor{integers("pads", 0, 2, 0, 1)},
				apply("Pad", "y", []string{"x", "pads"}, "mode", "reflect")),
			1,
			[]float32{1, 2, 3},
			[]float32{3, 2, 1, 2, 3, 2},
		},
		"a pool with a last window": { // of one cell
			graph(13, []int64{0, 1, 5}, nil, apply("MaxPool", "y", x, "kernel_shape", []int64{2}, "strides",
				[]int64{2}, "ceil_mode", 1)),
			1, upTo(5),
			[]float32{1, 3, 4},
		},
		"an average with padding that counts": {
			graph(13, []int64{0, 1, 3}, nil, apply("AveragePool", "y", x, "kernel_shape", []int64{2}, "strides", []int64{2},
				"pads", []int64{1, 0}, "count_include_pad", 1)),
			1,
			[]float32{2, 4, 6},
			[]float32{1, 5},
		},
		"a convolution in groups, transposed": {
			graph(13, []int64{0, 2, 1}, []*onnxpb.Tensor{floats("w", []int64{2, 1, 2}, 1, 2, 3, 4)},
				apply("ConvTranspose", "y", []string{"x", "w"}, "group", 2)),
			1,
			[]float32{1, 10},
			[]float32{1, 2, 30, 40},
		},
		"images as a sequence": { // [1,2,1,1,2] is two images [1,1,2]
			graph(13, []int64{1, 2, 1, 1, 2}, []*onnxpb.Tensor{
				integers("images", 2, 1, 1, 2), floats("w", []int64{1, 1, 1, 2}, 1, 10), integers("back", 1, 2),
			}, apply("Reshape", "r", []string{"x", "images"}), apply("Conv", "c", []string{"r", "w"}),
				apply("Reshape", "y", []string{"c", "back"})),
			1, upTo(4),
			[]float32{10, 32},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := onnx.Decode(c.file)
			if err != nil {
				t.Fatal(err)
			}
			got := predict(t, m, c.x, c.n)
			if len(got) != len(c.want) {
				t.Fatalf("found %v, want %v", got, c.want)
			}
			for i, w := range c.want {
				if !(math.Abs(float64(got[i]-w)) <= 1e-5*math.Abs(float64(w))) {
					t.Fatalf("found %v, want %v", got, c.want)
				}
			}
		})
	}
}

// TestMixedSamples refuses what would mix the samples of a batch of any size.
func TestMixedSamples(t *testing.T) {
	in := func(names ...string) []string { return append([]string{"x"}, names...) }
	for name, file := range map[string][]byte{
		"mean of the batch":  graph(13, []int64{0, 2}, nil, apply("ReduceMean", "y", in(), "axes", []int64{0})),
		"mean of everything": graph(13, []int64{0, 2}, nil, apply("ReduceMean", "y", in())),
		"transposed":         graph(13, []int64{0, 2}, nil, apply("Transpose", "y", in())),
		"flattened":          graph(13, []int64{0, 2}, nil, apply("Flatten", "y", in(), "axis", 0)),
		"one row": graph(13, []int64{0, 2}, []*onnxpb.Tensor{integers("to", 1, -1)},
			apply("Reshape", "y", in("to"))),
		"first sample": graph(13, []int64{0, 2}, []*onnxpb.Tensor{integers("a", 0), integers("b", 1)},
			apply("Slice", "y", in("a", "b", "a"))),
		"softmax": graph(13, []int64{0, 2}, nil, apply("Softmax", "y", in(), "axis", 0)),
		"a row for each": graph(13, []int64{0, 2}, []*onnxpb.Tensor{floats("c", []int64{2, 2}, 1, 2, 3, 4)},
			apply("Add", "y", in("c"))),
		"a number of samples": graph(13, []int64{0, 2}, nil, apply("Shape", "s", in()),
			apply("Cast", "c", []string{"s"}, "to", 1), apply("Mul", "y", in("c"))),
		"products of samples": graph(13, []int64{0, 2}, nil, apply("Transpose", "t", in(), "perm", []int64{1, 0}),
			apply("MatMul", "y", []string{"t", "x"})),
		"largest of the batch": graph(13, []int64{0, 2}, nil, apply("ArgMax", "y", in())),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := onnx.Decode(file); err == nil || !strings.Contains(err.Error(), "batch") {
				t.Errorf("found error %v, want one of the batch", err)
			}
		})
	}
}

// TestExternal reads weights beside the file, and nothing elsewhere.
func TestExternal(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "model")
	for path, data := range map[string][]byte{
		filepath.Join(folder, "weights.bin"): {0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0x40, 0x40},
		filepath.Join(dir, "secret"):         make([]byte, 8),
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "secret"), filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	weights := func(pairs ...string) []byte {
		w := &onnxpb.Tensor{
			Name: new("w"), DataType: proto.Int32(1), Dims: []int64{2, 1}, DataLocation: onnxpb.Tensor_EXTERNAL.Enum(),
		}
		for k := 0; k < len(pairs); k += 2 {
			w.ExternalData = append(w.ExternalData, &onnxpb.Entry{Key: &pairs[k], Value: &pairs[k+1]})
		}
		return graph(13, []int64{0, 2}, []*onnxpb.Tensor{w}, apply("MatMul", "y", []string{"x", "w"}))
	}
	m, err := onnx.DecodeWith(
		weights("location", "weights.bin", "offset", "4", "length", "8"),
		onnx.Options{Folder: folder},
	)
	if err != nil {
		t.Fatal(err)
	}
	if got := predict(t, m, []float32{1, 10}, 1); !slices.Equal(got, []float32{32}) {
		t.Errorf("found %v, want 32", got)
	}
	for name, pairs := range map[string][]string{
		"outside":  {"location", "../secret"},
		"absolute": {"location", filepath.Join(dir, "secret")},
		"link":     {"location", "link"},
		"missing":  {"location", "nothing.bin"},
		"beyond":   {"location", "weights.bin", "offset", "8"},
		"huge":     {"location", "weights.bin", "offset", "9223372036854775807"},
		"length":   {"location", "weights.bin", "length", "12"},
		"folder":   {"location", "."},
	} {
		if _, err := onnx.DecodeWith(weights(pairs...), onnx.Options{Folder: folder}); err == nil ||
			!strings.Contains(err.Error(), "data") {
			t.Errorf("%s: found error %v, want one of the data", name, err)
		}
	}
}

// TestTensorGradients checks the derivatives of operations on arrays.
func TestTensorGradients(t *testing.T) {
	w := floats("w", []int64{3, 3}, .1, .2, -.3, .4, -.5, .6, .7, .8, -.9)
	for name, nodes := range map[string][]*onnxpb.Node{
		"arithmetic": {
			apply("Sigmoid", "s", []string{"d"}), apply("Div", "q", []string{"d", "s"}),
			apply("Pow", "p", []string{"s", "s"}), apply("Mul", "y", []string{"p", "q"}),
		},
		"reduction": {apply("ReduceLogSumExp", "y", []string{"d"}, "axes", []int64{1})},
		"norms":     {apply("ReduceL2", "y", []string{"d"}, "axes", []int64{2})},
		"matrices": {
			apply("Transpose", "t", []string{"d"}, "perm", []int64{0, 2, 1}),
			apply("MatMul", "y", []string{"d", "t"}),
		},
		"functions": {apply("Sin", "s", []string{"d"}), apply("Atan", "a", []string{"s"}), apply("Erf", "y", []string{"a"})},
		"resizing": {apply("Resize", "y", []string{"d", "", "scales"}, "mode", "linear",
			"coordinate_transformation_mode", "align_corners")},
	} {
		t.Run(name, func(t *testing.T) {
			nodes = append([]*onnxpb.Node{apply("MatMul", "d", []string{"x", "w"})}, nodes...)
			m, err := onnx.Decode(
				graph(13, []int64{0, 2, 3}, []*onnxpb.Tensor{w, floats("scales", []int64{3}, 1, 2, 2)}, nodes...),
			)
			if err != nil {
				t.Fatal(err)
			}
			nntest.CheckGradients(t, m, true)
		})
	}
}
