//go:build cgo && !nohdf5

package h5

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// byLibrary opens a file whose values are all read by libhdf5.
func byLibrary(t *testing.T, path string) *File {
	t.Helper()
	f := reopen(t, path)
	_, _, err := f.call(t.Context(), &request{Op: opObject, Path: "/", Name: unguarded}, nil)
	must(t, err)
	return f
}

// TestLikeLibrary reads datasets of random layouts, of which some chunks are damaged or large, by blocks of random
// sizes, and compares with libhdf5.
func TestLikeLibrary(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	w, path := create(t)
	for i := range 40 {
		dims := []int{1 + r.IntN(100), 1 + r.IntN(40), 1 + r.IntN(6)}[:1+r.IntN(3)]
		l := Layout{Dims: dims, Gzip: r.IntN(3)}
		n := 1
		for _, d := range dims {
			n *= d
			l.Chunks = append(l.Chunks, 1+r.IntN(d))
		}
		if r.IntN(4) == 0 {
			l.Chunks, l.Gzip = nil, 0
		}
		name := fmt.Sprintf("/d%d", i)
		switch i % 4 {
		case 0:
			must(t, WriteDataset(w, name, l, ramp[float32](n)))
		case 1:
			v := ramp[float64](n)
			v[n/2], v[n-1] = 1e-300, math.NaN()
			if i%8 == 1 {
				v[n/3] = math.Inf(-1)
			}
			must(t, WriteDataset(w, name, l, v))
		case 2:
			must(t, WriteDataset(w, name, l, ramp[int64](n)))
		case 3:
			must(t, WriteDataset(w, name, l, ramp[uint8](n)))
		}
	}
	must(t, w.Close())
	ours, library := reopen(t, path), byLibrary(t, path)
	objects, err := ours.Objects(t.Context())
	must(t, err)
	for _, o := range objects[1:] {
		want := make([]float64, o.Rows()*o.RowLen())
		must(t, library.ReadFloat64(t.Context(), o.Path, 0, o.Rows(), want))
		compare(t, r, ours, o, want)
	}
}

// TestLikeH5py compares with h5py, where VOXELSTREAM_PYTHON names an interpreter that has it.
func TestLikeH5py(t *testing.T) {
	python := os.Getenv("VOXELSTREAM_PYTHON")
	if python == "" {
		t.Skip("VOXELSTREAM_PYTHON does not name a Python with h5py")
	}
	for seed := range 2 {
		path := filepath.Join(t.TempDir(), "random.h5")
		out, err := exec.Command(python, filepath.Join("testdata", "layouts.py"), path, fmt.Sprint(seed), "60").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		f := reopen(t, path)
		objects, err := f.Objects(t.Context())
		must(t, err)
		r := rand.New(rand.NewPCG(uint64(seed), 2))
		for _, o := range objects[1:] {
			raw, err := os.ReadFile(path + "." + o.Path[1:])
			must(t, err)
			want := make([]float64, len(raw)/8)
			copy(bytesOf(want), raw)
			compare(t, r, f, o, want)
		}
	}
}

// compare reads a dataset as float64 and float32: all of it, forward in blocks, and single rows and columns at random.
func compare(t *testing.T, r *rand.Rand, f *File, o Object, want []float64) {
	t.Helper()
	n := o.RowLen()
	if len(want) != o.Rows()*n {
		t.Fatalf("%s: found %d values, want %d", o.Path, o.Rows()*n, len(want))
	}
	equal := func(what string, at int, got, want float64) {
		if math.Float64bits(got) != math.Float64bits(want) && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Fatalf("%s (%s, chunks %v, filters %v): %s: value %d: found %v, want %v", o.Path, o.TypeName(), o.Chunks, o.Filters,
				what, at, got, want)
		}
	}
	block := func(row, rows int) {
		wide, single := make([]float64, rows*n), make([]float32, rows*n)
		must(t, f.ReadFloat64(t.Context(), o.Path, row, rows, wide))
		err := f.ReadFloat32(t.Context(), o.Path, row, rows, single)
		if err != nil && !strings.Contains(err.Error(), "float32 cannot hold") {
			t.Fatal(err)
		}
		for i, v := range wide {
			w := want[row*n+i]
			equal("float64", row*n+i, v, w)
			if err == nil {
				equal("float32", row*n+i, float64(single[i]), float64(float32(w)))
			}
		}
	}
	block(0, o.Rows())
	for step := 1 + r.IntN(o.Rows()); step > 0; step /= 6 {
		for row := 0; row < o.Rows(); row += step {
			block(row, min(step, o.Rows()-row))
		}
	}
	for range 5 {
		block(r.IntN(o.Rows()), 1)
	}
	last := o.Dims[len(o.Dims)-1]
	for col := 0; col < last; {
		k := 1 + r.IntN(last-col)
		outer := len(want) / last
		got := make([]float64, outer*k)
		must(t, ReadColumns(t.Context(), f, o.Path, col, k, got))
		for i, v := range got {
			at := i/k*last + col + i%k
			equal("columns", at, v, want[at])
		}
		col += k
	}
}

// TestFirstDamage reads a row of two damaged chunks, of which the second one fails sooner.
func TestFirstDamage(t *testing.T) {
	const n = 1 << 18
	r := rand.New(rand.NewPCG(3, 4))
	values := make([]float64, 2*n)
	for i := range values {
		values[i] = r.Float64()
	}
	w, path := create(t)
	must(t, WriteDataset(w, "/d", Layout{Dims: []int{1, 2 * n}, Chunks: []int{1, n}, Gzip: 1}, values))
	must(t, w.Close())
	data, err := os.ReadFile(path)
	must(t, err)
	var streams [][2]int // beginning and length of the stored chunks
	for at := 0; at < len(data); at++ {
		if data[at] != 0x78 {
			continue
		}
		rest := bytes.NewReader(data[at:])
		if z, err := zlib.NewReader(rest); err == nil {
			if k, err := io.Copy(io.Discard, z); err == nil && k == 8*n {
				length := len(data) - at - rest.Len()
				streams = append(streams, [2]int{at, length})
				at += length - 1
			}
		}
	}
	if len(streams) != 2 {
		t.Fatalf("found %d stored chunks, want 2", len(streams))
	}
	data[streams[0][0]+streams[0][1]-1] ^= 1 // of the checksum
	data[streams[1][0]] = 0
	must(t, os.WriteFile(path, data, 0o600))
	f := reopen(t, path)
	for range 5 {
		err := f.ReadFloat64(t.Context(), "/d", 0, 1, values)
		if err == nil || !strings.Contains(err.Error(), "chunk at [0 0]") {
			t.Fatalf("found %v, want the damage of the first chunk", err)
		}
	}
}
