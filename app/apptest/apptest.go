// Package apptest contains helpers for the tests of the packages under app.
package apptest

import (
	"log/slog"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/internal/h5"
)

// New returns an environment without progress in which existing files may be overwritten. overrides are configuration
// keys and values in alternation. The test fails if the configuration changes.
func New(t *testing.T, overrides ...string) *app.Env {
	t.Helper()
	var os []config.Override
	for i := 0; i+1 < len(overrides); i += 2 {
		os = append(os, config.Override{Key: overrides[i], Flag: "test", Value: overrides[i+1]})
	}
	l, err := config.Load("", nil, os)
	if err != nil {
		t.Fatal(err)
	}
	before := l.Settings()
	t.Cleanup(func() {
		for i, s := range l.Settings() {
			if s.Text != before[i].Text {
				t.Errorf("the configuration was changed: %s is %s, was %s", s.Key, s.Text, before[i].Text)
			}
		}
	})
	return &app.Env{Config: l, Force: true, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

// NeedHDF5 skips a test in a binary that was built without HDF5.
func NeedHDF5(t *testing.T) {
	t.Helper()
	if h5.LibraryVersion() == "" {
		t.Skip("built without HDF5")
	}
}
