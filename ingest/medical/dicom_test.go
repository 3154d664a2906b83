package medical

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
)

const (
	implicitLittle = "1.2.840.10008.1.2"
	explicitLittle = "1.2.840.10008.1.2.1"
	explicitBig    = "1.2.840.10008.1.2.2"
	deflated       = "1.2.840.10008.1.2.1.99"
)

// element is one of a data set; text values are padded.
type element struct {
	t  tag
	vr string
	v  []byte
}

func text(t tag, vr, v string) element {
	if len(v)%2 == 1 {
		v += " "
	}
	return element{t, vr, []byte(v)}
}

func short(o binary.ByteOrder, t tag, v uint16) element {
	b := make([]byte, 2)
	o.PutUint16(b, v)
	return element{t, "US", b}
}

func appendElement(b []byte, o binary.AppendByteOrder, explicit bool, e element, length uint32) []byte {
	b = o.AppendUint16(o.AppendUint16(b, uint16(e.t>>16)), uint16(e.t))
	switch {
	case !explicit || e.t>>16 == 0xfffe:
		b = o.AppendUint32(b, length)
	case long(e.vr):
		b = o.AppendUint32(append(b, e.vr[0], e.vr[1], 0, 0), length)
	default:
		b = o.AppendUint16(append(b, e.vr...), uint16(length))
	}
	return append(b, e.v...)
}

// dicom makes a file of 2 rows and 3 columns, 12 of 16 bits, with a nested sequence of unknown length before the
// pixels.
func dicom(tb testing.TB, syntax, position, orientation string, pixels ...uint16) []byte {
	o, bo := binary.AppendByteOrder(binary.LittleEndian), binary.ByteOrder(binary.LittleEndian)
	if syntax == explicitBig {
		o, bo = binary.BigEndian, binary.BigEndian
	}
	explicit := syntax != implicitLittle
	var set []byte
	add := func(e element) { set = appendElement(set, o, explicit, e, uint32(len(e.v))) }
	add(text(tagThickness, "DS", "2.5"))
	add(text(tagSeries, "UI", "1.2.3"))
	add(text(tagPosition, "DS", position))
	add(text(tagOrientation, "DS", orientation))
	open := func(t tag, vr string) { set = appendElement(set, o, explicit, element{t, vr, nil}, undefined) }
	shut := func(t tag) { set = appendElement(set, o, explicit, element{t, "", nil}, 0) }
	open(0x00209116, "SQ")
	open(tagItem, "")
	add(text(tagPosition, "DS", `9\9\9`))
	open(0x00209117, "SQ")
	shut(tagSequenceEnd)
	shut(tagItemEnd)
	shut(tagSequenceEnd)
	for _, e := range []element{
		short(bo, tagRows, 2), short(bo, tagColumns, 3), text(tagSpacing, "DS", `0.5\0.25`),
		short(bo, tagAllocated, 16), short(bo, tagStored, 12),
		short(bo, tagSigned, 1), text(tagIntercept, "DS", "-100"), text(tagSlope, "DS", "2"),
	} {
		add(e)
	}
	var px []byte
	for _, v := range pixels {
		px = o.AppendUint16(px, v)
	}
	add(element{tagPixels, "OW", px})
	if syntax == deflated {
		var packed bytes.Buffer
		w, err := flate.NewWriter(&packed, 9)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write(set); err != nil {
			tb.Fatal(err)
		}
		if err := w.Close(); err != nil {
			tb.Fatal(err)
		}
		set = packed.Bytes()
	}
	file := append(make([]byte, dicomPreamble), "DICM"...)
	meta := text(tagTransferSyntax, "UI", syntax)
	return append(appendElement(file, binary.LittleEndian, true, meta, uint32(len(meta.v))), set...)
}

const axial = `1\0\0\0\1\0`

