package models

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/array"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// TestLoadChecked checks that a model is refused if it is not the wanted one, or does not compute what it should.
func TestLoadChecked(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	m, err := nn.Sequential("m", nn.Shape{3}, layers.NewDense(2, "softmax"))
	if err != nil {
		t.Fatal(err)
	}
	m.Init(1)
	path := at("m.safetensors")
	if err := format.Save(path, m); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:])
	rows := func(name string, shape []int, x ...float32) {
		t.Helper()
		if err := ingest.WriteFile(at(name), func(w io.Writer) error { return array.WriteFloat32(w, shape, x) }); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what, path, digest, want string) {
		t.Helper()
		m, err := LoadChecked(t.Context(), apptest.New(t), path, digest)
		if want == "" && (err != nil || m.Info.Digest != hex.EncodeToString(sum[:])) ||
			want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: found %v, want %q", what, err, want)
		}
	}
	check("no checks", path, "", "")
	check("digest", path, strings.ToUpper(digest), "")
	check("another digest", path, digest[:63]+"x", "m.safetensors: found SHA-256 "+digest)
	check("no file", at("n.keras"), digest, "n.keras")
	sidecar := func(digest string) {
		t.Helper()
		if err := os.WriteFile(path+".sha256", fmt.Appendf(nil, "%s  m.safetensors\n", digest), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sidecar(digest[1:] + "0")
	check("another .sha256", path, "", "m.safetensors.sha256")
	sidecar(digest)
	check(".sha256", path, digest, "")

	rows("m.test_input.npy", []int{2, 3}, 1, 2, 3, 0, 0, 0)
	check("no output", path, "", "m.test_output.npy")
	rows("m.test_output.npy", []int{1, 2}, .5, .5)
	check("too few rows", path, "", "found 1 rows, want 2")
	plan, err := m.Compile(1, nn.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	copy(plan.Input(0), []float32{1, 2, 3})
	if err := plan.Forward(1, false, 0); err != nil {
		t.Fatal(err)
	}
	y := plan.Output(0)
	rows("m.test_output.npy", []int{2, 2}, y[0], y[1], .5, .5) // without a bias
	check("test vector", path, "", "")
	rows("m.test_output.npy", []int{2, 2}, y[0], y[1], .51, .49)
	check("another test vector", path, "", "m.test_output.npy: row 1, element 0: found 0.5, want 0.51")
}
