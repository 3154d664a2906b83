package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/voxelstream/voxelstream/nn"
)

// ErrDiverged is wrapped by the error of a training run whose loss is not finite.
var ErrDiverged = errors.New("training diverged")

// Fit trains the model. If ctx is cancelled, it returns after the current step with the history so far.
func Fit(ctx context.Context, m *nn.Model, rows Rows, o Options) (*History, error) {
	if o.Validation != nil && o.ValidationSplit > 0 {
		return nil, fmt.Errorf("found validation data and a validation split of %g, want one of them",
			o.ValidationSplit)
	}
	f, err := newFit(m, o, o.ValidationSplit > 0 || o.Validation != nil)
	if err != nil {
		return nil, err
	}
	m.Precision = nn.Precision{} // its ranges belong to other weights
	if err := checkRows(rows, m, f.loss.classes()); err != nil {
		return nil, err
	}
	split, err := f.o.split(rows.Len())
	if err != nil {
		return nil, err
	}
	made, varied := rows.(Varied)
	if err := f.compile(rows.Colours(), split, varied); err != nil {
		return nil, err
	}
	defer f.plan.Close()
	f.total, f.validation = split, o.Validation
	if o.Validation == nil {
		f.validation = Part(rows, split, rows.Len())
	} else if err := checkRows(o.Validation, m, f.loss.classes()); err != nil {
		return nil, fmt.Errorf("validation data: %w", err)
	}
	memory := cmp.Or(o.Memory, defaultMemory)
	if varied {
		a := newAhead(made, f.plan, split, &f.o, memory)
		defer a.close()
		f.source, f.batch.Mixed = a, make([]Mixed, f.plan.Batch())
	} else {
		f.source = newFeed(Part(rows, 0, split), f.values(), o.Shuffle, o.Seed, memory)
	}
	settings, err := rowSettings(rows, &f.o)
	if err != nil {
		return nil, err
	}
	if err := f.resume(settings); err != nil {
		return nil, err
	}
	return f.at.History, f.run(ctx)
}

// FitStream trains the model on a stream of rows, each of which is seen once. An epoch is the given number of
// steps, all with the same number of rows. There is no validation. Cancelling ctx has the same effect as for Fit.
func FitStream(ctx context.Context, m *nn.Model, s Stream, steps int, o Options) (*History, error) {
	o.ValidationSplit, o.Shuffle = 0, false
	f, err := newFit(m, o, false)
	if err != nil {
		return nil, err
	}
	if steps < 1 {
		return nil, fmt.Errorf("found %d steps per epoch, want at least 1", steps)
	}
	if err := f.compile(s.Colours(), o.BatchSize, false); err != nil {
		return nil, err
	}
	defer f.plan.Close()
	f.total, f.validation = steps*o.BatchSize, &Data{}
	f.source, f.stream = streamed{s}, s
	if err := f.resume(map[string]string{"steps of an epoch": fmt.Sprint(steps)}); err != nil {
		return nil, err
	}
	if err := s.Seek(ctx, f.at.Stream); err != nil {
		return nil, err
	}
	return f.at.History, f.run(ctx)
}

// source supplies the rows to train on.
type source interface {
	// load fills b with the rows of an epoch that start at position row.
	load(ctx context.Context, b *Batch, epoch, row int) error
}

// newFit checks the options that do not depend on the rows.
func newFit(m *nn.Model, o Options, validated bool) (*fit, error) {
	if o.Optimizer == nil {
		o.Optimizer = NewAdam(m, o.LearningRate)
	}
	loss, err := newObjective(m, o.Loss, o.ClassWeight)
	if err != nil {
		return nil, err
	}
	if err := o.check(validated); err != nil {
		return nil, err
	}
	f := &fit{
		m: m, o: o, loss: loss, start: time.Now(), stored: time.Now(),
		at: &position{Version: checkpointVersion, Epoch: 1, History: &History{Augmentation: o.Augmentation}},
	}
	if o.Plateau != nil {
		f.at.Plateau.Best = worst(o.Plateau.Monitor)
	}
	return f, nil
}

// compile plans the training and validation steps for batches of at most rows rows. Varied rows are made at the same
// time.
func (f *fit) compile(palette *nn.Palette, rows int, varied bool) (err error) {
	f.plan, err = f.m.Compile(min(f.o.BatchSize, rows),
		nn.Options{
			Training: true, Threads: f.o.Threads, Palette: palette, Without: f.o.Without, Seed: f.o.Seed,
			Logits: f.loss.onLogits != nil, Shared: varied,
		})
	if err == nil {
		f.batch = newBatch(f.plan.Batch())
	}
	return err
}

// values returns the number of values in a row.
func (f *fit) values() int {
	if index := f.plan.Index(); index != nil {
		return len(index) / f.plan.Batch()
	}
	return len(f.plan.Input(0)) / f.plan.Batch()
}

