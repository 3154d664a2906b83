package medical

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
)

// frame is one slice: an image in the patient.
type frame struct {
	*picture
	index           int // of the frame in its file
	value           transform
	window          [2]float32 // lowest and highest value to display; zeros if there is none
	spacing         [2]float64 // between rows, between columns, mm
	thickness       float64    // mm; 0 if unknown
	between         float64    // distance to the next slice, mm; 0 if unknown, negative if against the normal
	position        [3]float64 // LPS
	along           [6]float64 // directions of a row and of a column, LPS
	placed, located bool       // whether there is an orientation, a position
	depth           float64    // along the normal, mm, and
	assumed         bool       // from the order of the frames, and
	at              int        // the number of the position, among the frames of its geometry; from locate
	slot            float64    // number of the slice in its stack, for frames without a position; 0 if unknown
	instance        float64
	groups          groups
	inTime          bool // the frames of the file follow each other in time
}

// key is a value of a dimension other than space: a number or a text.
type key struct {
	number float64
	text   string
}

func compareKeys(a, b key) int {
	return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.text, b.text))
}

// transform maps stored values to those of the volume: with a table, or else slope and intercept.
type transform struct {
	slope, intercept float64
	table            []float64
	first            float64 // stored value of the first entry of the table
}

// lookUp returns the entry of the table for a stored value, PS3.3, C.11.1.1.1: values beyond the ends of the table have
// its first or last entry.
func (t *transform) lookUp(v float64) float64 {
	return t.table[int(min(max(v-t.first, 0), float64(len(t.table)-1)))]
}

// maxFrames limits the frames of a file: an hour of functional scans has about 100,000.
const maxFrames = 1 << 18

// dimension is a property in which the volumes of a series may differ. PS3.3, C.7.6.16 and C.8.4.
type dimension struct {
	name   string
	groups []tag // of the functional group with the element; none for the data set
	t      tag
	vector bool // the element has a value for each frame
	frame  bool // the number of a frame, if the frames follow each other in time
}

// dimensions are tried in this order.
var dimensions = []dimension{
	{name: "stack", groups: []tag{tagContentGroup}, t: tagStack},
	{name: "segment", groups: []tag{tagSegmentGroup}, t: tagSegment},
	{name: "image type", t: tagImageType},
	{name: "frame type", groups: []tag{tagMRTypeGroup}, t: tagFrameType},
	{name: "frame type", groups: []tag{tagCTTypeGroup}, t: tagFrameType},
	{name: "frame type", groups: []tag{tagPETTypeGroup}, t: tagFrameType},
	{name: "complex component", groups: []tag{tagMRTypeGroup}, t: tagComplex},
	{name: "temporal position", groups: []tag{tagContentGroup}, t: tagTemporalIndex},
	{name: "temporal position", t: tagTemporal},
	{name: "time offset", groups: []tag{tagTimeGroup}, t: tagTimeOffset},
	{name: "echo", t: tagEcho},
	{name: "echo time", groups: []tag{tagEchoGroup}, t: tagEffectiveEcho},
	{name: "echo time", t: tagEchoTime},
	{name: "b-value", groups: []tag{tagDiffusionGroup}, t: tagBValue},
	{name: "b-value", t: tagBValue},
	{name: "b-value", t: tagSiemensBValue},
	{name: "gradient", groups: []tag{tagDiffusionGroup, tagGradientGroup}, t: tagGradient},
	{name: "gradient", t: tagGradient},
	{name: "trigger delay", groups: []tag{tagCardiacGroup}, t: tagTriggerDelay},
	{name: "trigger time", t: tagTriggerTime},
	{name: "inversion time", groups: []tag{tagModifierGroup}, t: tagInversionTimes},
	{name: "inversion time", t: tagInversionTime},
	{name: "flip angle", t: tagFlipAngle},
	{name: "frame reference time", t: tagReferenceTime},
	{name: "acquisition", groups: []tag{tagContentGroup}, t: tagFrameAcquisition},
	{name: "acquisition", t: tagAcquisition},
	{name: "energy window", t: tagEnergyVector, vector: true},
	{name: "detector", t: tagDetectorVector, vector: true},
	{name: "phase", t: tagPhaseVector, vector: true},
	{name: "rotation", t: tagRotationVector, vector: true},
	{name: "R-R interval", t: tagRRVector, vector: true},
	{name: "time slot", t: tagTimeSlotVector, vector: true},
	{name: "angular view", t: tagAngleVector, vector: true},
	{name: "time slice", t: tagTimeSliceVector, vector: true},
	{name: "frame time", frame: true},
	{name: "acquisition time", groups: []tag{tagContentGroup}, t: tagFrameDateTime},
	{name: "acquisition time", t: tagAcquisitionTime},
	{name: "content time", t: tagContentTime},
}

