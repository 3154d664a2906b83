package medical

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/ingesttest"
)

var little = binary.LittleEndian

// sq is a sequence with an item for each list of elements.
func sq(t tag, items ...[]element) element {
	var b []byte
	for _, item := range items {
		body := encode(item)
		b = appendElement(b, little, true, element{tagItem, "", nil}, uint32(len(body)))
		b = append(b, body...)
	}
	return element{t, "SQ", b}
}

func encode(elements []element) (b []byte) {
	for _, e := range elements {
		b = appendElement(b, little, true, e, uint32(len(e.v)))
	}
	return b
}

func ds(t tag, v string) element { return text(t, "DS", v) }

func uints(t tag, vr string, values ...int) element {
	e := element{t: t, vr: vr}
	for _, v := range values {
		switch vr {
		case "US":
			e.v = little.AppendUint16(e.v, uint16(v))
		case "AT":
			e.v = little.AppendUint16(little.AppendUint16(e.v, uint16(v>>16)), uint16(v))
		default:
			e.v = little.AppendUint32(e.v, uint32(v))
		}
	}
	return e
}

func fd(t tag, values ...float64) element {
	e := element{t: t, vr: "FD"}
	for _, v := range values {
		e.v = little.AppendUint64(e.v, math.Float64bits(v))
	}
	return e
}

// imageOf is a file of n frames of 1 x 2 pixels, of which those of frame i are 10*i and 10*i+1, with the elements of
// head before those of the pixels and the elements of tail after them.
func imageOf(n int, head, tail []element) []byte {
	var px []byte
	for i := range n {
		px = little.AppendUint16(little.AppendUint16(px, uint16(10*i)), uint16(10*i+1))
	}
	all := append([]element{text(tagSeries, "UI", "1.2.3")}, head...)
	all = append(all, text(tagFrames, "IS", fmt.Sprint(n)), uints(tagRows, "US", 1), uints(tagColumns, "US", 2),
		uints(tagAllocated, "US", 16), uints(tagStored, "US", 16), uints(tagSigned, "US", 0))
	all = append(append(all, tail...), element{tagPixels, "OW", px})
	file := append(make([]byte, dicomPreamble), "DICM"...)
	return append(append(file, encode([]element{text(tagTransferSyntax, "UI", explicitLittle)})...), encode(all)...)
}

// measured are the functional groups of all frames.
var measured = []element{
	sq(tagOrientationGroup, []element{ds(tagOrientation, axial)}),
	sq(tagMeasuresGroup, []element{ds(tagSpacing, `0.5\0.25`), ds(tagThickness, "9"), ds(tagBetween, "9")}),
}

// enhanced is an image with functional groups, of which those of frame i are per(i).
func enhanced(n int, shared []element, per func(i int) []element) []byte {
	groups := make([][]element, n)
	for i := range groups {
		groups[i] = per(i)
	}
	return imageOf(n, nil, []element{sq(tagShared, shared), sq(tagPerFrame, groups...)})
}

func at(z float64) element {
	return sq(tagPositionGroup, []element{ds(tagPosition, fmt.Sprintf(`0\0\%g`, z))})
}

// summary are the shapes of grids, with the first value of each slice and the cell of the first grid in mm.
func summary(grids []*ingest.Grid) string {
	var b strings.Builder
	for _, g := range grids {
		var first []float32
		for z := range g.Dims[0] {
			// The axes of rows and columns are reversed, so that the first pixel is the last of a slice.
			first = append(first, g.Values[(z+1)*g.Dims[1]*g.Dims[2]-1])
		}
		fmt.Fprintf(&b, "%v ", first)
	}
	for _, c := range grids[0].Cell {
		fmt.Fprintf(&b, "%.4g ", c*1000)
	}
	return strings.TrimSpace(b.String())
}

