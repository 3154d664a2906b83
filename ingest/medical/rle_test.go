package medical

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
)

// rleFrame holds the pixels 0x0101, 0x0102, 0x0103, 0x0203, 0x0203, 0x0203: runs, bytes as they are, and a 128 that
// means nothing.
var rleFrame = func() []byte {
	b := make([]byte, 64)
	high := []byte{0xfe, 1, 128, 0xfe, 2, 0}
	for i, v := range []uint32{2, 64, 64 + uint32(len(high))} {
		binary.LittleEndian.PutUint32(b[4*i:], v)
	}
	return append(append(b, high...), 2, 1, 2, 3, 0xfe, 3)
}()

// dicomRLE is the file of dicom with its pixels packed.
func dicomRLE(tb testing.TB, frames ...[]byte) []byte {
	plain := dicom(tb, explicitLittle, `0\0\0`, axial, 0, 1, 2, 3, 4, 5)
	o := binary.LittleEndian
	b := append([]byte(nil), plain[:len(plain)-24]...)
	b = appendElement(b, o, true, element{tagPixels, "OB", nil}, undefined)
	b = appendElement(b, o, true, element{tagItem, "", nil}, 0)
	for _, f := range frames {
		b = appendElement(b, o, true, element{tagItem, "", f}, uint32(len(f)))
	}
	b = appendElement(b, o, true, element{tagSequenceEnd, "", nil}, 0)
	// The identifier keeps its length: 20 bytes, of which the last ones are padding.
	return bytes.Replace(b, []byte(explicitLittle+" "), []byte("1.2.840.10008.1.2.5 "), 1)
}

func TestRLE(t *testing.T) {
	g, err := readGrid(t, DICOM, "a.dcm", dicomRLE(t, rleFrame))
	// 2 * v - 100, both axes reversed.
	if want := "[930 930 930 418 416 414]"; err != nil || fmt.Sprint(g.Values) != want {
		t.Errorf("found %+v, %v, want %s", g, err, want)
	}
}

func TestRLEErrors(t *testing.T) {
	change := func(at int, v byte) []byte {
		b := append([]byte(nil), rleFrame...)
		b[at] = v
		return b
	}
	for name, c := range map[string]struct {
		frames [][]byte
		want   string
	}{
		"none":     {nil, "found 0 bytes of pixels"},
		"header":   {[][]byte{rleFrame[:60]}, "want a header of 64"},
		"segments": {[][]byte{change(0, 3)}, "found 3 segments, want 2"},
		"offset":   {[][]byte{change(8, 200)}, "segment 1: found offset 200"},
		"short":    {[][]byte{rleFrame[:70]}, "segment 1: truncated: found 0 pixels, want 6"},
	} {
		if _, err := readGrid(t, DICOM, "a.dcm", dicomRLE(t, c.frames...)); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found error %v, want %q", name, err, c.want)
		}
	}
}

func TestRLESuite(t *testing.T) {
	ingesttest.Format(t, DICOM, "a.dcm", dicomRLE(t, rleFrame))
}

func FuzzRLE(f *testing.F) {
	f.Add(rleFrame, 2)
	f.Fuzz(func(t *testing.T, frame []byte, size int) {
		if size < 1 || size > 4 {
			return
		}
		if out, err := unRLE(frame, 6, size); err == nil && len(out) != 6*size {
			t.Errorf("found %d bytes, want %d", len(out), 6*size)
		}
	})
}

// TestDICOMHole checks that slices that are missing, or at one position, are noted.
func TestDICOMHole(t *testing.T) {
	for name, c := range map[string]struct {
		positions []string
		shapes    string
		want      string
	}{
		"even": {[]string{`0\0\-5`, `0\0\0`, `0\0\5`, `0\0\10.01`}, "[4 2 3]", "[]"},
		"hole": {
			[]string{`0\0\-5`, `0\0\0`, `0\0\10`, `0\0\15`},
			"[4 2 3]",
			"1 of 3 distances are not the usual 5 mm, the first one between 0 and 10 mm",
		},
		"hole of three": {
			[]string{`0\0\-10`, `0\0\0`, `0\0\5`},
			"[3 2 3]",
			"1 of 2 distances are not the usual 5 mm, the first one between -10 and 0 mm",
		},
		"twice": {
			[]string{`0\0\0`, `0\0\5`, `0\0\5`, `0\0\10`},
			"[3 2 3]",
			"an incomplete volume is left out: 1 of 3 slices",
		},
		"all twice": {
			[]string{`0\0\0`, `0\0\5`, `0\0\5`, `0\0\0`}, "[2 2 3] [2 2 3]", "they are 2 volumes by the order of their numbers",
		},
	} {
		dir := t.TempDir()
		for i, p := range c.positions {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i, ".dcm")),
				dicom(t, explicitLittle, p, axial, 0, 1, 2, 3, 4, 5), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		grids, notes, err := readNoted(t, DICOMSeries, dir)
		var shapes []string
		for _, g := range grids {
			shapes = append(shapes, fmt.Sprint(g.Dims))
			if fmt.Sprint(g.Cell) != "[0.005 0.0005 0.00025]" {
				t.Errorf("%s: found cells of %v m", name, g.Cell)
			}
		}
		if got := strings.Join(shapes, " "); err != nil || got != c.shapes || !strings.Contains(notes, c.want) {
			t.Errorf("%s: found %s, %s, %v, want %s, %s", name, got, notes, err, c.shapes, c.want)
		}
	}
}

func TestDICOMWindow(t *testing.T) {
	f := &frame{picture: &picture{}}
	set := attributes{
		{t: tagCentre, vr: "DS", value: []byte(`40\-600`)},
		{t: tagWidth, vr: "DS", value: []byte(`401\1500`)},
	}
	if err := f.valueMap(groups{set: set}, ingest.Options{}); err != nil {
		t.Fatal(err)
	}
	if f.window != [2]float32{-160.5, 239.5} {
		t.Errorf("found %v, want [-160.5 239.5]", f.window)
	}
}
