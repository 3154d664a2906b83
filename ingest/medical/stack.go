package medical

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
)

const (
	// orientationTolerance is the largest difference of direction cosines within a volume: they are rounded, and
	// computed anew for each slice. Other readers (dcm2niix, ITK) allow as much.
	orientationTolerance = 1e-4
	// spacingTolerance is the largest relative difference of pixel spacings within a volume.
	spacingTolerance = 1e-3
	// positionTolerance is the distance, relative to the pixel spacing, below which slices are at the same position.
	positionTolerance = 0.01
	// gapTolerance is the allowed relative deviation of the distance between slices from the usual one. Positions are
	// rounded to 5 or 6 digits and gantries slip a little, but a missing slice is a deviation of 1.
	gapTolerance = 0.25
	// tiltTolerance is the tangent of the angle between the normal and the direction from slice to slice, above which
	// it is told.
	tiltTolerance = 0.01
	// maxGeometries limits the different sizes and orientations in a series.
	maxGeometries = 512
)

// volumes combines the frames of a series into volumes. Frames of one volume have the same size and orientation and
// each a position of its own; they are sorted by position. Where positions repeat, other properties of the frames
// tell the volumes apart, or else the order of their numbers.
func volumes(frames []*frame, o ingest.Options) (out [][]*frame, err error) {
	for _, f := range frames {
		f.assumeAxial(o)
	}
	var alike [][]*frame
	for _, f := range unique(frames, o) {
		i := slices.IndexFunc(alike, func(g []*frame) bool { return g[0].fits(f) })
		if i < 0 {
			if i = len(alike); i == maxGeometries {
				return nil, fmt.Errorf("found frames of more than %d sizes and orientations", maxGeometries)
			}
			alike = append(alike, nil)
		}
		alike[i] = append(alike[i], f)
	}
	for _, g := range alike {
		for _, part := range partition(g, indexOf(tagSegment)) { // segments are apart wherever they lie
			locate(part, o)
			for _, v := range split(part, o) {
				out = append(out, byStacks(v, o)...)
			}
		}
	}
	return out, nil
}

// unique leaves out frames that are there twice, by the identity of their image.
func unique(frames []*frame, o ingest.Options) []*frame {
	type identity struct {
		uid   string
		index int
	}
	seen := map[identity]bool{}
	out := frames[:0:0]
	for _, f := range frames {
		if uid := f.text(tagUID); uid != "" {
			id := identity{uid, f.index}
			if seen[id] {
				o.Note("a copy of an image (same SOP Instance UID) is left out")
				continue
			}
			seen[id] = true
		}
		out = append(out, f)
	}
	return out
}

// fits reports whether a frame may be in the same volume, apart from its position.
func (f *frame) fits(g *frame) bool {
	if f.rows != g.rows || f.cols != g.cols || f.located != g.located {
		return false
	}
	for i := range f.along {
		if !(math.Abs(f.along[i]-g.along[i]) <= orientationTolerance) {
			return false
		}
	}
	for i := range f.spacing {
		if !(math.Abs(f.spacing[i]-g.spacing[i]) <= spacingTolerance*f.spacing[i]) {
			return false
		}
	}
	return true
}

// indexOf returns the index of the first dimension of an element.
func indexOf(t tag) int {
	return slices.IndexFunc(dimensions, func(d dimension) bool { return d.t == t })
}

// partition groups frames by a key, in the order of its values.
func partition(frames []*frame, k int) [][]*frame {
	by := map[key][]*frame{}
	var keys []key
	for _, f := range frames {
		v := f.key(k)
		if by[v] == nil {
			keys = append(keys, v)
		}
		by[v] = append(by[v], f)
	}
	slices.SortFunc(keys, compareKeys)
	out := make([][]*frame, len(keys))
	for i, v := range keys {
		out[i] = by[v]
	}
	return out
}

