package parity

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/train"
)

// torchManifest is what torch_models.py says of the models that it made.
type torchManifest struct {
	Torch   string       `json:"torch"`
	Steps   int          `json:"steps"`
	Rate    float64      `json:"rate"`
	Epsilon float64      `json:"epsilon"`
	Batch   int          `json:"batch"`
	Models  []torchEntry `json:"models"`
}

// torchEntry is one model.
type torchEntry struct {
	Number   int    `json:"number"`
	Exporter string `json:"exporter"`
	// Trained models have nothing that draws random numbers, and no parameter that the exporter has folded into
	// another.
	Trained bool      `json:"trained"`
	Layers  []labeled `json:"layers"`
}

// TestTorch compares random models of PyTorch, which come over as ONNX files: what they predict and, where the file
// has each parameter by itself, how they train.
func TestTorch(t *testing.T) {
	dir := folder(t, "torch")
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if errors.Is(err, fs.ErrNotExist) {
		run(t, "VOXELSTREAM_TORCH", "torch_models.py", "make", dir, fmt.Sprint(onnxModels()), fmt.Sprint(seed))
		text, err = os.ReadFile(filepath.Join(dir, "manifest.json"))
	}
	if err != nil {
		t.Fatal(err)
	}
	c, all, trained := compareTorch(t, dir, text)
	c.reportTorch(t, all, trained)
}

// TestTorchGolden compares a few of them that lie here, made by torch_models.py make testdata/torch 8 5.
func TestTorchGolden(t *testing.T) {
	dir := filepath.Join("testdata", "torch")
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, all, trained := compareTorch(t, dir, text); trained < len(all.Models)/4 {
		t.Errorf("%d of %d models were trained, want a quarter or more", trained, len(all.Models))
	}
}

// compareTorch compares the models of a folder, of which text is the manifest. trained is how many have been
// trained too.
func compareTorch(t *testing.T, dir string, text []byte) (c *comparison, all *torchManifest, trained int) {
	t.Helper()
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	c = &comparison{worst: map[string][]float64{}}
	for _, e := range all.Models {
		t.Run(fmt.Sprint(e.Number), func(t *testing.T) {
			m, err := format.Load(t.Context(), filepath.Join(dir, fmt.Sprintf("%d.onnx", e.Number)))
			if err != nil {
				t.Fatal(err)
			}
			want := arrays(t, filepath.Join(dir, fmt.Sprintf("%d.npz", e.Number)))
			c.near(t, "predictions", "prediction", forward(t, m, want["x"], all.Batch), want["y"], 0, predictTolerance)
			if names := parameters(m, want); e.Trained && names != nil {
				trained++
				c.trainTorch(t, m, all, want, names)
			}
		})
	}
	return c, all, trained
}

// parameters finds the name that PyTorch has for each parameter of the model, by its values, which were drawn at
// random; nil where it has none for one.
func parameters(m *nn.Model, want map[string][]float32) map[*nn.Param]string {
	names := map[*nn.Param]string{}
	for _, p := range m.Params() {
		for name, v := range want {
			if start, ok := strings.CutPrefix(name, "start/"); ok && slices.Equal(v, p.Value) {
				names[p] = start
			}
		}
		if names[p] == "" {
			return nil
		}
	}
	return names
}

// trainTorch compares the loss and the gradients of one step, and the weights after all of them.
func (c *comparison) trainTorch(t *testing.T, m *nn.Model, all *torchManifest, want map[string][]float32,
	names map[*nn.Param]string,
) {
	plan, err := m.Compile(all.Batch, nn.Options{Training: true, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	// PyTorch divides by the root of the corrected mean square plus epsilon, Keras corrects the rate instead: its
	// epsilon has the correction in it.
	adam := &train.Adam{Beta1: .9, Beta2: .999}
	optimizer := train.New(m, adam, all.Rate)
	for step := range all.Steps {
		copy(plan.Input(0), want["x"])
		if err := plan.Forward(all.Batch, true, 0); err != nil {
			t.Fatal(err)
		}
		sum := logitLoss(plan.Output(0), want["target"], plan.OutputGrad(0))
		plan.Backward()
		if step == 0 {
			c.near(t, "loss", "loss", []float32{float32(sum)}, want["loss"], 0, predictTolerance)
			largest := 0.
			for _, name := range names {
				largest = max(largest, size(want["grad/"+name]))
			}
			for p, name := range names {
				if p.Trainable {
					c.near(t, "gradients", "gradient of "+name, plan.Grad(p), want["grad/"+name], largest, gradTolerance)
				}
			}
		}
		adam.Epsilon = all.Epsilon * math.Sqrt(1-math.Pow(adam.Beta2, float64(step+1)))
		optimizer.Step(plan)
	}
	for p, name := range names {
		c.near(t, "weights", name+" after training", p.Value, want["after/"+name], 1, weightTolerance)
	}
}

// logitLoss is the mean cross-entropy of a batch of logits, with its derivative.
func logitLoss(y, target, grad []float32) (sum float64) {
	batch := len(target)
	classes := len(y) / batch
	loss := &train.CategoricalCrossentropy{FromLogits: true}
	for i, class := range target {
		truth := make([]float32, classes)
		truth[int(class)] = 1
		sum += loss.Row(y[i*classes:][:classes], truth, grad[i*classes:][:classes]) / float64(batch)
	}
	for i := range grad {
		grad[i] /= float32(batch)
	}
	return sum
}

// reportTorch prints what was compared, and with -update writes it to the reference page.
func (c *comparison) reportTorch(t *testing.T, all *torchManifest, trained int) {
	var b strings.Builder
	var layers []labeled
	exporters := map[string]int{}
	for _, e := range all.Models {
		layers = append(layers, e.Layers...)
		exporters[e.Exporter]++
	}
	fmt.Fprintf(&b, "%d random models of PyTorch %s (exporter: %s). "+
		"%d of them are trained for %d steps of Adam on both sides. The others draw\n"+
		"random numbers, or their file has parameters in another form than PyTorch does, "+
		"such as a normalization that is folded into the\nconvolution before it.\n\n", len(all.Models), all.Torch, listed(exporters), trained, all.Steps)
	c.table(&b)
	coverage(&b, layers)
	fmt.Println(b.String())
	if *update && !t.Failed() {
		writeSection(t, "torch", b.String())
	}
}
