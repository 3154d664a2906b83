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
	hdf "github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/record"
)

// clouds is a source of groups that hold a dataset of points.
type clouds struct {
	file   *hdf.File
	stream string
	groups []string
	next   int
	limit  int // points of one cloud
	block  []float64
}

func newClouds(f *hdf.File, stream string, groups []string, o Options) ingest.Source {
	return &clouds{file: f, stream: stream, groups: groups, next: min(o.Start, len(groups)), limit: o.MaxPoints}
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
	if c.next >= len(c.groups) {
		return ingest.Sample{}, io.EOF
	}
	s := ingest.Sample{ID: record.ID{Stream: c.stream, Seq: uint64(c.next)}}
	group := c.groups[c.next]
	c.next++
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

// Len returns the number of groups not yet read.
func (c *clouds) Len() int { return len(c.groups) - c.next }

// Close ends the worker process.
func (c *clouds) Close() error { return c.file.Close() }

func (c *clouds) points(ctx context.Context, path string) (*ingest.PointCloud, error) {
	o, err := c.file.Object(ctx, path)
	if err != nil {
		return nil, err
	}
	if err := numbers(&o); err != nil {
		return nil, err
	}
	if len(o.Dims) != 2 || o.Dims[1] != 3 {
		return nil, fmt.Errorf("%s: found shape %v, want (N, 3)", path, o.Dims)
	}
	n := o.Rows()
	if n > c.limit {
		return nil, fmt.Errorf("%s: found %d points, limit %d", path, n, c.limit)
	}
	p := &ingest.PointCloud{X: make([]float64, n), Y: make([]float64, n), Z: make([]float64, n)}
	if c.block == nil {
		c.block = make([]float64, blockBytes/8/3*3)
	}
	for row := 0; row < n; {
		k := min(len(c.block)/3, n-row)
		if err := c.file.ReadFloat64(ctx, path, row, k, c.block); err != nil {
			return nil, err
		}
		for i := range k {
			p.X[row+i], p.Y[row+i], p.Z[row+i] = c.block[3*i], c.block[3*i+1], c.block[3*i+2]
		}
		row += k
	}
	return p, nil
}

// label returns the group's class, or ingest.NoLabel.
func (c *clouds) label(ctx context.Context, group string) (int32, error) {
	a, err := c.file.Attr(ctx, group, "label")
	switch {
	case errors.Is(err, hdf.ErrNotFound):
		return ingest.NoLabel, nil
	case err != nil:
		return 0, err
	case len(a.Ints) == 1:
		return labelOf(float64(a.Ints[0]))
	case len(a.Floats) == 1:
		return labelOf(a.Floats[0])
	}
	return 0, fmt.Errorf("%s: attribute label: found class %s and shape %v, want one number", group, a.Class, a.Dims)
}
