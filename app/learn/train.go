// Package learn trains, evaluates and quantizes networks.
package learn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/augment"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/draw"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/h5"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/nn/zoo"
	"github.com/voxelstream/voxelstream/voxelize"
)

// TrainOptions specify what train reads and writes. The training settings are in the configuration.
type TrainOptions struct {
	// FromTopic trains on the labelled volumes of the topic instead of files.
	FromTopic bool
	// Follow, with FromTopic, trains on each volume of the topic once, as they arrive.
	Follow bool
	// Digits is an IDX file of MNIST images, to train on digits that are made into volumes afresh in each epoch.
	Digits string
	// Drawn is a number of digits to draw and train on, besides.
	Drawn int
	// Split is "train", "val", "test" or "all" of an archive with parts. Empty means train, or all if there are no
	// parts. "pairs" is like empty, and the validation split keeps each even row and the odd row after it together.
	Split string
	// Validation is labelled data to validate on. If it is empty, the validation parts of the archives are used, or
	// else the last rows of the training data, as the configuration says.
	Validation []string
	// Init is a model to start from. Empty creates a new one.
	Init string
	// Resume continues from the checkpoint, if there is one.
	Resume bool
	// Classes is the number of outputs; 0 means the largest label plus one.
	Classes int
	// Names are the names of the classes, in the order of the labels. Nil means those of the model to start from, or of
	// the data.
	Names []string
	// KeepBest keeps the weights of the best epoch instead of the last.
	KeepBest bool
	// Out is the model file. Checkpoint is the file for the training state; empty means Out followed by .checkpoint.
	// The others are optional: Best is the file for the best model so far, History a CSV file with one line per
	// epoch, Plot a PNG file of the learning curves, TensorBoard a folder for event files.
	Out, Checkpoint, Best, History, Plot, TensorBoard string
}

// makes reports whether the rows are made of digits.
func (o *TrainOptions) makes() bool { return o.Digits != "" || o.Drawn > 0 }

// pairs is the Split of an archive in which each pair of even and odd rows shows the same object.
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
	// Final is how the model as written classifies the validation data. It is nil for the model of an epoch, whose
	// figures are in History.
	Final *train.Evaluation `json:"final,omitempty"`
}

// Train trains a network on labelled data. If ctx ends, training stops after the current step, the weights so far are
// written, and the result comes with [app.ErrInterrupted].
func Train(ctx context.Context, a *app.Env, paths []string, o TrainOptions) (*TrainResult, error) {
	tr := &trainer{env: a, settings: a.Config.Train, o: o}
	if err := tr.check(paths); err != nil {
		return nil, app.Usage(err)
	}
	release, err := tr.claimOutputs(ctx, paths)
	if err != nil {
		return nil, err
	}
	defer release()
	tr.board = newBoard(tr)
	a.Started()
	r, err := tr.run(ctx, paths)
	tr.board.close(r, err)
	return r, err
}

// run trains and writes the model.
func (tr *trainer) run(ctx context.Context, paths []string) (*TrainResult, error) {
	if err := tr.train(ctx, paths); err != nil && !errors.Is(err, context.Canceled) {
		return nil, err
	}
	if tr.history == nil || len(tr.history.Loss) == 0 {
		return nil, app.ErrInterrupted
	}
	if err := tr.save(); err != nil {
		return nil, err
	}
	total, _ := tr.model.Count()
	r := &TrainResult{
		Epochs: len(tr.history.Loss), History: tr.history, SamplesPerSecond: tr.history.SamplesPerSecond,
		Parameters: total,
		Model:      tr.o.Out, Rows: tr.rows,
		Seed: tr.env.Config.Seed, Final: tr.final, BestEpoch: tr.history.BestEpoch, Stopped: tr.history.Stopped,
	}
	return r, app.Interrupted(ctx, nil)
}

// trainer is a training in progress.
type trainer struct {
	env      *app.Env
	settings config.Train
	o        TrainOptions

	model   *nn.Model
	input   *classify.Input
	options train.Options
	loss    any // as Keras names it
	history *train.History
	// final is how the model as written classifies the validation data, if it is not the one of the last epoch.
	final *train.Evaluation
	board *board
	// augmentation is nil if there is none.
	augmentation *augmentation
	rows         int  // per epoch
	validated    bool // on data of the user's own
}

