package train

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/nn/zoo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// blobs are rows around one of three points in five dimensions: easy to tell apart.
func blobs(rows int) *Data {
	r := rand.New(rand.NewPCG(1, 2))
	d := &Data{}
	for range rows {
		label := int32(r.IntN(3))
		for i := range int32(5) {
			x := .4 * r.NormFloat64()
			if i == label {
				x += 2
			}
			d.X = append(d.X, float32(x))
		}
		d.Labels = append(d.Labels, label)
	}
	return d
}

func perceptron() *nn.Model {
	m := must(nn.Sequential("", nn.Shape{5}, layers.NewDense(8, "relu"), layers.NewDropout(.1),
		layers.NewDense(3, "softmax")))
	m.Init(3)
	return m
}

func TestCrossentropy(t *testing.T) {
	probabilities := []float32{.2, .7, .1, 1, 0, 0, .3, .3, .4}
	grad := slices.Repeat([]float32{9}, 9)
	o := &objective{Loss: &CategoricalCrossentropy{}, outputs: 3, truth: make([]float32, 3)}
	loss, correct := o.batch(outputs{y: probabilities, grad: grad},
		&Batch{Labels: []int32{1, 1, 0}, Weights: []float32{1, 1, 1}})
	// The second row's class has probability zero, which counts as 1e-7.
	if want := -math.Log(.7) - math.Log(1e-7) - math.Log(.3); math.Abs(loss-want) > 1e-6 || correct != 1 {
		t.Errorf("got loss %v with %d correct, want %v with 1", loss, correct, want)
	}
	for i, want := range []float64{1. / 3, (1 - 1/.7) / 3, 1. / 3, 0, 0, 0, (1 - 1/.3) / 3, 1. / 3, 1. / 3} {
		if math.Abs(float64(grad[i])-want) > 1e-5*math.Abs(want) {
			t.Errorf("derivative %d: got %v, want %v", i, grad[i], want)
		}
	}
	// Where a softmax made them, the least probability still has a gradient.
	o.Loss = &CategoricalCrossentropy{softmax: true}
	if loss := o.row(outputs{y: []float32{1, 1e-20, 0}, grad: grad[:3]}, 0,
		1, Mixed{}); math.Abs(loss-20*math.Ln10) > 1e-6 || grad[1] > -9e19 {
		t.Errorf("got loss %v with derivatives %v of a probability of 1e-20", loss, grad[:3])
	}
	if loss := o.row(outputs{y: []float32{float32(math.NaN()), 1, 0}}, 0, 0, Mixed{}); !math.IsNaN(loss) {
		t.Errorf("got loss %v of NaN", loss)
	}
}

