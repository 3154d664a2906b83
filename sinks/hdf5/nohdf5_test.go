//go:build !cgo || nohdf5

package hdf5

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/sinks"
)

// TestWithoutHDF5: the sink says at once that it cannot work.
func TestWithoutHDF5(t *testing.T) {
	target := sinks.Target{Path: filepath.Join(t.TempDir(), "a.h5")}
	if _, err := Kind.Open(t.Context(), target, Kind.Options(target), sinks.Services{}); !errors.Is(err, h5.ErrNoHDF5) {
		t.Errorf("found %v, want %v", err, h5.ErrNoHDF5)
	}
	if _, err := Format.Create(target.Path, Format.Options()); !errors.Is(err, h5.ErrNoHDF5) {
		t.Errorf("found %v, want %v", err, h5.ErrNoHDF5)
	}
}
