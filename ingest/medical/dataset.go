package medical

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// tag identifies an element of a DICOM data set: group << 16 | element.
type tag uint32

func (t tag) String() string { return fmt.Sprintf("(%04x,%04x)", uint32(t>>16), uint32(t&0xffff)) }

// Elements of DICOM PS3.6 that matter to images, by group and element.
const (
	tagMediaClass        tag = 0x00020002 // Media Storage SOP Class UID
	tagTransferSyntax    tag = 0x00020010
	tagFiles             tag = 0x00041500 // Referenced File ID
	tagRecords           tag = 0x00041220 // Directory Record Sequence
	tagImageType         tag = 0x00080008
	tagClass             tag = 0x00080016 // SOP Class UID
	tagUID               tag = 0x00080018 // SOP Instance UID
	tagAcquisitionTime   tag = 0x00080032
	tagContentTime       tag = 0x00080033
	tagModality          tag = 0x00080060
	tagSeriesName        tag = 0x0008103e // Series Description
	tagFrameType         tag = 0x00089007
	tagComplex           tag = 0x00089208 // Complex Image Component
	tagThickness         tag = 0x00180050
	tagEchoTime          tag = 0x00180081
	tagInversionTime     tag = 0x00180082
	tagEcho              tag = 0x00180086
	tagBetween           tag = 0x00180088 // Spacing Between Slices
	tagTriggerTime       tag = 0x00181060
	tagFrameTime         tag = 0x00181063
	tagFrameTimes        tag = 0x00181065 // Frame Time Vector
	tagImagerSpacing     tag = 0x00181164
	tagFlipAngle         tag = 0x00181314
	tagScannedSpacing    tag = 0x00182010 // Nominal Scanned Pixel Spacing
	tagRegions           tag = 0x00186011 // Sequence of Ultrasound Regions
	tagRegionUnitX       tag = 0x00186024
	tagRegionUnitY       tag = 0x00186026
	tagRegionX           tag = 0x0018602c // Physical Delta X
	tagRegionY           tag = 0x0018602e
	tagFrameDateTime     tag = 0x00189074 // Frame Acquisition DateTime
	tagInversionTimes    tag = 0x00189079
	tagEffectiveEcho     tag = 0x00189082
	tagBValue            tag = 0x00189087
	tagGradient          tag = 0x00189089 // Diffusion Gradient Orientation
	tagModifierGroup     tag = 0x00189115 // MR Modifier Sequence
	tagEchoGroup         tag = 0x00189114 // MR Echo Sequence
	tagDiffusionGroup    tag = 0x00189117
	tagCardiacGroup      tag = 0x00189118
	tagGradientGroup     tag = 0x00189076
	tagMRTypeGroup       tag = 0x00189226
	tagCTTypeGroup       tag = 0x00189329
	tagPETTypeGroup      tag = 0x00189751
	tagSiemensTiles      tag = 0x0019100a // Siemens: NumberOfImagesInMosaic
	tagSiemensBValue     tag = 0x0019100c
	tagSiemensHeader     tag = 0x00291010 // Siemens: CSA Image Header Info
	tagSeries            tag = 0x0020000e
	tagSeriesNumber      tag = 0x00200011
	tagAcquisition       tag = 0x00200012
	tagInstance          tag = 0x00200013
	tagPosition          tag = 0x00200032
	tagOrientation       tag = 0x00200037
	tagTemporal          tag = 0x00200100 // Temporal Position Identifier
	tagLocation          tag = 0x00201041 // Slice Location
	tagStack             tag = 0x00209056
	tagInStack           tag = 0x00209057 // In-Stack Position Number
	tagContentGroup      tag = 0x00209111 // Frame Content Sequence
	tagPositionGroup     tag = 0x00209113
	tagOrientationGroup  tag = 0x00209116
	tagTemporalIndex     tag = 0x00209128
	tagTriggerDelay      tag = 0x00209153
	tagFrameAcquisition  tag = 0x00209156
	tagDimensionValues   tag = 0x00209157
	tagVolumePosition    tag = 0x00209301 // Image Position (Volume)
	tagVolumeOrientation tag = 0x00209302
	tagVolumePosGroup    tag = 0x0020930e
	tagVolumeOrientGroup tag = 0x0020930f
	tagTimeOffset        tag = 0x0020930d
	tagTimeGroup         tag = 0x00209310
	tagSamples           tag = 0x00280002
	tagPhotometric       tag = 0x00280004
	tagFrames            tag = 0x00280008
	tagFramePointer      tag = 0x00280009 // Frame Increment Pointer
	tagRows              tag = 0x00280010
	tagColumns           tag = 0x00280011
	tagSpacing           tag = 0x00280030
	tagAllocated         tag = 0x00280100
	tagStored            tag = 0x00280101
	tagHighBit           tag = 0x00280102
	tagSigned            tag = 0x00280103
	tagCentre            tag = 0x00281050
	tagWidth             tag = 0x00281051
	tagIntercept         tag = 0x00281052
	tagSlope             tag = 0x00281053
	tagLUT               tag = 0x00283000 // Modality LUT Sequence
	tagLUTDescriptor     tag = 0x00283002
	tagLUTData           tag = 0x00283006
	tagMeasuresGroup     tag = 0x00289110
	tagWindowGroup       tag = 0x00289132
	tagValuesGroup       tag = 0x00289145 // Pixel Value Transformation Sequence
	tagUnits             tag = 0x004008ea // Measurement Units Code Sequence
	tagRealWorldGroup    tag = 0x00409096
	tagRealWorldLabel    tag = 0x00409210
	tagRealWorldOffset   tag = 0x00409224
	tagRealWorldSlope    tag = 0x00409225
	tagCode              tag = 0x00080100
	tagEnergyVector      tag = 0x00540010
	tagDetectorVector    tag = 0x00540020
	tagDetectors         tag = 0x00540022 // Detector Information Sequence
	tagPhaseVector       tag = 0x00540030
	tagRotationVector    tag = 0x00540050
	tagRRVector          tag = 0x00540060
	tagTimeSlotVector    tag = 0x00540070
	tagSliceVector       tag = 0x00540080
	tagAngleVector       tag = 0x00540090
	tagTimeSliceVector   tag = 0x00540100
	tagReferenceTime     tag = 0x00541300 // Frame Reference Time
	tagSegmentation      tag = 0x00620001
	tagSegmentGroup      tag = 0x0062000a
	tagSegment           tag = 0x0062000b
	tagFullScale         tag = 0x0062000e // Maximum Fractional Value
	tagDoseUnits         tag = 0x30040002
	tagDoseOffsets       tag = 0x3004000c // Grid Frame Offset Vector
	tagDoseScaling       tag = 0x3004000e
	tagShared            tag = 0x52009229 // Shared Functional Groups Sequence
	tagPerFrame          tag = 0x52009230
	tagFloats            tag = 0x7fe00008
	tagDoubles           tag = 0x7fe00009
	tagPixels            tag = 0x7fe00010
	tagItem              tag = 0xfffee000
	tagItemEnd           tag = 0xfffee00d
	tagSequenceEnd       tag = 0xfffee0dd
)

