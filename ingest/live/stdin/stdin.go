// Package stdin reads one file from a pipe.
package stdin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
)

// Name is the input's name on the command line, and Base that of its stream.
const (
	Name = "-"
	Base = "stdin"
)

// source removes the copy when it is closed.
type source struct {
	ingest.Source
	dir string
}

// Open copies r, whose format is found from its content, to a temporary file: the formats seek. The stream begins when r has ended.
func Open(ctx context.Context, r io.Reader, o ingest.Options) (ingest.Source, error) {
	limit := int64(o.WithDefaults().MaxBytes)
	dir, err := os.MkdirTemp("", "voxelstream-stdin-")
	if err != nil {
		return nil, err
	}
	src, err := open(ctx, r, filepath.Join(dir, Base), limit, o)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &source{Source: src, dir: dir}, nil
}

func open(ctx context.Context, r io.Reader, path string, limit int64, o ingest.Options) (ingest.Source, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	// A read of a pipe cannot be interrupted; whoever waits can.
	copied := make(chan error, 1)
	go func() {
		n, err := io.Copy(f, io.LimitReader(r, limit+1))
		if err == nil && n > limit {
			err = fmt.Errorf("%s: found more than %d bytes, the limit", Base, limit)
		}
		copied <- errors.Join(err, f.Close())
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case err = <-copied:
	}
	if err != nil {
		return nil, err
	}
	return formats.Open(ctx, path, o)
}

func (s *source) Close() error { return errors.Join(s.Source.Close(), os.RemoveAll(s.dir)) }
