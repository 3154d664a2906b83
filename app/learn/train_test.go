package learn

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/nn/format"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/app/files"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/voxelize"
)

// TestSpill compares rows kept in a file, because they exceed the memory limit, with the same rows in memory.
func TestSpill(t *testing.T) {
	for _, values := range []voxelize.Encoding{voxelize.PaletteIndices, "window:10:200"} {
		testSpill(t, values)
	}
}

func testSpill(t *testing.T, values voxelize.Encoding) {
	o := voxelize.DefaultOptions()
	o.Dims, o.Values = [3]int{4, 4, 4}, values
	in, err := classify.NewInput(o)
	if err != nil {
		t.Fatal(err)
	}
	content, rowBytes := voxelize.PaletteContent("Oranges"), int64(64)
	if in.Palette == nil {
		content, rowBytes = voxelize.ByteContent(1, 1, 0), 4*64
	}
	a := apptest.New(t)
	r := rand.New(rand.NewPCG(1, 2))
	var rows []voxelize.Volume
	for i := range 100 {
		v := voxelize.Volume{Label: int32(i % 7), Index: make([]uint8, 64), Dims: o.Dims, Content: content}
		for j := range v.Index {
			v.Index[j] = uint8(r.Uint32())
		}
		rows = append(rows, v)
	}
	keep := func(limit int64) *dataset {
		d := newDataset(a, in, nil)
		d.limit = limit
		for i := range rows {
			if err := d.add(&rows[i]); err != nil {
				t.Fatal(err)
			}
		}
		if d, err = finished(a, d, "rows"); err != nil {
			t.Fatal(err)
		}
		return d
	}
	memory, file := keep(1<<20), keep(rowBytes*10)
	if memory.file != nil || file.file == nil {
		t.Fatalf("found files %v and %v, want only the second", memory.file, file.file)
	}
	name := file.file.f.Name()
	for _, lo := range []int{0, 9, 10, 63} {
		read := func(d *dataset) *train.Batch {
			b := &train.Batch{Labels: make([]int32, 37), Weights: make([]float32, 37)}
			if in.Palette != nil {
				b.Index = make([]uint8, 37*64)
			} else {
				b.X = make([]float32, 37*64)
			}
			if err := d.rows().Read(lo, b); err != nil {
				t.Fatal(err)
			}
			return b
		}
		if got, want := read(file), read(memory); !reflect.DeepEqual(got, want) {
			t.Errorf("rows from %d differ", lo)
		}
	}
	first, err := file.rows().Digest()
	if err != nil {
		t.Fatal(err)
	}
	rows[50].Index[3]++
	other := keep(rowBytes * 10)
	if second, err := other.rows().Digest(); err != nil || first == second {
		t.Errorf("found digests %x and %x (%v), want different ones", first, second, err)
	}
	for _, d := range []*dataset{memory, file, other} {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(name); err == nil {
		t.Error("the temporary file still exists")
	}
}

// TestTrainConfig checks the effect of each configuration key.
func TestTrainConfig(t *testing.T) {
	m, err := nn.Sequential("", nn.Shape{2}, layers.NewDense(2, "softmax"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		set   func(*config.Train)
		class string
		want  map[string]any // Keras attributes
	}{
		"default": {func(*config.Train) {}, "Adam", map[string]any{
			"learning_rate": .001, "weight_decay": nil,
			"use_ema": false,
		}},
		"sgd": {
			func(c *config.Train) { c.Optimizer, c.Momentum, c.Nesterov = "sgd", .5, true }, "SGD",
			map[string]any{"momentum": .5, "nesterov": true},
		},
		"rmsprop": {
			func(c *config.Train) { c.Optimizer, c.Momentum, c.ClipValue = "rmsprop", .5, 2 }, "RMSprop",
			map[string]any{"momentum": .5, "rho": .9, "clipvalue": 2.},
		},
		"adamw": {func(c *config.Train) {
			c.Optimizer, c.WeightDecay, c.ClipGlobalNorm, c.EMAMomentum = "adamw", .1, 3, .9
		}, "AdamW", map[string]any{
			"weight_decay": .1, "global_clipnorm": 3., "use_ema": true, "ema_momentum": .9,
		}},
	} {
		settings := config.Default().Train
		c.set(&settings)
		o, err := trainOptions(&settings, m, 1000, false)
		if err != nil {
			t.Fatal(err)
		}
		got := o.Optimizer.Config()
		for k, v := range c.want {
			if got[k] != v || o.Optimizer.Rule.Class() != c.class {
				t.Errorf("%s: found %s with %s %v, want %s with %v", name, o.Optimizer.Rule.Class(), k, got[k], c.class,
					v)
			}
		}
	}
	rates := func(set func(*config.Train), steps ...int64) (out []float64) {
		c := config.Default().Train
		c.Epochs, c.LearningRate = 2, .5
		set(&c)
		if errs := c.Validate(); errs != nil {
			t.Fatal(errs)
		}
		o, err := trainOptions(&c, m, 1280, false) // 10 steps per epoch
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			out = append(out, o.Optimizer.Schedule.Rate(s))
		}
		return out
	}
	got := rates(func(c *config.Train) { c.Schedule, c.WarmUp = "cosine", 4 }, 0, 2, 4, 12, 20)
	if !near(got, 0, .25, .5, .25, 0) {
		t.Errorf("cosine: found %v", got)
	}
	got = rates(func(c *config.Train) { c.Schedule = "exponential" }, 0, 10, 20)
	if !near(got, .5, .45, .405) {
		t.Errorf("exponential: found %v", got)
	}
	got = rates(func(c *config.Train) { c.Schedule, c.Pieces = "piecewise", []string{"3:0.1", "5:0.01"} }, 3, 4, 6)
	if !near(got, .5, .1, .01) {
		t.Errorf("piecewise: found %v", got)
	}
	c := config.Default().Train
	c.Schedule, c.Patience, c.ValidationSplit = "plateau", 4, 0
	o, err := trainOptions(&c, m, 10, false)
	if err != nil || o.Plateau.Monitor != "loss" || o.Plateau.Factor != .1 || o.EarlyStopping.Patience != 4 ||
		!o.EarlyStopping.Restore {
		t.Errorf("found %+v, %+v (%v)", o.Plateau, o.EarlyStopping, err)
	}
	c.ClipNorm, c.ClipValue = 1, 1
	if _, err := trainOptions(&c, m, 10, false); !app.IsUsage(err) {
		t.Errorf("two kinds of gradient clipping: found error %v, want a usage error", err)
	}
	for _, pieces := range [][]string{{"x:1"}, {"3:0"}, {"3"}, {"5:1", "3:1"}, {"-1:1"}} {
		bad := config.Default().Train
		bad.Schedule, bad.Pieces = "piecewise", pieces
		if bad.Validate() == nil {
			t.Errorf("pieces %q: want an error", pieces)
		}
	}
}

// TestClassWeights parses class weights.
func TestClassWeights(t *testing.T) {
	m, err := nn.Sequential("", nn.Shape{2}, layers.NewDense(3, "softmax"))
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default().Train
	for text, want := range map[string][]float64{
		"none": nil, "balanced": nil, "0=1,2=2.5": {1, 1, 2.5},
		"1 = 0": {1, 0, 1},
	} {
		if err := c.ClassWeight.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if got, err := classWeight(&c, m); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: found %v (%v), want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "2", "a=1", "0=-1", "0=1,0=2", "0=NaN", "0=Inf", "-1=2"} {
		if err := c.ClassWeight.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: want an error", text)
		}
	}
	c.ClassWeight.Of = map[int]float64{3: 1}
	want := "class 3, but the model has classes 0 to 2"
	if _, err := classWeight(&c, m); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("found error %v, want it to contain %q", err, want)
	}
}

