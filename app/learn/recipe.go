package learn

import (
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/internal/eigen"
	"github.com/voxelstream/voxelstream/voxelize"
)

// The settings of config.ArchBest, where the user has not set others. docs/accuracy.md has the trials behind them.
const (
	bestPlane, bestVolume = "plane", "volume"
	// bestRows is the number of rows to train on, over all epochs, and bestEpochs the largest number of epochs.
	bestRows, bestEpochs = 600_000, 100
	// bestSplit is the part of the rows to validate on, and bestDigitsSplit that of digits: 2,000 of MNIST's 60,000.
	bestSplit, bestDigitsSplit = .1, 1. / 30
	// flat is the part of the second largest variance of a volume along its principal axes below which the smallest one
	// makes it flat.
	flat = .5
	// alike is the alignment of the thin axes of volumes above which they have one pose.
	alike = .9
	// looked is the number of rows from which the architecture is chosen.
	looked = 500
)

// best chooses the architecture for data, and completes the settings that the user has left open.
func (tr *trainer) best(d *dataset) error {
	c := &tr.settings
	thin, aligned, err := flatness(d)
	if err != nil {
		return err
	}
	if c.Arch = bestVolume; thin < flat && aligned < alike && d.input.Palette != nil {
		c.Arch = bestPlane
	}
	if !tr.env.Config.IsSet("train.validation_split") {
		c.ValidationSplit = bestSplit
		if d.digits != nil {
			c.ValidationSplit = bestDigitsSplit
		}
	}
	rows := d.rows().Len()
	epochs := int(math.Round(bestRows / (float64(rows) * (1 - c.ValidationSplit))))
	for key, set := range map[string]func(){
		"epochs":          func() { c.Epochs = min(max(epochs, 1), bestEpochs) },
		"optimizer":       func() { c.Optimizer = "adamw" },
		"batch_size":      func() { c.BatchSize = 64 },
		"learning_rate":   func() { c.LearningRate = .002 },
		"weight_decay":    func() { c.WeightDecay = .02 },
		"schedule":        func() { c.Schedule = "cosine" },
		"warm_up":         func() { c.WarmUp = 200 },
		"ema_momentum":    func() { c.EMAMomentum = .999 },
		"label_smoothing": func() { c.LabelSmoothing = .03 },
		"calibrate":       func() { c.Calibrate = true },
		"average": func() {
			switch {
			case c.Arch == bestPlane:
				c.Average = "turned"
			case d.digits != nil:
				c.Average = "turns"
			}
		},
	} {
		if !tr.env.Config.IsSet("train." + key) {
			set()
		}
	}
	tr.env.Log.Info("chose the architecture from the data", "arch", c.Arch, "thinness", thin, "alignment", aligned,
		"epochs", c.Epochs, "average", c.Average)
	return nil
}

// flatness looks at the principal axes of rows. thin is the median of the smallest variance along them, divided by the
// second largest. aligned is 1 if the axes of the smallest variance are all parallel, and a third if they point anywhere:
// the largest eigenvalue of the mean of their outer products.
func flatness(d *dataset) (thin, aligned float64, err error) {
	var all []float64
	var mean [3][3]float64
	rows := d.rows().Len()
	step := rows/looked | 1 // odd, for rows in pairs
	for row := 0; row < rows; row += step {
		v, err := d.volume(row)
		if err != nil {
			return 0, 0, err
		}
		e, axes := principal(&v)
		if !(e[1] > 0) {
			continue
		}
		all = append(all, e[2]/e[1])
		for a := range mean {
			for b := range mean {
				mean[a][b] += axes[2][a] * axes[2][b]
			}
		}
	}
	if len(all) == 0 {
		return 1, 1, nil
	}
	slices.Sort(all)
	most, _ := eigen.Symmetric(mean)
	return all[len(all)/2], most[0] / float64(len(all)), nil
}

// principal returns the variances of a volume along its principal axes, largest first, and the axes. Each cell weighs as
// much as its value, in the first channel, is above the lowest one.
func principal(v *voxelize.Volume) (values [3]float64, axes [3][3]float64) {
	value := func(i int) float64 { return float64(v.Index[i]) }
	if v.Index == nil {
		lowest := slices.Min(v.Values)
		value = func(i int) float64 { return float64(v.Values[i*v.Content.Channels] - lowest) }
	}
	var total float64
	var sum [3]float64
	var m [3][3]float64
	for i := range v.Dims[0] * v.Dims[1] * v.Dims[2] {
		w := value(i)
		at := [3]float64{float64(i % v.Dims[2]), float64(i / v.Dims[2] % v.Dims[1]), float64(i / v.Dims[2] / v.Dims[1])}
		total += w
		for a := range at {
			sum[a] += w * at[a]
			for b := range at {
				m[a][b] += w * at[a] * at[b]
			}
		}
	}
	if total == 0 {
		return values, axes
	}
	for a := range m {
		for b := range m {
			m[a][b] = m[a][b]/total - sum[a]/total*sum[b]/total
		}
	}
	return eigen.Symmetric(m)
}
