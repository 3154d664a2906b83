// Package h5 reads HDF5 archives: voxel grids that are the rows of a dataset, and point clouds that are groups. It
// supports both layouts of the 3D MNIST data set:
//
//	vectors  X_train (N, 4096), y_train (N), X_test, y_test; a row is a grid of 16 x 16 x 16, [z][y][x]; (N, 512) is one of 8 x 8 x 8
//	clouds   groups "0", "1", ... with points (N, 3), normals (N, 3), img and an attribute label; points are in the unit of the archive
//
// Any other dataset of numbers can be read as grids by name. A damaged archive causes an error but never crashes
// the process: see internal/h5.
package h5

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	hdf "github.com/voxelstream/voxelstream/internal/h5"
)

// Split is a part of an archive in the vectors layout.
type Split string

// The parts of an archive.
const (
	All   Split = ""      // train, then test, as separate streams
	Train Split = "train" // X_train and y_train
	Test  Split = "test"  // X_test and y_test
)

// Options selects what to read from an archive. The zero value reads all of it.
type Options struct {
	Split Split
	// Data is the path of a dataset to read as grids, regardless of what else the file holds: of shape (N, K), (N,
	// D, H, W) or (N, D, H, W, C).
	Data string
	// Labels is the path of a dataset with the N class numbers for Data; empty if there is none.
	Labels string
	// Signed accepts negative values, as [ReaderOptions] does. Otherwise a row with a negative value is bad, because
	// densities and colours are never negative.
	Signed bool
	// Start is the number of samples to skip at the beginning. Later samples keep their numbers, so that a stream
	// can resume where it stopped.
	Start int
	// Options holds the shape of flat rows and the limits.
	ingest.Options
}

// HDF5 is the format; it reads whole archives. [Open] has more options.
var HDF5 = ingest.Format{
	Name:       "hdf5",
	Doc:        "3D MNIST archives (vectors, clouds), any numeric grids",
	Extensions: []string{".h5", ".hdf5"},
	Options:    newReaderOptions,
	Library:    "libhdf5 through gonum/hdf5, in a separate process",
	Tested:     "jhdf and pyfive test files",
	Detect: func(h *ingest.Head) ingest.Confidence {
		if hdf.IsHDF5(h.Bytes) {
			return ingest.Sure
		}
		return ingest.No
	},
	Open: func(ctx context.Context, path string, o ingest.Options) (ingest.Source, error) {
		return Open(ctx, path, Options{Options: o})
	},
	Inspect: inspect,
}

// Open opens the archive at path as a stream. The source must be closed, because it holds a process.
func Open(ctx context.Context, path string, o Options) (ingest.Source, error) {
	o.Options = o.Options.WithDefaults()
	stream, err := ingest.StreamName(path)
	if err != nil {
		return nil, err
	}
	f, err := hdf.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	src, err := open(ctx, f, stream, o)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return src, nil
}

func open(ctx context.Context, f *hdf.File, stream string, o Options) (ingest.Source, error) {
	if o.Start < 0 {
		return nil, fmt.Errorf("%s: found start %d, want at least 0", stream, o.Start)
	}
	c, err := contentOf(ctx, f, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", stream, err)
	}
	if len(c.clouds) > 0 {
		return newClouds(f, stream, c.clouds, o), nil
	}
	return newGrids(ctx, f, stream, c.grids, o)
}

// content is the content of an archive: pairs of datasets, or groups of points.
type content struct {
	grids  []pair
	clouds []string
}

// pair is a dataset of grids and the dataset of its labels, or "" if there is none.
type pair struct{ data, labels string }

// vectors are the datasets of the vectors layout.
var vectors = []struct {
	split Split
	pair
}{
	{Train, pair{"/X_train", "/y_train"}},
	{Test, pair{"/X_test", "/y_test"}},
}

func contentOf(ctx context.Context, f *hdf.File, o Options) (content, error) {
	if o.Data != "" {
		return content{grids: []pair{{absolute(o.Data), absolute(o.Labels)}}}, nil
	}
	members, err := f.Children(ctx, "/")
	if err != nil {
		return content{}, err
	}
	has := func(path string, kind hdf.Kind) bool {
		return slices.ContainsFunc(members, func(m hdf.Object) bool { return m.Path == path && m.Kind == kind })
	}
	var c content
	for _, v := range vectors {
		if (o.Split == All || o.Split == v.split) && has(v.data, hdf.Dataset) {
			p := v.pair
			if !has(p.labels, hdf.Dataset) {
				p.labels = ""
			}
			c.grids = append(c.grids, p)
		}
	}
	if len(c.grids) > 0 {
		return c, nil
	}
	if o.Split != All {
		return c, fmt.Errorf("dataset X_%s not found", o.Split)
	}
	if c.clouds = cloudGroups(members); len(c.clouds) > 0 {
		_, err := f.Object(ctx, c.clouds[0]+"/points")
		if err == nil || !errors.Is(err, hdf.ErrNotFound) {
			return c, err
		}
	}
	return content{}, errNoLayout(members)
}

// errNotFound means that an archive has none of the known layouts.
var errNotFound = errors.New("found neither X_train or X_test nor groups with points; name a dataset")

func errNoLayout(members []hdf.Object) error {
	var names []string
	for _, m := range members[:min(len(members), 10)] {
		names = append(names, m.Path[1:])
	}
	if len(members) > 10 {
		names = append(names, "...")
	}
	return fmt.Errorf("%w (members: %s)", errNotFound, strings.Join(names, ", "))
}

func absolute(path string) string {
	if path == "" || strings.HasPrefix(path, "/") {
		return path
	}
	return "/" + path
}