// TestFunctionalGroups checks values and geometry of enhanced multi-frame images.
func TestFunctionalGroups(t *testing.T) {
	content := func(elements ...element) element { return sq(tagContentGroup, elements) }
	for name, c := range map[string]struct {
		n          int
		shared     []element
		per        func(i int) []element
		want, note string
	}{
		"stored from the top": {
			3, measured, func(i int) []element { return []element{at(-2.5 * float64(i))} },
			"[20 10 0] 2.5 0.5 0.25", "[]",
		},
		"rescaled each": {
			2, measured, func(i int) []element {
				values := []element{ds(tagIntercept, "-5"), ds(tagSlope, fmt.Sprint(i+1))}
				return []element{at(float64(i)), sq(tagValuesGroup, values)}
			},
			"[-5 15] 1 0.5 0.25", "[]",
		},
		"rescaled together": {
			2, append([]element{sq(tagValuesGroup, []element{ds(tagIntercept, "-1024"), ds(tagSlope, "1")})}, measured...),
			func(i int) []element { return []element{at(float64(i))} }, "[-1024 -1014] 1 0.5 0.25", "[]",
		},
		"times": {
			4, measured, func(i int) []element {
				return []element{content(uints(tagTemporalIndex, "UL", i%2+1)), at(float64(i / 2))}
			},
			"[0 20] [10 30] 1 0.5 0.25", "2 volumes by temporal position",
		},
		"echoes": {
			4, measured, func(i int) []element {
				return []element{sq(tagEchoGroup, []element{fd(tagEffectiveEcho, float64(20-i/2))}), at(float64(i % 2))}
			},
			"[20 30] [0 10] 1 0.5 0.25", "2 volumes by echo time",
		},
		"diffusion": {
			6, measured, func(i int) []element {
				d := []element{fd(tagBValue, []float64{0, 800, 800}[i/2])}
				if i >= 2 {
					d = append(d, sq(tagGradientGroup, []element{fd(tagGradient, float64(i/4), 0, 1)}))
				}
				return []element{sq(tagDiffusionGroup, d), at(float64(i % 2))}
			},
			"[0 10] [20 30] [40 50] 1 0.5 0.25", "2 volumes by gradient",
		},
		"magnitude and phase": {
			4, measured, func(i int) []element {
				part := []string{"MAGNITUDE", "PHASE"}[i%2]
				return []element{sq(tagMRTypeGroup, []element{text(tagComplex, "CS", part)}), at(float64(i / 2))}
			},
			"[0 20] [10 30] 1 0.5 0.25", "complex component",
		},
		"heart": {
			4, measured, func(i int) []element {
				return []element{sq(tagCardiacGroup, []element{fd(tagTriggerDelay, float64(i/2))}), at(float64(i % 2))}
			},
			"[0 10] [20 30] 1 0.5 0.25", "trigger delay",
		},
		"dimension indices": {
			4, measured, func(i int) []element {
				return []element{content(uints(tagDimensionValues, "UL", 1, i%2+1, i/2+1)), at(float64(i % 2))}
			},
			"[0 10] [20 30] 1 0.5 0.25", "dimension index 3",
		},
		"stacks apart": {
			6, measured, func(i int) []element {
				return []element{content(text(tagStack, "SH", fmt.Sprint(i/3))), at([]float64{0, 1, 2, 50, 51, 52}[i])}
			},
			"[0 10 20] [30 40 50] 1 0.5 0.25", "2 volumes by stack",
		},
		"interleaved stacks": {
			4, measured, func(i int) []element {
				return []element{content(text(tagStack, "SH", fmt.Sprint(i/2))), at([]float64{0, 2, 1, 3}[i])}
			},
			"[0 20 10 30] 1 0.5 0.25", "[]",
		},
		"stopped": {
			5, measured, func(i int) []element {
				return []element{content(uints(tagTemporalIndex, "UL", i/2+1)), at(float64(i % 2))}
			},
			"[0 10] [20 30] 1 0.5 0.25", "an incomplete volume is left out: 1 of 2 slices",
		},
		"segments": {
			3, measured, func(i int) []element {
				return []element{sq(tagSegmentGroup, []element{uints(tagSegment, "US", i/2+1)}), at(float64(i))}
			},
			"[0 10] [20] 1 0.5 0.25", "different sizes",
		},
		"real world values": {
			2, measured, func(i int) []element {
				return []element{at(float64(i)), sq(tagRealWorldGroup, []element{
					sq(tagUnits, []element{text(tagCode, "SH", "mm2/s")}), fd(tagRealWorldOffset, 2), fd(tagRealWorldSlope, 0.5),
				})}
			},
			"[2 7] 1 0.5 0.25", "unit mm2/s",
		},
		"no positions": {
			2, measured, func(int) []element { return nil }, "[0 10] 9 0.5 0.25", "in the order of their numbers",
		},
		"numbers in the stack": {
			2, measured, func(i int) []element { return []element{content(uints(tagInStack, "UL", 2-i))} },
			"[10 0] 9 0.5 0.25", "[]",
		},
		"volume of ultrasound": {
			2,
			[]element{
				sq(tagVolumeOrientGroup, []element{fd(tagVolumeOrientation, 1, 0, 0, 0, 1, 0)}),
				sq(tagMeasuresGroup, []element{ds(tagSpacing, `0.5\0.25`)}),
			},
			func(i int) []element {
				return []element{sq(tagVolumePosGroup, []element{fd(tagVolumePosition, 0, 0, float64(-i))})}
			},
			"[10 0] 1 0.5 0.25", "[]",
		},
	} {
		grids, notes, err := readNoted(t, DICOM, file(t, "a.dcm", enhanced(c.n, c.shared, c.per)))
		if err != nil || len(grids) == 0 {
			t.Errorf("%s: found %d volumes, %v", name, len(grids), err)
			continue
		}
		if got := summary(grids); got != c.want || !strings.Contains(notes, c.note) {
			t.Errorf("%s: found %s, %s, want %s, %s", name, got, notes, c.want, c.note)
		}
	}
}

