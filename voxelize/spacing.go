package voxelize

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
)

// Interpolation is how values between the cells of a grid are computed.
type Interpolation string

// The interpolations. Linear and Cubic average over the larger of the two cells where cells become larger. Cubic is
// sharper and may go beyond the range of the values next to an edge. Nearest makes no new values, so it suits label
// maps; where cells become larger, it skips some.
const (
	Linear  Interpolation = "linear"
	Nearest Interpolation = "nearest"
	Cubic   Interpolation = "cubic"
)

// Interpolations lists all.
func Interpolations() []Interpolation { return []Interpolation{Linear, Nearest, Cubic} }

// Choices lists the names.
func (Interpolation) Choices() []string {
	return names(Interpolations(), func(i Interpolation) Interpolation { return i })
}

// ChoiceDoc returns the description of an interpolation.
func (Interpolation) ChoiceDoc(name string) string {
	switch Interpolation(name) {
	case Linear:
		return "Linear between cells. Larger cells get the average of all cells that they cover, so that nothing is skipped."
	case Nearest:
		return "The nearest cell, for label maps. It creates no new values, and larger cells skip some."
	case Cubic:
		return "Cubic convolution. It is sharper than linear, and may exceed the range of the values at an edge."
	}
	return ""
}

// Spacing is the edge lengths of a cell in millimetres along z, y, x. Zeros mean none. The text form is one number for
// cubic cells, or DEPTHxHEIGHTxWIDTH such as 2x1x1.
type Spacing [3]float64

// Limits of a spacing in millimetres: from the cells of microscopes to those of whole bodies.
const (
	minSpacing = 1e-6
	maxSpacing = 1e6
)

var (
	errSpacing = errors.New("want one or three numbers above 0, in millimetres, such as 1 or 2x1x1, or an empty string")
	errNoCell  = errors.New("found a grid without a cell size, want one to resample it to a spacing")
)

// String returns the text form.
func (s Spacing) String() string {
	if s == (Spacing{}) {
		return ""
	}
	var parts []string
	for _, v := range s {
		parts = append(parts, strconv.FormatFloat(v, 'g', -1, 64))
	}
	if s[0] == s[1] && s[1] == s[2] {
		return parts[0]
	}
	return strings.Join(parts, "x")
}

// MarshalText returns String.
func (s Spacing) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText parses the text form.
func (s *Spacing) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*s = Spacing{}
		return nil
	}
	parts := strings.Split(string(text), "x")
	if len(parts) == 1 {
		parts = []string{parts[0], parts[0], parts[0]}
	}
	if len(parts) != len(s) {
		return errSpacing
	}
	var out Spacing
	for k, part := range parts {
		v, err := strconv.ParseFloat(part, 64)
		if err != nil {
			return errSpacing
		}
		out[k] = v
	}
	if out == (Spacing{}) || out.check() != nil {
		return errSpacing
	}
	*s = out
	return nil
}

// check reports numbers out of range.
func (s Spacing) check() error {
	if s == (Spacing{}) {
		return nil
	}
	for _, v := range s {
		if !(v >= minSpacing && v <= maxSpacing) {
			return fmt.Errorf("found %v, %w", [3]float64(s), errSpacing)
		}
	}
	return nil
}

// metres returns the edge lengths in metres.
func (s Spacing) metres() (out [3]float64) {
	for k, v := range s {
		out[k] = v / 1000
	}
	return out
}

// is reports whether cells have this size, but for the rounding of float32 numbers in files.
func (s Spacing) is(cell [3]float64) bool {
	const tolerance = 1e-6
	for k, v := range s.metres() {
		if !(math.Abs(cell[k]-v) <= tolerance*v) {
			return false
		}
	}
	return true
}

// known reports whether the size of cells is known.
func known(cell [3]float64) bool {
	for _, c := range cell {
		if !(c > 0) || !finite(c, c, c) {
			return false
		}
	}
	return true
}

// Resample returns a grid at another spacing, whole: each axis has the number of cells that comes closest to its
// length, and at least 1. Both grids have the same centre. Values that are not finite become background as in a
// volume. The result may be g itself.
func Resample(g *ingest.Grid, s Spacing, how Interpolation) (*ingest.Grid, error) {
	if !known(g.Cell) {
		return nil, errNoCell
	}
	if s.is(g.Cell) {
		return g, nil
	}
	edge := s.metres()
	out := *g
	out.Cell = edge
	n := float64(g.Channels)
	for k := range out.Dims {
		cells := max(1, math.Round(float64(g.Dims[k])*g.Cell[k]/edge[k]))
		if n *= cells; n > MaxValues {
			return nil, fmt.Errorf("spacing %v mm: found more than %d values, the limit, for a grid of %s cells of %v m",
				s, MaxValues, dimsString(g.Dims), g.Cell)
		}
		out.Dims[k] = int(cells)
	}
	values, err := background(g)
	if err != nil {
		return nil, err
	}
	out.Values = resampleChannels(values, g, g.Cell, out.Dims, edge, how)
	return &out, nil
}
