package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/voxelstream/voxelstream/nn"
)

// Options are those of Keras's fit, with its names.
type Options struct {
	Epochs    int
	BatchSize int
	// ValidationSplit is the share of the rows, the last ones before any shuffling, that is kept to validate: 0 up to, not including, 1.
	ValidationSplit float64
	// LearningRate is that of Adam, where no Optimizer is given.
	LearningRate float64
	Optimizer    *Optimizer
	Shuffle      bool
	// KeepBest gives the model, at the end, the weights of the epoch with the best validation accuracy (without validation: accuracy).
	KeepBest bool
	Seed     uint64
	Threads  int
	// Without switches optimisation passes off by name.
	Without []string
	// Progress, where set, is called after each step and after each epoch (Done).
	Progress func(Progress)
}

// Progress says where training is.
type Progress struct {
	Epoch, Epochs int // Epoch counts from 1
	Row, Rows     int
	Loss          float64
	Accuracy      float64
	// Done marks the end of an epoch; the validation figures are set where there is validation.
	Done                 bool
	ValLoss, ValAccuracy float64
	Elapsed              time.Duration
}

// History holds one figure an epoch, as Keras's history: running means over the epoch's batches, in training mode; the validation figures are
// those after the epoch, in inference mode.
type History struct {
	Loss        []float64 `json:"loss"`
	Accuracy    []float64 `json:"accuracy"`
	ValLoss     []float64 `json:"val_loss,omitempty"`
	ValAccuracy []float64 `json:"val_accuracy,omitempty"`
	// SamplesPerSecond is the rate of the training steps alone.
	SamplesPerSecond float64 `json:"-"`
}

// Fit trains the model on categorical cross-entropy, with Adam unless told otherwise. Cancelling ctx ends it after the step at hand, with the history so far.
func Fit(ctx context.Context, m *nn.Model, d *Data, o Options) (*History, error) {
	classes, err := classifier(m)
	if err != nil {
		return nil, err
	}
	if err := d.check(m, classes); err != nil {
		return nil, err
	}
	if o.Epochs < 1 || o.BatchSize < 1 || o.ValidationSplit < 0 || o.ValidationSplit >= 1 {
		return nil, fmt.Errorf("got %d epochs, batch size %d, validation split %g; want at least 1, at least 1, and 0 up to below 1", o.Epochs, o.BatchSize, o.ValidationSplit)
	}
	// Keras: split_at = floor(n * (1 - split)).
	rows := int(math.Floor(float64(d.Len()) * (1 - o.ValidationSplit)))
	if rows == 0 {
		return nil, fmt.Errorf("a validation split of %g leaves none of %d rows to train on", o.ValidationSplit, d.Len())
	}
	training, validation := d.Slice(0, rows), d.Slice(rows, d.Len())
	plan, err := m.Compile(min(o.BatchSize, rows), nn.Options{Training: true, Threads: o.Threads, Palette: d.Palette, Without: o.Without, Seed: o.Seed})
	if err != nil {
		return nil, err
	}
	defer plan.Close()
	if o.Optimizer == nil {
		o.Optimizer = NewAdam(m, o.LearningRate)
	}
	f := &fit{m: m, o: o, training: training, validation: validation, plan: plan, history: &History{}}
	return f.history, f.run(ctx)
}

// classifier returns the number of classes of a model with one output of one axis.
func classifier(m *nn.Model) (int, error) {
	if len(m.Inputs()) != 1 || len(m.Outputs()) != 1 || len(m.Outputs()[0].Shape) != 1 {
		return 0, fmt.Errorf("model %q: want one input and one output of one axis to train a classifier", m.Name)
	}
	return m.Outputs()[0].Shape[0], nil
}

type fit struct {
	m                    *nn.Model
	o                    Options
	training, validation *Data
	plan                 *nn.Plan
	history              *History
	step                 uint64
	busy                 time.Duration
	best                 float64
	kept                 [][]float32
	labels               []int32 // of the batch at hand
}

func (f *fit) run(ctx context.Context) error {
	order := make([]int, f.training.Len())
	for i := range order {
		order[i] = i
	}
	shuffle := rand.New(rand.NewPCG(f.o.Seed, 0x9e3779b97f4a7c15))
	start := time.Now()
	for epoch := 1; epoch <= f.o.Epochs; epoch++ {
		if f.o.Shuffle {
			shuffle.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		p := Progress{Epoch: epoch, Epochs: f.o.Epochs, Rows: len(order)}
		if err := f.epoch(ctx, order, &p); err != nil {
			return err
		}
		f.history.Loss, f.history.Accuracy = append(f.history.Loss, p.Loss), append(f.history.Accuracy, p.Accuracy)
		measure := p.Accuracy
		if f.validation.Len() > 0 {
			e, err := Evaluate(ctx, f.m, f.validation, f.o.Threads)
			if err != nil {
				return err
			}
			p.ValLoss, p.ValAccuracy, measure = e.Loss, e.Accuracy, e.Accuracy
			f.history.ValLoss, f.history.ValAccuracy = append(f.history.ValLoss, e.Loss), append(f.history.ValAccuracy, e.Accuracy)
		}
		f.history.SamplesPerSecond = float64(epoch*len(order)) / f.busy.Seconds()
		f.keep(measure)
		if p.Done, p.Elapsed = true, time.Since(start); f.o.Progress != nil {
			f.o.Progress(p)
		}
	}
	for i, param := range f.m.Params() {
		if f.kept != nil {
			copy(param.Value, f.kept[i])
		}
	}
	return nil
}

// keep remembers the weights of the best epoch so far.
func (f *fit) keep(measure float64) {
	if !f.o.KeepBest || f.kept != nil && measure <= f.best {
		return
	}
	f.best = measure
	params := f.m.Params()
	if f.kept == nil {
		f.kept = make([][]float32, len(params))
	}
	for i, param := range params {
		f.kept[i] = append(f.kept[i][:0], param.Value...)
	}
}

func (f *fit) epoch(ctx context.Context, order []int, p *Progress) error {
	var loss float64
	correct := 0
	for lo := 0; lo < len(order); lo += f.o.BatchSize {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("training stopped in epoch %d at row %d: %w", p.Epoch, lo, err)
		}
		start := time.Now()
		n := min(f.o.BatchSize, len(order)-lo)
		f.training.load(f.plan, order, lo, n)
		f.labels = f.labels[:0]
		for _, row := range order[lo : lo+n] {
			f.labels = append(f.labels, f.training.Labels[row])
		}
		if err := f.plan.Forward(n, true, f.step); err != nil {
			return err
		}
		l, c := crossentropy(f.plan.Output(0), f.labels, f.plan.OutputGrad(0))
		l += f.plan.Penalty() * float64(n) // as Keras reports it; Backward knows its derivative
		if math.IsNaN(l) || math.IsInf(l, 0) {
			return fmt.Errorf("the loss is %v in epoch %d, step %d, first seen after layer %q, learning rate %g: %w",
				l, p.Epoch, f.step, f.plan.NonFinite(), f.o.LearningRate, ErrDiverged)
		}
		f.plan.Backward()
		f.o.Optimizer.Step(f.plan)
		f.m.Constrain()
		f.step++
		f.busy += time.Since(start)
		loss, correct = loss+l, correct+c
		p.Row = lo + n
		p.Loss, p.Accuracy = loss/float64(p.Row), float64(correct)/float64(p.Row)
		if f.o.Progress != nil {
			f.o.Progress(*p)
		}
	}
	return nil
}

// ErrDiverged is wrapped by the error of a training whose loss is no number any more.
var ErrDiverged = errors.New("training diverged")
