package format_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/testenv"

	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/internal/mutants"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/format/safetensors"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// needHDF5 skips where the binary has no HDF5.
func needHDF5(tb testing.TB) {
	tb.Helper()
	if h5.LibraryVersion() == "" {
		tb.Skip("built without HDF5")
	}
}

// fill gives the parameters random values; variances stay positive.
func fill(m *nn.Model) *nn.Model {
	r := rand.New(rand.NewPCG(1, 2))
	for _, p := range m.Params() {
		for i := range p.Value {
			p.Value[i] = float32(r.NormFloat64()) / 4
			if strings.HasSuffix(p.Name, "variance") {
				p.Value[i] = .5 + r.Float32()
			}
		}
	}
	return m
}

// chain is a small network as the tutorial's.
func chain(tb testing.TB) *nn.Model {
	tb.Helper()
	conv := layers.NewConv3D(4, 3, "relu")
	conv.Padding, conv.Strides = "same", [3]int{1, 2, 1}
	m, err := nn.Sequential(
		"small", nn.Shape{6, 6, 6, 2}, layers.NewConv3D(3, 3, "relu"), layers.NewMaxPooling3D(2),
		layers.NewBatchNormalization(), layers.NewDropout(.5), conv,
		layers.NewBatchNormalization(), layers.NewLeakyReLU(.1), layers.NewFlatten(), layers.NewDense(5, "tanh"),
		layers.NewDense(3, "softmax"),
	)
	if err != nil {
		tb.Fatal(err)
	}
	m.Classes, m.Colormap = []string{"cup", "shoe", "été"}, "oranges"
	m.Augmentation = "points: rotate:axis=z"
	m.Trust = nn.Trust{
		Temperature: 1.234567,
		Energy:      &nn.Energy{Mean: []float32{.1, -2}, Precision: []float32{1, 1e-7, 1e-7, 3e7}, Threshold: 33.3},
	}
	m.Precision = nn.Precision{Kind: nn.Int8, Ranges: map[string][2]float32{"conv": {-.1, 1.0 / 3}}}
	return fill(m)
}

// graph is a residual network whose two branches Keras orders otherwise than they were made.
func graph(tb testing.TB) *nn.Model {
	tb.Helper()
	apply := func(l nn.Layer, in ...*nn.Node) *nn.Node {
		n, err := nn.Apply(l, in...)
		if err != nil {
			tb.Fatal(err)
		}
		return n
	}
	same := func(filters, size int) *layers.Conv3D {
		c := layers.NewConv3D(filters, size, "relu")
		c.Padding = "same"
		return c
	}
	in := nn.Input("voxels", nn.Shape{4, 5, 4, 2})
	short := apply(same(3, 1), in)
	long := apply(same(3, 3), apply(same(4, 3), in))
	sum := apply(layers.NewAdd(), short, long)
	mean := apply(&layers.GlobalPooling3D{Average: true}, sum)
	most := apply(&layers.GlobalPooling3D{}, long)
	joined := apply(layers.NewConcatenate(), mean, most)
	leaking := layers.NewDense(3, "")
	leaking.ActivationLayer, leaking.KernelWeight.Regularizer.L2,
		leaking.BiasWeight.Constraint.Name = layers.NewLeakyReLU(.2), .01, "non_neg"
	again := apply(leaking, apply(leaking, most)) // shared
	a, b := apply(layers.NewDense(2, "softmax"), joined), apply(layers.NewDense(1, "sigmoid"), again)
	m, err := nn.Functional("residual", []*nn.Node{in}, []*nn.Node{a, b})
	if err != nil {
		tb.Fatal(err)
	}
	return fill(m)
}

