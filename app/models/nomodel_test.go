package models

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/h5"
	hdf "github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/record"
)

// TestNoModel: a file that is recognized, but not a model is named for what it is. For other files, the error is the reason.
func TestNoModel(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		data, want string
		known      bool
	}{
		"scan.pcd": {
			"VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 1\nHEIGHT 1\nPOINTS 1\nDATA ascii\n1 2 3\n",
			"found data of format pcd, not a model: want one of .keras", true,
		},
		"history.csv": {"epoch,loss\n1,2\n", "found the history of a training run, not a model", true},
		"words.txt":   {"hello", "unknown model format", false},
		"cut.keras":   {"PK\x03\x04" + strings.Repeat("\x00", 26) + "config.json{}", "zip", false},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(c.data), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(t.Context(), path, format.Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), path+": ") ||
			errors.Is(err, ErrNoModel) != c.known {
			t.Errorf("%s: found error %v, want %q", name, err, c.want)
		}
	}
	path := filepath.Join(dir, "digits.h5")
	w, err := h5.Create(path)
	if errors.Is(err, hdf.ErrNoHDF5) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close() //nolint:errcheck // it only drops
	grid := &ingest.Grid{Dims: [3]int{2, 2, 2}, Channels: 1, Values: make([]float32, 8)}
	if err := errors.Join(w.Write(ingest.Sample{ID: record.ID{Stream: "s"}, Data: grid}), w.Commit()); err != nil {
		t.Fatal(err)
	}
	_, err = Load(t.Context(), path, format.Options{})
	want := path + ": found an HDF5 archive with 1 row, not a model"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("found error %v, want %q", err, want)
	}
}
