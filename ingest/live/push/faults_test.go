package push

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
	"github.com/voxelstream/voxelstream/ingest/live"
)

// failing are services whose next files fail to open with errors.
func failing(seen *ingesttest.Events, errs ...error) live.Services {
	f := services
	f.Report = seen.Report
	f.OpenFile = func(ctx context.Context, path string) (ingest.Source, error) {
		if len(errs) > 0 {
			err := errs[0]
			errs = errs[1:]
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		return formats.Open(ctx, path, ingest.Options{})
	}
	return f
}

// TestTransient: what cannot be read for a reason that may pass is to be sent again; what is damaged is not.
func TestTransient(t *testing.T) {
	var seen ingesttest.Events
	s := openWith(t, input(t, ""), failing(&seen, syscall.EMFILE, syscall.ENOSPC, syscall.EIO, syscall.ENOMEM,
		errors.New("damaged")))
	settle(t, s)
	for _, want := range []int{503, 503, 503, 503, 422, 200} {
		status, text := post(t, s, "a.xyz", "Bearer "+token, "", strings.NewReader(cloud))
		if status != want || strings.Contains(text, s.dir) {
			t.Errorf("found %d %s, want %d", status, text, want)
		}
	}
	if n := seen.Count(live.Postponed); n != 4 {
		t.Errorf("found %d postponed, want 4", n)
	}
}

// TestScheme: a token without its scheme is not accepted.
func TestScheme(t *testing.T) {
	s := open(t, input(t, ""))
	settle(t, s)
	for _, header := range []string{
		"", token, "bearer " + token, "Basic " + token, "Bearer", "Bearer  " + token, "Bearer" + token, token + " Bearer ",
	} {
		if status, text := post(t, s, "a.xyz", header, "",
			strings.NewReader(cloud)); status != http.StatusUnauthorized {
			t.Errorf("%q: found %d %s, want 401", header, status, text)
		}
	}
}

// TestQuarantine: an upload that was being read when the process died twice is refused. Others are not, and neither is
// the same content under another name.
func TestQuarantine(t *testing.T) {
	in := input(t, "state="+filepath.Join(t.TempDir(), "journal"))
	var died []byte
	opened := services
	opened.OpenFile = func(ctx context.Context, path string) (ingest.Source, error) {
		var err error
		if died, err = os.ReadFile(in.State); err != nil { // as it is when the process dies now
			t.Error(err)
		}
		return formats.Open(ctx, path, ingest.Options{})
	}
	send := func(s *Source, name string, want int) {
		t.Helper()
		if status, text := post(t, s, name, "Bearer "+token, "", strings.NewReader(cloud)); status != want {
			t.Errorf("%s: found %d %s, want %d", name, status, text, want)
		}
	}
	for range 2 {
		s := openWith(t, in, opened)
		settle(t, s)
		send(s, "a.xyz", 200)
		if err := errors.Join(s.Close(), os.WriteFile(in.State, died, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		var seen ingesttest.Events
		with := opened
		with.Report = seen.Report
		s := openWith(t, in, with)
		settle(t, s)
		send(s, "a.xyz", 422)
		send(s, "b.xyz", 200)
		if n := seen.Count(live.Quarantined); n != 1 {
			t.Errorf("found %d quarantined, want 1", n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
