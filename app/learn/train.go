package learn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/h5"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/nn/zoo"
	"github.com/voxelstream/voxelstream/voxelize"
)

// TrainOptions say what train reads and writes; how it trains is in the configuration.
type TrainOptions struct {
	// FromTopic trains on the labelled volumes of the topic in place of files.
	FromTopic bool
	// Follow, with FromTopic, trains on each volume of the topic once, as they come.
	Follow bool
	// Split is "train", "test" or "all" of an archive with parts; empty: train, or all where there are no parts. "pairs" is as empty, and the
	// validation split keeps even rows and the odd ones behind them together.
	Split string
	// Init is a model to start from, in place of a new one.
	Init string
	// Resume goes on from the checkpoint, where there is one.
	Resume bool
	// Classes is the number of outputs; 0: the largest label and one.
	Classes int
	// KeepBest keeps the weights of the best epoch, not those of the last.
	KeepBest bool
	// Out is the model file, Checkpoint that of the state of training (empty: beside Out). The others may be empty: Best is the model of the best
	// epoch so far, History a CSV of the epochs, Plot a PNG of their curves, TensorBoard a folder of event files.
	Out, Checkpoint, Best, History, Plot, TensorBoard string
}

// fromInit is the optimizer that goes on where that of the initial model's file stopped.
const fromInit = "init"

// pairs is the Split of an archive whose even and odd rows are the same thing twice.
const pairs = "pairs"

// TrainResult is the result of train.
type TrainResult struct {
	Epochs           int            `json:"epochs"`
	History          *train.History `json:"history"`
	SamplesPerSecond float64        `json:"samples_per_second"`
	Parameters       int            `json:"parameters"`
	Model            string         `json:"model"`
	Rows             int            `json:"rows"`
	Seed             uint64         `json:"seed"`
	BestEpoch        int            `json:"best_epoch,omitempty"`
	Stopped          bool           `json:"stopped_early,omitempty"`
}

// Train trains a network on labelled data. A signal ends it after the current step, and the weights so far are still written.
func Train(ctx context.Context, a *app.Env, paths []string, o TrainOptions) error {
	if o.Out == "" {
		return app.Usage(errors.New("--out: want the model file to write, .keras, .h5, .onnx or .safetensors"))
	}
	if o.FromTopic == (len(paths) > 0) {
		return app.Usage(errors.New("want files with labelled data, or --from-topic"))
	}
	if a.Config.Train.Optimizer == fromInit && o.Init == "" {
		return app.Usage(errors.New("train.optimizer init: want --init, a .keras or .h5 file with the state of its training"))
	}
	if o.Follow {
		switch {
		case !o.FromTopic:
			return app.Usage(errors.New("--follow: want --from-topic with it"))
		case o.Classes == 0 && o.Init == "":
			return app.Usage(errors.New("--follow: want --classes or --init, as the labels to come are not known"))
		case a.Config.Train.ClassWeight == config.Balanced:
			return app.Usage(errors.New("--follow: the shares of classes to come are not known, want train.class_weight none, or the weights"))
		}
		a.Config.Train.ValidationSplit = 0
	}
	if err := models.Savable(o.Out); err != nil {
		return app.Usage(err)
	}
	if o.Best != "" {
		if err := models.Savable(o.Best); err != nil {
			return app.Usage(err)
		}
	}
	if o.Checkpoint == "" {
		o.Checkpoint = o.Out + ".checkpoint"
	}
	tr := &training{}
	err := trainModel(ctx, a, tr, paths, o)
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	if tr.history == nil || len(tr.history.Loss) == 0 {
		return errors.Join(err, app.ErrInterrupted)
	}
	if err := tr.save(o); err != nil {
		return err
	}
	total, _ := tr.model.Count()
	r := TrainResult{
		Epochs: len(tr.history.Loss), History: tr.history, SamplesPerSecond: tr.history.SamplesPerSecond, Parameters: total, Model: o.Out, Rows: tr.rows,
		Seed: a.Config.Seed, BestEpoch: tr.history.BestEpoch, Stopped: tr.history.Stopped,
	}
	if err := a.Print(r, r.text); err != nil {
		return err
	}
	return app.Interrupted(ctx, nil)
}

// training is a training at work, or what came of it.
type training struct {
	model   *nn.Model
	options train.Options
	history *train.History
	rows    int // of an epoch
}

// training trains a model, new or not, on rows or on a stream, and says in tr how far it came.
func trainModel(ctx context.Context, a *app.Env, tr *training, paths []string, o TrainOptions) (err error) {
	vo := a.Config.VoxelOptions()
	if o.Init != "" {
		if tr.model, vo, err = initial(ctx, a, o.Init, vo); err != nil {
			return err
		}
	}
	if o.Follow {
		if tr.model == nil {
			if tr.model, err = newModel(a, vo.Dims, vo.Colormap, o.Classes); err != nil {
				return err
			}
		}
		return follow(ctx, a, tr, o, vo)
	}
	d, err := trainingData(ctx, a, paths, o, vo)
	if err != nil {
		return err
	}
	defer d.close() //nolint:errcheck // read from only
	if tr.model == nil {
		if tr.model, err = newModel(a, d.dims, d.palette.Name, cmp.Or(o.Classes, d.classes())); err != nil {
			return err
		}
	}
	return fit(ctx, a, tr, d, o)
}

