// Package apptest makes what tests of the packages of app need.
package apptest

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/internal/screen"
)

// New makes an Env with JSON results in the buffer; overrides are key, value, key, value.
func New(t *testing.T, overrides ...string) (*app.Env, *bytes.Buffer) {
	t.Helper()
	var os []config.Override
	for i := 0; i+1 < len(overrides); i += 2 {
		os = append(os, config.Override{Key: overrides[i], Flag: "test", Value: overrides[i+1]})
	}
	l, err := config.Load("", nil, append(os, config.Override{Key: "log.level", Flag: "test", Value: "error"}))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	return app.New(l, &out, true, screen.Plain(t.Output())), &out
}

// Result takes the JSON document in out.
func Result[T any](t *testing.T, out *bytes.Buffer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(out.Bytes(), &v); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out.Reset()
	return v
}

// NeedHDF5 skips a test of a binary that was built without HDF5.
func NeedHDF5(t *testing.T) {
	t.Helper()
	if h5.LibraryVersion() == "" {
		t.Skip("built without HDF5")
	}
}
