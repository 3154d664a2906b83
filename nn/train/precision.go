package train

import (
	"context"
	"fmt"
	"math"

	"github.com/voxelstream/voxelstream/nn"
)

// Calibrate returns the Precision of the given kind for inference of m on data like rows: for int8, the range of
// each layer's inputs.
func Calibrate(ctx context.Context, m *nn.Model, kind string, rows Rows, threads int) (nn.Precision, error) {
	p := nn.Precision{Kind: kind}
	if err := p.Check(); err != nil || kind == nn.BFloat16 {
		return p, err
	}
	if rows.Len() == 0 {
		return p, fmt.Errorf("found no rows to calibrate with, want at least 1")
	}
	p.Ranges = map[string][2]float32{}
	var bad error
	watch := func(layer string, x []float32) {
		span := p.Ranges[layer]
		for _, v := range x {
			if v-v != 0 {
				bad = fmt.Errorf("layer %s: found %g among its inputs, want finite numbers", layer, v)
			}
			span[0], span[1] = min(span[0], v), max(span[1], v)
		}
		p.Ranges[layer] = span
	}
	err := predict(ctx, m.In(nn.Precision{}), rows, threads, watch, func(*Batch, int, outputs, float64) error { return bad })
	return p, err
}

// PrecisionReport compares a low-precision model with its float32 version on labelled rows.
type PrecisionReport struct {
	Kind string `json:"kind"`
	Rows int    `json:"rows"`
	// Float and Low are the accuracies, and Drop is their difference in percentage points.
	Float float64 `json:"accuracy_float32"`
	Low   float64 `json:"accuracy"`
	Drop  float64 `json:"drop_points"`
	// Agree is the fraction of rows that get the same class.
	Agree float64 `json:"agreement"`
	// Largest and Mean are the largest and the mean absolute difference between outputs.
	Largest float64 `json:"largest_difference"`
	Mean    float64 `json:"mean_difference"`
}

// ComparePrecision classifies rows in float32 and in p, and compares the results.
func ComparePrecision(ctx context.Context, m *nn.Model, p nn.Precision, rows Rows, threads int) (*PrecisionReport,
	error,
) {
	r := &PrecisionReport{Kind: p.Kind, Rows: rows.Len()}
	if r.Rows == 0 {
		return nil, fmt.Errorf("found no rows to compare on, want at least 1")
	}
	objective, err := newObjective(m, nil, nil)
	if err != nil {
		return nil, err
	}
	if err := checkRows(rows, m, objective.classes()); err != nil {
		return nil, err
	}
	var want []float32
	var classes []int
	right := 0
	err = predict(ctx, m.In(nn.Precision{}), rows, threads, nil, func(b *Batch, lo int, out outputs, _ float64) error {
		if err := objective.check(b, lo); err != nil {
			return err
		}
		want = append(want, out.y...)
		for i, label := range b.Labels {
			class := objective.predicted(of(out.y, i, objective.outputs))
			classes = append(classes, class)
			right += count(class == int(label))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	same, rightLow := 0, 0
	err = predict(ctx, m.In(p), rows, threads, nil, func(b *Batch, lo int, out outputs, _ float64) error {
		for i, v := range out.y {
			d := math.Abs(float64(v) - float64(want[lo*objective.outputs+i]))
			r.Mean += d / float64(len(want))
			r.Largest = math.Max(r.Largest, d) // propagates NaN
		}
		for i, label := range b.Labels {
			class := objective.predicted(of(out.y, i, objective.outputs))
			same += count(class == classes[lo+i])
			rightLow += count(class == int(label))
		}
		return nil
	})
	n := float64(r.Rows)
	r.Float, r.Low, r.Agree = float64(right)/n, float64(rightLow)/n, float64(same)/n
	r.Drop = 100 * float64(right-rightLow) / n
	return r, err
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}
