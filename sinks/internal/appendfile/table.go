package appendfile

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
)

// Writer writes a file as a whole. It is a [table.Writer].
type Writer struct {
	file   *os.File
	layout Layout
	pack   packer
}

// Create creates a file, or replaces one.
func Create(path string, l Layout) (*Writer, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	w := &Writer{file: file, layout: l}
	w.pack.how = compressionOf(path)
	w.pack.begin(l)
	return w, nil
}

// Write appends rows. The error is a [pipeline.PartialError] for rows that the file cannot hold.
func (w *Writer) Write(cs []record.Classification) error {
	failed := map[int]error{}
	for i := range cs {
		if err := w.pack.add(w.layout, &cs[i]); err != nil {
			failed[i] = err
		}
		if w.pack.out.Len() > maxPiece {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return pipeline.Partial(failed)
}

func (w *Writer) flush() error {
	_, err := w.file.Write(w.pack.out.Bytes())
	w.pack.out.Reset()
	return err
}

// Close completes the file and closes it.
func (w *Writer) Close() error {
	if len(w.pack.text) > 0 {
		w.pack.pack()
	}
	return errors.Join(w.flush(), w.file.Close())
}

// Reader reads a complete file. It is a [table.Reader].
type Reader struct {
	file   *os.File
	layout Layout
	rows   *scanner
	header bool // comes next
}

// Open opens a file. The content, not the name, tells how it is compressed.
func Open(path string, l Layout) (*Reader, error) {
	file, info, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	how, err := detect(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Reader{
		file: file, layout: l, rows: newScanner(newSource(file, info.Size(), how), l), header: len(l.Header()) > 0,
	}, nil
}

// Read reads the next rows.
func (r *Reader) Read(dst []record.Classification) (int, error) {
	for n := range dst {
		at := r.rows.at
		row, err := r.rows.next()
		if err == nil && r.header {
			if !r.layout.Begin(row) {
				return 0, place(1, 0, fmt.Errorf("found %.60q, want the header %.60q", row, r.layout.Header()))
			}
			r.header = false
			at = r.rows.at
			row, err = r.rows.next()
		}
		switch {
		case errors.Is(err, io.EOF) && len(row) > 0:
			return n, place(r.rows.n+1, at, fmt.Errorf("found the incomplete row %.60q", row))
		case errors.Is(err, io.EOF) && r.header:
			return n, errors.New("found an empty file, want a header")
		case errors.Is(err, io.EOF) && n > 0:
			return n, nil
		case err != nil:
			return n, err
		}
		dst[n] = record.Classification{}
		if err := r.layout.Decode(row, &dst[n]); err != nil {
			return n, place(r.rows.n, at, err)
		}
	}
	return len(dst), nil
}

// Close closes the file.
func (r *Reader) Close() error {
	if p, ok := r.rows.source.(*pieces); ok {
		p.close()
	}
	return r.file.Close()
}
