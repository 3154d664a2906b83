package medical

import (
	"context"
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
)

// scan is the header of a file with one or more consecutive volumes.
type scan struct {
	big bool
	volume
	volumes int
	t       columns.Type
	offset  int64 // of the first value
	slope   float64
	inter   float64
	cell    [3]float64 // of the stored axes
	unit    string     // of cell
}

// reader reads a whole file.
type reader func(path string, o ingest.Options) (*scan, []*ingest.Grid, error)

func openScan(read reader) func(context.Context, string, ingest.Options) (ingest.Source, error) {
	return func(_ context.Context, path string, o ingest.Options) (ingest.Source, error) {
		return ingest.FileSource(path, o, func(o ingest.Options) ([]ingest.Sample, error) {
			_, grids, err := read(path, o)
			if err != nil {
				return nil, err
			}
			samples := make([]ingest.Sample, len(grids))
			for i, g := range grids {
				samples[i] = ingest.Sample{Label: ingest.NoLabel, Data: g}
			}
			return samples, nil
		})
	}
}

func inspectScan(read reader) func(context.Context, string, ingest.Options) (ingest.Detail, error) {
	return func(_ context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		h, grids, err := read(path, o)
		if err != nil {
			return nil, err
		}
		return detail(grids, h.cells(h.cell), h.unit), nil
	}
}

// decode reads the volumes; o must have its defaults set.
func (h *scan) decode(data []byte, o ingest.Options) ([]*ingest.Grid, error) {
	if err := h.face(o); err != nil {
		return nil, err
	}
	d := h.dims
	if d[0] > o.MaxCells/d[1]/d[2]/h.channels/h.volumes {
		return nil, fmt.Errorf("found %d volumes of %v, limit %d values in total", h.volumes, d, o.MaxCells)
	}
	cells := d[0] * d[1] * d[2] * h.channels
	size := int64(cells) * int64(h.t.Size())
	have := int64(len(data)) - h.offset
	if h.offset < 0 || size > have {
		return nil, fmt.Errorf("truncated: found %d bytes, want %d from byte %d", len(data), size*int64(h.volumes), h.offset)
	}
	if whole := int(min(have/size, int64(h.volumes))); whole < h.volumes {
		o.Note("truncated: %d of %d volumes are whole, the others are left out", whole, h.volumes)
		h.volumes = whole
	}
	cell := metres(h.cells(h.cell), h.unit)
	if err := o.Take(1+h.volumes, 4*cells); err != nil {
		return nil, err
	}
	raw := make([]float32, cells)
	out := make([]*ingest.Grid, h.volumes)
	unusable := 0
	for v := range out {
		c := columns.Column{Type: h.t, Big: h.big, Stride: h.t.Size(), Data: data[h.offset+int64(v)*size:]}
		c.Float32s(raw, 0)
		if h.slope != 1 || h.inter != 0 {
			for i := range raw {
				raw[i] = float32(float64(raw[i])*h.slope + h.inter)
			}
		}
		unusable += notFinite(raw)
		out[v] = h.turn(raw)
		out[v].Cell = cell
	}
	noteNotFinite(o, unusable, cells*h.volumes)
	return out, nil
}

// notFinite counts NaN and infinite values.
func notFinite(values []float32) (n int) {
	for _, x := range values {
		if x-x != 0 {
			n++
		}
	}
	return n
}

func noteNotFinite(o ingest.Options, n, total int) {
	if n > 0 {
		o.Note("%d of %d values are NaN or infinite", n, total)
	}
}
