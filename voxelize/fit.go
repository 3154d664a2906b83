package voxelize

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
)

// Fit selects how an input grid of another size is fitted to the options' size.
type Fit string

// The ways to fit. Whole resamples to cubic cells of the size at which all of the grid is inside; crop to cubic
// cells of Options.Edge, or of the grid's own smallest edge, of which the middle is taken; both fill up around with
// the lowest value. Exact refuses. Auto, also written as nothing, is whole for grids that say how large their cells
// are, as those of MRI and CT do, and exact for others, whose size is likely a mistake.
const (
	FitAuto  Fit = "auto"
	FitWhole Fit = "whole"
	FitCrop  Fit = "crop"
	FitExact Fit = "exact"
)

// Fits lists all ways to fit.
func Fits() []Fit { return []Fit{FitAuto, FitWhole, FitCrop, FitExact} }

// Choices are the names of the ways to fit.
func (Fit) Choices() []string { return names(Fits(), func(f Fit) Fit { return f }) }

// ChoiceDoc says what a way to fit does.
func (Fit) ChoiceDoc(name string) string {
	switch Fit(name) {
	case FitAuto:
		return "Use whole for grids that state their cell size, such as MRI and CT scans, and exact for all others."
	case FitWhole:
		return "Resample the whole grid to fit."
	case FitCrop:
		return "Crop to the centre, at the cell size set by edge, or else at the grid's smallest cell size."
	case FitExact:
		return "Reject grids of another size."
	}
	return ""
}

// Window is the range of values to look at, as radiologists say it: its middle and its width, in the grid's own
// units (Hounsfield units for CT). The zero value is the window that the grid's file names, if any. It is written
// CENTRE:WIDTH; nothing is the zero value, none all values.
type Window struct {
	Centre, Width float64
	// None uses the full range of values and ignores a window in the file.
	None bool
}

// String is the notation that UnmarshalText reads.
func (w Window) String() string {
	switch {
	case w.None:
		return "none"
	case w == Window{}:
		return ""
	}
	return strconv.FormatFloat(w.Centre, 'g', -1, 64) + ":" + strconv.FormatFloat(w.Width, 'g', -1, 64)
}

// MarshalText is String.
func (w Window) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText reads CENTRE:WIDTH, none, or nothing.
func (w *Window) UnmarshalText(text []byte) error {
	switch string(text) {
	case "":
		*w = Window{}
		return nil
	case "none":
		*w = Window{None: true}
		return nil
	}
	centre, width, _ := strings.Cut(string(text), ":")
	var found Window
	var errCentre, errWidth error
	found.Centre, errCentre = strconv.ParseFloat(centre, 64)
	found.Width, errWidth = strconv.ParseFloat(width, 64)
	if errCentre != nil || errWidth != nil || found.Width == 0 || found.check() != nil {
		return errWindow
	}
	*w = found
	return nil
}

var errWindow = errors.New("want CENTRE:WIDTH such as 40:400, none, or an empty string")

// check says whether there are values in the window that a float32 can tell apart.
func (w Window) check() error {
	low, high := w.bounds()
	if !finite(w.Centre, w.Width, 0) || w.Width < 0 || w.Width > 0 &&
		(!finite(float64(low), float64(high), 0) || low >= high) {
		return fmt.Errorf("found %g:%g, %w", w.Centre, w.Width, errWindow)
	}
	return nil
}

// bounds are the values that become 0 and 1.
func (w Window) bounds() (low, high float32) {
	return float32(w.Centre - w.Width/2), float32(w.Centre + w.Width/2)
}

// window is the one of the options, else the grid's own; ok is false for none.
func (v *Voxelizer) window(g *ingest.Grid) (low, high float32, ok bool) {
	switch w := v.options.Window; {
	case w.None:
		return 0, 0, false
	case w.Width > 0:
		low, high = w.bounds()
	default:
		low, high = g.Window[0], g.Window[1]
	}
	return low, high, low < high
}

// ready makes the values of a grid that came as such those of the options' cells: windowed, resampled, as density
// or as occupancy. Scaled says that a window made them 0 to 1. The grid's own values are not changed.
func (v *Voxelizer) ready(g *ingest.Grid) (values []float32, scaled bool, err error) {
	if err := v.check(g, 1); err != nil {
		return nil, false, err
	}
	values = g.Values
	low, high, scaled := v.window(g)
	if scaled {
		values = scale(values, low, high)
	}
	values = v.fitted(g, values)
	if v.value() == Occupancy {
		values = slices.Clone(values)
		occupy(values)
		return values, false, nil
	}
	return values, scaled, nil
}

// raw sets the values of a ready grid of any channels: fitted, and mapped by the window of the options but not by
// that of the file. They are shared with the grid where nothing changes them.
func (v *Voxelizer) raw(vol *Volume, g *ingest.Grid) error {
	if err := v.check(g, MaxChannels); err != nil {
		return err
	}
	vol.Content = FloatContent(g.Channels)
	if _, err := vol.Content.Size(vol.Dims); err != nil {
		return err
	}
	vol.Values = g.Values
	if w := v.options.Window; w.Width > 0 {
		low, high := w.bounds()
		vol.Values = scale(vol.Values, low, high)
	}
	vol.Values = v.fitted(g, vol.Values)
	if v.value() == Occupancy {
		vol.Values = slices.Clone(vol.Values)
		occupy(vol.Values)
	}
	return nil
}

