package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/durable"
)

// stdio names standard input or output in place of a file.
const stdio = "-"

// streams lets standard input and output take the place of files. Most formats need to seek, so they are copied from and
// to temporary files.
type streams struct {
	dir    string // of the copies; empty as long as there are none
	remove func() error
	in     io.Reader
	limit  int64  // maximum size of standard input in bytes
	taken  bool   // standard input was copied
	out    string // the copy of standard output; empty if it is not a file
}

// input copies standard input to a file and returns its path.
func (s *streams) input(ctx context.Context) (string, error) {
	if s.taken {
		return "", app.Usage(errors.New("-: standard input can be read only once"))
	}
	s.taken = true
	path, err := s.path("stdin")
	if err != nil {
		return "", err
	}
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	copied := make(chan error, 1) // a read of a pipe cannot be interrupted, but waiting for it can
	go func() {
		n, err := io.Copy(f, io.LimitReader(s.in, s.limit+1))
		if err == nil && n > s.limit {
			err = fmt.Errorf("-: found more than %d bytes, the limit (ingest.max_file)", s.limit)
		}
		copied <- errors.Join(err, f.Close())
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case err := <-copied:
		return path, err
	}
}

// output returns the path of a file that is copied to standard output by [streams.flush].
func (s *streams) output(extension string) (string, error) {
	if s.out != "" {
		return "", app.Usage(errors.New("-: found two outputs for standard output, want one"))
	}
	path, err := s.path("stdout" + extension)
	s.out = path
	return path, err
}

func (s *streams) path(name string) (string, error) {
	if s.dir == "" {
		var err error
		if s.dir, s.remove, err = durable.TempDir("", "stdio"); err != nil {
			return "", err
		}
	}
	return filepath.Join(s.dir, name), nil
}

// flush copies the file that stands for standard output, if the command has written it.
func (s *streams) flush(w io.Writer) error {
	if s.out == "" {
		return nil
	}
	f, _, err := ingest.OpenRegular(s.out)
	if errors.Is(err, os.ErrNotExist) {
		return nil // the command has failed
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return errors.Join(err, f.Close())
}

func (s *streams) close() error {
	if s.dir == "" {
		return nil
	}
	return s.remove()
}

// shown returns a text in which - stands for the names of the copies.
func (s *streams) shown(text string) string {
	if s.dir == "" || !strings.Contains(text, s.dir) {
		return text
	}
	if s.out != "" {
		text = strings.ReplaceAll(text, s.out, stdio)
	}
	return strings.ReplaceAll(text, filepath.Join(s.dir, "stdin"), stdio)
}

// fileArguments are the names in a synopsis of arguments for which standard input may stand. Inputs of run and ingest
// are not among them: those commands read standard input themselves, as one of their live sources.
var fileArguments = []string{"FILE", "FILE|FOLDER", "IN", "DATA", "MODEL"}

// replaceStreams replaces arguments and flags that are standard input or output by the paths of copies.
func (c *cli) replaceStreams(ctx context.Context, cmd *cobra.Command, args []string) ([]string, error) {
	names := arguments(cmd)
	var errs []error
	args = slices.Clone(args)
	for i, arg := range args {
		name := strings.Trim(names[min(i, len(names)-1)], "[].")
		if arg != stdio || !slices.Contains(fileArguments, name) {
			continue
		}
		path, err := c.streams.input(ctx)
		errs = append(errs, err)
		args[i] = path
	}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		o, ok := f.Value.(*output)
		if !ok {
			return
		}
		extension := ""
		if len(o.extensions) > 0 {
			extension = o.extensions[0]
		}
		for _, path := range o.paths() {
			if *path == stdio {
				name, err := c.streams.output(extension)
				errs = append(errs, err)
				*path = name
			}
		}
	})
	return args, errors.Join(errs...)
}

// written checks the extension of an argument that names a file to write, and returns its path: that of a copy, in the
// first format, for standard output.
func (c *cli) written(path string, extensions []string) (string, error) {
	if path == stdio {
		return c.streams.output(extensions[0])
	}
	if err := checkExtension(path, extensions); err != nil {
		return "", app.Usage(err)
	}
	return path, nil
}

// writer returns a writer to w of texts in which - stands for the names of the copies.
func (s *streams) writer(w io.Writer) io.Writer { return shownWriter{w, s} }

type shownWriter struct {
	io.Writer
	s *streams
}

func (w shownWriter) Write(b []byte) (int, error) {
	if _, err := io.WriteString(w.Writer, w.s.shown(string(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}
