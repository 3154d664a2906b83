package train

import "math"

// clip is Keras's epsilon: probabilities are kept that far from 0 and 1 in the loss.
const clip = 1e-7

// crossentropy adds up the categorical cross-entropy -log p[label] of n rows of probabilities, and counts the rows whose largest probability
// is the label's. With grad it writes the derivative of the rows' mean loss by the probabilities.
func crossentropy(probabilities []float32, labels []int32, grad []float32) (loss float64, correct int) {
	classes := len(probabilities) / len(labels)
	clear(grad)
	for i, label := range labels {
		row := probabilities[i*classes : (i+1)*classes]
		p := min(max(float64(row[label]), clip), 1-clip)
		loss -= math.Log(p)
		if ArgMax(row) == int(label) {
			correct++
		}
		if math.IsNaN(float64(row[label])) {
			loss = math.NaN()
		}
		if grad != nil {
			grad[i*classes+int(label)] = float32(-1 / (p * float64(len(labels))))
		}
	}
	return loss, correct
}

// ArgMax is the position of the first largest value.
func ArgMax(row []float32) int {
	best := 0
	for i, v := range row {
		if v > row[best] {
			best = i
		}
	}
	return best
}
