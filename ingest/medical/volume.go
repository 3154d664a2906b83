package medical

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/voxelstream/voxelstream/ingest"
)

// volume is the orientation of a stored array in the patient.
type volume struct {
	dims     [3]int // lengths of the stored axes, fastest first
	channels int
	// axes[k] is the stored axis along right, anterior, superior for k = 0, 1, 2; reversed[k] means that it points
	// the other way. After face, they are along the axes x, y, z of the grid.
	axes     [3]int
	reversed [3]bool
	// stored and facing are the orientations of the stored axes and of the grid, from face.
	stored, facing ingest.Orientation
}

// Axes is an orientation, or "stored" for that of the file.
type Axes string

const asStored = "stored"

// MarshalText returns the text.
func (a Axes) MarshalText() ([]byte, error) { return []byte(a), nil }

// UnmarshalText checks the text.
func (a *Axes) UnmarshalText(text []byte) error {
	if string(text) != asStored {
		if _, _, err := ingest.Orientation(text).Axes(); err != nil {
			return fmt.Errorf("%w, or %s", err, asStored)
		}
	}
	*a = Axes(text)
	return nil
}

// Suggestions lists all orientations.
func (Axes) Suggestions() []string {
	out := []string{asStored}
	for _, o := range ingest.Orientations() {
		out = append(out, string(o))
	}
	return out
}

// face turns the volume to the orientation of the options.
func (v *volume) face(o ingest.Options) error {
	var along [3]int // anatomical axis of each stored one
	var against [3]bool
	for k, axis := range v.axes {
		along[axis], against[axis] = k, v.reversed[k]
	}
	v.stored = ingest.OrientationOf(along, against)
	switch want := ingest.ReaderOptions(o, Options{}).Orientation; want {
	case "":
		v.facing = ingest.RAS
	case asStored:
		v.facing = v.stored
	default:
		v.facing = ingest.Orientation(want)
	}
	if v.facing != ingest.RAS {
		o.Note("the axes x, y and z are those of the orientation %s", v.facing)
	}
	axes, reversed, err := v.facing.Axes()
	if err != nil {
		return err
	}
	was := *v
	for k, a := range axes {
		v.axes[k], v.reversed[k] = was.axes[a], was.reversed[a] != reversed[k]
	}
	return nil
}

func finite(v float64) bool { return math.Abs(v) <= math.MaxFloat64 }

// orient finds the permutation and reversals closest to the affine map: the largest entries first, each row and
// column once. Columns are used as directions only, so that the voxel size has no influence.
func (v *volume) orient(m [3][3]float64) {
	for c := range 3 {
		norm := math.Sqrt(m[0][c]*m[0][c] + m[1][c]*m[1][c] + m[2][c]*m[2][c])
		for r := range 3 {
			if m[r][c] /= norm; norm == 0 || !finite(m[r][c]) {
				m[r][c] = 0
			}
		}
	}
	var rows, cols [3]bool
	for range 3 {
		best, br, bc := -1.0, 0, 0
		for r := range 3 {
			for c := range 3 {
				if a := math.Abs(m[r][c]); !rows[r] && !cols[c] && a > best {
					best, br, bc = a, r, c
				}
			}
		}
		rows[br], cols[bc] = true, true
		v.axes[br], v.reversed[br] = bc, m[br][bc] < 0
	}
}

// cells returns the voxel sizes along the stored axes in the order of the grid's axes.
func (v *volume) cells(stored [3]float64) []float64 {
	return []float64{stored[v.axes[2]], stored[v.axes[1]], stored[v.axes[0]]}
}

// metres converts lengths, in a unit that is a power of ten of the metre, to metres; unknown lengths are 0.
func metres(cell []float64, unit string) (out [3]float64) {
	per, ok := map[string]float64{"m": 1, "mm": 1e3, "um": 1e6}[unit]
	if !ok || slices.Min(cell) <= 0 {
		return out
	}
	for k := range out {
		out[k] = cell[k] / per
	}
	return out
}

// turn copies a volume stored first axis fastest to [z][y][x]: [superior][anterior][right] unless it faces otherwise.
func (v *volume) turn(raw []float32) *ingest.Grid {
	step := [3]int{1, v.dims[0], v.dims[0] * v.dims[1]}
	var n, by [3]int // length and step of the axes x, y, z
	start := 0
	for k, axis := range v.axes {
		n[k], by[k] = v.dims[axis], step[axis]
		if v.reversed[k] {
			start += (n[k] - 1) * by[k]
			by[k] = -by[k]
		}
	}
	g := &ingest.Grid{
		Dims: [3]int{n[2], n[1], n[0]}, Channels: v.channels, Values: make([]float32, len(raw)),
		Orientation: v.facing, Stored: v.stored,
	}
	i := 0
	for z := range n[2] {
		for y := range n[1] {
			at := start + z*by[2] + y*by[1]
			for range n[0] {
				i += copy(g.Values[i:], raw[at*v.channels:(at+1)*v.channels])
				at += by[0]
			}
		}
	}
	return g
}

// detail describes volumes of the same shape. Minimum and maximum are those of the finite values.
func detail(grids []*ingest.Grid, cell []float64, unit string) *ingest.Grids {
	out := &ingest.Grids{Rows: len(grids), Labels: map[string]int{}, Shape: []int{}, Cell: cell, CellIn: unit}
	lo, hi := float32(math.Inf(1)), float32(math.Inf(-1))
	for _, g := range grids {
		for _, v := range g.Values {
			if v-v == 0 { // finite
				lo, hi = min(lo, v), max(hi, v)
			}
		}
	}
	if len(grids) > 0 {
		out.Orientation, out.Stored = grids[0].Orientation, grids[0].Stored
		out.Shape = append(out.Shape, grids[0].Dims[:]...)
		if grids[0].Channels > 1 {
			out.Shape = append(out.Shape, grids[0].Channels)
		}
	}
	if lo <= hi {
		least, most := decimal(lo), decimal(hi)
		out.Min, out.Max = &least, &most
	}
	return out
}

// decimal returns the float64 that prints like v: 0.059, not 0.05900000035762787.
func decimal(v float32) float64 {
	out, err := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
	if err != nil {
		return float64(v)
	}
	return out
}

// noteShapes notes that volumes are not all of one shape, or were not stored in one orientation.
func noteShapes(grids []*ingest.Grid, o ingest.Options) {
	for _, g := range grids {
		if g.Dims != grids[0].Dims {
			o.Note("volumes of different sizes, such as %v and %v", grids[0].Dims, g.Dims)
			return
		}
		if g.Stored != grids[0].Stored {
			o.Note("volumes of different orientations, such as %s and %s", grids[0].Stored, g.Stored)
			return
		}
	}
}
