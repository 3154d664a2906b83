package nn

import (
	"errors"
	"fmt"
	"math"
)

// Trust is what a classifier's metadata says about how far its outputs can be trusted. The zero value says nothing.
type Trust struct {
	// Temperature divides the logits before the softmax, so that scores are probabilities (Guo et al. 2017). 0 means
	// that the model is not calibrated.
	Temperature float64
	// Energy tells inputs that are unlike the training data. It may be nil.
	Energy *Energy
}

// Temperatures are limited to the range from LowestTemperature to HighestTemperature.
const (
	LowestTemperature  = 1. / 32
	HighestTemperature = 32.
)

// Check returns an error for values that no calibration gives.
func (t *Trust) Check() error {
	if t.Temperature != 0 && !(t.Temperature >= LowestTemperature && t.Temperature <= HighestTemperature) {
		return fmt.Errorf("found temperature %g, want %g to %g", t.Temperature, LowestTemperature, HighestTemperature)
	}
	if t.Energy == nil {
		return nil
	}
	return t.Energy.check()
}

// Scores sets dst to the calibrated probabilities of logits: their softmax after division by the temperature. dst may
// be logits.
func (t *Trust) Scores(dst, logits []float32) {
	temperature := t.Temperature
	if temperature == 0 {
		temperature = 1
	}
	highest := math.Inf(-1)
	for _, z := range logits {
		highest = max(highest, float64(z))
	}
	sum := 0.
	for _, z := range logits {
		sum += math.Exp((float64(z) - highest) / temperature)
	}
	for i, z := range logits {
		dst[i] = float32(math.Exp((float64(z)-highest)/temperature) / sum)
	}
}

// Energy is a Gaussian density of features of the training data. Up to a constant, the energy of an input is the
// negative logarithm of the density at its features: half of their squared Mahalanobis distance from the mean.
type Energy struct {
	// Mean is the mean of the features. Precision is the inverse of their covariance, row by row.
	Mean      []float32 `json:"mean"`
	Precision []float32 `json:"precision"`
	// Threshold is the energy above which an input is unlike the training data.
	Threshold float32 `json:"threshold"`
}

// maxFeatures limits the features in a file.
const maxFeatures = 256

func (e *Energy) check() error {
	n := len(e.Mean)
	if n == 0 || n > maxFeatures || len(e.Precision) != n*n {
		return fmt.Errorf("found an energy of %d features and %d numbers of their precision, want 1 to %d features and "+
			"the square of their number", n, len(e.Precision), maxFeatures)
	}
	for _, values := range [][]float32{e.Mean, e.Precision, {e.Threshold}} {
		for _, v := range values {
			if v-v != 0 {
				return errors.New("found an energy with numbers that are not finite")
			}
		}
	}
	return nil
}

// Of returns the energy of an input with these features, of which there must be as many as the mean has. The result is
// finite and not NaN.
func (e *Energy) Of(features []float64) float32 {
	n, sum := len(e.Mean), 0.
	for i := range n {
		row := 0.
		for j, p := range e.Precision[i*n : (i+1)*n] {
			row += float64(p) * (features[j] - float64(e.Mean[j]))
		}
		sum += row * (features[i] - float64(e.Mean[i]))
	}
	if !(sum/2 < math.MaxFloat32) {
		return math.MaxFloat32
	}
	return float32(sum / 2)
}
