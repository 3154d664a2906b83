package h5

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/arrays"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
	"github.com/voxelstream/voxelstream/internal/budget"
	hdf "github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/internal/vector"
	"github.com/voxelstream/voxelstream/record"
)

// blockBytes is the size of the read-ahead, maxBlock that of a block of chunks that are stored across rows.
const (
	blockBytes = 4 << 20
	maxBlock   = 64 << 20
)

// rows is a source of the rows of one or more datasets, each of which is a stream.
type rows struct {
	file *hdf.File
	// The account of row is that of the cloud that is being read.
	o, row ingest.Options
	parts  []*table // not yet read, the current one first

	// reading is cancelled when the source is closed, because blocks are read ahead of calls to Read.
	reading context.Context
	stop    context.CancelFunc

	table []float64 // values of the cloud being read
	// classes returns the names of the classes; nil without labels.
	classes func(ctx context.Context) []string
}

// Classes implements [ingest.Classed].
func (g *rows) Classes(ctx context.Context) []string {
	if g.classes == nil {
		return nil
	}
	return g.classes(ctx)
}

// table is one dataset with its labels, and the block of rows last read.
type table struct {
	array
	view   arrays.View
	labels *arrays.Labels
	stream string
	arrays.Span

	block
	// ahead delivers the block being read, and is nil if there is none.
	ahead chan *block
}

// block is a range of rows of grids. Samples share its memory, so it is not reused.
type block struct {
	values []float32
	bad    []error // error of each row of the block, or nil
	first  int     // row of the block
	fatal  error   // the file can no longer be read
	memory *budget.Account
}

// table checks that a dataset holds grids or clouds and that its labels match.
func (a *input) table(ctx context.Context, d array, named bool, labels *labelReader) (*table, error) {
	switch {
	case d.Refused != "":
		return nil, fmt.Errorf("%s: %w: %s", d.Path, hdf.ErrRefused, d.Refused)
	case d.why != "":
		return nil, fmt.Errorf("%s: found %s, want numbers", d.Path, d.why)
	case d.Kind != hdf.Dataset:
		return nil, fmt.Errorf("%s: found a %s, want a dataset", d.Path, d.Kind)
	case d.Class != hdf.Compound && !d.numeric():
		return nil, fmt.Errorf("%s: found values of class %s, want numbers", d.Path, d.Class)
	}
	t := &table{array: d}
	want := 1
	if len(d.shape) > 0 {
		want = d.shape[0]
	}
	found, err := labels.read(ctx, want)
	if err != nil {
		return nil, err
	}
	t.view, err = a.view(d, found.Len(), named)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Path, err)
	}
	for _, text := range []string{t.view.Assumed, reversedNote(d)} {
		if text != "" {
			a.options.Note("%s: %s", t.name(), text)
		}
	}
	if t.labels, err = found.For(t.view); err != nil {
		return nil, fmt.Errorf("%s: %w of %s", labels.dataset.Path, err, d.Path)
	}
	if t.labels != nil && found.Assumed != "" {
		a.options.Note("%s", found.Assumed)
	}
	return t, nil
}

func (a *input) view(d array, labels int, named bool) (arrays.View, error) {
	if d.Class != hdf.Compound {
		return arrays.ViewOf(arrays.Array{
			Name: d.Path, Shape: d.shape, Type: d.TypeName(), Float: d.Class == hdf.Float, Labels: labels, Named: named,
		}, a.options.Options)
	}
	v := arrays.View{Rows: 1, Columns: len(d.Fields)}
	switch len(d.shape) {
	case 1:
		v.Points = d.shape[0]
	case 2:
		v.Rows, v.Points = d.shape[0], d.shape[1]
	default:
		return v, fmt.Errorf("found records of shape %s, want (N,) or (B, N)", arrays.Tuple(d.shape))
	}
	if v.Points > a.options.MaxPoints {
		return v, fmt.Errorf("found %d points, limit %d", v.Points, a.options.MaxPoints)
	}
	return v, nil
}

func reversedNote(d array) string {
	if !d.reversed {
		return ""
	}
	return fmt.Sprintf("the axes are reversed, as MATLAB, Octave, Julia and R store them: %s", arrays.Tuple(d.shape))
}

// name is the path without the first slash.
func (d *array) name() string { return cmp.Or(d.alias, d.Path[1:]) }

