package array

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
)

// headerRoom is the length of the headers we write: enough for any shape, so that the number of rows can be filled
// in at the end.
const headerRoom = 256

// formatHeader returns the header of a version 1 file, padded to headerRoom.
func formatHeader(descr string, shape []int) []byte { return padHeader(dict(descr, shape), headerRoom) }

// dict returns the Python dict that describes an array in a header.
func dict(descr string, shape []int) string {
	dims := make([]string, len(shape))
	for i, d := range shape {
		dims[i] = fmt.Sprint(d)
	}
	tuple := strings.Join(dims, ", ")
	if len(shape) == 1 {
		tuple += ","
	}
	return fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, tuple)
}

// padHeader returns the header of a version 1 file, padded to length bytes including the final newline.
func padHeader(dict string, length int) []byte {
	out := append([]byte(npyMagic), 1, 0)
	out = binary.LittleEndian.AppendUint16(out, uint16(length-len(out)-2))
	out = append(out, dict...)
	for len(out) < length-1 {
		out = append(out, ' ')
	}
	return append(out, '\n')
}

// CreateNPY creates an array of one cloud, (N, 3) or with intensity and colours up to (N, 7), of B clouds of the same
// size, (B, N, 3) to (B, N, 7), or of grids of the same shape, (N, D, H, W) or (N, D, H, W, C). The type is float32,
// or float64 for a cloud whose coordinates do not fit float32. Labels are not stored.
func CreateNPY(path string) (ingest.Writer, error) {
	f, err := ingest.CreateFile(path)
	if err != nil {
		return nil, err
	}
	return &npyWriter{NewFile: f, path: path}, nil
}

type npyWriter struct {
	*ingest.NewFile
	path  string
	descr string
	row   []int // shape of a row; nil before the first row
	rows  int   // of one cloud, or grids
	cloud bool
	count int // clouds
}

func (w *npyWriter) Write(s ingest.Sample) error {
	if f, ok := s.Data.(*ingest.Frame); ok {
		p, err := f.Points()
		if err != nil {
			return err
		}
		s.Data = p
	}
	var err error
	switch d := s.Data.(type) {
	case *ingest.Grid:
		err = w.grid(d)
	case *ingest.PointCloud:
		err = w.points(d)
	default:
		err = fmt.Errorf("found %T, want grids or points", s.Data)
	}
	if err != nil {
		return fmt.Errorf("%s: sample %s/%d: %w", w.path, s.Stream, s.Seq, err)
	}
	return nil
}

// begin writes a header that finish completes.
func (w *npyWriter) begin(descr string, row []int) error {
	w.descr, w.row = descr, row
	_, err := w.NewFile.Write(formatHeader(descr, append([]int{0}, row...)))
	return err
}

func (w *npyWriter) grid(g *ingest.Grid) error {
	row := g.Dims[:]
	if g.Channels > 1 {
		row = append(append([]int{}, row...), g.Channels)
	}
	if w.row == nil {
		if err := w.begin("<f4", append([]int{}, row...)); err != nil {
			return err
		}
	}
	if w.cloud || fmt.Sprint(w.row) != fmt.Sprint(row) {
		return fmt.Errorf("found a grid of %v, want %v like the first", row, w.row)
	}
	w.rows++
	buf := make([]byte, 0, 4*len(g.Values))
	for _, v := range g.Values {
		buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
	}
	_, err := w.NewFile.Write(buf)
	return err
}

func (w *npyWriter) points(p *ingest.PointCloud) error {
	width := 3
	if p.Intensity != nil {
		width++
	}
	if p.R != nil {
		width += 3
	}
	descr := "<f4"
	if columns.NeedFloat64(p) {
		descr = "<f8"
	}
	switch {
	case w.row == nil:
		if err := w.begin(descr, []int{width}); err != nil {
			return err
		}
		w.cloud, w.rows = true, p.Len()
	case !w.cloud:
		return errors.New("found points after a grid, want only one kind per file")
	case p.Len() != w.rows || width != w.row[0]:
		return fmt.Errorf("found a cloud of %d points with %d values each after clouds of %d and %d: an array holds clouds of "+
			"one size; .h5 holds any", p.Len(), width, w.rows, w.row[0])
	case descr == "<f8" && w.descr != descr:
		return errors.New("found coordinates that float32 cannot hold after clouds that it can; .h5 holds both")
	default:
		descr = w.descr
	}
	w.count++
	var buf []byte
	for i := range p.X {
		row := [7]float64{p.X[i], p.Y[i], p.Z[i]}
		k := 3
		if p.Intensity != nil {
			row[k] = float64(p.Intensity[i])
			k++
		}
		if p.R != nil {
			row[k], row[k+1], row[k+2] = float64(p.R[i]), float64(p.G[i]), float64(p.B[i])
		}
		buf = buf[:0]
		for _, v := range row[:width] {
			if descr == "<f8" {
				buf = binary.LittleEndian.AppendUint64(buf, math.Float64bits(v))
			} else {
				buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(float32(v)))
			}
		}
		if _, err := w.NewFile.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// finish fills in the number of rows.
func (w *npyWriter) finish() error {
	if w.row == nil {
		return fmt.Errorf("%s: found no sample to write", w.path)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	shape := append([]int{w.rows}, w.row...)
	if w.count > 1 {
		shape = append([]int{w.count}, shape...)
	}
	_, err := w.File.WriteAt(formatHeader(w.descr, shape), 0)
	return err
}

func (w *npyWriter) Commit() error {
	if err := w.finish(); err != nil {
		return err
	}
	return w.NewFile.Commit()
}

// CreateNPZ creates an archive with the samples as X, in the layout of CreateNPY, and their labels as y (int32) if
// any sample has one.
func CreateNPZ(path string) (ingest.Writer, error) {
	out, err := ingest.CreateFile(path)
	if err != nil {
		return nil, err
	}
	rows, err := ingest.CreateFile(path + ".rows")
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return &npzWriter{out: out, rows: &npyWriter{NewFile: rows, path: path}}, nil
}

type npzWriter struct {
	out     *ingest.NewFile
	rows    *npyWriter // X while it is written; its header needs the number of rows
	labels  []int32
	labeled bool
}

func (w *npzWriter) Write(s ingest.Sample) error {
	if err := w.rows.Write(s); err != nil {
		return err
	}
	w.labels = append(w.labels, s.Label)
	w.labeled = w.labeled || s.Label != ingest.NoLabel
	return nil
}

func (w *npzWriter) Commit() error {
	if err := w.rows.finish(); err != nil {
		return err
	}
	if _, err := w.rows.File.Seek(0, io.SeekStart); err != nil {
		return err
	}
	z := zip.NewWriter(w.out)
	if err := entry(z, "X.npy", w.rows.File); err != nil {
		return err
	}
	if w.labeled {
		data := formatHeader("<i4", []int{len(w.labels)})
		for _, l := range w.labels {
			data = binary.LittleEndian.AppendUint32(data, uint32(l))
		}
		if err := entry(z, "y.npy", strings.NewReader(string(data))); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	return w.out.Commit()
}

// entry adds a file to an archive, without a date, so that the output is deterministic.
func entry(z *zip.Writer, name string, r io.Reader) error {
	e, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
	if err != nil {
		return err
	}
	_, err = io.Copy(e, r)
	return err
}

func (w *npzWriter) Close() error {
	err := w.rows.Close()
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, w.out.Close())
}
