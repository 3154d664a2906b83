package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/models"
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
	Method  string      `json:"method"`
	Format  string      `json:"format"`
	Points  uint64      `json:"points"`
	Outside uint64      `json:"outside"`
}

// Voxelize turns one input into a file of grids; the file's extension says what kind: .npy, .npz or .h5 of grids in the given format (see
// voxelize.Formats), .arrow of volumes, .binvox of the first sample's occupancy. Items that cannot be voxelized are left out and make the
// result an error.
func Voxelize(ctx context.Context, a *app.Env, input, out, format string) (err error) {
	if out == "" {
		return app.Usage(errors.New("--out: want the file to write"))
	}
	v, err := voxelize.New(a.Config.VoxelOptions())
	if err != nil {
		return err
	}
	w, err := createGrids(out, v, voxelize.Format(format))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	s := VoxelizeSummary{File: out, Grid: option.Dims(v.Dims()), Method: a.Config.Voxelize.Method, Format: format}
	bar := a.Screen.Progress("volumes")
	defer bar.Done()
	failed, err := samples(ctx, a, input, v, voxelize.Format(format), func(sample ingest.Sample) error {
		if err := w.Write(sample); err != nil {
			return err
		}
		s.Volumes++
		if p, ok := w.(*volumeFile); ok {
			s.Points, s.Outside = p.points, p.outside
		}
		bar.Set(int64(s.Volumes), 0, "")
		return nil
	}, func(err error) { a.Log.Error("left out an item", "error", err) })
	if err != nil {
		return err
	}
	s.Failed = failed
	if s.Volumes == 0 {
		return fmt.Errorf("%s: none of %d samples could be voxelized", input, failed)
	}
	if err := w.Commit(); err != nil {
		return err
	}
	if err := a.Print(s, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %d volumes of %s cells, method %s\n", s.File, s.Volumes, s.Grid, s.Method)
	}); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%s: %d samples were left out", input, failed)
	}
	return nil
}

// samples calls use for each sample of an input, or once for what method tsdf makes of all its frames: what v exports in format f.
func samples(ctx context.Context, a *app.Env, input string, v *voxelize.Voxelizer, f voxelize.Format, use func(ingest.Sample) error, bad func(error),
) (failed int, err error) {
	if voxelize.Method(a.Config.Voxelize.Method) == voxelize.TSDF {
		fused, err := fuse(ctx, a, input, v.Place)
		if err != nil {
			return 0, err
		}
		fused.Sample.Data = fused.Volume.Near()
		if f == voxelize.FormatDistance {
			fused.Sample.Data = fused.Volume.Distances()
		}
		return fused.Failed, use(fused.Sample)
	}
	src, err := formats.Open(ctx, input, a.Config.Ingest)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	return ingest.Each(ctx, src, use, bad)
}

// createGrids begins the file that holds what v makes of samples.
func createGrids(path string, v *voxelize.Voxelizer, f voxelize.Format) (ingest.Writer, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".arrow":
		file, err := volarrow.CreateFile(path, v.Palette().Name)
		if err != nil {
			return nil, err
		}
		return &volumeFile{File: file, v: v}, nil
	case ".binvox":
		file, err := ingest.CreateFile(path)
		if err != nil {
			return nil, err
		}
		return &binvoxFile{NewFile: file, v: v}, nil
	}
	file, err := formats.Create(path)
	if err != nil {
		return nil, err
	}
	return gridFile{Writer: file, v: v, format: f}, nil
}

