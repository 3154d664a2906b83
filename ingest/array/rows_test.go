package array

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/mutants"
)

// TestRowsRoundTrip: what WriteFloat32 writes is what NumPy writes, and ReadRows reads it back.
func TestRowsRoundTrip(t *testing.T) {
	want := []float32{0, -1.5, float32(math.Inf(1)), 1e-40, 3, 4}
	var b bytes.Buffer
	if err := WriteFloat32(&b, []int{2, 3}, want); err != nil {
		t.Fatal(err)
	}
	// np.save's header: 118 bytes, so that the values begin at 128.
	head := "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': " +
		"(2, 3), }" + strings.Repeat(" ", 58) + "\n"
	numpy, err := binary.Append([]byte(head), binary.LittleEndian, want)
	if err != nil || !bytes.Equal(b.Bytes(), numpy) {
		t.Errorf("found %q, want %q (%v)", b.Bytes(), numpy, err)
	}
	n, got, err := ReadRows(fileOf(t, b.Bytes()), []int{3})
	if err != nil || n != 2 || !slices.Equal(got, want) {
		t.Errorf("found %d rows %v, %v", n, got, err)
	}
	b.Reset()
	if err := WriteFloat32(&b, []int{70000}, make([]float32, 70000)); err != nil ||
		b.Len() != 128+4*70000 { // more than a buffer
		t.Errorf("found %d bytes (%v)", b.Len(), err)
	}
}

func fileOf(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.npy")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRowsTypesAndErrors(t *testing.T) {
	for _, data := range [][]byte{
		npy(t, "'<f8'", "False", "(2, 2)", []float64{1, 2, 3, 4}), npy(t, "'|u1'", "False", "(2, 2)", []uint8{1, 2, 3, 4}),
		npy(t, "'>i4'", "False", "(2, 2)", []int32{1, 2, 3, 4}),
	} {
		if n, got, err := ReadRows(fileOf(t, data), []int{2}); err != nil || n != 2 ||
			!slices.Equal(got, []float32{1, 2, 3, 4}) {
			t.Errorf("found %d rows %v, %v", n, got, err)
		}
	}
	for want, data := range map[string][]byte{
		"found shape [2 2], want (N, 4, 1)": npy(t, "'<f4'", "False", "(2, 2)", count(4)),
		"found shape [0 4 1]":               npy(t, "'<f4'", "False", "(0, 4, 1)", count(0)),
		"found shape []":                    npy(t, "'<f4'", "False", "()", count(1)),
		"want numbers in C order":           npy(t, "'<f4'", "True", "(1, 4, 1)", count(4)),
		"found type record":                 npy(t, "[('x', '<f4')]", "False", "(1, 4, 1)", count(4)),
		"truncated":                         npy(t, "'<f4'", "False", "(9999999999, 4, 1)", count(4)),
		"npy header":                        []byte("\x93NUMPY\x02\x00\xff\xff\xff\xff{"),
	} {
		path := fileOf(t, data)
		if _, _, err := ReadRows(path, []int{4, 1}); err == nil || !strings.Contains(err.Error(), want) ||
			!strings.HasPrefix(err.Error(), path) {
			t.Errorf("found error %v, want %q", err, want)
		}
	}
	whole := npy(t, "'<f4'", "False", "(4, 3)", count(12))
	for n := range whole {
		if _, _, err := ReadRows(fileOf(t, whole[:n]), []int{3}); err == nil {
			t.Fatalf("found no error at length %d of %d", n, len(whole))
		}
	}
}

func FuzzReadRows(f *testing.F) {
	m := mutants.New(f, "array, rows")
	m.Add(npy(f, "'<f4'", "False", "(2, 3)", count(6)))
	m.Add([]byte("\x93NUMPY\x02\x00\xff\xff\xff\xff{"))
	m.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			t.Skip("large")
		}
		path := filepath.Join(t.TempDir(), "x.npy")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		rows, x, err := ReadRows(path, []int{3})
		if err == nil && (len(x) != 3*rows || len(x) > len(data) && data[0] != 0x1f) {
			t.Errorf("found %d values of %d rows in %d bytes", len(x), rows, len(data))
		}
	})
}