// sequences are the elements that hold items; the others hold values.
var sequences = []tag{
	tagRecords, tagRegions, tagModifierGroup, tagEchoGroup, tagDiffusionGroup, tagCardiacGroup, tagGradientGroup,
	tagMRTypeGroup, tagCTTypeGroup, tagPETTypeGroup, tagContentGroup, tagPositionGroup, tagOrientationGroup,
	tagVolumePosGroup, tagVolumeOrientGroup, tagTimeGroup, tagLUT, tagMeasuresGroup, tagWindowGroup, tagValuesGroup,
	tagUnits, tagRealWorldGroup, tagDetectors, tagSegmentGroup, tagShared, tagPerFrame,
}

// scalars are the elements whose values are kept. All others are skipped.
var scalars = []tag{
	tagFiles, tagImageType, tagClass, tagUID, tagAcquisitionTime, tagContentTime, tagModality, tagSeriesName,
	tagFrameType, tagComplex, tagThickness, tagEchoTime, tagInversionTime, tagEcho, tagBetween, tagTriggerTime,
	tagFrameTime, tagFrameTimes, tagImagerSpacing, tagFlipAngle, tagScannedSpacing, tagRegionUnitX, tagRegionUnitY,
	tagRegionX, tagRegionY, tagFrameDateTime, tagInversionTimes, tagEffectiveEcho, tagBValue, tagGradient,
	tagSiemensTiles, tagSiemensBValue, tagSiemensHeader, tagSeries, tagSeriesNumber, tagAcquisition, tagInstance,
	tagPosition,
	tagOrientation, tagTemporal, tagLocation, tagStack, tagInStack, tagTemporalIndex, tagTriggerDelay,
	tagFrameAcquisition, tagDimensionValues, tagVolumePosition, tagVolumeOrientation, tagTimeOffset, tagSamples,
	tagPhotometric, tagFrames, tagFramePointer, tagRows, tagColumns, tagSpacing, tagAllocated, tagStored, tagHighBit,
	tagSigned, tagCentre, tagWidth, tagIntercept, tagSlope, tagLUTDescriptor, tagLUTData, tagRealWorldLabel,
	tagRealWorldOffset, tagRealWorldSlope, tagCode, tagEnergyVector, tagDetectorVector, tagPhaseVector,
	tagRotationVector, tagRRVector, tagTimeSlotVector, tagSliceVector, tagAngleVector, tagTimeSliceVector,
	tagReferenceTime, tagSegmentation, tagSegment, tagFullScale, tagDoseUnits, tagDoseOffsets, tagDoseScaling,
}

