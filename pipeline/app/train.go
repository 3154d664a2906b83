package app

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/voxelstream/voxelstream/ingest/h5"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/infer"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/nn/zoo"
	"github.com/voxelstream/voxelstream/voxelize"
)

// TrainOptions say what train reads and writes; how it trains is in the configuration.
type TrainOptions struct {
	// FromTopic trains on the labelled volumes of the topic in place of files.
	FromTopic bool
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

// Train trains a network on labelled data. A signal ends it after the step at hand; what was learnt so far is still written.
func (a *App) Train(ctx context.Context, paths []string, o TrainOptions) error {
	if o.Out == "" {
		return Usage(errors.New("--out: want the model file to write, .keras or .h5"))
	}
	if o.FromTopic == (len(paths) > 0) {
		return Usage(errors.New("want files with labelled data, or --from-topic"))
	}
	if err := savable(o.Out); err != nil {
		return Usage(err)
	}
	if o.Best != "" {
		if err := savable(o.Best); err != nil {
			return Usage(err)
		}
	}
	if o.Checkpoint == "" {
		o.Checkpoint = o.Out + ".checkpoint"
	}
	vo := a.Config.voxelOptions()
	var m *nn.Model
	if o.Init != "" {
		var err error
		if m, vo, err = a.initial(ctx, o.Init, vo); err != nil {
			return err
		}
	}
	d, err := a.trainingData(ctx, paths, o, vo)
	if err != nil {
		return err
	}
	if m == nil {
		if m, err = a.newModel(d, o.Classes); err != nil {
			return err
		}
	}
	history, err := a.fit(ctx, m, d, o)
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	if len(history.Loss) == 0 {
		return errors.Join(err, errInterrupted)
	}
	if err := saveTraining(m, history, o); err != nil {
		return err
	}
	total, _ := m.Count()
	r := TrainResult{
		Epochs: len(history.Loss), History: history, SamplesPerSecond: history.SamplesPerSecond, Parameters: total, Model: o.Out, Rows: len(d.labels),
		Seed: a.Config.Seed, BestEpoch: history.BestEpoch, Stopped: history.Stopped,
	}
	if err := a.print(r, r.text); err != nil {
		return err
	}
	return interrupted(ctx, nil)
}

// initial loads the model to start from; its input and palette decide how volumes are made.
func (a *App) initial(ctx context.Context, path string, vo voxelize.Options) (*nn.Model, voxelize.Options, error) {
	m, err := a.loadModel(ctx, path)
	if err != nil {
		return nil, vo, err
	}
	vo, err = a.fitting(m.Model, vo)
	return m.Model, vo, err
}

// fitting are the options whose volumes a model takes.
func (a *App) fitting(m *nn.Model, vo voxelize.Options) (voxelize.Options, error) {
	dims, err := infer.Dims(m)
	if err != nil {
		return vo, err
	}
	palette, err := infer.Palette(m, vo.Colormap)
	if err != nil {
		return vo, err
	}
	vo.Dims, vo.Colormap = dims, palette.Name
	return vo, nil
}

func (a *App) trainingData(ctx context.Context, paths []string, o TrainOptions, vo voxelize.Options) (*dataset, error) {
	if o.FromTopic {
		return a.readTopic(ctx, vo)
	}
	split := o.Split
	if split == pairs {
		split = ""
	}
	return a.readData(ctx, paths, split, []h5.Split{h5.Train}, vo)
}

// newModel makes the configured architecture for the data.
func (a *App) newModel(d *dataset, classes int) (*nn.Model, error) {
	if classes == 0 {
		classes = d.classes()
	}
	m, err := zoo.New(a.Config.Train.Arch, nn.Shape{d.dims[0], d.dims[1], d.dims[2], 3}, classes)
	if err != nil {
		return nil, Usage(fmt.Errorf("train.arch: %w", err))
	}
	m.Colormap = d.palette.Name
	m.Init(a.Config.Seed)
	return m, nil
}

func (a *App) fit(ctx context.Context, m *nn.Model, d *dataset, o TrainOptions) (h *train.History, err error) {
	c := &a.Config.Train
	data := d.data()
	options, err := c.options(m, int(float64(data.Len())*(1-c.ValidationSplit)))
	if err != nil {
		return nil, err
	}
	options.Seed, options.Threads = a.Config.Seed, a.Threads()
	options.Checkpoint.Path, options.Checkpoint.Resume = o.Checkpoint, o.Resume
	if o.Split == pairs {
		options.Group = 2
	}
	if c.ClassWeight == "balanced" {
		options.ClassWeight = d.balance(m)
	}
	if (o.KeepBest || o.Best != "") && options.EarlyStopping == nil {
		options.EarlyStopping = &train.EarlyStopping{Monitor: c.Monitor, MinDelta: c.MinDelta}
		if c.Monitor == "auto" {
			options.EarlyStopping.Monitor = c.validated("accuracy")
		}
	}
	if o.KeepBest {
		options.EarlyStopping.Restore = true
	}
	log := &trainingLog{app: a, m: m, o: o, bar: a.Screen.Progress("rows")}
	defer func() { err = errors.Join(err, log.close()) }()
	options.Progress = log.progress
	return train.Fit(ctx, m, data, options)
}

func saveTraining(m *nn.Model, h *train.History, o TrainOptions) error {
	if err := format.Save(o.Out, m); err != nil {
		return err
	}
	if o.Plot != "" {
		return writeTo(o.Plot, func(w io.Writer) error { return plotHistory(w, h) })
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
