// Package stdin reads one file from a pipe.
package stdin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/live"
	"github.com/voxelstream/voxelstream/internal/durable"
)

// Kind is that of the standard input.
var Kind = live.Kind{
	Name: "stdin", Form: "-", Example: "-",
	Doc: "Reads one file from standard input and detects its format from the content. Decoding begins at the end of " +
		"the input.",
	New: func(string, any) (live.Input, error) { return input{}, nil },
}

// base is the name of the file, and of its stream.
const base = "stdin"

type input struct{}

var _ live.Opener = input{}

func (input) Endless() bool { return false }

func (input) Open(ctx context.Context, s live.Services) (ingest.Source, error) { return Open(ctx, s) }

// source removes the copy when it is closed.
type source struct {
	ingest.Source
	dir    string
	remove func() error
}

// Open copies the standard input to a temporary file, because the formats seek. The stream begins when the standard
// input has ended.
func Open(ctx context.Context, s live.Services) (ingest.Source, error) {
	dir, remove, err := durable.TempDir("", "stdin")
	if err != nil {
		return nil, err
	}
	src, err := open(ctx, filepath.Join(dir, base), s)
	if err != nil {
		return nil, errors.Join(named{err, dir}, remove())
	}
	return &source{Source: src, dir: dir, remove: remove}, nil
}

func open(ctx context.Context, path string, s live.Services) (ingest.Source, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	// A read of a pipe cannot be interrupted, but waiting for it can.
	copied := make(chan error, 1)
	go func() {
		n, err := io.Copy(f, io.LimitReader(s.Stdin, s.MaxFile+1))
		if err == nil && n > s.MaxFile {
			err = fmt.Errorf("%s: found more than %d bytes, the limit", base, s.MaxFile)
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
	return s.OpenFile(ctx, path)
}

// named is an error without the folder of the temporary file in its text.
type named struct {
	error
	dir string
}

func (n named) Error() string {
	return strings.ReplaceAll(n.error.Error(), filepath.Join(n.dir, base), base)
}
func (n named) Unwrap() error { return n.error }

func (s *source) Read(ctx context.Context) (ingest.Sample, error) {
	sample, err := s.Source.Read(ctx)
	if err != nil && !errors.Is(err, io.EOF) {
		err = named{err, s.dir}
	}
	return sample, err
}

func (s *source) Close() error { return errors.Join(s.Source.Close(), s.remove()) }