// dimensionOf returns the name of a key: those after the dimensions are the dimension indices of PS3.3, C.7.6.17.
func dimensionOf(i int) string {
	if i < len(dimensions) {
		return dimensions[i].name
	}
	return fmt.Sprintf("dimension index %d", i-len(dimensions)+1)
}

// maxDimensionIndices limits the dimension indices that are looked at.
const maxDimensionIndices = 8

// groups are the functional groups of a frame: its own come before those that all frames share, then follow the
// elements of the data set itself, for files that have them there.
type groups struct{ own, shared, set attributes }

func (g groups) of(t tag) attributes {
	if a := g.own.first(t); a != nil {
		return a
	}
	return g.shared.first(t)
}

// reals reads the value of an element of a functional group, else of the data set.
func (g groups) reals(group, t tag, to ...*float64) (bool, error) {
	if ok, err := g.of(group).reals(t, to...); ok || err != nil {
		return ok, err
	}
	return g.set.reals(t, to...)
}

// slices returns the frames of a file.
func (p *picture) slices(o ingest.Options) ([]*frame, error) {
	shared := p.first(tagShared)
	per, enhanced := p.find(tagPerFrame)
	if enhanced && len(per.items) < p.frames {
		o.Note("functional groups describe %d of %d frames", len(per.items), p.frames)
	}
	classic, err := p.classic(o)
	if err != nil {
		return nil, err
	}
	if p.frames > maxFrames {
		return nil, fmt.Errorf("found %d frames, limit %d", p.frames, maxFrames)
	}
	if lut := p.first(tagLUT); lut != nil {
		if err := p.readTable(lut, o); err != nil {
			return nil, err
		}
	}
	out := make([]*frame, p.frames)
	for i := range out {
		g := groups{shared: shared, set: p.attributes}
		if i < len(per.items) {
			g.own = per.items[i]
		}
		f := &frame{picture: p, index: i, groups: g}
		if err := f.describe(g, o); err != nil {
			if p.frames > 1 {
				err = fmt.Errorf("frame %d: %w", i+1, err)
			}
			return nil, err
		}
		if err := classic.place(f); err != nil {
			return nil, err
		}
		out[i] = f
	}
	return out, nil
}

// describe reads the geometry, the values and the keys of a frame.
func (f *frame) describe(g groups, o ingest.Options) error {
	f.optional(o)(f.reals(tagInstance, &f.instance))
	if err := f.lengths(g, o); err != nil {
		return err
	}
	if err := f.geometry(g); err != nil {
		return err
	}
	if f.frames > 1 && g.of(tagPositionGroup) == nil && g.of(tagVolumePosGroup) == nil {
		f.located = false // the position is that of the first frame
	}
	return f.valueMap(g, o)
}

// optional returns a function that notes the error of reading a number that is not needed.
func (*frame) optional(o ingest.Options) func(bool, error) {
	return func(_ bool, err error) {
		if err != nil {
			o.Note("ignored: %v", err)
		}
	}
}

// lengths reads the voxel size.
func (f *frame) lengths(g groups, o ingest.Options) error {
	ok, err := g.reals(tagMeasuresGroup, tagSpacing, &f.spacing[0], &f.spacing[1])
	if err != nil {
		return err
	}
	if bad := ok && !(f.spacing[0] > 0 && f.spacing[1] > 0); bad || !ok {
		if bad {
			o.Note("a pixel spacing of %g x %g mm is impossible", f.spacing[0], f.spacing[1])
		}
		if err := f.otherSpacing(o); err != nil {
			return err
		}
	}
	f.optional(o)(g.reals(tagMeasuresGroup, tagThickness, &f.thickness))
	f.thickness = max(f.thickness, 0)
	f.optional(o)(g.reals(tagMeasuresGroup, tagBetween, &f.between))
	return nil
}

