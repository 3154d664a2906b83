package files

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/draw"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/ingest/photogrammetry"
	"github.com/voxelstream/voxelstream/record"
)

// PictureOptions say which picture of a file [Draw] makes.
type PictureOptions struct {
	// Out is the file to write; its extension chooses the format, and whether the picture turns.
	Out string
	// Sheet draws the selected rows on a contact sheet. Otherwise the first of them is drawn.
	Sheet bool
	// Predict writes the predictions of the configured model, or of the built-in one, on a contact sheet.
	Predict bool
	// Color names the column that colours points.
	Color string
}

// PictureExtensions returns the extensions of pictures, of those that turn only if they are wanted.
func PictureExtensions(turns bool) []string {
	var all []string
	for _, f := range draw.Formats() {
		if turns || !f.Turns {
			all = append(all, f.Extension)
		}
	}
	return all
}

// Check returns what is wrong with the options for some rows.
func (o *PictureOptions) Check(rows app.Rows) error {
	f, err := draw.FormatOf(o.Out, true)
	switch {
	case err != nil:
		return err
	case o.Predict && !o.Sheet:
		return errors.New("--predict: missing --row or --rows, the rows whose predictions are shown")
	case o.Sheet && f.Turns:
		return fmt.Errorf("--rows: a contact sheet does not turn: found %s, want .png", f.Extension)
	case rows.End-rows.First > draw.MostTiles:
		return fmt.Errorf("--rows: found %d rows, want at most %d", rows.End-rows.First, draw.MostTiles)
	}
	return nil
}

// Draw draws samples of an inspected file: the selected ones, or the first readable one. Medical images are drawn in
// the window of the configuration, other grids in its palette, and reconstructions with their cameras. Samples that
// cannot be read are not drawn.
func Draw(ctx context.Context, a *app.Env, in Inspected, o PictureOptions) (err error) {
	if err := o.Check(a.Rows); err != nil {
		return app.Usage(err)
	}
	format, err := draw.FormatOf(o.Out, true)
	if err != nil {
		return err
	}
	release, err := a.ClaimOutputs([]string{in.File}, o.Out)
	if err != nil {
		return err
	}
	defer release()
	samples, err := readRows(ctx, a, in.File, o.Sheet)
	if err != nil {
		return err
	}
	look := lookOf(a, filepath.Base(in.File))
	look.Color, look.Turn = o.Color, format.Turns
	if m, ok := in.Detail.(*photogrammetry.Model); ok {
		look.Cameras = m.Positions()
	}
	var p *draw.Picture
	if o.Sheet {
		p, err = contactSheet(ctx, a, look, samples, o.Predict)
	} else {
		if a.Rows.First > 0 {
			look.Title += ", " + a.Rows.String()
		}
		if label := samples[0].Label; label != ingest.NoLabel {
			look.Title += fmt.Sprintf(", label %d", label)
		}
		p, err = draw.Sample(ctx, samples[0].Data, look)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", in.File, err)
	}
	return ingest.WriteFile(o.Out, func(w io.Writer) error { return format.Write(ctx, w, p) })
}

// rowSample is a sample and its row.
type rowSample struct {
	row int
	ingest.Sample
}

// readRows returns the readable ones of the selected samples of a file; without many, the first of them. It is an error
// if they do not fit on a contact sheet (see [Sheet.Full]).
func readRows(ctx context.Context, a *app.Env, path string, many bool) (samples []rowSample, err error) {
	o := a.Reading()
	o.Faces = true
	src, err := formats.Open(ctx, path, o)
	if err != nil {
		return nil, err
	}
	src = a.Rows.Of(src)
	defer func() { err = errors.Join(err, src.Close()) }()
	var bad error // of the last row that cannot be read
	var fits Sheet
	for row := a.Rows.First; many || len(samples) == 0; row++ {
		s, err := src.Read(ctx)
		if item, ok := errors.AsType[*ingest.ItemError](err); ok {
			bad = item
			continue
		}
		if errors.Is(err, io.EOF) && len(samples) > 0 {
			break
		}
		if errors.Is(err, io.EOF) {
			err = cmp.Or(bad, errors.New("found none"))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: no sample to draw: %w", path, err)
		}
		if fits.Full(s.Data) {
			return nil, fmt.Errorf("--rows: rows %d to %d have more than %d points, cells or pixels together: "+
				"choose fewer rows", a.Rows.First, row, mostHeld)
		}
		fits.Add(path, row, s.Data, s.Label)
		samples = append(samples, rowSample{row, s})
	}
	return samples, nil
}

// contactSheet draws rows with their labels and, if wanted, the predictions of the configured model.
func contactSheet(ctx context.Context, a *app.Env, look draw.Options, samples []rowSample, predict bool,
) (*draw.Picture, error) {
	var ask func(s ingest.Sample) (*record.Classification, error)
	if predict {
		c, v, err := models.Classifier(ctx, a, models.Builtin, 1)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		ask = func(s ingest.Sample) (*record.Classification, error) {
			volume, err := v.Volume(s)
			if err != nil {
				return nil, err
			}
			found, err := c.ProcessBatch(ctx, []classify.Item{{Volume: volume}})
			if err != nil {
				return nil, err
			}
			return &found[0], nil
		}
	}
	var sheet Sheet
	for _, s := range samples {
		sheet.Add("", s.row, s.Data, s.Label)
		if ask == nil {
			continue
		}
		r, err := ask(s.Sample)
		if err != nil {
			return nil, err
		}
		sheet.Predicted(r)
	}
	return sheet.picture(ctx, look, app.Rows{First: samples[0].row, End: samples[len(samples)-1].row + 1}.String())
}
