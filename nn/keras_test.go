package nn_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sbinet/npyio/npz"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/nn/train"
)

// The files that these tests read are made by testdata/make_keras_goldens.py.

// golden reads arrays from one of them.
type golden struct {
	tb testing.TB
	z  *npz.Reader
}

func openGolden(tb testing.TB, name string, manifest any) golden {
	tb.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = f.Close() })
	info, err := f.Stat()
	if err != nil {
		tb.Fatal(err)
	}
	z, err := npz.NewReader(f, info.Size())
	if err != nil {
		tb.Fatal(err)
	}
	var text []uint8
	if err := z.Read("manifest.npy", &text); err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(text, manifest); err != nil {
		tb.Fatal(err)
	}
	return golden{tb, z}
}

// floats returns an array's values, row-major.
func (g golden) floats(name string) []float32 {
	g.tb.Helper()
	var v []float32
	if err := g.z.Read(name+".npy", &v); err != nil {
		g.tb.Fatalf("%s: %v", name, err)
	}
	return v
}

// near wants |got-want| <= tolerance (1 + |want|) everywhere.
func near(tb testing.TB, what string, got, want []float32, tolerance float64) {
	tb.Helper()
	if len(got) != len(want) {
		tb.Fatalf("%s: got %d numbers, want %d", what, len(got), len(want))
	}
	worst, at := -1.0, 0
	for i := range got {
		d := math.Abs(float64(got[i])-float64(want[i])) / (1 + math.Abs(float64(want[i])))
		if !(d <= worst) {
			worst, at = d, i
		}
	}
	if !(worst <= tolerance) {
		tb.Errorf("%s: number %d of %d: got %v, want %v (%.2g, allowed %.2g)", what, at, len(got), got[at],
			want[at], worst, tolerance)
	}
}

// layerCase is one entry of keras_layers.npz.
type layerCase struct {
	Prefix    string         `json:"prefix"`
	ClassName string         `json:"class_name"`
	Config    map[string]any `json:"config"`
	Inputs    [][]int        `json:"inputs"`
	Output    []int          `json:"output"`
	Weights   []string       `json:"weights"`
	Train     bool           `json:"train"`
}

// TestLayersAreThoseOfKeras compares each layer's output, the gradients of its weights and inputs, and what
// training does to its statistics, with all passes and with the reference operations alone.
func TestLayersAreThoseOfKeras(t *testing.T) {
	var cases []layerCase
	g := openGolden(t, "keras_layers.npz", &cases)
	tested := map[string]bool{}
	for _, c := range cases {
		if _, ok := layers.Classes[c.ClassName]; !ok {
			continue
		}
		tested[c.ClassName] = true
		for _, without := range [][]string{nil, {"all"}} {
			t.Run(fmt.Sprintf("%s%s/%v", c.Prefix, c.ClassName, without), func(t *testing.T) { compareLayer(t, g, c, without) })
		}
	}
	for class := range layers.Classes {
		if !tested[class] {
			t.Errorf("no golden case for layer %s", class)
		}
	}
}