// otherSpacing reads the spacing of images that are not slices.
func (f *frame) otherSpacing(o ingest.Options) error {
	f.spacing = [2]float64{1, 1}
	for _, other := range []struct {
		t    tag
		name string
	}{{tagImagerSpacing, "at the detector"}, {tagScannedSpacing, "of the scanned film"}} {
		var s [2]float64
		if ok, err := f.reals(other.t, &s[0], &s[1]); err != nil {
			return err
		} else if ok && s[0] > 0 && s[1] > 0 {
			o.Note("the pixel spacing is that %s", other.name)
			f.spacing = s
			return nil
		}
	}
	region := f.first(tagRegions)
	var s, unit [2]float64
	for i, t := range [][2]tag{{tagRegionY, tagRegionUnitY}, {tagRegionX, tagRegionUnitX}} {
		if _, err := region.reals(t[0], &s[i]); err != nil {
			return err
		}
		if _, err := region.reals(t[1], &unit[i]); err != nil {
			return err
		}
	}
	const centimetres = 3 // PS3.3, C.8.5.5.1.15
	if s[0] > 0 && s[1] > 0 && unit == [2]float64{centimetres, centimetres} {
		f.spacing = [2]float64{s[0] * 10, s[1] * 10}
		return nil
	}
	o.Note("no pixel spacing: 1 mm is assumed")
	return nil
}

// geometry reads position and orientation.
func (f *frame) geometry(g groups) (err error) {
	p, a := &f.position, &f.along
	if f.located, err = g.reals(tagPositionGroup, tagPosition, &p[0], &p[1], &p[2]); err != nil {
		return err
	}
	f.placed, err = g.reals(tagOrientationGroup, tagOrientation, &a[0], &a[1], &a[2], &a[3], &a[4], &a[5])
	if err != nil {
		return err
	}
	if !f.located { // volumes of ultrasound are not placed in the patient
		f.located, err = g.of(tagVolumePosGroup).reals(tagVolumePosition, &p[0], &p[1], &p[2])
		if err != nil {
			return err
		}
	}
	if !f.placed {
		f.placed, err = g.of(tagVolumeOrientGroup).reals(tagVolumeOrientation, &a[0], &a[1], &a[2], &a[3], &a[4], &a[5])
		if err != nil {
			return err
		}
	}
	if _, err := g.of(tagContentGroup).reals(tagInStack, &f.slot); err != nil {
		return err
	}
	return nil
}

// axialPlane is the orientation of slices that state none.
var axialPlane = [6]float64{1, 0, 0, 0, 1, 0}

// assumeAxial sets the orientation of frames that have none or an impossible one.
func (f *frame) assumeAxial(o ingest.Options) {
	if f.placed && norm(f.normal()) > 0.5 {
		return
	}
	if f.placed {
		o.Note("the orientation %v is impossible: axial slices are assumed", f.along)
	} else {
		o.Note("no orientation: axial slices are assumed")
	}
	f.along, f.placed = axialPlane, false
}

// valueMap reads how stored values are converted, and the window.
func (f *frame) valueMap(g groups, o ingest.Options) error {
	f.value = transform{slope: 1, table: f.table, first: f.tableFirst}
	slope, err := g.reals(tagValuesGroup, tagSlope, &f.value.slope)
	if err != nil {
		return err
	}
	intercept, err := g.reals(tagValuesGroup, tagIntercept, &f.value.intercept)
	if err != nil {
		return err
	}
	if f.value.slope == 0 {
		o.Note("a rescale slope of 0 is impossible: 1 is assumed")
		f.value.slope = 1
	}
	mapped, err := f.realWorld(g, slope || intercept || f.table != nil, o)
	if err != nil {
		return err
	}
	if err := f.scales(o); err != nil || mapped {
		return err // the window is one of rescaled values
	}
	var centre, width float64
	f.optional(o)(g.reals(tagWindowGroup, tagCentre, &centre))
	f.optional(o)(g.reals(tagWindowGroup, tagWidth, &width))
	if width > 1 { // PS3.3, C.11.2.1.2.1
		f.window = [2]float32{float32(centre - 0.5 - (width-1)/2), float32(centre - 0.5 + (width-1)/2)}
	}
	return nil
}

// scales applies the scales of doses and of fractional segmentations.
func (f *frame) scales(o ingest.Options) error {
	var dose, full float64
	ok, err := f.reals(tagDoseScaling, &dose)
	if err != nil {
		return err
	}
	switch {
	case ok:
		f.value = transform{slope: dose}
		if f.index == 0 {
			o.Note("values are doses: unit %s", cmp.Or(f.text(tagDoseUnits), "unknown"))
		}
	case f.index == 0 && f.text(tagModality) == "RTDOSE":
		o.Note("no dose grid scaling: values are those stored")
	}
	if ok, err = f.reals(tagFullScale, &full); err != nil {
		return err
	}
	if ok && full > 0 && f.text(tagSegmentation) == "FRACTIONAL" {
		f.value = transform{slope: 1 / full}
	}
	return nil
}

