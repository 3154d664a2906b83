package stream

import (
	"path/filepath"
	"testing"

	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/files"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// TestUnfamiliar: the built-in model, which knows digits, says of streets that they are unlike its training data, and
// of digits that it has not seen, of very few.
func TestUnfamiliar(t *testing.T) {
	street := testenv.Sample(t, "lidar/kitti/kitti_odometry_00_000000.bin.gz")
	other := testenv.Sample(t, "lidar/nuscenes/n008-2018-09-18_LIDAR_TOP_1537287083900561.pcd.bin")
	dir := t.TempDir()
	digits := filepath.Join(dir, "digits.h5")
	a := apptest.New(t, "broker.data_dir", filepath.Join(dir, "a"), "sinks.out", filepath.Join(dir, "c.jsonl"), "seed",
		"20263")
	if _, err := files.Generate(t.Context(), a,
		files.GenerateOptions{Count: 100, Augment: true, Grid: 16, Layout: "vectors", Out: digits}); err != nil {
		t.Fatal(err)
	}
	s, err := Run(t.Context(), a, []string{digits})
	if err != nil || s.Classified != 200 || s.Unfamiliar > 10 {
		t.Errorf("digits: found %+v, %v, want at most 10 of 200 unfamiliar", s, err)
	}
	a = apptest.New(t, "broker.data_dir", filepath.Join(dir, "b"), "sinks.out", filepath.Join(dir, "s.jsonl"))
	if s, err = Run(t.Context(), a, []string{street, other}); err != nil || s.Classified != 2 || s.Unfamiliar != 2 {
		t.Errorf("streets: found %+v, %v, want both unfamiliar", s, err)
	}
}
