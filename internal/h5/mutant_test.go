//go:build cgo && !nohdf5

package h5

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/sandbox"
)

// TestMutants reads 2,000 randomly damaged files through workers: whatever libhdf5 does with them, this process
// gets an error or values, in time, and no worker takes more memory than it may.
func TestMutants(t *testing.T) {
	n := 2000
	if testing.Short() || sandbox.Instrumented {
		n = 200
	}
	var bases [][]byte
	for _, name := range []string{"small_old.h5", "small_new.h5"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		must(t, err)
		bases = append(bases, b)
	}
	path := filepath.Join(t.TempDir(), "mutant.h5")
	r := rand.New(rand.NewPCG(3, 4))
	var w *worker
	var peak int64
	retire := func() {
		if w != nil {
			w.kill()
			peak = max(peak, w.State().SysUsage().(*syscall.Rusage).Maxrss<<10)
			w = nil
		}
	}
	defer retire()
	var read, refused, crashed, hung int
	for i := range n {
		must(t, os.WriteFile(path, mutant(r, bases[i%2]), 0o600))
		if w == nil {
			var err error
			if w, err = startWorker(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.timeout = 2 * time.Second
		}
		start := time.Now()
		err := exercise(t.Context(), w, path)
		if took := time.Since(start); took > 5*time.Minute {
			t.Fatalf("mutant %d took %v", i, took)
		}
		switch {
		case err == nil:
			read++
		case !errors.Is(err, ErrWorker):
			refused++
		default:
			if bytes.Contains([]byte(err.Error()), []byte("no answer")) {
				hung++
			} else {
				crashed++
			}
			t.Logf("mutant %d: %v", i, err)
			retire()
		}
	}
	retire()
	t.Logf("%d read, %d with errors, %d crashed the worker, %d hung it; most memory of a worker %d MiB", read,
		refused, crashed, hung, peak>>20)
	if read == 0 || refused == 0 {
		t.Error("the mutants do not reach both ends")
	}
	if !sandbox.Instrumented && peak > 2<<30 {
		t.Errorf("a worker took %d bytes", peak)
	}
}

// exercise opens, lists and reads everything through a worker that may be used again unless the error is ErrWorker.
func exercise(ctx context.Context, w *worker, path string) error {
	input, _, err := openChecked(path)
	if err != nil {
		return err
	}
	defer input.Close() //nolint:errcheck // opened for reading
	if _, _, err := w.call(ctx, &request{Op: opOpen}, input, nil); err != nil {
		return err
	}
	f := &File{path: path, w: w, objects: map[string]Object{}}
	objects, first := f.Objects(ctx)
	keep := func(err error) bool {
		if err != nil && (first == nil || errors.Is(err, ErrWorker)) {
			first = err
		}
		return !errors.Is(err, ErrWorker)
	}
	if !keep(first) {
		return first
	}
	for _, o := range objects {
		if _, err := f.Attrs(ctx, o.Path); !keep(err) {
			return first
		}
		if o.Kind != Dataset || o.Refused != "" || o.Class == String {
			continue
		}
		if o.RowLen() == 0 {
			continue
		}
		rows := min(o.Rows(), 1<<18/o.RowLen())
		dst := make([]float32, rows*o.RowLen())
		if err := f.ReadFloat32(ctx, o.Path, 0, rows, dst); !keep(err) {
			return first
		}
		if o.Class == Float {
			continue
		}
		if err := f.ReadInt64(ctx, o.Path, 0, rows, make([]int64, len(dst))); !keep(err) {
			return first
		}
	}
	return first
}

// mutant damages a copy of a file as disks and bad writers do: flipped bits, overwritten numbers, missing ends.
func mutant(r *rand.Rand, data []byte) []byte {
	out := bytes.Clone(data)
	for range 1 + r.IntN(6) {
		i := r.IntN(len(out))
		switch r.IntN(6) {
		case 0, 1:
			out[i] ^= 1 << r.IntN(8)
		case 2, 3:
			out[i] = []byte{0, 1, 0x7f, 0x80, 0xff}[r.IntN(5)]
		case 4:
			for k := i; k < min(i+1+r.IntN(8), len(out)); k++ {
				out[k] = byte(r.Uint32())
			}
		case 5:
			if r.IntN(20) == 0 {
				out = out[:max(i, 64)]
			}
		}
	}
	return out
}