// split returns the number of rows to train on: floor(n (1 - split)), as in Keras.
func (o *Options) split(n int) (int, error) {
	rows := int(math.Floor(float64(n) * (1 - o.ValidationSplit)))
	if o.ValidationSplit > 0 && o.Group > 1 {
		rows -= rows % o.Group
	}
	if rows == 0 {
		return 0, fmt.Errorf("a validation split of %g leaves no rows to train on, found %d", o.ValidationSplit, n)
	}
	return rows, nil
}

// fit is a training run in progress.
type fit struct {
	m             *nn.Model
	o             Options
	plan          *nn.Plan
	loss          *objective
	source        source
	stream        Stream // the source, if it is a stream
	total         int    // rows per epoch
	validation    Rows
	batch         *Batch
	at            *position
	kept          [][]float32 // the best weights, parameter by parameter
	start, stored time.Time   // of Fit, and of the last checkpoint
	busy          time.Duration
	rows          int // processed during busy
}

func (f *fit) run(ctx context.Context) error {
	for f.at.Epoch <= f.o.Epochs && !f.at.Stopper.Stopped {
		if err := f.epoch(ctx); err != nil {
			return err
		}
	}
	f.at.History.Stopped, f.at.History.BestEpoch = f.at.Stopper.Stopped, f.at.Stopper.BestEpoch
	f.o.Optimizer.Finalize()
	if f.at.Stopper.BestEpoch > 0 && f.kept != nil {
		for i, p := range f.m.Params() {
			copy(p.Value, f.kept[i])
		}
	}
	return nil
}

// epoch runs the rest of the current epoch.
func (f *fit) epoch(ctx context.Context) error {
	total := f.total
	p := Progress{Epoch: f.at.Epoch, Epochs: f.o.Epochs, Rows: total}
	for f.at.Row < total {
		err := ctx.Err()
		if err == nil {
			err = f.step(ctx, min(f.o.BatchSize, total-f.at.Row))
		}
		if ctx.Err() != nil && err != nil {
			err = fmt.Errorf("training stopped in epoch %d at row %d: %w", f.at.Epoch, f.at.Row, err)
			return errors.Join(err, f.store(context.WithoutCancel(ctx)))
		}
		if err != nil {
			return err
		}
		if err := f.storeInTime(ctx); err != nil {
			return err
		}
		if err := f.report(&p); err != nil {
			return err
		}
	}
	p.Loss, p.Accuracy = f.at.Loss/float64(total), float64(f.at.Correct)/float64(total)
	p.LearningRate, p.Step = f.o.Optimizer.Rate, f.at.Step
	if f.validation.Len() > 0 {
		e, err := Evaluate(ctx, f.m, f.validation,
			EvaluateOptions{Threads: f.o.Threads, Loss: f.loss.Loss, Row: f.o.ValidationRow, AUC: f.o.auc()})
		if err != nil {
			return err
		}
		if math.IsNaN(e.Loss) || math.IsInf(e.Loss, 0) {
			return fmt.Errorf("the validation loss is %v after epoch %d, step %d, learning rate %g: %w", e.Loss,
				p.Epoch, f.at.Step, p.LearningRate, ErrDiverged)
		}
		p.Validated, p.ValLoss, p.ValAccuracy, p.ValAUC = true, e.Loss, e.Accuracy, e.AUC
	}
	f.watch(&p)
	f.at.History.add(&p, f.o.auc())
	p.Done, p.Row, p.Elapsed, p.History = true, total, time.Since(f.start), f.at.History
	if err := f.tell(p); err != nil { // before the checkpoint: reporting an epoch twice does no harm
		return err
	}
	f.at.Epoch, f.at.Row, f.at.Loss, f.at.Correct = f.at.Epoch+1, 0, 0, 0
	return f.store(ctx)
}

// step trains on the next n rows.
func (f *fit) step(ctx context.Context, n int) error {
	start := time.Now()
	f.batch.bind(f.plan, n)
	if err := f.source.load(ctx, f.batch, f.at.Epoch, f.at.Row); err != nil {
		return err
	}
	if err := f.loss.check(f.batch, f.at.Row); err != nil {
		return err
	}
	if err := f.plan.Forward(n, true, f.at.Step); err != nil {
		return err
	}
	l, correct := f.loss.batch(outputsOf(f.plan, true), f.batch)
	l += f.plan.Penalty() * float64(n) // as Keras reports it; Backward computes its derivative
	if math.IsNaN(l) || math.IsInf(l, 0) {
		return fmt.Errorf("the loss is %v in epoch %d, step %d, first seen after layer %q, learning rate %g: %w",
			l, f.at.Epoch, f.at.Step, f.plan.NonFinite(), f.o.Optimizer.Rate, ErrDiverged)
	}
	f.plan.Backward()
	f.o.Optimizer.Step(f.plan)
	f.m.Constrain()
	f.at.Step++
	f.at.Row += n
	f.at.Loss, f.at.Correct = f.at.Loss+l, f.at.Correct+correct
	if f.stream != nil {
		f.at.Stream = f.stream.Position()
	}
	f.busy, f.rows = f.busy+time.Since(start), f.rows+n
	f.at.History.SamplesPerSecond = float64(f.rows) / f.busy.Seconds()
	return nil
}

