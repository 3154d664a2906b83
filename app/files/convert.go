// Package files implements the commands that need no broker: inspecting, drawing, converting, voxelizing,
// reconstructing and generating files.
package files

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/voxelize"
)

// ConvertSummary is the result of convert.
type ConvertSummary struct {
	File string `json:"file"`
	// Samples is the number of samples copied, Frames the number of frames fused into a mesh. The other one is
	// absent.
	Samples int `json:"samples,omitempty"`
	Frames  int `json:"frames,omitempty"`
	Failed  int `json:"failed"`
	// Notes is what was assumed, left out or repaired. Files of formats that have a place for it hold it, too.
	Notes []string `json:"notes,omitempty"`
	*Mesh
}

// Mesh describes a reconstructed surface.
type Mesh struct {
	Vertices  int     `json:"vertices"`
	Triangles int     `json:"triangles"`
	Edge      float64 `json:"edge_m"`
}

// Convert copies the samples of an input to a file in the format given by its extension. An .arrow file holds
// volumes, made according to the configuration. Other files hold grids at the spacing of the configuration, if any. A
// folder of frames with poses becomes one mesh in a .ply file.
// Samples that cannot be read are skipped; the result then comes with an error that wraps [app.ErrSkipped].
func Convert(ctx context.Context, a *app.Env, in, out string) (_ *ConvertSummary, err error) {
	release, err := a.ClaimOutputs([]string{in}, out)
	if err != nil {
		return nil, err
	}
	defer release()
	defer func() {
		if errors.Is(err, app.ErrNoRows) {
			err = fmt.Errorf("%s: %w", in, err)
		}
	}()
	if strings.EqualFold(filepath.Ext(out), ".ply") && posed(ctx, a, in) {
		return reconstruct(ctx, a, in, out)
	}
	volumes := strings.EqualFold(filepath.Ext(out), ".arrow")
	if !volumes && a.Config.ByFlag("voxelize.method") {
		return nil, app.Usage(fmt.Errorf("--method %s has no effect on %s: only .arrow files hold volumes, and only a "+
			"folder of depth frames with poses becomes a mesh (.ply). inspect %s says how many frames have poses",
			a.Config.Voxelize.Method, out, in))
	}
	s := &ConvertSummary{File: out}
	src, err := formats.Open(ctx, in, annotated(a, &s.Notes))
	if err != nil {
		return nil, err
	}
	src = a.Rows.Of(src)
	defer func() { err = errors.Join(err, src.Close()) }()
	var w ingest.Writer
	if volumes {
		v, verr := voxelize.New(a.Config.Voxelize)
		if verr != nil {
			return nil, verr
		}
		w, err = createGrids(out, &current{v}, voxelize.FormatIndex)
	} else {
		w, err = formats.Create(out)
	}
	if err != nil {
		return nil, app.Usage(err)
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	skips := a.Skips()
	vo := a.Config.Voxelize
	s.Failed, err = ingest.Each(ctx, src, func(sample ingest.Sample) error {
		if g, ok := sample.Data.(*ingest.Grid); ok && vo.Spacing != (voxelize.Spacing{}) && !volumes {
			resampled, err := voxelize.Resample(g, vo.Spacing, vo.Interpolation)
			if err != nil {
				return &ingest.ItemError{ID: sample.ID, Err: err}
			}
			sample.Data = resampled
		}
		if err := w.Write(sample); err != nil {
			return err
		}
		s.Samples++
		return nil
	}, skips.Add)
	if err != nil {
		skips.Flush()
		return nil, err
	}
	if s.Samples == 0 {
		return nil, skips.None(in, "sample")
	}
	annotate(w, s.Notes)
	if err := w.Commit(); err != nil {
		return nil, err
	}
	return s, skips.Done(in, "sample")
}

// annotated returns the options for reading an input, with a copy of the notes about its files to the list.
func annotated(a *app.Env, list *[]string) ingest.Options {
	o := a.Reading()
	log := o.Noted
	o.Noted = func(file string, notes []ingest.Note) {
		log(file, notes)
		for _, n := range notes {
			*list = append(*list, fmt.Sprintf("%s: %v", filepath.Base(file), n))
		}
	}
	return o
}

// annotate adds notes to a file that has a place for them.
func annotate(w ingest.Writer, notes []string) {
	if g, ok := w.(gridFile); ok {
		w = g.Writer
	}
	if n, ok := w.(ingest.Annotator); ok && len(notes) > 0 {
		n.Annotate(notes)
	}
}

// Converted lists the extensions of the files that [Convert] writes.
func Converted() []string { return append(formats.Created(), ".arrow") }

// Voxelized lists the extensions of the files that [Voxelize] writes.
func Voxelized() []string { return append(formats.Created(), ".arrow", ".binvox") }

// CellFormats lists the formats of cell values that [Voxelize] writes.
func CellFormats() []string {
	var out []string
	for _, f := range voxelize.Formats() {
		out = append(out, string(f))
	}
	return out
}