// kind determines how an element is read.
type kind uint8

const (
	unwanted kind = iota
	scalar
	sequence
)

var kinds = func() map[tag]kind {
	m := map[tag]kind{}
	for _, t := range scalars {
		m[t] = scalar
	}
	for _, t := range sequences {
		m[t] = sequence
	}
	return m
}()

// binaryVR are the representations of the elements whose numbers are binary, for files that do not state them:
// US unless listed.
var binaryVR = map[tag]string{
	tagRegionX: "FD", tagRegionY: "FD", tagInversionTimes: "FD", tagEffectiveEcho: "FD", tagBValue: "FD",
	tagGradient: "FD", tagInStack: "UL", tagTemporalIndex: "UL", tagTriggerDelay: "FD", tagDimensionValues: "UL",
	tagVolumePosition: "FD", tagVolumeOrientation: "FD", tagTimeOffset: "FD", tagRealWorldOffset: "FD",
	tagRealWorldSlope: "FD", tagRows: "US", tagColumns: "US", tagSamples: "US", tagAllocated: "US", tagStored: "US",
	tagHighBit: "US", tagSigned: "US", tagRegionUnitX: "US", tagRegionUnitY: "US", tagFrameAcquisition: "US",
	tagLUTDescriptor: "US", tagEnergyVector: "US", tagDetectorVector: "US", tagPhaseVector: "US",
	tagRotationVector: "US", tagRRVector: "US", tagTimeSlotVector: "US", tagSliceVector: "US", tagAngleVector: "US",
	tagTimeSliceVector: "US", tagSegment: "US", tagFullScale: "US", tagSiemensTiles: "US", tagFramePointer: "AT",
}

const (
	undefined = 0xffffffff
	// Limits of a data set: nested sequences, elements, and the length of a stored value.
	dicomMaxDepth    = 32
	dicomMaxElements = 1 << 22
	dicomMaxValue    = 1 << 20
)

// attribute is an element that matters: a value, or the items of a sequence.
type attribute struct {
	t     tag
	vr    string // empty if the file does not state it
	order binary.ByteOrder
	value []byte
	items []attributes
}

// attributes are those of a data set or an item, in the order of the file.
type attributes []attribute

// find returns an element that has a value or items.
func (a attributes) find(t tag) (attribute, bool) {
	for _, e := range a {
		if e.t == t && (len(e.value) > 0 || len(e.items) > 0) {
			return e, true
		}
	}
	return attribute{}, false
}

// first returns the first item of a sequence; nil if there is none.
func (a attributes) first(t tag) attributes {
	if e, ok := a.find(t); ok && len(e.items) > 0 {
		return e.items[0]
	}
	return nil
}

// text returns a value without its padding; empty if there is none.
func (a attributes) text(t tag) string {
	e, _ := a.find(t)
	return e.text()
}

func (e attribute) text() string { return strings.TrimSpace(string(bytes.TrimRight(e.value, "\x00 "))) }

// count returns a binary integer.
func (a attributes) count(t tag) (n int, ok bool, err error) {
	var v float64
	if ok, err = a.reals(t, &v); err != nil || !ok {
		return 0, false, err
	}
	return int(v), true, nil
}