// TestMultiFrame checks images whose frames are described by vectors and modules of their own.
func TestMultiFrame(t *testing.T) {
	placed := []element{ds(tagThickness, "9"), ds(tagPosition, `0\0\5`), ds(tagOrientation, axial)}
	spaced := ds(tagSpacing, `0.5\0.25`)
	dose := func(offsets string) []element {
		return []element{
			uints(tagFramePointer, "AT", int(tagDoseOffsets)), spaced, ds(tagDoseOffsets, offsets),
			text(tagDoseUnits, "CS", "GY"), ds(tagDoseScaling, "0.5"),
		}
	}
	nuclear := func(between string, vectors ...element) []element {
		out := []element{spaced, ds(tagBetween, between)}
		var pointers []int
		for _, v := range vectors {
			pointers = append(pointers, int(v.t))
		}
		out = append(append(out, uints(tagFramePointer, "AT", pointers...)), vectors...)
		return append(out, sq(tagDetectors, []element{ds(tagPosition, `0\0\0`), ds(tagOrientation, axial)}))
	}
	for name, c := range map[string]struct {
		n          int
		head, tail []element
		want, note string
	}{
		"dose":              {3, placed, dose(`0\2.5\5`), "[0 5 10] 2.5 0.5 0.25", "values are doses: unit GY"},
		"dose, absolute":    {3, placed, dose(`5\8\11`), "[0 5 10] 3 0.5 0.25", "GY"},
		"dose, downward":    {3, placed, dose(`0\-2\-4`), "[10 5 0] 2 0.5 0.25", "GY"},
		"dose, odd offsets": {2, placed, dose(`7\9`), "[0 5] 2 0.5 0.25", "the first frame offset is 7 mm"},
		"dose, uneven":      {4, placed, dose(`0\2\4\9`), "[0 5 10 15] 2 0.5 0.25", "1 of 3 distances are not the usual 2 mm"},
		"nuclear":           {2, nil, nuclear("4", uints(tagSliceVector, "US", 1, 2)), "[0 10] 4 0.5 0.25", "[]"},
		"nuclear, downward": {2, nil, nuclear("-4", uints(tagSliceVector, "US", 1, 2)), "[10 0] 4 0.5 0.25", "[]"},
		"nuclear, gated": {
			4, nil, nuclear("4", uints(tagTimeSlotVector, "US", 1, 1, 2, 2), uints(tagSliceVector, "US", 1, 2, 1, 2)),
			"[0 10] [20 30] 4 0.5 0.25", "2 volumes by time slot",
		},
		"nuclear, projections": {
			2, nil, nuclear("4", uints(tagDetectorVector, "US", 2, 1)), "[10] [0] 4 0.5 0.25", "2 volumes by detector",
		},
		"in time": {
			2, placed,
			[]element{uints(tagFramePointer, "AT", int(tagFrameTime)), spaced},
			"[0] [10] 9 0.5 0.25",
			"points in time",
		},
		"plain": {
			2, append(placed, ds(tagBetween, "3")),
			[]element{spaced},
			"[0 10] 3 0.5 0.25",
			"in the order of their numbers",
		},
		"modality table": {
			2, append(placed, ds(tagBetween, "3")), []element{spaced, sq(tagLUT, []element{
				uints(tagLUTDescriptor, "US", 3, 9, 16), uints(tagLUTData, "US", 100, 200, 300),
			})}, "[100 200] 3 0.5 0.25", "modality lookup table",
		},
		"slope of 0": {
			1, placed,
			[]element{spaced, ds(tagIntercept, "1"), ds(tagSlope, "0")},
			"[1] 9 0.5 0.25",
			"slope of 0",
		},
		"inverse": {
			1, placed,
			[]element{text(tagPhotometric, "CS", "MONOCHROME1"), spaced},
			"[0] 9 0.5 0.25", "MONOCHROME1",
		},
		"no spacing":     {1, placed, nil, "[0] 9 1 1", "no pixel spacing: 1 mm is assumed"},
		"spacing of 0":   {1, placed, []element{ds(tagSpacing, `0\0`)}, "[0] 9 1 1", "0 x 0 mm is impossible"},
		"detector":       {1, append(placed, ds(tagImagerSpacing, `0.5\0.25`)), nil, "[0] 9 0.5 0.25", "that at the detector"},
		"no orientation": {1, nil, []element{spaced}, "[0] 1 0.5 0.25", "no orientation: axial slices are assumed"},
		"zero orientation": {
			1, []element{ds(tagOrientation, `0\0\0\0\0\0`)}, []element{spaced}, "[0] 1 0.5 0.25", "[0 0 0 0 0 0] is impossible",
		},
		"high bits": { // the first of equal elements counts
			2, append([]element{ds(tagBetween, "3"), uints(tagStored, "US", 12), uints(tagHighBit, "US", 13)}, placed...),
			[]element{spaced},
			"[0 2] 3 0.5 0.25", "shifted",
		},
		"ultrasound": {
			1, []element{sq(tagRegions, []element{
				uints(tagRegionUnitX, "US", 3), uints(tagRegionUnitY, "US", 3), fd(tagRegionX, 0.025), fd(tagRegionY, 0.05),
			})}, nil, "[0] 1 0.5 0.25", "no slice thickness",
		},
	} {
		grids, notes, err := readNoted(t, DICOM, file(t, "a.dcm", imageOf(c.n, c.head, c.tail)))
		if err != nil || len(grids) == 0 {
			t.Errorf("%s: found %d volumes, %v", name, len(grids), err)
			continue
		}
		if got := summary(grids); got != c.want || !strings.Contains(notes, c.note) {
			t.Errorf("%s: found %s, %s, want %s, %s", name, got, notes, c.want, c.note)
		}
	}
}