func TestToCategorical(t *testing.T) {
	got := must(ToCategorical([]int32{2, 0}, 3))
	if want := []float32{0, 0, 1, 1, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := ToCategorical([]int32{0, 3}, 3); err == nil || !strings.Contains(err.Error(), "row 1") {
		t.Errorf("got error %v, want one that names row 1", err)
	}
}

// TestOptimizers follows one weight, of gradient 2, by hand: y = w x with x = 2 and the derivative 1 of the loss by y.
func TestOptimizers(t *testing.T) {
	nesterov := func(m *nn.Model) *Optimizer { return New(m, &SGD{Momentum: .5, Nesterov: true}, .1) }
	for name, c := range map[string]struct {
		make func(*nn.Model) *Optimizer
		want []float32
	}{
		"sgd":      {func(m *nn.Model) *Optimizer { return NewSGD(m, .1, 0) }, []float32{.8, .6, .4}},
		"momentum": {func(m *nn.Model) *Optimizer { return NewSGD(m, .1, .5) }, []float32{.8, .5, .15}}, // moves by .2, .3, .35
		"nesterov": {nesterov, []float32{.7, .35, -.025}},
		// moves by .3, .35, .375
		"adam": {func(m *nn.Model) *Optimizer { return NewAdam(m, .1) }, []float32{.9, .8, .7}},
		// a steady gradient moves by the rate
	} {
		dense := layers.NewDense(1, "")
		dense.UseBias = false
		m := must(nn.Sequential("", nn.Shape{1}, dense))
		dense.Params[0].Value[0] = 1
		plan := must(m.Compile(1, nn.Options{Training: true}))
		o := c.make(m)
		for i, want := range c.want {
			plan.Input(0)[0] = 2
			if err := plan.Forward(1, true, 0); err != nil {
				t.Fatal(err)
			}
			plan.OutputGrad(0)[0] = 1
			plan.Backward()
			o.Step(plan)
			if got := dense.Params[0].Value[0]; math.Abs(float64(got-want)) > 5e-6 {
				t.Errorf("%s: step %d: got %v, want %v", name, i+1, got, want)
			}
		}
		plan.Close()
	}
}

func TestFitLearns(t *testing.T) {
	d := blobs(400)
	for _, o := range []func(*nn.Model) *Optimizer{
		func(m *nn.Model) *Optimizer { return NewAdam(m, .01) },
		func(m *nn.Model) *Optimizer { return NewSGD(m, .1, .9) },
	} {
		m := perceptron()
		h, err := Fit(t.Context(), m, d, Options{
			Epochs: 12, BatchSize: 32, ValidationSplit: .25, Shuffle: true,
			Optimizer: o(m),
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(h.Loss) != 12 || len(h.ValAccuracy) != 12 {
			t.Fatalf("got a history of %d and %d epochs, want 12", len(h.Loss), len(h.ValAccuracy))
		}
		if last := h.ValAccuracy[11]; last < .95 || h.Loss[11] > h.Loss[0]/2 {
			t.Errorf("got accuracy %v, loss from %v to %v", last, h.Loss[0], h.Loss[11])
		}
		right := 0
		e := must(Evaluate(t.Context(), m, d.Slice(300, 400), EvaluateOptions{
			Threads: 1, Row: func(row, class int, confidence float64) {
				if confidence < .5 || confidence > 1 {
					t.Errorf("row %d: found confidence %v in one of two classes", row, confidence)
				}
				if class == int(d.Labels[300+row]) {
					right++
				}
			},
		}))
		if e.Accuracy != h.ValAccuracy[11] || e.Loss != h.ValLoss[11] || e.Rows != 100 {
			t.Errorf("evaluation says %+v, the history %v and %v", e, h.ValAccuracy[11], h.ValLoss[11])
		}
		if float64(right)/100 != e.Accuracy {
			t.Errorf("%d rows are correct, the accuracy is %v", right, e.Accuracy)
		}
	}
}

// TestFitIsReproducible wants the same weights from a seed whatever the number of threads, and others from another
// seed.
func TestFitIsReproducible(t *testing.T) {
	run := func(threads int, seed uint64) []float32 {
		m := perceptron()
		o := Options{Epochs: 2, BatchSize: 16, LearningRate: .01, Shuffle: true, Seed: seed, Threads: threads}
		if _, err := Fit(t.Context(), m, blobs(100), o); err != nil {
			t.Fatal(err)
		}
		return m.Params()[0].Value
	}
	want := run(1, 7)
	for _, threads := range []int{2, 3, 5} {
		if got := run(threads, 7); !slices.Equal(got, want) {
			t.Errorf("%d threads: weights differ", threads)
		}
	}
	if slices.Equal(run(1, 8), want) {
		t.Error("another seed gives the same weights")
	}
}

// TestPaletteIsTheSame trains on indices and on the colours that they stand for.
func TestPaletteIsTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	palette := &nn.Palette{Channels: 3, Colours: make([]float32, 256*3)}
	for i := range palette.Colours {
		palette.Colours[i] = r.Float32()
	}
	const rows, cells = 12, 8 * 8 * 8
	indices, floats := &Data{Palette: palette}, &Data{}
	for i := range rows * cells {
		index := uint8(0)
		if r.IntN(5) == 0 {
			index = uint8(r.IntN(256))
		}
		indices.Index = append(indices.Index, index)
		floats.X = append(floats.X, palette.Colours[int(index)*3:int(index)*3+3]...)
		if i < rows {
			indices.Labels = append(indices.Labels, int32(i%3))
		}
	}
	floats.Labels = indices.Labels
	var losses [][]float64
	for _, d := range []*Data{indices, floats} {
		m := must(nn.Sequential("", nn.Shape{8, 8, 8, 3}, layers.NewConv3D(4, 3, "relu"), layers.NewMaxPooling3D(2),
			layers.NewFlatten(),
			layers.NewDense(3, "softmax")))
		m.Init(1)
		h, err := Fit(t.Context(), m, d, Options{Epochs: 3, BatchSize: 5, LearningRate: .01, ValidationSplit: .25})
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, append(h.Loss, h.ValLoss...))
	}
	for i, want := range losses[1] {
		if math.Abs(losses[0][i]-want) > 1e-4 {
			t.Errorf("loss %d: got %v from indices, %v from floats", i, losses[0][i], want)
		}
	}
}

func TestKeepBest(t *testing.T) {
	d := blobs(120)
	m := perceptron()
	h, err := Fit(t.Context(), m, d, Options{
		Epochs: 15, BatchSize: 8, ValidationSplit: .5,
		Optimizer: NewSGD(m, 2, .9), EarlyStopping: &EarlyStopping{Monitor: "val_accuracy", Restore: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	best := slices.Max(h.ValAccuracy)
	if best == h.ValAccuracy[14] {
		t.Fatalf("the last epoch is the best one, so this shows nothing: %v", h.ValAccuracy)
	}
	if e := must(Evaluate(t.Context(), m, d.Slice(60, 120), EvaluateOptions{Threads: 1})); e.Accuracy != best {
		t.Errorf("got a model of accuracy %v, the best epoch had %v", e.Accuracy, best)
	}
}

// TestKeepBestByAUC keeps the epoch with the largest area under the curve, which only a training that monitors it has.
func TestKeepBestByAUC(t *testing.T) {
	d := blobs(120)
	for i := range d.X {
		d.X[i] += 3 * float32(math.Sin(float64(i*i))) // so that classes overlap
	}
	m := perceptron()
	o := Options{
		Epochs: 15, BatchSize: 8, ValidationSplit: .5,
		Optimizer: NewSGD(m, .3, .9), EarlyStopping: &EarlyStopping{Monitor: "val_auc", Restore: true},
	}
	h, err := Fit(t.Context(), m, d, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(h.ValAUC) != 15 {
		t.Fatalf("found the area under the curve of %d epochs, want 15", len(h.ValAUC))
	}
	best := slices.Max(h.ValAUC)
	if best == h.ValAUC[14] || best == slices.Min(h.ValAUC) {
		t.Fatalf("the last epoch is the best one, so this shows nothing: %v", h.ValAUC)
	}
	e := must(Evaluate(t.Context(), m, d.Slice(60, 120), EvaluateOptions{Threads: 1, AUC: true}))
	if e.AUC != best || h.ValAUC[h.BestEpoch-1] != best {
		t.Errorf("found a model of area %v and best epoch %d, want %v of %v", e.AUC, h.BestEpoch, best, h.ValAUC)
	}
	m = perceptron()
	o.Optimizer, o.EarlyStopping.Monitor = NewSGD(m, .3, .9), "val_accuracy"
	if h, err = Fit(t.Context(), m, d, o); err != nil || h.ValAUC != nil {
		t.Errorf("found %v, %v, want no area under the curve", h.ValAUC, err)
	}
}

func TestDivergenceIsReported(t *testing.T) {
	d := blobs(20)
	d.X[9*5+2] = float32(math.NaN())
	_, err := Fit(t.Context(), perceptron(), d, Options{Epochs: 1, BatchSize: 4, LearningRate: .01})
	if !errors.Is(err, ErrDiverged) {
		t.Fatalf("got error %v, want ErrDiverged", err)
	}
	for _, part := range []string{"epoch 1", "step 2", `"dense`, "0.01"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not contain %q", err, part)
		}
	}
}

func TestCancelEndsAfterAStep(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	steps := 0
	h, err := Fit(ctx, perceptron(), blobs(40), Options{
		Epochs: 3, BatchSize: 10, LearningRate: .01,
		Progress: func(p Progress) error {
			if !p.Done {
				steps++
			}
			if steps == 6 {
				cancel()
			}
			return nil
		},
	})
	if !errors.Is(err, context.Canceled) || steps != 6 || len(h.Loss) != 1 {
		t.Errorf("got error %v after %d steps and a history of %d epochs, want a cancelled one, 6 and 1", err,
			steps, len(h.Loss))
	}
}

func TestDataIsRefused(t *testing.T) {
	good, m := blobs(10), perceptron()
	two := nn.Input("", nn.Shape{5})
	other := must(nn.Apply(layers.NewDense(3, ""), two))
	graph := must(nn.Functional("", []*nn.Node{two}, []*nn.Node{other, other}))
	for want, c := range map[string]struct {
		m *nn.Model
		d *Data
		o Options
	}{
		"no samples":           {m, &Data{}, Options{Epochs: 1, BatchSize: 1}},
		"49 values":            {m, &Data{X: good.X[:49], Labels: good.Labels}, Options{Epochs: 1, BatchSize: 1}},
		"label 3":              {m, &Data{X: good.X[:5], Labels: []int32{3}}, Options{Epochs: 1, BatchSize: 1}},
		"label -1":             {m, &Data{X: good.X[:5], Labels: []int32{-1}}, Options{Epochs: 1, BatchSize: 1}},
		"0 epochs":             {m, good, Options{BatchSize: 1}},
		"leaves no rows":       {m, good, Options{Epochs: 1, BatchSize: 1, ValidationSplit: .95}},
		"validation split 1":   {m, good, Options{Epochs: 1, BatchSize: 1, ValidationSplit: 1}},
		"one input and one ou": {graph, good, Options{Epochs: 1, BatchSize: 1}},
	} {
		if _, err := Fit(t.Context(), c.m, c.d, c.o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %q", err, want)
		}
	}
}

// TestPredictBatches wants the rows of one long prediction from many short ones.
func TestPredictBatches(t *testing.T) {
	m := must(zoo.New("tutorial", nn.Shape{10, 10, 10, 1}, 4))
	m.Init(1)
	r := rand.New(rand.NewPCG(1, 2))
	const rows, size = evaluationBatch + 3, 1000
	d := &Data{Labels: make([]int32, rows)}
	for range rows * size {
		d.X = append(d.X, r.Float32())
	}
	all := must(Predict(t.Context(), m, d, 2))
	if len(all) != rows*4 {
		t.Fatalf("got %d numbers, want %d", len(all), rows*4)
	}
	for _, lo := range []int{0, 77, evaluationBatch - 1, rows - 1} {
		if got := must(Predict(t.Context(), m, d.Slice(lo, lo+1), 1)); !slices.Equal(got, all[lo*4:(lo+1)*4]) {
			t.Errorf("row %d: got %v alone, %v among others", lo, got, all[lo*4:(lo+1)*4])
		}
	}
}

// TestEvaluation works out all figures of five rows by hand.
func TestEvaluation(t *testing.T) {
	m := must(nn.Sequential("", nn.Shape{3}, layers.NewActivation("linear")))
	d := &Data{
		X:      []float32{.75, .25, 0, .625, .25, .125, .25, .75, 0, 0, .375, .625, .125, .125, .75},
		Labels: []int32{0, 1, 1, 1, 2},
	}
	e := must(Evaluate(t.Context(), m, d, EvaluateOptions{Threads: 1}))
	if want := [][]int{{1, 0, 0}, {1, 1, 1}, {0, 0, 1}}; !slices.EqualFunc(e.Confusion, want, slices.Equal) {
		t.Errorf("got confusion %v, want %v", e.Confusion, want)
	}
	want := []ClassScore{
		{Class: 0, Rows: 1, Precision: .5, Recall: 1, F1: 2. / 3},
		{Class: 1, Rows: 3, Precision: 1, Recall: 1. / 3, F1: .5},
		{Class: 2, Rows: 1, Precision: .5, Recall: 1, F1: 2. / 3},
	}
	if !slices.Equal(e.PerClass, want) {
		t.Errorf("got scores %v, want %v", e.PerClass, want)
	}
	// Three rows of confidence .75, all right; two of .625, both wrong.
	if got, want := e.ECE, (3*.25+2*.625)/5; e.Accuracy != .6 || math.Abs(got-want) > 1e-12 {
		t.Errorf("got accuracy %v and calibration error %v, want .6 and %v", e.Accuracy, got, want)
	}
	if want := -(3*math.Log(.75) + math.Log(.25) + math.Log(.375)) / 5; math.Abs(e.Loss-want) > 1e-9 {
		t.Errorf("got loss %v, want %v", e.Loss, want)
	}
}
