// Package store keeps files under names in a local folder, or as objects of an object store. A file appears under its
// name as a whole or not at all.
package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Store is a place for files. Names are relative paths with slashes, as in [fs.ValidPath], whose elements do not begin
// with a dot. Its methods may be called concurrently.
type Store interface {
	// String returns the place as the user wrote it, without secrets.
	String() string
	// Put calls write with the path of a new local file, which does not exist yet, and then makes what write left
	// there durable under a name. It replaces a file of that name. After an error, the store is unchanged.
	Put(ctx context.Context, name string, write func(path string) error) error
	// Create is like Put, but if there is a file of that name it is left unchanged, and the error wraps [fs.ErrExist].
	// Object stores without conditional writes may replace a file that another process creates at the same moment, and
	// those of S3 take files of up to 5 GB.
	Create(ctx context.Context, name string, write func(path string) error) error
	// Get calls read with the path of a local file that has the content of the named one. read must not keep or change
	// it. The error wraps [fs.ErrNotExist] if there is no such file.
	Get(ctx context.Context, name string, read func(path string) error) error
	// Load returns the content of the named file, which must have a size in bytes. If it has another one, the error is a
	// [*SizeError], and no memory was taken for the content. The error wraps [fs.ErrNotExist] if there is no such file,
	// but not if the folder of the store itself is missing.
	Load(ctx context.Context, name string, size int64) ([]byte, error)
	// List returns the files whose names begin with a prefix, sorted by name.
	List(ctx context.Context, prefix string) ([]File, error)
	// Remove removes a file. It is no error if there is no such file.
	Remove(ctx context.Context, name string) error
	Close() error
}

// File is a file in a store.
type File struct {
	Name string
	Size int64
}

// ErrName means that a name is not allowed.
var ErrName = errors.New("invalid name")

// SizeError means that a file has another size than the one that was expected.
type SizeError struct {
	Name string
	// Found and Want are in bytes.
	Found, Want int64
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("%s: found %d bytes, want %d", e.Name, e.Found, e.Want)
}

func check(name string) error {
	ok := fs.ValidPath(name) && name != "."
	for element := range strings.SplitSeq(name, "/") {
		ok = ok && !strings.HasPrefix(element, ".")
	}
	if !ok {
		return &fs.PathError{Op: "store", Path: name, Err: ErrName}
	}
	return nil
}
