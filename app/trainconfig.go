package app

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/train"
)

// validate reports what single values and their types do not show.
func (c *TrainConfig) validate() (errs []error) {
	check := func(ok bool, key string, found any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("train.%s: found %v, want %s", key, found, want))
		}
	}
	for _, k := range []struct {
		key string
		v   float64
	}{
		{"validation_split", c.ValidationSplit},
		{"label_smoothing", c.LabelSmoothing},
		{"momentum", c.Momentum},
		{"ema_momentum", c.EMAMomentum},
		{"decay_factor", c.DecayFactor},
	} {
		check(k.v >= 0 && k.v < 1, k.key, k.v, "0 or more and less than 1")
	}
	for _, k := range []struct {
		key      string
		v, least float64
	}{
		{"epochs", float64(c.Epochs), 1},
		{"batch_size", float64(c.BatchSize), 1},
		{"steps_per_epoch", float64(c.StepsPerEpoch), 1},
		{"plateau_patience", float64(c.Plateau), 1},
		{"weight_decay", c.WeightDecay, 0},
		{"clip_norm", c.ClipNorm, 0},
		{"clip_global_norm", c.ClipGlobalNorm, 0},
		{"clip_value", c.ClipValue, 0},
		{"min_delta", c.MinDelta, 0},
		{"warm_up", float64(c.WarmUp), 0},
		{"decay_steps", float64(c.DecaySteps), 0},
		{"patience", float64(c.Patience), 0},
		{"checkpoint_every", float64(c.CheckpointEvery), 0},
		{"checkpoint_steps", float64(c.CheckpointSteps), 0},
	} {
		check(k.v >= k.least, k.key, k.v, fmt.Sprintf("%g or more", k.least))
	}
	check(c.LearningRate > 0 && c.LearningRate <= 10, "learning_rate", c.LearningRate, "more than 0, at most 10")
	check(c.MemoryLimit >= 1<<20, "memory_limit", c.MemoryLimit, "1MiB or more")
	check(c.Schedule == "piecewise" == (len(c.Pieces) > 0), "pieces", c.Pieces, "STEP:RATE with the schedule piecewise, none with another")
	if _, _, err := c.pieces(); err != nil {
		errs = append(errs, fmt.Errorf("train.pieces: %w", err))
	}
	if _, err := c.classWeights(); err != nil {
		errs = append(errs, fmt.Errorf("train.class_weight: %w", err))
	}
	return errs
}

// balanced is the class_weight that goes by the shares of the classes.
const balanced = "balanced"

// classWeights are the weights of single classes; none where they are all the same, or balanced.
func (c *TrainConfig) classWeights() (map[int]float64, error) {
	if c.ClassWeight == "none" || c.ClassWeight == balanced {
		return nil, nil
	}
	weights := map[int]float64{}
	for item := range strings.SplitSeq(c.ClassWeight, ",") {
		left, right, _ := strings.Cut(item, "=")
		class, err := strconv.Atoi(strings.TrimSpace(left))
		weight, errWeight := strconv.ParseFloat(strings.TrimSpace(right), 64)
		if err != nil || errWeight != nil || class < 0 || !(weight >= 0) || math.IsInf(weight, 1) {
			return nil, fmt.Errorf("found %q, want none, balanced or CLASS=WEIGHT,... with classes from 0 and weights from 0 on", item)
		}
		if _, again := weights[class]; again {
			return nil, fmt.Errorf("found class %d twice", class)
		}
		weights[class] = weight
	}
	return weights, nil
}

// classWeight is one weight for each class of the model, nil where all count the same.
func (c *TrainConfig) classWeight(m *nn.Model) ([]float64, error) {
	named, _ := c.classWeights() // validated
	if len(named) == 0 {
		return nil, nil
	}
	outputs := m.Outputs()[0].Shape
	weights := slices.Repeat([]float64{1}, max(2, outputs[len(outputs)-1]))
	for class, weight := range named {
		if class >= len(weights) {
			return nil, fmt.Errorf("train.class_weight: found class %d, want 0 to %d, those of the model", class, len(weights)-1)
		}
		weights[class] = weight
	}
	return weights, nil
}

