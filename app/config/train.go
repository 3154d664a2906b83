package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/augment"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/nn/zoo"
)

// Train is the section train.
type Train struct {
	Arch            Arch    `yaml:"arch" flag:"arch" doc:"Architecture of the network, when training from scratch." group:"Network"`
	Epochs          int     `yaml:"epochs" flag:"epochs" min:"1" doc:"Number of passes over the training data."`
	BatchSize       int     `yaml:"batch_size" flag:"batch-size" min:"1" doc:"Number of samples per training step."`
	ValidationSplit float64 `yaml:"validation_split" flag:"validation-split" min:"0" below:"1" doc:"Fraction of the rows to hold out for validation, taken from the end before shuffling."`
	LearningRate    float64 `yaml:"learning_rate" flag:"learning-rate" above:"0" max:"10" doc:"Initial learning rate." group:"Learning rate"`
	Shuffle         bool    `yaml:"shuffle" flag:"shuffle" doc:"Shuffle the rows before each epoch."`
	Augment         Augment `yaml:"augment" flag:"augment" doc:"Random changes of the training rows in each epoch, in order: NAME or NAME:OPTION=VALUE,..., separated by commas or semicolons, such as rotate,jitter:sigma=0.02. They are applied to points before voxelization, or else to voxel grids. Validation rows stay as they are."`

	Loss           Loss        `yaml:"loss" flag:"loss" doc:"Loss function, as named and defined by Keras." group:"Loss"`
	FromLogits     bool        `yaml:"from_logits" flag:"from-logits" doc:"The model outputs logits instead of probabilities." group:"Loss"`
	LabelSmoothing float64     `yaml:"label_smoothing" flag:"label-smoothing" min:"0" below:"1" doc:"Label smoothing: the fraction of each label to spread evenly over all classes." group:"Loss"`
	ClassWeight    ClassWeight `yaml:"class_weight" flag:"class-weight" doc:"Class weights in the loss. none weighs all classes equally. balanced weighs them inversely to their number of rows. CLASS=WEIGHT,... sets weights; classes not listed weigh 1." group:"Loss"`

	Optimizer      Optimizer `yaml:"optimizer" flag:"optimizer" doc:"Optimizer, as named and defined by Keras." group:"Optimizer"`
	Momentum       float64   `yaml:"momentum" flag:"momentum" min:"0" below:"1" doc:"Momentum of sgd and rmsprop." group:"Optimizer"`
	Nesterov       bool      `yaml:"nesterov" flag:"nesterov" doc:"Use Nesterov momentum with sgd." group:"Optimizer"`
	WeightDecay    float64   `yaml:"weight_decay" flag:"weight-decay" min:"0" doc:"Decoupled weight decay. Each step shrinks the weights by this fraction times the learning rate." group:"Optimizer"`
	ClipNorm       float64   `yaml:"clip_norm" flag:"clip-norm" min:"0" doc:"Maximum norm of the gradient of each weight tensor. 0 disables clipping." group:"Optimizer"`
	ClipGlobalNorm float64   `yaml:"clip_global_norm" flag:"clip-global-norm" min:"0" doc:"Maximum global norm of all gradients. 0 disables clipping." group:"Optimizer"`
	ClipValue      float64   `yaml:"clip_value" flag:"clip-value" min:"0" doc:"Maximum absolute value of each element of a gradient. 0 disables clipping." group:"Optimizer"`
	EMAMomentum    float64   `yaml:"ema_momentum" flag:"ema" min:"0" below:"1" doc:"Momentum of an exponential moving average of the weights, which replaces the weights at the end. 0 keeps the last weights." group:"Optimizer"`

	Average Views `yaml:"average" flag:"average" doc:"Views of each volume over which the trained model averages its scores." group:"Network"`

	Calibrate bool `yaml:"calibrate" flag:"calibrate" doc:"Fit a temperature to the validation data, so that scores are probabilities."`

	Schedule    Schedule `yaml:"schedule" flag:"schedule" doc:"Learning rate schedule." group:"Learning rate"`
	WarmUp      int      `yaml:"warm_up" flag:"warm-up" min:"0" doc:"Number of warm-up steps of the cosine schedule, in which the learning rate rises from 0." group:"Learning rate"`
	DecaySteps  int      `yaml:"decay_steps" flag:"decay-steps" min:"0" doc:"Length of the decay in steps. 0 means all steps after the warm-up for the cosine schedule, and one epoch for the exponential schedule." group:"Learning rate"`
	DecayFactor float64  `yaml:"decay_factor" flag:"decay-factor" min:"0" below:"1" doc:"Factor that the exponential and plateau schedules multiply the learning rate by. For cosine, the final fraction of the learning rate. 0 means 0 for cosine, 0.9 for exponential and 0.1 for plateau." group:"Learning rate"`
	Pieces      []string `yaml:"pieces" flag:"pieces" doc:"STEP:RATE pairs of the piecewise schedule: the learning rate after each step. Until the first step it is learning_rate." group:"Learning rate"`

	Monitor  Monitor `yaml:"monitor" flag:"monitor" doc:"Metric to monitor for the best epoch, plateaus and early stopping." group:"Early stopping"`
	MinDelta float64 `yaml:"min_delta" flag:"min-delta" min:"0" doc:"Minimum change of the monitored metric that counts as an improvement." group:"Early stopping"`
	Patience int     `yaml:"patience" flag:"patience" min:"0" doc:"Early stopping: number of epochs without improvement before training stops and restores the best weights. 0 disables it." group:"Early stopping"`
	Plateau  int     `yaml:"plateau_patience" flag:"plateau-patience" min:"1" doc:"Number of epochs without improvement before the plateau schedule lowers the learning rate." group:"Learning rate"`

	StepsPerEpoch   int           `yaml:"steps_per_epoch" flag:"steps-per-epoch" min:"1" doc:"Number of steps per epoch when following a topic."`
	CheckpointEvery time.Duration `yaml:"checkpoint_every" flag:"checkpoint-every" doc:"Time between checkpoints within an epoch. 0s writes them only at the end of each epoch." group:"Output"`
	CheckpointSteps int           `yaml:"checkpoint_steps" flag:"checkpoint-steps" min:"0" doc:"Number of steps between checkpoints within an epoch. 0 writes them only at the end of each epoch." group:"Output"`
	MemoryLimit     option.Bytes  `yaml:"memory_limit" flag:"memory-limit" min:"1MiB" doc:"Maximum memory for training data. Larger datasets are kept in a temporary file and shuffled in blocks."`
}

