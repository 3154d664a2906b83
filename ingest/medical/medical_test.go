package medical

import (
	"encoding/binary"
	"errors"
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
		"type":    {func(b []byte) []byte { b[70] = 32; return b }, "datatype 32 (complex64) is not supported"},
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

// readNoted reads all grids of a file or folder, and the notes about it.
func readNoted(t *testing.T, f ingest.Format, path string) (grids []*ingest.Grid, notes string, err error) {
	t.Helper()
	o := ingesttest.Options
	o.Notes = new(ingest.Notes)
	src, err := f.Open(t.Context(), path, o)
	if err != nil {
		return nil, fmt.Sprint(o.Notes.Take()), err
	}
	var bad []error
	_, err = ingest.Each(t.Context(), src, func(s ingest.Sample) error {
		grids = append(grids, s.Data.(*ingest.Grid))
		return nil
	}, func(err error) { bad = append(bad, err) })
	return grids, fmt.Sprint(o.Notes.Take()), errors.Join(append(bad, err, src.Close())...)
}

// TestNIfTIRepairs checks how invalid header fields are replaced. The reference library, nifti1_io, replaces them in
// the same way, and so does SimpleITK, which uses it.
func TestNIfTIRepairs(t *testing.T) {
	o := binary.LittleEndian
	float := func(at int, v float64) func(b []byte) []byte {
		return func(b []byte) []byte {
			o.PutUint32(b[at:], math.Float32bits(float32(v)))
			return b
		}
	}
	short := func(at int, v int16) func(b []byte) []byte {
		return func(b []byte) []byte {
			o.PutUint16(b[at:], uint16(v))
			return b
		}
	}
	type edits []func(b []byte) []byte
	const values, cell = "[1 21 3 23 5 25]", "[0.0015 0.0015 0.0015]"
	for name, c := range map[string]struct {
		change             edits
		values, cell, note string
	}{
		"unchanged": {nil, values, cell, "[]"},
		"pixdim NaN": {
			edits{float(80, math.NaN())}, values, "[0.0015 0.0015 0.001]", "pixdim[1] is NaN: 1 is assumed",
		},
		"pixdim 0": {
			edits{float(84, 0)}, values, "[0.0015 0.001 0.0015]", "pixdim[2] is 0: 1 is assumed",
		},
		"pixdim infinite":     {edits{float(80, math.Inf(1))}, values, "[0.0015 0.0015 0.001]", "pixdim[1] is +Inf"},
		"pixdim negative":     {edits{float(80, -1.5)}, values, cell, "[]"},
		"pixdim beyond dim":   {edits{short(40, 2), float(88, 0)}, values, "[0.001 0.0015 0.0015]", "[]"},
		"dim[4] 0":            {edits{short(40, 4), short(48, 0)}, values, cell, "dim[4] is 0: 1 is assumed"},
		"dim[3] negative":     {edits{short(46, -3)}, values, cell, "dim[3] is -3: 1 is assumed"},
		"slope NaN":           {edits{float(112, math.NaN())}, "[0 10 1 11 2 12]", cell, "scl_slope is NaN"},
		"slope 0":             {edits{float(112, 0)}, "[0 10 1 11 2 12]", cell, "[]"},
		"intercept NaN":       {edits{float(116, math.NaN())}, "[0 20 2 22 4 24]", cell, "scl_inter is NaN: 0"},
		"no unit":             {edits{func(b []byte) []byte { b[123] = 0; return b }}, values, cell, "millimetres"},
		"vox_offset 0":        {edits{float(108, 0)}, values, cell, "vox_offset is 0"},
		"no orientation":      {edits{short(254, 0)}, values, cell, "no sform and no qform"},
		"sform of zeros":      {edits{float(280, 0), float(300, 0), float(320, 0)}, values, cell, "no directions"},
		"sform with NaN":      {edits{float(280, math.NaN())}, values, cell, "no directions"},
		"qform disagrees":     {edits{short(252, 1), float(264, 1)}, values, cell, "sform and qform disagree"},
		"qform is not normal": {edits{short(254, 0), short(252, 1), float(264, 7)}, "[25 5 23 3 21 1]", cell, "[]"},
		"FreeSurfer vector": {
			edits{short(42, -1), short(44, 1), func(b []byte) []byte { b[144] = 6; return b }},
			values, cell, "[]",
		},
		"truncated series": {
			edits{short(40, 4), short(48, 3), func(b []byte) []byte { return append(b, b[352:363]...) }},
			values, cell, "truncated: 1 of 3 volumes are whole",
		},
		"NaN voxels": {
			edits{short(70, 16), func(b []byte) []byte { // 12 bytes of int16 become 3 floats
				return float(352, math.NaN())(append(b, b[352:364]...))
			}}, "", cell, "1 of 6 values are NaN or infinite",
		},
	} {
		b := nifti(1, o, ras)
		for _, change := range c.change {
			b = change(b)
		}
		if name == "FreeSurfer vector" {
			o.PutUint16(b[46:], 1)
		}
		grids, notes, err := readNoted(t, NIfTI, file(t, "a.nii", b))
		if err != nil || len(grids) != 1 || c.values != "" && fmt.Sprint(grids[0].Values) != c.values ||
			fmt.Sprint(grids[0].Cell) != c.cell || !strings.Contains(notes, c.note) {
			t.Errorf("%s: found %+v, %s, %v, want %s, %s, %s", name, grids, notes, err, c.values, c.cell, c.note)
		}
	}
}

// TestNIfTIReasons checks that a variant that is not supported is recognized, so that its error is shown.
func TestNIfTIReasons(t *testing.T) {
	for want, change := range map[string]func(b []byte){
		"datatype 2304 (RGBA)":      func(b []byte) { b[70], b[71] = 0, 9 },
		"datatype 1536 (float128)":  func(b []byte) { b[70], b[71] = 0, 6 },
		"datatype: found 77":        func(b []byte) { b[70] = 77 },
		"dim[1]: found -1":          func(b []byte) { b[42], b[43] = 0xff, 0xff },
		"dim: found 0 axes":         func(b []byte) { b[40] = 0 },
		"vox_offset: found NaN":     func(b []byte) { copy(b[108:], "\xff\xff\xff\xff") },
		"intent code 3006: CIFTI":   func(b []byte) { b[68], b[69] = 0xbe, 0x0b },
		"an ANALYZE 7.5 image":      func(b []byte) { clear(b[344:348]) },
		`found magic "n+3\x00"`:     func(b []byte) { copy(b[344:], "n+3") },
		"more than 65536 volumes":   func(b []byte) { b[40] = 5; copy(b[48:], "\xff\x7f\xff\x7f") },
		"truncated: found 364 byte": func(b []byte) { b[46] = 2 },
	} {
		b := nifti(1, binary.LittleEndian, ras)
		change(b)
		path := file(t, "a.nii", b)
		head, err := ingest.ReadHead(path)
		if err != nil || NIfTI.Detect(head) < ingest.Likely {
			t.Errorf("%s: not recognized: %v", want, err)
		}
		if _, _, err := readNoted(t, NIfTI, path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("found error %v, want %q", err, want)
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
	// One of a pair may be compressed, the other not.
	if err := os.Rename(filepath.Join(dir, "a.img"), filepath.Join(dir, "a.img.gz")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readNIfTI(filepath.Join(dir, "a.hdr"), ingest.Options{}); err != nil {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(dir, "a.img.gz")); err != nil {
		t.Fatal(err)
	}
	_, _, err = readNIfTI(filepath.Join(dir, "a.hdr"), ingest.Options{})
	if err == nil || !strings.Contains(err.Error(), "found no a.img") {
		t.Errorf("without the image: found %v", err)
	}
}

func TestSuite(t *testing.T) {
	ingesttest.Format(t, NIfTI, "a.nii", nifti(1, binary.LittleEndian, ras))
	ingesttest.Format(t, NIfTI, "b.nii", nifti(2, binary.BigEndian, turned))
}

func FuzzNIfTI(f *testing.F) {
	ingesttest.Fuzz(f, NIfTI, "f.nii", nifti(1, binary.LittleEndian, ras), nifti(2, binary.BigEndian, turned))
}
