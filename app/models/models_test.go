package models

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/array"
)

func TestBuiltin(t *testing.T) {
	a := apptest.New(t, "seed", "20261")
	v, err := Verify(t.Context(), a, "")
	if err != nil {
		t.Fatal(err)
	}
	if v.Name != Builtin || len(v.Digest) != 64 || v.Version != v.Digest[:8] {
		t.Errorf("found %+v", v)
	}
}

func TestModelFiles(t *testing.T) {
	dir := t.TempDir()
	copied := filepath.Join(dir, "copy.safetensors")
	data, err := builtin.ReadFile("builtin/digits.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, data, 0o600); err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(dir, "again.safetensors")
	if _, err := Convert(t.Context(), apptest.New(t), copied, again); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(again); err != nil || !bytes.Equal(b, data) {
		t.Error("the model changed after reading and writing", err)
	}
}

func TestPredictKeepsRows(t *testing.T) {
	dir := t.TempDir()
	in, res := filepath.Join(dir, "x.npy"), filepath.Join(dir, "y.npy")
	a := apptest.New(t)
	const rows = 70 // more than a batch
	x := make([]float32, rows*16*16*16)
	for i := range x {
		x[i] = float32(i%257) / 257
	}
	if err := ingest.WriteFile(in, func(w io.Writer) error {
		return array.WriteFloat32(w, []int{rows, 16, 16, 16, 1}, x)
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := Predict(t.Context(), a, "", []string{in}, []string{res}); err != nil {
		t.Fatal(err)
	}
	n, y, err := array.ReadRows(res, []int{10})
	if err != nil || n != rows {
		t.Fatal(n, err)
	}
	for r := range rows {
		sum := float32(0)
		for _, p := range y[10*r : 10*r+10] {
			sum += p
		}
		if sum < 0.999 || sum > 1.001 {
			t.Fatalf("row %d: found a sum of %g, want 1", r, sum)
		}
	}
	if _, _, err := array.ReadRows(in, []int{16, 16, 16, 3}); err == nil ||
		!strings.Contains(err.Error(), "want (N, 16, 16, 16, 3)") {
		t.Errorf("another shape: found error %v", err)
	}
}

func TestBench(t *testing.T) {
	a := apptest.New(t)
	for _, mode := range []string{"infer", "train"} {
		for _, input := range []string{"palette", "dense"} {
			o := BenchOptions{
				Batch: 8, Mode: mode, Input: input, Lasting: 20 * time.Millisecond,
				Without: []string{"winograd", "palette"},
			}
			r, err := Bench(t.Context(), a, "", o)
			if err != nil {
				t.Fatal(mode, input, err)
			}
			if r.Steps < 1 || r.PerSecond <= 0 || r.LatencyMS.P99 < r.LatencyMS.P50 || r.Tier == "" {
				t.Errorf("%s %s: found %+v", mode, input, r)
			}
		}
	}
	_, err := Bench(t.Context(), a, "", BenchOptions{
		Batch: 8, Mode: "infer", Input: "dense",
		Without: []string{"winograd", "nothing"},
	})
	if err == nil || !strings.Contains(err.Error(),
		`--without: got optimization pass "nothing", want all or one of drop-identity, `) {
		t.Errorf("unknown pass: found error %v", err)
	}
}
