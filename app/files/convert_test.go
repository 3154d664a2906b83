package files

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// firstOf reads the first sample of a file.
func firstOf(ctx context.Context, t *testing.T, path string) ingest.Sample {
	t.Helper()
	src, err := formats.Open(ctx, path, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close() //nolint:errcheck // opened for reading
	s, err := src.Read(ctx)
	if err != nil {
		t.Fatal(path, err)
	}
	return s
}

// TestConvertRealFiles checks that data is unchanged after conversion to another format.
func TestConvertRealFiles(t *testing.T) {
	for in, outs := range map[string][]string{
		"mri/nibabel_someones_epi.nii.gz": {"a.npy", "a.npz"},
		"mri/pydicom_CT_small.dcm":        {"a.npy", "a.npz"},
		"lidar/text/pdal_bunny_8.pts":     {"a.pcd", "a.ply"},
	} {
		path := testenv.Sample(t, in)
		want := firstOf(t.Context(), t, path)
		for _, out := range outs {
			a := apptest.New(t)
			file := filepath.Join(t.TempDir(), out)
			if _, err := Convert(t.Context(), a, path, file); err != nil {
				t.Fatal(in, err)
			}
			found := firstOf(t.Context(), t, file)
			switch w := want.Data.(type) {
			case *ingest.Grid:
				g, ok := found.Data.(*ingest.Grid)
				if !ok || g.Dims != w.Dims || !reflect.DeepEqual(g.Values, w.Values) {
					t.Errorf("%s to %s: the grid differs", in, out)
				}
			case *ingest.PointCloud:
				c, ok := found.Data.(*ingest.PointCloud)
				if !ok || !reflect.DeepEqual([][]float64{c.X, c.Y, c.Z}, [][]float64{w.X, w.Y, w.Z}) {
					t.Errorf("%s to %s: the points differ", in, out)
				}
			default:
				t.Errorf("%s: found %T", in, want.Data)
			}
		}
	}
}

// TestNotesInOutputs: what was assumed is in the result, and in the files that have a place for it.
func TestNotesInOutputs(t *testing.T) {
	apptest.NeedHDF5(t)
	dir := t.TempDir()
	in := filepath.Join(dir, "d.pgm")
	if err := os.WriteFile(in, []byte("P2 2 2 65535 1000 2000 3000 4000"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := apptest.New(t, "ingest.fx", "500", "ingest.fy", "500", "voxelize.grid", "8")
	const want = "d.pgm: the file does not state its unit: assumed millimetres"
	for _, name := range []string{"o.ply", "o.pcd", "o.h5", "o.parquet", "o.npz"} {
		out := filepath.Join(dir, name)
		s, err := Convert(t.Context(), a, in, out)
		if err != nil || len(s.Notes) != 1 || !strings.HasPrefix(s.Notes[0], want) {
			t.Fatalf("%s: found %+v, %v", name, s, err)
		}
		data, err := os.ReadFile(out)
		if err != nil || strings.Contains(string(data), want) != (name != "o.npz") {
			t.Errorf("%s: found no note, %v", name, err)
		}
		if _, err := Inspect(t.Context(), a, out); err != nil && name != "o.parquet" { // which is not read
			t.Error(name, err)
		}
	}
	s, err := Voxelize(t.Context(), a, in, filepath.Join(dir, "v.h5"), "density", false)
	if err != nil || len(s.Notes) != 1 {
		t.Errorf("found %+v, %v", s, err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "v.h5")); err != nil || !strings.Contains(string(data), want) {
		t.Errorf("voxelize: found no note, %v", err)
	}
}

// TestWholePartIsKept: an input that ends early gives what is whole of it, and exit code 3.
func TestWholePartIsKept(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{"a.xyz": "1 2 3\n4 5 6\n", "b.pcd": "# .PCD v.7\nFIELDS x\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := apptest.New(t, "voxelize.grid", "8")
	c, err := Convert(t.Context(), a, dir, filepath.Join(t.TempDir(), "o.parquet"))
	if !errors.Is(err, app.ErrSkipped) || c.Samples != 1 || c.Failed != 1 {
		t.Errorf("convert: found %+v, %v", c, err)
	}
	v, err := Voxelize(t.Context(), a, dir, filepath.Join(t.TempDir(), "o.npz"), "index", false)
	if !errors.Is(err, app.ErrSkipped) || v.Volumes != 1 || v.Failed != 1 {
		t.Errorf("voxelize: found %+v, %v", v, err)
	}
	if _, err := Convert(t.Context(), a, filepath.Join(dir, "b.pcd"), filepath.Join(t.TempDir(), "o.parquet")); err == nil ||
		errors.Is(err, app.ErrSkipped) || !strings.Contains(err.Error(), "pcd: header") {
		t.Errorf("found %v, want the reason", err)
	}
}
