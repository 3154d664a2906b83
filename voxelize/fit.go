package voxelize

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
)

// Fit says what becomes of a ready grid whose cells are not those of the options.
type Fit string

// The ways to fit. Whole resamples to cubic cells of the size at which all of the grid is inside; crop to cubic cells of Options.Edge, or of the
// grid's own smallest edge, of which the middle is taken; both fill up around with the lowest value. Exact refuses. Auto, also written as
// nothing, is whole for grids that say how large their cells are, as those of MRI and CT do, and exact for others, whose size is likely a mistake.
const (
	FitAuto  Fit = "auto"
	FitWhole Fit = "whole"
	FitCrop  Fit = "crop"
	FitExact Fit = "exact"
)

// Fits lists all ways to fit.
func Fits() []Fit { return []Fit{FitAuto, FitWhole, FitCrop, FitExact} }

// Window is the range of values to look at, as radiologists say it: its middle and its width, in the grid's own units (Hounsfield units for CT).
// Width 0 means no window: the range that the values have.
type Window struct{ Centre, Width float64 }

// bounds are the values that become 0 and 1.
func (w Window) bounds() (low, high float32) {
	return float32(w.Centre - w.Width/2), float32(w.Centre + w.Width/2)
}

// window is the one of the options, else the grid's own; ok is false for none.
func (v *Voxelizer) window(g *ingest.Grid) (low, high float32, ok bool) {
	if w := v.options.Window; w != nil {
		low, high = w.bounds()
	} else {
		low, high = g.Window[0], g.Window[1]
	}
	return low, high, low < high
}

// ready makes the values of a grid that came as such those of the options' cells: windowed, resampled, as density or as occupancy. Scaled says
// that a window made them 0 to 1. The grid's own values are not changed.
func (v *Voxelizer) ready(g *ingest.Grid) (values []float32, scaled bool, err error) {
	if err := v.check(g); err != nil {
		return nil, false, err
	}
	values = g.Values
	low, high, scaled := v.window(g)
	if scaled {
		values = make([]float32, len(g.Values))
		for i, x := range g.Values {
			values[i] = (min(max(x, low), high) - low) / (high - low)
		}
	}
	if want := v.options.Dims; !v.fits(g) {
		cell := v.cell(g)
		values = resample(values, g.Dims, cell, want, v.edge(g.Dims, cell), slices.Min(values))
	}
	if v.options.value() == Occupancy {
		values = slices.Clone(values)
		occupy(values)
		return values, false, nil
	}
	return values, scaled, nil
}

// fits says whether the grid's cells are the options' as they are.
func (v *Voxelizer) fits(g *ingest.Grid) bool {
	if v.options.Fit == FitExact || g.Dims != v.options.Dims {
		return v.options.Fit == FitExact
	}
	cell := v.cell(g)
	return cell == [3]float64{cell[0], cell[0], cell[0]} && (v.options.Fit != FitCrop || v.options.Edge == 0 || v.options.Edge == cell[0])
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

// check says whether a grid can be made to fit.
func (v *Voxelizer) check(g *ingest.Grid) error {
	if g == nil {
		return errors.New("sample without data: want a frame, a point cloud or a grid")
	}
	want := v.options.Dims
	auto := v.options.Fit == "" || v.options.Fit == FitAuto
	exact := v.options.Fit == FitExact || auto && g.Cell == [3]float64{}
	if g.Channels != 1 || exact && g.Dims != want {
		return fmt.Errorf("grid of %s cells and %d channels: want %s and 1", dimsString(g.Dims), g.Channels, dimsString(want))
	}
	n := 1
	for _, d := range g.Dims {
		if d < 1 || d > math.MaxInt32/n {
			return fmt.Errorf("grid of %s cells: want 1 or more a side and at most %d in all", dimsString(g.Dims), math.MaxInt32)
		}
		n *= d
	}
	if len(g.Values) != n {
		return fmt.Errorf("grid of %s cells with %d values: want %d", dimsString(g.Dims), len(g.Values), n)
	}
	for i, x := range g.Values {
		if x-x != 0 {
			z, y, x0 := i/(g.Dims[1]*g.Dims[2]), i/g.Dims[2]%g.Dims[1], i%g.Dims[2]
			return fmt.Errorf("grid value %g at cell (%d,%d,%d): want finite numbers", x, z, y, x0)
		}
	}
	return nil
}