// report calls Progress after a step.
func (f *fit) report(p *Progress) error {
	p.Row, p.Step, p.LearningRate = f.at.Row, f.at.Step, f.o.Optimizer.Rate
	p.Loss, p.Accuracy = f.at.Loss/float64(p.Row), float64(f.at.Correct)/float64(p.Row)
	p.Elapsed = time.Since(f.start)
	return f.tell(*p)
}

func (f *fit) tell(p Progress) error {
	if f.o.Progress == nil {
		return nil
	}
	return f.o.Progress(p)
}

// watch checks an epoch's metrics: whether it is the best, whether to lower the learning rate, and whether to stop.
func (f *fit) watch(p *Progress) {
	if r := f.o.Plateau; r != nil {
		f.o.Optimizer.Rate = f.at.Plateau.see(r, p.figure(r.Monitor), f.o.Optimizer.Rate)
	}
	e := f.o.EarlyStopping
	if e == nil {
		return
	}
	p.Best = f.at.Stopper.see(e, p.Epoch, p.figure(e.Monitor))
	if !e.Restore || !p.Best {
		return
	}
	f.keep()
	for i, param := range f.m.Params() {
		copy(f.kept[i], param.Value)
	}
}

// keep allocates memory for the best weights.
func (f *fit) keep() {
	if f.kept == nil {
		for _, p := range f.m.Params() {
			f.kept = append(f.kept, make([]float32, len(p.Value)))
		}
	}
}

// storeInTime stores a checkpoint in the middle of an epoch if one is due.
func (f *fit) storeInTime(ctx context.Context) error {
	c := &f.o.Checkpoint
	if c.Steps > 0 && f.at.Step%c.Steps == 0 || c.Every > 0 && time.Since(f.stored) >= c.Every {
		return f.store(ctx)
	}
	return nil
}

func (f *fit) store(ctx context.Context) error {
	if f.o.Checkpoint.Path == "" {
		return nil
	}
	f.at.Iterations, f.at.Rate = f.o.Optimizer.Iterations, f.o.Optimizer.Rate
	if err := writeCheckpoint(f.o.Checkpoint.Path, f.at, f.tensors()); err != nil {
		return err
	}
	f.stored = time.Now()
	if f.stream != nil {
		return f.stream.Stored(ctx, f.at.Stream)
	}
	return nil
}

// tensors returns the arrays of the training state.
func (f *fit) tensors() []tensor {
	var all []tensor
	for _, p := range f.m.Params() {
		all = append(all, tensor{"model/" + p.Name, p.Shape, p.Value})
	}
	for _, s := range f.o.Optimizer.State() {
		all = append(all, tensor{"optimizer/" + s.Name + "/" + s.Param.Name, s.Param.Shape, s.Value})
	}
	if f.o.EarlyStopping != nil && f.o.EarlyStopping.Restore {
		f.keep()
		for i, p := range f.m.Params() {
			all = append(all, tensor{"best/" + p.Name, p.Shape, f.kept[i]})
		}
	}
	return all
}

// resume records the settings that must be unchanged to resume, including those of the rows, and restores the
// checkpoint if there is one.
func (f *fit) resume(rows map[string]string) error {
	c := &f.o.Checkpoint
	if c.Path == "" {
		return nil
	}
	f.at.Settings = f.o.settings(f.m, f.loss.Loss)
	maps.Copy(f.at.Settings, rows)
	if !c.Resume {
		return nil
	}
	at, err := readCheckpoint(c.Path, f.at.Settings, f.tensors())
	if err != nil || at == nil {
		return err
	}
	if at.Row > f.total || at.Epoch > f.o.Epochs+1 ||
		!slices.Contains([]int{at.Epoch - 1, at.Epoch}, len(at.History.Loss)) {
		return fmt.Errorf("checkpoint %s: %w: found epoch %d, row %d; want at most %d epochs of %d rows",
			c.Path, ErrCheckpoint, at.Epoch, at.Row, f.o.Epochs, f.total)
	}
	f.at = at
	f.o.Optimizer.Iterations, f.o.Optimizer.Rate = at.Iterations, at.Rate
	return nil
}
