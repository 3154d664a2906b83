package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Validate reports what single values and their types do not show.
func (c *Train) Validate() (errs []error) {
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
	if _, _, err := c.SchedulePieces(); err != nil {
		errs = append(errs, fmt.Errorf("train.pieces: %w", err))
	}
	if _, err := c.ClassWeights(); err != nil {
		errs = append(errs, fmt.Errorf("train.class_weight: %w", err))
	}
	return errs
}

// Balanced is the class_weight that goes by the shares of the classes.
const Balanced = "balanced"

// ClassWeights are the weights of single classes; none where they are all the same, or balanced.
func (c *Train) ClassWeights() (map[int]float64, error) {
	if c.ClassWeight == "none" || c.ClassWeight == Balanced {
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