// check completes and validates the options and settings.
func (tr *trainer) check(paths []string) error {
	o := &tr.o
	switch {
	case o.Out == "":
		return errors.New("missing --out MODEL, the model file to write: .keras, .h5, .onnx or .safetensors")
	case o.Drawn < 0:
		return fmt.Errorf("--drawn: found %d, want at least 0", o.Drawn)
	case o.FromTopic == (len(paths) > 0 || o.makes()):
		return errors.New("want either files with labelled data or --from-topic")
	case len(paths) > 0 && o.makes():
		return errors.New("found both files and --digits or --drawn, want one of them")
	case o.Follow && tr.settings.Augment != "":
		return errors.New("--follow reads each volume once: leave train.augment out")
	case o.Follow && tr.settings.Arch == config.ArchBest && o.Init == "":
		return errors.New("--follow cannot look at the data before: set --arch to another architecture than best")
	case o.Follow && len(o.Validation) > 0:
		return errors.New("--follow cannot validate: leave --validation out")
	case tr.settings.Optimizer == config.OptimizerInit && o.Init == "":
		return errors.New("train.optimizer init requires --init with a .keras or .h5 file that stores the optimizer " +
			"state")
	}
	if o.Follow {
		switch {
		case !o.FromTopic:
			return errors.New("--follow requires --from-topic")
		case o.Classes == 0 && o.Init == "":
			return errors.New("--follow requires --classes or --init, because future labels are unknown")
		case tr.settings.ClassWeight.Balanced:
			return errors.New("--follow cannot balance classes, because their frequencies are unknown; set " +
				"train.class_weight to none or to weights")
		}
		tr.settings.ValidationSplit = 0
	}
	if err := nn.CheckClasses(o.Names); err != nil {
		return fmt.Errorf("--classes: %w", err)
	}
	if o.Classes == 0 {
		o.Classes = len(o.Names)
	}
	if err := models.Savable(o.Out); err != nil {
		return err
	}
	if o.Best != "" {
		if err := models.Savable(o.Best); err != nil {
			return err
		}
	}
	if o.Plot != "" {
		if _, err := draw.FormatOf(o.Plot, false); err != nil {
			return fmt.Errorf("--plot: %w", err)
		}
	}
	if o.Checkpoint == "" {
		o.Checkpoint = o.Out + ".checkpoint"
	}
	return nil
}

// claimOutputs returns an error if the training would overwrite a file, or start again where it can be resumed. A
// training that is resumed replaces what it has written before.
func (tr *trainer) claimOutputs(ctx context.Context, paths []string) (release func(), err error) {
	o, env := &tr.o, *tr.env
	if _, err := os.Stat(o.Checkpoint); err == nil && !env.Force {
		if !o.Resume {
			return nil, app.Usage(fmt.Errorf("%s: the checkpoint of a training exists; --resume continues it, --force "+
				"starts again", o.Checkpoint))
		}
		if err := tr.recognize(ctx); err != nil {
			return nil, err
		}
		env.Force = true
	}
	return env.ClaimOutputs(slices.Concat(paths, o.Validation), o.Out, o.Best, o.History, o.Plot, o.Checkpoint)
}

// recognize returns an error if an output is a file that no training has written.
func (tr *trainer) recognize(ctx context.Context) error {
	begins := func(with string) func(string) error {
		return func(path string) error {
			f, _, err := ingest.OpenRegular(path)
			if err != nil {
				return err
			}
			defer f.Close() //nolint:errcheck // opened for reading
			begin := make([]byte, len(with))
			if _, err := io.ReadFull(f, begin); err != nil || string(begin) != with {
				return fmt.Errorf("found %.20q at the beginning, want %q", begin, with)
			}
			return nil
		}
	}
	model := func(path string) error {
		_, err := format.Load(ctx, path)
		return err
	}
	for path, check := range map[string]func(string) error{
		tr.o.Out: model, tr.o.Best: model, tr.o.History: begins("epoch,accuracy,"), tr.o.Plot: begins("\x89PNG\r\n"),
	} {
		if _, err := os.Stat(path); path == "" || err != nil {
			continue
		}
		if err := check(path); err != nil {
			return app.Usage(fmt.Errorf("%s: the file exists and is not from this training; --force overwrites it: %w",
				path,
				err))
		}
	}
	return nil
}

