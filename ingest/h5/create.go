package h5

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	hdf "github.com/voxelstream/voxelstream/internal/h5"
)

// Create creates an archive of samples in one of the layouts that Open reads. Grids become X_train, float32, of
// shape (N, K) for cubes with one channel, otherwise (N, D, H, W) or (N, D, H, W, C), and y_train if any grid has a
// label. Clouds and frames become groups "0", "1", ... with points (N, 3), float64, and an attribute label. A file
// holds grids or points, not both.
func Create(path string) (ingest.Writer, error) {
	f, err := hdf.Create(path)
	if err != nil {
		return nil, err
	}
	return &writer{file: f, path: path}, nil
}

// The datasets of grids and of their labels.
const (
	samplesPath = "/X_train"
	labelsPath  = "/y_train"
)

// gzipLevel is h5py's default.
const gzipLevel = 4

type writer struct {
	file    *hdf.Writer
	path    string
	samples int
	grids   *hdf.Output[float32] // nil before the first grid
	row     []int                // shape of a grid with its channels
	labels  []int64
	labeled bool
	notes   []string
}

// Annotate adds the attribute notes to the root group.
func (w *writer) Annotate(notes []string) { w.notes = notes }

func (w *writer) Write(s ingest.Sample) error {
	var err error
	switch d := s.Data.(type) {
	case *ingest.Grid:
		err = w.grid(d)
	case *ingest.PointCloud:
		err = w.cloud(d, s.Label)
	case *ingest.Frame:
		var p *ingest.PointCloud
		if p, err = d.Points(); err == nil {
			err = w.cloud(p, s.Label)
		}
	default:
		err = fmt.Errorf("found %T, want grids or points", s.Data)
	}
	if err != nil {
		return fmt.Errorf("%s: sample %s/%d: %w", w.path, s.Stream, s.Seq, err)
	}
	w.samples++
	w.labels = append(w.labels, int64(s.Label))
	w.labeled = w.labeled || s.Label != ingest.NoLabel
	return nil
}

func (w *writer) grid(g *ingest.Grid) error {
	row := append(g.Dims[:], g.Channels)
	if w.grids == nil {
		if w.samples > 0 {
			return errors.New("found a grid after points, want only one kind per file")
		}
		dims := append([]int{0}, row...)
		n := g.Dims[0]
		switch {
		case g.Channels == 1 && g.Dims == [3]int{n, n, n}:
			dims = []int{0, n * n * n}
		case g.Channels == 1:
			dims = dims[:4]
		}
		var err error
		if w.grids, err = hdf.AddDataset[float32](w.file, samplesPath,
			hdf.Layout{Dims: dims, Grow: true, Gzip: gzipLevel}); err != nil {
			return err
		}
		w.row = row
	}
	if !slices.Equal(row, w.row) {
		return fmt.Errorf("found a grid of %v, want %v like the first", row, w.row)
	}
	return w.grids.Append(g.Values)
}

func (w *writer) cloud(p *ingest.PointCloud, label int32) error {
	if w.grids != nil {
		return errors.New("found points after a grid, want only one kind per file")
	}
	group := "/" + strconv.Itoa(w.samples)
	if err := w.file.Group(group); err != nil {
		return err
	}
	if label != ingest.NoLabel {
		if err := w.file.SetAttr(group, "label", int64(label)); err != nil {
			return err
		}
	}
	rows := make([]float64, 0, 3*p.Len())
	for i := range p.X {
		rows = append(rows, p.X[i], p.Y[i], p.Z[i])
	}
	return hdf.WriteDataset(w.file, group+"/points", hdf.Layout{Dims: []int{p.Len(), 3}, Gzip: gzipLevel}, rows)
}

func (w *writer) Commit() error {
	if w.samples == 0 {
		return fmt.Errorf("%s: found no sample to write", w.path)
	}
	if w.grids != nil && w.labeled {
		if err := hdf.WriteDataset(w.file, labelsPath, hdf.Layout{Dims: []int{len(w.labels)}}, w.labels); err != nil {
			return err
		}
	}
	if len(w.notes) > 0 {
		if err := w.file.SetAttr("/", "notes", strings.Join(w.notes, "\n")); err != nil {
			return err
		}
	}
	return w.file.Close()
}

func (w *writer) Close() error {
	w.file.Abort()
	return nil
}