func compareLayer(t *testing.T, g golden, c layerCase, without []string) {
	g.tb = t
	l, err := layers.FromConfig(c.ClassName, c.Config)
	if err != nil {
		t.Fatal(err)
	}
	// A layer in front of each input lets us see the input's gradient: it adds a bias of zero to each element,
	// whose gradient, summed over the samples, is that of the input.
	var inputs, probes []*nn.Node
	for i, s := range c.Inputs {
		in := nn.Input(fmt.Sprintf("in%d", i), s[1:])
		probe, err := nn.Apply(newProbe(fmt.Sprintf("probe%d", i)), in)
		if err != nil {
			t.Fatal(err)
		}
		inputs, probes = append(inputs, in), append(probes, probe)
	}
	out, err := nn.Apply(l, probes...)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint([]int(out.Shape)), fmt.Sprint(c.Output[1:]); got != want {
		t.Fatalf("got output shape %s, want %s", got, want)
	}
	m, err := nn.Functional("m", inputs, []*nn.Node{out})
	if err != nil {
		t.Fatal(err)
	}
	params := l.Base().Params
	if len(params) != len(c.Weights) {
		t.Fatalf("got %d parameters, want %v", len(params), c.Weights)
	}
	for i, p := range params {
		if want := "tested/" + c.Weights[i]; p.Name != want {
			t.Fatalf("parameter %d is %q, want %q", i, p.Name, want)
		}
		copy(p.Value, g.floats(c.Prefix+c.Weights[i]))
	}
	n := c.Inputs[0][0]
	plan, err := m.Compile(n, nn.Options{Training: true, Threads: 2, Without: without})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	for i := range inputs {
		copy(plan.Input(i), g.floats(fmt.Sprintf("%sx%d", c.Prefix, i)))
	}
	if err := plan.Forward(n, c.Train, 0); err != nil {
		t.Fatal(err)
	}
	near(t, "output", plan.Output(0), g.floats(c.Prefix+"y"), 1e-5)
	// The backward pass of batch normalization is that of training: with the moving statistics there is nothing to
	// train.
	if c.ClassName == "BatchNormalization" && !c.Train {
		return
	}
	copy(plan.OutputGrad(0), g.floats(c.Prefix+"dy"))
	plan.Backward()
	for i, p := range params {
		if p.Trainable {
			near(t, "gradient of "+c.Weights[i], plan.Grad(p), g.floats(c.Prefix+"d_"+c.Weights[i]), 2e-5)
		} else if c.Train {
			near(t, c.Weights[i]+" afterwards", p.Value, g.floats(c.Prefix+"after_"+c.Weights[i]), 1e-5)
		}
	}
	for i, probe := range probes {
		near(t, fmt.Sprintf("gradient of input %d", i), plan.Grad(probe.Layer.Base().Params[0]),
			sumSamples(g.floats(fmt.Sprintf("%sdx%d", c.Prefix, i)), n), 2e-5)
	}
}

// sumSamples adds up the samples of a batch.
func sumSamples(v []float32, n int) []float32 {
	out := make([]float32, len(v)/n)
	for i, x := range v {
		out[i%len(out)] += x
	}
	return out
}

// probe adds a parameter of the input's own shape.
type probe struct{ nn.LayerBase }

func newProbe(name string) *probe { return &probe{nn.LayerBase{Name: name}} }

func (p *probe) Class() string          { return "Probe" }
func (p *probe) Config() map[string]any { return nil }

func (p *probe) Build(in []nn.Shape) (nn.Shape, error) {
	p.AddParam("offset", nn.Weight{}, true, in[0]...)
	return in[0], nil
}

func (p *probe) Lower(l *nn.Lowering) { l.Emit(&offset{}, p.Out, p.Params...) }

// networkManifest is that of keras_network.npz and keras_fit.npz.
type networkManifest struct {
	Losses          []float64            `json:"losses"`
	Weights         []string             `json:"weights"`
	Config          kerasModel           `json:"config"`
	History         map[string][]float64 `json:"history"`
	BatchSize       int                  `json:"batch_size"`
	Epochs          int                  `json:"epochs"`
	ValidationSplit float64              `json:"validation_split"`
	LearningRate    float64              `json:"learning_rate"`
	Split           map[string][]int     `json:"split"`
}

// kerasModel is the JSON of a Sequential model.
type kerasModel struct {
	Config struct {
		Layers []struct {
			ClassName string         `json:"class_name"`
			Config    map[string]any `json:"config"`
		} `json:"layers"`
	} `json:"config"`
}

