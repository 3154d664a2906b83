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

	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/nn/zoo"
)

// Train is the section train.
type Train struct {
	Arch            Arch    `yaml:"arch" flag:"arch" doc:"Architecture of a new network."`
	Epochs          int     `yaml:"epochs" flag:"epochs" min:"1" doc:"Number of passes over the data."`
	BatchSize       int     `yaml:"batch_size" flag:"batch-size" min:"1" doc:"Number of samples per step."`
	ValidationSplit float64 `yaml:"validation_split" flag:"validation-split" min:"0" below:"1" doc:"Fraction of the rows to hold out for validation: the last ones, before shuffling."`
	LearningRate    float64 `yaml:"learning_rate" flag:"learning-rate" above:"0" max:"10" doc:"Initial learning rate."`
	Shuffle         bool    `yaml:"shuffle" flag:"shuffle" doc:"Shuffle the rows before each epoch."`

	Loss           Loss        `yaml:"loss" flag:"loss" doc:"Loss function, by Keras's name and with its arithmetic."`
	FromLogits     bool        `yaml:"from_logits" flag:"from-logits" doc:"The model's output is logits, not probabilities."`
	LabelSmoothing float64     `yaml:"label_smoothing" flag:"label-smoothing" min:"0" below:"1" doc:"Fraction of each label that is spread over all classes."`
	ClassWeight    ClassWeight `yaml:"class_weight" flag:"class-weight" doc:"Weights of the classes in the loss. none: all the same. balanced: inversely proportional to the number of rows of the class. Or CLASS=WEIGHT,... where classes that are not named weigh 1."`

	Optimizer      Optimizer `yaml:"optimizer" flag:"optimizer" doc:"Optimizer, by Keras's name and with its arithmetic."`
	Momentum       float64   `yaml:"momentum" flag:"momentum" min:"0" below:"1" doc:"Momentum of sgd and rmsprop."`
	Nesterov       bool      `yaml:"nesterov" flag:"nesterov" doc:"Nesterov momentum, with sgd."`
	WeightDecay    float64   `yaml:"weight_decay" flag:"weight-decay" min:"0" doc:"Decoupled weight decay: in each step a weight shrinks by this fraction times the learning rate."`
	ClipNorm       float64   `yaml:"clip_norm" flag:"clip-norm" min:"0" doc:"Clip the gradient of each weight to this norm. 0: no clipping."`
	ClipGlobalNorm float64   `yaml:"clip_global_norm" flag:"clip-global-norm" min:"0" doc:"Clip all gradients together to this norm. 0: no clipping."`
	ClipValue      float64   `yaml:"clip_value" flag:"clip-value" min:"0" doc:"Clip each number of a gradient to this size. 0: no clipping."`
	EMAMomentum    float64   `yaml:"ema_momentum" flag:"ema" min:"0" below:"1" doc:"Momentum of an exponential moving average of the weights, which the model gets at the end. 0: it gets the last weights."`

	Schedule    Schedule `yaml:"schedule" flag:"schedule" doc:"How the learning rate changes."`
	WarmUp      int      `yaml:"warm_up" flag:"warm-up" min:"0" doc:"Steps in which the learning rate rises from 0, with the schedule cosine."`
	DecaySteps  int      `yaml:"decay_steps" flag:"decay-steps" min:"0" doc:"Steps of the decay with the schedule cosine, or between two decays with exponential. 0: all steps after the warm-up, or one epoch."`
	DecayFactor float64  `yaml:"decay_factor" flag:"decay-factor" min:"0" below:"1" doc:"Factor of the learning rate per decay_steps (exponential) or after plateau_patience (plateau); cosine ends at this fraction of the rate. 0: 0 for cosine, .9 for exponential, .1 for plateau."`
	Pieces      []string `yaml:"pieces" flag:"pieces" doc:"STEP:RATE, with the schedule piecewise: the learning rate after that step. Before the first it is learning_rate."`

	Monitor  Monitor `yaml:"monitor" flag:"monitor" doc:"Metric to monitor for the best epoch, plateaus and early stopping."`
	MinDelta float64 `yaml:"min_delta" flag:"min-delta" min:"0" doc:"Smallest change of the metric that counts as an improvement."`
	Patience int     `yaml:"patience" flag:"patience" min:"0" doc:"Epochs without improvement after which training stops, with the weights of the best epoch. 0: no early stopping."`
	Plateau  int     `yaml:"plateau_patience" flag:"plateau-patience" min:"1" doc:"Epochs without improvement after which the schedule plateau lowers the learning rate."`

	StepsPerEpoch   int           `yaml:"steps_per_epoch" flag:"steps-per-epoch" min:"1" doc:"Steps of an epoch when training follows a topic."`
	CheckpointEvery time.Duration `yaml:"checkpoint_every" flag:"checkpoint-every" doc:"Interval between checkpoints, besides the one after each epoch. 0s: no others."`
	CheckpointSteps int           `yaml:"checkpoint_steps" flag:"checkpoint-steps" min:"0" doc:"Steps between checkpoints, besides the one after each epoch. 0: no others."`
	MemoryLimit     option.Bytes  `yaml:"memory_limit" flag:"memory-limit" min:"1MiB" doc:"Most memory for rows. Rows that need more are kept in a temporary file and shuffled in blocks."`
}

