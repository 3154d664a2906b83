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
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/volarrow"
)

// VoxelizeSummary is the result of voxelize.
type VoxelizeSummary struct {
	File    string      `json:"file"`
	Volumes int         `json:"volumes"`
	Failed  int         `json:"failed"`
	Grid    option.Dims `json:"grid"`
	// Method is empty if all samples were voxel grids already. Cells says what the cells of the volumes hold.
	Method  string `json:"method"`
	Cells   string `json:"cells"`
	Format  string `json:"format"`
	Points  uint64 `json:"points"`
	Outside uint64 `json:"outside"`
	// Notes is what was assumed, left out or repaired in the input. Files of formats that have a place for it hold it,
	// too.
	Notes []string `json:"notes,omitempty"`
}

// Voxelize converts one input to a file of grids. The file's extension selects the format: .npy, .npz and .h5 hold
// grids with the given cell values (see voxelize.Formats), .arrow holds volumes, and .binvox the occupancy of the
// first sample. With tiles, each sample becomes a grid for each of its tiles; see [voxelize.Voxelizer.Tiles]. Items that
// cannot be voxelized are skipped; the result then comes with an error that wraps [app.ErrSkipped].
func Voxelize(ctx context.Context, a *app.Env, input, out, format string, tiles bool) (_ *VoxelizeSummary, err error) {
	if out == "" {
		return nil, app.Usage(errors.New("missing --out FILE, the file to write"))
	}
	release, err := a.ClaimOutputs([]string{input}, out)
	if err != nil {
		return nil, err
	}
	defer release()
	v, err := voxelize.New(a.Config.Voxelize)
	if err != nil {
		return nil, err
	}
	now := &current{v}
	w, err := createGrids(out, now, voxelize.Format(format))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	s := &VoxelizeSummary{
		File: out, Grid: v.Dims(), Cells: cells(out, voxelize.Format(format), a.Config.Voxelize), Format: format,
	}
	bar := a.Bar("volumes")
	defer bar.Done()
	skips := a.Skips()
	failed, err := samples(ctx, annotated(a, &s.Notes), a.Config.Threads, input, v, voxelize.Format(format),
		func(sample ingest.Sample) error {
			write := func(sample ingest.Sample) error {
				if err := w.Write(sample); err != nil {
					return err
				}
				s.Volumes++
				if _, ok := sample.Data.(*ingest.Grid); !ok || v.Method().Fuse != nil {
					s.Method = string(v.Method().Name)
				}
				if p, ok := w.(*volumeFile); ok {
					s.Points, s.Outside = p.points, p.outside
				}
				bar.Set(int64(s.Volumes), 0, "")
				return nil
			}
			if !tiles {
				return write(sample)
			}
			parts, err := v.Tiles(sample)
			if err != nil {
				return err
			}
			for tile := range parts {
				now.v = tile.Voxelizer
				if err := errors.Join(ctx.Err(), write(tile.Sample)); err != nil {
					return err
				}
			}
			return nil
		}, skips)
	if err != nil {
		skips.Flush()
		return nil, err
	}
	s.Failed = failed
	if s.Volumes == 0 {
		return nil, skips.None(input, "sample")
	}
	annotate(w, s.Notes)
	if err := w.Commit(); err != nil {
		return nil, err
	}
	return s, skips.Done(input, "sample")
}

// cells returns what the cells of a file of volumes hold.
func cells(path string, f voxelize.Format, o voxelize.Options) string {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".arrow":
		if !o.Values.IsPalette() {
			return "values " + o.Encoding().String()
		}
		f = voxelize.FormatIndex
	case ".binvox":
		return "occupancy"
	}
	switch f {
	case voxelize.FormatRGB:
		return "colours of colour map " + string(o.Colormap)
	case voxelize.FormatDensity:
		return "values before the colour map"
	case voxelize.FormatDistance:
		return "distances to the surface in metres"
	}
	return "indices into colour map " + string(o.Colormap)
}

