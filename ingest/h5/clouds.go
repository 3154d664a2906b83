package h5

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/arrays"
	hdf "github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/record"
)

// clouds is a source of groups that hold a dataset of points.
type clouds struct {
	input  *input
	stream string
	groups []string
	arrays.Span
	names []string // of the classes, if labels are names
	rows  rows     // reads the points
}

// newClouds makes a source of groups. Labels that are names are numbered in alphabetical order, for which all of them
// are read.
func newClouds(ctx context.Context, a *input, stream string, groups []string) (ingest.Source, error) {
	c := &clouds{input: a, stream: stream, groups: groups, Span: arrays.Span{End: len(groups)}}
	c.rows = rows{file: a.file, o: a.options.Options, row: a.options.Options}
	c.rows.row.Account = a.options.Account.Part()
	var texts []string
	for i, g := range groups {
		at, err := a.file.Attr(ctx, g, "label") // an error is one of that cloud
		text, ok := at.Text()
		if i == 0 && !ok {
			break
		}
		if ok && err == nil {
			texts = append(texts, text)
		}
	}
	c.names = arrays.ClassNames(nil, texts)
	if labels, err := arrays.Texts(texts, c.names); err == nil && labels.Assumed != "" {
		a.options.Note("%s", labels.Assumed)
	}
	return c, nil
}

// Classes implements [ingest.Classed].
func (c *clouds) Classes(ctx context.Context) []string {
	if c.names != nil {
		return c.names
	}
	return c.input.classList(ctx, nil, "/")
}

// cloudGroups returns the groups whose names are numbers, in numerical order: "2" before "10".
func cloudGroups(members []hdf.Object) []string {
	var out []string
	for _, m := range members {
		if m.Kind == hdf.Group && strings.Trim(m.Path[1:], "0123456789") == "" {
			out = append(out, m.Path)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		x, y := strings.TrimLeft(a[1:], "0"), strings.TrimLeft(b[1:], "0")
		return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y), cmp.Compare(len(a), len(b)))
	})
	return out
}

// Read returns the next group's cloud.
func (c *clouds) Read(ctx context.Context) (ingest.Sample, error) {
	if err := ctx.Err(); err != nil {
		return ingest.Sample{}, err
	}
	if c.Len() == 0 {
		return ingest.Sample{}, io.EOF
	}
	s := ingest.Sample{ID: record.ID{Stream: c.stream, Seq: uint64(c.Next)}}
	group := c.groups[c.Next]
	c.Next++
	var err error
	s.Data, err = c.points(ctx, group+"/points")
	if err == nil {
		s.Label, err = c.label(ctx, group)
	}
	switch {
	case err == nil:
		return s, nil
	case fatal(ctx, err):
		return ingest.Sample{}, err
	}
	return ingest.Sample{}, &ingest.ItemError{ID: record.ID{Stream: s.Stream, Seq: s.Seq}, Err: err}
}

// Slice implements [ingest.Slicer].
func (c *clouds) Slice(first, count int) { arrays.Confine([]*arrays.Span{&c.Span}, first, count) }

// Close ends the worker process.
func (c *clouds) Close() error { return c.input.file.Close() }

func (c *clouds) points(ctx context.Context, path string) (ingest.Data, error) {
	a := c.input
	o, err := a.file.Object(ctx, path)
	if err != nil {
		return nil, err
	}
	d, err := a.array(ctx, o)
	if err != nil {
		return nil, err
	}
	d.alias = "points"
	t, err := a.table(ctx, d, true, nil)
	if err != nil {
		return nil, err
	}
	if t.view.Columns == 0 || t.view.Rows != 1 {
		return nil, fmt.Errorf("%s: found shape %s, want (N, 3) to (N, %d)", path, arrays.Tuple(d.shape), 7)
	}
	return t.cloud(ctx, &c.rows, 0)
}

// label returns the group's class, or ingest.NoLabel.
func (c *clouds) label(ctx context.Context, group string) (int32, error) {
	at, err := c.input.file.Attr(ctx, group, "label")
	if errors.Is(err, hdf.ErrNotFound) {
		return ingest.NoLabel, nil
	}
	if err != nil {
		return 0, err
	}
	var l *arrays.Labels
	text, ok := at.Text()
	switch {
	case len(at.Ints) == 1:
		l, err = arrays.Numbers(1, 1, func(_, _ int, dst []float64) error { dst[0] = float64(at.Ints[0]); return nil })
	case len(at.Floats) == 1:
		l, err = arrays.Numbers(1, 1, func(_, _ int, dst []float64) error { dst[0] = at.Floats[0]; return nil })
	case ok:
		l, err = arrays.Texts([]string{text}, c.names)
	default:
		err = fmt.Errorf("found class %s and shape %v, want one number or name", at.Class, at.Dims)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: attribute label: %w", group, err)
	}
	return l.At(0)
}
