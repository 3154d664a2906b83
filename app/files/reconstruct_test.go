package files

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
)

// wall returns a folder of two frames with poses: a wall at z = 2 m, seen from the origin and from half a metre
// closer. second is the pose of the second frame.
func wall(t *testing.T, second string) string {
	t.Helper()
	const w, h = 64, 48
	dir := t.TempDir()
	for name, depth := range map[string]uint16{"frame-0": 2000, "frame-1": 1500} {
		img := image.NewGray16(image.Rect(0, 0, w, h))
		for i := range w * h {
			img.SetGray16(i%w, i/w, color.Gray16{Y: depth})
		}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".depth.png"), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"camera-intrinsics.txt": "60 0 31.5\n0 60 23.5\n0 0 1\n", "frame-0.pose.txt": "1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1",
		"frame-1.pose.txt": second,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const nearer = "1 0 0 0 0 1 0 0 0 0 1 0.5 0 0 0 1"

func TestReconstructMesh(t *testing.T) {
	a := apptest.New(t, "voxelize.method", "tsdf", "voxelize.edge", "0.03")
	file := filepath.Join(t.TempDir(), "wall.ply")
	s, err := Convert(t.Context(), a, wall(t, nearer), file)
	if err != nil {
		t.Fatal(err)
	}
	if s.Frames != 2 || s.Failed != 0 || s.Edge != 0.03 || s.Triangles < 1000 {
		t.Errorf("found %+v", s)
	}
	info, err := formats.Inspect(t.Context(), file, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, ok := info.Detail.(*ingest.Points)
	if !ok || p.Count != s.Vertices || math.Abs(p.Min[2]-2) > 1e-3 || math.Abs(p.Max[2]-2) > 1e-3 {
		t.Errorf("found %+v, want a wall at z = 2 m", info.Detail)
	}
}

func TestReconstructGrid(t *testing.T) {
	a := apptest.New(t, "voxelize.method", "tsdf", "voxelize.edge", "0.1", "voxelize.grid", "16")
	file := filepath.Join(t.TempDir(), "wall.npy")
	made, err := Voxelize(t.Context(), a, wall(t, nearer), file, "density", false)
	if err != nil {
		t.Fatal(err)
	}
	if made.Volumes != 1 || made.Failed != 0 {
		t.Errorf("found %+v", made)
	}
	src, err := formats.Open(t.Context(), file, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := src.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g, ok := s.Data.(*ingest.Grid)
	if !ok || g.Dims != [3]int{16, 16, 16} {
		t.Fatalf("found %+v", s.Data)
	}
	// The wall lies between planes 7 and 8, half a cell from the centres of each. The truncation is five cells.
	for z, want := range map[int]float64{3: 0.1, 6: 0.7, 7: 0.9, 8: 0.9, 9: 0.7, 14: 0} {
		if got := float64(g.Values[(z*16+8)*16+8]); math.Abs(got-want) > 1e-3 {
			t.Errorf("plane %d: found %g, want %g", z, got, want)
		}
	}
}

// TestReconstructDistances checks signed distances in metres to a wall at z = 2 m.
func TestReconstructDistances(t *testing.T) {
	a := apptest.New(t, "voxelize.method", "tsdf", "voxelize.edge", "0.1", "voxelize.grid", "16")
	file := filepath.Join(t.TempDir(), "wall.npy")
	if _, err := Voxelize(t.Context(), a, wall(t, nearer), file, "distance", false); err != nil {
		t.Fatal(err)
	}
	src, err := formats.Open(t.Context(), file, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := src.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g, ok := s.Data.(*ingest.Grid)
	if !ok {
		t.Fatalf("found %T", s.Data)
	}
	for z, want := range map[int]float64{0: 0.5, 6: 0.15, 7: 0.05, 8: -0.05, 12: -0.45, 15: 0.5} {
		if got := float64(g.Values[(z*16+8)*16+8]); math.Abs(got-want) > 1e-3 {
			t.Errorf("plane %d: found %g m, want %g", z, got, want)
		}
	}
}

func TestReconstructSkipsFramesWithoutPose(t *testing.T) {
	a := apptest.New(t, "voxelize.method", "tsdf", "voxelize.edge", "0.03")
	s, err := Convert(t.Context(), a, wall(t, strings.Repeat("0 ", 16)), filepath.Join(t.TempDir(), "wall.ply"))
	if s == nil || err == nil || !strings.Contains(err.Error(), "skipped 1 frame") || s.Frames != 1 || s.Failed != 1 {
		t.Errorf("found %+v, %v", s, err)
	}
}
