package files

import (
	"context"
	"path/filepath"
	"reflect"
	"testing"

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
