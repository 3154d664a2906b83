package voxelize

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/vector"
)

// Fit selects how an input grid of another size is adapted to the size in the options.
type Fit string

// The ways to fit. FitWhole resamples to cubic cells that are just large enough for the whole grid. FitCrop resamples
// to cells of Options.Spacing, or cubic ones of Options.Edge, or else of the grid's smallest cell size, and takes the
// centre. Both pad with the lowest value. FitExact rejects grids of another size. FitAuto, the default, is FitCrop if
// there is a Spacing, else FitWhole for grids with a known cell size (MRI and CT scans) and FitExact for others, where
// another size is probably a mistake.
const (
	FitAuto  Fit = "auto"
	FitWhole Fit = "whole"
	FitCrop  Fit = "crop"
	FitExact Fit = "exact"
)

// Fits lists all ways to fit.
func Fits() []Fit { return []Fit{FitAuto, FitWhole, FitCrop, FitExact} }

// Choices lists the names of all ways to fit.
func (Fit) Choices() []string { return names(Fits(), func(f Fit) Fit { return f }) }

// ChoiceDoc returns the description of a way to fit.
func (Fit) ChoiceDoc(name string) string {
	switch Fit(name) {
	case FitAuto:
		return "Use crop if spacing is set, else whole for grids that state their cell size, such as MRI and CT scans, " +
			"and exact for all others."
	case FitWhole:
		return "Resample the whole grid to fit."
	case FitCrop:
		return "Crop to the centre, at the cell size set by spacing or edge, or else at the grid's smallest cell size."
	case FitExact:
		return "Reject grids of another size."
	}
	return ""
}

// gridValues returns the values of an input grid as density or occupancy, windowed and resampled to the cells of the
// options. scaled reports that a window mapped them to 0..1. The values of g are not modified.
func (v *Voxelizer) gridValues(g *ingest.Grid) (values []float32, scaled bool, err error) {
	if err := v.check(g, 1); err != nil {
		return nil, false, err
	}
	if values, err = background(g); err != nil {
		return nil, false, err
	}
	window, scaled := v.window(g, values)
	if scaled {
		values = slices.Clone(values)
		scale(values, window)
	}
	values = v.fitted(g, values)
	if v.value() == Occupancy {
		values = slices.Clone(values)
		occupy(values)
		return values, false, nil
	}
	return values, scaled, nil
}

// raw sets vol's values from an input grid with any number of channels: resampled to the cells of the options, then
// scaled as the encoding says (a window in the file is ignored). vol shares the memory of g if nothing changes the
// values.
func (v *Voxelizer) raw(vol *Volume, g *ingest.Grid) error {
	if err := v.check(g, MaxChannels); err != nil {
		return err
	}
	vol.Content = v.content(g.Channels)
	if _, err := vol.Content.Size(vol.Dims); err != nil {
		return err
	}
	values, err := background(g)
	if err != nil {
		return err
	}
	windows := v.scaling.windows(values, g.Channels) // before cells are added around the grid
	vol.Values = v.fitted(g, values)
	if v.scaling.changes() || v.value() == Occupancy {
		vol.Values = slices.Clone(vol.Values)
	}
	v.scaling.applyWith(vol.Values, g.Channels, windows)
	if v.value() == Occupancy {
		occupy(vol.Values)
	}
	return nil
}

// content returns the content of volumes of values.
func (v *Voxelizer) content(channels int) Content {
	c := FloatContent(channels)
	if v.scaling.changes() {
		c.Values = v.scaling.encoding()
	}
	return c
}

// fitted resamples the values of a grid, each channel separately, unless its cells already match the options.
func (v *Voxelizer) fitted(g *ingest.Grid, values []float32) []float32 {
	if v.fits(g) {
		return values
	}
	cell := v.cell(g)
	edge := v.edge(g.Dims, cell)
	return resampleChannels(values, g, cell, v.options.Dims, edge, v.options.Interpolation)
}

// resampleChannels resamples each channel of the values of a grid. Cells outside of it get the channel's lowest value.
func resampleChannels(values []float32, g *ingest.Grid, cell [3]float64, want [3]int, edge [3]float64,
	how Interpolation,
) []float32 {
	if g.Channels == 1 {
		return resample(values, g.Dims, cell, want, edge, slices.Min(values), how)
	}
	var out []float32
	channel := make([]float32, len(values)/g.Channels)
	for c := range g.Channels {
		for i := range channel {
			channel[i] = values[i*g.Channels+c]
		}
		resampled := resample(channel, g.Dims, cell, want, edge, slices.Min(channel), how)
		if out == nil {
			out = make([]float32, len(resampled)*g.Channels)
		}
		for i, x := range resampled {
			out[i*g.Channels+c] = x
		}
	}
	return out
}

