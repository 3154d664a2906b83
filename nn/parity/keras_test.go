package parity

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sbinet/npyio/npz"

	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/train"
)

// seed makes the random models; another one makes others.
const seed = 1

// What the differences from Keras may be, relative to the largest number of the array.
const (
	predictTolerance = 1e-4
	gradTolerance    = 1e-4
	weightTolerance  = 1e-4
)

// manifest is what keras_models.py says of the models that it made.
type manifest struct {
	Steps      int     `json:"steps"`
	Rate       float64 `json:"rate"`
	Epsilon    float64 `json:"epsilon"`
	Batch      int     `json:"batch"`
	Keras      string  `json:"keras"`
	TensorFlow string  `json:"tensorflow"`
	Models     []entry `json:"models"`
}

// entry is one model.
type entry struct {
	Number int    `json:"number"`
	File   string `json:"file"`
	// Losses are Keras's names, one for each output; the model was trained on their sum where Trained says so.
	Losses  []string `json:"losses"`
	Trained bool     `json:"trained"`
	// Tied models are not trained: a max pooling has windows with two largest numbers, each of which gets the whole
	// gradient in TensorFlow on a CPU, or rounding decides on which number is the largest.
	Tied bool `json:"tied"`
	// Layers are those of the model, with the options that were set.
	Layers []labeled `json:"layers"`
}

// TestKeras makes random models with Keras and compares them here, then has Keras load what we write.
func TestKeras(t *testing.T) {
	if h5.LibraryVersion() == "" {
		t.Skip("built without HDF5")
	}
	dir := folder(t, "keras")
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if errors.Is(err, fs.ErrNotExist) {
		python(t, "keras_models.py", "make", dir, fmt.Sprint(models()), fmt.Sprint(seed))
		text, err = os.ReadFile(filepath.Join(dir, "manifest.json"))
	}
	if err != nil {
		t.Fatal(err)
	}
	var all manifest
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	c := &comparison{manifest: all, dir: dir, worst: map[string][]float64{}, ours: map[int][][]float32{}}
	for _, e := range all.Models {
		t.Run(e.File, func(t *testing.T) { c.model(t, e) })
	}
	python(t, "keras_models.py", "check", dir)
	for _, e := range all.Models {
		t.Run("back/"+e.File, func(t *testing.T) { c.back(t, e) })
	}
	c.report(t)
}

