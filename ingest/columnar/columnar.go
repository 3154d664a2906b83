// Package columnar writes samples as tables for pandas, Spark and similar tools: Parquet files, and Arrow files
// (the random access format, also known as Feather version 2).
//
// A table of points has one row per point, with the columns
//
//	sample uint32; x, y, z float64 (metres); intensity float32 and red, green, blue uint8 where the first cloud has them
//
// A table of grids has one row per sample, with the columns
//
//	sample uint32; label int32 (-1: unknown); values list of float32 (z slowest, channels fastest)
//
// The column sample numbers the samples in the file from 0. The metadata holds the kind (voxelstream.kind: points
// or grids) and the dimensions of the grids (voxelstream.dims: D,H,W,C). Depth frames are projected to points.
package columnar

import (
	"fmt"
	"io"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
)

// Keys of the metadata.
const (
	KeyKind = "voxelstream.kind"
	KeyDims = "voxelstream.dims"
	// KeyNotes holds the notes about the inputs, one per line, in a Parquet file.
	KeyNotes = "voxelstream.notes"
)

const (
	// maxRows and maxBytes limit the rows that are written together as a row group or record batch.
	maxRows  = 1 << 20
	maxBytes = 64 << 20
)

// column is a column of several rows. values is a []float64, []float32, []uint32, []int32 or []uint8.
type column struct {
	name   string
	values any
	// list is the number of values per row; 0 means scalars.
	list int
}

// encoder writes rows in one format.
type encoder interface {
	// begin receives the columns, whose values are ignored, and the metadata as keys and values.
	begin(w io.Writer, columns []column, keys, values []string) error
	write(columns []column) error
	// end receives the notes; a format without a place for them drops them.
	end(notes []string) error
}

// writer writes a table of samples.
type writer struct {
	out     *ingest.NewFile
	path    string
	encoder encoder
	samples uint32

	// like is the first cloud without its points, or nil; dims are the dimensions of the first grid.
	like  *ingest.PointCloud
	dims  [4]int
	grids []ingest.Sample // pending
	first uint32          // the number of the first of them
	notes []string
}

// Annotate adds notes to the metadata.
func (w *writer) Annotate(notes []string) { w.notes = notes }

// CreateParquet creates a Parquet file compressed with zstd.
func CreateParquet(path string) (ingest.Writer, error) { return create(path, &parquetEncoder{}) }

// CreateArrow creates an Arrow file.
func CreateArrow(path string) (ingest.Writer, error) { return create(path, &arrowEncoder{}) }

func create(path string, e encoder) (ingest.Writer, error) {
	out, err := ingest.CreateFile(path)
	if err != nil {
		return nil, err
	}
	return &writer{out: out, path: path, encoder: e}, nil
}

// Write adds a sample: a cloud or frame to a file of points, a grid to a file of grids. It must have the columns or
// dimensions of the first sample.
func (w *writer) Write(s ingest.Sample) (err error) {
	switch d := s.Data.(type) {
	case *ingest.PointCloud:
		err = w.points(d)
	case *ingest.Frame:
		var p *ingest.PointCloud
		if p, err = d.Points(); err == nil {
			err = w.points(p)
		}
	case *ingest.Grid:
		err = w.grid(s, d)
	default:
		err = fmt.Errorf("found %T, want points, a frame or a grid", s.Data)
	}
	if err != nil {
		return fmt.Errorf("%s: %s/%d: %w", w.path, s.Stream, s.Seq, err)
	}
	w.samples++
	return nil
}

