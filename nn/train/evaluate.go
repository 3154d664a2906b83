package train

import (
	"context"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/nn"
)

// Evaluation holds the metrics of a classifier on labelled data.
type Evaluation struct {
	Rows     int     `json:"rows"`
	Accuracy float64 `json:"accuracy"`
	Loss     float64 `json:"loss"`
	// TopK is the fraction of rows whose class is among the K best. K is 0 if it was not requested.
	TopK float64 `json:"top_k_accuracy,omitempty"`
	K    int     `json:"k,omitempty"`
	// AUC is the mean of the classes' areas under the curve, if requested.
	AUC float64 `json:"auc,omitempty"`
	// MacroF1 is the mean of the classes' F1.
	MacroF1 float64 `json:"macro_f1"`
	// PerClass has the scores of each class against the others.
	PerClass []ClassScore `json:"per_class"`
	// Confusion counts rows by true class, then by predicted class.
	Confusion [][]int `json:"confusion"`
	// ECE is the expected calibration error in ten bins of equal width (Guo et al. 2017).
	ECE float64 `json:"ece"`
	// Uncalibrated is the same for scores without a temperature. It is nil if the model has none.
	Uncalibrated *float64 `json:"ece_uncalibrated,omitempty"`
}

// ClassScore holds the scores of one class against all others.
type ClassScore struct {
	Class     int     `json:"class"`
	Rows      int     `json:"rows"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	// F1 is the harmonic mean of precision and recall.
	F1 float64 `json:"f1"`
	// AUC is the probability that a row of the class gets a higher output for it than a row of another class, with
	// ties counting half. This is the exact area under the receiver operating characteristic (Hanley & McNeil
	// 1982); Keras approximates it with 200 thresholds. Nil unless there are rows of both kinds.
	AUC *float64 `json:"auc,omitempty"`
	// Name is the name of the class, if the model names its classes.
	Name string `json:"name,omitempty"`
}

// evaluationBatch is the batch size of evaluation, which limits its memory.
const evaluationBatch = 128

// EvaluateOptions configures Evaluate.
type EvaluateOptions struct {
	Threads int
	// Loss defaults to cross-entropy: categorical, or binary for a single output.
	Loss Loss
	// TopK, if above 1, requests the fraction of rows whose class is among the K best.
	TopK int
	// AUC requests the areas under the curves, which keeps every prediction in memory.
	AUC bool
	// Row, unless it is nil, is called for each row, in order, with the predicted class and its probability.
	Row func(row, class int, confidence float64)
	// Prediction is like Row, for those who need the row's input and logits too: i is its place in p, whose outputs are
	// calibrated.
	Prediction func(p Prediction, i, class int, confidence float64)
}

// Evaluate classifies the rows in inference mode.
func Evaluate(ctx context.Context, m *nn.Model, rows Rows, o EvaluateOptions) (*Evaluation, error) {
	loss, err := newObjective(m, o.Loss, nil)
	if err != nil {
		return nil, err
	}
	if err := checkRows(rows, m, loss.classes()); err != nil {
		return nil, err
	}
	classes := loss.classes()
	e := &Evaluation{Rows: rows.Len(), Confusion: make([][]int, classes), K: o.TopK}
	for c := range e.Confusion {
		e.Confusion[c] = make([]int, classes)
	}
	var calibration, uncalibrated Calibration
	var ranks ranking
	inTop := 0
	err = predict(ctx, m, rows, o.Threads, nil, func(b *Batch, lo int, out outputs, penalty float64) error {
		if err := loss.check(b, lo); err != nil {
			return err
		}
		logits := out.logits
		if m.Trust.Temperature != 0 {
			out.logits = slices.Clone(logits)
			for i, label := range b.Labels {
				row := of(out.y, i, loss.outputs)
				uncalibrated.Add(loss.confidence(row), loss.predicted(row) == int(label))
				calibrate(m.Trust.Temperature, row, of(out.logits, i, loss.outputs))
			}
		}
		l, _ := loss.batch(out, b)
		e.Loss += l + penalty*float64(len(b.Labels))
		for i, label := range b.Labels {
			row := of(out.y, i, loss.outputs)
			found := loss.predicted(row)
			right := found == int(label)
			e.Confusion[label][found]++
			confidence := loss.confidence(row)
			calibration.Add(confidence, right)
			if o.Row != nil {
				o.Row(lo+i, found, confidence)
			}
			if o.Prediction != nil {
				o.Prediction(Prediction{b, lo, out.y, logits}, i, found, confidence)
			}
			if o.TopK > 1 && (loss.outputs == 1 || within(row, int(label), o.TopK)) { // a single output has two classes
				inTop++
			}
			if o.AUC {
				ranks.add(row, label)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	e.Loss /= float64(e.Rows)
	e.TopK = float64(inTop) / float64(e.Rows)
	e.ECE = calibration.ECE()
	if m.Trust.Temperature != 0 {
		before := uncalibrated.ECE()
		e.Uncalibrated = &before
	}
	e.PerClass, e.MacroF1 = ScoreClasses(e.Confusion)
	for c, row := range e.Confusion {
		e.Accuracy += float64(row[c])
	}
	e.Accuracy /= float64(e.Rows)
	if o.AUC {
		ranks.score(e)
	}
	return e, nil
}

// calibrate divides the logits of a row by a temperature, and sets its probabilities to those that follow. Without
// logits, those are used that give the same probabilities.
func calibrate(temperature float64, y, logits []float32) {
	if logits == nil {
		logits = make([]float32, len(y))
		for i, p := range y {
			logits[i] = float32(math.Log(max(float64(p), math.SmallestNonzeroFloat32)))
		}
		if len(y) == 1 {
			logits[0] -= float32(math.Log(max(1-float64(y[0]), math.SmallestNonzeroFloat32)))
		}
	}
	for i := range logits {
		logits[i] = float32(float64(logits[i]) / temperature)
	}
	if len(y) == 1 {
		y[0] = float32(1 / (1 + math.Exp(-float64(logits[0]))))
		return
	}
	(&nn.Trust{}).Scores(y, logits)
}

// within reports whether fewer than k classes score higher than the label.
func within(row []float32, label, k int) bool {
	above := 0
	for _, v := range row {
		if v > row[label] {
			above++
		}
	}
	return above < k
}

// Calibration compares the confidence of predictions with their accuracy, in bins of equal width. The zero value has no
// predictions.
type Calibration struct {
	Bins [10]CalibrationBin
}

// CalibrationBin collects predictions of similar confidence.
type CalibrationBin struct {
	Rows, Correct int
	// Confidence is the sum over the rows.
	Confidence float64
}

// Add adds a prediction. A confidence outside 0 to 1 counts in the nearest bin.
func (c *Calibration) Add(confidence float64, correct bool) {
	b := &c.Bins[max(0, min(int(confidence*float64(len(c.Bins))), len(c.Bins)-1))]
	b.Rows++
	b.Confidence += confidence
	if correct {
		b.Correct++
	}
}

// ECE returns the expected calibration error (Guo et al. 2017): the mean distance between confidence and accuracy of
// the bins, weighted by their rows.
func (c *Calibration) ECE() (e float64) {
	rows := 0
	for _, b := range c.Bins {
		rows += b.Rows
	}
	for _, b := range c.Bins {
		e += math.Abs(b.Confidence-float64(b.Correct)) / float64(max(1, rows))
	}
	return e
}

// ScoreClasses returns the scores of each class, and the mean of their F1, from a square confusion matrix of rows by
// true class, then by predicted class.
func ScoreClasses(confusion [][]int) (scores []ClassScore, macroF1 float64) {
	for c := range confusion {
		s := ClassScore{Class: c}
		predicted := 0
		for o := range confusion {
			s.Rows += confusion[c][o]
			predicted += confusion[o][c]
		}
		hit := confusion[c][c]
		if s.Rows > 0 {
			s.Recall = float64(hit) / float64(s.Rows)
		}
		if predicted > 0 {
			s.Precision = float64(hit) / float64(predicted)
		}
		if sum := s.Precision + s.Recall; sum > 0 {
			s.F1 = 2 * s.Precision * s.Recall / sum
		}
		macroF1 += s.F1 / float64(len(confusion))
		scores = append(scores, s)
	}
	return scores, macroF1
}

// Predict returns the model's output for every row: [rows, outputs].
func Predict(ctx context.Context, m *nn.Model, rows Rows, threads int) ([]float32, error) {
	var out []float32
	err := predict(ctx, m, rows, threads, nil, func(_ *Batch, _ int, o outputs, _ float64) error {
		out = append(out, o.y...)
		return nil
	})
	return out, err
}

// predict calls f with each batch, its first row, its outputs and the model's penalty for it. watch may be nil; see
// nn.Plan.Watch.
func predict(
	ctx context.Context, m *nn.Model, rows Rows, threads int, watch func(layer string, x []float32),
	f func(b *Batch, lo int, out outputs, penalty float64) error,
) error {
	plan, err := m.Compile(min(evaluationBatch, max(rows.Len(), 1)), nn.Options{
		Threads: threads, Palette: rows.Colours(), Logits: true,
	})
	if err != nil {
		return err
	}
	defer plan.Close()
	plan.Watch(watch)
	b := newBatch(plan.Batch())
	for lo := 0; lo < rows.Len(); lo += plan.Batch() {
		if err := ctx.Err(); err != nil {
			return err
		}
		b.bind(plan, min(plan.Batch(), rows.Len()-lo))
		if err := rows.Read(lo, b); err != nil {
			return err
		}
		if err := plan.Forward(len(b.Labels), false, 0); err != nil {
			return err
		}
		if err := f(b, lo, outputsOf(plan, false), plan.Penalty()); err != nil {
			return err
		}
	}
	return nil
}