// newRows makes a source of tables, which it owns.
func newRows(ctx context.Context, a *input, stream string, c content) ingest.Source {
	g := &rows{file: a.file, o: a.options.Options, row: a.options.Options, parts: c.tables, classes: c.classes}
	g.row.Account = g.o.Account.Part()
	g.reading, g.stop = context.WithCancel(context.WithoutCancel(ctx))
	for _, t := range c.tables {
		t.stream = stream + ":" + t.name()
		t.End = t.view.Rows
	}
	return g
}

// Slice implements [ingest.Slicer].
func (g *rows) Slice(first, count int) {
	spans := make([]*arrays.Span, len(g.parts))
	for i, t := range g.parts {
		spans[i] = &t.Span
	}
	arrays.Confine(spans, first, count)
}

// Read returns the next row.
func (g *rows) Read(ctx context.Context) (ingest.Sample, error) {
	if err := ctx.Err(); err != nil {
		return ingest.Sample{}, err
	}
	for len(g.parts) > 0 && g.parts[0].Len() == 0 {
		g.parts = g.parts[1:]
	}
	if len(g.parts) == 0 {
		return ingest.Sample{}, io.EOF
	}
	t := g.parts[0]
	s := ingest.Sample{ID: record.ID{Stream: t.stream, Seq: uint64(t.Next)}, Label: ingest.NoLabel}
	row := t.Next
	var err error
	if t.view.Columns > 0 {
		t.Next++
		s.Data, err = t.cloud(ctx, g, row)
	} else {
		if row >= t.first+len(t.bad) || row < t.first {
			if err := t.load(ctx, g); err != nil {
				return ingest.Sample{}, err
			}
		}
		t.Next++
		s.Data, err = t.grid(g, row-t.first)
	}
	if err == nil && t.labels != nil {
		s.Label, err = t.labels.At(row)
	}
	switch {
	case err == nil:
		return s, nil
	case fatal(ctx, err):
		return ingest.Sample{}, err
	}
	return ingest.Sample{}, &ingest.ItemError{ID: s.ID, Err: err}
}

// Len returns the number of rows not yet read.
func (g *rows) Len() int {
	n := 0
	for _, t := range g.parts {
		n += t.Len()
	}
	return n
}

// Close ends the worker process.
func (g *rows) Close() error {
	g.stop()
	for _, t := range g.parts {
		if t.ahead != nil {
			<-t.ahead
		}
	}
	return g.file.Close()
}

// load gets the block that starts at the next row, and starts reading the block after it.
func (t *table) load(ctx context.Context, g *rows) error {
	if t.ahead == nil {
		t.readAhead(g, t.Next)
	}
	select {
	case b := <-t.ahead:
		t.ahead = nil
		t.memory.Close()
		if b.fatal != nil {
			b.memory.Close()
			return b.fatal
		}
		t.block = *b
	case <-ctx.Done():
		return ctx.Err()
	}
	if next := t.first + len(t.bad); next < t.End {
		t.readAhead(g, next)
	}
	return nil
}

// readAhead starts reading the block that starts at row first.
func (t *table) readAhead(g *rows, first int) {
	to := make(chan *block, 1)
	t.ahead = to
	go func() { to <- t.fetch(g.reading, g, first) }()
}

// blockRows returns the number of rows of a block: about a megabyte, or whole chunks if these lie across rows.
func (t *table) blockRows() int {
	row := 4 * t.view.Cells()
	k := max(1, blockBytes/row)
	if n := len(t.Chunks); t.reversed && n > 0 && t.Chunks[n-1] > k {
		k = max(k, min(t.Chunks[n-1], maxBlock/row))
	}
	return k
}

// fetch reads the block that starts at row first. If that fails, it reads the rows one by one, so that readable
// rows are not lost.
func (t *table) fetch(ctx context.Context, g *rows, first int) *block {
	f, n := g.file, t.view.Cells()
	k := min(t.blockRows(), t.End-first)
	// The block, its values as they are stored, and the chunks in which the worker finds them.
	const copies = 3
	b := &block{first: first, memory: g.o.Account.Part()}
	if b.fatal = b.memory.TakeContext(ctx, int64(k*n*4*copies)); b.fatal != nil {
		return b
	}
	b.values, b.bad = make([]float32, k*n), make([]error, k)
	err := readRows(ctx, f, t, first, k, b.values)
	if err == nil {
		return b
	}
	if fatal(ctx, err) {
		b.fatal = err
		return b
	}
	for i := range k {
		if b.bad[i] = readRows(ctx, f, t, first+i, 1, b.values[i*n:(i+1)*n]); b.bad[i] != nil && fatal(ctx, b.bad[i]) {
			b.fatal = b.bad[i]
			return b
		}
	}
	return b
}

