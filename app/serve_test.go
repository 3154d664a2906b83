package app_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/apptest"
	"github.com/voxelstream/voxelstream/pipeline"
)

func get(t *testing.T, a *app.Env, path string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.HTTP.Addr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(b)
}

// TestServe checks that work gets an observer with scraped metrics, that readiness follows Started, and that the
// error of work is returned.
func TestServe(t *testing.T) {
	a := apptest.New(t, "http.listen", ":0")
	want := errors.New("the work failed")
	err := a.Serve(t.Context(), func(_ context.Context, a *app.Env) error {
		a.Observer.Count("inputs", pipeline.EventRead, 3)
		if _, body := get(t, a, "/metrics"); !strings.Contains(body, `voxelstream_read_total{part="inputs"} 3`) ||
			!strings.Contains(body, "voxelstream_build_info{") ||
			!strings.Contains(body, "voxelstream_hdf5_workers_total ") {
			t.Errorf("found metrics\n%s", body)
		}
		if status, body := get(t, a, "/readyz"); status != http.StatusServiceUnavailable ||
			!strings.Contains(body, "not started yet") {
			t.Errorf("before the start: found %d %s", status, body)
		}
		a.Ready("model", func(context.Context) error { return nil })
		a.Started()
		if status, body := get(t, a, "/readyz"); status != http.StatusOK || !strings.Contains(body, `"model"`) {
			t.Errorf("found %d %s", status, body)
		}
		return want
	})
	if !errors.Is(err, want) || err.Error() != want.Error() {
		t.Errorf("found %v, want %v", err, want)
	}
	if a.HTTP != nil || a.Observer != nil {
		t.Error("Serve modified its Env")
	}
}

// TestServeInterrupted checks that an error caused by the end of the context is returned, and that /readyz fails
// while the process stops.
func TestServeInterrupted(t *testing.T) {
	a := apptest.New(t, "http.listen", "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := a.Serve(ctx, func(ctx context.Context, a *app.Env) error {
		a.Started()
		cancel()
		<-ctx.Done()
		for range 100 {
			if _, body := get(t, a, "/readyz"); strings.Contains(body, "stopping") {
				return ctx.Err()
			}
		}
		return errors.New("still ready after the end of the context")
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("found %v", err)
	}
}

func TestServeWithoutListener(t *testing.T) {
	a := apptest.New(t)
	worked := false
	if err := a.Serve(t.Context(), func(_ context.Context, b *app.Env) error {
		worked = true
		b.Ready("model", nil)
		b.Started()
		if b.HTTP != nil || b.Observer != nil {
			t.Error("found a listener, want none")
		}
		return nil
	}); err != nil || !worked {
		t.Errorf("found %v", err)
	}
}

// TestServeAddressInUse checks that work does not start if the listener's address is in use.
func TestServeAddressInUse(t *testing.T) {
	a := apptest.New(t, "http.listen", ":0")
	if err := a.Serve(t.Context(), func(ctx context.Context, b *app.Env) error {
		second := apptest.New(t, "http.listen", b.HTTP.Addr())
		err := second.Serve(ctx, func(context.Context, *app.Env) error {
			t.Error("work started")
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), b.HTTP.Addr()) {
			t.Errorf("found %v", err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