// realWorld applies the first mapping to real world values if values are not rescaled otherwise, and reports whether it
// did.
func (f *frame) realWorld(g groups, rescaled bool, o ingest.Options) (mapped bool, err error) {
	m := g.of(tagRealWorldGroup)
	if m == nil {
		m = f.first(tagRealWorldGroup)
	}
	var slope, intercept float64
	ok, err := m.reals(tagRealWorldSlope, &slope)
	if err != nil || !ok || slope == 0 {
		return false, err
	}
	if _, err := m.reals(tagRealWorldOffset, &intercept); err != nil {
		return false, err
	}
	unit := cmp.Or(m.first(tagUnits).text(tagCode), "unknown")
	switch {
	case !rescaled:
		f.value, mapped = transform{slope: slope, intercept: intercept}, true
		if f.index == 0 {
			o.Note("values are real world values: unit %s", unit)
		}
	case f.index == 0 && (f.value.slope != slope || f.value.intercept != intercept):
		o.Note("values are rescaled; the mapping to real world values (unit %s) is not used", unit)
	}
	return mapped, nil
}

// readTable reads a modality lookup table, PS3.3, C.11.1.1.1.
func (p *picture) readTable(lut attributes, o ingest.Options) error {
	d, _ := lut.find(tagLUTDescriptor)
	data, _ := lut.find(tagLUTData)
	if len(d.value) < 6 || len(data.value) == 0 {
		return fmt.Errorf("element %v: found a table of %d and %d bytes, want a descriptor and data", tagLUT,
			len(d.value), len(data.value))
	}
	n, bits := int(d.order.Uint16(d.value)), d.order.Uint16(d.value[4:])
	if n == 0 {
		n = 1 << 16
	}
	p.tableFirst = float64(d.order.Uint16(d.value[2:]))
	if p.signed {
		p.tableFirst = float64(int16(d.order.Uint16(d.value[2:])))
	}
	words := len(data.value) >= 2*n
	if !words && (len(data.value) < n || bits != 8) {
		return fmt.Errorf("element %v: found %d bytes of data, want %d entries", tagLUT, len(data.value), n)
	}
	p.table = make([]float64, n)
	for i := range n {
		if words {
			p.table[i] = float64(data.order.Uint16(data.value[2*i:]))
		} else {
			p.table[i] = float64(data.value[i])
		}
	}
	o.Note("values are mapped by the modality lookup table")
	return nil
}

// key returns the value of a dimension. Those after dimensions are the dimension indices.
func (f *frame) key(k int) key {
	if k >= len(dimensions) {
		e, _ := f.groups.of(tagContentGroup).find(tagDimensionValues)
		if v, err := e.numbers(maxDimensionIndices); err == nil && k-len(dimensions) < len(v) {
			return key{number: v[k-len(dimensions)]}
		}
		return key{}
	}
	d := dimensions[k]
	if d.frame {
		if f.inTime {
			return key{number: float64(f.index)}
		}
		return key{}
	}
	a := f.groups.set
	if d.groups != nil {
		a = f.groups.of(d.groups[0])
		for _, t := range d.groups[1:] {
			a = a.first(t)
		}
	}
	e, ok := a.find(d.t)
	if !ok {
		return key{}
	}
	return e.key(f.index, d.vector)
}

// key returns a value as a key: its first number, its texts, or the number of a frame.
func (e attribute) key(frame int, vector bool) key {
	if vector {
		if 2*frame+2 <= len(e.value) {
			return key{number: float64(e.order.Uint16(e.value[2*frame:]))}
		}
		return key{}
	}
	// A date with time has more digits than a float64; as a text it is in order, too.
	if v, err := e.numbers(2); err == nil && len(v) == 1 && len(e.value) <= 15 {
		return key{number: v[0]}
	}
	if _, isBinary := binaryVR[e.t]; isBinary {
		return key{text: fmt.Sprintf("%x", e.value)}
	}
	return key{text: e.text()}
}

