package train

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/nn"
)

// Prediction is what a model gives for some rows.
type Prediction struct {
	*Batch
	// First is the number of the first row.
	First int
	// Outputs are those of all rows. Logits are the inputs of the softmax or sigmoid that the model ends in, or nil if
	// it ends in something else.
	Outputs, Logits []float32
}

// Predictions calls use with the predictions for all rows, some at a time and in order. They are valid during the call.
func Predictions(ctx context.Context, m *nn.Model, rows Rows, threads int, use func(p Prediction) error) error {
	return predict(ctx, m, rows, threads, nil, func(b *Batch, lo int, out outputs, _ float64) error {
		return use(Prediction{b, lo, out.y, out.logits})
	})
}

// FitTemperature returns the temperature that minimizes the cross-entropy of rows with some classes (Guo et al. 2017).
// logits holds those of all rows one after another. The cross-entropy is convex in the inverse of the temperature, so
// that its derivative has one zero, which bisection finds. The result is rounded to six digits.
func FitTemperature(logits []float32, classes int, labels []int32) (float64, error) {
	if len(labels) == 0 || len(logits) != classes*len(labels) {
		return 0, fmt.Errorf("found %d logits for %d rows, want %d for each row", len(logits), len(labels), classes)
	}
	// slope is the derivative: the sum of expected logits less those of the labels.
	slope := func(inverse float64) (sum float64) {
		for i, label := range labels {
			z := logits[i*classes : (i+1)*classes]
			highest := float64(slices.Max(z))
			weights, mean := 0., 0.
			for _, v := range z {
				d := float64(v) - highest
				w := math.Exp(d * inverse)
				weights += w
				mean += w * d
			}
			sum += mean/weights + highest - float64(z[label])
		}
		return sum
	}
	low, high := math.Log(1/nn.HighestTemperature), math.Log(1/nn.LowestTemperature)
	for range 40 {
		middle := (low + high) / 2
		if slope(math.Exp(middle)) > 0 {
			high = middle
		} else {
			low = middle
		}
	}
	t := min(max(math.Round(math.Exp(-(low+high)/2)*1e6)/1e6, nn.LowestTemperature), nn.HighestTemperature)
	return t, nil
}

const (
	// familiar is the share of rows like the training data that are below the threshold.
	familiar = 0.99
	// ridge and leastVariance are added to the variances of features, in proportion and as they are, so that the
	// covariance can be inverted even if features depend on each other or do not vary.
	ridge         = 1e-4
	leastVariance = 1e-6
	// rowsPerFeature is the least number of rows from which a covariance is estimated.
	rowsPerFeature = 10
)

// FitEnergy returns the energy of rows with these features, those of a row one after another. Its threshold is the
// energy that one in a hundred of the held rows exceeds; they are the features of other rows, or nil to use the same.
func FitEnergy(features, held []float64, perRow int) (*nn.Energy, error) {
	rows := len(features) / perRow
	if rows < rowsPerFeature*perRow {
		return nil, fmt.Errorf("found %d rows, want at least %d", rows, rowsPerFeature*perRow)
	}
	mean := make([]float64, perRow)
	for i, v := range features {
		mean[i%perRow] += v / float64(rows)
	}
	s := make([]float64, perRow*perRow)
	for row := range slices.Chunk(features, perRow) {
		for i := range perRow {
			for j := range perRow {
				s[i*perRow+j] += (row[i] - mean[i]) * (row[j] - mean[j]) / float64(rows)
			}
		}
	}
	for i := range perRow {
		s[i*perRow+i] = s[i*perRow+i]*(1+ridge) + leastVariance
	}
	e := &nn.Energy{}
	for _, v := range mean {
		e.Mean = append(e.Mean, float32(v))
	}
	for _, v := range inverse(s, perRow) {
		e.Precision = append(e.Precision, float32(v))
	}
	if held == nil {
		held = features
	}
	var energies []float32
	for row := range slices.Chunk(held, perRow) {
		energies = append(energies, e.Of(row))
	}
	slices.Sort(energies)
	e.Threshold = energies[int(math.Ceil(familiar*float64(len(energies))))-1]
	return e, nil
}

// inverse returns the inverse of a symmetric positive definite matrix of n rows, by Gauss-Jordan elimination.
func inverse(s []float64, n int) []float64 {
	a := slices.Clone(s)
	out := make([]float64, n*n)
	for i := range n {
		out[i*n+i] = 1
	}
	for k := range n {
		scale := 1 / a[k*n+k]
		for j := range n {
			a[k*n+j] *= scale
			out[k*n+j] *= scale
		}
		for i := range n {
			f := a[i*n+k]
			if i == k || f == 0 {
				continue
			}
			for j := range n {
				a[i*n+j] -= f * a[k*n+j]
				out[i*n+j] -= f * out[k*n+j]
			}
		}
	}
	return out
}
