package stdin

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/ingest/live"
)

// services are those of a program whose standard input is r.
func services(r io.Reader, maxFile int64) live.Services {
	return live.Services{
		Stdin: r, MaxFile: maxFile,
		OpenFile: func(ctx context.Context, path string) (ingest.Source, error) {
			return formats.Open(ctx, path, ingest.Options{})
		},
	}
}

func TestOpen(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	src, err := Open(t.Context(), services(strings.NewReader("1 2 3\n4 5 6\n"), 12))
	if err != nil {
		t.Fatal(err)
	}
	s, err := src.Read(t.Context())
	if c, ok := s.Data.(*ingest.PointCloud); err != nil || !ok || c.Len() != 2 || s.Stream != "stdin-17f1d338" {
		t.Errorf("found %+v, %v", s, err)
	}
	if _, err := src.Read(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("found %v, want the end", err)
	}
	if err := src.Close(); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		in   string
		max  int64
		want string
	}{
		"empty": {"", 10, "stdin: the file is empty"},
		"large": {"1 2 3\n4 5 6\n", 11, "stdin: found more than 11 bytes"},
	} {
		if _, err := Open(t.Context(), services(strings.NewReader(c.in), c.max)); err == nil ||
			!strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: found %v, want %q", name, err, c.want)
		}
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("found %v left, %v", left, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	cancel()
	if _, err := Open(ctx, services(r, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("found %v, want that the context has ended", err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
