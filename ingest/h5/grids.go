package h5

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
	hdf "github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/record"
)

// blockBytes is the size of the read-ahead.
const blockBytes = 1 << 20

// grids is a source of the rows of one or more datasets, each of which is a stream.
type grids struct {
	file   *hdf.File
	signed bool
	parts  []*table // not yet read, the current one first

	// reading is cancelled when the source is closed, because blocks are read ahead of calls to Read.
	reading context.Context
	stop    context.CancelFunc
}

// table is one dataset of grids with its labels, and the block of rows last read.
type table struct {
	pair
	stream   string
	rows     int
	dims     [3]int
	channels int
	next     int // row

	block
	// ahead delivers the block being read, and is nil if there is none.
	ahead chan *block
}

// block is a range of rows. Samples share its memory, so it is not reused.
type block struct {
	values []float32
	labels []float64
	bad    []error // error of each row of the block, or nil
	first  int     // row of the block
	fatal  error   // the file can no longer be read
}

func newGrids(ctx context.Context, f *hdf.File, stream string, pairs []pair, o Options) (ingest.Source, error) {
	g := &grids{file: f, signed: o.Signed || ingest.ReaderOptions(o.Options, ReaderOptions{}).Signed}
	g.reading, g.stop = context.WithCancel(context.WithoutCancel(ctx))
	skip := o.Start
	for _, p := range pairs {
		t, err := newTable(ctx, f, p, o.Options)
		if err != nil {
			return nil, err
		}
		t.stream = stream + ":" + p.data[1:]
		t.next = min(skip, t.rows)
		skip -= t.next
		g.parts = append(g.parts, t)
	}
	return g, nil
}

// newTable checks that a dataset holds grids and that its labels match.
func newTable(ctx context.Context, f *hdf.File, p pair, o ingest.Options) (*table, error) {
	x, err := f.Object(ctx, p.data)
	if err != nil {
		return nil, err
	}
	if err := numbers(&x); err != nil {
		return nil, err
	}
	t := &table{pair: p, rows: x.Rows()}
	if t.dims, t.channels, err = gridShape(x.Dims, o); err != nil {
		return nil, fmt.Errorf("%s: %w", p.data, err)
	}
	if p.labels == "" {
		return t, nil
	}
	y, err := f.Object(ctx, p.labels)
	if err != nil {
		return nil, err
	}
	if err := numbers(&y); err != nil {
		return nil, err
	}
	if len(y.Dims) == 0 || y.RowLen() != 1 || y.Rows() != t.rows {
		return nil, fmt.Errorf("%s: found shape %v, want one label for each of the %d rows of %s", p.labels, y.Dims, t.rows, p.data)
	}
	return t, nil
}

func numbers(o *hdf.Object) error {
	switch {
	case o.Kind != hdf.Dataset:
		return fmt.Errorf("%s: found a %s, want a dataset", o.Path, o.Kind)
	case o.Refused != "":
		return fmt.Errorf("%s: %w: %s", o.Path, hdf.ErrRefused, o.Refused)
	case o.Class == hdf.String:
		return fmt.Errorf("%s: found strings, want numbers", o.Path)
	}
	return nil
}

// gridShape interprets the shape of a dataset: (N, K), flat grids of o.GridShape or cubes; (N, D, H, W); or (N, D,
// H, W, C).
func gridShape(s []int, o ingest.Options) (dims [3]int, channels int, err error) {
	channels = 1
	switch len(s) {
	case 2:
		if dims = o.GridShape; dims == [3]int{} {
			edge := int(math.Round(math.Cbrt(float64(s[1]))))
			dims = [3]int{edge, edge, edge}
		}
	case 4, 5:
		dims = [3]int(s[1:4])
		if len(s) == 5 {
			channels = s[4]
		}
	default:
		return dims, 0, fmt.Errorf("found shape %v, want (N, K), (N, D, H, W) or (N, D, H, W, C)", s)
	}
	cells := channels
	for _, d := range dims {
		if d < 1 || cells < 1 || d > o.MaxCells/cells {
			return dims, 0, fmt.Errorf("found shape %v, want grids of 1 to %d values", s, o.MaxCells)
		}
		cells *= d
	}
	if len(s) == 2 && cells != s[1] {
		return dims, 0, fmt.Errorf("found rows of %d values, want %d x %d x %d; set the grid shape", s[1], dims[0], dims[1], dims[2])
	}
	return dims, channels, nil
}

func (t *table) cells() int { return t.dims[0] * t.dims[1] * t.dims[2] * t.channels }

// Read returns the next row.
func (g *grids) Read(ctx context.Context) (ingest.Sample, error) {
	if err := ctx.Err(); err != nil {
		return ingest.Sample{}, err
	}
	for len(g.parts) > 0 && g.parts[0].next >= g.parts[0].rows {
		g.parts = g.parts[1:]
	}
	if len(g.parts) == 0 {
		return ingest.Sample{}, io.EOF
	}
	t := g.parts[0]
	if t.next >= t.first+len(t.bad) || t.next < t.first {
		if err := t.load(ctx, g); err != nil {
			return ingest.Sample{}, err
		}
	}
	return t.sample(g.signed)
}

