//go:build unix

package integration

import (
	"path/filepath"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
)

// depthCases are the cases of depth images, trajectories, photogrammetry, and inputs of any format.
var depthCases = []sensorCase{
	{
		folder: "01-tum-times-scientific",
		learned: "numpy.savetxt writes times as 1.305031102160407066e+09, which only exact decimal arithmetic keeps " +
			"to the nanosecond.",
		args: []string{"convert", "tumsci", "o.ply"},
		out:  []string{"from 2 frames"},
	},
	{
		folder: "01-tum-times-scientific",
		learned: "A pose that is found moves the points: those of a frame 1 m away are at the pose's position, not " +
			"at the origin.",
		args: []string{"convert", "tumsci", "o.h5", "-q"},
		check: func(t *testing.T, dir, _ string) {
			t.Helper()
			needHDF5(t)
			info := must(formats.Inspect(t.Context(), filepath.Join(dir, "o.h5"), formats.NewOptions()))(t)
			p, ok := info.Detail.(*ingest.Points)
			if !ok || p.Min[0] < 9.3 || p.Max[0] > 10.7 || p.Min[1] < 19 || p.Max[1] > 21 || p.Max[2] != 31 {
				t.Errorf("found %+v, want points around (10, 20, 31)", info.Detail)
			}
		},
	},
	{
		folder:  "01-tum-times-scientific",
		learned: "Inspect counts the frames with poses, so that a lost trajectory is seen.",
		args:    []string{"inspect", "tumsci"},
		out:     []string{"frames  2, 0 missing, 2 with poses"},
	},
	{
		folder: "23-colmap-points-without-header",
		learned: "Tools for Gaussian splatting write points3D.txt without comments and tracks, so the name and the " +
			"ascending numbers decide.",
		args: []string{"inspect", "--json", "points3D.txt"},
		out:  []string{`"format":"colmap-text"`, `"min":[10.5,20.5,30.5]`, `"max":[12.5,22.5,32.5]`},
	},
	{
		folder:  "32-h5-inspect-wrong-error",
		learned: "Only an archive with an architecture is a model; of any other, inspect tells what the data readers tell.",
		args:    []string{"inspect", "f_blosc.h5"},
		out:     []string{"rows    6"},
		not:     []string{"model_config"},
	},
	{
		folder:  "57-gzip-trailing-zeros",
		learned: "Tapes and object stores pad gzip files with zeros, which gzip itself ignores.",
		args:    []string{"inspect", "tz.nii.gz"},
		out:     []string{"shape   [4 3 2]", "values  0 .. 23"},
	},
	{
		folder:  "62-png-depth-8-bit",
		learned: "An image of 8 bits is no depth image, and the error says what was found and what is wanted.",
		args:    []string{"inspect", "d8.png", "dpal.png", "drgb.png", "dla.png", "d8.pgm"},
		exit:    exitFailed,
		out: []string{
			"d8.png: depth image: found an 8-bit PNG, want 16-bit grey: its colour type is grey",
			"dpal.png: found a colour picture, want data", "drgb.png: found a colour picture, want data",
			"colour type is grey with transparency", "d8.pgm: depth image: found an 8-bit PGM, want 16-bit",
			"could not read 5 of 5 files",
		},
		not: []string{"not a known format"},
	},
	{
		folder:  "62-png-depth-8-bit",
		learned: "A PGM image may hold its pixels as text.",
		args:    []string{"inspect", "d2.pgm"},
		out: []string{
			"valid   4 of 4 pixels", "range   1 .. 4 m",
			"note    the file does not state its unit: assumed millimetres",
		},
	},
	{
		folder:  "71-colmap-newer-camera-models",
		learned: "COLMAP adds camera models, and a camera that cannot be read does not hide the points.",
		args:    []string{"inspect", "cm11"},
		out:     []string{"points  2, 2 finite", "cameras 1", "RAD_TAN_THIN_PRISM_FISHEYE"},
	},
}