// multiFrame says how the frames of a file without functional groups lie in space and time.
type multiFrame struct {
	offsets   []float64    // of the frames, along the normal; nil if unknown
	absolute  bool         // offsets are positions along z
	slots     []float64    // slice numbers of the frames
	inTime    bool         // the frames follow each other in time
	detectors []float64    // detector numbers of the frames
	places    []attributes // of the detectors
}

// classic reads the vectors that a Frame Increment Pointer may name. PS3.3, C.7.6.6, C.8.4.8 and C.8.8.3.
func (p *picture) classic(o ingest.Options) (m multiFrame, err error) {
	most := min(p.frames, dicomMaxValue)
	if e, ok := p.find(tagDoseOffsets); ok {
		if m.offsets, err = e.numbers(most); err != nil {
			return m, fmt.Errorf("element %v: %w", e.t, err)
		}
		if len(m.offsets) < p.frames {
			return m, fmt.Errorf("element %v: found %d offsets, want %d", e.t, len(m.offsets), p.frames)
		}
		var z [3]float64
		if _, err := p.reals(tagPosition, &z[0], &z[1], &z[2]); err != nil {
			return m, err
		}
		// The first offset is 0, or the position along z of the first frame.
		if m.offsets[0] != 0 {
			m.absolute = math.Abs(m.offsets[0]-z[2]) < 0.01
			if !m.absolute {
				o.Note("the first frame offset is %g mm, neither 0 nor the position %g: it is taken for 0", m.offsets[0], z[2])
				first := m.offsets[0]
				for i := range m.offsets {
					m.offsets[i] -= first
				}
			}
		}
	}
	for t, to := range map[tag]*[]float64{tagSliceVector: &m.slots, tagDetectorVector: &m.detectors} {
		if e, ok := p.find(t); ok {
			if *to, err = e.numbers(most); err != nil {
				return m, fmt.Errorf("element %v: %w", t, err)
			}
		}
	}
	if e, ok := p.find(tagDetectors); ok {
		m.places = e.items
	}
	if e, ok := p.find(tagFramePointer); ok && p.frames > 1 && m.offsets == nil {
		pointers, err := e.numbers(maxDimensionIndices)
		if err != nil {
			return m, fmt.Errorf("element %v: %w", e.t, err)
		}
		nuclear := false
		for _, v := range pointers {
			t := tag(v)
			m.inTime = m.inTime || t == tagFrameTime || t == tagFrameTimes
			nuclear = nuclear || t>>16 == 0x0054
		}
		if nuclear && m.slots == nil { // projections and static images: none of them are slices of a volume
			m.slots = slices.Repeat([]float64{1}, p.frames)
		}
	}
	if m.inTime {
		o.Note("the frames are points in time: each is a volume of one slice")
	}
	return m, nil
}

// place sets the position of a frame.
func (m *multiFrame) place(f *frame) error {
	if len(m.places) > 0 && (!f.placed || !f.located) {
		item := m.places[0]
		if f.index < len(m.detectors) {
			if d := int(m.detectors[f.index]); d >= 1 && d <= len(m.places) {
				item = m.places[d-1]
			}
		}
		located, placed := f.located, f.placed
		if err := f.geometry(groups{set: item}); err != nil {
			return err
		}
		f.located, f.placed = (f.located || located) && f.frames == 1, f.placed || placed
	}
	n := f.normal()
	switch {
	case m.offsets != nil && m.absolute:
		f.position[2] = m.offsets[f.index]
		f.located = true
	case m.offsets != nil:
		if norm(n) == 0 {
			n = [3]float64{0, 0, 1}
		}
		for k := range n {
			f.position[k] += m.offsets[f.index] * n[k]
		}
		f.located = true
	case m.inTime:
		f.slot, f.inTime = 1, true
	case f.index < len(m.slots):
		f.slot = m.slots[f.index]
	case f.tiles > 0:
		f.slot = float64(f.index + 1)
		if s := f.siemensNormal; s[0]*n[0]+s[1]*n[1]+s[2]*n[2] < 0 {
			f.slot = float64(f.frames - f.index)
		}
	}
	return nil
}

// normal returns the direction from slice to slice: row cross column.
func (f *frame) normal() (n [3]float64) {
	r, c := f.along[:3], f.along[3:]
	return [3]float64{r[1]*c[2] - r[2]*c[1], r[2]*c[0] - r[0]*c[2], r[0]*c[1] - r[1]*c[0]}
}

func norm(v [3]float64) float64 { return math.Sqrt(v[0]*v[0] + v[1]*v[1] + v[2]*v[2]) }
