package h5

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
)

// File is an open HDF5 file. Its methods may be called from several goroutines; they run one after the other. If a
// method's context ends while the worker is busy, the worker is killed, and the file can no longer be used, as
// after an error that wraps [ErrWorker].
type File struct {
	path   string
	info   os.FileInfo
	notes  []string
	cutOff bool

	mu      sync.Mutex
	w       *worker
	revived bool  // w is the second worker
	dead    error // reason why the worker is gone
	objects map[string]Object
}

// Open opens the file at path for reading and starts its worker. The file must be closed.
func Open(ctx context.Context, path string) (*File, error) {
	f, err := open(ctx, path, nil)
	if wasKilled(err) && ctx.Err() == nil {
		f, err = open(ctx, path, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("h5: %s: %w", path, err)
	}
	return f, nil
}

// open uses the given worker, or starts one.
func open(ctx context.Context, path string, w *worker) (*File, error) {
	if !available {
		return nil, ErrNoHDF5
	}
	input, note, err := openChecked(path)
	if err != nil {
		return nil, err
	}
	defer input.Close() //nolint:errcheck // the worker has its own
	if w == nil {
		if w, err = startWorker(ctx); err != nil {
			return nil, err
		}
	}
	p, _, err := w.call(ctx, &request{Op: opOpen, Unclosed: note != ""}, input, nil)
	if err != nil {
		w.kill()
		return nil, err
	}
	info, err := input.Stat()
	if err != nil {
		w.kill()
		return nil, err
	}
	f := &File{path: path, info: info, w: w, objects: map[string]Object{}, cutOff: p.Note != ""}
	for _, n := range []string{note, p.Note} {
		if n != "" {
			f.notes = append(f.notes, n)
		}
	}
	return f, nil
}

// Notes returns what is remarkable about the file as a whole: that it was not closed, or was cut off.
func (f *File) Notes() []string { return f.notes }

// CutOff reports whether the file has lost its end.
func (f *File) CutOff() bool { return f.cutOff }

// Close ends the worker. It may be called more than once.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead == nil {
		f.dead = errors.New("file is closed")
	}
	f.w.kill()
	return nil
}

// call sends one request. Its error names the file and the object.
func (f *File) call(ctx context.Context, q *request, dst []byte) (*reply, []byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := errors.Join(f.dead, ctx.Err())
	var p *reply
	var payload []byte
	if err == nil {
		p, payload, err = f.w.call(ctx, q, nil, dst)
		if wasKilled(err) && f.revive(ctx) {
			p, payload, err = f.w.call(ctx, q, nil, dst)
		}
		switch {
		case errors.Is(err, ErrWorker):
			f.dead = err
		case err != nil && ctx.Err() != nil:
			f.dead = fmt.Errorf("%w: an earlier call was interrupted", ErrWorker)
		}
	}
	if err == nil {
		return p, payload, nil
	}
	where := q.Path
	if q.Name != "" {
		where += "@" + q.Name
	}
	return nil, nil, f.fail(where, err)
}

// revive starts another worker after the first was killed. It reports false if that fails, or if there is another file
// at the path now. A second worker that is killed has no successor: the file may be the reason.
func (f *File) revive(ctx context.Context) bool {
	if f.revived || ctx.Err() != nil {
		return false
	}
	f.revived = true
	again, err := open(ctx, f.path, nil)
	if err != nil {
		return false
	}
	if !os.SameFile(f.info, again.info) || f.info.Size() != again.info.Size() ||
		!f.info.ModTime().Equal(again.info.ModTime()) {
		again.w.kill()
		return false
	}
	f.w = again.w
	return true
}

func (f *File) fail(where string, err error) error {
	return fmt.Errorf("h5: %s: %s: %w", f.path, where, err)
}

// Objects lists all objects in the file by their hard links, parents before members, members by name,
// each object once.
func (f *File) Objects(ctx context.Context) ([]Object, error) {
	p, _, err := f.call(ctx, &request{Op: opList, Path: "/", Deep: true}, nil)
	if err != nil {
		return nil, err
	}
	return p.Objects, nil
}

// Children lists the members of a group by name, soft links with what they lead to. Only Path and Kind are set, and
// Refused for a link that leads nowhere or out of the file; [File.Object] returns the rest.
func (f *File) Children(ctx context.Context, group string) ([]Object, error) {
	p, _, err := f.call(ctx, &request{Op: opList, Path: group}, nil)
	if err != nil {
		return nil, err
	}
	return p.Objects, nil
}