// predict runs the model on n samples of numbers that an integer recurrence makes, each sample times its scale
// where there are scales.
func predict(tb testing.TB, m *nn.Model, n int, scales ...float32) [][]float32 {
	tb.Helper()
	p, err := m.Compile(n, nn.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	defer p.Close()
	x := uint32(1)
	for i := range m.Inputs() {
		in := p.Input(i)
		for j := range in {
			x = 1664525*x + 1013904223
			in[j] = float32(x>>24) / 255
			if scales != nil {
				in[j] *= scales[j*n/len(in)]
			}
		}
	}
	if err := p.Forward(n, false, 0); err != nil {
		tb.Fatal(err)
	}
	var out [][]float32
	for i := range m.Outputs() {
		out = append(out, slices.Clone(p.Output(i)))
	}
	return out
}

// far is the largest difference.
func far(tb testing.TB, got, want [][]float32) float64 {
	tb.Helper()
	if len(got) != len(want) {
		tb.Fatalf("got %d outputs, want %d", len(got), len(want))
	}
	var worst float64
	for i := range got {
		if len(got[i]) != len(want[i]) {
			tb.Fatalf("output %d: got %d numbers, want %d", i, len(got[i]), len(want[i]))
		}
		for j := range got[i] {
			worst = max(worst, float64(got[i][j]-want[i][j]), float64(want[i][j]-got[i][j]))
		}
	}
	return worst
}

var extensions = []string{".keras", ".h5", ".safetensors"}

func TestRoundTrip(t *testing.T) {
	for _, extension := range extensions {
		for _, m := range []*nn.Model{chain(t), graph(t)} {
			t.Run(m.Name+extension, func(t *testing.T) {
				if extension != ".safetensors" {
					needHDF5(t)
				}
				path := filepath.Join(t.TempDir(), m.Name+extension)
				if err := format.Save(path, m); err != nil {
					t.Fatal(err)
				}
				got, err := format.Load(t.Context(), path)
				if err != nil {
					t.Fatal(err)
				}
				if got.Name != m.Name || !slices.Equal(got.Classes, m.Classes) || got.Colormap != m.Colormap ||
					got.Augmentation != m.Augmentation ||
					!reflect.DeepEqual(got.Trust, m.Trust) ||
					!reflect.DeepEqual(got.Precision, m.Precision) || got.IsSequential() != m.IsSequential() {
					t.Errorf("got %q %q %q %v, want %q %q %q %v", got.Name, got.Classes, got.Colormap,
						got.IsSequential(), m.Name, m.Classes, m.Colormap, m.IsSequential())
				}
				want := predict(t, m, 3)
				if d := far(t, predict(t, got, 3), want); d != 0 {
					t.Errorf("predictions differ by %g", d)
				}
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if got, err = format.Decode(t.Context(), data); err != nil {
					t.Fatal(err)
				}
				if d := far(t, predict(t, got, 3), want); d != 0 {
					t.Errorf("from bytes: predictions differ by %g", d)
				}
				if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
					t.Errorf("save left %v", entries)
				}
			})
		}
	}
}

func TestWeights(t *testing.T) {
	for _, extension := range append([]string{".weights.h5"}, extensions...) {
		t.Run(extension, func(t *testing.T) {
			if extension != ".safetensors" {
				needHDF5(t)
			}
			m := graph(t)
			path := filepath.Join(t.TempDir(), "m"+extension)
			if err := format.Save(path, m); err != nil {
				t.Fatal(err)
			}
			other := graph(t)
			for _, p := range other.Params() {
				clear(p.Value)
			}
			if err := format.LoadWeights(t.Context(), path, other); err != nil {
				t.Fatal(err)
			}
			if d := far(t, predict(t, other, 2), predict(t, m, 2)); d != 0 {
				t.Errorf("predictions differ by %g", d)
			}
			if err := format.LoadWeights(t.Context(), path, chain(t)); err == nil {
				t.Error("got no error for another model's weights")
			}
		})
	}
}

// TestSameBytes wants the same model to give the same file.
func TestSameBytes(t *testing.T) {
	for _, extension := range extensions {
		t.Run(extension, func(t *testing.T) {
			if extension != ".safetensors" {
				needHDF5(t)
			}
			var files [2][]byte
			for i := range files {
				if i > 0 && extension != ".safetensors" {
					time.Sleep(1100 * time.Millisecond) // HDF5 and zip keep times by the second
				}
				path := filepath.Join(t.TempDir(), "m"+extension)
				if err := format.Save(path, chain(t)); err != nil {
					t.Fatal(err)
				}
				var err error
				if files[i], err = os.ReadFile(path); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(files[0], files[1]) {
				t.Error("two files of one model differ")
			}
		})
	}
}

func TestUnknown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.txt")
	if err := format.Save(path, chain(t)); !errors.Is(err, format.ErrUnknown) {
		t.Errorf("save: got %v, want %v", err, format.ErrUnknown)
	}
	if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := format.Load(t.Context(), path); !errors.Is(err, format.ErrUnknown) ||
		!strings.Contains(err.Error(), path) {
		t.Errorf("load: got %v, want %v with the path", err, format.ErrUnknown)
	}
	if _, err := format.Load(t.Context(), t.TempDir()); err == nil {
		t.Error("load of a folder: got no error")
	}
}

// TestSaveFails keeps the file that was there.
func TestSaveFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.safetensors")
	if err := os.Mkdir(path, 0o700); err != nil { // a folder in the way: the last step, the rename, fails
		t.Fatal(err)
	}
	if err := format.Save(path, chain(t)); err == nil {
		t.Fatal("got no error")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("save left %v", entries)
	}
}