// build makes the model; package format/keras does it in full.
func (k kerasModel) build(t *testing.T) *nn.Model {
	t.Helper()
	var input nn.Shape
	var ls []nn.Layer
	for _, o := range k.Config.Layers {
		if o.ClassName == "InputLayer" {
			for _, d := range o.Config["batch_shape"].([]any)[1:] {
				input = append(input, int(d.(float64)))
			}
			continue
		}
		l, err := layers.FromConfig(o.ClassName, o.Config)
		if err != nil {
			t.Fatal(err)
		}
		ls = append(ls, l)
	}
	m, err := nn.Sequential("", input, ls...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// set gives the model the weights under a prefix.
func (g golden) set(m *nn.Model, prefix string, names []string) {
	for i, p := range m.Params() {
		if p.Name != names[i] {
			g.tb.Fatalf("parameter %d is %q, want %q", i, p.Name, names[i])
		}
		copy(p.Value, g.floats(prefix+p.Name))
	}
}

// labelsOf turns one-hot rows into classes.
func labelsOf(y []float32, classes int) []int32 {
	labels := make([]int32, len(y)/classes)
	for i := range labels {
		labels[i] = int32(train.ArgMax(y[i*classes : (i+1)*classes]))
	}
	return labels
}

// TestTrainingIsThatOfKeras runs five steps of Adam on one batch: loss, gradients, weights and predictions.
func TestTrainingIsThatOfKeras(t *testing.T) {
	var manifest networkManifest
	g := openGolden(t, "keras_network.npz", &manifest)
	x, labels := g.floats("x"), labelsOf(g.floats("y"), 4)
	n := len(labels)
	for _, without := range [][]string{nil, {"all"}} {
		t.Run(fmt.Sprint(without), func(t *testing.T) {
			g.tb = t
			m := manifest.Config.build(t)
			g.set(m, "before/", manifest.Weights)
			data := &train.Data{X: x, Labels: labels}
			predictions, err := train.Predict(t.Context(), m, data, 2)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "prediction", predictions, g.floats("predict"), 1e-5)

			plan, err := m.Compile(n, nn.Options{Training: true, Threads: 2, Without: without})
			if err != nil {
				t.Fatal(err)
			}
			defer plan.Close()
			copy(plan.Input(0), x)
			if err := plan.Forward(n, true, 0); err != nil {
				t.Fatal(err)
			}
			grad := plan.OutputGrad(0)
			clear(grad)
			for i, label := range labels {
				at := i*4 + int(label)
				grad[at] = -1 / (plan.Output(0)[at] * float32(n))
			}
			plan.Backward()
			for _, p := range m.Params() {
				if p.Trainable {
					near(t, "gradient of "+p.Name, plan.Grad(p), g.floats("grad/"+p.Name), 2e-5)
				}
			}

			// The same through Fit: an epoch is one step.
			for _, steps := range []int{1, 5} {
				g.set(m, "before/", manifest.Weights)
				o := train.Options{Epochs: steps, BatchSize: n, LearningRate: 1e-3, Threads: 2, Without: without}
				history, err := train.Fit(context.Background(), m, data, o)
				if err != nil {
					t.Fatal(err)
				}
				for i, loss := range history.Loss {
					near(t, fmt.Sprintf("loss of step %d", i+1), []float32{float32(loss)}, []float32{float32(manifest.Losses[i])}, 1e-4)
				}
				for _, p := range m.Params() {
					want := g.floats(fmt.Sprintf("after%d/%s", steps, p.Name))
					got := slices.Clone(p.Value)
					if p.Trainable {
						// Adam divides a gradient by its own size: where that is zero but for rounding, the step is
						// a matter of chance.
						for j, d := range g.floats("grad/" + p.Name) {
							if math.Abs(float64(d)) < 1e-6 {
								got[j] = want[j]
							}
						}
					}
					near(t, fmt.Sprintf("%s after %d steps", p.Name, steps), got, want, 1e-4)
				}
			}
		})
	}
}

// TestFitIsThatOfKeras compares history and weights of epochs with an incomplete last batch and rows held back for
// validation.
func TestFitIsThatOfKeras(t *testing.T) {
	var manifest networkManifest
	g := openGolden(t, "keras_fit.npz", &manifest)
	m := manifest.Config.build(t)
	g.set(m, "before/", manifest.Weights)
	data := &train.Data{X: g.floats("x"), Labels: labelsOf(g.floats("y"), 3)}
	history, err := train.Fit(t.Context(), m, data, train.Options{
		Epochs: manifest.Epochs, BatchSize: manifest.BatchSize, ValidationSplit: manifest.ValidationSplit,
		LearningRate: manifest.LearningRate,
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]float64{
		"loss": history.Loss, "accuracy": history.Accuracy, "val_loss": history.ValLoss, "val_accuracy": history.ValAccuracy,
	} {
		want := manifest.History[name]
		if len(got) != len(want) {
			t.Fatalf("%s: got %v, want %v", name, got, want)
		}
		for i := range got {
			near(t, fmt.Sprintf("%s of epoch %d", name, i+1), []float32{float32(got[i])}, []float32{float32(want[i])}, 1e-5)
		}
	}
	for _, p := range m.Params() {
		near(t, p.Name, p.Value, g.floats("after/"+p.Name), 1e-5)
	}
}

// TestValidationSplitIsThatOfKeras counts the rows that are trained on.
func TestValidationSplitIsThatOfKeras(t *testing.T) {
	var manifest networkManifest
	openGolden(t, "keras_fit.npz", &manifest)
	for text, want := range manifest.Split {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		for i, split := range []float64{.1, .2, .25, .3, .5} {
			m, err := nn.Sequential("", nn.Shape{1}, layers.NewDense(2, "softmax"))
			if err != nil {
				t.Fatal(err)
			}
			rows := 0
			_, err = train.Fit(t.Context(), m, &train.Data{X: make([]float32, n), Labels: make([]int32, n)}, train.Options{
				Epochs: 1, BatchSize: 1000, ValidationSplit: split, LearningRate: .1, Progress: func(p train.Progress) error {
					rows = p.Rows
					return nil
				},
			})
			if err != nil || rows != want[i] {
				t.Errorf("%d rows, split %g: got %d rows to train on (%v), want %d", n, split, rows, err, want[i])
			}
		}
	}
}

// TestErrorsNameTheLayer is what a user sees of a layer that is refused.
func TestErrorsNameTheLayer(t *testing.T) {
	for _, c := range []struct {
		class  string
		config map[string]any
		want   string
	}{
		{"LSTM", map[string]any{"name": "memory"}, `layer "memory": class "LSTM"`},
		{"Dense", map[string]any{"name": "d", "units": 2., "colour": "red"}, `layer "d" (Dense): attributes ["colour"]`},
		{"Dense", map[string]any{"name": "d", "units": "many"}, `layer "d" (Dense): attribute units`},
		{"Dense", map[string]any{"name": "d", "units": 2.5}, `layer "d" (Dense): attribute units`},
		{"Conv3D", map[string]any{"name": "c", "data_format": "channels_first"}, `layer "c" (Conv3D): attribute data_format`},
		{"Dense", map[string]any{"name": "d", "units": 2., "activation": "maxout"}, `layer "d" (Dense): attribute activation`},
	} {
		_, err := layers.FromConfig(c.class, c.config)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v: got %v, want %s", c.class, c.config, err, c.want)
		}
	}
}

// offset is the operation of a probe.
type offset struct{}

func (*offset) Forward(e *ir.Env[float32]) {
	size := len(e.P[0])
	for i, x := range e.X[0] {
		e.Y[i] = x + e.P[0][i%size]
	}
}

func (*offset) Backward(e *ir.Env[float32]) {
	for i, d := range e.DY {
		e.DP[0][i%len(e.DP[0])] += d
	}
}
