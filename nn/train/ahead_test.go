package train

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
)

// varied adds noise to the rows of some data, and mixes every third row with the one before.
type varied struct {
	*Data
	trained int
	failAt  int // the epoch in which rows fail
}

func (v varied) ReadEpoch(epoch, row, trained int, b *Batch) error {
	if epoch == v.failAt {
		return errors.New("no row")
	}
	if row >= trained || trained != v.trained {
		return errors.New("found a row that is not trained on")
	}
	if err := v.Read(row, b); err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(uint64(epoch), uint64(row)))
	for i := range b.X {
		b.X[i] += float32(r.NormFloat64()) / 5
	}
	if row%3 == 1 {
		b.Mixed[0] = Mixed{v.Labels[row-1], r.Float32()}
	}
	return nil
}

// TestFitVaried checks that the weights do not depend on the number of threads, nor on a break in the middle of an
// epoch, and that rows for validation stay as they are.
func TestFitVaried(t *testing.T) {
	dir := t.TempDir()
	options := func(m *nn.Model, threads int, path string) Options {
		o := everything(m)
		o.Epochs, o.BatchSize, o.ValidationSplit, o.Threads = 3, 8, .2, threads
		o.Checkpoint.Path, o.Checkpoint.Resume, o.Augmentation = filepath.Join(dir, path), true, "noise"
		return o
	}
	rows := varied{blobs(100), 80, 0}
	fit := func(threads int, path string, d Rows) (*nn.Model, *History) {
		m := perceptron()
		return m, must(Fit(t.Context(), m, d, options(m, threads, path)))
	}
	want, history := fit(1, "one", rows)
	if history.Augmentation != "noise" || len(history.ValLoss) != 3 {
		t.Errorf("found the history %+v", history)
	}
	if plain, _ := fit(1, "plain", rows.Data); slices.Equal(weights(plain), weights(want)) {
		t.Error("the noise has no effect")
	}
	if again, _ := fit(5, "five", rows); !slices.Equal(weights(again), weights(want)) {
		t.Error("five threads give other weights than one")
	}
	ctx, cancel := context.WithCancel(t.Context())
	broken := perceptron()
	o := options(broken, 2, "broken")
	o.Progress = func(p Progress) error {
		if p.Epoch == 2 && p.Row == 24 {
			cancel()
		}
		return nil
	}
	if _, err := Fit(ctx, broken, rows, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("found %v, want an interrupt", err)
	}
	m := perceptron()
	o = options(m, 2, "broken")
	o.Augmentation = "more noise"
	if _, err := Fit(t.Context(), m, rows, o); err == nil || !strings.Contains(err.Error(),
		"augmentation: the checkpoint has noise, this run has more noise") {
		t.Errorf("found %v", err)
	}
	if resumed, _ := fit(2, "broken", rows); !slices.Equal(weights(resumed), weights(want)) {
		t.Error("a resumed training gives other weights")
	}
	rows.failAt = 2
	o = options(perceptron(), 2, "failed")
	o.Optimizer = nil
	if _, err := Fit(t.Context(), perceptron(), rows, o); err == nil || !strings.Contains(err.Error(), "no row") {
		t.Errorf("found %v, want the error of a row", err)
	}
}

// TestMixedLabels compares a row with two labels with the rows of either label: loss and gradient are their means, with
// the shares as weights, and so is the weight of the classes.
func TestMixedLabels(t *testing.T) {
	y := []float32{.5, .3, .2}
	for name, l := range map[string]Loss{
		"cross-entropy": &CategoricalCrossentropy{}, "smoothed": &CategoricalCrossentropy{LabelSmoothing: .1},
	} {
		o := &objective{Loss: l, outputs: 3, truth: make([]float32, 3), classWeight: []float64{1, 1, 1}}
		loss := func(label int32, mixed []Mixed) (float64, []float32) {
			grad := make([]float32, 3)
			l, _ := o.batch(outputs{y: slices.Clone(y), grad: grad},
				&Batch{Labels: []int32{label}, Weights: []float32{1}, Mixed: mixed})
			return l, grad
		}
		l0, g0 := loss(0, nil)
		l2, g2 := loss(2, nil)
		found, g := loss(0, []Mixed{{2, .25}})
		if want := .75*l0 + .25*l2; !about(found, want) {
			t.Errorf("%s: found loss %g, want %g", name, found, want)
		}
		for i := range g {
			if want := .75*float64(g0[i]) + .25*float64(g2[i]); !about(float64(g[i]), want) {
				t.Errorf("%s: found derivative %g, want %g", name, g[i], want)
			}
		}
		o.classWeight = []float64{2, 1, 6}
		if weighted, _ := loss(0, []Mixed{{2, .25}}); !about(weighted, found*3) {
			t.Errorf("%s: found weighted loss %g, want %g", name, weighted, found*3)
		}
	}
	o := &objective{Loss: &CategoricalCrossentropy{}, outputs: 3}
	if err := o.check(&Batch{Labels: []int32{1}, Mixed: []Mixed{{3, .5}}}, 7); err == nil ||
		!strings.Contains(err.Error(), "row 7: found label 3") {
		t.Errorf("found %v", err)
	}
}

func about(a, b float64) bool { return a-b < 1e-5 && b-a < 1e-5 }