// train trains a new or loaded model on rows or on a stream.
func (tr *trainer) train(ctx context.Context, paths []string) (err error) {
	vo := tr.env.Config.Voxelize
	if tr.o.Init != "" {
		err = tr.initial(ctx, vo)
	} else {
		tr.input, err = classify.NewInput(vo)
	}
	if err != nil {
		return err
	}
	if tr.o.Follow {
		if tr.model == nil {
			if tr.input.Palette == nil {
				return app.Usage(errors.New("--follow requires --init with values other than palette, because the " +
					"number of channels is unknown"))
			}
			if err := tr.newModel(tr.o.Classes); err != nil {
				return err
			}
		}
		return tr.follow(ctx)
	}
	if tr.augmentation, err = newAugmentation(tr.env); err != nil {
		return err
	}
	d, err := tr.data(ctx, paths)
	if err != nil {
		return err
	}
	defer d.close() //nolint:errcheck // opened for reading
	if err := d.complete(tr.env, paths); err != nil {
		return err
	}
	if tr.model == nil {
		if tr.settings.Arch == config.ArchBest {
			if err := tr.best(d); err != nil {
				return err
			}
		}
		if err := tr.newModel(cmp.Or(tr.o.Classes, d.classes())); err != nil {
			return err
		}
	}
	tr.nameClasses(d)
	if d.ranged && vo.Values == "" && tr.o.Init == "" {
		tr.env.Log.Warn("each grid was normalized to its own range, so the model cannot tell absolute values apart; " +
			"--values raw, window:LO:HI or standard keeps them")
	}
	models.LogInput(tr.env, tr.input)
	v, err := tr.validationData(ctx, d)
	if err != nil {
		return err
	}
	if v != nil {
		defer v.close() //nolint:errcheck // opened for reading
	}
	return tr.fit(ctx, d, v)
}

// logAugmentation says what is augmented.
func (tr *trainer) logAugmentation(g *augmentation) {
	if g.of() == augment.Points {
		tr.env.Log.Info("augmenting the points of each training row, voxelized afresh in every epoch", "augment", g.recipe)
		return
	}
	reason := "the rows are voxel grids"
	if g.notPoints != nil {
		reason = g.notPoints.Error()
	}
	tr.env.Log.Info("augmenting the voxel grid of each training row afresh in every epoch", "augment", g.recipe, "reason",
		reason)
}

// nameClasses writes the names of the data's classes into the model, unless it has its own.
func (tr *trainer) nameClasses(d *dataset) {
	names := d.padded(tr.model.ClassCount())
	switch {
	case len(tr.model.Classes) > 0 && !d.fixed, len(d.names) == 0:
	case names == nil:
		tr.env.Log.Warn("the model does not get the names of the classes: the data has more classes than the model",
			"names", len(d.names), "classes", tr.model.ClassCount())
	default:
		tr.model.Classes = names
	}
}

// initial loads the model to start from, or gives an architecture its initial weights. Its input determines how volumes
// are made, unless the configuration says otherwise.
func (tr *trainer) initial(ctx context.Context, vo voxelize.Options) error {
	o := tr.env.Config.Model.Opening()
	m, err := models.Load(ctx, tr.o.Init, o)
	if errors.Is(err, format.ErrNoWeights) {
		o.Untrained = true
		if m, err = models.Load(ctx, tr.o.Init, o); err == nil {
			m.Init(tr.env.Config.Seed)
			tr.env.Log.Info("the architecture has no weights: training starts from its initializers", "file", tr.o.Init)
		}
	}
	if err != nil {
		return err
	}
	if tr.input, err = classify.InputOf(m.Model, classify.PreferencesIn(vo)); err != nil {
		return err
	}
	tr.model = m.Model
	if !tr.settings.FromLogits {
		if tr.model, err = classify.Scored(m.Model); err != nil {
			return err
		}
	}
	tr.model.Metadata = tr.input.Metadata(m.Classes)
	if tr.o.Names != nil {
		if err := tr.model.SetClasses(tr.o.Names); err != nil {
			return app.Usage(fmt.Errorf("--classes: %w", err))
		}
	}
	return format.CanSave(tr.o.Out, tr.model)
}

// names returns the names of classes that the user or the initial model gives.
func (tr *trainer) names() naming {
	names := tr.o.Names
	if names == nil && tr.model != nil {
		names = tr.model.Classes
	}
	return fixedNames(names)
}