func near(got []float64, want ...float64) bool {
	return slices.EqualFunc(got, want, func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 })
}

// TestTrainFiles checks all files that training writes, and that invalid combinations of options are rejected.
func TestTrainFiles(t *testing.T) {
	apptest.NeedHDF5(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	a := apptest.New(t, "train.epochs", "3", "train.batch_size", "8", "train.patience", "2", "train.class_weight",
		"balanced", "train.loss", "categorical_focal_crossentropy")
	if _, err := files.Generate(t.Context(), a, files.GenerateOptions{
		Count: 20, Augment: true, Grid: 16,
		Layout: "vectors", Out: at("d.h5"),
	}); err != nil {
		t.Fatal(err)
	}
	o := TrainOptions{
		Out: at("m.safetensors"), Best: at("best.safetensors"), TensorBoard: at("runs"), Split: pairs,
		Classes: 10,
	}
	r, err := Train(t.Context(), a, []string{at("d.h5")}, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.BestEpoch < 1 || len(r.History.LearningRate) != r.Epochs {
		t.Errorf("found %+v", r)
	}
	best, err := os.ReadFile(at("best.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if last, err := os.ReadFile(at("m.safetensors")); err != nil ||
		!bytes.Equal(best, last) { // early stopping restores the best weights
		t.Error("the model differs from the best model", err)
	}
	for _, part := range []string{"train", "validation"} {
		if files, err := filepath.Glob(filepath.Join(at("runs"), part, "events.out.tfevents.*")); err != nil ||
			len(files) != 1 {
			t.Errorf("%s: found %v (%v)", part, files, err)
		}
	}
	settings, err := train.CheckpointSettings(at("m.safetensors.checkpoint"))
	if err != nil || settings["rows kept together"] != "2" || !strings.Contains(settings["loss"], "focal") {
		t.Errorf("found %v (%v)", settings, err)
	}
	for want, o := range map[string]TrainOptions{
		"requires --from-topic": {Out: at("x.h5"), Follow: true},
		"requires --classes":    {Out: at("x.h5"), Follow: true, FromTopic: true},
		"cannot balance":        {Out: at("x.h5"), Follow: true, FromTopic: true, Classes: 3},
		".txt":                  {Out: at("x.h5"), Best: at("x.txt")},
		".onnx":                 {Classes: 10},
	} {
		paths := []string{at("d.h5")}
		if o.FromTopic {
			paths = nil
		}
		if _, err := Train(t.Context(), a, paths, o); !app.IsUsage(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("found %v, want %s", err, want)
		}
	}
}

// TestPairs checks that data must consist of pairs.
func TestPairs(t *testing.T) {
	for _, c := range []struct {
		d  dataset
		ok bool
	}{
		{dataset{labels: []int32{1, 1, 3, 3}}, true},
		{dataset{labels: []int32{1, 1, 3}}, false},
		{dataset{labels: []int32{1, 3, 3, 1}}, false},
		{dataset{labels: []int32{1, 1}, bad: 1}, false},
		{dataset{labels: []int32{1, 1}, unlabelled: 2}, false},
	} {
		if err := c.d.paired(); (err == nil) != c.ok {
			t.Errorf("%v: found %v", c.d.labels, err)
		}
	}
}

// TestNoLabels says how files get labels if none of the rows has one.
func TestNoLabels(t *testing.T) {
	d := dataset{unlabelled: 3, files: []app.FileOutcome{{File: "x.npy", Status: app.FileSkipped}}}
	if err := d.empty("x.npy"); err == nil || !strings.Contains(err.Error(), "numpy.savez") {
		t.Errorf("found %v, want how a file gets labels", err)
	}
	if err := (&dataset{unlabelled: 3}).empty("topic"); err == nil || strings.Contains(err.Error(), "numpy") {
		t.Errorf("found %v, which is of no use for a topic", err)
	}
}

// TestTrainContinuesOptimizer trains in parts. Each part continues with the optimizer and state in the previous file.
func TestTrainContinuesOptimizer(t *testing.T) {
	apptest.NeedHDF5(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	common := []string{
		"train.epochs", "2", "train.batch_size", "8", "train.momentum", "0.5", "train.validation_split",
		"0",
	}
	const sparse = "sparse_categorical_crossentropy" // which Keras's fit needs for integer labels
	a := apptest.New(t, append(slices.Clone(common), "train.optimizer", "rmsprop", "train.loss", sparse)...)
	again := apptest.New(t, append(slices.Clone(common), "train.optimizer", string(config.OptimizerInit))...)
	if _, err := files.Generate(t.Context(), a, files.GenerateOptions{
		Count: 20, Grid: 16, Layout: "vectors",
		Out: at("d.h5"),
	}); err != nil {
		t.Fatal(err)
	}
	steps := int64(0)
	for _, o := range []TrainOptions{
		{Out: at("a.keras"), Classes: 10},
		{Out: at("b.h5"), Init: at("a.keras")},
		{Out: at("c.keras"), Init: at("b.h5")},
	} {
		if _, err := Train(t.Context(), a, []string{at("d.h5")}, o); err != nil {
			t.Fatal(err)
		}
		m, err := models.Load(t.Context(), o.Out, format.Options{})
		if err != nil {
			t.Fatal(err)
		}
		tr, err := format.LoadTraining(t.Context(), o.Out, m.Model)
		if err != nil {
			t.Fatal(err)
		}
		steps += 6 // two epochs of three steps
		if rule, ok := tr.Optimizer.Rule.(*train.RMSprop); !ok || rule.Momentum != .5 ||
			tr.Optimizer.Iterations != steps ||
			tr.Loss != sparse {
			t.Errorf("%s: found %+v after %d steps, loss %v, want %d steps", o.Out, tr.Optimizer.Rule,
				tr.Optimizer.Iterations,
				tr.Loss, steps)
		}
		a = again
	}
	if _, err := Train(t.Context(), again, []string{at("d.h5")}, TrainOptions{Out: at("x.keras")}); !app.IsUsage(err) {
		t.Errorf("without an initial model: found error %v, want a usage error", err)
	}
	if _, err := Train(t.Context(), again, []string{at("d.h5")}, TrainOptions{
		Out:  at("y.safetensors"),
		Init: at("missing.keras"),
	}); err == nil {
		t.Error("missing initial model: want an error")
	}
}

// TestTrainArchitecture: a JSON file with the architecture of a model starts with the weights of a new one.
func TestTrainArchitecture(t *testing.T) {
	apptest.NeedHDF5(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	a := apptest.New(t, "train.epochs", "1", "train.batch_size", "8", "voxelize.values", "palette")
	if _, err := files.Generate(t.Context(), a, files.GenerateOptions{
		Count: 20, Grid: 16, Layout: "vectors", Out: at("d.h5"),
	}); err != nil {
		t.Fatal(err)
	}
	trained := func(o TrainOptions) []*nn.Param {
		t.Helper()
		if _, err := Train(t.Context(), a, []string{at("d.h5")}, o); err != nil {
			t.Fatal(err)
		}
		m, err := models.Load(t.Context(), o.Out, format.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return m.Params()
	}
	want := trained(TrainOptions{Out: at("new.keras"), Classes: 10})
	z, err := zip.OpenReader(at("new.keras"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close() //nolint:errcheck // opened for reading
	text, err := fs.ReadFile(z, "config.json")
	if err == nil {
		err = os.WriteFile(at("architecture.json"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	got := trained(TrainOptions{Out: at("same.keras"), Init: at("architecture.json")})
	if !reflect.DeepEqual(got, want) {
		t.Error("found other weights than those of a new model")
	}
}

// TestTopicRanges checks the text form of topic ranges.
func TestTopicRanges(t *testing.T) {
	r := topicRanges{Topic: "volumes", From: []int64{0, 3}, To: []int64{7, 9}}
	var again topicRanges
	if err := json.Unmarshal([]byte(r.String()), &again); err != nil || !reflect.DeepEqual(again, r) {
		t.Errorf("found %+v (%v)", again, err)
	}
}

// TestFollowChecks checks that --follow changes the settings of the training but not the configuration.
func TestFollowChecks(t *testing.T) {
	a := apptest.New(t, "train.validation_split", "0.25")
	tr := &trainer{env: a, settings: a.Config.Train, o: TrainOptions{
		Out: "m.keras", FromTopic: true, Follow: true,
		Classes: 3,
	}}
	if err := tr.check(nil); err != nil {
		t.Fatal(err)
	}
	if tr.settings.ValidationSplit != 0 || tr.o.Checkpoint != "m.keras.checkpoint" {
		t.Errorf("found a validation split of %g and checkpoint %s", tr.settings.ValidationSplit, tr.o.Checkpoint)
	}
	if a.Config.Train.ValidationSplit != 0.25 {
		t.Errorf("the configuration was changed: found a validation split of %g, want 0.25",
			a.Config.Train.ValidationSplit)
	}
}

// TestTrainInterrupted checks that the weights are written if the context ends, with a result and ErrInterrupted.
func TestTrainInterrupted(t *testing.T) {
	apptest.NeedHDF5(t)
	at := func(dir string) func(string) string {
		return func(name string) string { return filepath.Join(dir, name) }
	}(t.TempDir())
	a := apptest.New(t, "train.epochs", "100", "train.batch_size", "8")
	if _, err := files.Generate(t.Context(), a, files.GenerateOptions{
		Count: 20, Grid: 16, Layout: "vectors",
		Out: at("d.h5"),
	}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	a.Progress = stopper{stop}
	r, err := Train(ctx, a, []string{at("d.h5")}, TrainOptions{Out: at("m.keras"), Classes: 10})
	if r == nil || !errors.Is(err, app.ErrInterrupted) || r.Epochs < 1 || r.Epochs > 99 {
		t.Fatalf("found %+v, %v, want an interruption after at least one epoch", r, err)
	}
	if _, err := models.Load(t.Context(), at("m.keras"), format.Options{}); err != nil {
		t.Error(err)
	}
	if r, err := Train(ctx, a, []string{at("d.h5")}, TrainOptions{Out: at("n.keras"), Classes: 10}); r != nil ||
		err == nil {
		t.Errorf("cancelled context: found %+v, %v, want only an error", r, err)
	}
}

// stopper cancels the training at the end of an epoch.
type stopper struct{ stop func() }

func (s stopper) Bar(string) app.Bar               { return s }
func (s stopper) Line(string)                      { s.stop() }
func (stopper) Set(done, total int64, note string) {}
func (stopper) Done()                              {}

// TestLossOfOneOutput checks that a model with a single output is trained on binary cross-entropy by default, because
// the categorical one is always 0.
func TestLossOfOneOutput(t *testing.T) {
	settings := config.Default().Train
	for outputs, want := range map[int]string{1: "binary_crossentropy", 2: "categorical_crossentropy"} {
		m, err := nn.Sequential("", nn.Shape{2}, layers.NewDense(outputs, "sigmoid"))
		if err != nil {
			t.Fatal(err)
		}
		o, err := trainOptions(&settings, m, 100, false)
		if err != nil || o.Loss.Name() != want {
			t.Errorf("%d outputs: found %v, %v, want %s", outputs, o.Loss, err, want)
		}
		focal := settings
		focal.Loss = "categorical_focal_crossentropy"
		if _, err := trainOptions(&focal, m, 100, false); (outputs == 1) != app.IsUsage(err) {
			t.Errorf("%d outputs, focal loss: found error %v", outputs, err)
		}
	}
}