// reals reads the first len(to) numbers of an element. ok is false, and the destinations are unchanged, if there is no
// value.
func (a attributes) reals(t tag, to ...*float64) (ok bool, err error) {
	e, found := a.find(t)
	if !found {
		return false, nil
	}
	v, err := e.numbers(len(to))
	if err == nil && len(v) > 0 && len(v) < len(to) {
		err = fmt.Errorf("found %.40q, want %d numbers", e.text(), len(to))
	}
	if err != nil {
		return false, fmt.Errorf("element %v: %w", t, err)
	}
	if len(v) == 0 {
		return false, nil
	}
	for i, p := range to {
		*p = v[i]
	}
	return true, nil
}

// numbers reads up to most numbers, binary or decimal strings separated by backslashes.
func (e attribute) numbers(most int) (out []float64, err error) {
	vr := e.vr
	if want, isBinary := binaryVR[e.t]; vr == "" || vr == "UN" {
		vr = "DS"
		if isBinary {
			vr = want
		}
	}
	size := map[string]int{"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "FD": 8, "AT": 4, "OW": 2}[vr]
	if size == 0 {
		return decimals(e.text(), most)
	}
	if len(e.value) < size {
		return nil, fmt.Errorf("found %d bytes, want %d", len(e.value), size)
	}
	for b := e.value; len(b) >= size && len(out) < most; b = b[size:] {
		var v float64
		switch vr {
		case "SS":
			v = float64(int16(e.order.Uint16(b)))
		case "UL":
			v = float64(e.order.Uint32(b))
		case "SL":
			v = float64(int32(e.order.Uint32(b)))
		case "FL":
			v = float64(math.Float32frombits(e.order.Uint32(b)))
		case "FD":
			v = math.Float64frombits(e.order.Uint64(b))
		case "AT":
			v = float64(uint32(e.order.Uint16(b))<<16 | uint32(e.order.Uint16(b[2:])))
		default:
			v = float64(e.order.Uint16(b))
		}
		if !finite(v) {
			return nil, fmt.Errorf("found %g, want a finite number", v)
		}
		out = append(out, v)
	}
	return out, nil
}

func decimals(text string, most int) (out []float64, err error) {
	if text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, `\`) {
		if len(out) == most {
			break
		}
		x, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil || !finite(x) {
			return nil, fmt.Errorf("found %.40q, want numbers", text)
		}
		out = append(out, x)
	}
	return out, nil
}

// dataSet reads elements one by one.
type dataSet struct {
	b        []byte
	at       int
	order    binary.ByteOrder
	explicit bool
	elements int
	codec    *codec // of the pixels; nil if uncompressed
	limit    int64  // of the decompressed pixels, in bytes
}

// long reports whether a value representation has a four-byte length.
func long(vr string) bool {
	switch vr {
	case "OB", "OW", "OF", "OD", "OL", "OV", "SQ", "UC", "UR", "UT", "UN", "SV", "UV":
		return true
	}
	return false
}

func (d *dataSet) cut(want string) error {
	return fmt.Errorf("truncated: file ends at byte %d, want %s", d.at, want)
}

// next reads the header of an element; its value starts at d.at.
func (d *dataSet) next() (t tag, vr string, length uint32, err error) {
	if d.elements++; d.elements > dicomMaxElements {
		return 0, "", 0, fmt.Errorf("found more than %d elements", dicomMaxElements)
	}
	b := d.b[d.at:]
	if len(b) < 8 {
		return 0, "", 0, d.cut("an element")
	}
	t = tag(d.order.Uint16(b))<<16 | tag(d.order.Uint16(b[2:]))
	if t>>16 == 0xfffe || !d.explicit { // items have no value representation
		d.at += 8
		return t, "", d.order.Uint32(b[4:]), nil
	}
	vr = string(b[4:6])
	if !long(vr) {
		d.at += 8
		return t, vr, uint32(d.order.Uint16(b[6:])), nil
	}
	if len(b) < 12 {
		return 0, "", 0, d.cut("a length")
	}
	d.at += 12
	return t, vr, d.order.Uint32(b[8:]), nil
}

// value reads n bytes.
func (d *dataSet) value(n uint32) ([]byte, error) {
	if uint64(n) > uint64(len(d.b)-d.at) {
		return nil, d.cut(fmt.Sprintf("a value of %d bytes", n))
	}
	v := d.b[d.at : d.at+int(n)]
	d.at += int(n)
	return v, nil
}

// pixelData is the header of the element that holds the pixels.
type pixelData struct {
	t      tag // 0 if there are no pixels
	vr     string
	length uint32
}

// read reads the elements up to end, to the end of an item, or to the pixels of the image, which are at depth 0.
func (d *dataSet) read(end, depth int) (out attributes, pixels pixelData, err error) {
	if depth > dicomMaxDepth {
		return nil, pixels, fmt.Errorf("found sequences nested deeper than %d", dicomMaxDepth)
	}
	for d.at < end {
		t, vr, n, err := d.next()
		if err != nil {
			return nil, pixels, err
		}
		if t == tagItemEnd || t == tagSequenceEnd {
			return out, pixels, nil
		}
		if depth == 0 && (t == tagPixels || t == tagFloats || t == tagDoubles) {
			return out, pixelData{t, vr, n}, nil
		}
		switch k := kinds[t]; {
		case k == sequence && (vr == "SQ" || vr == "" || vr == "UN"):
			items, err := d.items(vr, n, depth)
			if err != nil {
				return nil, pixels, fmt.Errorf("element %v: %w", t, err)
			}
			out = append(out, attribute{t: t, items: items})
		case n == undefined:
			if err := d.skip(vr, depth+1); err != nil {
				return nil, pixels, err
			}
		default:
			v, err := d.value(n)
			if err != nil {
				return nil, pixels, fmt.Errorf("element %v: %w", t, err)
			}
			if k == scalar && len(v) <= dicomMaxValue {
				out = append(out, attribute{t: t, vr: vr, order: d.order, value: v})
			}
		}
	}
	return out, pixels, nil
}

// items reads the items of a sequence.
func (d *dataSet) items(vr string, n uint32, depth int) (out []attributes, err error) {
	defer d.unknown(vr)()
	end := len(d.b)
	if n != undefined {
		if uint64(n) > uint64(len(d.b)-d.at) {
			return nil, d.cut(fmt.Sprintf("a sequence of %d bytes", n))
		}
		end = d.at + int(n)
	}
	for d.at < end {
		t, _, n, err := d.next()
		switch {
		case err != nil:
			return nil, err
		case t == tagSequenceEnd:
			return out, nil
		case t != tagItem:
			return nil, fmt.Errorf("found element %v, want an item", t)
		}
		last := end
		if n != undefined {
			if uint64(n) > uint64(end-d.at) {
				return nil, d.cut(fmt.Sprintf("an item of %d bytes", n))
			}
			last = d.at + int(n)
		}
		item, _, err := d.read(last, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, item)
	}
	if n == undefined {
		return nil, d.cut("the end of a sequence")
	}
	return out, nil
}

// unknown prepares for the content of an element of unknown representation, which is implicit little-endian (PS3.5,
// 6.2.2), and returns a function that undoes it.
func (d *dataSet) unknown(vr string) func() {
	explicit, order := d.explicit, d.order
	if vr == "UN" {
		d.explicit, d.order = false, binary.LittleEndian
	}
	return func() { d.explicit, d.order = explicit, order }
}

// skip skips the value of a sequence of undefined length.
func (d *dataSet) skip(vr string, depth int) error {
	if depth > dicomMaxDepth {
		return fmt.Errorf("found sequences nested deeper than %d", dicomMaxDepth)
	}
	defer d.unknown(vr)()
	for {
		t, vr, n, err := d.next()
		switch {
		case err != nil:
			return err
		case t == tagSequenceEnd || t == tagItemEnd:
			return nil
		case n == undefined:
			err = d.skip(vr, depth+1)
		default:
			_, err = d.value(n)
		}
		if err != nil {
			return err
		}
	}
}

// looksExplicit reports whether the data set at d.at states the representations of its elements, judged by the first.
func (d *dataSet) looksExplicit() bool {
	b := d.b[d.at:]
	return len(b) >= 6 && slices.ContainsFunc([]string{
		"AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "OB", "OD", "OF", "OL", "OV", "OW",
		"PN", "SH", "SL", "SQ", "SS", "ST", "SV", "TM", "UC", "UI", "UL", "UN", "UR", "US", "UT", "UV",
	}, func(vr string) bool { return string(b[4:6]) == vr })
}
