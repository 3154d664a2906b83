package stream

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/serve/live"
)

// TestStay: the page of a run that has ended stays until the run is interrupted, which is no error.
func TestStay(t *testing.T) {
	dir := t.TempDir()
	a := apptest.New(t, "broker.data_dir", filepath.Join(dir, "kafka"), "sinks.out", filepath.Join(dir, "c.jsonl"),
		"http.listen", ":0")
	a.Stay = true
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := a.Serve(ctx, func(ctx context.Context, a *app.Env) error {
		ended := make(chan error, 1)
		go func() {
			s, err := Run(ctx, a, clouds(t, 2))
			if err == nil && s.Classified != 2 {
				t.Errorf("found %+v", s)
			}
			ended <- err
		}()
		for decoded[live.Run](t, request(t, a, "GET", "/api/run", "", 200)).Ended.IsZero() {
			time.Sleep(10 * time.Millisecond)
		}
		select {
		case err := <-ended:
			t.Fatalf("the run did not stay: %v", err)
		default:
		}
		request(t, a, "GET", "/api/timeline", "", 200)
		cancel()
		return <-ended
	})
	if err != nil {
		t.Error(err)
	}
}
