package stream

import (
	"fmt"
	"os"
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

// TestSecondBroker: a process whose embedded broker another one runs is told who does, and both ways out.
func TestSecondBroker(t *testing.T) {
	a := apptest.New(t, "broker.data_dir", t.TempDir())
	b, err := startBroker(a)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	_, err = startBroker(a)
	for _, want := range []string{
		fmt.Sprintf("pid %d", os.Getpid()), "--brokers " + b.Addr(), "--broker-data-dir",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("found %v, want it to say %q", err, want)
		}
	}
}
