package learn

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/train"
)

// classWeight is one weight for each class of the model, nil where all count the same.
func classWeight(c *config.Train, m *nn.Model) ([]float64, error) {
	named, _ := c.ClassWeights() // validated
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

// options are those of the training that is configured, for a model and a number of rows to train on in an epoch.
func trainOptions(c *config.Train, m *nn.Model, rows int) (train.Options, error) {
	loss, err := train.NewLoss(c.Loss, c.FromLogits, c.LabelSmoothing)
	if err != nil {
		return train.Options{}, app.Usage(fmt.Errorf("train.loss: %w", err))
	}
	o := train.Options{
		Epochs: c.Epochs, BatchSize: c.BatchSize, ValidationSplit: c.ValidationSplit, Loss: loss, LearningRate: c.LearningRate, Shuffle: c.Shuffle,
		Memory: int64(c.MemoryLimit) / 2, Optimizer: optimizer(c, m, (rows+c.BatchSize-1)/c.BatchSize),
		Checkpoint: train.Checkpointing{Steps: uint64(c.CheckpointSteps), Every: c.CheckpointEvery},
	}
	if err := o.Optimizer.Check(); err != nil {
		return o, app.Usage(fmt.Errorf("train: %w", err))
	}
	monitor := c.Monitor
	if monitor == "auto" {
		monitor = validated(c, "loss")
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
func validated(c *config.Train, figure string) string {
	if c.ValidationSplit > 0 {
		return "val_" + figure
	}
	return figure
}

// optimizer is the one that is configured; steps are those of an epoch.
func optimizer(c *config.Train, m *nn.Model, steps int) *train.Optimizer {
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
	o.Schedule = schedule(c, steps)
	return o
}

// schedule is nil where the rate is constant, or falls on plateaus.
func schedule(c *config.Train, steps int) train.Schedule {
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
		boundaries, rates, _ := c.SchedulePieces() // validated
		return &train.PiecewiseConstantDecay{Boundaries: boundaries, Values: rates}
	}
	return nil
}
