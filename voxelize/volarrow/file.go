package volarrow

import (
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/arrowmeta"
	"github.com/voxelstream/voxelstream/voxelize"
)

// KeyStream is the metadata key of a file's stream. Messages do not have it, because their Kafka key is the stream.
const KeyStream = "voxelstream.stream"

// rowsPerBatch is the number of volumes per record batch of a file: one megabyte at 16x16x16 bytes.
const rowsPerBatch = 256

// File writes volumes of one stream, with equal dims and content, as an Arrow file (the random access format, also
// known as Feather version 2), with the columns of a message. The file appears under its name, complete, when Commit
// succeeds, and not before.
type File struct {
	out     *ingest.NewFile
	path    string
	stream  string
	layout  *layout
	schema  *arrow.Schema
	w       *ipc.FileWriter
	pending []voxelize.Volume
}

// CreateFile creates a file of volumes.
func CreateFile(path string) (*File, error) {
	out, err := ingest.CreateFile(path)
	if err != nil {
		return nil, err
	}
	return &File{out: out, path: path}, nil
}

// Write adds a volume. The volume is buffered until its record batch is full, so its slices must not change.
func (f *File) Write(v voxelize.Volume) error {
	f.pending = append(f.pending, v)
	if len(f.pending) < rowsPerBatch {
		return nil
	}
	return f.flush()
}

// begin sets stream, dims, content and version from the first volumes. A file of version 2 gets all columns, because
// later volumes may need them.
func (f *File) begin() (err error) {
	first := &f.pending[0]
	k := kind{first.Dims, first.Content, Version(f.pending), version1Columns}
	if k.version > 1 {
		k.columns = allColumns
	}
	if f.layout, err = layoutOf(k); err != nil {
		return err
	}
	m := f.layout.schema.Metadata()
	keys, values := append(slices.Clone(m.Keys()), KeyStream), append(slices.Clone(m.Values()), first.Stream)
	metadata := arrow.NewMetadata(keys, values)
	f.stream, f.schema = first.Stream, arrow.NewSchema(f.layout.schema.Fields(), &metadata)
	f.w, err = ipc.NewFileWriter(arrowmeta.Sequential(f.out), ipc.WithSchema(f.schema))
	return err
}

// flush writes the pending volumes as a record batch.
func (f *File) flush() error {
	if len(f.pending) == 0 {
		return nil
	}
	if f.w == nil {
		if err := f.begin(); err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
	}
	if first := &f.pending[0]; first.Stream != f.stream {
		return fmt.Errorf("%s: found volume %s in a file of stream %s, want one stream per file",
			f.path, first.ID.String(), f.stream)
	}
	if extra := needed(f.pending) &^ f.layout.columns; extra != 0 {
		return fmt.Errorf("%s: volume %s or one of the %d after it needs column %s, but none of the first %d did: "+
			"want a column that is used from the start", f.path, f.pending[0].ID.String(), len(f.pending)-1, extra.first(),
			rowsPerBatch)
	}
	rec, err := f.layout.record(f.pending)
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	defer rec.Release()
	f.pending = f.pending[:0]
	if err := f.w.Write(rec); err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	return nil
}

// Commit writes the buffered volumes and moves the file into place.
func (f *File) Commit() error {
	if f.w == nil && len(f.pending) == 0 {
		return fmt.Errorf("%s: no volumes to write", f.path)
	}
	if err := f.flush(); err != nil {
		return err
	}
	if err := f.w.Close(); err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	return f.out.Commit()
}

// Close discards the file unless it was committed. It may be called after Commit.
func (f *File) Close() error { return f.out.Close() }