// fits reports whether the grid's cells match the options without resampling.
func (v *Voxelizer) fits(g *ingest.Grid) bool {
	if v.options.Fit == FitExact || g.Dims != v.options.Dims {
		return v.options.Fit == FitExact
	}
	cell := v.cell(g)
	if s := v.options.Spacing; s != (Spacing{}) {
		return s.is(cell)
	}
	return cell == [3]float64{cell[0], cell[0], cell[0]} &&
		(v.options.Fit != FitCrop || v.options.Edge[0] == 0 || v.options.Edge[0] == cell[0])
}

// cell returns the cell size of a grid, or 1 on each axis if it is unknown.
func (v *Voxelizer) cell(g *ingest.Grid) [3]float64 {
	if !known(g.Cell) {
		return [3]float64{1, 1, 1}
	}
	return g.Cell
}

// edge returns the cell size to resample a grid to, along z, y, x.
func (v *Voxelizer) edge(dims [3]int, cell [3]float64) [3]float64 {
	edge := 0.0
	switch {
	case v.options.Spacing != Spacing{}:
		return v.options.Spacing.metres()
	case v.options.Fit == FitCrop && v.options.Edge[0] > 0:
		edge = v.options.Edge[0]
	case v.options.Fit == FitCrop:
		edge = min(cell[0], cell[1], cell[2])
	default:
		for k, n := range dims {
			edge = max(edge, float64(n)*cell[k]/float64(v.options.Dims[k]))
		}
	}
	return [3]float64{edge, edge, edge}
}

// background returns the values of a grid, with a background value where they are NaN or infinite, as outside of the
// brain in a masked map: 0, or the lowest finite value of the channel if that is below 0. The values are those of the
// grid itself if all of them are finite.
func background(g *ingest.Grid) ([]float32, error) {
	if vector.Finite(g.Values) {
		return g.Values, nil
	}
	lowest, found := make([]float32, g.Channels), false
	for i, x := range g.Values {
		if x-x == 0 {
			lowest[i%g.Channels], found = min(lowest[i%g.Channels], x), true
		}
	}
	if !found {
		return nil, fmt.Errorf("none of the %d values of the grid is finite", len(g.Values))
	}
	out := slices.Clone(g.Values)
	for i, x := range out {
		if x-x != 0 {
			out[i] = lowest[i%g.Channels]
		}
	}
	return out, nil
}

// channelsError reports a grid whose number of channels cannot be used; most is the largest number that can.
func channelsError(found, most int) error {
	if most > 1 {
		return fmt.Errorf("found a grid with %d channels, want 1 to %d", found, most)
	}
	if found < 1 {
		return fmt.Errorf("found a grid with %d channels, want 1", found)
	}
	return fmt.Errorf("found a grid with %d channels, want 1: use --values raw for more", found)
}

// check reports a grid that is invalid, has more than the given number of channels, or cannot be fitted.
func (v *Voxelizer) check(g *ingest.Grid, channels int) error {
	if g == nil {
		return errNoData
	}
	want := v.options.Dims
	auto := v.options.Fit == FitAuto
	exact := v.options.Fit == FitExact || auto && g.Cell == [3]float64{}
	if v.options.Spacing != (Spacing{}) {
		if exact = false; !known(g.Cell) {
			return errNoCell
		}
	}
	if g.Channels < 1 || g.Channels > channels {
		return channelsError(g.Channels, channels)
	}
	if exact && g.Dims != want {
		var hints []string
		if !v.options.required {
			hints = append(hints, "change --grid")
		}
		if auto {
			hints = append(hints, "resample with --fit whole or --fit crop")
		}
		err := fmt.Errorf("found a grid of %s cells, want %s", dimsString(g.Dims), dimsString(want))
		if len(hints) > 0 {
			err = fmt.Errorf("%w: %s", err, strings.Join(hints, ", or "))
		}
		return err
	}
	n := g.Channels
	for _, d := range g.Dims {
		if d < 1 || d > math.MaxInt32/n {
			return fmt.Errorf("found a grid of %s cells, want at least 1 per axis and at most %d in total",
				dimsString(g.Dims), math.MaxInt32)
		}
		n *= d
	}
	if len(g.Values) != n {
		return fmt.Errorf("grid of %s cells: found %d values, want %d", dimsString(g.Dims), len(g.Values), n)
	}
	return nil
}