// TestFloatPixels checks pixels that are floating-point numbers.
func TestFloatPixels(t *testing.T) {
	nan := math.NaN()
	b := imageOf(1, nil, nil)
	b = b[:len(b)-4-12] // without the pixels
	floats := element{tagFloats, "OF", nil}
	for _, v := range []float64{1.5, nan} {
		floats.v = little.AppendUint32(floats.v, math.Float32bits(float32(v)))
	}
	doubles := fd(tagDoubles, 1.5, nan)
	doubles.vr = "OD"
	for _, e := range []element{floats, doubles} {
		grids, notes, err := readNoted(t, DICOM, file(t, "a.dcm", slices.Concat(b, encode([]element{e}))))
		if err != nil || len(grids) != 1 || grids[0].Values[1] != 1.5 || !strings.Contains(notes, "1 of 2 values are NaN") {
			t.Errorf("%v: found %+v, %s, %v", e.t, grids, notes, err)
		}
	}
}

// csa is a Siemens header with one element.
func csa(name string, values ...string) element {
	b := little.AppendUint32([]byte("SV10\x04\x03\x02\x01"), 1)
	b = little.AppendUint32(b, 77)
	b = append(append(b, name...), make([]byte, 64-len(name))...)
	for _, v := range []int{len(values), 0, 0, len(values), 77} {
		b = little.AppendUint32(b, uint32(v))
	}
	for _, v := range values {
		for _, x := range []int{0, len(v), 77, 0} {
			b = little.AppendUint32(b, uint32(x))
		}
		b = append(b, v...)
		b = append(b, make([]byte, (4-len(v)%4)%4)...)
	}
	return element{tagSiemensHeader, "OB", append(b, make([]byte, len(b)%2)...)}
}

