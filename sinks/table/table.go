// Package table defines files that hold classifications as a table: CSV, Parquet, Arrow, HDF5. Each format is a folder
// beside this package that declares a [Format]. A format serves as a sink (see [Kind]), as the result of reprocess and
// as the objects of an object store.
//
// [Columns] are the columns that all formats have in common.
package table

import (
	"errors"
	"io"

	"github.com/voxelstream/voxelstream/record"
)

// Format is a format of files.
type Format struct {
	// Name is the name of the format in flags and URLs. Doc is one or more sentences for the reference page.
	Name, Doc string
	// Extensions are the file name extensions, the preferred one first, such as ".parquet".
	Extensions []string
	// Options returns the options with their defaults, as in [sinks.Kind]. It is nil if there are none.
	Options func() any
	// Create creates a file. It replaces an existing one. options is a result of Options, with other values perhaps.
	// The bytes of the file depend on nothing but the options and the rows, however they are divided among calls of
	// Write.
	Create func(path string, options any) (Writer, error)
	// Open opens a complete file that Create has made, perhaps in an earlier version of this program. It returns an
	// error for a file with other content.
	Open func(path string) (Reader, error)
}

// Writer writes a file. It is not safe for concurrent use.
type Writer interface {
	// Write appends rows. After an error, the file must be thrown away. An error for a single row that the format
	// cannot hold is a *pipeline.PartialError; the other rows are written then.
	Write(cs []record.Classification) error
	// Close completes the file and closes it. It does not sync it.
	Close() error
}

// Reader reads a file. It is not safe for concurrent use.
type Reader interface {
	RowReader
	io.Closer
}

// RowReader reads rows.
type RowReader interface {
	// Read sets dst to the next rows and returns their number. At the end it returns 0 and io.EOF.
	Read(dst []record.Classification) (int, error)
}

// Each calls use with all rows, some thousands at a time, and returns their number. use must not keep them.
func Each(r RowReader, use func([]record.Classification) error) (rows int, err error) {
	buf := make([]record.Classification, 4096)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			rows += n
			if err := use(buf[:n]); err != nil {
				return rows, err
			}
		}
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
	}
}