func defaultTrain() Train {
	return Train{
		Arch: "tutorial", Epochs: 40, BatchSize: 128, ValidationSplit: 0.3, LearningRate: 1e-3, Shuffle: true,
		Loss: "categorical_crossentropy", Optimizer: "adam", Schedule: "constant", Pieces: []string{},
		Monitor: MonitorAuto, Average: NoViews,
		Plateau: 10, StepsPerEpoch: 100, MemoryLimit: 2 << 30,
	}
}

// Validate reports conflicting settings.
func (c *Train) Validate() error {
	var errs []error
	if (c.Schedule == train.SchedulePiecewise) != (len(c.Pieces) > 0) {
		errs = append(errs, fmt.Errorf("pieces: found %q, want STEP:RATE pairs with the schedule %s, and none with "+
			"others",
			c.Pieces, train.SchedulePiecewise))
	}
	if _, _, err := c.SchedulePieces(); err != nil {
		errs = append(errs, fmt.Errorf("pieces: %w", err))
	}
	_, problems := augment.Parse(string(c.Augment))
	for _, err := range problems {
		errs = append(errs, fmt.Errorf("augment: %w", err))
	}
	return errors.Join(errs...)
}

// SchedulePieces parses the steps and rates of the piecewise schedule.
func (c *Train) SchedulePieces() (steps []int64, rates []float64, err error) {
	rates = []float64{c.LearningRate}
	for _, p := range c.Pieces {
		left, right, _ := strings.Cut(p, ":")
		step, err := strconv.ParseInt(left, 10, 64)
		if err != nil || step < 0 || len(steps) > 0 && step <= steps[len(steps)-1] {
			return nil, nil, fmt.Errorf("found %q, want STEP:RATE with ascending steps", p)
		}
		rate, err := strconv.ParseFloat(right, 64)
		if err != nil || !(rate > 0) {
			return nil, nil, fmt.Errorf("found %q, want STEP:RATE with a rate above 0", p)
		}
		steps, rates = append(steps, step), append(rates, rate)
	}
	return steps, rates, nil
}

// Augment is the text of an [augment.Recipe].
type Augment string

// Hint lists the augmentations.
func (Augment) Hint() string {
	var names []string
	for _, k := range augment.Kinds() {
		names = append(names, k.Name)
	}
	return "Any of " + strings.Join(names, ", ") + "."
}

// Arch is the name of an architecture of [zoo].
type Arch string

// ArchBest chooses the architecture from the data, and with it the settings that the user leaves open.
const ArchBest Arch = "best"