// scale maps low to 0 and high to 1, and what lies outside to the nearest of them.
func scale(values []float32, low, high float32) []float32 {
	out := make([]float32, len(values))
	for i, x := range values {
		out[i] = (min(max(x, low), high) - low) / (high - low)
	}
	return out
}

// fitted resamples the values of a grid, each channel by itself, where its cells are not those of the options.
func (v *Voxelizer) fitted(g *ingest.Grid, values []float32) []float32 {
	if v.fits(g) {
		return values
	}
	cell := v.cell(g)
	edge := v.edge(g.Dims, cell)
	if g.Channels == 1 {
		return resample(values, g.Dims, cell, v.options.Dims, edge, slices.Min(values))
	}
	var out []float32
	channel := make([]float32, len(values)/g.Channels)
	for c := range g.Channels {
		for i := range channel {
			channel[i] = values[i*g.Channels+c]
		}
		resampled := resample(channel, g.Dims, cell, v.options.Dims, edge, slices.Min(channel))
		if out == nil {
			out = make([]float32, len(resampled)*g.Channels)
		}
		for i, x := range resampled {
			out[i*g.Channels+c] = x
		}
	}
	return out
}

// fits says whether the grid's cells are the options' as they are.
func (v *Voxelizer) fits(g *ingest.Grid) bool {
	if v.options.Fit == FitExact || g.Dims != v.options.Dims {
		return v.options.Fit == FitExact
	}
	cell := v.cell(g)
	return cell == [3]float64{cell[0], cell[0], cell[0]} &&
		(v.options.Fit != FitCrop || v.options.Edge == 0 || v.options.Edge == cell[0])
}

// cell is the size of a grid's cells; cubes of 1 where it is not known.
func (v *Voxelizer) cell(g *ingest.Grid) [3]float64 {
	for _, c := range g.Cell {
		if !(c > 0) || !finite(c, c, c) {
			return [3]float64{1, 1, 1}
		}
	}
	return g.Cell
}

// edge is the side of the cells that a grid is resampled to.
func (v *Voxelizer) edge(dims [3]int, cell [3]float64) float64 {
	if v.options.Fit == FitCrop {
		if v.options.Edge > 0 {
			return v.options.Edge
		}
		return min(cell[0], cell[1], cell[2])
	}
	edge := 0.0
	for k, n := range dims {
		edge = max(edge, float64(n)*cell[k]/float64(v.options.Dims[k]))
	}
	return edge
}

// finiteValues says whether there is neither a NaN nor an infinity.
func finiteValues(values []float32) bool {
	var a, b, c, d float32 // 0 until one is not, then NaN for ever
	i := 0
	for ; i+4 <= len(values); i += 4 {
		v := values[i : i+4 : i+4]
		a += v[0] - v[0]
		b += v[1] - v[1]
		c += v[2] - v[2]
		d += v[3] - v[3]
	}
	for _, x := range values[i:] {
		a += x - x
	}
	return a+b+c+d == 0
}

// check says whether a grid of at most so many channels can be made to fit.
func (v *Voxelizer) check(g *ingest.Grid, channels int) error {
	if g == nil {
		return errNoData
	}
	want := v.options.Dims
	auto := v.options.Fit == FitAuto
	exact := v.options.Fit == FitExact || auto && g.Cell == [3]float64{}
	if g.Channels < 1 || g.Channels > channels || exact && g.Dims != want {
		most := "1"
		switch {
		case channels > 1:
			most = fmt.Sprintf("1 to %d", channels)
		case g.Channels > 1:
			most = "1; more channels need raw values"
		}
		return fmt.Errorf("grid of %s cells and %d channels: want %s and %s", dimsString(g.Dims), g.Channels,
			dimsString(want), most)
	}
	n := g.Channels
	for _, d := range g.Dims {
		if d < 1 || d > math.MaxInt32/n {
			return fmt.Errorf("grid of %s cells: want at least 1 per axis and at most %d in total",
				dimsString(g.Dims), math.MaxInt32)
		}
		n *= d
	}
	if len(g.Values) != n {
		return fmt.Errorf("grid of %s cells with %d values: want %d", dimsString(g.Dims), len(g.Values), n)
	}
	if finiteValues(g.Values) {
		return nil
	}
	for i, x := range g.Values {
		if x-x != 0 {
			i /= g.Channels
			z, y, x0 := i/(g.Dims[1]*g.Dims[2]), i/g.Dims[2]%g.Dims[1], i%g.Dims[2]
			return fmt.Errorf("grid value %g at cell (%d,%d,%d): want finite numbers", x, z, y, x0)
		}
	}
	return nil
}