// gridFile writes exported grids.
type gridFile struct {
	ingest.Writer
	v      *voxelize.Voxelizer
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
	v               *voxelize.Voxelizer
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

// binvoxFile writes one field: the format holds no more.
type binvoxFile struct {
	*ingest.NewFile
	v    *voxelize.Voxelizer
	have bool
}

func (f *binvoxFile) Write(s ingest.Sample) error {
	if f.have {
		return fmt.Errorf("%s/%d: a .binvox file holds one volume; write .npy, .npz, .h5 or .arrow", s.Stream, s.Seq)
	}
	field, err := f.v.Field(s)
	if err != nil {
		return err
	}
	f.have = true
	return voxelize.WriteBinvox(f.NewFile, field)
}

// ConvertSummary is the result of convert.
type ConvertSummary struct {
	File    string `json:"file"`
	Samples int    `json:"samples"`
	Failed  int    `json:"failed"`
}

// Convert copies the samples of an input to a file of another format, which the extension names. An .arrow file holds volumes, made as the
// configuration says. A folder of frames with poses becomes one mesh in a .ply file.
func Convert(ctx context.Context, a *app.Env, in, out string) (err error) {
	if strings.EqualFold(filepath.Ext(out), ".ply") && posed(ctx, a, in) {
		return reconstruct(ctx, a, in, out)
	}
	src, err := formats.Open(ctx, in, a.Config.Ingest)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	var w ingest.Writer
	if strings.EqualFold(filepath.Ext(out), ".arrow") {
		v, verr := voxelize.New(a.Config.VoxelOptions())
		if verr != nil {
			return verr
		}
		w, err = createGrids(out, v, voxelize.FormatIndex)
	} else {
		w, err = formats.Create(out)
	}
	if err != nil {
		return app.Usage(err)
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	s := ConvertSummary{File: out}
	s.Failed, err = ingest.Each(ctx, src, func(sample ingest.Sample) error {
		s.Samples++
		return w.Write(sample)
	}, func(err error) { a.Log.Error("left out an item", "error", err) })
	if err != nil {
		return err
	}
	if s.Samples == 0 {
		return fmt.Errorf("%s: found no sample that can be read", in)
	}
	if err := w.Commit(); err != nil {
		return err
	}
	if err := a.Print(s, func(w io.Writer) { fmt.Fprintf(w, "%s: %d samples\n", s.File, s.Samples) }); err != nil {
		return err
	}
	if s.Failed > 0 {
		return fmt.Errorf("%s: %d samples were left out", in, s.Failed)
	}
	return nil
}

// Inspect says what each file holds. A file that cannot be read is reported in its turn; the others are still read. png, if not empty, is where
// the first readable sample is drawn.
func Inspect(ctx context.Context, a *app.Env, paths []string, png string) error {
	failed := 0
	for i, path := range paths {
		info, err := inspect(ctx, a, path)
		if err == nil && png != "" {
			if err = draw(ctx, a, path, png); err == nil {
				png = ""
			}
		}
		if err != nil {
			failed++
			a.Log.Error("cannot be read", "file", path, "error", err)
			if a.JSON {
				err = a.Line(struct {
					File  string `json:"file"`
					Error string `json:"error"`
				}{path, err.Error()})
				if err != nil {
					return err
				}
			}
			continue
		}
		if i > 0 && !a.JSON {
			fmt.Fprintln(a.Out)
		}
		if err := a.Print(info, func(w io.Writer) { fmt.Fprintln(w, info) }); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d files could not be read", failed, len(paths))
	}
	return nil
}

// draw writes a picture of the first sample that can be read.
func draw(ctx context.Context, a *app.Env, path, png string) (err error) {
	src, err := formats.Open(ctx, path, a.Config.Ingest)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	for {
		s, err := src.Read(ctx)
		if _, ok := errors.AsType[*ingest.ItemError](err); ok {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: nothing to draw: %w", path, err)
		}
		return drawTo(png, s)
	}
}

func drawTo(path string, s ingest.Sample) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(drawSample(f, s), f.Close())
}

// inspect looks into one file: data of any format, or a model. An HDF5 file can be either; it is a model where it holds no known data.
func inspect(ctx context.Context, a *app.Env, path string) (ingest.Info, error) {
	if err := models.Savable(path); err != nil {
		return formats.Inspect(ctx, path, a.Config.Ingest) // the extension is none of a model
	}
	info, err := formats.Inspect(ctx, path, a.Config.Ingest)
	if g, ok := info.Detail.(*ingest.Grids); err == nil && ok && g.Rows > 0 {
		return info, nil
	}
	m, merr := models.Load(ctx, path)
	switch {
	case merr == nil:
		return ingest.Info{File: path, Format: strings.TrimPrefix(filepath.Ext(path), "."), Detail: m.Detail()}, nil
	case err == nil:
		return info, nil
	}
	return info, merr
}
