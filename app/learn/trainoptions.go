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

// classWeight returns a weight for each class of the model, or nil if all are equal.
func classWeight(c *config.Train, m *nn.Model) ([]float64, error) {
	if len(c.ClassWeight.Of) == 0 {
		return nil, nil
	}
	outputs := m.Outputs()[0].Shape
	weights := slices.Repeat([]float64{1}, max(2, outputs[len(outputs)-1]))
	for class, weight := range c.ClassWeight.Of {
		if class >= len(weights) {
			return nil, fmt.Errorf("train.class_weight: found class %d, but the model has classes 0 to %d", class,
				len(weights)-1)
		}
		weights[class] = weight
	}
	return weights, nil
}

// trainOptions returns the configured training options for a model and a number of training rows per epoch. validated
// reports that there is validation data besides the rows.
func trainOptions(c *config.Train, m *nn.Model, rows int, validated bool) (train.Options, error) {
	loss, err := train.NewLoss(string(c.Loss), c.FromLogits, c.LabelSmoothing)
	if m.Outputs()[0].Shape.Size() == 1 {
		switch loss.(type) { // over a single output, categorical losses are always 0
		case *train.CategoricalCrossentropy:
			loss = &train.BinaryCrossentropy{FromLogits: c.FromLogits, LabelSmoothing: c.LabelSmoothing}
		case *train.CategoricalFocalCrossentropy:
			err = fmt.Errorf("found %s for a model with a single output, want binary_crossentropy", c.Loss)
		}
	}
	if err != nil {
		return train.Options{}, app.Usage(fmt.Errorf("train.loss: %w", err))
	}
	optimizer, err := optimizer(c, m, (rows+c.BatchSize-1)/c.BatchSize)
	if err != nil {
		return train.Options{}, app.Usage(fmt.Errorf("train: %w", err))
	}
	o := train.Options{
		Epochs: c.Epochs, BatchSize: c.BatchSize, ValidationSplit: c.ValidationSplit, Loss: loss,
		LearningRate: c.LearningRate, Shuffle: c.Shuffle,
		Memory: int64(c.MemoryLimit) / 2, Optimizer: optimizer,
		Checkpoint: train.Checkpointing{Steps: uint64(c.CheckpointSteps), Every: c.CheckpointEvery},
	}
	if err := o.Optimizer.Check(); err != nil {
		return o, app.Usage(fmt.Errorf("train: %w", err))
	}
	monitor := monitored(c, "loss", validated)
	if c.Patience > 0 {
		o.EarlyStopping = &train.EarlyStopping{
			Monitor: monitor, MinDelta: c.MinDelta, Patience: c.Patience,
			Restore: true,
		}
	}
	if c.Schedule == train.SchedulePlateau {
		o.Plateau = &train.ReduceOnPlateau{
			Monitor: monitor, Factor: cmp.Or(c.DecayFactor, .1), MinDelta: c.MinDelta,
			Patience: c.Plateau,
		}
	}
	return o, nil
}

// monitored returns the configured metric or else the given one, on validation data if there is any.
func monitored(c *config.Train, figure string, validated bool) string {
	switch {
	case c.Monitor != config.MonitorAuto:
		return string(c.Monitor)
	case validated || c.ValidationSplit > 0:
		return "val_" + figure
	}
	return figure
}

// sameLoss reports whether the loss of a Keras file, a name or an object that has one, is l. The names of
// cross-entropies for integer and for one-hot labels differ there.
func sameLoss(keras any, l train.Loss) bool {
	if o, ok := keras.(map[string]any); ok {
		config, _ := o["config"].(map[string]any)
		keras = config["name"]
	}
	name, _ := keras.(string)
	other, err := train.NewLoss(name, false, 0)
	return err == nil && other.Name() == l.Name()
}

// optimizer returns the configured optimizer. steps is the number of steps per epoch. For config.OptimizerInit it
// returns a placeholder for the one loaded later.
func optimizer(c *config.Train, m *nn.Model, steps int) (*train.Optimizer, error) {
	name := c.Optimizer
	if name == config.OptimizerInit {
		name = "adam"
	}
	rule, err := train.NewRule(string(name), c.Momentum, c.Nesterov)
	if err != nil {
		return nil, err
	}
	o := train.New(m, rule, c.LearningRate)
	o.WeightDecay = c.WeightDecay
	o.Clip = train.Clip{Norm: c.ClipNorm, GlobalNorm: c.ClipGlobalNorm, Value: c.ClipValue}
	o.EMA.Momentum = c.EMAMomentum
	s := train.ScheduleOptions{
		Rate: c.LearningRate, WarmUp: c.WarmUp, DecaySteps: c.DecaySteps, Factor: c.DecayFactor, Epoch: steps,
		Steps: c.Epochs * steps,
	}
	if s.Boundaries, s.Rates, err = c.SchedulePieces(); err != nil {
		return nil, err
	}
	o.Schedule, err = train.NewSchedule(string(c.Schedule), s)
	return o, err
}
