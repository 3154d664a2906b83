package train

import (
	"context"

	"github.com/voxelstream/voxelstream/nn"
)

// Evaluation is what a classifier makes of labelled data.
type Evaluation struct {
	Rows     int     `json:"rows"`
	Accuracy float64 `json:"accuracy"`
	Loss     float64 `json:"loss"`
	// PerClass has precision and recall of each class.
	PerClass []ClassScore `json:"per_class"`
	// Confusion counts rows by true class, then by predicted class.
	Confusion [][]int `json:"confusion"`
	// ECE is the expected calibration error in ten bins of equal width (Guo et al. 2017).
	ECE float64 `json:"ece"`
	// Correct says, row by row, whether the prediction was right.
	Correct []bool `json:"-"`
}

// ClassScore is how well one class is told from the others.
type ClassScore struct {
	Class     int     `json:"class"`
	Rows      int     `json:"rows"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
}

// evaluationBatch bounds the memory of evaluation.
const evaluationBatch = 128

// Evaluate classifies the data in inference mode.
func Evaluate(ctx context.Context, m *nn.Model, d *Data, threads int) (*Evaluation, error) {
	classes, err := classifier(m)
	if err != nil {
		return nil, err
	}
	if err := d.check(m, classes); err != nil {
		return nil, err
	}
	e := &Evaluation{Rows: d.Len(), Confusion: make([][]int, classes)}
	for c := range e.Confusion {
		e.Confusion[c] = make([]int, classes)
	}
	var loss float64
	bins := make([]bin, 10)
	err = predict(ctx, m, d, threads, func(lo int, rows []float32, penalty float64) {
		n := len(rows) / classes
		labels := d.Labels[lo : lo+n]
		l, _ := crossentropy(rows, labels, nil)
		loss += l + penalty*float64(n)
		for i, label := range labels {
			row := rows[i*classes : (i+1)*classes]
			best := ArgMax(row)
			e.Confusion[label][best]++
			e.Correct = append(e.Correct, best == int(label))
			bins[min(int(row[best]*10), 9)].add(float64(row[best]), best == int(label))
		}
	})
	if err != nil {
		return nil, err
	}
	e.Loss = loss / float64(e.Rows)
	e.score(bins)
	return e, nil
}

// bin gathers predictions of similar confidence.
type bin struct {
	n, correct int
	confidence float64
}

func (b *bin) add(confidence float64, correct bool) {
	b.n++
	b.confidence += confidence
	if correct {
		b.correct++
	}
}

// score fills in what follows from the confusion matrix and the bins.
func (e *Evaluation) score(bins []bin) {
	right := 0
	for c := range e.Confusion {
		s := ClassScore{Class: c}
		predicted := 0
		for o := range e.Confusion {
			s.Rows += e.Confusion[c][o]
			predicted += e.Confusion[o][c]
		}
		hit := e.Confusion[c][c]
		right += hit
		if s.Rows > 0 {
			s.Recall = float64(hit) / float64(s.Rows)
		}
		if predicted > 0 {
			s.Precision = float64(hit) / float64(predicted)
		}
		e.PerClass = append(e.PerClass, s)
	}
	e.Accuracy = float64(right) / float64(e.Rows)
	for _, b := range bins {
		if gap := b.confidence - float64(b.correct); gap >= 0 {
			e.ECE += gap / float64(e.Rows)
		} else {
			e.ECE -= gap / float64(e.Rows)
		}
	}
}

// Predict returns the model's output for every sample: [samples, outputs].
func Predict(ctx context.Context, m *nn.Model, d *Data, threads int) ([]float32, error) {
	var out []float32
	err := predict(ctx, m, d, threads, func(_ int, rows []float32, _ float64) { out = append(out, rows...) })
	return out, err
}

// predict calls f with the outputs of each batch, where it starts, and the model's penalty on it.
func predict(ctx context.Context, m *nn.Model, d *Data, threads int, f func(lo int, rows []float32, penalty float64)) error {
	plan, err := m.Compile(min(evaluationBatch, max(d.Len(), 1)), nn.Options{Threads: threads, Palette: d.Palette})
	if err != nil {
		return err
	}
	defer plan.Close()
	for lo := 0; lo < d.Len(); lo += plan.Batch() {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(plan.Batch(), d.Len()-lo)
		d.load(plan, nil, lo, n)
		if err := plan.Forward(n, false, 0); err != nil {
			return err
		}
		f(lo, plan.Output(0), plan.Penalty())
	}
	return nil
}