func (tr *trainer) data(ctx context.Context, paths []string) (*dataset, error) {
	if tr.o.makes() {
		return digitData(tr.env, tr.input, tr.o)
	}
	if tr.o.FromTopic {
		return readTopic(ctx, tr.env, tr.input, tr.o, tr.augmentation)
	}
	split := tr.o.Split
	if split == pairs {
		split = ""
	}
	return readData(ctx, tr.env, paths, split, []h5.Split{h5.Train}, tr.input, tr.names(), tr.augmentation)
}

// validationData reads the validation data of the user's own, or else the validation parts of the archives whose
// training parts are in d. It returns nil if there are none.
func (tr *trainer) validationData(ctx context.Context, d *dataset) (*dataset, error) {
	paths, split := tr.o.Validation, ""
	if len(paths) == 0 {
		for path, part := range d.parts {
			if part == h5.Train && hasPart(ctx, tr.env, path, h5.Val) {
				paths, split = append(paths, path), string(h5.Val)
			}
		}
		slices.Sort(paths)
	}
	if len(paths) == 0 {
		return nil, nil
	}
	names := d.naming
	names.fixed = len(names.names) > 0
	v, err := readData(ctx, tr.env, paths, split, []h5.Split{h5.Val, h5.Test}, tr.input, names, nil)
	if err != nil {
		return nil, fmt.Errorf("validation data: %w", err)
	}
	if err := v.complete(tr.env, paths); err != nil {
		return nil, errors.Join(fmt.Errorf("validation data: %w", err), v.close())
	}
	tr.env.Log.Info("validation data", "rows", len(v.labels), "files", paths)
	tr.settings.ValidationSplit = 0
	return v, nil
}

// newModel creates a network of the configured architecture.
func (tr *trainer) newModel(classes int) (err error) {
	in := tr.input
	if in.Palette != nil {
		in.Channels = zoo.Channels(string(tr.settings.Arch))
	}
	shape := nn.Shape{in.Dims[0], in.Dims[1], in.Dims[2], in.Channels}
	if tr.model, err = zoo.New(string(tr.settings.Arch), shape, classes); err != nil {
		return app.Usage(fmt.Errorf("train.arch: %w%s", err, smallest(string(tr.settings.Arch), in.Channels, classes)))
	}
	tr.model.Metadata = in.Metadata(tr.o.Names)
	tr.model.Init(tr.env.Config.Seed)
	return nil
}

// smallest returns the end of an error that names the smallest cubic grid an architecture takes. It is empty if there is
// none.
func smallest(arch string, channels, classes int) string {
	const most = 64 // cells along an axis
	for n := 1; n <= most; n++ {
		if _, err := zoo.New(arch, nn.Shape{n, n, n, channels}, classes); err == nil {
			return fmt.Sprintf("; the smallest cubic grid of %s is --grid %d", arch, n)
		}
	}
	return ""
}

// fit trains on d and validates on v, or on the configured part of d if v is nil.
func (tr *trainer) fit(ctx context.Context, d, v *dataset) (err error) {
	c := &tr.settings
	if tr.o.Split == pairs {
		if err := d.paired(); err != nil {
			return app.Usage(fmt.Errorf("--split pairs: %w", err))
		}
	}
	if err := d.within(max(2, tr.model.ClassCount())); err != nil {
		return err
	}
	rows := d.trained()
	if g := tr.augmentation; g != nil {
		tr.logAugmentation(g)
	}
	tr.validated = v != nil
	tr.rows = rows.Len()
	if err := tr.prepare(ctx, int(float64(tr.rows)*(1-c.ValidationSplit))); err != nil {
		return err
	}
	if v != nil {
		tr.options.Validation = v.rows()
	}
	if err := tr.checkCalibration(rows); err != nil {
		return err
	}
	if c.ClassWeight.Balanced {
		tr.options.ClassWeight = d.balance(tr.model)
	}
	if d.ranges != "" {
		tr.options.Checkpoint.Settings = map[string]string{topicSetting: d.ranges}
	}
	log := newTrainingLog(tr.env, tr.model, tr.o)
	tr.options.Progress = log.progress
	tr.board.begin(ctx, d, v, &tr.options)
	tr.history, err = train.Fit(ctx, tr.model, rows, tr.options)
	if err = errors.Join(err, log.close()); err != nil {
		return err
	}
	return tr.finish(ctx, rows)
}