func (w *writer) points(p *ingest.PointCloud) error {
	if w.samples == 0 {
		w.like = &ingest.PointCloud{Intensity: p.Intensity[:0:0], R: p.R[:0:0], Fields: p.Fields}
		if err := w.encoder.begin(w.out, w.pointColumns(w.like, nil, 0, 0), []string{KeyKind}, []string{"points"}); err != nil {
			return err
		}
	}
	if w.like == nil {
		return fmt.Errorf("found points, want a grid like the first sample")
	}
	for _, c := range []struct {
		name        string
		want, found bool
	}{{"intensity", w.like.Intensity != nil, p.Intensity != nil}, {"colour", w.like.R != nil, p.R != nil}} {
		if p.Len() > 0 && c.want != c.found {
			return fmt.Errorf("points with %s: found %v, want %v like the first sample", c.name, c.found, c.want)
		}
	}
	if p.Len() > 0 && !slices.EqualFunc(w.like.Fields, p.Fields, sameName) {
		return fmt.Errorf("points: found other fields than those of the first sample")
	}
	number := slices.Repeat([]uint32{w.samples}, min(p.Len(), maxRows))
	for from := 0; from < p.Len(); from += maxRows {
		to := min(from+maxRows, p.Len())
		if err := w.encoder.write(w.pointColumns(p, number[:to-from], from, to)); err != nil {
			return err
		}
	}
	return nil
}

func sameName(a, b ingest.Field) bool { return a.Name == b.Name }

// pointColumns returns the columns for the points from (inclusive) to to (exclusive).
func (w *writer) pointColumns(p *ingest.PointCloud, number []uint32, from, to int) []column {
	cs := []column{
		{name: "sample", values: number},
		{name: "x", values: p.X[from:to]},
		{name: "y", values: p.Y[from:to]},
		{name: "z", values: p.Z[from:to]},
	}
	if w.like.Intensity != nil {
		cs = append(cs, column{name: "intensity", values: p.Intensity[from:to]})
	}
	if w.like.R != nil {
		cs = append(cs, column{name: "red", values: p.R[from:to]}, column{name: "green", values: p.G[from:to]},
			column{name: "blue", values: p.B[from:to]})
	}
	for _, f := range p.Fields {
		cs = append(cs, column{name: f.Name, values: f.Values[from:to]})
	}
	return cs
}

func (w *writer) grid(s ingest.Sample, g *ingest.Grid) error {
	dims := [4]int{g.Dims[0], g.Dims[1], g.Dims[2], g.Channels}
	if w.samples == 0 {
		w.dims = dims
		cs := []column{
			{name: "sample", values: []uint32(nil)},
			{name: "label", values: []int32(nil)},
			{name: "values", values: []float32(nil), list: len(g.Values)},
		}
		keys, values := []string{KeyKind, KeyDims},
			[]string{"grids", fmt.Sprintf("%d,%d,%d,%d", dims[0], dims[1], dims[2], dims[3])}
		if err := w.encoder.begin(w.out, cs, keys, values); err != nil {
			return err
		}
	}
	if w.like != nil || dims != w.dims {
		return fmt.Errorf("found a grid of %v, want a sample like the first", dims)
	}
	w.grids = append(w.grids, s)
	if n := len(w.grids); n == maxRows || 4*n*len(g.Values) >= maxBytes {
		return w.flush()
	}
	return nil
}

// flush writes the pending grids.
func (w *writer) flush() error {
	if len(w.grids) == 0 {
		return nil
	}
	var numbers []uint32
	var labels []int32
	var values []float32
	for i, s := range w.grids {
		g := s.Data.(*ingest.Grid) //nolint:forcetypeassert // no others are kept
		numbers, labels, values = append(numbers, w.first+uint32(i)), append(labels, s.Label), append(values, g.Values...)
	}
	w.first += uint32(len(w.grids)) // bounded
	clear(w.grids)
	w.grids = w.grids[:0]
	n := w.dims[0] * w.dims[1] * w.dims[2] * w.dims[3]
	return w.encoder.write([]column{
		{name: "sample", values: numbers},
		{name: "label", values: labels},
		{name: "values", values: values, list: n},
	})
}

// Commit writes pending samples and moves the file into place.
func (w *writer) Commit() error {
	if w.samples == 0 {
		return fmt.Errorf("%s: found no sample to write", w.path)
	}
	if err := w.flush(); err != nil {
		return fmt.Errorf("%s: %w", w.path, err)
	}
	if err := w.encoder.end(w.notes); err != nil {
		return fmt.Errorf("%s: %w", w.path, err)
	}
	return w.out.Commit()
}

// Close discards the file unless it was committed. It may be called after Commit.
func (w *writer) Close() error { return w.out.Close() }