func TestDICOM(t *testing.T) {
	for _, syntax := range []string{implicitLittle, explicitLittle, explicitBig, deflated} {
		g, err := readGrid(t, DICOM, "a.dcm", dicom(t, syntax, `0\0\0`, axial, 0, 1, 0xfff, 0x7ff, 0x800, 0xf001))
		// 12 bits, signed: fff is -1, 800 is -2048, f001 is 1. Left and back become right and front, so both axes
		// are reversed.
		if want := "[1 2 3] [-98 -4196 3994 -102 -98 -100]"; err != nil || fmt.Sprint(g.Dims, g.Values) != want {
			t.Errorf("%s: found %+v, %v, want %s", syntax, g, err, want)
		}
	}
}

func TestDICOMErrors(t *testing.T) {
	good := func() []byte { return dicom(t, explicitLittle, `0\0\0`, axial, 0, 1, 2, 3, 4, 5) }
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"cut": {good()[:len(good())-1], "want a value of 12 bytes"},
		"pixels": {
			dicom(t, explicitLittle, `0\0\0`, axial, 0, 1, 2, 3, 4),
			"found 10 bytes of pixels, want 1 x 2 x 3 of 16 bits",
		},
		"jpeg": {
			bytes.Replace(good(), []byte("1.2.840.10008.1.2.1\x20"), []byte("1.2.840.10008.1.2.4\x20"), 1),
			`found "1.2.840.10008.1.2.4"`,
		},
		"numbers": {dicom(t, explicitLittle, `0\0\zero`, axial, 0, 1, 2, 3, 4, 5), "element (0020,0032): found"},
		"magic":   {good()[1:], "found no DICM"},
	} {
		if _, err := readGrid(t, DICOM, "a.dcm", c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found error %v, want %q", name, err, c.want)
		}
	}
}

// TestDICOMSeries: slices go by position, not by name, in any plane.
func TestDICOMSeries(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"a.dcm": dicom(t, explicitLittle, `0\0\5`, axial, 52, 52, 52, 52, 52, 52),
		"b.dcm": dicom(t, explicitLittle, `0\0\-5`, axial, 50, 50, 50, 50, 50, 50),
		"c.dcm": dicom(t, implicitLittle, `0\0\0`, axial, 51, 51, 51, 51, 51, 51),
		"d.txt": []byte("not a slice"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	head, err := ingest.ReadHead(dir)
	if err != nil || DICOMSeries.Detect(head) != ingest.Sure {
		t.Errorf("not recognized: %v", err)
	}
	src, err := DICOMSeries.Open(t.Context(), dir, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := src.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g, ok := s.Data.(*ingest.Grid)
	if !ok || g.Dims != [3]int{3, 2, 3} || g.Values[0] != 0 || g.Values[6] != 2 || g.Values[12] != 4 {
		t.Errorf("found %+v", s.Data)
	}
	d, err := DICOMSeries.Inspect(t.Context(), dir, ingest.Options{})
	if grids, ok := d.(*ingest.Grids); err != nil || !ok || fmt.Sprint(grids.Cell) != "[5 0.5 0.25]" {
		t.Errorf("found %+v, %v", d, err)
	}
}

func TestDICOMSuite(t *testing.T) {
	ingesttest.Format(t, DICOM, "a.dcm", dicom(t, implicitLittle, `0\0\0`, axial, 0, 1, 2, 3, 4, 5))
	ingesttest.Format(t, DICOM, "b.dcm", dicom(t, explicitBig, `0\0\0`, axial, 0, 1, 2, 3, 4, 5))
}

func FuzzDICOM(f *testing.F) {
	ingesttest.Fuzz(f, DICOM, "a.dcm", dicom(f, implicitLittle, `0\0\0`, axial, 0, 1, 2, 3, 4, 5),
		dicom(f, explicitLittle, `0\0\0`, axial, 0, 1, 2, 3, 4, 5),
		enhanced(2, measured, func(i int) []element { return []element{at(float64(i))} }))
}