// bytesOf is a small model in a format.
func bytesOf(tb testing.TB, extension string) []byte {
	tb.Helper()
	m, err := nn.Sequential("tiny", nn.Shape{2, 2, 2, 1}, layers.NewConv3D(1, 1, "relu"), layers.NewFlatten(),
		layers.NewDense(2, "softmax"))
	if err != nil {
		tb.Fatal(err)
	}
	if extension == ".safetensors" {
		var b bytes.Buffer
		if err := safetensors.Encode(&b, fill(m)); err != nil {
			tb.Fatal(err)
		}
		return b.Bytes()
	}
	path := filepath.Join(tb.TempDir(), "m"+extension)
	if err := format.Save(path, fill(m)); err != nil {
		tb.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// TestTruncated wants an error at every length for the formats read here, and at a sample of lengths for .h5, each
// of which costs a worker.
func TestTruncated(t *testing.T) {
	for _, extension := range extensions {
		t.Run(extension, func(t *testing.T) {
			if extension != ".safetensors" {
				needHDF5(t)
			}
			data := bytesOf(t, extension)
			step := 1
			if extension == ".h5" {
				step = len(data)/60 + 1
			}
			for n := 0; n < len(data); n += step {
				if _, err := format.Decode(t.Context(), data[:n:n]); err == nil {
					t.Fatalf("%d of %d bytes: got no error", n, len(data))
				}
			}
		})
	}
}

// TestMutants wants an error or a model, never a panic, for random changes.
func TestMutants(t *testing.T) {
	for extension, count := range map[string]int{".safetensors": 5000, ".keras": 100, ".h5": 100} {
		t.Run(extension, func(t *testing.T) {
			if extension != ".safetensors" {
				needHDF5(t)
			}
			data := bytesOf(t, extension)
			r := rand.New(rand.NewPCG(3, 4))
			for range count {
				mutant := slices.Clone(data)
				for range 1 + r.IntN(4) {
					mutant[r.IntN(len(mutant))] = byte(r.Uint32())
				}
				ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
				if m, err := format.Decode(ctx, mutant); err == nil && len(m.Layers()) == 0 {
					t.Error("got a model without layers")
				}
				cancel()
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	target := mutants.New(f, "model: any format")
	target.Add(bytesOf(f, ".safetensors"))
	target.Add(bytesOf(f, ".onnx"))
	target.Add([]byte("PK\x03\x04"))
	if h5.LibraryVersion() != "" {
		target.Add(bytesOf(f, ".keras"))
	}
	target.Fuzz(func(_ *testing.T, data []byte) {
		m, err := format.Decode(context.Background(), data)
		if err == nil && m == nil {
			panic("no model and no error")
		}
	})
}

// FuzzHDF5 loads models in the worker process, which may refuse them but must not take the loader with it.
func FuzzHDF5(f *testing.F) {
	needHDF5(f)
	target := mutants.New(f, "model: hdf5")
	target.Add(bytesOf(f, ".h5"))
	target.Fuzz(func(_ *testing.T, data []byte) {
		if m, err := format.Decode(context.Background(), data); err == nil && m == nil {
			panic("no model and no error")
		}
	})
}

// TestRewrite checks that Rewrite changes the metadata of a file, and nothing else.
func TestRewrite(t *testing.T) {
	for _, extension := range append([]string{".onnx"}, extensions...) {
		t.Run(extension, func(t *testing.T) {
			if extension == ".keras" || extension == ".h5" {
				needHDF5(t)
			}
			m := chain(t)
			m.Precision = nn.Precision{}
			dir := t.TempDir()
			path, other := filepath.Join(dir, "m"+extension), filepath.Join(dir, "n"+extension)
			if err := format.Save(path, m); err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			first := m.Metadata
			for _, to := range []nn.Metadata{{Classes: first.Classes, Values: "window:-1000:400"}, first} {
				got, err := format.Load(t.Context(), path)
				if err != nil {
					t.Fatal(err)
				}
				got.Metadata = to
				if err := format.Rewrite(t.Context(), path, other, got); err != nil {
					t.Fatal(err)
				}
				if got, err = format.Load(t.Context(), other); err != nil || !reflect.DeepEqual(got.Metadata, to) {
					t.Errorf("found %+v, %v, want %+v", got, err, to)
				}
				path, other = other, path
			}
			if got, err := os.ReadFile(path); err != nil || extension != ".keras" && !bytes.Equal(got, want) {
				t.Errorf("the first metadata do not give the first file (%v)", err)
			}
			if err := format.Rewrite(t.Context(), path, filepath.Join(t.TempDir(), "m.keras2"), m); err == nil ||
				!strings.Contains(err.Error(), "want the same format") {
				t.Errorf("found %v, want an error about the extension", err)
			}
		})
	}
}

// TestOlder checks that a model from elsewhere states raw values once it is written here, and that one of an earlier
// version, which states nothing, still does so when it is written again.
func TestOlder(t *testing.T) {
	for _, extension := range append([]string{".onnx"}, extensions...) {
		if extension == ".keras" || extension == ".h5" {
			needHDF5(t)
		}
		for _, older := range []bool{false, true} {
			m := chain(t)
			m.Precision = nn.Precision{}
			m.Metadata = nn.Metadata{Older: older}
			path := filepath.Join(t.TempDir(), "m"+extension)
			if err := format.Save(path, m); err != nil {
				t.Fatal(err)
			}
			got, err := format.Load(t.Context(), path)
			if err != nil || got.Older != older || (got.Values == "raw") == older {
				t.Errorf("%s: found %+v, %v, want an older file: %t", extension, got.Metadata, err, older)
			}
		}
	}
}
