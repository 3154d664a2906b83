package onnx_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format/onnx"
	"github.com/voxelstream/voxelstream/nn/format/onnx/internal/onnxpb"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/nn/zoo"
)

// TestVectors runs the test vectors of the ONNX project: model, input and output.
func TestVectors(t *testing.T) {
	for _, name := range []string{
		"test_Conv3d", "test_Conv3d_no_bias", "test_Conv3d_stride", "test_MaxPool3d",
		"test_AvgPool3d", "test_BatchNorm3d_eval",
	} {
		t.Run(name, func(t *testing.T) {
			m, err := onnx.Decode(read(t, testenv.Sample(t, "models/onnx/"+name+"/model.onnx")))
			if err != nil {
				t.Fatal(err)
			}
			x, n := vector(t, testenv.Sample(t, "models/onnx/"+name+"/input_0.pb"))
			want, _ := vector(t, testenv.Sample(t, "models/onnx/"+name+"/output_0.pb"))
			near(t, predict(t, m, x, n), want, 1e-5)
		})
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// vector reads a tensor file of floats: its numbers and the size of its first axis.
func vector(t *testing.T, path string) ([]float32, int) {
	t.Helper()
	p := &onnxpb.Tensor{}
	if err := proto.Unmarshal(read(t, path), p); err != nil {
		t.Fatal(err)
	}
	out := p.FloatData
	for i := 0; i+4 <= len(p.RawData); i += 4 {
		out = append(out, math.Float32frombits(binary.LittleEndian.Uint32(p.RawData[i:])))
	}
	return out, int(p.Dims[0])
}

func predict(t *testing.T, m *nn.Model, x []float32, n int) []float32 {
	t.Helper()
	plan, err := m.Compile(n, nn.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	copy(plan.Input(0), x)
	if err := plan.Forward(n, false, 0); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(plan.Output(0))
}

// near compares relative to the largest number.
func near(t *testing.T, got, want []float32, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("found %d numbers, want %d", len(got), len(want))
	}
	scale := 1e-6
	for _, v := range want {
		scale = max(scale, math.Abs(float64(v)))
	}
	for i := range got {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= tolerance*scale) {
			t.Fatalf("number %d is %g, want %g (largest %g)", i, got[i], want[i], scale)
		}
	}
}

// models are some of every layer that ONNX can hold.
func models(t *testing.T) map[string]*nn.Model {
	t.Helper()
	out := map[string]*nn.Model{}
	for name, shape := range map[string]nn.Shape{
		"tutorial": {16, 16, 16, 3}, "voxnet": {16, 15, 17, 1},
		"resnet": {9, 8, 10, 2}, "medical": {16, 17, 18, 1},
	} {
		m, err := zoo.New(name, shape, 5)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = m
	}
	same := func(filters, size, stride, groups int) nn.Layer {
		c := layers.NewConv3D(filters, size, "relu")
		c.Padding, c.Strides, c.Groups = "same", [3]int{stride, stride, stride}, groups
		return c
	}
	up := layers.NewConv3DTranspose(3, 3, 2, "elu")
	wide := layers.NewConv3DTranspose(4, 2, 3, "")
	wide.Padding = "same"
	softer := layers.NewReLU()
	softer.Max = 3
	average := layers.NewMaxPooling3D(2)
	average.Average, average.Padding = true, "same"
	for name, stack := range map[string][]nn.Layer{
		"padding": {
			same(6, 4, 2, 2), layers.NewZeroPadding3D(1), layers.NewCropping3D(1), average,
			layers.NewFlatten(), layers.NewDense(4, "tanh"),
		},
		"transposed": {
			up, wide, layers.NewUpSampling3D(2), layers.NewPReLU(), layers.NewGlobalMaxPooling3D(),
			layers.NewDense(3, "softmax"),
		},
		"norms": {
			layers.NewGroupNormalization(2), layers.NewLayerNormalization(),
			layers.NewBatchNormalization(), layers.NewRescaling(2, .5), softer, layers.NewFlatten(),
		},
		"activations": {
			layers.NewActivation("silu"), layers.NewActivation("gelu"), layers.NewActivation("selu"),
			layers.NewActivation("hard_sigmoid"), layers.NewActivation("mish"), layers.NewActivation("softplus"),
			layers.NewActivation("celu"), layers.NewActivation("relu6"), layers.NewActivation("softsign"),
		},
		"shapes": {
			layers.NewPermute(4, 1, 3, 2), layers.NewDense(3, "sigmoid"),
			&layers.Reshape{Target: []int{-1, 6}}, layers.NewBatchNormalization(), layers.NewSoftmax(), layers.NewFlatten(),
		},
	} {
		m, err := nn.Sequential(name, nn.Shape{5, 6, 7, 4}, stack...)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = m
	}
	in := nn.Input("volume", nn.Shape{4, 5, 6, 2})
	apply := func(l nn.Layer, in ...*nn.Node) *nn.Node {
		n, err := nn.Apply(l, in...)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	a, b := apply(same(3, 3, 1, 1), in), apply(same(3, 1, 1, 1), in)
	joined := apply(layers.NewConcatenate(), apply(layers.NewAdd(), a, b), apply(layers.NewMultiply(), a, b),
		apply(layers.NewMerge("Average"), a, b, a), apply(layers.NewMerge("Subtract"), a, b))
	m, err := nn.Functional("graph", []*nn.Node{in}, []*nn.Node{apply(layers.NewGlobalAveragePooling3D(), joined)})
	if err != nil {
		t.Fatal(err)
	}
	out["graph"] = m
	for _, m := range out {
		m.Init(3)
		r := rand.New(rand.NewPCG(4, 5))
		for _, p := range m.Params() {
			if strings.Contains(p.Name, "moving") || strings.Contains(p.Name, "gamma") ||
				strings.Contains(p.Name, "beta") || strings.Contains(p.Name, "bias") || strings.Contains(p.Name, "alpha") {
				for i := range p.Value {
					p.Value[i] = .5 + r.Float32()
				}
			}
		}
	}
	for _, m := range out {
		m.Colormap, m.Precision = "Oranges", nn.Precision{Kind: nn.Int8, Ranges: map[string][2]float32{"no layer": {-1, .1}}}
		break // one of them, whichever
	}
	return out
}

// TestRoundTrip writes models, reads them back and compares what they predict. With a Python that has ONNX Runtime,
// that predicts too.
func TestRoundTrip(t *testing.T) {
	folder := t.TempDir()
	for name, m := range models(t) {
		t.Run(name, func(t *testing.T) {
			var file bytes.Buffer
			if err := onnx.Encode(&file, m); err != nil {
				t.Fatal(err)
			}
			if !onnx.Is(file.Bytes()) {
				t.Errorf("the file begins with %x, and is not recognized", file.Bytes()[:8])
			}
			again, err := onnx.Decode(file.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(again.Precision, m.Precision) || again.Colormap != m.Colormap {
				t.Errorf("got precision %v and palette %q, want %v and %q", again.Precision, again.Colormap, m.Precision, m.Colormap)
			}
			const n = 2
			x := make([]float32, n*m.Inputs()[0].Shape.Size())
			r := rand.New(rand.NewPCG(1, 2))
			for i := range x {
				x[i] = float32(r.NormFloat64())
			}
			want := predict(t, m, x, n)
			near(t, predict(t, again, x, n), want, 1e-5)
			if err := os.WriteFile(filepath.Join(folder, name+".onnx"), file.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			runtime(t, filepath.Join(folder, name+".onnx"), x, append([]int{n}, m.Inputs()[0].Shape...), want)
		})
	}
}

// runtime compares what ONNX Runtime predicts, where there is a Python that has it.
func runtime(t *testing.T, path string, x []float32, shape []int, want []float32) {
	t.Helper()
	if got := session(t, path, x, shape); got != nil {
		near(t, got, want, 1e-5)
	}
}

// session returns what ONNX Runtime predicts, or nil without a Python that has it.
func session(t *testing.T, path string, x []float32, shape []int) []float32 {
	t.Helper()
	python := os.Getenv("VOXELSTREAM_PYTHON")
	if python == "" {
		return nil
	}
	const script = `
import sys, numpy, onnx, onnxruntime
path, shape = sys.argv[1], [int(d) for d in sys.argv[2].split(",")]
onnx.checker.check_model(onnx.load(path), full_check=True)
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
x = numpy.frombuffer(sys.stdin.buffer.read(), "<f4").reshape(shape)
sys.stdout.buffer.write(session.run(None, {session.get_inputs()[0].name: x})[0].astype("<f4").tobytes())
`
	var in, out, message bytes.Buffer
	if err := binary.Write(&in, binary.LittleEndian, x); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", script, path,
		strings.Trim(strings.ReplaceAll(fmt.Sprint(shape), " ", ","), "[]"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &in, &out, &message
	if err := cmd.Run(); err != nil {
		t.Fatalf("ONNX Runtime: %v\n%s", err, message.String())
	}
	got := make([]float32, out.Len()/4)
	if err := binary.Read(&out, binary.LittleEndian, got); err != nil {
		t.Fatal(err)
	}
	return got
}
