package medical

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
)

// nifti makes a file of 2 x 3 x 1 voxels (i, j, k), int16 values 10*i+j, slope 2 and intercept 1, with the given
// rows of the sform.
func nifti(version int, o binary.ByteOrder, srow [3][4]float64) []byte {
	size := map[int]int{1: nifti1Size + 4, 2: nifti2Size + 4}[version]
	b := make([]byte, size)
	dims := []int{3, 2, 3, 1, 1, 1, 1, 1}
	f32 := func(at int, v float64) { o.PutUint32(b[at:], math.Float32bits(float32(v))) }
	f64 := func(at int, v float64) { o.PutUint64(b[at:], math.Float64bits(v)) }
	if version == 1 {
		o.PutUint32(b, nifti1Size)
		copy(b[344:], "n+1\x00")
		for i, d := range dims {
			o.PutUint16(b[40+2*i:], uint16(d))
			f32(76+4*i, 1.5)
		}
		o.PutUint16(b[70:], 4)
		f32(108, float64(size))
		f32(112, 2)
		f32(116, 1)
		b[123] = 2
		o.PutUint16(b[254:], 1)
	} else {
		o.PutUint32(b, nifti2Size)
		copy(b[4:], "n+2\x00\r\n\x1a\n")
		o.PutUint16(b[12:], 4)
		for i, d := range dims {
			o.PutUint64(b[16+8*i:], uint64(d))
			f64(104+8*i, 1.5)
		}
		o.PutUint64(b[168:], uint64(size))
		f64(176, 2)
		f64(184, 1)
		o.PutUint32(b[348:], 1)
		o.PutUint32(b[500:], 2)
	}
	for r := range srow {
		for c, v := range srow[r] {
			if version == 1 {
				f32(280+16*r+4*c, v)
			} else {
				f64(400+32*r+8*c, v)
			}
		}
	}
	for j := range 3 {
		for i := range 2 {
			b = append(b, 0, 0)
			o.PutUint16(b[len(b)-2:], uint16(10*i+j))
		}
	}
	return b
}

var (
	ras = [3][4]float64{{1.5, 0, 0, 0}, {0, 1.5, 0, 0}, {0, 0, 1.5, 0}}
	// lps runs to the left and to the front's opposite; turned swaps the first two axes.
	lps    = [3][4]float64{{-1.5, 0, 0, 0}, {0, -1.5, 0, 0}, {0, 0, 1.5, 0}}
	turned = [3][4]float64{{0.1, 1.5, 0, 0}, {1.5, 0.1, 0, 0}, {0, 0, -1.5, 0}}
)

// file writes data to a new file.
func file(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func readGrid(t *testing.T, f ingest.Format, name string, data []byte) (*ingest.Grid, error) {
	t.Helper()
	src, err := f.Open(t.Context(), file(t, name, data), ingesttest.Options)
	if err != nil {
		return nil, err
	}
	s, err := src.Read(t.Context())
	if err != nil {
		return nil, err
	}
	g, ok := s.Data.(*ingest.Grid)
	if !ok {
		t.Fatalf("found %T", s.Data)
	}
	return g, src.Close()
}

func TestNIfTI(t *testing.T) {
	for name, c := range map[string]struct {
		srow [3][4]float64
		want string
	}{
		"ras":    {ras, "[1 3 2] [1 21 3 23 5 25]"},
		"lps":    {lps, "[1 3 2] [25 5 23 3 21 1]"},
		"turned": {turned, "[1 2 3] [1 3 5 21 23 25]"},
	} {
		for _, version := range []int{1, 2} {
			for _, o := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
				g, err := readGrid(t, NIfTI, "a.nii", nifti(version, o, c.srow))
				if err != nil || fmt.Sprint(g.Dims, g.Values) != c.want {
					t.Errorf("%s, version %d, %v: found %+v, %v, want %s", name, version, o, g, err, c.want)
				}
			}
		}
	}
}

func TestNIfTIErrors(t *testing.T) {
	good := func() []byte { return nifti(1, binary.LittleEndian, ras) }
	for name, c := range map[string]struct {
		change func(b []byte) []byte
		want   string
	}{
		"cut":     {func(b []byte) []byte { return b[:len(b)-1] }, "found 363 bytes, want 12 from byte 352"},
		"type":    {func(b []byte) []byte { b[70] = 32; return b }, "datatype: found 32"},
		"axes":    {func(b []byte) []byte { b[40] = 9; return b }, "dim: found 9 axes"},
		"size":    {func(b []byte) []byte { b[44], b[45], b[46], b[47] = 0xff, 0x7f, 0xff, 0x7f; return b }, "limit"},
		"pair":    {func(b []byte) []byte { copy(b[344:], "ni1"); return b }, "want a file name that ends in .hdr"},
		"nothing": {func([]byte) []byte { return nil }, "found 0 bytes"},
	} {
		if _, err := readGrid(t, NIfTI, "a.nii", c.change(good())); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found error %v, want %q", name, err, c.want)
		}
	}
}

func TestNIfTIPair(t *testing.T) {
	dir := t.TempDir()
	b := nifti(1, binary.LittleEndian, ras)
	copy(b[344:], "ni1")
	binary.LittleEndian.PutUint32(b[108:], 0)
	for name, data := range map[string][]byte{"a.hdr": b[:352], "a.img": b[352:]} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, grids, err := readNIfTI(filepath.Join(dir, "a.hdr"), ingest.Options{})
	if err != nil || fmt.Sprint(grids[0].Values) != "[1 21 3 23 5 25]" {
		t.Errorf("found %v, %v", grids, err)
	}
}

func TestSuite(t *testing.T) {
	ingesttest.Format(t, NIfTI, "a.nii", nifti(1, binary.LittleEndian, ras))
	ingesttest.Format(t, NIfTI, "b.nii", nifti(2, binary.BigEndian, turned))
}

func FuzzNIfTI(f *testing.F) {
	ingesttest.Fuzz(f, NIfTI, "f.nii", nifti(1, binary.LittleEndian, ras), nifti(2, binary.BigEndian, turned))
}
