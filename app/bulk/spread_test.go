package bulk_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/app/bulk"
	"github.com/voxelstream/voxelstream/pipeline/transport/embedded"
)

// TestSpread: two members of a job make the same results as a single process.
func TestSpread(t *testing.T) {
	t.Parallel()
	dir := archives(t, "npz")
	broker, err := embedded.Start(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := broker.Close(); err != nil {
			t.Error(err)
		}
	})
	alone, together := filepath.Join(t.TempDir(), "alone"), filepath.Join(t.TempDir(), "together")
	o := options(alone)
	o.ShardRows = 8
	reprocessed(t, apptest.New(t), []string{dir}, o)
	o.Out = together
	a := apptest.New(t, "kafka.brokers", broker.Addr(), "threads", "1")
	joined := make(chan error, 1)
	go func() {
		for { // until the job has begun
			_, err := os.Stat(filepath.Join(together, "manifest.json"))
			if err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		r, err := bulk.Join(t.Context(), a, o)
		if err == nil && r.Total != 22 {
			err = errors.New("found another number of shards than 22")
		}
		joined <- err
	}()
	reprocessed(t, a, []string{dir}, o)
	if err := <-joined; err != nil {
		t.Error(err)
	}
	if a, b := contents(t, alone), contents(t, together); !maps.Equal(a, b) {
		t.Errorf("found\n%v, want\n%v", b, a)
	}
	// Another model is not the job's.
	_, err = bulk.Join(t.Context(), apptest.New(t, "kafka.brokers", broker.Addr(), "model.top_k", "1"), o)
	if !app.IsUsage(err) || !strings.Contains(err.Error(), "model.top_k") {
		t.Errorf("joined a job with other settings: found %v", err)
	}
}
