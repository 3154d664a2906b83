package onnx_test

import (
	"math"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/voxelstream/voxelstream/nn/format/onnx"
	"github.com/voxelstream/voxelstream/nn/format/onnx/internal/onnxpb"
)

// TestPatterns reads what exporters write in several nodes where we have one layer.
func TestPatterns(t *testing.T) {
	node := func(op, out string, in ...string) *onnxpb.Node {
		return &onnxpb.Node{Name: &out, OpType: &op, Input: in, Output: []string{out}}
	}
	scalar := func(name string, v float32) *onnxpb.Tensor {
		return &onnxpb.Tensor{Name: &name, DataType: proto.Int32(1), FloatData: []float32{v}}
	}
	whole := func(name string, v ...int64) *onnxpb.Tensor {
		return &onnxpb.Tensor{Name: &name, DataType: proto.Int32(7), Dims: []int64{int64(len(v))}, Int64Data: v}
	}
	integer := func(name string, v int64) *onnxpb.Attribute { return &onnxpb.Attribute{Name: &name, I: &v} }
	transposed := node("Transpose", "t", "s")
	transposed.Attribute = []*onnxpb.Attribute{{Name: new("perm"), Ints: []int64{1, 0}}}
	joined := node("Concat", "all", "sides", "zeros")
	joined.Attribute = []*onnxpb.Attribute{integer("axis", 0)}
	zeros := node("ConstantOfShape", "zeros", "four")
	zeros.Attribute = []*onnxpb.Attribute{{Name: new("value"), T: whole("", 0)}}
	gelu := func(x float64) float64 { return x * (1 + math.Erf(x/math.Sqrt2)) / 2 }
	for name, c := range map[string]struct {
		constants []*onnxpb.Tensor
		nodes     []*onnxpb.Node
		want      func(x float64) float64
	}{
		"gelu by erf": {
			[]*onnxpb.Tensor{scalar("root", math.Sqrt2), scalar("one", 1), scalar("half", .5)},
			[]*onnxpb.Node{
				node("Div", "d", "x", "root"), node("Erf", "e", "d"), node("Add", "a", "e", "one"),
				node("Mul", "m", "x", "a"), node("Mul", "y", "m", "half"),
			},
			gelu,
		},
		"softsign by abs": {
			[]*onnxpb.Tensor{scalar("one", 1)},
			[]*onnxpb.Node{node("Abs", "b", "x"), node("Add", "a", "b", "one"), node("Div", "y", "x", "a")},
			func(x float64) float64 { return x / (1 + math.Abs(x)) },
		},
		"softplus up to a threshold": {
			[]*onnxpb.Tensor{scalar("twenty", 20)},
			[]*onnxpb.Node{node("Softplus", "s", "x"), node("Greater", "g", "x", "twenty"), node("Where", "y", "g", "x", "s")},
			func(x float64) float64 { return math.Log1p(math.Exp(x)) },
		},
		"clip below zero": {
			[]*onnxpb.Tensor{scalar("low", -.75), scalar("high", .5)},
			[]*onnxpb.Node{node("Clip", "y", "x", "low", "high")},
			func(x float64) float64 { return min(max(x, -.75), .5) },
		},
		"reshape of a batch of four": {
			[]*onnxpb.Tensor{whole("flat", 4, 54), whole("volume", 4, 2, 3, 3, 3)},
			[]*onnxpb.Node{node("Reshape", "f", "x", "flat"), node("Reshape", "y", "f", "volume")},
			func(x float64) float64 { return x },
		},
		// PyTorch's order of padding, the last axis first, turned round: one plane of zeros behind the last axis,
		// which a slice takes away again.
		"padding": {
			[]*onnxpb.Tensor{
				whole("sides", 0, 1, 0, 0, 0, 0), whole("four", 4), whole("pairs", -1, 2), whole("from", -1),
				whole("to", math.MinInt64+1),
				whole("axis", 0), whole("back", -1), whole("vector", -1), whole("begin", 0), whole("end", 3), whole("last", 4),
			},
			[]*onnxpb.Node{
				zeros, joined, node("Reshape", "p", "all", "pairs"),
				node("Slice", "s", "p", "from", "to", "axis", "back"), transposed,
				node("Reshape", "pads", "t", "vector"), node("Pad", "z", "x", "pads"),
				node("Slice", "y", "z", "begin", "end", "last"),
			},
			func(x float64) float64 { return x },
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := small("Relu")
			m.Graph.Input[0].Type.TensorType.Shape.Dim[0].Value = &onnxpb.Shape_Dimension_DimValue{DimValue: 4}
			m.Graph.Initializer, m.Graph.Node = c.constants, c.nodes
			data, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			got, err := onnx.Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			x := make([]float32, 2*3*3*3)
			want := make([]float32, len(x))
			for i := range x {
				x[i] = float32(i-20) / 8
				want[i] = float32(c.want(float64(x[i])))
			}
			near(t, predict(t, got, x, 1), want, 1e-6)
		})
	}
}
