package learn

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/train"
)

// maxTrustRows is the number of rows, spread over the data, from which an energy is estimated at most. For a model that
// averages over views it is less, but not less than fewTrustRows.
const maxTrustRows, fewTrustRows = 10_000, 2_000

// leastHeldRows is the number of validation rows from which they decide the threshold, of which one in a hundred of
// them is above.
const leastHeldRows = 200

// trustRows are what a model's trust is fitted to.
type trustRows struct {
	labels   []int32
	logits   []float32 // of all classes
	features []float64
}

// readTrustRows runs the model on rows. in is its input.
func readTrustRows(
	ctx context.Context, a *app.Env, scored *nn.Model, in *classify.Input, rows train.Rows,
) (*trustRows, error) {
	t := &trustRows{}
	err := train.Predictions(ctx, scored, rows, a.Threads(), func(p train.Prediction) error {
		for i := range p.Labels {
			row := rowOf(p, i)
			t.logits = row.AllLogits(t.logits)
			t.features = in.AppendFeatures(t.features, row)
		}
		t.labels = append(t.labels, p.Labels...)
		return nil
	})
	return t, err
}

// rowOf returns row i of a prediction.
func rowOf(p train.Prediction, i int) classify.Row {
	n := len(p.Labels)
	return classify.Row{
		Index: share(p.Index, i, n), X: share(p.X, i, n), Scores: share(p.Outputs, i, n), Logits: share(p.Logits, i, n),
	}
}

// share returns part i of n equal parts, or nil if there are no values.
func share[T any](values []T, i, n int) []T {
	if values == nil {
		return nil
	}
	size := len(values) / n
	return values[i*size : (i+1)*size]
}

// spread has every step-th row of others.
type spread struct {
	train.Rows
	step int
}

// spreadRows returns at most a number of rows, spread over others.
func spreadRows(rows train.Rows, most int) train.Rows {
	step := (rows.Len() + most - 1) / most
	if step <= 1 {
		return rows
	}
	return spread{rows, step}
}

func (s spread) Len() int { return s.Rows.Len() / s.step }

func (s spread) Read(lo int, b *train.Batch) error {
	n := len(b.Labels)
	for i := range n {
		one := train.Batch{
			X: share(b.X, i, n), Index: share(b.Index, i, n), Labels: b.Labels[i : i+1], Weights: b.Weights[i : i+1],
		}
		if err := s.Rows.Read((lo+i)*s.step, &one); err != nil {
			return err
		}
	}
	return nil
}

// learnTrust gives the trained model an energy: the density of training rows, and a threshold from validation rows or,
// if there are few, from the same. If it is to be calibrated, it gets a temperature from validation rows.
func (tr *trainer) learnTrust(ctx context.Context, rows, held train.Rows) error {
	scored, err := classify.Scored(tr.model)
	if err != nil {
		return err
	}
	in, err := classify.InputOf(tr.model, classify.PreferencesIn(tr.env.Config.Voxelize))
	if err != nil {
		return err
	}
	n := tr.trained(rows.Len())
	most := maxTrustRows
	if tr.settings.Average != config.NoViews { // each row takes several passes
		most = max(fewTrustRows, most/len(tr.model.Outputs()[0].Inputs))
	}
	t, err := readTrustRows(ctx, tr.env, scored, in, spreadRows(train.Part(rows, 0, n), most))
	if err != nil {
		return err
	}
	if v, ok := rows.(train.Varied); ok { // both as they are and as the network saw them
		seen, err := readTrustRows(ctx, tr.env, scored, in, spreadRows(inEpoch{v, n}, most))
		if err != nil {
			return err
		}
		t.features = append(t.features, seen.features...)
	}
	h := &trustRows{}
	if held != nil && held.Len() >= leastHeldRows {
		if h, err = readTrustRows(ctx, tr.env, scored, in, spreadRows(held, most)); err != nil {
			return err
		}
	}
	if err := tr.calibrate(h); err != nil {
		return err
	}
	energy, err := train.FitEnergy(t.features, h.features, classify.Features)
	if err != nil {
		tr.env.Log.Info("the model cannot tell what is unlike its training data", "reason", err)
		return nil // the model is usable without
	}
	tr.model.Trust.Energy = energy
	return nil
}

// checkCalibration returns an error if there are too few validation rows to calibrate the model. If the user did not ask
// for it, the model is not calibrated.
func (tr *trainer) checkCalibration(rows train.Rows) error {
	n := 0
	if held := tr.held(rows); held != nil {
		n = held.Len()
	}
	switch {
	case !tr.settings.Calibrate || n >= leastHeldRows:
	case tr.env.Config.IsSet("train.calibrate"):
		return app.Usage(fmt.Errorf("train.calibrate: found %d validation rows, want at least %d: give more rows, or a "+
			"larger train.validation_split", n, leastHeldRows))
	default:
		tr.settings.Calibrate = false
		tr.env.Log.Info("the model will not be calibrated", "validation_rows", n, "want", leastHeldRows)
	}
	return nil
}

// calibrate fits the temperature to held rows, if the settings say so.
func (tr *trainer) calibrate(held *trustRows) (err error) {
	if !tr.settings.Calibrate {
		return nil
	}
	tr.model.Trust.Temperature, err = train.FitTemperature(held.logits, len(held.logits)/len(held.labels), held.labels)
	return err
}

// fitTrust fits temperature and energy of a model to rows.
func fitTrust(ctx context.Context, a *app.Env, scored *nn.Model, d *dataset) (trust nn.Trust, err error) {
	t, err := readTrustRows(ctx, a, scored, d.input, d.rows())
	if err != nil {
		return trust, err
	}
	if len(t.labels) == 0 {
		return trust, errors.New("found no labelled rows")
	}
	classes := len(t.logits) / len(t.labels)
	if most := slices.Max(t.labels); int(most) >= classes || slices.Min(t.labels) < 0 {
		return trust, errors.New("found labels that are not classes of the model")
	}
	if trust.Temperature, err = train.FitTemperature(t.logits, classes, t.labels); err != nil {
		return trust, err
	}
	if trust.Energy, err = train.FitEnergy(t.features, nil, classify.Features); err != nil {
		a.Log.Warn("the energy of the model stays as it is", "reason", err)
		trust.Energy = scored.Trust.Energy
	}
	return trust, trust.Check()
}
