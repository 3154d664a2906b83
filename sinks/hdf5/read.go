package hdf5

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// reader reads a file, in its worker.
type reader struct {
	*table.BatchReader
	file    *h5.File
	objects map[string]h5.Object
	// rows is the number of rows, next the first that is not read yet, and top the number of best classes.
	rows, next, top int
	// missing marks the columns that the file does not have.
	missing []bool
	batch   *table.Batch

	ints []int64
}

// maxTexts is the limit for the texts of a dataset that are read at once, in bytes.
const maxTexts = 16 << 20

func open(path string) (*reader, error) {
	if h5.LibraryVersion() == "" {
		return nil, h5.ErrNoHDF5
	}
	f, err := h5.Open(context.Background(), path)
	if err != nil {
		return nil, err
	}
	r := &reader{file: f, batch: table.NewBatch(), objects: map[string]h5.Object{}}
	r.BatchReader = table.NewBatchReader(r.read)
	if err := r.begin(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

// text reads a text attribute of the file.
func (r *reader) text(name string) (string, error) {
	a, err := r.file.Attr(context.Background(), "/", name)
	if errors.Is(err, h5.ErrNotFound) {
		return "", nil
	}
	text, _ := a.Text()
	return text, err
}

// begin finds the columns of the table.
func (r *reader) begin() error {
	if notes := r.file.Notes(); len(notes) > 0 {
		return fmt.Errorf("found an incomplete file: %s", strings.Join(notes, "; "))
	}
	marks := map[string]string{}
	for _, key := range []string{table.KeyKind, table.KeyVersion} {
		var err error
		if marks[key], err = r.text(key); err != nil {
			return err
		}
	}
	version, err := table.CheckMetadata(func(key string) string { return marks[key] })
	if err != nil {
		return err
	}
	all, err := r.file.Objects(context.Background())
	if err != nil {
		return err
	}
	for _, o := range all {
		r.objects[strings.TrimPrefix(o.Path, "/")] = o
	}
	r.rows = -1
	for _, c := range table.Columns() {
		_, found := r.objects[c.Name]
		missing := c.Type != table.JSON && !found && c.Since > version
		r.missing = append(r.missing, missing)
		if missing {
			continue
		}
		if err := r.find(c); err != nil {
			return err
		}
	}
	return nil
}

// find checks the datasets of a column.
func (r *reader) find(c table.Column) error {
	if c.Type == table.JSON {
		if err := errors.Join(r.dataset(topClasses, h5.Int, 2), r.dataset(topScores, h5.Float, 2)); err != nil {
			return err
		}
		classes, scores := r.objects[topClasses], r.objects[topScores]
		if r.top = classes.Dims[1]; r.top != scores.Dims[1] || r.top > table.MaxTopK {
			return fmt.Errorf("dataset %s: found %d classes per row and %d scores, want the same number, at most %d",
				topClasses, r.top, scores.Dims[1], table.MaxTopK)
		}
		return nil
	}
	class := h5.Int
	switch c.Type {
	case table.Text:
		class = h5.String
	case table.Float32, table.Float64:
		class = h5.Float
	}
	return r.dataset(c.Name, class, 1)
}

// dataset checks a dataset.
func (r *reader) dataset(name string, class h5.Class, rank int) error {
	o, ok := r.objects[name]
	switch {
	case !ok:
		return fmt.Errorf("found no dataset %s", name)
	case o.Refused != "":
		return fmt.Errorf("dataset %s: %s", name, o.Refused)
	case o.Kind != h5.Dataset || o.Class != class || len(o.Dims) != rank:
		return fmt.Errorf("dataset %s: found a %s of class %s and shape %v, want class %s and %d dimensions", name,
			o.Kind, o.Class, o.Dims, class, rank)
	case r.rows >= 0 && o.Dims[0] != r.rows:
		return fmt.Errorf("dataset %s: found %d rows, want %d", name, o.Dims[0], r.rows)
	}
	r.rows = o.Dims[0]
	return nil
}

// read reads the next rows.
func (r *reader) read() (*table.Batch, error) {
	n := min(r.rows-r.next, rowsPerBatch, rowsOfChunk(4*max(1, r.top)))
	if n <= 0 {
		return nil, io.EOF
	}
	r.batch.Reset()
	r.batch.Rows = n
	for i := range r.batch.Vectors {
		if r.missing[i] {
			continue
		}
		if err := r.column(&r.batch.Vectors[i], n); err != nil {
			return nil, fmt.Errorf("rows from %d: %w", r.next, err)
		}
	}
	for _, part := range []string{"box_", "distance_", "velocity_"} {
		r.together(part)
	}
	r.next += n
	return r.batch, nil
}

// column reads n rows of a column.
func (r *reader) column(v *table.Vector, n int) (err error) {
	ctx, path := context.Background(), "/"+v.Column.Name
	switch v.Column.Type {
	case table.Text:
		return r.texts(v, n)
	case table.Int32, table.Bool:
		err = r.int32s(v, path, n)
		valid(v, v.Int32s, func(x int32) bool { return x != noLabel })
	case table.Int64, table.Time:
		v.Int64s = slices.Grow(v.Int64s, n)[:n]
		err = r.file.ReadInt64(ctx, path, r.next, n, v.Int64s)
		valid(v, v.Int64s, func(x int64) bool { return x != noTime })
	case table.Float32:
		v.Float32s = slices.Grow(v.Float32s, n)[:n]
		err = r.file.ReadFloat32(ctx, path, r.next, n, v.Float32s)
		valid(v, v.Float32s, func(x float32) bool { return !math.IsNaN(float64(x)) })
	case table.Float64:
		v.Float64s = slices.Grow(v.Float64s, n)[:n]
		err = r.file.ReadFloat64(ctx, path, r.next, n, v.Float64s)
		valid(v, v.Float64s, func(x float64) bool { return !math.IsNaN(x) })
	case table.JSON:
		err = r.lists(v, n)
	}
	return err
}

// valid marks the values that are not missing.
func valid[T any](v *table.Vector, values []T, present func(T) bool) {
	if !v.Column.Null {
		return
	}
	v.Valid = v.Valid[:0]
	for _, x := range values {
		v.Valid = append(v.Valid, present(x))
	}
}

// int32s appends n rows of a dataset to the int32 values of a vector.
func (r *reader) int32s(v *table.Vector, path string, n int) error {
	o := r.objects[strings.TrimPrefix(path, "/")]
	size := n * o.RowLen()
	r.ints = slices.Grow(r.ints[:0], size)[:size]
	if err := r.file.ReadInt64(context.Background(), path, r.next, n, r.ints); err != nil {
		return err
	}
	for i, x := range r.ints {
		if int64(int32(x)) != x {
			return fmt.Errorf("dataset %s: found %d at %d, which is not an int32", path, x, i)
		}
		v.Int32s = append(v.Int32s, int32(x))
	}
	return nil
}

// texts reads n rows of texts.
func (r *reader) texts(v *table.Vector, n int) error {
	o := r.objects[v.Column.Name]
	step := max(1, maxTexts/max(o.Size, 1))
	for done := 0; done < n; done += step {
		found, err := r.file.ReadStrings(context.Background(), o.Path, r.next+done, min(step, n-done))
		if err != nil {
			return err
		}
		for _, s := range found {
			v.Bytes = append(v.Bytes, s...)
			if len(v.Bytes) > math.MaxInt32 {
				return fmt.Errorf("dataset %s: found more than %d bytes in %d rows", o.Path, math.MaxInt32, n)
			}
			v.Offsets = append(v.Offsets, int32(len(v.Bytes)))
			if v.Column.Null {
				v.Valid = append(v.Valid, s != "")
			}
		}
	}
	return nil
}

// lists reads n rows of best classes and removes the padding.
func (r *reader) lists(v *table.Vector, n int) error {
	if err := r.int32s(v, "/"+topClasses, n); err != nil {
		return err
	}
	v.Float32s = slices.Grow(v.Float32s, n*r.top)[:n*r.top]
	if err := r.file.ReadFloat32(context.Background(), "/"+topScores, r.next, n, v.Float32s); err != nil {
		return err
	}
	to := 0
	for i := range n {
		for k := i * r.top; k < (i+1)*r.top && v.Int32s[k] != noClass; k++ {
			v.Int32s[to], v.Float32s[to] = v.Int32s[k], v.Float32s[k]
			to++
		}
		v.Offsets = append(v.Offsets, int32(to)) // at most MaxTopK in each of rowsPerBatch rows
	}
	v.Int32s, v.Float32s = v.Int32s[:to], v.Float32s[:to]
	return nil
}

// together marks the values of the columns with a prefix as missing only if all of them are.
func (r *reader) together(prefix string) {
	var all []*table.Vector
	for i := range r.batch.Vectors {
		if v := &r.batch.Vectors[i]; !r.missing[i] && strings.HasPrefix(v.Column.Name, prefix) {
			all = append(all, v)
		}
	}
	for row := range r.batch.Rows {
		found := slices.ContainsFunc(all, func(v *table.Vector) bool { return v.Valid[row] })
		for _, v := range all {
			v.Valid[row] = found
		}
	}
}

// Close ends the worker.
func (r *reader) Close() error { return r.file.Close() }