// finish makes the trained model average over views, and calibrates it, as the settings say. rows are those trained on.
func (tr *trainer) finish(ctx context.Context, rows train.Rows) (err error) {
	c := &tr.settings
	held := tr.held(rows)
	if c.Average != config.NoViews {
		if tr.model, err = zoo.Averaged(tr.model, string(c.Average)); err != nil {
			return app.Usage(fmt.Errorf("train.average: %w", err))
		}
	}
	if err := tr.learnTrust(ctx, rows, held); err != nil || held == nil || c.Average == config.NoViews && !c.Calibrate {
		return err
	}
	tr.final, err = train.Evaluate(ctx, tr.model, held, train.EvaluateOptions{Threads: tr.env.Threads()})
	return err
}

// held returns the validation rows: those of other files, or the part of rows that is not trained on. It is nil if there
// are none.
func (tr *trainer) held(rows train.Rows) train.Rows {
	if tr.options.Validation != nil {
		return tr.options.Validation
	}
	n := rows.Len()
	if split := tr.trained(n); split < n {
		return train.Part(rows, split, n)
	}
	return nil
}

// trained returns the number of rows of n that are trained on.
func (tr *trainer) trained(n int) int {
	split := int(float64(n) * (1 - tr.settings.ValidationSplit))
	if group := tr.options.Group; group > 1 {
		split -= split % group
	}
	return split
}

// prepare sets the training options for the given number of rows per epoch.
func (tr *trainer) prepare(ctx context.Context, rows int) error {
	c := &tr.settings
	options, err := trainOptions(c, tr.model, rows, tr.validated)
	if err != nil {
		return err
	}
	if options.ClassWeight, err = classWeight(c, tr.model); err != nil {
		return app.Usage(err)
	}
	options.Seed, options.Threads = tr.env.Config.Seed, tr.env.Threads()
	options.Checkpoint.Path, options.Checkpoint.Resume = tr.o.Checkpoint, tr.o.Resume
	options.Augmentation = tr.augmentation.String()
	tr.model.Augmentation = options.Augmentation
	if tr.o.Split == pairs || tr.o.makes() {
		options.Group = 2
	}
	if (tr.o.KeepBest || tr.o.Best != "") && options.EarlyStopping == nil {
		monitor := monitored(c, "accuracy", tr.validated)
		options.EarlyStopping = &train.EarlyStopping{Monitor: monitor, MinDelta: c.MinDelta}
	}
	if tr.o.KeepBest {
		options.EarlyStopping.Restore = true
	}
	tr.loss = string(c.Loss)
	if !sameLoss(tr.loss, options.Loss) { // another one for a single output
		tr.loss = options.Loss.Name()
	}
	if c.Optimizer == config.OptimizerInit {
		t, err := format.LoadTraining(ctx, tr.o.Init, tr.model)
		if err != nil {
			return fmt.Errorf("optimizer of %s: %w", tr.o.Init, err)
		}
		options.Optimizer = t.Optimizer
		if sameLoss(t.Loss, options.Loss) {
			tr.loss = t.Loss
		} else {
			tr.env.Log.Warn("the model was compiled with another loss; --loss chooses it", "file", tr.o.Init,
				"loss", options.Loss.Name(), "compiled with", t.Loss)
		}
	}
	tr.options = options
	return nil
}

// save writes the model, with the optimizer state if the format supports it, and the plot.
func (tr *trainer) save() error {
	var t *format.Training
	if name := strings.ToLower(tr.o.Out); strings.HasSuffix(name, ".keras") || strings.HasSuffix(name, ".h5") &&
		!strings.HasSuffix(name, ".weights.h5") {
		t = &format.Training{
			Optimizer: tr.options.Optimizer, Loss: tr.loss,
			Metrics: []string{"accuracy"},
		}
	}
	if err := format.SaveTraining(tr.o.Out, tr.model, t); err != nil {
		return err
	}
	if tr.o.Plot != "" {
		monitor := ""
		if e := tr.options.EarlyStopping; e != nil {
			monitor = e.Monitor
		}
		return plotHistory(tr.o.Plot, tr.o.Out, monitor, tr.history)
	}
	return nil
}
