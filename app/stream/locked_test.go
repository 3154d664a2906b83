package stream

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/internal/durable"
)

// TestSecondWorker: a worker whose file another one writes is told how to get one of its own.
func TestSecondWorker(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.jsonl")
	a := apptest.New(t, "broker.data_dir", filepath.Join(dir, "kafka"), "sinks.out", path, "sinks.kafka", "false")
	if _, err := Classify(t.Context(), a, true); err != nil {
		t.Fatal(err)
	}
	lock, err := durable.OpenLocked(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	if _, err := Classify(t.Context(), a, true); err == nil || !strings.Contains(err.Error(), path) ||
		!strings.Contains(err.Error(), "name another file with --out") {
		t.Errorf("found %v", err)
	}
}
