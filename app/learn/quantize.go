package learn

import (
	"context"
	"fmt"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/ingest/h5"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/train"
)

// QuantizeOptions are the options of model quantize.
type QuantizeOptions struct {
	// Kind is nn.Int8 or nn.BFloat16.
	Kind string
	// Split is the part of an archive to read: train, test or all. Empty means train, or all if there is no training
	// part.
	Split string
	// Share is the fraction of the rows, taken from the start, for calibration. The others measure the accuracy.
	Share float64
	// MaxDrop is the maximum accuracy loss in percentage points. Force ignores it.
	MaxDrop float64
	Force   bool
	// Out is the file to write the model to. If it is empty, only the report is returned.
	Out string
}

// QuantizeResult is the result of model quantize.
type QuantizeResult struct {
	*train.PrecisionReport
	Calibration int    `json:"calibration_rows"`
	Model       string `json:"model,omitempty"`
}

// Quantize writes a model for inference in low precision. If that loses too much accuracy on labelled data, nothing
// is written, and the result comes with an error.
func Quantize(ctx context.Context, a *app.Env, path string, data []string, o QuantizeOptions) (*QuantizeResult, error) {
	if !(o.Share > 0 && o.Share < 1) {
		return nil, app.Usage(fmt.Errorf("--calibration-share: found %g, want more than 0 and less than 1", o.Share))
	}
	kind := nn.Precision{Kind: o.Kind}
	if err := kind.Check(); err != nil {
		return nil, app.Usage(fmt.Errorf("--precision: %w", err))
	}
	if o.Out != "" {
		if err := models.Savable(o.Out); err != nil {
			return nil, app.Usage(err)
		}
		release, err := a.ClaimOutputs(append([]string{path}, data...), o.Out)
		if err != nil {
			return nil, err
		}
		defer release()
	}
	m, scored, d, err := scoredData(ctx, a, path, data, o.Split, h5.Train)
	if err != nil {
		return nil, err
	}
	defer d.close() //nolint:errcheck // opened for reading
	if err := d.complete(a, data); err != nil {
		return nil, err
	}
	rows := d.rows()
	calibration := max(1, int(o.Share*float64(rows.Len())))
	if calibration >= rows.Len() {
		return nil, fmt.Errorf("found %d labelled rows, want at least 2: some to calibrate and others to measure "+
			"the accuracy", rows.Len())
	}
	p, err := train.Calibrate(ctx, scored, o.Kind, train.Part(rows, 0, calibration), a.Threads())
	if err != nil {
		return nil, app.Interrupted(ctx, err)
	}
	r := &QuantizeResult{Calibration: calibration}
	if r.PrecisionReport, err = train.ComparePrecision(ctx, scored, p, train.Part(rows, calibration, rows.Len()),
		a.Threads()); err != nil {
		return nil, app.Interrupted(ctx, err)
	}
	m.Precision, m.Metadata = p, d.input.Metadata(m.Classes)
	refused := !o.Force && !(r.Drop <= o.MaxDrop)
	if !refused && o.Out != "" {
		if err := format.Save(o.Out, m.Model); err != nil {
			return nil, err
		}
		r.Model = o.Out
	}
	if refused {
		return r, fmt.Errorf("model %s: %s loses %.2f percentage points of accuracy, more than --max-drop %g; not "+
			"written (use --force to write it anyway)", m.Name, o.Kind, r.Drop, o.MaxDrop)
	}
	return r, nil
}