// pieces are the steps and rates of the schedule piecewise.
func (c *TrainConfig) pieces() (steps []int64, rates []float64, err error) {
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

// options are those of the training that is configured, for a model and a number of rows to train on in an epoch.
func (c *TrainConfig) options(m *nn.Model, rows int) (train.Options, error) {
	loss, err := train.NewLoss(c.Loss, c.FromLogits, c.LabelSmoothing)
	if err != nil {
		return train.Options{}, Usage(fmt.Errorf("train.loss: %w", err))
	}
	o := train.Options{
		Epochs: c.Epochs, BatchSize: c.BatchSize, ValidationSplit: c.ValidationSplit, Loss: loss, LearningRate: c.LearningRate, Shuffle: c.Shuffle,
		Memory: int64(c.MemoryLimit) / 2, Optimizer: c.optimizer(m, (rows+c.BatchSize-1)/c.BatchSize),
		Checkpoint: train.Checkpointing{Steps: uint64(c.CheckpointSteps), Every: c.CheckpointEvery.std()},
	}
	if err := o.Optimizer.Check(); err != nil {
		return o, Usage(fmt.Errorf("train: %w", err))
	}
	monitor := c.Monitor
	if monitor == "auto" {
		monitor = c.validated("loss")
	}
	if c.Patience > 0 {
		o.EarlyStopping = &train.EarlyStopping{Monitor: monitor, MinDelta: c.MinDelta, Patience: c.Patience, Restore: true}
	}
	if c.Schedule == "plateau" {
		o.Plateau = &train.ReduceOnPlateau{Monitor: monitor, Factor: cmp.Or(c.DecayFactor, .1), MinDelta: c.MinDelta, Patience: c.Plateau}
	}
	return o, nil
}

// validated is the figure after validation, where there is any.
func (c *TrainConfig) validated(figure string) string {
	if c.ValidationSplit > 0 {
		return "val_" + figure
	}
	return figure
}

// optimizer is the one that is configured; steps are those of an epoch.
func (c *TrainConfig) optimizer(m *nn.Model, steps int) *train.Optimizer {
	var o *train.Optimizer
	switch c.Optimizer {
	case "adamw":
		o = train.NewAdamW(m, c.LearningRate, 0)
	case "rmsprop":
		o = train.New(m, &train.RMSprop{Rho: .9, Epsilon: 1e-7, Momentum: c.Momentum}, c.LearningRate)
	case "sgd":
		o = train.New(m, &train.SGD{Momentum: c.Momentum, Nesterov: c.Nesterov}, c.LearningRate)
	default:
		o = train.NewAdam(m, c.LearningRate)
	}
	o.WeightDecay = c.WeightDecay
	o.Clip = train.Clip{Norm: c.ClipNorm, GlobalNorm: c.ClipGlobalNorm, Value: c.ClipValue}
	o.EMA.Momentum = c.EMAMomentum
	o.Schedule = c.schedule(steps)
	return o
}

// schedule is nil where the rate is constant, or falls on plateaus.
func (c *TrainConfig) schedule(steps int) train.Schedule {
	switch c.Schedule {
	case "cosine":
		s := &train.CosineDecay{Initial: c.LearningRate, Alpha: c.DecayFactor, Steps: int64(cmp.Or(c.DecaySteps, max(1, c.Epochs*steps-c.WarmUp)))}
		if c.WarmUp > 0 {
			s.Initial, s.WarmupTarget, s.WarmupSteps = 0, &c.LearningRate, int64(c.WarmUp)
		}
		return s
	case "exponential":
		return &train.ExponentialDecay{Initial: c.LearningRate, Steps: int64(cmp.Or(c.DecaySteps, steps)), Factor: cmp.Or(c.DecayFactor, .9)}
	case "piecewise":
		boundaries, rates, _ := c.pieces() // validated
		return &train.PiecewiseConstantDecay{Boundaries: boundaries, Values: rates}
	}
	return nil
}