// TestMosaic checks the tiles of a Siemens mosaic, which are slices.
func TestMosaic(t *testing.T) {
	for name, c := range map[string]struct {
		elements []element
		want     string
	}{
		"number": {[]element{uints(tagSiemensTiles, "US", 3)}, "[0 1 4] 3 0.5 0.25"},
		"header": {[]element{csa("NumberOfImagesInMosaic", "3")}, "[0 1 4] 3 0.5 0.25"},
		"downward": {
			[]element{uints(tagSiemensTiles, "US", 3), csa("SliceNormalVector", "0.0", "0.0", "-1.0")},
			"[4 1 0] 3 0.5 0.25",
		},
		"unknown":  {nil, "[0] 3 0.5 0.25"},
		"too many": {[]element{uints(tagSiemensTiles, "US", 7)}, "[0] 3 0.5 0.25"},
	} {
		head := append([]element{
			text(tagImageType, "CS", `ORIGINAL\PRIMARY\M\MOSAIC`), ds(tagOrientation, axial), ds(tagBetween, "3"),
		}, c.elements...)
		head = append(head, uints(tagRows, "US", 2), uints(tagColumns, "US", 2))
		tail := []element{ds(tagSpacing, `0.5\0.25`)}
		b := imageOf(1, head, tail)
		b = slices.Concat(b[:len(b)-4-12], encode([]element{uints(tagPixels, "OW", 0|1<<16, 4|5<<16)}))
		grids, notes, err := readNoted(t, DICOM, file(t, "a.dcm", b))
		if err != nil || summary(grids) != c.want {
			t.Errorf("%s: found %v, %s, %v, want %s", name, grids, notes, err, c.want)
		}
	}
}