// locate sets the depths of frames of one geometry along their normal, and numbers their positions. Frames at the same
// position get the same number. Frames without a position are ordered by their number in the stack, by slice location
// or by their instance numbers.
func locate(frames []*frame, o ingest.Options) {
	first := frames[0]
	n := first.normal()
	long := norm(n)
	by := cmp.Or(first.between, first.thickness, 1)
	slices.SortStableFunc(frames, func(a, b *frame) int {
		return cmp.Or(cmp.Compare(a.instance, b.instance), cmp.Compare(a.index, b.index))
	})
	ordered := 0
	for i, f := range frames {
		var location float64
		ok := false
		if f.frames == 1 {
			ok, _ = f.reals(tagLocation, &location) // an impossible one is none
		}
		switch {
		case f.located:
			f.depth = (f.position[0]*n[0] + f.position[1]*n[1] + f.position[2]*n[2]) / long
		case f.slot > 0:
			f.depth, f.assumed = f.slot*by, true
		case ok:
			f.depth = location
			o.Note("no position: slices are sorted by slice location")
		default:
			f.depth, f.assumed = float64(i)*by, true
			ordered++
		}
	}
	if ordered > 1 {
		o.Note("no positions: frames are stacked in the order of their numbers")
	}
	slices.SortStableFunc(frames, func(a, b *frame) int { return cmp.Compare(a.depth, b.depth) })
	tolerance := positionTolerance * min(first.spacing[0], first.spacing[1], math.Abs(by))
	start, number := frames[0].depth, 0
	for _, f := range frames {
		if f.depth-start > tolerance {
			start = f.depth
			number++
		}
		f.at = number
	}
}

// positions counts the positions of frames that are sorted by position.
func positions(frames []*frame) (n int) {
	for i, f := range frames {
		if i == 0 || f.at != frames[i-1].at {
			n++
		}
	}
	return n
}

// split separates frames that share positions: by the first property of which every value is at every position, with
// one exception at most, which is the end of a scan that was stopped.
func split(frames []*frame, o ingest.Options) (out [][]*frame) {
	all := positions(frames)
	if all == len(frames) {
		return [][]*frame{frames}
	}
	for k := range len(dimensions) + maxDimensionIndices {
		parts := partition(frames, k)
		if whole := countWhole(parts, all); len(parts) > 1 && whole > 0 && whole >= len(parts)-1 {
			o.Note("the frames are %d volumes by %s", len(parts), dimensionOf(k))
			return splitParts(parts, all, o)
		}
	}
	var parts [][]*frame
	for i, n := 0, 0; i < len(frames); i++ {
		if n++; i == 0 || frames[i].at != frames[i-1].at {
			n = 0
		}
		if n == len(parts) {
			parts = append(parts, nil)
		}
		parts[n] = append(parts[n], frames[i])
	}
	o.Note("several frames at one position: they are %d volumes by the order of their numbers", len(parts))
	return splitParts(parts, all, o)
}

// countWhole counts the parts that have frames at all positions.
func countWhole(parts [][]*frame, all int) (n int) {
	for _, p := range parts {
		if positions(p) == all {
			n++
		}
	}
	return n
}

// splitParts splits each part that has frames at all positions, and leaves out the others.
func splitParts(parts [][]*frame, all int, o ingest.Options) (out [][]*frame) {
	for _, p := range parts {
		if have := positions(p); have < all {
			o.Note("an incomplete volume is left out: %d of %d slices", have, all)
			continue
		}
		out = append(out, split(p, o)...)
	}
	return out
}

// byStacks separates the stacks of a volume that is not evenly spaced, if each of them is.
func byStacks(frames []*frame, o ingest.Options) [][]*frame {
	if _, uneven := gaps(frames); len(uneven) == 0 {
		return [][]*frame{frames}
	}
	parts := partition(frames, indexOf(tagStack))
	for _, p := range parts {
		if _, uneven := gaps(p); len(uneven) > 0 || len(parts) == 1 {
			return [][]*frame{frames}
		}
	}
	o.Note("the frames are %d volumes by stack", len(parts))
	return parts
}

