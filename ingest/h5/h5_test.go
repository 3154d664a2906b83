//go:build cgo && !nohdf5

package h5

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
	"github.com/voxelstream/voxelstream/ingest/internal/arrays"
	hdf "github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/internal/mutants"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/voxelstream/voxelstream/internal/h5.work"))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// archive writes a file and gives its path.
func archive(t testing.TB, write func(w *hdf.Writer)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "digits.h5")
	w, err := hdf.Create(path)
	must(t, err)
	defer w.Abort()
	write(w)
	must(t, w.Close())
	return path
}

// cell is the value that the tests give cell i of row r.
func cell(r, i int) float64 { return float64((r*31+i)%97) / 97 }

func values(rows, cells int) []float64 {
	out := make([]float64, 0, rows*cells)
	for r := range rows {
		for i := range cells {
			out = append(out, cell(r, i))
		}
	}
	return out
}

func labels(rows int) []int64 {
	out := make([]int64, rows)
	for i := range out {
		out[i] = int64(i % 10)
	}
	return out
}

func vectorsArchive(t testing.TB, train, test, cells int, l hdf.Layout) string {
	return archive(t, func(w *hdf.Writer) {
		for _, p := range []struct {
			name string
			rows int
		}{{"train", train}, {"test", test}} {
			l.Dims = []int{p.rows, cells}
			must(t, hdf.WriteDataset(w, "/X_"+p.name, l, values(p.rows, cells)))
			must(t, hdf.WriteDataset(w, "/y_"+p.name, hdf.Layout{Dims: []int{p.rows}}, labels(p.rows)))
		}
	})
}

// drain reads a source to its end; bad items are kept apart.
func drain(t *testing.T, path string, o Options) (good []ingest.Sample, bad []*ingest.ItemError) {
	t.Helper()
	src, err := Open(t.Context(), path, o)
	must(t, err)
	defer func() { must(t, src.Close()) }()
	for {
		s, err := src.Read(t.Context())
		var item *ingest.ItemError
		switch {
		case errors.As(err, &item):
			bad = append(bad, item)
		case errors.Is(err, io.EOF):
			return good, bad
		case err != nil:
			t.Fatal(err)
		default:
			good = append(good, s)
		}
	}
}

func TestVectors(t *testing.T) {
	for _, edge := range []int{8, 16} {
		t.Run(fmt.Sprintf("%d", edge), func(t *testing.T) {
			cells := edge * edge * edge
			path := vectorsArchive(t, 150, 7, cells, hdf.Layout{Gzip: 4})
			stream, err := ingest.StreamName(path)
			must(t, err)
			ingesttest.Slices(t, HDF5, path)
			all, bad := drain(t, path, Options{})
			if len(all) != 157 || len(bad) != 0 {
				t.Fatalf("%d samples and bad %v, want 157", len(all), bad)
			}
			for i, s := range all {
				name, row := stream+":X_train", i
				if i >= 150 {
					name, row = stream+":X_test", i-150
				}
				g := s.Data.(*ingest.Grid)
				if s.Stream != name || s.Seq != uint64(row) || s.Label != int32(row%10) ||
					g.Dims != [3]int{edge, edge, edge} || g.Channels != 1 {
					t.Fatalf("sample %d: %s/%d label %d dims %v", i, s.Stream, s.Seq, s.Label, g.Dims)
				}
				z, y, x := 3, 2, 1
				at := z*edge*edge + y*edge + x
				if g.Values[at] != float32(cell(row, at)) || len(g.Values) != cells {
					t.Fatalf("sample %d: cell %v, want %v", i, g.Values[at], cell(row, at))
				}
			}
			for _, c := range []struct {
				o     Options
				n     int
				first string
			}{
				{Options{Split: Train}, 150, "X_train/0"},
				{Options{Split: Test}, 7, "X_test/0"},
				{named("X_test", "y_test"), 7, "X_test/0"},
			} {
				got, _ := drain(t, path, c.o)
				if len(got) != c.n {
					t.Errorf("%+v: %d samples, want %d", c.o, len(got), c.n)
				} else if c.n > 0 && fmt.Sprintf("%s/%d", got[0].Stream, got[0].Seq) != stream+":"+c.first {
					t.Errorf("%+v: first sample %s/%d, want %s", c.o, got[0].Stream, got[0].Seq, c.first)
				}
			}
		})
	}
}

