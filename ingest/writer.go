package ingest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
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

// NewFile is a file being written: a temporary file that Commit renames to its final name.
type NewFile struct {
	*bufio.Writer
	// File allows seeking back to a header; call Flush first.
	File *os.File
	path string
	done bool
}

// CreateFile creates a new file.
func CreateFile(path string) (*NewFile, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return nil, err
	}
	return &NewFile{Writer: bufio.NewWriterSize(f, 1<<20), File: f, path: path}, nil
}

// Commit flushes, syncs and renames.
func (n *NewFile) Commit() error {
	if n.done {
		return fmt.Errorf("%s: committed or closed before", n.path)
	}
	if err := n.Flush(); err != nil {
		return err
	}
	// CreateTemp makes files that only their owner can read.
	if err := n.File.Chmod(0o644); err != nil {
		return err
	}
	if err := n.File.Sync(); err != nil {
		return err
	}
	if err := n.File.Close(); err != nil {
		return err
	}
	n.done = true
	return os.Rename(n.File.Name(), n.path)
}

// Close removes an uncommitted file.
func (n *NewFile) Close() error {
	if n.done {
		return nil
	}
	n.done = true
	n.File.Close() //nolint:errcheck // it is removed
	return os.Remove(n.File.Name())
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
