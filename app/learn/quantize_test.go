package learn

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/nn/format"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/files"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/nn"
)

// TestQuantize checks that a model that loses too much accuracy is not written, and that the result reports the loss.
func TestQuantize(t *testing.T) {
	apptest.NeedHDF5(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	a := apptest.New(t)
	if _, err := files.Generate(t.Context(), a, files.GenerateOptions{
		Count: 20, Augment: true, Grid: 16,
		Layout: "vectors", Out: at("d.h5"),
	}); err != nil {
		t.Fatal(err)
	}
	data := []string{at("d.h5")}
	o := QuantizeOptions{Kind: nn.Int8, Share: .25, MaxDrop: 100, Out: at("q.keras")}
	r, err := Quantize(t.Context(), a, "", data, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Calibration != 10 || r.Rows != 30 || r.Kind != nn.Int8 || r.Model != o.Out {
		t.Errorf("found %+v", r)
	}
	if m, err := models.Load(t.Context(), o.Out, format.Options{}); err != nil || m.Precision.Kind != nn.Int8 {
		t.Errorf("found %+v, %v", m, err)
	}

	o.MaxDrop, o.Out = -101, at("refused.keras") // no model can gain that much
	r, err = Quantize(t.Context(), a, "", data, o)
	if r == nil || r.Model != "" || err == nil || !strings.Contains(err.Error(), "not written") {
		t.Errorf("found %+v, %v", r, err)
	}
	if _, err := os.Stat(o.Out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found %v, want no file", err)
	}
	for want, bad := range map[string]QuantizeOptions{
		"--calibration-share": {Kind: nn.Int8, Share: 1}, "--precision": {Kind: "int3", Share: .5},
		".txt": {Kind: nn.Int8, Share: .5, Out: "x.txt"},
	} {
		if r, err := Quantize(t.Context(), a, "", data, bad); r != nil || !app.IsUsage(err) ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%+v: found %+v, %v", bad, r, err)
		}
	}
}
