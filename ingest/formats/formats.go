// Package formats lists every readable format, and opens any input according to its content.
package formats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/array"
	"github.com/voxelstream/voxelstream/ingest/depth"
	"github.com/voxelstream/voxelstream/ingest/h5"
	"github.com/voxelstream/voxelstream/ingest/lidar"
	"github.com/voxelstream/voxelstream/ingest/medical"
	"github.com/voxelstream/voxelstream/ingest/mesh"
	"github.com/voxelstream/voxelstream/ingest/packets"
	"github.com/voxelstream/voxelstream/ingest/photogrammetry"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/record"
)

// All returns every format. If two are equally confident about an input, the first is used.
func All() []ingest.Format {
	return []ingest.Format{
		depth.Tango, // before PLY, of which it is a variant
		h5.HDF5,
		lidar.PCD,
		lidar.PLY,
		lidar.LAS,
		lidar.LAZ,
		lidar.PTX,
		lidar.E57,
		array.NPY,
		array.NPZ,
		array.IDX,
		depth.PNG,
		depth.PGM,
		depth.TangoBuffer,
		depth.Kinect,
		depth.Fakenect,
		depth.SUN, // before the formats whose folders look alike
		depth.TUM,
		depth.Frames, // after TUM, whose folders look alike
		medical.NIfTI,
		medical.MGH,
		medical.DICOM,
		medical.DICOMSeries,
		mesh.OFF,
		mesh.OBJ,
		mesh.Binvox,
		photogrammetry.COLMAPModel,
		photogrammetry.COLMAP,
		photogrammetry.COLMAPText,
		photogrammetry.COLMAPCameras,
		photogrammetry.COLMAPCamerasText,
		photogrammetry.COLMAPImages,
		photogrammetry.COLMAPImagesText,
		photogrammetry.NVM,
		photogrammetry.OpenSfM,
		packets.PCAP,
		packets.VelodyneRaw,
		packets.ROSBag1,
		packets.ROSBag2,
		packets.MCAP,
		lidar.NuScenes, // before KITTI, for which its floats would be plausible too
		lidar.KITTI,
		lidar.PTS,
		lidar.XYZ, // last of the text formats, because it accepts any table of numbers
	}
}

// NewOptions returns the default limits and the default options of all formats. Each call returns new options.
func NewOptions() ingest.Options {
	all := All()
	makers := make([]func() any, len(all))
	for i, f := range all {
		makers[i] = f.Options
	}
	o := ingest.Options{Readers: option.Distinct(makers)}
	return o.WithDefaults()
}

// Detect returns the format of the file or folder at path, judged by its content. If none fits, the error wraps
// [ingest.ErrFormat].
func Detect(path string) (ingest.Format, error) {
	head, err := ingest.ReadHead(path)
	if err != nil {
		return ingest.Format{}, err
	}
	var best ingest.Format
	sure := ingest.No
	for _, f := range All() {
		if c := f.Detect(head); c > sure {
			best, sure = f, c
		}
	}
	if sure == ingest.No {
		if head.IsDir() {
			return best, fmt.Errorf("%s: folder of %d files: %w", path, len(head.Names), ingest.ErrFormat)
		}
		return best, fmt.Errorf("%s: found %d bytes that start with %q: %w", path, head.Size,
			head.Bytes[:min(8, len(head.Bytes))], ingest.ErrFormat)
	}
	return best, nil
}

// Open opens a file, a folder that is one recording, or all readable files of any other folder, by name, as a
// stream.
func Open(ctx context.Context, path string, o ingest.Options) (ingest.Source, error) {
	f, err := Detect(path)
	if errors.Is(err, ingest.ErrFormat) {
		if info, serr := os.Stat(path); serr == nil && info.IsDir() {
			return openFolder(path, o)
		}
	}
	if err != nil {
		return nil, err
	}
	return openAs(ctx, f, path, o)
}

// openAs opens an input as format f and reports the notes about it.
func openAs(ctx context.Context, f ingest.Format, path string, o ingest.Options) (ingest.Source, error) {
	if o.Noted == nil {
		return f.Open(ctx, path, o)
	}
	o.Notes = new(ingest.Notes)
	report := func() {
		if notes := o.Notes.Take(); len(notes) > 0 {
			o.Noted(path, notes)
		}
	}
	src, err := f.Open(ctx, path, o)
	if err != nil {
		report()
		return nil, err
	}
	return &noted{src, report}, nil
}

// noted is a source that reports notes at its end, or when it is closed.
type noted struct {
	ingest.Source
	report func()
}

func (n *noted) Read(ctx context.Context) (ingest.Sample, error) {
	s, err := n.Source.Read(ctx)
	if errors.Is(err, io.EOF) {
		n.report()
	}
	return s, err
}

func (n *noted) Close() error {
	n.report()
	return n.Source.Close()
}

// Inspect describes the content of the file or folder.
func Inspect(ctx context.Context, path string, o ingest.Options) (ingest.Info, error) {
	f, err := Detect(path)
	if err != nil {
		return ingest.Info{}, err
	}
	o.Notes = new(ingest.Notes)
	d, err := f.Inspect(ctx, path, o)
	if err != nil {
		return ingest.Info{}, err
	}
	return ingest.Info{File: path, Format: f.Name, Notes: o.Notes.Take(), Detail: d}, nil
}

// folder reads the files of a folder one after another, each as a stream of its own.
type folder struct {
	paths   []string
	o       ingest.Options
	current ingest.Source
}

// openFolder opens the files whose format is known; a folder without any is an error.
func openFolder(dir string, o ingest.Options) (ingest.Source, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	f := &folder{o: o}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		if _, err := Detect(path); err == nil {
			f.paths = append(f.paths, path)
		}
	}
	if len(f.paths) == 0 {
		return nil, fmt.Errorf("%s: found no readable file among %d: %w", dir, len(entries), ingest.ErrFormat)
	}
	return f, nil
}

func (f *folder) Read(ctx context.Context) (ingest.Sample, error) {
	for {
		if f.current == nil {
			if len(f.paths) == 0 {
				return ingest.Sample{}, io.EOF
			}
			path := f.paths[0]
			f.paths = f.paths[1:]
			src, err := Open(ctx, path, f.o)
			if err != nil {
				if ctx.Err() != nil {
					return ingest.Sample{}, err
				}
				return ingest.Sample{}, &ingest.ItemError{ID: record.ID{Stream: filepath.Base(path)}, Err: err}
			}
			f.current = src
		}
		s, err := f.current.Read(ctx)
		var item *ingest.ItemError
		if err == nil || errors.As(err, &item) || ctx.Err() != nil {
			return s, err
		}
		cerr := f.current.Close()
		f.current = nil
		if !errors.Is(err, io.EOF) {
			return ingest.Sample{}, &ingest.ItemError{ID: record.ID{Stream: s.Stream}, Err: err}
		}
		if cerr != nil {
			return ingest.Sample{}, cerr
		}
	}
}

func (f *folder) Close() error {
	f.paths = nil
	if f.current == nil {
		return nil
	}
	err := f.current.Close()
	f.current = nil
	return err
}