func defaultTrain() Train {
	return Train{
		Arch: "tutorial", Epochs: 40, BatchSize: 128, ValidationSplit: 0.3, LearningRate: 1e-3, Shuffle: true,
		Loss: "categorical_crossentropy", Optimizer: "adam", Schedule: "constant", Pieces: []string{}, Monitor: MonitorAuto,
		Plateau: 10, StepsPerEpoch: 100, MemoryLimit: 2 << 30,
	}
}

// Validate reports what does not go together.
func (c *Train) Validate() error {
	var errs []error
	if (c.Schedule == train.SchedulePiecewise) != (len(c.Pieces) > 0) {
		errs = append(errs, fmt.Errorf("pieces: found %q, want STEP:RATE with the schedule %s, none with another", c.Pieces, train.SchedulePiecewise))
	}
	if _, _, err := c.SchedulePieces(); err != nil {
		errs = append(errs, fmt.Errorf("pieces: %w", err))
	}
	return errors.Join(errs...)
}

// SchedulePieces are the steps and rates of the schedule piecewise.
func (c *Train) SchedulePieces() (steps []int64, rates []float64, err error) {
	rates = []float64{c.LearningRate}
	for _, p := range c.Pieces {
		left, right, _ := strings.Cut(p, ":")
		step, err := strconv.ParseInt(left, 10, 64)
		if err != nil || step < 0 || len(steps) > 0 && step <= steps[len(steps)-1] {
			return nil, nil, fmt.Errorf("found %q, want STEP:RATE with rising steps", p)
		}
		rate, err := strconv.ParseFloat(right, 64)
		if err != nil || !(rate > 0) {
			return nil, nil, fmt.Errorf("found %q, want STEP:RATE with a rate above 0", p)
		}
		steps, rates = append(steps, step), append(rates, rate)
	}
	return steps, rates, nil
}

// Arch names an architecture of [zoo].
type Arch string

// Choices are the names of the list.
func (Arch) Choices() []string { return zoo.Names() }

// ChoiceDoc is the documentation of an architecture.
func (Arch) ChoiceDoc(name string) string { return zoo.Doc(name) }

// Loss names a loss of [train].
type Loss string

// Choices are the names of the list.
func (Loss) Choices() []string { return train.Losses() }

// ChoiceDoc is the documentation of a loss.
func (Loss) ChoiceDoc(name string) string { return train.LossDoc(name) }

// Optimizer names an optimizer of [train], or is OptimizerInit.
type Optimizer string

// OptimizerInit continues with the optimizer in the file that training starts from.
const OptimizerInit Optimizer = "init"

// Choices are the names of the list, and OptimizerInit.
func (Optimizer) Choices() []string { return append(train.Optimizers(), string(OptimizerInit)) }

// ChoiceDoc is the documentation of an optimizer.
func (Optimizer) ChoiceDoc(name string) string {
	if Optimizer(name) == OptimizerInit {
		return "The optimizer in the file that training starts from, with its state and learning rate."
	}
	return train.OptimizerDoc(name)
}

// Schedule names a schedule of [train].
type Schedule string

// Choices are the names of the list.
func (Schedule) Choices() []string { return train.Schedules() }

// ChoiceDoc is the documentation of a schedule.
func (Schedule) ChoiceDoc(name string) string { return train.ScheduleDoc(name) }

// Monitor names a figure of an epoch, or is MonitorAuto.
type Monitor string

// MonitorAuto is the figure that suits: the loss, or for --keep-best the accuracy, after validation where there is one.
const MonitorAuto Monitor = "auto"

// Choices are MonitorAuto and the names of the list.
func (Monitor) Choices() []string { return append([]string{string(MonitorAuto)}, train.Monitors()...) }

// ChoiceDoc is the documentation of a figure.
func (Monitor) ChoiceDoc(name string) string {
	if Monitor(name) == MonitorAuto {
		return "val_loss, or loss without validation; with --keep-best val_accuracy, or accuracy."
	}
	return train.MonitorDoc(name)
}

// ClassWeight says how much the rows of each class count in the loss. It is written none, balanced or CLASS=WEIGHT,...; the zero value is none.
type ClassWeight struct {
	// Balanced weighs a class the more, the fewer rows it has.
	Balanced bool
	// Of are the weights of single classes; the others weigh 1.
	Of map[int]float64
}

// String is the notation that UnmarshalText reads.
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

// MarshalText is String.
func (w ClassWeight) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText reads none, balanced or CLASS=WEIGHT,...
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
			return errors.New("want none, balanced or CLASS=WEIGHT,... with each class once, from 0, and weights of 0 or more")
		}
		of[class] = weight
	}
	*w = ClassWeight{Of: of}
	return nil
}