// initial loads the model to start from; its input and palette decide how volumes are made.
func initial(ctx context.Context, a *app.Env, path string, vo voxelize.Options) (*nn.Model, voxelize.Options, error) {
	m, err := models.Load(ctx, path)
	if err != nil {
		return nil, vo, err
	}
	if vo, err = models.Fit(m.Model, vo); err != nil || a.Config.Train.FromLogits {
		return m.Model, vo, err
	}
	scored, err := classify.Scored(m.Model)
	return scored, vo, err
}

func trainingData(ctx context.Context, a *app.Env, paths []string, o TrainOptions, vo voxelize.Options) (*dataset, error) {
	if o.FromTopic {
		return readTopic(ctx, a, vo, o)
	}
	split := o.Split
	if split == pairs {
		split = ""
	}
	return readData(ctx, a, paths, split, []h5.Split{h5.Train}, vo)
}

// newModel makes the configured architecture.
func newModel(a *app.Env, dims [3]int, colormap string, classes int) (*nn.Model, error) {
	m, err := zoo.New(a.Config.Train.Arch, nn.Shape{dims[0], dims[1], dims[2], 3}, classes)
	if err != nil {
		return nil, app.Usage(fmt.Errorf("train.arch: %w", err))
	}
	m.Colormap = colormap
	m.Init(a.Config.Seed)
	return m, nil
}

func fit(ctx context.Context, a *app.Env, tr *training, d *dataset, o TrainOptions) (err error) {
	c := &a.Config.Train
	if o.Split == pairs {
		if err := d.paired(); err != nil {
			return app.Usage(fmt.Errorf("--split pairs: %w", err))
		}
	}
	rows := d.rows(tr.model)
	tr.rows = rows.Len()
	if tr.options, err = fitOptions(ctx, a, tr.model, int(float64(tr.rows)*(1-c.ValidationSplit)), o); err != nil {
		return err
	}
	if c.ClassWeight == config.Balanced {
		tr.options.ClassWeight = d.balance(tr.model)
	}
	if d.ranges != "" {
		tr.options.Checkpoint.Settings = map[string]string{topicSetting: d.ranges}
	}
	log := newTrainingLog(a, tr.model, o)
	tr.options.Progress = log.progress
	tr.history, err = train.Fit(ctx, tr.model, rows, tr.options)
	return errors.Join(err, log.close())
}

// fitOptions are those of the configuration and of the command line, for so many rows in an epoch.
func fitOptions(ctx context.Context, a *app.Env, m *nn.Model, rows int, o TrainOptions) (train.Options, error) {
	c := &a.Config.Train
	options, err := trainOptions(c, m, rows)
	if err != nil {
		return options, err
	}
	if options.ClassWeight, err = classWeight(c, m); err != nil {
		return options, app.Usage(err)
	}
	options.Seed, options.Threads = a.Config.Seed, a.Threads()
	options.Checkpoint.Path, options.Checkpoint.Resume = o.Checkpoint, o.Resume
	if o.Split == pairs {
		options.Group = 2
	}
	if (o.KeepBest || o.Best != "") && options.EarlyStopping == nil {
		options.EarlyStopping = &train.EarlyStopping{Monitor: c.Monitor, MinDelta: c.MinDelta}
		if c.Monitor == "auto" {
			options.EarlyStopping.Monitor = validated(c, "accuracy")
		}
	}
	if o.KeepBest {
		options.EarlyStopping.Restore = true
	}
	if c.Optimizer == fromInit {
		t, err := format.LoadTraining(ctx, o.Init, m)
		if err != nil {
			return options, fmt.Errorf("the optimizer of %s: %w", o.Init, err)
		}
		options.Optimizer = t.Optimizer
	}
	return options, nil
}

// save writes the model, with the state of the optimizer where the format has a place for it, and draws the plot.
func (tr *training) save(o TrainOptions) error {
	var t *format.Training
	if name := strings.ToLower(o.Out); strings.HasSuffix(name, ".keras") || strings.HasSuffix(name, ".h5") && !strings.HasSuffix(name, ".weights.h5") {
		t = &format.Training{Optimizer: tr.options.Optimizer, Loss: tr.options.Loss.Name(), Metrics: []string{"accuracy"}}
	}
	if err := format.SaveTraining(o.Out, tr.model, t); err != nil {
		return err
	}
	if o.Plot != "" {
		return ingest.WriteFile(o.Plot, func(w io.Writer) error { return plotHistory(w, tr.history) })
	}
	return nil
}

func (r *TrainResult) text(w io.Writer) {
	h, last := r.History, len(r.History.Loss)-1
	fmt.Fprintf(w, "%s: %d parameters, %d epochs over %d rows, %.0f samples/s\n", r.Model, r.Parameters, r.Epochs, r.Rows, r.SamplesPerSecond)
	fmt.Fprintf(w, "loss %.4f, accuracy %.4f", h.Loss[last], h.Accuracy[last])
	if len(h.ValLoss) > last {
		fmt.Fprintf(w, ", val_loss %.4f, val_accuracy %.4f", h.ValLoss[last], h.ValAccuracy[last])
	}
	if h.BestEpoch > 0 {
		fmt.Fprintf(w, ", best epoch %d", h.BestEpoch)
	}
	if h.Stopped {
		fmt.Fprint(w, ", stopped early")
	}
	fmt.Fprintln(w)
}
