package files

import (
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/ingest"
)

func TestVoxelizeAndConvert(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	var points strings.Builder
	for i := range 500 {
		fmt.Fprintf(&points, "%d %d %d\n", i%10, i/10%10, i/100)
	}
	if err := os.WriteFile(at("c.xyz"), []byte(points.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	a, out := apptest.New(t, "voxelize.method", "occupancy", "voxelize.edge", "1", "voxelize.grid", "12")
	for _, name := range []string{"c.npy", "c.npz", "c.arrow", "c.binvox"} {
		if err := Voxelize(t.Context(), a, at("c.xyz"), at(name), "density"); err != nil {
			t.Fatal(name, err)
		}
		if s := apptest.Result[VoxelizeSummary](t, out); s.Volumes != 1 || s.Failed != 0 {
			t.Errorf("%s: found %+v", name, s)
		}
	}
	if err := Inspect(t.Context(), a, []string{at("c.npy")}, at("c.png")); err != nil {
		t.Fatal(err)
	}
	if d := apptest.Result[ingest.Grids](t, out); d.Rows != 1 || !slices.Equal(d.Shape, []int{12, 12, 12}) {
		t.Errorf("found %+v", d)
	}
	for _, name := range []string{"c.pcd", "c.ply"} {
		if err := Convert(t.Context(), a, at("c.xyz"), at(name)); err != nil {
			t.Fatal(name, err)
		}
		out.Reset()
		if err := Inspect(t.Context(), a, []string{at(name)}, at("c.png")); err != nil {
			t.Fatal(err)
		}
		if p := apptest.Result[ingest.Points](t, out); p.Count != 500 || *p.Max != [3]float64{9, 9, 4} {
			t.Errorf("%s: found %+v", name, p)
		}
	}
	if err := Voxelize(t.Context(), a, at("c.xyz"), at("c.txt"), "density"); err == nil {
		t.Error("found no error for an unknown extension")
	}
	if f, err := os.Open(at("c.png")); err != nil {
		t.Error(err)
	} else if _, err := png.Decode(f); err != nil {
		t.Error(err)
	}
}

func TestInspectModel(t *testing.T) {
	dir := t.TempDir()
	a, out := apptest.New(t)
	copied := filepath.Join(dir, "copy.safetensors")
	if err := models.ModelConvert(t.Context(), a, "", copied); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := Inspect(t.Context(), a, []string{copied, filepath.Join(dir, "missing")}, ""); err == nil {
		t.Error("found no error for a missing file")
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, want := range [][]string{{`"kind":"model"`, `"format":"safetensors"`, `"parameters":258058`, `"trainable":257866`, `"layers":12`}, {`"error":`}} {
		for _, w := range want {
			if !strings.Contains(lines[i], w) {
				t.Errorf("found %s, want %s", lines[i], w)
			}
		}
	}
}
