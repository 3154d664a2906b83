package ingest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/voxelstream/voxelstream/internal/durable"
)

// Writer writes a file of samples. Commit makes the complete file appear under its name; otherwise it does not
// appear at all.
type Writer interface {
	// Write adds a sample. It returns an error if the format cannot hold it.
	Write(s Sample) error
	Commit() error
	// Close discards the file unless it was committed. It may be called after Commit.
	Close() error
}

// Annotator is a Writer of a format that has a place for notes about the inputs. Annotate is called before Commit.
type Annotator interface {
	Annotate(notes []string)
}

// NewFile is a file being written, which appears under its name when it is committed; see [durable.Output].
type NewFile struct {
	*bufio.Writer
	// File allows seeking back to a header; call Flush first.
	File *os.File
	out  *durable.Output
	done bool
}

// CreateFile creates a new file.
func CreateFile(path string) (*NewFile, error) {
	out, err := durable.Create(path)
	if err != nil {
		return nil, err
	}
	f, err := out.Open()
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return &NewFile{Writer: bufio.NewWriterSize(f, 1<<20), File: f, out: out}, nil
}

// Commit flushes and closes the file, and gives it its name.
func (n *NewFile) Commit() error {
	if n.done {
		return n.out.Commit() // an error
	}
	if err := n.Flush(); err != nil {
		return err
	}
	n.done = true
	if err := n.File.Close(); err != nil {
		return errors.Join(err, n.out.Close())
	}
	return n.out.Commit()
}

// Close removes an uncommitted file.
func (n *NewFile) Close() error {
	if n.done {
		return nil
	}
	n.done = true
	n.File.Close() //nolint:errcheck // it is removed
	return n.out.Close()
}

// WriteFile writes a file through write, whole or not at all: it is at path when write has returned without an error.
func WriteFile(path string, write func(io.Writer) error) error {
	f, err := CreateFile(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // after Commit there is nothing to do
	if err := write(f); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return f.Commit()
}
