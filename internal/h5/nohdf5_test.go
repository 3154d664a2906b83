//go:build !cgo || nohdf5

package h5

import (
	"errors"
	"strings"
	"testing"
)

func TestWithoutHDF5(t *testing.T) {
	if _, err := Open(t.Context(), "testdata/types.h5"); !errors.Is(err, ErrNoHDF5) || !strings.Contains(err.Error(), "install") {
		t.Errorf("open: %v, want ErrNoHDF5 and what to install", err)
	}
	if _, err := Create(t.TempDir() + "/x.h5"); !errors.Is(err, ErrNoHDF5) {
		t.Errorf("create: %v, want ErrNoHDF5", err)
	}
}
