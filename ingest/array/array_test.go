package array

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
	"github.com/voxelstream/voxelstream/ingest/internal/arrays"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// npy makes a file of the given header and values of any fixed-size type.
func npy(tb testing.TB, descr, order, shape string, v any) []byte {
	tb.Helper()
	head := fmt.Sprintf("{'descr': %s, 'fortran_order': %s, 'shape': %s, }\n", descr, order, shape)
	b := binary.LittleEndian.AppendUint16([]byte(npyMagic+"\x01\x00"), uint16(len(head)))
	b = append(b, head...)
	var o binary.ByteOrder = binary.LittleEndian
	if strings.Contains(descr, ">") {
		o = binary.BigEndian
	}
	b, err := binary.Append(b, o, v)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func npz(tb testing.TB, files ...any) []byte {
	tb.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, err := z.Create(fmt.Sprint(files[i]))
		if err != nil {
			tb.Fatal(err)
		}
		data, _ := files[i+1].([]byte)
		if _, err := w.Write(data); err != nil {
			tb.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func count(n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(i)
	}
	return out
}

func read(t *testing.T, f ingest.Format, data []byte, o ingest.Options) ([]ingest.Sample, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return readPath(t, f, path, o)
}

func readPath(t *testing.T, f ingest.Format, path string, o ingest.Options) (out []ingest.Sample, err error) {
	t.Helper()
	src, err := f.Open(t.Context(), path, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	for {
		s, err := src.Read(t.Context())
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, s)
	}
}

// describe is shapes and values of the first sample, and how many there are.
func describe(samples []ingest.Sample) string {
	switch d := samples[0].Data.(type) {
	case *ingest.Grid:
		return fmt.Sprint(len(samples), d.Dims, d.Channels, d.Values)
	case *ingest.PointCloud:
		return fmt.Sprint(len(samples), d.X, d.Y, d.Z)
	}
	return ""
}

func TestShapesAndTypes(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"flat cubes": {
			npz(t, "X.npy", npy(t, "'<f4'", "False", "(2, 8)", count(16))),
			"2 [2 2 2] 1 [0 1 2 3 4 5 6 7]",
		},
		"one grid":      {npy(t, "'<i2'", "False", "(1, 2, 3)", []int16{-1, 2, 3, 4, 5, 6}), "1 [1 2 3] 1 [-1 2 3 4 5 6]"},
		"fortran":       {npy(t, "'<u2'", "True", "(1, 2, 3)", []uint16{1, 2, 3, 4, 5, 6}), "1 [1 2 3] 1 [1 3 5 2 4 6]"},
		"rows of grids": {npy(t, "'|u1'", "False", "(2, 1, 2, 1)", []uint8{9, 8, 7, 6}), "2 [1 2 1] 1 [9 8]"},
		"channels": {
			npy(t, "'>f8'", "False", "(1, 1, 1, 2, 3)", []float64{1, 2, 3, 4, 5, 6}),
			"1 [1 1 2] 3 [1 2 3 4 5 6]",
		},
		"halves": {
			npy(t, "'<f2'", "False", "(1, 1, 5)", []uint16{0x3c00, 0xc000, 1, 0x7bff, 0x7c00}),
			"1 [1 1 5] 1 [1 -2 5.9604645e-08 65504 +Inf]",
		},
		"points":            {npy(t, "'<f8'", "False", "(2, 3)", []float64{1, 2, 3, 4, 5, 6}), "1 [1 4] [2 5] [3 6]"},
		"points in columns": {npy(t, "'<f4'", "True", "(2, 3)", []float32{1, 2, 3, 4, 5, 6}), "1 [1 2] [3 4] [5 6]"},
		"batch of clouds": {
			npy(t, "'<f4'", "False", "(2, 2, 3)", count(12)), "2 [0 3] [1 4] [2 5]",
		},
		"batch in columns": {
			npy(t, "'<f4'", "True", "(2, 2, 3)", count(12)), "2 [0 2] [4 6] [8 10]",
		},
		"vectors": {
			npy(t, "[('id', '<U1'), ('xyz', '<f4', (3,)), ('', '|V4')]", "False", "(2,)",
				[]float32{0, 1, 2, 3, 0, 0, 4, 5, 6, 0}),
			"1 [1 4] [2 5] [3 6]",
		},
		"batch of records": {
			npy(t, "[('x', '<f4'), ('y', '<f4'), ('z', '<f4')]", "False", "(2, 1)", count(6)), "2 [0] [1] [2]",
		},
		"records": {
			npy(t, "[('z', '<f4'), ('x', '<f4'), ('y', '<f4')]", "False", "(2,)", []float32{1, 2, 3, 4, 5, 6}),
			"1 [2 5] [3 6] [1 4]",
		},
	} {
		t.Run(name, func(t *testing.T) {
			format := NPY
			if bytes.HasPrefix(c.data, []byte("PK")) {
				format = NPZ
			}
			got, err := read(t, format, c.data, ingest.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if s := describe(got); s != c.want {
				t.Errorf("found %s, want %s", s, c.want)
			}
		})
	}
}

func TestHalfIsExact(t *testing.T) {
	// Every finite binary16 is sign * 2^(e-25) * (1024 + f), or 2^-24 * f.
	for v := range uint16(0x7c00) {
		e, f := int(v>>10), float64(v&1023)
		want := math.Ldexp(1024+f, e-25)
		if e == 0 {
			want = math.Ldexp(f, -24)
		}
		if got := half(v); float64(got) != want || half(v|0x8000) != -got {
			t.Fatalf("%#x: found %g, want %g", v, got, want)
		}
	}
	if !math.IsNaN(float64(half(0x7e00))) {
		t.Error("found a number, want NaN")
	}
}

func TestLabels(t *testing.T) {
	x := npy(t, "'<f4'", "False", "(2, 8)", count(16))
	for name, c := range map[string][]any{
		"X y":           {"X.npy", x, "y.npy", npy(t, "'<i8'", "False", "(2,)", []int64{3, 1})},
		"X_train":       {"y_train.npy", npy(t, "'|u1'", "False", "(2, 1)", []uint8{3, 1}), "X_train.npy", x},
		"medmnist":      {"train_images.npy", x, "train_labels.npy", npy(t, "'|u1'", "False", "(2, 1)", []uint8{3, 1})},
		"labels":        {"data.npy", x, "labels.npy", npy(t, "'<f4'", "False", "(2,)", []float32{3, 1})},
		"one-hot":       {"x.npy", x, "y.npy", npy(t, "'<f4'", "False", "(2, 4)", []float32{0, 0, 0, 1, 0, 1, 0, 0})},
		"one-hot by py": {"x.npy", x, "y.npy", npy(t, "'<f4'", "True", "(2, 4)", []float32{0, 0, 0, 1, 0, 0, 1, 0})},
	} {
		got, err := read(t, NPZ, npz(t, c...), ingest.Options{})
		if err != nil || len(got) != 2 || got[0].Label != 3 || got[1].Label != 1 {
			t.Errorf("%s: found %+v, %v", name, got, err)
		}
	}
	// Without labels every sample says so.
	got, err := read(t, NPZ, npz(t, "a.npy", x), shaped(2, 2, 2))
	if err != nil || got[1].Label != ingest.NoLabel || !strings.HasSuffix(got[1].Stream, ":a") {
		t.Errorf("found %+v, %v", got, err)
	}
}

// utf32 is an array of names of three letters.
func utf32(t *testing.T, names ...string) []byte {
	var runes []uint32
	for _, n := range names {
		for _, r := range n {
			runes = append(runes, uint32(r))
		}
	}
	return npy(t, "'<U3'", "False", fmt.Sprintf("(%d,)", len(names)), runes)
}

// TestChecksums reads archives in which an array does not match its checksum: of the data, the last row is an error, and
// of the labels, all.
func TestChecksums(t *testing.T) {
	x := npy(t, "'<f8'", "False", "(3, 2, 2, 2)", make([]float64, 24))
	columns := npy(t, "'<f8'", "True", "(3, 2, 2, 2)", make([]float64, 24))
	y := npy(t, "'|u1'", "False", "(3,)", []uint8{1, 2, 3})
	for name, c := range map[string]struct {
		x     []byte
		entry int
		rows  int
	}{"data": {x, 0, 2}, "columns": {columns, 0, 0}, "labels": {x, 1, 0}} {
		data := npz(t, "x.npy", c.x, "y.npy", y)
		at := 0
		for range c.entry + 1 {
			at += bytes.Index(data[at:], []byte("PK\x01\x02")) + 16 // the checksum in the directory
		}
		data[at] ^= 1
		got, err := read(t, NPZ, data, ingest.Options{})
		if len(got) != c.rows || err == nil || !strings.Contains(err.Error(), "do not match its checksum") {
			t.Errorf("%s: found %d rows and error %v, want %d", name, len(got), err, c.rows)
		}
	}
}

// TestOtherArrays passes over what is no data, and numbers labels that are names over all parts.
func TestOtherArrays(t *testing.T) {
	x := npy(t, "'<f4'", "False", "(2, 2, 2, 2)", count(16))
	objects := npy(t, "'|O'", "False", "()", []byte("pickled"))
	numbers := npy(t, "'|u1'", "False", "(2,)", []uint8{5, 4})
	affine := npy(t, "'<f8'", "False", "(4, 4)", make([]float64, 16))
	for name, c := range map[string]struct {
		files  []any
		labels []int32
		note   string
	}{
		"names": {
			[]any{"X_train.npy", x, "y_train.npy", utf32(t, "dog", "cat"), "X_test.npy", x, "y_test.npy", utf32(t, "emu", "dog")},
			[]int32{1, 0, 2, 1},
			"0 cat, 1 dog, 2 emu",
		},
		"order": {
			[]any{"x.npy", x, "y.npy", utf32(t, "dog", "cat"), "class_names.npy", utf32(t, "dog", "cat")},
			[]int32{0, 1},
			"0 dog, 1 cat",
		},
		"numbers with names": {
			[]any{"x.npy", x, "y.npy", numbers, "class_names.npy", utf32(t, "dog", "cat")}, []int32{5, 4}, "[]",
		},
		"objects":       {[]any{"x.npy", x, "y.npy", numbers, "meta.npy", objects}, []int32{5, 4}, "Python objects"},
		"label objects": {[]any{"x.npy", x, "y.npy", objects}, []int32{-1, -1}, "the labels y are not read"},
		"one of many":   {[]any{"vol.npy", x, "affine.npy", affine}, []int32{-1, -1}, "not read: affine"},
	} {
		var notes ingest.Notes
		got, err := read(t, NPZ, npz(t, c.files...), ingest.Options{Notes: &notes})
		var labels []int32
		for _, s := range got {
			labels = append(labels, s.Label)
		}
		if err != nil || !slices.Equal(labels, c.labels) {
			t.Errorf("%s: found labels %v, %v, want %v", name, labels, err, c.labels)
		}
		if text := fmt.Sprint(notes.Take()); !strings.Contains(text, c.note) {
			t.Errorf("%s: found notes %s, want %q", name, text, c.note)
		}
	}
	if _, err := read(t, NPZ, npz(t, "a.npy", x, "b.npy", x), ingest.Options{}); err == nil ||
		!strings.Contains(err.Error(), "choose one with --data") {
		t.Errorf("found error %v, want a question", err)
	}
	chosen := ingest.Options{Readers: []any{&arrays.Options{Data: "b", Labels: "a"}}}
	files := []any{"a.npy", npy(t, "'<f8'", "False", "(1, 2)", []float64{7, 8}), "b.npy", x}
	if got, err := read(t, NPZ, npz(t, files...), chosen); err != nil || len(got) != 2 || got[1].Label != 8 {
		t.Errorf("chosen: found %+v, %v", got, err)
	}
}

// TestClassNames finds the names of classes in labels that are names, or in a list of them.
func TestClassNames(t *testing.T) {
	x := npy(t, "'<f4'", "False", "(2, 2, 2, 2)", count(16))
	numbers := npy(t, "'|u1'", "False", "(2,)", []uint8{1, 0})
	for want, files := range map[string][]any{
		"[cat dog]": {"x.npy", x, "y.npy", utf32(t, "dog", "cat")},
		"[emu cat]": {"x.npy", x, "y.npy", numbers, "class_names.npy", utf32(t, "emu", "cat")},
		"[]":        {"x.npy", x, "y.npy", numbers, "ids.npy", utf32(t, "one", "two")},
	} {
		path := filepath.Join(t.TempDir(), "a.npz")
		if err := os.WriteFile(path, npz(t, files...), 0o600); err != nil {
			t.Fatal(err)
		}
		src, err := NPZ.Open(t.Context(), path, ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(ingest.ClassesOf(t.Context(), src)); got != want {
			t.Errorf("found %s, want %s", got, want)
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestErrors(t *testing.T) {
	x := npy(t, "'<f4'", "False", "(2, 8)", count(16))
	for name, c := range map[string]struct {
		format ingest.Format
		data   []byte
		want   string
	}{
		"no cube": {NPY, npy(t, "'<f4'", "False", "(1, 9)", count(9)), "use --grid DxHxW with a product of 9"},
		"cut":     {NPY, x[:len(x)-1], "found 63 bytes of values, want 64"},
		"huge":    {NPY, npy(t, "'<f8'", "False", "(9000000000, 9000000000)", count(0)), "larger than any file"},
		"text":    {NPY, npy(t, "'<U1'", "False", "(1,)", count(1)), "found text of shape (1,), want bool"},
		"too few label": {
			NPZ, npz(t, "x.npy", x, "y.npy", npy(t, "'|u1'", "False", "(1,)", []uint8{3})),
			"found 1 label, want one label for each of the 2 rows of x",
		},
		"half a label": {
			NPZ, npz(t, "x.npy", x, "y.npy", npy(t, "'<f4'", "False", "(2,)", []float32{1, 0.5})),
			"row 1: found label 0.5",
		},
	} {
		_, err := read(t, c.format, c.data, ingest.Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found error %v, want %q", name, err, c.want)
		}
	}
}

// shaped are options of --grid.
func shaped(d, h, w int) ingest.Options {
	return ingest.Options{Readers: []any{&arrays.Options{RowGrid: arrays.Shape{d, h, w}}}}
}

func TestGridShape(t *testing.T) {
	got, err := read(t, NPY, npy(t, "'<f4'", "False", "(2, 6)", count(12)), shaped(1, 2, 3))
	if err != nil || describe(got) != "2 [1 2 3] 1 [0 1 2 3 4 5]" {
		t.Errorf("found %v, %v", got, err)
	}
}

func TestSuite(t *testing.T) {
	ingesttest.Format(t, NPY, "X.npy", npy(t, "'<f4'", "False", "(2, 8)", count(16)))
	ingesttest.Format(t, NPY, "p.npy", npy(t, "[('z', '<f4'), ('x', '<f4'), ('y', '<f4')]", "False", "(2,)", count(6)))
	ingesttest.Format(t, NPZ, "a.npz", npz(t, "X.npy", npy(t, "'<f4'", "True", "(2, 2, 2, 1)", count(8)), "y.npy",
		npy(t, "'<i8'", "False", "(2,)", []int64{3, 1})))
}

const idxImages = "\x00\x00\x08\x03\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x03\x01\x02\x03\xff\x05\x06"

func TestIDX(t *testing.T) {
	got, err := read(t, IDX, []byte(idxImages), ingest.Options{})
	if err != nil || describe(got) != "2 [1 1 3] 1 [1 2 3]" || got[1].Data.(*ingest.Grid).Values[0] != 255 {
		t.Errorf("found %+v, %v", got, err)
	}
	got, err = read(t, IDX, []byte("\x00\x00\x0b\x02\x00\x00\x00\x01\x00\x00\x00\x02\xff\xff\x01\x00"), ingest.Options{})
	if err != nil || describe(got) != "1 [1 1 2] 1 [-1 256]" {
		t.Errorf("found %+v, %v", got, err)
	}
	for data, want := range map[string]string{
		idxImages[:len(idxImages)-1]:                       "found 5 bytes of values, want 6",
		"\x00\x00\x08\x01\x00\x00\x00\x01\x07":             "found labels, want images",
		"\x00\x00\x0a\x01\x00\x00\x00\x01\x07":             "found type 0xa",
		"\x00\x00\x08\x02\xff\xff\xff\xff\x00\x00\x00\x00": "at least 1 value",
	} {
		if _, err := read(t, IDX, []byte(data), ingest.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("found error %v, want %q", err, want)
		}
	}
	ingesttest.Format(t, IDX, "a.idx", []byte(idxImages))
}

func FuzzIDX(f *testing.F) { ingesttest.Fuzz(f, IDX, "f.idx", []byte(idxImages)) }

func TestWriters(t *testing.T) {
	cloud := &ingest.PointCloud{X: []float64{1, 2}, Y: []float64{3, 4}, Z: []float64{5, 0.1}, Intensity: []float32{7, 8}}
	dir := t.TempDir()
	write := func(create func(string) (ingest.Writer, error), name string, samples ...ingest.Sample) (string, error) {
		path := filepath.Join(dir, name)
		w, err := create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close() //nolint:errcheck // committed or dropped
		for _, s := range samples {
			if err := w.Write(s); err != nil {
				return path, err
			}
		}
		return path, w.Commit()
	}
	path, err := write(CreateNPY, "c.npy", ingest.Sample{Data: cloud})
	if err != nil {
		t.Fatal(err)
	}
	got, err := readPath(t, NPY, path, ingest.Options{})
	if err != nil || describe(got) != "1 [1 2] [3 4] [5 0.1]" || got[0].Data.(*ingest.PointCloud).Intensity[1] != 8 {
		t.Errorf("cloud: found %v, %v", got, err)
	}
	grid := func(label int32, v float32) ingest.Sample {
		return ingest.Sample{Label: label, Data: &ingest.Grid{
			Dims: [3]int{1, 2, 2}, Channels: 1,
			Values: []float32{v, v, v, v},
		}}
	}
	path, err = write(CreateNPZ, "g.npz", grid(4, 1), grid(-1, 2), grid(6, 3))
	if err != nil {
		t.Fatal(err)
	}
	got, err = readPath(t, NPZ, path, ingest.Options{})
	if err != nil || len(got) != 3 || got[2].Label != 6 || got[1].Label != ingest.NoLabel ||
		got[2].Data.(*ingest.Grid).Values[3] != 3 {
		t.Errorf("grids: found %v, %v", got, err)
	}
	path, err = write(CreateNPZ, "b.npz", ingest.Sample{Data: cloud, Label: 2}, ingest.Sample{Data: cloud, Label: 1})
	if err != nil {
		t.Fatal(err)
	}
	got, err = readPath(t, NPZ, path, ingest.Options{})
	if err != nil || describe(got) != "2 [1 2] [3 4] [5 0.1]" || got[0].Label != 2 || got[1].Label != 1 {
		t.Errorf("clouds: found %v, %v", got, err)
	}
	more := &ingest.PointCloud{X: []float64{1}, Y: []float64{3}, Z: []float64{5}, Intensity: []float32{7}}
	if _, err := write(CreateNPZ, "sizes.npz", ingest.Sample{Data: cloud}, ingest.Sample{Data: more}); err == nil ||
		!strings.Contains(err.Error(), "clouds of one size") {
		t.Errorf("found error %v", err)
	}
	bad := grid(1, 1)
	bad.Data = &ingest.Grid{Dims: [3]int{1, 1, 4}, Channels: 1, Values: make([]float32, 4)}
	if _, err := write(CreateNPZ, "bad.npz", grid(1, 1), bad); err == nil ||
		!strings.Contains(err.Error(), "[1 1 4], want [1 2 2]") {
		t.Errorf("found error %v", err)
	}
	if _, err := write(CreateNPY, "none.npy"); err == nil {
		t.Error("found no error for an empty file")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 3 {
		t.Errorf("found %v in the folder, want the three good files: %v", left, err)
	}
}

func FuzzNPY(f *testing.F) {
	ingesttest.Fuzz(f, NPY, "f.npy", npy(f, "'<f4'", "False", "(2, 8)", count(16)),
		npy(f, "[('z', '<f4'), ('x', '<f4'), ('y', '<f4')]", "False", "(2,)", count(6)),
		npy(f, "'<f2'", "True", "(1, 2, 2)", []uint16{1, 2, 3, 4}))
}

func FuzzNPZ(f *testing.F) {
	ingesttest.Fuzz(f, NPZ, "f.npz", npz(f, "X.npy", npy(f, "'<f4'", "False", "(1, 8)", count(8)), "y.npy",
		npy(f, "'|u1'", "False", "(1,)", []uint8{3})))
}

func TestDiamond(t *testing.T) {
	path := testenv.Sample(t, "npy/pyntcloud_diamond.npz")
	d, err := NPZ.Inspect(t.Context(), path, ingest.Options{})
	p, ok := d.(*ingest.Points)
	if err != nil || !ok || p.Count != 6 || *p.First != [3]float64{0.5, 0, 0.5} || *p.Max != [3]float64{1, 1, 1} {
		t.Errorf("found %+v, %v", d, err)
	}
}

// TestSlices reads rows from the middle of files, whether their values can be sought, must be inflated, or are stored
// across rows, and of one array after another.
func TestSlices(t *testing.T) {
	grids := npy(t, "'<f4'", "False", "(5, 1, 2, 2, 1)", count(20))
	clouds := npy(t, "'<f4'", "False", "(3, 2, 3)", count(18))
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(grids); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"X.npy": grids, "clouds.npy": clouds, "X.npy.gz": packed.Bytes(),
		"columns.npy": npy(t, "'<f4'", "True", "(5, 1, 2, 2, 1)", count(20)),
		"records.npy": npy(t, "[('z', '<f4'), ('x', '<f4'), ('y', '<f4')]", "False", "(3, 2)", count(18)),
		"parts.npz": npz(t, "X_train.npy", grids, "X_test.npy", grids, "y_test.npy",
			npy(t, "'|u1'", "False", "(5,)", []uint8{1, 2, 3, 4, 5})),
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		f := NPY
		if filepath.Ext(name) == ".npz" {
			f = NPZ
		}
		ingesttest.Slices(t, f, path)
	}
}
