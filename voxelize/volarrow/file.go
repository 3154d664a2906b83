package volarrow

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/voxelize"
)

// KeyStream is the key of a file's stream in the schema's metadata; a message has none, because its Kafka key is the stream.
const KeyStream = "voxelstream.stream"

// rowsPerBatch is how many volumes of a file make a record batch: a megabyte at 16^3.
const rowsPerBatch = 256

// File writes volumes of one stream and of equal dims as an Arrow file (the random access format, also known as Feather version 2), with the
// columns of a message. It appears under its name by Commit, complete, or not at all.
type File struct {
	out     *ingest.NewFile
	path    string
	palette string
	layout  *layout
	schema  *arrow.Schema
	w       *ipc.FileWriter
	pending []voxelize.Volume
}

// CreateFile begins a file of volumes that index the given palette.
func CreateFile(path, palette string) (*File, error) {
	out, err := ingest.CreateFile(path)
	if err != nil {
		return nil, err
	}
	return &File{out: out, path: path, palette: palette}, nil
}

// Write adds a volume. It is kept until its record batch is full, so its slices must not change.
func (f *File) Write(v voxelize.Volume) error {
	if f.w == nil {
		if err := f.begin(&v); err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
	}
	f.pending = append(f.pending, v)
	if len(f.pending) < rowsPerBatch {
		return nil
	}
	return f.flush()
}

// begin takes stream and dims from the first volume.
func (f *File) begin(v *voxelize.Volume) (err error) {
	if f.layout, err = layoutOf(v.Dims, f.palette); err != nil {
		return err
	}
	m := f.layout.schema.Metadata()
	metadata := arrow.NewMetadata(append(slices.Clone(m.Keys()), KeyStream), append(slices.Clone(m.Values()), v.Stream))
	f.schema = arrow.NewSchema(f.layout.schema.Fields(), &metadata)
	f.w, err = ipc.NewFileWriter(&position{w: f.out}, ipc.WithSchema(f.schema))
	return err
}

// flush writes the pending volumes as a record batch.
func (f *File) flush() error {
	if len(f.pending) == 0 {
		return nil
	}
	if first, stream := f.pending[0].Stream, f.schema.Metadata().Values()[f.schema.Metadata().FindKey(KeyStream)]; first != stream {
		return fmt.Errorf("%s: volume %s in a file of stream %s: want one stream a file", f.path, f.pending[0].ID.String(), stream)
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

// Commit writes what is pending and puts the file in place.
func (f *File) Commit() error {
	if f.w == nil {
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

// Close drops what is not committed. It may follow Commit.
func (f *File) Close() error { return f.out.Close() }

// position lets Arrow, which only asks where it is, write through a buffer.
type position struct {
	w io.Writer
	n int64
}

func (p *position) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.n += int64(n)
	return n, err
}

func (p *position) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekCurrent {
		return 0, errors.New("writing only goes forward")
	}
	return p.n, nil
}
