package files

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/draw"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/ingest/photogrammetry"
)

// PictureOptions say which picture of a file [Draw] makes.
type PictureOptions struct {
	// Out is the file to write; its extension chooses the format, and whether the picture turns.
	Out string
	// Row is the row or frame to draw. Rows, such as 0:24, draws several on a contact sheet instead: the first, and the one
	// after the last.
	Row  int
	Rows string
	// Predict writes the predictions of the configured model, or of the built-in one, on a contact sheet.
	Predict bool
	// Color names the column that colours points.
	Color string
}

// PictureExtensions returns the extensions of pictures.
func PictureExtensions() []string {
	var all []string
	for _, f := range draw.Formats() {
		all = append(all, f.Extension)
	}
	return all
}

// Check returns what is wrong with the options.
func (o *PictureOptions) Check() error {
	f, err := draw.FormatOf(o.Out, true)
	if err != nil {
		return err
	}
	first, end, err := o.span()
	switch {
	case err != nil:
		return err
	case first < 0:
		return fmt.Errorf("--row: found %d, want at least 0", first)
	case o.Predict && o.Rows == "":
		return errors.New("--predict: missing --rows, the rows whose predictions are shown")
	case o.Rows != "" && f.Turns:
		return fmt.Errorf("--rows: a contact sheet does not turn: found %s, want .png", f.Extension)
	case end-first > draw.MostTiles:
		return fmt.Errorf("--rows: found %d rows, want at most %d", end-first, draw.MostTiles)
	}
	return nil
}

// span returns the first row and the one after the last.
func (o *PictureOptions) span() (first, end int, err error) {
	if o.Rows == "" {
		return o.Row, o.Row + 1, nil
	}
	from, to, ok := strings.Cut(o.Rows, ":")
	first, errFirst := strconv.Atoi(cmp.Or(from, "0"))
	end, errEnd := strconv.Atoi(to)
	if !ok || errFirst != nil || errEnd != nil || first < 0 || end <= first {
		return 0, 0, fmt.Errorf("--rows: found %.40q, want FIRST:END with FIRST < END, such as 0:24", o.Rows)
	}
	return first, end, nil
}

// Draw draws samples of an inspected file. Medical images are drawn in the window of the configuration, other grids in
// its palette, and reconstructions with their cameras. Samples that cannot be read are counted, but not drawn.
func Draw(ctx context.Context, a *app.Env, in Inspected, o PictureOptions) (err error) {
	if err := o.Check(); err != nil {
		return app.Usage(err)
	}
	format, err := draw.FormatOf(o.Out, true)
	if err != nil {
		return err
	}
	first, end, err := o.span()
	if err != nil {
		return err
	}
	release, err := a.ClaimOutputs([]string{in.File}, o.Out)
	if err != nil {
		return err
	}
	defer release()
	samples, err := readRows(ctx, a, in.File, first, end, mostHeld)
	if err != nil {
		return err
	}
	look := draw.Options{
		Title: filepath.Base(in.File), Window: a.Config.Voxelize.Window, Color: o.Color, Turn: format.Turns,
		Palette: string(a.Config.Voxelize.Colormap),
	}
	if m, ok := in.Detail.(*photogrammetry.Model); ok {
		look.Cameras = m.Positions()
	}
	var p *draw.Picture
	if o.Rows != "" {
		p, err = contactSheet(ctx, a, look, samples, first, o.Predict)
	} else {
		if first > 0 {
			look.Title += fmt.Sprintf(", row %d", first)
		}
		if label := samples[0].Label; label != ingest.NoLabel {
			look.Title += fmt.Sprintf(", label %d", label)
		}
		p, err = draw.Sample(samples[0].Data, look)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", in.File, err)
	}
	return ingest.WriteFile(o.Out, func(w io.Writer) error { return format.Write(w, p) })
}

// mostHeld is the number of points, cells and pixels of the rows of a contact sheet, which are held in memory together.
const mostHeld = 150_000_000

// sizeOf returns the number of points, cells or pixels of a sample.
func sizeOf(d ingest.Data) int {
	switch d := d.(type) {
	case *ingest.PointCloud:
		return d.Len()
	case *ingest.Grid:
		return len(d.Values)
	case *ingest.Frame:
		return len(d.Depth)
	}
	return 0
}

// readRows returns the samples of a file from one row to the one before another. Without --row and --rows, the first
// readable sample is row 0. It is an error if several have more than most points, cells or pixels together.
func readRows(ctx context.Context, a *app.Env, path string, first, end, most int) (samples []ingest.Sample, err error) {
	o := a.Reading()
	o.Faces = true
	src, err := formats.Open(ctx, path, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	held := 0
	for row := 0; row < end; {
		s, err := src.Read(ctx)
		if _, ok := errors.AsType[*ingest.ItemError](err); ok {
			continue
		}
		if errors.Is(err, io.EOF) && len(samples) > 0 {
			break
		}
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s: no sample to draw: found %s, want row %d", path, app.Count(row, "readable row"), first)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: no sample to draw: %w", path, err)
		}
		if row >= first {
			held += sizeOf(s.Data)
			if held > most && len(samples) > 0 {
				return nil, fmt.Errorf(
					"--rows: rows %d to %d have more than %d points, cells or pixels together: choose fewer rows",
					first, row, most)
			}
			samples = append(samples, s)
		}
		row++
	}
	return samples, nil
}

// contactSheet draws rows with their labels and, if wanted, their predictions.
func contactSheet(ctx context.Context, a *app.Env, look draw.Options, samples []ingest.Sample, first int, predict bool,
) (*draw.Picture, error) {
	below := fmt.Sprintf("rows %d to %d", first, first+len(samples)-1)
	tiles := make([]draw.Tile, len(samples))
	for i, s := range samples {
		tiles[i] = draw.Tile{Data: s.Data, Title: fmt.Sprintf("row %d", first+i)}
		if s.Label != ingest.NoLabel {
			tiles[i].Title += fmt.Sprintf(", label %d", s.Label)
		}
	}
	if predict {
		correct, labelled, err := addPredictions(ctx, a, tiles, samples)
		if err != nil {
			return nil, err
		}
		below += ", with their labels and predictions"
		if labelled > 0 {
			below += fmt.Sprintf(": %d of %d are correct", correct, labelled)
		}
	}
	return draw.Contact(look, below, tiles)
}

// addPredictions writes what the configured model says below the tiles.
func addPredictions(ctx context.Context, a *app.Env, tiles []draw.Tile, samples []ingest.Sample,
) (correct, labelled int, err error) {
	c, v, err := models.Classifier(ctx, a, models.Builtin, 1)
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	for i, s := range samples {
		volume, err := v.Volume(s)
		if err != nil {
			return 0, 0, err
		}
		found, err := c.ProcessBatch(ctx, []classify.Item{{Volume: volume}})
		if err != nil {
			return 0, 0, err
		}
		r := &found[0]
		name := cmp.Or(r.Name, strconv.Itoa(r.Class))
		tiles[i].Below = fmt.Sprintf("predicted %s, %.0f %%", name, 100*r.Score)
		if s.Label == ingest.NoLabel {
			continue
		}
		labelled++
		tiles[i].Verdict = -1
		if int(s.Label) == r.Class {
			correct++
			tiles[i].Verdict = 1
		}
	}
	return correct, labelled, nil
}