// fatal reports whether an error ends the source, because the worker process is gone.
func fatal(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, hdf.ErrWorker)
}

// readRows reads n rows of the view. If the view is a single row, that is the whole dataset.
func readRows[T float32 | float64](ctx context.Context, f *hdf.File, t *table, first, n int, dst []T) error {
	if t.view.Rows == 1 {
		first, n = 0, t.shape[0]
	}
	return readAxis(ctx, f, &t.array, first, n, dst)
}

// readAxis reads [first, first+n) along the first axis of a dataset's shape, and all of the other axes, row-major.
func readAxis[T float32 | float64](ctx context.Context, f *hdf.File, d *array, first, n int, dst []T) error {
	if !d.reversed {
		switch dst := any(dst).(type) {
		case []float32:
			return f.ReadFloat32(ctx, d.Path, first, n, dst)
		case []float64:
			return f.ReadFloat64(ctx, d.Path, first, n, dst)
		}
	}
	if n == 0 || len(dst) == 0 {
		return nil
	}
	width := len(dst) / n
	step := max(1, maxBlock/8/width) // the worker limits a request to 256 MiB
	stored := make([]T, min(step, n)*width)
	shape := append([]int{0}, d.shape[1:]...)
	for done := 0; done < n; done += shape[0] {
		shape[0] = min(step, n-done)
		part := stored[:shape[0]*width]
		if err := hdf.ReadColumns(ctx, f, d.Path, first+done, shape[0], part); err != nil {
			return err
		}
		arrays.Reverse(dst[done*width:(done+shape[0])*width], part, shape)
	}
	return nil
}

// grid returns row i of the block.
func (t *table) grid(g *rows, i int) (ingest.Data, error) {
	if t.bad[i] != nil {
		return nil, t.bad[i]
	}
	n := t.view.Cells()
	values := t.values[i*n : (i+1)*n]
	if !vector.Finite(values) {
		g.o.Note("%s: rows with values that are NaN or infinite", t.name())
	}
	return t.view.Grid(values), nil
}

// cloud reads a row of clouds.
func (t *table) cloud(ctx context.Context, g *rows, row int) (ingest.Data, error) {
	if t.Class == hdf.Compound {
		return t.records(ctx, g, row)
	}
	g.row.Account.Close()
	n := t.view.Cells()
	const copies = 3 // as stored, in chunks, and the result if it is not a cloud of x, y and z
	if err := g.row.Take(n, 8*copies); err != nil {
		return nil, err
	}
	if cap(g.table) < n {
		g.table = make([]float64, n)
	}
	values := g.table[:n]
	if err := readRows(ctx, g.file, t, row, 1, values); err != nil {
		return nil, err
	}
	p, assumed, err := arrays.Cloud(values, t.view.Columns, g.row)
	if err == nil && assumed != "" {
		g.o.Note("%s: %s", t.name(), assumed)
	}
	return p, err
}

// records reads a row of clouds whose points are records.
func (t *table) records(ctx context.Context, g *rows, row int) (ingest.Data, error) {
	g.row.Account.Close()
	first, n := row, 1
	if len(t.shape) == 1 {
		first, n = 0, t.shape[0]
	}
	var cols []columns.Column
	for _, field := range t.Fields {
		if field.Count != 1 || !columns.Wanted(field.Name, g.row) {
			continue
		}
		values, err := ingest.Make[float64](g.row, t.view.Points)
		if err != nil {
			return nil, err
		}
		c := columns.Column{Name: field.Name, Type: columns.Float64, Values: values}
		if err := g.file.ReadField(ctx, t.Path, field.Name, first, n, c.Values); err != nil {
			return nil, err
		}
		cols = append(cols, c)
	}
	return columns.Cloud(t.view.Points, cols, g.row)
}
