// Package h5 reads HDF5 archives: voxel grids and point clouds that are the rows of a dataset, single grids and clouds,
// and point clouds that are groups. It knows both layouts of the 3D MNIST dataset:
//
//	vectors  X_train (N, 4096), y_train (N), X_test, y_test; a row is a grid of 16 x 16 x 16, [z][y][x]; (N, 512) is one
//	         of 8 x 8 x 8
//	clouds   groups "0", "1", ... with points (N, 3), normals (N, 3), img and an attribute label; points are in the unit
//	         of the archive
//
// Other datasets are chosen by their names, or by name; package arrays says how their shapes are read. A damaged
// archive causes an error but never crashes the process: see internal/h5.
package h5

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/arrays"
	hdf "github.com/voxelstream/voxelstream/internal/h5"
)

// Split is a part of an archive whose datasets are named after their part.
type Split string

// The parts of an archive.
const (
	All   Split = ""      // all datasets, as separate streams
	Train Split = "train" // X_train and y_train, or other names with the word train
	Val   Split = "val"   // X_val and y_val, or other names with a word that starts so
	Test  Split = "test"  // X_test and y_test, or other names with the word test
)

// Options selects what to read from an archive. The zero value reads all of it.
type Options struct {
	Split Split
	// Options holds the limits and the options of the readers, of which arrays.Options chooses datasets.
	ingest.Options
}

// HDF5 is the format; it reads whole archives. [Open] has more options.
var HDF5 = ingest.Format{
	Name: "hdf5",
	Doc: "3D MNIST archives (vectors, clouds); any grids and point clouds, as numbers or records, with labels as " +
		"integers, one-hot rows or names; MATLAB 7.3; gzip, szip, LZF, Blosc, LZ4, bitshuffle, Zstandard, bzip2; the " +
		"intact part of files that were cut off or not closed",
	Assumes: "datasets by the usual names (`--data`, `--labels`); shapes as for npy; the axes of MATLAB, Octave, Julia " +
		"and R files are reversed, so that they are as in those programs",
	Refuses: "external links and storage, virtual datasets (`h5repack -l CONTI`); Blosc2, ZFP, SZ and other filters " +
		"(`h5repack -f GZIP=4`, or h5py with hdf5plugin); cell arrays, sparse matrices, complex numbers",
	Extensions: []string{".h5", ".hdf5", ".mat"},
	Options:    arrays.NewOptions,
	Contained:  true,
	Library:    "libhdf5 through gonum/hdf5, in a separate process; libdeflate, klauspost/compress, pierrec/lz4",
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

// MAT5 is the format of MATLAB files before version 7.3, which are recognized but not read.
var MAT5 = ingest.Format{
	Name: "mat5",
	Doc:  "none",
	Refuses: "MATLAB files of `save -v7`, `-v6` and scipy.io.savemat: save them with `-v7.3`, or as .npy or .npz with " +
		"scipy.io.loadmat",
	Detect: func(h *ingest.Head) ingest.Confidence {
		// A text of 116 bytes, 8 bytes of offset, version 0x0100 and the letters MI in the byte order of the file
		// (MAT-File Format, "Level 5 MAT-File Header Format").
		if len(h.Bytes) < 128 || !bytes.HasPrefix(h.Bytes, []byte("MATLAB")) {
			return ingest.No
		}
		if end := string(h.Bytes[124:128]); end == "\x00\x01IM" || end == "\x01\x00MI" {
			return ingest.Sure
		}
		return ingest.No
	},
	Open: func(_ context.Context, path string, _ ingest.Options) (ingest.Source, error) {
		return nil, errMAT5(path)
	},
	Inspect: func(_ context.Context, path string, _ ingest.Options) (ingest.Detail, error) {
		return nil, errMAT5(path)
	},
}

func errMAT5(path string) error {
	return fmt.Errorf("%s: a MATLAB 5 file, which is not read; save it in MATLAB with -v7.3, or read it in Python with "+
		"scipy.io.loadmat and save it as .npy or .npz", path)
}

// Open opens the archive at path as a stream. The source must be closed, because it holds a process.
func Open(ctx context.Context, path string, o Options) (ingest.Source, error) {
	stream, err := ingest.StreamName(path)
	if err != nil {
		return nil, err
	}
	a, err := openInput(ctx, path, o)
	if err != nil {
		return nil, err
	}
	src, err := a.source(ctx, stream)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), a.file.Close())
	}
	return src, nil
}

// input is an open file whose content is being looked for.
type input struct {
	file    *hdf.File
	options Options
	columns bool // the whole file is from a program whose first axis varies fastest
}

// openInput opens a file and notes what is remarkable about it. The file must be closed.
func openInput(ctx context.Context, path string, o Options) (*input, error) {
	o.Options = o.WithDefaults()
	head, err := ingest.ReadHead(path)
	if err != nil {
		return nil, err
	}
	f, err := hdf.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	for _, n := range f.Notes() {
		o.Note("%s", n)
	}
	a := &input{file: f, options: o}
	for _, text := range []string{"MATLAB 7.3", "HDF5-based Julia Data Format", "Julia data file (HDF5)"} {
		a.columns = a.columns || bytes.HasPrefix(head.Bytes, []byte(text))
	}
	return a, nil
}

func (a *input) source(ctx context.Context, stream string) (ingest.Source, error) {
	c, err := a.content(ctx)
	if err != nil {
		return nil, err
	}
	if len(c.groups) > 0 {
		return newClouds(ctx, a, stream, c.groups)
	}
	return newRows(ctx, a, stream, c), nil
}