// TestBadRows wants the bad rows as item errors and all others as samples.
func TestBadRows(t *testing.T) {
	const rows = 300
	v := values(rows, 512)
	v[3*512+7], v[5*512], v[250*512+1], v[260*512] = math.NaN(), -0.5, 1e300, math.Inf(1)
	y := make([]float64, rows)
	y[9], y[10], y[11] = 0.5, -2, math.NaN()
	path := archive(t, func(w *hdf.Writer) {
		must(t, hdf.WriteDataset(w, "/X_train", hdf.Layout{Dims: []int{rows, 512}}, v))
		must(t, hdf.WriteDataset(w, "/y_train", hdf.Layout{Dims: []int{rows}}, y))
	})
	check := func(o Options, want map[uint64]string) {
		t.Helper()
		good, bad := drain(t, path, o)
		if len(good) != rows-len(want) {
			t.Errorf("%d samples, want %d", len(good), rows-len(want))
		}
		for _, b := range bad {
			text, ok := want[b.Seq]
			if !ok || !strings.Contains(b.Error(), text) || !strings.Contains(b.Error(), ":X_train/") {
				t.Errorf("bad item %v, want %q", b, text)
			}
			delete(want, b.Seq)
		}
		if len(want) > 0 {
			t.Errorf("not found: %v", want)
		}
	}
	var notes ingest.Notes
	check(Options{Options: ingest.Options{Notes: &notes}}, map[uint64]string{
		250: "row 250: found 1e+300", 9: "label 0.5", 10: "label -2", 11: "label NaN",
	})
	if got := notes.Take(); len(got) != 1 || got[0].Count != 2 || !strings.Contains(got[0].Text, "NaN or infinite") {
		t.Errorf("found notes %v, want one of 2 rows with values that are not finite", got)
	}
}

// TestDamagedChunk loses the rows of a chunk whose checksum is wrong, and no others.
func TestDamagedChunk(t *testing.T) {
	path := vectorsArchive(t, 100, 10, 512, hdf.Layout{Chunks: []int{10, 512}, Gzip: 4})
	data, err := os.ReadFile(path)
	must(t, err)
	// The zlib streams of the chunks begin with the bytes 78 5e (level 4); the fifth is spoilt.
	at := -1
	for range 5 {
		i := strings.Index(string(data[at+1:]), "\x78\x5e")
		if i < 0 {
			t.Fatal("found no packed chunk")
		}
		at += 1 + i
	}
	for i := range 40 {
		data[at+20+i] ^= 0x55
	}
	must(t, os.WriteFile(path, data, 0o600))
	good, bad := drain(t, path, Options{Split: Train})
	if len(good) != 90 || len(bad) != 10 {
		t.Fatalf("%d samples and %d bad, want 90 and 10", len(good), len(bad))
	}
	for i, b := range bad {
		if b.Seq != bad[0].Seq+uint64(i) || !strings.Contains(b.Error(), "filter gzip") {
			t.Errorf("bad row %v, want number %d and the filter", b, bad[0].Seq+uint64(i))
		}
	}
}

// named are options that choose a dataset and its labels.
func named(data, labels string) Options {
	return Options{Options: ingest.Options{Readers: []any{&arrays.Options{Data: data, Labels: labels}}}}
}

func TestNamedDatasets(t *testing.T) {
	path := archive(t, func(w *hdf.Writer) {
		must(t, hdf.WriteDataset(w, "/a/rank4", hdf.Layout{Dims: []int{3, 2, 3, 4}}, make([]uint8, 72)))
		must(t, hdf.WriteDataset(w, "/a/rank5", hdf.Layout{Dims: []int{2, 2, 3, 4, 3}}, make([]float32, 144)))
		must(t, hdf.WriteDataset(w, "/a/flat", hdf.Layout{Dims: []int{3, 24}}, make([]int64, 72)))
		must(t, hdf.WriteDataset(w, "/a/line", hdf.Layout{Dims: []int{24}}, make([]int64, 24)))
		must(t, hdf.WriteDataset(w, "/a/none", hdf.Layout{Dims: []int{0, 8}}, []float32{}))
		must(t, hdf.WriteDataset(w, "/a/empty", hdf.Layout{Dims: []int{3, 0}}, []float32{}))
	})
	shaped := func(data, labels string) Options {
		return Options{Options: ingest.Options{
			Readers: []any{&arrays.Options{Data: data, Labels: labels, RowGrid: arrays.Shape{2, 3, 4}}},
		}}
	}
	limited := named("/a/rank4", "")
	limited.MaxCells = 23
	for _, c := range []struct {
		o        Options
		n        int
		channels int
		err      string
	}{
		{named("/a/rank4", ""), 3, 1, ""},
		{named("a/rank5", ""), 2, 3, ""},
		{shaped("/a/flat", ""), 3, 1, ""},
		{shaped("/a/none", ""), 0, 1, ""},
		{named("/a/flat", ""), 0, 0, "use --grid DxHxW with a product of 24"},
		{named("/a/line", ""), 0, 0, "shape (24,)"},
		{named("/a/empty", ""), 0, 0, "shape (3, 0)"},
		{named("/a", ""), 0, 0, "not found"},
		{named("/b", ""), 0, 0, "not found"},
		{named("/a/rank4", "/a/line"), 0, 0, "want one label for each of the 3 rows"},
		{limited, 0, 0, "limit 23"},
		{Options{Split: Test}, 0, 0, "dataset X_test not found"},
		{Options{}, 0, 0, "choose one with --data"},
	} {
		if c.err != "" {
			if src, err := Open(t.Context(), path, c.o); err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%+v: error %v, want %q", c.o, err, c.err)
				if err == nil {
					must(t, src.Close())
				}
			}
			continue
		}
		got, bad := drain(t, path, c.o)
		if len(got) != c.n || len(bad) != 0 {
			t.Errorf("%+v: %d samples, bad %v, want %d", c.o, len(got), bad, c.n)
		}
		for _, s := range got {
			if g := s.Data.(*ingest.Grid); g.Dims != [3]int{2, 3, 4} || g.Channels != c.channels || s.Label != ingest.NoLabel {
				t.Errorf("%+v: grid %v x %d label %d", c.o, g.Dims, g.Channels, s.Label)
			}
		}
	}
}