// folder is where the models lie: a temporary one, or that name in VOXELSTREAM_PARITY_DIR, where they stay and are
// found again.
func folder(t *testing.T, name string) string {
	t.Helper()
	if os.Getenv("VOXELSTREAM_PARITY_DIR") == "" {
		return t.TempDir()
	}
	dir := filepath.Join(os.Getenv("VOXELSTREAM_PARITY_DIR"), name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// python runs a script of this folder with Keras and ONNX Runtime.
func python(t *testing.T, script string, args ...string) {
	t.Helper()
	run(t, "VOXELSTREAM_PYTHON", script, args...)
}

// run runs a script of this folder by the Python that a variable names.
func run(t *testing.T, variable, script string, args ...string) {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Skipf("set %s to a Python with what %s imports; make parity does", variable, script)
	}
	cmd := exec.CommandContext(t.Context(), path, append([]string{script}, args...)...)
	cmd.Env = append(os.Environ(), "KERAS_BACKEND=tensorflow", "TF_CPP_MIN_LOG_LEVEL=3")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// models is how many random models are compared: VOXELSTREAM_PARITY, or enough for a quick look.
func models() int {
	if n, err := strconv.Atoi(os.Getenv("VOXELSTREAM_PARITY")); err == nil {
		return n
	}
	return 20
}

// arrays reads an .npz file of floats.
func arrays(t *testing.T, path string) map[string][]float32 {
	t.Helper()
	f, err := os.Open(path)
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
	out := map[string][]float32{}
	for _, name := range z.Keys() {
		var v []float32
		if err := z.Read(name, &v); err != nil {
			t.Fatalf("%s: %s: %v", path, name, err)
		}
		out[strings.TrimSuffix(name, ".npy")] = v
	}
	return out
}

// comparison gathers how far apart the two sides are.
type comparison struct {
	manifest manifest
	dir      string
	// worst has, for each thing compared, the largest relative difference in each model.
	worst map[string][]float64
	// ours are our predictions of the models that Keras reads back.
	ours map[int][][]float32
}

// model compares one model that Keras made: what it predicts, its loss and gradients, and its weights after some steps.
func (c *comparison) model(t *testing.T, e entry) {
	name := filepath.Join(c.dir, fmt.Sprintf("%03d", e.Number))
	want := arrays(t, name+".npz")
	m, err := format.Load(t.Context(), filepath.Join(c.dir, e.File))
	if err != nil {
		t.Fatal(err)
	}
	got, plain := c.predict(t, m, want), c.predict(t, m, want, "all")
	for i := range got {
		c.near(t, "predictions", fmt.Sprintf("prediction %d", i), got[i], want[fmt.Sprintf("predict%d", i)], 0,
			predictTolerance)
		c.near(t, "predictions without passes", fmt.Sprintf("prediction %d without passes", i), plain[i],
			want[fmt.Sprintf("predict%d", i)], 0, predictTolerance)
	}
	for _, p := range m.Params() {
		clear(p.Value)
	}
	if err := format.LoadWeights(t.Context(), name+".weights.h5", m); err != nil {
		t.Fatal(err)
	}
	if again := c.predict(t, m, want); !slices.EqualFunc(again, got, slices.Equal) {
		t.Error("the file of weights gives other predictions than the model")
	}
	if e.Trained {
		c.train(t, m, e, want)
	}
	extension := "keras"
	if e.Number%2 == 0 && !e.severalAxes() {
		extension = "h5"
	}
	if err := format.Save(filepath.Join(c.dir, fmt.Sprintf("back_%03d.%s", e.Number, extension)), m); err != nil {
		t.Fatal(err)
	}
	c.ours[e.Number] = c.predict(t, m, want)
}

// predict returns the outputs for the inputs in the arrays, with all optimization passes but those named.
func (c *comparison) predict(t *testing.T, m *nn.Model, in map[string][]float32, without ...string) [][]float32 {
	t.Helper()
	plan, err := m.Compile(c.manifest.Batch, nn.Options{Threads: 2, Without: without})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	c.forward(t, plan, m, in, false)
	var out [][]float32
	for i := range m.Outputs() {
		out = append(out, slices.Clone(plan.Output(i)))
	}
	return out
}

func (c *comparison) forward(t *testing.T, plan *nn.Plan, m *nn.Model, in map[string][]float32, training bool) {
	t.Helper()
	for i := range m.Inputs() {
		copy(plan.Input(i), in[fmt.Sprintf("x%d", i)])
	}
	if err := plan.Forward(c.manifest.Batch, training, 0); err != nil {
		t.Fatal(err)
	}
}

// train compares the loss and the gradients of one step, and the weights after all of them.
func (c *comparison) train(t *testing.T, m *nn.Model, e entry, want map[string][]float32) {
	plan, err := m.Compile(c.manifest.Batch, nn.Options{Training: true, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	optimizer := train.New(m, &train.Adam{Beta1: .9, Beta2: .999, Epsilon: c.manifest.Epsilon}, c.manifest.Rate)
	for step := range c.manifest.Steps {
		c.forward(t, plan, m, want, true)
		sum := plan.Penalty()
		for i, kind := range e.Losses {
			sum += loss(kind, plan.Output(i), want[fmt.Sprintf("y%d", i)], plan.OutputGrad(i), c.manifest.Batch)
		}
		plan.Backward()
		if step == 0 {
			c.near(t, "loss", "loss", []float32{float32(sum)}, want["loss"], 0, predictTolerance)
			largest := 0.
			for _, p := range m.Params() {
				largest = max(largest, size(want["grad/"+p.Name]))
			}
			for _, p := range m.Params() {
				if p.Trainable {
					c.near(t, "gradients", "gradient of "+p.Name, plan.Grad(p), want["grad/"+p.Name], largest, gradTolerance)
				}
			}
		}
		optimizer.Step(plan)
		m.Constrain()
	}
	for _, p := range m.Params() {
		c.near(t, "weights", p.Name+" after training", p.Value, want["after/"+p.Name], 1, weightTolerance)
	}
}

// severalAxes reports a layer that may have a list of axes, which Keras 3.15 cannot read from .h5 files, its own
// included, and which we do not write there.
func (e entry) severalAxes() bool {
	for _, l := range e.Layers {
		if (l.Class == "LayerNormalization" || l.Class == "Softmax") && slices.Contains(l.Options, "axis") {
			return true
		}
	}
	return false
}

// loss is Keras's loss of that name, the mean over the batch, with its derivative by the output.
func loss(kind string, out, want, grad []float32, batch int) (sum float64) {
	if kind == "mse" {
		n := float64(len(out))
		for i, v := range out {
			d := float64(v) - float64(want[i])
			sum += d * d / n
			grad[i] = float32(2 * d / n)
		}
		return sum
	}
	for i, v := range out {
		sum -= float64(want[i]) * math.Log(float64(v)) / float64(batch)
		grad[i] = -want[i] / (v * float32(batch))
	}
	return sum
}

// back compares what Keras predicts with the model that we wrote.
func (c *comparison) back(t *testing.T, e entry) {
	got := arrays(t, filepath.Join(c.dir, fmt.Sprintf("back_%03d.npz", e.Number)))
	if len(got) == 0 {
		t.Fatal("we wrote no file")
	}
	for name, v := range got {
		i, err := strconv.Atoi(strings.TrimLeft(name, "keras"))
		if err != nil {
			i, err = strconv.Atoi(strings.TrimPrefix(name, "h5"))
		}
		if err != nil {
			t.Fatal(err)
		}
		c.near(t, "way back", name, v, c.ours[e.Number][i], 0, predictTolerance)
	}
}

// size is the largest absolute value.
func size(x []float32) (most float64) {
	for _, v := range x {
		most = max(most, math.Abs(float64(v)))
	}
	return most
}

// near wants every difference within tolerance of the largest number, or of least where that is larger.
func (c *comparison) near(t *testing.T, kind, what string, got, want []float32, least, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: got %d numbers, want %d", what, len(got), len(want))
	}
	scale, worst, at := max(size(want), least, 1e-6), 0., 0
	for i := range got {
		if d := math.Abs(float64(got[i])-float64(want[i])) / scale; !(d <= worst) {
			worst, at = d, i
		}
	}
	c.worst[kind] = append(c.worst[kind], worst)
	if !(worst <= tolerance) {
		t.Errorf("%s: number %d of %d: got %g, want %g: %.2g of the largest, allowed %.2g", what, at, len(got),
			got[at], want[at], worst, tolerance)
	}
}
