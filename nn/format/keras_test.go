package format_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sbinet/npyio/npz"

	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
)

// TestSampleModel loads a third party's Keras 2 model of 64^3 volumes and wants Keras's predictions of it
// (nn/testdata/keras_sample.npz, made by make_keras_goldens.py).
func TestSampleModel(t *testing.T) {
	needHDF5(t)
	m, err := format.Load(t.Context(), testenv.Sample(t, "models/nkarl_3d_image_classification.h5"))
	if err != nil {
		t.Fatal(err)
	}
	training, err := format.LoadTraining(t.Context(), testenv.Sample(t, "models/nkarl_3d_image_classification.h5"), m)
	if err != nil {
		t.Fatal(err)
	}
	if o := training.Optimizer; o.Rule.Class() != "Adam" || o.Schedule == nil || o.Iterations == 0 || o.State()[0].Value[0] == 0 {
		t.Errorf("got optimizer %s after %d steps, schedule %v, want the Adam of the file with its state", o.Rule.Class(), o.Iterations, o.Schedule)
	}
	f, err := os.Open(filepath.Join(testenv.Root(), "nn", "testdata", "keras_sample.npz"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	z, err := npz.NewReader(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	var text []uint8
	var manifest struct{ Scales []float32 }
	if err := z.Read("manifest.npy", &text); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	// The output saturates easily, so the 128 numbers before the last layers are compared too.
	for _, n := range m.Nodes() {
		if n.Name() != "global_average_pooling3d" {
			continue
		}
		if m, err = nn.Functional("", m.Inputs(), []*nn.Node{m.Outputs()[0], n}); err != nil {
			t.Fatal(err)
		}
		break
	}
	got := predict(t, m, len(manifest.Scales), manifest.Scales...)
	for i, name := range []string{"predict", "pooled"} {
		var want []float32
		if err := z.Read(name+".npy", &want); err != nil {
			t.Fatal(err)
		}
		d := far(t, got[i:i+1], [][]float32{want})
		t.Logf("%s %v, largest difference from Keras %.2g", name, want[:4], d)
		if !(d <= 1e-5) {
			t.Errorf("%s: differs from Keras by %g", name, d)
		}
	}
}

// python is a Python with Keras: the real one judges what we write.
func python(t *testing.T) string {
	t.Helper()
	path := os.Getenv("VOXELSTREAM_PYTHON")
	if path == "" {
		t.Skip("set VOXELSTREAM_PYTHON to a Python with keras and tensorflow-cpu to compare with the real Keras")
	}
	return path
}

// runKeras runs a script of testdata and decodes the JSON that it prints last.
func runKeras(t *testing.T, into any, script string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), python(t), append([]string{filepath.Join("testdata", script)}, args...)...)
	cmd.Env = append(os.Environ(), "KERAS_BACKEND=tensorflow", "TF_CPP_MIN_LOG_LEVEL=3")
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Output returns it bare
			t.Fatalf("%s: %v\n%s", script, err, exit.Stderr)
		}
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("%s: %v in %s", script, err, out)
	}
}

// TestKerasReadsOurs wants Keras to load what we save and to predict the same.
func TestKerasReadsOurs(t *testing.T) {
	python(t)
	needHDF5(t)
	dir := t.TempDir()
	var paths []string
	want := map[string][][]float32{}
	for _, m := range []*nn.Model{chain(t), graph(t)} {
		for _, extension := range []string{".keras", ".h5", ".weights.h5"} {
			path := filepath.Join(dir, m.Name+extension)
			if err := format.Save(path, m); err != nil {
				t.Fatal(err)
			}
			paths = append(paths, path)
			want[path] = predict(t, m, 3)
		}
	}
	var got map[string][][]float32
	runKeras(t, &got, "predict.py", paths...)
	for _, path := range paths {
		d := far(t, got[path], want[path])
		t.Logf("%s: largest difference %.2g", filepath.Base(path), d)
		if !(d <= 1e-5) {
			t.Errorf("%s: Keras predicts %v, we %v", filepath.Base(path), got[path], want[path])
		}
	}
}

// TestWeReadKeras wants the same of models that Keras makes and saves, and that the weights alone fit too.
func TestWeReadKeras(t *testing.T) {
	python(t)
	needHDF5(t)
	dir := t.TempDir()
	var want map[string][][]float32
	runKeras(t, &want, "make.py", dir)
	if len(want) < 6 {
		t.Fatalf("got %d models, want at least 6", len(want))
	}
	for name, outputs := range want {
		for _, extension := range []string{".keras", ".h5"} {
			m, err := format.Load(t.Context(), filepath.Join(dir, name+extension))
			if err != nil {
				t.Error(err)
				continue
			}
			check := func(what string) {
				d := far(t, predict(t, m, 3), outputs)
				t.Logf("%s%s: largest difference %.2g", name, what, d)
				if math.IsNaN(d) || d > 1e-5 {
					t.Errorf("%s%s: differs from Keras by %g", name, what, d)
				}
			}
			check(extension)
			for _, weights := range []string{".weights.h5", ".keras", ".h5"} {
				for _, p := range m.Params() {
					clear(p.Value)
				}
				if err := format.LoadWeights(t.Context(), filepath.Join(dir, name+weights), m); err != nil {
					t.Error(err)
					continue
				}
				check(fmt.Sprintf("%s with weights of %s", extension, weights))
			}
		}
	}
}