// Len returns the number of rows not yet read.
func (g *grids) Len() int {
	n := 0
	for _, t := range g.parts {
		n += t.rows - t.next
	}
	return n
}

// Close ends the worker process.
func (g *grids) Close() error {
	g.stop()
	for _, t := range g.parts {
		if t.ahead != nil {
			<-t.ahead
		}
	}
	return g.file.Close()
}

// load gets the block that starts at the next row, and starts reading the block after it.
func (t *table) load(ctx context.Context, g *grids) error {
	if t.ahead == nil {
		t.readAhead(g, t.next)
	}
	select {
	case b := <-t.ahead:
		t.ahead = nil
		if b.fatal != nil {
			return b.fatal
		}
		t.block = *b
	case <-ctx.Done():
		return ctx.Err()
	}
	if next := t.first + len(t.bad); next < t.rows {
		t.readAhead(g, next)
	}
	return nil
}

// readAhead starts reading the block that starts at row first.
func (t *table) readAhead(g *grids, first int) {
	to := make(chan *block, 1)
	t.ahead = to
	go func() { to <- t.fetch(g.reading, g.file, first) }()
}

// fetch reads the block that starts at row first. If that fails, it reads the rows one by one, so that readable
// rows are not lost.
func (t *table) fetch(ctx context.Context, f *hdf.File, first int) *block {
	n := t.cells()
	k := min(max(1, blockBytes/(4*n)), t.rows-first)
	b := &block{values: make([]float32, k*n), labels: make([]float64, k), bad: make([]error, k), first: first}
	err := t.read(ctx, f, b, 0, k)
	if err == nil {
		return b
	}
	if fatal(ctx, err) {
		b.fatal = err
		return b
	}
	for i := range k {
		if b.bad[i] = t.read(ctx, f, b, i, 1); b.bad[i] != nil && fatal(ctx, b.bad[i]) {
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

// read reads rows i to i+k of the block.
func (t *table) read(ctx context.Context, f *hdf.File, b *block, i, k int) error {
	n := t.cells()
	if err := f.ReadFloat32(ctx, t.data, b.first+i, k, b.values[i*n:(i+k)*n]); err != nil {
		return err
	}
	if t.pair.labels == "" {
		return nil
	}
	return f.ReadFloat64(ctx, t.pair.labels, b.first+i, k, b.labels[i:i+k])
}

// sample returns the next row of the block as a sample.
func (t *table) sample(signed bool) (ingest.Sample, error) {
	i := t.next - t.first
	s := ingest.Sample{ID: record.ID{Stream: t.stream, Seq: uint64(t.next)}, Label: ingest.NoLabel}
	t.next++
	err := t.bad[i]
	values := t.values[i*t.cells() : (i+1)*t.cells()]
	if err == nil {
		err = checkValues(values, signed)
	}
	if err == nil && t.pair.labels != "" {
		s.Label, err = labelOf(t.block.labels[i])
	}
	if err != nil {
		return ingest.Sample{}, &ingest.ItemError{ID: s.ID, Err: err}
	}
	s.Data = &ingest.Grid{Dims: t.dims, Channels: t.channels, Values: slices.Clip(values)}
	return s, nil
}

// plain reports whether no value is negative (including -0), infinite or NaN: interpreted as integers, the bits of
// such values are at least those of +Inf.
func plain(values []float32) bool {
	var a, b, c, d uint32
	i := 0
	for ; i+4 <= len(values); i += 4 {
		v := values[i : i+4 : i+4]
		a = max(a, math.Float32bits(v[0]))
		b = max(b, math.Float32bits(v[1]))
		c = max(c, math.Float32bits(v[2]))
		d = max(d, math.Float32bits(v[3]))
	}
	for _, v := range values[i:] {
		a = max(a, math.Float32bits(v))
	}
	return max(a, b, c, d) < 0x7f800000
}

// checkValues requires finite values, and non-negative ones unless signed.
func checkValues(values []float32, signed bool) error {
	if !signed && plain(values) {
		return nil
	}
	for i, v := range values {
		switch {
		case v-v != 0:
			return fmt.Errorf("cell %d: found %g, want a finite value", i, v)
		case v < 0 && !signed:
			return fmt.Errorf("cell %d: found %g, want a value of at least 0, or ingest.signed", i, v)
		}
	}
	return nil
}

// labelOf converts a class number, or ingest.NoLabel.
func labelOf(v float64) (int32, error) {
	if v != math.Trunc(v) || v < float64(ingest.NoLabel) || v > math.MaxInt32 {
		return 0, fmt.Errorf("found label %g, want a class number", v)
	}
	return int32(v), nil
}
