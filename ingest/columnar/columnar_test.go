package columnar

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/parquet/file"

	"github.com/voxelstream/voxelstream/ingest"
)

// cloud has n points with intensity and colour.
func cloud(n int, shift float64) *ingest.PointCloud {
	p := &ingest.PointCloud{Intensity: []float32{}, R: []uint8{}, G: []uint8{}, B: []uint8{}}
	for i := range n {
		v := float64(i) + shift
		p.X, p.Y, p.Z = append(p.X, v), append(p.Y, -v), append(p.Z, v/7)
		p.Intensity, p.R, p.G, p.B = append(p.Intensity, float32(i)/3), append(p.R, uint8(i)),
			append(p.G, uint8(255-i%256)), append(p.B, 7)
	}
	return p
}

func grid(n int, label int32) ingest.Sample {
	g := &ingest.Grid{Dims: [3]int{2, 3, 4}, Channels: 1, Values: make([]float32, 24)}
	for i := range g.Values {
		g.Values[i] = float32(n) + float32(i)/24
	}
	return ingest.Sample{Label: label, Data: g}
}

// table is what a file holds: each column by its name, as text.
type table struct {
	columns  map[string][]string
	metadata map[string]string
}

var formats = []struct {
	name   string
	create func(string) (ingest.Writer, error)
	read   func(*testing.T, string) table
}{
	{"parquet", CreateParquet, readParquet},
	{"feather", CreateArrow, readArrow},
}

func readParquet(t *testing.T, path string) table {
	t.Helper()
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // read only
	out := table{map[string][]string{}, map[string]string{}}
	m := r.MetaData().KeyValueMetadata()
	for i, k := range m.Keys() {
		out.metadata[k] = m.Values()[i]
	}
	for g := range r.NumRowGroups() {
		for c := range r.MetaData().Schema.NumColumns() {
			name, _, _ := strings.Cut(r.MetaData().Schema.Column(c).Path(), ".")
			column, err := r.RowGroup(g).Column(c)
			if err != nil {
				t.Fatal(err)
			}
			out.columns[name] = append(out.columns[name], readColumn(t, column)...)
		}
	}
	return out
}

func readColumn(t *testing.T, c file.ColumnChunkReader) (out []string) {
	t.Helper()
	for c.HasNext() {
		levels := make([]int16, 1000)
		var values any
		var n int
		var err error
		switch c := c.(type) {
		case *file.Int32ColumnChunkReader:
			v := make([]int32, 1000)
			_, n, err = c.ReadBatch(1000, v, levels, slices.Clone(levels))
			values = v[:n]
		case *file.Float32ColumnChunkReader:
			v := make([]float32, 1000)
			_, n, err = c.ReadBatch(1000, v, levels, slices.Clone(levels))
			values = v[:n]
		case *file.Float64ColumnChunkReader:
			v := make([]float64, 1000)
			_, n, err = c.ReadBatch(1000, v, levels, slices.Clone(levels))
			values = v[:n]
		}
		if err != nil || n == 0 {
			t.Fatalf("%T: %d values, %v", c, n, err)
		}
		out = append(out, texts(values)...)
	}
	return out
}

func texts(values any) (out []string) {
	v := reflect.ValueOf(values)
	for i := range v.Len() {
		out = append(out, fmt.Sprint(v.Index(i)))
	}
	return out
}

func readArrow(t *testing.T, path string) table {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ipc.NewFileReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	out := table{map[string][]string{}, map[string]string{}}
	for i, k := range r.Schema().Metadata().Keys() {
		out.metadata[k] = r.Schema().Metadata().Values()[i]
	}
	for i := range r.NumRecords() {
		rec, err := r.Record(i)
		if err != nil {
			t.Fatal(err)
		}
		for j, c := range rec.Columns() {
			if l, ok := c.(*array.FixedSizeList); ok {
				c = l.ListValues()
			}
			var values any
			switch c := c.(type) {
			case *array.Float64:
				values = c.Float64Values()
			case *array.Float32:
				values = c.Float32Values()
			case *array.Uint32:
				values = c.Uint32Values()
			case *array.Int32:
				values = c.Int32Values()
			case *array.Uint8:
				values = c.Uint8Values()
			}
			out.columns[rec.ColumnName(j)] = append(out.columns[rec.ColumnName(j)], texts(values)...)
		}
	}
	return out
}

