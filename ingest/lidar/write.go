package lidar

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
)

// CreatePCD creates a binary PCD file with one cloud.
func CreatePCD(path string) (ingest.Writer, error) { return create(path, WritePCD) }

// CreatePLY creates a little-endian PLY file with one cloud.
func CreatePLY(path string) (ingest.Writer, error) { return create(path, WritePLY) }

// WritePCD writes a cloud as binary PCD 0.7. Coordinates are F 4 if that is lossless, otherwise F 8. Colours are
// the bits 0xRRGGBB in a float, as in PCL. Notes become comments.
func WritePCD(w io.Writer, p *ingest.PointCloud, notes ...string) error {
	wide := columns.NeedFloat64(p)
	size := 4
	if wide {
		size = 8
	}
	fields, sizes, types, counts := "x y z", fmt.Sprintf("%d %d %d", size, size, size), "F F F", "1 1 1"
	for _, c := range []struct {
		name string
		have bool
	}{{"intensity", p.Intensity != nil}, {"rgb", p.R != nil}} {
		if c.have {
			fields, sizes, types, counts = fields+" "+c.name, sizes+" 4", types+" F", counts+" 1"
		}
	}
	for _, f := range p.Fields {
		fields, sizes, types, counts = fields+" "+fieldName(f), sizes+" 8", types+" F", counts+" 1"
	}
	_, err := fmt.Fprintf(w, "# .PCD v0.7 - Point Cloud Data file format\n%sVERSION 0.7\nFIELDS %s\nSIZE %s\nTYPE "+
		"%s\nCOUNT %s\nWIDTH %d\nHEIGHT 1\n"+
		"VIEWPOINT 0 0 0 1 0 0 0\nPOINTS %d\nDATA binary\n", comments("# note: ", notes), fields, sizes, types,
		counts, p.Len(), p.Len())
	if err != nil {
		return err
	}
	return writeRecords(w, p, wide, func(b []byte, i int) []byte {
		return binary.LittleEndian.AppendUint32(b, uint32(p.R[i])<<16|uint32(p.G[i])<<8|uint32(p.B[i]))
	})
}

// WritePLY writes a cloud as binary_little_endian PLY 1.0. Coordinates are float if that is lossless, otherwise
// double. Notes become comments.
func WritePLY(w io.Writer, p *ingest.PointCloud, notes ...string) error {
	wide := columns.NeedFloat64(p)
	t := "float"
	if wide {
		t = "double"
	}
	head := fmt.Sprintf("ply\nformat binary_little_endian 1.0\n%selement vertex %d\nproperty %s x\nproperty %s "+
		"y\nproperty %s z\n", comments("comment note: ", notes), p.Len(), t, t, t)
	if p.Intensity != nil {
		head += "property float intensity\n"
	}
	if p.R != nil {
		head += "property uchar red\nproperty uchar green\nproperty uchar blue\n"
	}
	var fields strings.Builder
	for _, f := range p.Fields {
		fields.WriteString("property double " + fieldName(f) + "\n")
	}
	if _, err := io.WriteString(w, head+fields.String()+"end_header\n"); err != nil {
		return err
	}
	return writeRecords(w, p, wide, func(b []byte, i int) []byte { return append(b, p.R[i], p.G[i], p.B[i]) })
}

// fieldName returns the name of a field as one word.
func fieldName(f ingest.Field) string { return strings.Join(strings.Fields(f.Name), "_") }

// comments returns a line for each note.
func comments(prefix string, notes []string) string {
	var b strings.Builder
	for _, n := range notes {
		b.WriteString(prefix + strings.Join(strings.Fields(n), " ") + "\n")
	}
	return b.String()
}

// writeRecords writes x y z, intensity, colours in the encoding of color and fields, one block at a time.
func writeRecords(w io.Writer, p *ingest.PointCloud, wide bool, color func(b []byte, i int) []byte) error {
	buf := make([]byte, 0, 64<<10)
	for i := range p.X {
		for _, v := range [3]float64{p.X[i], p.Y[i], p.Z[i]} {
			if wide {
				buf = binary.LittleEndian.AppendUint64(buf, math.Float64bits(v))
			} else {
				buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(float32(v)))
			}
		}
		if p.Intensity != nil {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(p.Intensity[i]))
		}
		if p.R != nil {
			buf = color(buf, i)
		}
		for _, f := range p.Fields {
			buf = binary.LittleEndian.AppendUint64(buf, math.Float64bits(f.Values[i]))
		}
		if len(buf) > 32<<10 {
			if _, err := w.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	_, err := w.Write(buf)
	return err
}

type writer struct {
	*ingest.NewFile
	path   string
	encode func(io.Writer, *ingest.PointCloud, ...string) error
	cloud  *ingest.PointCloud
	notes  []string
}

// Annotate adds comments to the file's header.
func (w *writer) Annotate(notes []string) { w.notes = notes }

func create(path string, encode func(io.Writer, *ingest.PointCloud, ...string) error) (ingest.Writer, error) {
	f, err := ingest.CreateFile(path)
	if err != nil {
		return nil, err
	}
	return &writer{NewFile: f, path: path, encode: encode}, nil
}

// Write accepts one cloud, or one frame, which it projects. It is written by Commit.
func (w *writer) Write(s ingest.Sample) error {
	if w.cloud != nil {
		return fmt.Errorf("%s: found a second sample, %s/%d; the format holds one cloud; "+
			"a .h5, .parquet or .feather file holds several", w.path, s.Stream, s.Seq)
	}
	p, ok := s.Data.(*ingest.PointCloud)
	if f, frame := s.Data.(*ingest.Frame); frame {
		var err error
		if p, err = f.Points(); err != nil {
			return err
		}
		ok = true
	}
	if !ok {
		return fmt.Errorf("%s: found %s, want points; grids fit in .npy, .npz, .h5, .arrow and .parquet", w.path,
			ingest.Noun(s.Data))
	}
	w.cloud = p
	return nil
}

// Commit rejects a file without a cloud, which would be empty.
func (w *writer) Commit() error {
	if w.cloud == nil {
		return fmt.Errorf("%s: found no sample to write", w.path)
	}
	if err := w.encode(w.NewFile, w.cloud, w.notes...); err != nil {
		return err
	}
	return w.NewFile.Commit()
}