// MethodInfo describes a voxelization method.
type MethodInfo struct {
	Name string `json:"name"`
	Doc  string `json:"doc"`
	// Cube requires a cubic grid. Placed methods accept an edge and an origin. Frames requires depth frames. Fuses
	// reports that a recording becomes one grid. Distances reports that the format distance is available.
	Cube      bool `json:"cube"`
	Placed    bool `json:"placed"`
	Frames    bool `json:"frames"`
	Fuses     bool `json:"fuses"`
	Distances bool `json:"distances"`
}

// Methods lists the voxelization methods.
func Methods() []MethodInfo {
	var out []MethodInfo
	for _, m := range voxelize.Methods() {
		out = append(out, MethodInfo{
			Name: string(m.Name), Doc: m.Doc, Cube: m.Needs.Cube, Placed: m.Placed, Frames: m.Needs.Frames,
			Fuses: m.Fuse != nil, Distances: m.Distances != nil,
		})
	}
	return out
}

// samples calls use with each sample of an input, or once with the fused grid if the method fuses recordings.
func samples(ctx context.Context, o ingest.Options, threads int, input string, v *voxelize.Voxelizer, f voxelize.Format,
	use func(ingest.Sample) error, skips *app.Skips,
) (failed int, err error) {
	open := func() (ingest.Source, error) { return formats.Open(ctx, input, o) }
	if v.Method().Fuse != nil {
		fused, err := v.Fuse(ctx, open, threads, skips.Add)
		if err != nil {
			return 0, err
		}
		grid := fused.Grid
		if f == voxelize.FormatDistance && fused.Distances != nil {
			grid = fused.Distances
		}
		fused.Sample.Data = grid()
		return fused.Failed, use(fused.Sample)
	}
	src, err := open()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	return ingest.Each(ctx, src, use, skips.Add)
}

// current is the voxelizer of the next sample.
type current struct{ v *voxelize.Voxelizer }

// createGrids creates the output file for the grids of a voxelizer.
func createGrids(path string, v *current, f voxelize.Format) (ingest.Writer, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".arrow":
		file, err := volarrow.CreateFile(path)
		if err != nil {
			return nil, err
		}
		return &volumeFile{File: file, current: v}, nil
	case ".binvox":
		file, err := ingest.CreateFile(path)
		if err != nil {
			return nil, err
		}
		return &binvoxFile{NewFile: file, current: v}, nil
	}
	file, err := formats.Create(path)
	if err != nil {
		return nil, err
	}
	return gridFile{Writer: file, current: v, format: f}, nil
}

// gridFile writes exported grids.
type gridFile struct {
	ingest.Writer
	*current
	format voxelize.Format
}

func (g gridFile) Write(s ingest.Sample) error {
	grid, err := g.v.Export(s, g.format)
	if err != nil {
		return err
	}
	return g.Writer.Write(grid)
}

// volumeFile writes volumes.
type volumeFile struct {
	*volarrow.File
	*current
	points, outside uint64
}

func (f *volumeFile) Write(s ingest.Sample) error {
	vol, err := f.v.Volume(s)
	if err != nil {
		return err
	}
	f.points += uint64(vol.Points)
	f.outside += uint64(vol.Outside)
	return f.File.Write(vol)
}

// binvoxFile writes a single field, because the format holds only one.
type binvoxFile struct {
	*ingest.NewFile
	*current
	have bool
}

func (f *binvoxFile) Write(s ingest.Sample) error {
	if f.have {
		return fmt.Errorf("%s/%d: a .binvox file holds only one volume; use .npy, .npz, .h5 or .arrow for more",
			s.Stream, s.Seq)
	}
	field, err := f.v.Field(s)
	if err != nil {
		return err
	}
	f.have = true
	return voxelize.WriteBinvox(f.NewFile, field)
}