func write(t *testing.T, create func(string) (ingest.Writer, error), path string, ss ...ingest.Sample) {
	t.Helper()
	w, err := create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close() //nolint:errcheck // committed
	for _, s := range ss {
		if err := w.Write(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

func TestPoints(t *testing.T) {
	a, b := cloud(3000, 0.1), cloud(5, 1e6)
	for _, f := range formats {
		path := filepath.Join(t.TempDir(), "points."+f.name)
		write(t, f.create, path, ingest.Sample{Data: a}, ingest.Sample{Data: &ingest.PointCloud{}}, ingest.Sample{Data: b})
		got := f.read(t, path)
		number := append(slices.Repeat([]uint32{0}, 3000), slices.Repeat([]uint32{2}, 5)...)
		for name, want := range map[string]any{
			"sample": number, "x": slices.Concat(a.X, b.X), "y": slices.Concat(a.Y, b.Y), "z": slices.Concat(a.Z, b.Z),
			"intensity": slices.Concat(a.Intensity, b.Intensity),
			"red":       slices.Concat(a.R, b.R), "green": slices.Concat(a.G, b.G), "blue": slices.Concat(a.B, b.B),
		} {
			if !slices.Equal(got.columns[name], texts(want)) {
				t.Errorf("%s: column %s is another: %.5s ...", f.name, name, got.columns[name])
			}
		}
		if len(got.columns) != 8 || got.metadata[KeyKind] != "points" {
			t.Errorf("%s: found %d columns, metadata %v", f.name, len(got.columns), got.metadata)
		}
		again := filepath.Join(t.TempDir(), "again")
		write(t, f.create, again, ingest.Sample{Data: a}, ingest.Sample{Data: &ingest.PointCloud{}}, ingest.Sample{Data: b})
		first, _ := os.ReadFile(path)
		second, _ := os.ReadFile(again)
		if len(first) == 0 || !bytes.Equal(first, second) {
			t.Errorf("%s: the same points gave other bytes", f.name)
		}
	}
}

func TestGrids(t *testing.T) {
	for _, f := range formats {
		path := filepath.Join(t.TempDir(), "grids."+f.name)
		var ss []ingest.Sample
		var number []uint32
		var labels []int32
		var values []float32
		for i := range 100 {
			s := grid(i, int32(i%3)-1)
			ss, number, labels, values = append(ss, s), append(number, uint32(i)), append(labels, s.Label),
				append(values, s.Data.(*ingest.Grid).Values...)
		}
		write(t, f.create, path, ss...)
		got := f.read(t, path)
		for name, want := range map[string]any{"sample": number, "label": labels, "values": values} {
			if !slices.Equal(got.columns[name], texts(want)) {
				t.Errorf("%s: column %s is another: %.5s ...", f.name, name, got.columns[name])
			}
		}
		if got.metadata[KeyKind] != "grids" || got.metadata[KeyDims] != "2,3,4,1" {
			t.Errorf("%s: found metadata %v", f.name, got.metadata)
		}
	}
}

// TestRunsOfRows: what is more than maxRows or maxBytes is written in several groups.
func TestRunsOfRows(t *testing.T) {
	big := &ingest.PointCloud{X: make([]float64, maxRows+1), Y: make([]float64, maxRows+1), Z: make([]float64, maxRows+1)}
	path := filepath.Join(t.TempDir(), "big.parquet")
	write(t, CreateParquet, path, ingest.Sample{Data: big})
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // read only
	if r.NumRowGroups() != 2 || r.NumRows() != maxRows+1 {
		t.Errorf("found %d rows in %d groups", r.NumRows(), r.NumRowGroups())
	}
	w := &writer{encoder: &counter{}}
	for i := range 5 {
		g := &ingest.Grid{Dims: [3]int{1, 1, maxBytes / 8}, Channels: 1, Values: make([]float32, maxBytes/8)}
		if err := w.Write(ingest.Sample{Data: g}); err != nil || len(w.grids) != (i+1)%2 {
			t.Errorf("grid %d: found %d pending, %v", i, len(w.grids), err)
		}
	}
}

// counter takes everything.
type counter struct{ arrowEncoder }

func (*counter) write([]column) error { return nil }

func TestRefusals(t *testing.T) {
	plain := &ingest.PointCloud{X: []float64{1}, Y: []float64{1}, Z: []float64{1}}
	other := grid(0, 0)
	other.Data.(*ingest.Grid).Dims = [3]int{4, 3, 2}
	for _, f := range formats {
		for _, c := range []struct {
			first, second ingest.Data
			want          string
		}{
			{cloud(1, 0), plain, "points with intensity: found false, want true"},
			{plain, &ingest.PointCloud{X: plain.X, Y: plain.Y, Z: plain.Z, R: []uint8{1}, G: []uint8{1}, B: []uint8{1}}, "colour"},
			{plain, grid(0, 0).Data, "found a grid"},
			{grid(0, 0).Data, plain, "found points"},
			{grid(0, 0).Data, other.Data, "[4 3 2 1]"},
			{plain, nil, "found <nil>"},
		} {
			w, err := f.create(filepath.Join(t.TempDir(), "x"))
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Write(ingest.Sample{Data: c.first}); err != nil {
				t.Error(err)
			}
			if err := w.Write(ingest.Sample{Data: c.second}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: found error %v, want one with %q", f.name, err, c.want)
			}
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}
		w, err := f.create(filepath.Join(t.TempDir(), "empty"))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(); err == nil {
			t.Errorf("%s: committed no sample", f.name)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := arrowValues(column{values: 1}); err == nil {
		t.Error("found no error for an unknown column")
	}
	if _, err := parquetNode(column{values: arrow.Null}); err == nil {
		t.Error("found no error for an unknown column")
	}
}