// Choices lists ArchBest and the architectures.
func (Arch) Choices() []string { return append([]string{string(ArchBest)}, zoo.Names()...) }

// ChoiceDoc returns the description of an architecture.
func (Arch) ChoiceDoc(name string) string {
	if Arch(name) == ArchBest {
		return "The network and settings that suit the data best: plane for flat objects, volume for others. " +
			"Explicit settings in this section take precedence."
	}
	return zoo.Doc(name)
}

// Views is the name of the views of a volume over which a model averages, or NoViews.
type Views string

// NoViews makes a model look at each volume once.
const NoViews Views = "none"

// Choices lists NoViews and the views.
func (Views) Choices() []string { return append([]string{string(NoViews)}, zoo.Views()...) }

// ChoiceDoc returns the description of views.
func (Views) ChoiceDoc(name string) string {
	if Views(name) == NoViews {
		return "Each volume once, as it is."
	}
	return zoo.ViewsDoc(name)
}

// Loss is the name of a loss of [train].
type Loss string

// Choices lists the losses.
func (Loss) Choices() []string { return train.Losses() }

// ChoiceDoc returns the description of a loss.
func (Loss) ChoiceDoc(name string) string { return train.LossDoc(name) }

// Optimizer is the name of an optimizer of [train], or OptimizerInit.
type Optimizer string

// OptimizerInit continues with the optimizer stored in the initial model.
const OptimizerInit Optimizer = "init"

// Choices lists the optimizers and OptimizerInit.
func (Optimizer) Choices() []string { return append(train.Optimizers(), string(OptimizerInit)) }

// ChoiceDoc returns the description of an optimizer.
func (Optimizer) ChoiceDoc(name string) string {
	if Optimizer(name) == OptimizerInit {
		return "The optimizer stored in the initial model, with its state and learning rate."
	}
	return train.OptimizerDoc(name)
}

// Schedule is the name of a schedule of [train].
type Schedule string

// Choices lists the schedules.
func (Schedule) Choices() []string { return train.Schedules() }

// ChoiceDoc returns the description of a schedule.
func (Schedule) ChoiceDoc(name string) string { return train.ScheduleDoc(name) }

// Monitor is the name of a metric, or MonitorAuto.
type Monitor string

// MonitorAuto selects the loss, or the accuracy for --keep-best, on validation data if there is any.
const MonitorAuto Monitor = "auto"

// Choices lists MonitorAuto and the metrics.
func (Monitor) Choices() []string { return append([]string{string(MonitorAuto)}, train.Monitors()...) }

// ChoiceDoc returns the description of a metric.
func (Monitor) ChoiceDoc(name string) string {
	if Monitor(name) == MonitorAuto {
		return "val_loss, or val_accuracy with --keep-best; loss or accuracy without validation data."
	}
	return train.MonitorDoc(name)
}

// ClassWeight sets the weight of each class in the loss. Its text form is none, balanced or CLASS=WEIGHT,...; the
// zero value is none.
type ClassWeight struct {
	// Balanced weighs classes inversely to their number of rows.
	Balanced bool
	// Of holds the weights of individual classes. The others have weight 1.
	Of map[int]float64
}

// String returns the text form that UnmarshalText reads.
func (w ClassWeight) String() string {
	switch {
	case w.Balanced:
		return "balanced"
	case len(w.Of) == 0:
		return "none"
	}
	var items []string
	for _, class := range slices.Sorted(maps.Keys(w.Of)) {
		items = append(items, fmt.Sprintf("%d=%g", class, w.Of[class]))
	}
	return strings.Join(items, ",")
}

// MarshalText returns String.
func (w ClassWeight) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText parses none, balanced or CLASS=WEIGHT,...
func (w *ClassWeight) UnmarshalText(text []byte) error {
	switch string(text) {
	case "none":
		*w = ClassWeight{}
		return nil
	case "balanced":
		*w = ClassWeight{Balanced: true}
		return nil
	}
	of := map[int]float64{}
	for item := range strings.SplitSeq(string(text), ",") {
		left, right, _ := strings.Cut(item, "=")
		class, err := strconv.Atoi(strings.TrimSpace(left))
		weight, errWeight := strconv.ParseFloat(strings.TrimSpace(right), 64)
		_, again := of[class]
		if err != nil || errWeight != nil || class < 0 || !(weight >= 0) || math.IsInf(weight, 1) || again {
			return errors.New("want none, balanced or CLASS=WEIGHT,... with classes from 0, each at most " +
				"once, and weights " +
				"of 0 or more")
		}
		of[class] = weight
	}
	*w = ClassWeight{Of: of}
	return nil
}
