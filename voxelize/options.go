package voxelize

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// Method names a way to turn points into cells; each is a file of this package.
type Method string

// The methods. MNIST3D and Pyntcloud fit a cube around each cloud, so a shape looks the same wherever it stands; the next three are one
// method, the half-open grid with a fixed origin and edge that sensors need: Regular takes the value of the options, Occupancy and Density
// imply it. TSDF takes depth frames only, on the same grid: a cell says how close the surface is that the camera sees.
const (
	MNIST3D         Method = "mnist3d"
	Pyntcloud       Method = "pyntcloud"
	Regular         Method = "regular"
	OccupancyMethod Method = "occupancy"
	DensityMethod   Method = "density"
	TSDF            Method = "tsdf"
)

// Methods lists all methods.
func Methods() []Method {
	return []Method{MNIST3D, Pyntcloud, Regular, OccupancyMethod, DensityMethod, TSDF}
}

// Value is what a cell says of the points in it.
type Value string

// The values: density is normalised as the method has it, occupancy is 1 where there is a point (or a ready grid is above 0), else 0.
const (
	Density   Value = "density"
	Occupancy Value = "occupancy"
)

// Values lists all values.
func Values() []Value { return []Value{Density, Occupancy} }

// Options say how samples become volumes.
type Options struct {
	Method Method
	// Dims is depth, height, width in cells. MNIST3D and Pyntcloud want a cube; ready grids are fitted.
	Dims [3]int
	// Value is what a cell says; empty means Density, or what the method implies.
	Value Value
	// Colormap names the palette (see colormap.Names).
	Colormap string
	// Origin is the minimum corner of the regular grid as x, y, z in metres; nil centres the grid on the bounding box of each cloud.
	Origin *[3]float64
	// Edge is the side of a cell of the regular grid in metres; 0 makes each cloud fit.
	// Crop takes it for ready grids too.
	Edge float64
	// Fit is for ready grids of other cells; empty means FitAuto.
	Fit Fit
	// Window maps the values of ready grids to 0 .. 1, the lower and higher ones to the ends; nil: the window that the file names, if any.
	Window *Window
}

// DefaultOptions are those of the 3D MNIST tutorial: 16^3 cells, density, Oranges.
func DefaultOptions() Options {
	return Options{Method: MNIST3D, Dims: [3]int{16, 16, 16}, Value: Density, Colormap: "Oranges"}
}

// Validate reports everything that is wrong, joined into one error.
func (o Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !slices.Contains(Methods(), o.Method) {
		bad("method %q: want one of %v", o.Method, Methods())
	}
	if err := checkDims(o.Dims); err != nil {
		errs = append(errs, err)
	} else if o.isCube() && (o.Dims[0] != o.Dims[1] || o.Dims[0] != o.Dims[2]) {
		bad("grid of %s cells: method %s wants a cube", dimsString(o.Dims), o.Method)
	}
	if o.Value != "" && !slices.Contains(Values(), o.Value) {
		bad("value %q: want one of %v", o.Value, Values())
	}
	if o.Fit != "" && !slices.Contains(Fits(), o.Fit) {
		bad("fit %q: want one of %v", o.Fit, Fits())
	}
	if w := o.Window; w != nil {
		if low, high := w.bounds(); !finite(w.Centre, w.Width, 0) || w.Width < 0 || w.Width > 0 && (!finite(float64(low), float64(high), 0) || low >= high) {
			bad("window %g:%g: want a finite centre, and a width of 0 (none) or more that a float32 can tell", w.Centre, w.Width)
		}
	}
	if _, err := colormap.ByName(o.Colormap); err != nil {
		errs = append(errs, err)
	}
	if o.Edge < 0 || math.IsNaN(o.Edge) || math.IsInf(o.Edge, 0) {
		bad("edge %g m: want a finite number, 0 (fitted) or more", o.Edge)
	}
	if o.Origin != nil && !finite(o.Origin[0], o.Origin[1], o.Origin[2]) {
		bad("origin %v m: want finite numbers", *o.Origin)
	}
	if o.isCube() && (o.Edge != 0 && o.Fit != FitCrop || o.Origin != nil) {
		bad("edge %g m and origin: method %s fits its own cube, only %s, %s, %s and %s take them", o.Edge, o.Method,
			Regular, OccupancyMethod, DensityMethod, TSDF)
	}
	return errors.Join(errs...)
}

func (o Options) isCube() bool { return o.Method == MNIST3D || o.Method == Pyntcloud }

// value is what a cell says, the method's implication included. Occupancy and Density are names for the regular method, so they win.
func (o Options) value() Value {
	switch {
	case o.Method == OccupancyMethod:
		return Occupancy
	case o.Method == DensityMethod || o.Value == "":
		return Density
	}
	return o.Value
}