// gaps returns the usual distance between slices, 0 for fewer than two, and the slices after which it is another one.
func gaps(frames []*frame) (usual float64, uneven []int) {
	if len(frames) < 2 {
		return 0, nil
	}
	g := make([]float64, len(frames)-1)
	for i := range g {
		g[i] = frames[i+1].depth - frames[i].depth
	}
	sorted := slices.Sorted(slices.Values(g))
	usual = sorted[len(g)/2]
	if len(g) == 2 {
		usual = sorted[0] // the smaller of two is the one without a gap
	}
	for i, d := range g {
		if !(math.Abs(d-usual) <= gapTolerance*usual) {
			uneven = append(uneven, i)
		}
	}
	return usual, uneven
}

// distance returns the distance between the slices of a volume in mm.
func distance(frames []*frame, o ingest.Options) float64 {
	first := frames[0]
	usual, uneven := gaps(frames)
	if usual > 0 {
		if len(uneven) > 0 {
			i := uneven[0]
			o.Note("slices are missing or unevenly spaced: %d of %d distances are not the usual %.6g mm, the first one "+
				"between %.6g and %.6g mm; the volume does not show that", len(uneven), len(frames)-1, usual, frames[i].depth,
				frames[i+1].depth)
		}
		switch {
		case !first.assumed || first.between != 0:
		case first.thickness > 0:
			o.Note("the slice thickness is taken for the distance between slices")
		default:
			o.Note("no distance between slices: 1 mm is assumed")
		}
		tilt(frames, o)
		return usual
	}
	if d := cmp.Or(math.Abs(first.between), first.thickness); d > 0 {
		return d
	}
	o.Note("no slice thickness: 1 mm is assumed")
	return 1
}

// tilt notes that slices are not above each other.
func tilt(frames []*frame, o ingest.Options) {
	first, last := frames[0], frames[len(frames)-1]
	if !first.located {
		return
	}
	var d [3]float64
	for k := range d {
		d[k] = last.position[k] - first.position[k]
	}
	along := last.depth - first.depth
	aside := math.Sqrt(max(0, d[0]*d[0]+d[1]*d[1]+d[2]*d[2]-along*along))
	if aside > tiltTolerance*along {
		o.Note("slices are shifted against each other by %.3g degrees (gantry tilt), which is not corrected",
			math.Atan2(aside, along)*180/math.Pi)
	}
}

// stack makes a grid of the slices of a volume, and returns its voxel sizes in mm.
func stack(frames []*frame, o ingest.Options) (*ingest.Grid, []float64, error) {
	first := frames[0]
	if len(frames) > o.MaxCells/first.rows/first.cols {
		return nil, nil, fmt.Errorf("found too many values in a volume, limit %d", o.MaxCells)
	}
	v := volume{dims: [3]int{first.cols, first.rows, len(frames)}, channels: 1}
	// Columns are the directions of the stored axes. DICOM's x and y point left and back, ours right and front.
	n := first.normal()
	var m [3][3]float64
	for r, sign := range []float64{-1, -1, 1} {
		m[r] = [3]float64{sign * first.along[r], sign * first.along[3+r], sign * n[r]}
	}
	v.orient(m)
	if err := v.face(o); err != nil {
		return nil, nil, err
	}
	size := first.rows * first.cols
	const copies = 2 // as stored, and turned
	if err := o.Take(len(frames)*size, 4*copies); err != nil {
		return nil, nil, err
	}
	raw := make([]float32, len(frames)*size)
	for i, f := range frames {
		f.values(raw[i*size:][:size])
	}
	if first.float {
		noteNotFinite(o, notFinite(raw), len(raw))
	}
	g, cells := v.turn(raw), v.cells([3]float64{first.spacing[1], first.spacing[0], distance(frames, o)})
	g.Cell, g.Window = metres(cells, "mm"), first.window
	return g, cells, nil
}
