//go:build unix

package integration

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/ingest/array"
)

// sixGrids are what the archives of cases 30, 31, 33 and 37 hold.
var sixGrids = []string{`"rows":6,"shape":[4,4,4]`, `"labels":{"0":1,"1":1,"2":1,"3":1,"4":1,"5":1}`}

// arrayCases are the cases of HDF5 and NumPy arrays.
var arrayCases = []sensorCase{
	{
		folder:  "15-matlab73-transposed",
		learned: "MATLAB stores dimensions in reverse, so an array of 8x27 is (27, 8) in the file.",
		args:    []string{"inspect", "--json", "mat_x.mat", "mat_4d.mat"},
		out:     []string{`"rows":8,"shape":[3,3,3]`, `"rows":5,"shape":[4,3,2]`, "the axes are reversed"},
	},
	{
		folder:  "15-matlab73-transposed",
		learned: "Reversing the dimensions also moves the values.",
		args:    []string{"convert", "mat_4d.mat", "o.npy"},
		out:     []string{"5 samples"},
		check: func(t *testing.T, dir, _ string) {
			n, values := readRows(t, filepath.Join(dir, "o.npy"), 4, 3, 2)
			for i, v := range values {
				if want := float32(1 - min(1, i/24)); n != 5 || v != want {
					t.Fatalf("found %d rows, %v, want 5, the first of ones and the others of zeros", n, values)
				}
			}
		},
	},
	{
		folder:  "16-npy-image-of-512-columns",
		learned: "A table of 512 columns may be a depth image as well as flat grids, so the user decides.",
		args:    []string{"inspect", "--json", "kinect2_depth_m.npy"},
		exit:    1,
		out:     []string{"shape (24, 512): may be an image, or 24 flat grids of 8x8x8", "--grid 8"},
	},
	{
		folder:  "16-npy-image-of-512-columns",
		learned: "With --grid the rows are grids.",
		args:    []string{"inspect", "--json", "kinect2_depth_m.npy", "--grid", "8"},
		out:     []string{`"rows":24,"shape":[8,8,8]`},
	},
	{
		folder:  "18-npy-batch-of-clouds",
		learned: "Three axes of floats with 3 values last are a batch of clouds, as point networks read them.",
		args:    []string{"inspect", "--json", "batch_clouds.npy"},
		out:     []string{`"kind":"points"`, `"count":1024`, `"clouds":4`, "read as 4 clouds of 256 points"},
	},
	{
		folder:  "18-npy-batch-of-clouds",
		learned: "What was assumed of three axes can be decided otherwise.",
		args:    []string{"inspect", "--json", "batch_clouds.npy", "--grid", "4x256x3"},
		out:     []string{`"rows":1,"shape":[4,256,3]`},
		not:     []string{"read as"},
	},
	{
		folder:  "26-h5-inspect-hides-unreadable-clouds",
		learned: "Points in HDF5 may be records, and a cloud that cannot be read is never 0 points.",
		args:    []string{"inspect", "--json", "c_compound.h5"},
		out:     []string{`"count":10,"finite":10`, `"fields":["x","y","z","intensity"]`},
	},
	{
		folder:  "30-h5-lzf",
		learned: "The filter lzf of h5py is part of no libhdf5, but is simple to undo.",
		args:    []string{"inspect", "--json", "f_lzf.h5"},
		out:     sixGrids,
	},
	{
		folder:  "31-h5-blosc-zstd-lz4-bitshuffle",
		learned: "Filters of hdf5plugin and PyTables are undone without their plugins.",
		args:    []string{"convert", "f_zstd.h5", "o.npz"},
		out:     []string{"6 samples"},
	},
	{
		folder:  "31-h5-blosc-zstd-lz4-bitshuffle",
		learned: "All of the filters give the same values.",
		args:    []string{"inspect", "--json", "f_blosc.h5", "f_bshuf.h5", "f_lz4.h5", "f_zstd.h5", "pt.h5"},
		out:     slices.Concat(sixGrids, []string{`"file":"pt.h5"`}),
		not:     []string{"error"},
	},
	{
		folder:  "32-h5-inspect-wrong-error",
		learned: "Inspect reads what convert reads.",
		args:    []string{"inspect", "--json", "f_blosc.h5"},
		out:     sixGrids,
		not:     []string{"model_config"},
	},
	{
		folder:  "33-h5-soft-link",
		learned: "Soft links are followed within the file.",
		args:    []string{"inspect", "--json", "soft.h5"},
		out:     sixGrids,
	},
	{
		folder:  "35-h5-modelnet40",
		learned: "The most used point cloud archive names its arrays data and label.",
		args:    []string{"convert", "modelnet40.h5", "o.npz"},
		out:     []string{"4 samples", "data with labels label", "not read: faceId, normal"},
	},
	{
		folder:  "35-h5-modelnet40",
		learned: "A dataset can be named.",
		args:    []string{"inspect", "--json", "modelnet40.h5", "--data", "normal", "--labels", "none"},
		out:     []string{`"count":80`, `"clouds":4`},
	},
	{
		folder:  "36-h5-negative-values",
		learned: "Negative values are as good in HDF5 as in other files.",
		args:    []string{"convert", "d_neg.h5", "o.npy"},
		out:     []string{"6 samples"},
		check: func(t *testing.T, dir, _ string) {
			if _, values := readRows(t, filepath.Join(dir, "o.npy"), 4, 4, 4); values[4] >= 0 {
				t.Errorf("found %g, want a negative value", values[4])
			}
		},
	},
	{
		folder:  "37-h5-one-hot-labels",
		learned: "Labels may be one-hot rows.",
		args:    []string{"inspect", "--json", "d_onehot.h5"},
		out:     slices.Concat(sixGrids, []string{"one-hot rows of 6 classes"}),
	},
	{
		folder:  "63-npz-with-strings",
		learned: "Arrays beside the data may be text or Python objects.",
		args:    []string{"inspect", "--json", "names.npz", "obj.npz"},
		out:     []string{`"rows":4,"shape":[8,8,8]`, `{"name":"class_names","type":"text","shape":[4]}`, "not read: meta", "Python objects"},
		not:     []string{"error"},
	},
	{
		folder:  "63-npz-with-strings",
		learned: "Labels that are names are numbered in alphabetical order.",
		args:    []string{"inspect", "--json", "strlab.npz"},
		out:     []string{`"labels":{"0":2,"1":1,"2":1}`, "numbered 0 a, 1 b, 2 c"},
	},
}

// readRows reads a file of grids.
func readRows(t *testing.T, path string, shape ...int) (n int, values []float32) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	n, values, err := array.ReadRows(path, shape)
	if err != nil {
		t.Fatal(err)
	}
	return n, values
}