// TestBigWords checks that pixels of 8 bits in big-endian words are swapped.
func TestBigWords(t *testing.T) {
	for vr, want := range map[string]string{"OW": "[4 3 2 1]", "OB": "[3 4 1 2]"} {
		d := &dataSet{b: []byte{2, 1, 4, 3}, order: binary.BigEndian}
		p := &picture{rows: 1, cols: 4, bits: 8, stored: 8, frames: 1}
		if err := d.load(p, pixelData{tagPixels, vr, 4}, ingest.Options{}); err != nil {
			t.Fatal(err)
		}
		slices.Reverse(p.pixels)
		if got := fmt.Sprint(p.pixels); got != want {
			t.Errorf("%s: found %s, want %s", vr, got, want)
		}
	}
}

// TestNoImage checks that the error says what a file is that holds no pixels.
func TestNoImage(t *testing.T) {
	b := imageOf(1, []element{text(tagClass, "UI", "1.2.840.10008.5.1.4.1.1.481.3")}, nil)
	_, _, err := readNoted(t, DICOM, file(t, "a.dcm", b[:len(b)-4-12]))
	if err == nil || !strings.Contains(err.Error(), "it is not an image (RT structure set)") {
		t.Errorf("found error %v", err)
	}
}

// TestTruncatedFrames checks that whole frames are kept.
func TestTruncatedFrames(t *testing.T) {
	b := enhanced(3, measured, func(i int) []element { return []element{at(float64(i))} })
	grids, notes, err := readNoted(t, DICOM, file(t, "a.dcm", b[:len(b)-1]))
	if err != nil || summary(grids) != "[0 10] 1 0.5 0.25" || !strings.Contains(notes, "2 of 3 frames are whole") {
		t.Errorf("found %v, %s, %v", grids, notes, err)
	}
}

// TestEncodings checks data sets that are not encoded as they should be.
func TestEncodings(t *testing.T) {
	good := enhanced(2, measured, func(i int) []element { return []element{at(float64(i))} })
	class := encode([]element{
		text(tagClass, "UI", "1.2.3"), text(tagUID, "UI", "1.2.4"), text(tagAcquisitionTime, "TM", "10"),
		text(tagModality, "CS", "MR"),
	})
	meta := len(encode([]element{text(tagTransferSyntax, "UI", explicitLittle)}))
	bare := slices.Concat(class, good[dicomPreamble+4+meta:])
	wrong := encode([]element{text(tagTransferSyntax, "UI", implicitLittle)})
	wrong = slices.Concat(good[:dicomPreamble+4], wrong, good[dicomPreamble+4+meta:])
	none := slices.Concat(good[:dicomPreamble+4], good[dicomPreamble+4+meta:])
	for name, c := range map[string]struct {
		data []byte
		note string
	}{
		"no preamble":        {bare, "no transfer syntax"},
		"no transfer syntax": {none, "no transfer syntax"},
		"other form":         {wrong, "elements do not have the form of the transfer syntax 1.2.840.10008.1.2"},
	} {
		path := file(t, "IM0001", c.data)
		head, err := ingest.ReadHead(path)
		if err != nil || DICOM.Detect(head) < ingest.Likely {
			t.Errorf("%s: not recognized: %v", name, err)
		}
		grids, notes, err := readNoted(t, DICOM, path)
		if err != nil || len(grids) != 1 || summary(grids) != "[0 10] 1 0.5 0.25" || !strings.Contains(notes, c.note) {
			t.Errorf("%s: found %v, %s, %v", name, grids, notes, err)
		}
	}
}

// oneSlice is a file of one slice, whose first value is its position.
func oneSlice(z float64, elements ...element) []byte {
	head := append([]element{}, elements...)
	head = append(head, ds(tagThickness, "9"), ds(tagPosition, fmt.Sprintf(`0\0\%g`, z)), ds(tagOrientation, axial))
	return imageOf(1, head, []element{ds(tagSpacing, `0.5\0.25`), ds(tagIntercept, fmt.Sprint(z)), ds(tagSlope, "1")})
}