// Object describes the object at path; the error wraps [ErrNotFound] if there is none.
func (f *File) Object(ctx context.Context, path string) (Object, error) {
	p, _, err := f.call(ctx, &request{Op: opObject, Path: path}, nil)
	if err != nil {
		return Object{}, err
	}
	if len(p.Objects) != 1 {
		return Object{}, f.fail(path, fmt.Errorf("%w: found %d answers, want 1", ErrWorker, len(p.Objects)))
	}
	return p.Objects[0], nil
}

// Attrs reads all attributes of the object at path, by name; "/" has those of the file.
func (f *File) Attrs(ctx context.Context, path string) ([]Attr, error) {
	return f.attrs(ctx, &request{Op: opAttrs, Path: path})
}

// Attr reads one attribute of the object at path; the error wraps [ErrNotFound] if there is none, and [ErrRefused]
// if its values cannot be read.
func (f *File) Attr(ctx context.Context, path, name string) (Attr, error) {
	all, err := f.attrs(ctx, &request{Op: opAttrs, Path: path, Name: name})
	if err != nil {
		return Attr{}, err
	}
	if len(all) != 1 {
		return Attr{}, f.fail(path+"@"+name, fmt.Errorf("%w: found %d answers, want 1", ErrWorker, len(all)))
	}
	if all[0].Refused != "" {
		return Attr{}, f.fail(path+"@"+name, fmt.Errorf("%w: %s", ErrRefused, all[0].Refused))
	}
	return all[0], nil
}

func (f *File) attrs(ctx context.Context, q *request) ([]Attr, error) {
	p, payload, err := f.call(ctx, q, nil)
	if err != nil {
		return nil, err
	}
	out := make([]Attr, len(p.Attrs))
	for i, h := range p.Attrs {
		a := Attr{Name: h.Name, Class: h.Class, Dims: h.Dims, Refused: h.Refused}
		switch {
		case h.Refused != "":
		case h.Class == String:
			a.Strings, payload, err = takeStrings(payload, h.Count)
		case h.Class == Float:
			a.Floats, payload, err = takeFloats(payload, h.Count)
		default:
			a.Ints, payload, err = takeInts(payload, h.Count)
		}
		if err != nil {
			return nil, f.fail(q.Path+"@"+h.Name, fmt.Errorf("%w: values: %w", ErrWorker, err))
		}
		out[i] = a
	}
	return out, nil
}

// ReadFloat32 reads rows [row, row+rows) of a dataset of numbers into dst, row-major. dst must hold them: rows
// times [Object.RowLen] values. NaN and infinities are kept; a finite value too large for float32 is an error that
// names its row.
func (f *File) ReadFloat32(ctx context.Context, path string, row, rows int, dst []float32) error {
	return read(ctx, f, path, asFloat32, row, rows, dst)
}

// ReadFloat64 is like ReadFloat32. Integers beyond 2^53 are rounded to the nearest float64.
func (f *File) ReadFloat64(ctx context.Context, path string, row, rows int, dst []float64) error {
	return read(ctx, f, path, asFloat64, row, rows, dst)
}

// ReadInt64 is like ReadFloat32. A value that is not an integer within int64 (NaN, 0.5, 2^63) is an error that
// names its row.
func (f *File) ReadInt64(ctx context.Context, path string, row, rows int, dst []int64) error {
	return read(ctx, f, path, asInt64, row, rows, dst)
}

// blockBytes is the approximate size of one request. A block has at least one row.
const blockBytes = 4 << 20

func read[T float32 | float64 | int64](ctx context.Context, f *File, path string, as number, row, rows int,
	dst []T,
) error {
	o, err := f.dataset(ctx, path, row, rows)
	if err != nil {
		return err
	}
	if !o.numeric() {
		return f.fail(path, fmt.Errorf("found values of class %s, want numbers", o.Class))
	}
	return readBlocks(ctx, f, request{Path: path, As: as, Row: row, Rows: rows}, o.RowLen(), dst)
}

// ReadField reads one field of rows [row, row+rows) of a compound dataset into dst: rows times [Object.RowLen] times
// [Field.Count] values.
func (f *File) ReadField(ctx context.Context, path, field string, row, rows int, dst []float64) error {
	o, err := f.dataset(ctx, path, row, rows)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(o.Fields, func(m Field) bool { return m.Name == field && m.Count > 0 })
	if i < 0 {
		return f.fail(path, fmt.Errorf("found no field %q of numbers", field))
	}
	q := request{Path: path, As: asFloat64, Row: row, Rows: rows, Field: field}
	return readBlocks(ctx, f, q, o.RowLen()*o.Fields[i].Count, dst)
}