func cloudsArchive(t testing.TB) string {
	return archive(t, func(w *hdf.Writer) {
		for i := range 12 {
			group := fmt.Sprintf("/%d", i)
			p := values(i+1, 3)
			must(t, hdf.WriteDataset(w, group+"/points", hdf.Layout{Dims: []int{i + 1, 3}, Gzip: 4}, p))
			must(t, hdf.WriteDataset(w, group+"/normals", hdf.Layout{Dims: []int{i + 1, 3}, Gzip: 4}, p))
			must(t, hdf.WriteDataset(w, group+"/img", hdf.Layout{Dims: []int{30, 30}, Gzip: 4}, make([]float64, 900)))
			if i != 4 {
				must(t, w.SetAttr(group, "label", i%10))
			}
		}
		must(t, w.Group("/12"))
		must(t, hdf.WriteDataset(w, "/13/points", hdf.Layout{Dims: []int{3, 2}}, make([]float64, 6)))
		must(t, w.Group("/about"))
	})
}

func TestClouds(t *testing.T) {
	path := cloudsArchive(t)
	good, bad := drain(t, path, Options{})
	if len(good) != 12 || len(bad) != 2 || bad[0].Seq != 12 || bad[1].Seq != 13 {
		t.Fatalf("%d samples, bad %v", len(good), bad)
	}
	for i, s := range good {
		p := s.Data.(*ingest.PointCloud)
		want := int32(i % 10)
		if i == 4 {
			want = ingest.NoLabel
		}
		if s.Seq != uint64(i) || p.Len() != i+1 || s.Label != want || p.Z[i] != cell(i, 2) || p.X[0] != 0 ||
			p.Y[0] != cell(0, 1) {
			t.Errorf("cloud %d: seq %d, %d points, label %d, %v", i, s.Seq, p.Len(), s.Label, p)
		}
	}
	ingesttest.Slices(t, HDF5, path)
	for _, part := range []Split{Train, Val, Test} {
		if _, err := Open(t.Context(), path, Options{Split: part}); !errors.Is(err, ingest.ErrNoPart) {
			t.Errorf("part %s: found error %v, want one that says that the part does not exist", part, err)
		}
	}
	_, bad = drain(t, path, Options{Options: ingest.Options{MaxPoints: 5}})
	if len(bad) != 9 || !strings.Contains(bad[0].Error(), "limit 5") {
		t.Errorf("with a limit: bad %v", bad)
	}
}

func TestInspect(t *testing.T) {
	d, err := HDF5.Inspect(t.Context(), vectorsArchive(t, 20, 5, 512, hdf.Layout{}), ingest.Options{})
	must(t, err)
	g := d.(*ingest.Grids)
	if g.Rows != 25 || !slices.Equal(g.Shape, []int{8, 8, 8}) || g.Labels["0"] != 3 || g.Labels["9"] != 2 ||
		len(g.Arrays) != 4 ||
		g.Arrays[0].Type != "float64" {
		t.Errorf("vectors: %+v", g)
	}
	d, err = HDF5.Inspect(t.Context(), cloudsArchive(t), ingest.Options{})
	must(t, err)
	p := d.(*ingest.Points)
	if p.Clouds != 12 || p.Count != 78 || p.Finite != 78 || p.Min[0] != 0 || p.Max[2] < 0.5 {
		t.Errorf("clouds: %+v", p)
	}
	d, err = HDF5.Inspect(t.Context(), archive(t, func(w *hdf.Writer) {
		must(t, hdf.WriteDataset(w, "/weights/kernel", hdf.Layout{Dims: []int{3}}, []float32{1, 2, 3}))
	}), ingest.Options{})
	must(t, err)
	if g := d.(*ingest.Grids); g.Rows != 0 || len(g.Arrays) != 1 || g.Arrays[0].Name != "weights/kernel" {
		t.Errorf("other: %+v", g)
	}
}