// TestSeries checks folders: what belongs together, and what is passed over. The first value of a slice is its
// position.
func TestSeries(t *testing.T) {
	plain := func(names ...string) map[string][]byte {
		out := map[string][]byte{}
		for i, name := range names {
			out[name] = oneSlice(float64(i))
		}
		return out
	}
	with := func(files map[string][]byte, name string, data []byte) map[string][]byte {
		files[name] = data
		return files
	}
	by := func(t tag, vr string, values ...string) map[string][]byte {
		out := map[string][]byte{}
		for i := range 4 {
			number := text(tagInstance, "IS", fmt.Sprint(i+1))
			out[fmt.Sprint("IM", i)] = oneSlice(float64(i%2), text(t, vr, values[i*len(values)/4]), number)
		}
		return out
	}
	localizer := text(tagImageType, "CS", `ORIGINAL\PRIMARY\LOCALIZER`)
	structures := imageOf(1, []element{text(tagClass, "UI", "1.2.840.10008.5.1.4.1.1.481.3")}, nil)
	structures = structures[:len(structures)-4-12]
	other := imageOf(1, []element{ds(tagOrientation, axial)}, []element{ds(tagSpacing, `0.5\0.25`)})
	other = []byte(strings.Replace(string(other), "1.2.3 ", "1.2.4 ", 1))
	for name, c := range map[string]struct {
		files      map[string][]byte
		want, note string
	}{
		"no extension":    {plain("IM000000", "IM000001"), "[0 1] 1 0.5 0.25", "[]"},
		"IMA":             {plain("a.IMA", "b.ima"), "[0 1] 1 0.5 0.25", "[]"},
		"UIDs":            {plain("1.2.840.1", "1.2.840.2"), "[0 1] 1 0.5 0.25", "[]"},
		"other extension": {plain("a.dcm", "b.bak"), "[0 1] 1 0.5 0.25", "[]"},
		"structure set":   {with(plain("a.dcm", "b.dcm"), "RS.dcm", structures), "[0 1] 1 0.5 0.25", "passed over RS.dcm"},
		"other files": {
			with(plain("a", "b"), "x.pdf", []byte("%PDF")), "[0 1] 1 0.5 0.25",
			"passed over x.pdf: not DICOM",
		},
		"localizer": {
			with(plain("a", "b"), "c", oneSlice(9, localizer)), "[0 1] 1 0.5 0.25",
			"passed over c: a localizer",
		},
		"only localizers": {map[string][]byte{"c": oneSlice(9, localizer)}, "[9] 9 0.5 0.25", "[]"},
		"truncated": {
			with(plain("a", "b"), "c", oneSlice(2)[:len(oneSlice(2))-1]), "[0 1] 1 0.5 0.25",
			"passed over c: truncated",
		},
		"two series":       {with(plain("a", "b"), "c", other), "[0 1] [0] 1 0.5 0.25", "2 series, each a stream of its own"},
		"by time":          {by(tagTemporal, "IS", "1", "2"), "[0 1] [0 1] 1 0.5 0.25", "2 volumes by temporal position"},
		"by echo":          {by(tagEcho, "IS", "1", "2"), "[0 1] [0 1] 1 0.5 0.25", "2 volumes by echo"},
		"by echo time":     {by(tagEchoTime, "DS", "4.5", "12"), "[0 1] [0 1] 1 0.5 0.25", "2 volumes by echo time"},
		"by acquisition":   {by(tagAcquisition, "IS", "1", "2"), "[0 1] [0 1] 1 0.5 0.25", "2 volumes by acquisition"},
		"by image type":    {by(tagImageType, "CS", `O\M`, `O\P`), "[0 1] [0 1] 1 0.5 0.25", "2 volumes by image type"},
		"by trigger":       {by(tagTriggerTime, "DS", "0", "40"), "[0 1] [0 1] 1 0.5 0.25", "2 volumes by trigger time"},
		"by private b":     {by(tagSiemensBValue, "IS", "0", "800"), "[0 1] [0 1] 1 0.5 0.25", "2 volumes by b-value"},
		"a time per slice": {by(tagContentTime, "TM", "1", "2", "3", "4"), "[0 1] [0 1] 1 0.5 0.25", "order of their numbers"},
		"a copy": {
			map[string][]byte{
				"a": oneSlice(0, text(tagUID, "UI", "7")), "b": oneSlice(0, text(tagUID, "UI", "7")),
				"c": oneSlice(1),
			},
			"[0 1] 1 0.5 0.25", "a copy of an image",
		},
		"directory": {
			with(plain("A", "B"), "DICOMDIR", append(append(make([]byte, dicomPreamble), "DICM"...),
				encode([]element{text(tagMediaClass, "UI", classDirectory), text(tagTransferSyntax, "UI", explicitLittle)})...)),
			"[0 1] 1 0.5 0.25", "[]",
		},
	} {
		dir := t.TempDir()
		for file, data := range c.files {
			if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		head, err := ingest.ReadHead(dir)
		if err != nil || DICOMSeries.Detect(head) != ingest.Sure {
			t.Errorf("%s: not recognized: %v", name, err)
		}
		grids, notes, err := readNoted(t, DICOMSeries, dir)
		if err != nil || len(grids) == 0 {
			t.Errorf("%s: found %d volumes, %s, %v", name, len(grids), notes, err)
			continue
		}
		if got := summary(grids); got != c.want || !strings.Contains(notes, c.note) {
			t.Errorf("%s: found %s, %s, want %s, %s", name, got, notes, c.want, c.note)
		}
		if _, err := DICOMSeries.Inspect(t.Context(), dir, ingesttest.Options); err != nil {
			t.Errorf("%s: inspect: %v", name, err)
		}
	}
}

// TestSeriesChoice checks the option that reads one of several series.
func TestSeriesChoice(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"a": oneSlice(0),
		"b": []byte(strings.Replace(string(oneSlice(1, text(tagSeriesName, "LO", "T1"), text(tagSeriesNumber, "IS", "4"))),
			"1.2.3 ", "1.2.4 ", 1)),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"": "[0] [1] 9 0.5 0.25", "T1": "[1] 9 0.5 0.25", "4": "[1] 9 0.5 0.25", "4 T1": "[1] 9 0.5 0.25",
		"1.2.3": "[0] 9 0.5 0.25",
		"T2":    `found no series "T2", want --series with one of "1.2.3", "4 T1"`,
	} {
		o := ingesttest.Options
		o.Readers = []any{&Options{Series: name}}
		src, err := DICOMSeries.Open(t.Context(), dir, o)
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: found error %v, want %s", name, err, want)
			}
			continue
		}
		var grids []*ingest.Grid
		streams := map[string]bool{}
		_, err = ingest.Each(t.Context(), src, func(s ingest.Sample) error {
			grids = append(grids, s.Data.(*ingest.Grid))
			streams[s.Stream] = true
			return nil
		}, func(err error) { t.Error(err) })
		if err != nil || summary(grids) != want || len(streams) != len(grids) {
			t.Errorf("%s: found %s in %v, %v, want %s", name, summary(grids), streams, err, want)
		}
	}
}

func TestEnhancedSuite(t *testing.T) {
	ingesttest.Format(t, DICOM, "a.dcm", enhanced(4, measured, func(i int) []element {
		return []element{sq(tagContentGroup, []element{uints(tagDimensionValues, "UL", 1, i)}), at(float64(i % 2))}
	}))
	ingesttest.Format(t, DICOM, "b.dcm", imageOf(3, []element{ds(tagPosition, `0\0\5`), ds(tagOrientation, axial)},
		[]element{
			ds(tagSpacing, `0.5\0.25`), ds(tagDoseOffsets, `0\2.5\5`), ds(tagDoseScaling, "0.5"),
		}))
}