// readBlocks reads rows of n values in blocks.
func readBlocks[T float32 | float64 | int64](ctx context.Context, f *File, q request, n int, dst []T) error {
	if n > 0 && q.Rows > len(dst)/n {
		return f.fail(q.Path, fmt.Errorf("found a buffer of %d values, want room for %d rows of %d", len(dst), q.Rows, n))
	}
	if n == 0 {
		return nil
	}
	q.Op = opRead
	step := max(1, blockBytes/(n*q.As.size()))
	for rows, done := q.Rows, 0; done < rows; done += q.Rows {
		q.Rows = min(step, rows-done)
		if _, _, err := f.call(ctx, &q, bytesOf(dst[done*n:(done+q.Rows)*n])); err != nil {
			return err
		}
		q.Row += q.Rows
	}
	return nil
}

// ReadColumns reads [col, col+cols) along the last axis of a dataset of numbers, and all of the other axes, in one
// request. dst must have exactly the size of that part of the dataset, and receives it row-major.
func ReadColumns[T float32 | float64](ctx context.Context, f *File, path string, col, cols int, dst []T) error {
	o, err := f.dataset(ctx, path, 0, 0)
	if err != nil {
		return err
	}
	if !o.numeric() || len(o.Dims) == 0 {
		return f.fail(path, fmt.Errorf("found values of class %s and shape %v, want an array of numbers", o.Class, o.Dims))
	}
	n := 1
	for _, d := range o.Dims[:len(o.Dims)-1] {
		n *= d
	}
	if have := o.Dims[len(o.Dims)-1]; col < 0 || cols < 0 || col > have || cols > have-col || len(dst) != n*cols {
		return f.fail(path, fmt.Errorf("found %d columns and a buffer of %d values, want %d from column %d", have,
			len(dst), cols, col))
	}
	if len(dst) == 0 {
		return nil
	}
	as := asFloat64
	if _, ok := any(dst).([]float32); ok {
		as = asFloat32
	}
	_, _, err = f.call(ctx, &request{Op: opRead, Path: path, As: as, Row: col, Rows: cols, Columns: true}, bytesOf(dst))
	return err
}

// ReadStrings reads rows [row, row+rows) of a dataset of strings, of fixed or variable length.
func (f *File) ReadStrings(ctx context.Context, path string, row, rows int) ([]string, error) {
	o, err := f.dataset(ctx, path, row, rows)
	if err != nil {
		return nil, err
	}
	if o.Class != String {
		return nil, f.fail(path, fmt.Errorf("found values of class %s, want strings", o.Class))
	}
	if rows*o.RowLen() == 0 {
		return nil, nil
	}
	_, payload, err := f.call(ctx, &request{Op: opStrings, Path: path, Row: row, Rows: rows}, nil)
	if err != nil {
		return nil, err
	}
	out, _, err := takeStrings(payload, rows*o.RowLen())
	if err != nil {
		return nil, f.fail(path, fmt.Errorf("%w: strings: %w", ErrWorker, err))
	}
	return out, nil
}

// dataset returns the description of the dataset at path, cached if it was requested before, and checks the
// requested rows.
func (f *File) dataset(ctx context.Context, path string, row, rows int) (Object, error) {
	f.mu.Lock()
	o, ok := f.objects[path]
	f.mu.Unlock()
	if !ok {
		var err error
		if o, err = f.Object(ctx, path); err != nil {
			return o, err
		}
		f.mu.Lock()
		if len(f.objects) > 64 {
			clear(f.objects) // a file with many small datasets is read in order: none is requested again
		}
		f.objects[path] = o
		f.mu.Unlock()
	}
	switch {
	case o.Kind != Dataset:
		return o, f.fail(path, fmt.Errorf("found a %s, want a dataset", o.Kind))
	case o.Refused != "":
		return o, f.fail(path, fmt.Errorf("%w: %s", ErrRefused, o.Refused))
	case row < 0 || rows < 0 || row > o.Rows() || rows > o.Rows()-row:
		return o, f.fail(path, fmt.Errorf("found %d rows, want %d from row %d", o.Rows(), rows, row))
	}
	return o, nil
}