// breach is what ingesttest says of a source that breaks its contract.
var breach = regexp.MustCompile(`found (bad item|sample) "|found no end|^sample \d+: `)

// TestDamage opens truncated and mutated archives: an error or samples, and the contract of a source.
func TestDamage(t *testing.T) {
	for _, path := range []string{vectorsArchive(t, 10, 3, 512, hdf.Layout{Gzip: 1}), cloudsArchive(t)} {
		data, err := os.ReadFile(path)
		must(t, err)
		head, err := ingest.ReadHead(path)
		must(t, err)
		if HDF5.Detect(head) != ingest.Sure {
			t.Error("not detected")
		}
		n := 100
		if testing.Short() {
			n = 10
		}
		r := rand.New(rand.NewPCG(5, 6))
		for i := range n {
			bad := mutants.Mutate(r, data)
			if i%4 == 0 {
				bad = data[:r.IntN(len(data))]
			}
			must(t, os.WriteFile(path, bad, 0o600))
			if _, err := ingesttest.Drain(t.Context(), HDF5, path); err != nil && breach.MatchString(err.Error()) {
				t.Error(err)
			}
		}
	}
}

// TestFlatMemory streams an archive of 160 MB as float32 and wants the heap to stay far below it.
func TestFlatMemory(t *testing.T) {
	const rows = 10_000
	path := archive(t, func(w *hdf.Writer) {
		o, err := hdf.AddDataset[uint8](w, "/X_train", hdf.Layout{Dims: []int{rows, 4096}, Grow: true, Gzip: 1})
		must(t, err)
		for range rows / 100 {
			must(t, o.Append(make([]uint8, 100*4096)))
		}
	})
	src, err := Open(t.Context(), path, Options{})
	must(t, err)
	defer func() { must(t, src.Close()) }()
	var peak uint64
	for i := 0; ; i++ {
		s, err := src.Read(t.Context())
		if errors.Is(err, io.EOF) {
			if i != rows {
				t.Errorf("%d samples, want %d", i, rows)
			}
			break
		}
		must(t, err)
		if s.Seq != uint64(i) {
			t.Fatalf("sample %d has number %d", i, s.Seq)
		}
		if i%500 == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapInuse)
		}
	}
	if peak > 64<<20 {
		t.Errorf("heap grew to %d MiB", peak>>20)
	}
}

func TestCancel(t *testing.T) {
	src, err := Open(t.Context(), vectorsArchive(t, 10, 1, 512, hdf.Layout{}), Options{})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := src.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
	if _, err := src.Read(t.Context()); err != nil {
		t.Errorf("a read cancelled before it began spoilt the source: %v", err)
	}
	must(t, src.Close())
	must(t, src.Close())
}

// TestCutOff reads the whole rows of an archive that lost its end, and with it some rows and all labels.
func TestCutOff(t *testing.T) {
	const rows = 300
	path := vectorsArchive(t, rows, 1, 512, hdf.Layout{})
	data, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, data[:rows*512*8/2], 0o600))
	var notes ingest.Notes
	good, bad := drain(t, path, Options{Split: Train, Options: ingest.Options{Notes: &notes}})
	if len(good)+len(bad) != rows || len(good) < rows/3 || len(bad) < rows/3 {
		t.Errorf("found %d rows and %d bad ones of %d, want about half of each", len(good), len(bad), rows)
	}
	for i, s := range good {
		if s.Seq != uint64(i) || s.Label != ingest.NoLabel || s.Data.(*ingest.Grid).Values[5] != float32(cell(i, 5)) {
			t.Fatalf("row %d: found number %d, label %d", i, s.Seq, s.Label)
		}
	}
	if text := fmt.Sprint(notes.Take()); !strings.Contains(text, "cut off") ||
		!strings.Contains(text, "labels y_train are not read") {
		t.Errorf("found notes %s, want that the file was cut off, and its labels lost", text)
	}
	path = vectorsArchive(t, 60_000, 1, 512, hdf.Layout{})
	must(t, os.Truncate(path, 1<<20))
	if _, err := Open(t.Context(), path, Options{}); err == nil ||
		!strings.Contains(err.Error(), "the file was cut off: 1048576 bytes of it are left") {
		t.Errorf("found %v for a file of which little is left", err)
	}
}

// FuzzHDF5 opens archives in the worker process, which may refuse them but must not take the reader with it.
func FuzzHDF5(f *testing.F) {
	var seeds [][]byte
	for _, path := range []string{vectorsArchive(f, 10, 3, 512, hdf.Layout{Gzip: 1}), cloudsArchive(f)} {
		data, err := os.ReadFile(path)
		must(f, err)
		seeds = append(seeds, data)
	}
	ingesttest.Fuzz(f, HDF5, "a.h5", seeds...)
}
