package voxelize

import (
	"errors"
	"fmt"
	"strings"

	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// Value is the kind of value stored in a cell.
type Value string

// The values. Density is normalised by the method. Occupancy is 1 where there is a point, or where the value of an
// input grid is above 0; otherwise 0.
const (
	Density   Value = "density"
	Occupancy Value = "occupancy"
)

// Values lists all values.
func Values() []Value { return []Value{Density, Occupancy} }

// Choices lists the names of all values.
func (Value) Choices() []string { return names(Values(), func(v Value) Value { return v }) }

// ChoiceDoc returns the description of a value.
func (Value) ChoiceDoc(name string) string {
	switch Value(name) {
	case Density:
		return "Number of points in the cell, normalised by the method."
	case Occupancy:
		return "1 if the cell holds a point, or if the value in the input grid is above 0; 0 otherwise."
	}
	return ""
}

// Options configures a [Voxelizer]. It is the section voxelize of the configuration.
type Options struct {
	// Dims is the grid size (depth, height, width) in cells. Some methods require a cube. Input grids are fitted to
	// it.
	Dims option.Dims `yaml:"grid" flag:"grid" doc:"Grid size in cells: one number for a cube, or DEPTHxHEIGHTxWIDTH such as 16x24x24. It must match the model's input."`
	// Method is the name of one of [Methods].
	Method MethodName `yaml:"method" flag:"method" doc:"Voxelization method for point clouds and depth frames."`
	// Value is the kind of value to store in each cell; empty means Density. A method with its own Value ignores it.
	Value Value `yaml:"value" flag:"value" doc:"Value to store in each cell."`
	// Values says what volumes hold; empty means PaletteIndices, or what the model was trained on.
	Values Encoding `yaml:"values" flag:"values" doc:"What the network gets for each cell: palette, palette:LO:HI, raw, window:LO:HI, standard or standard:MEAN:DEV, which model input explains. Empty uses what the model was trained on. A new model gets palette indices."`
	// Edge is the cell size of a placed grid in metres; 0 fits the grid to each cloud. FitCrop uses it for input
	// grids too.
	Edge float64 `yaml:"edge" flag:"edge" min:"0" doc:"Cell size in metres, for methods on a regular grid. 0 fits the grid to each point cloud."`
	// Fit applies to input grids of another size; empty means FitAuto.
	Fit Fit `yaml:"fit" flag:"fit" doc:"How to fit inputs that are already voxel grids, such as MRI and CT scans, to the grid size."`
	// Window is mapped to 0..1 in input grids. Values outside it are clamped.
	Window Window `yaml:"window" flag:"window" doc:"Intensity window CENTRE:WIDTH that is scaled to 0..1 in inputs that are already voxel grids, such as 40:400 for soft tissue in CT. It replaces the window of --values. Empty uses the window in the file, if any, for palette indices. none uses the full range of values."`
	// Colormap is the name of the palette.
	Colormap colormap.Name `yaml:"colormap" flag:"colormap" doc:"Colour map of the volumes. It must be the one that the model was trained with."`
	// Origin is the minimum corner of a placed grid as x, y, z in metres; nil centres the grid on the bounding box
	// of each cloud.
	Origin *[3]float64
	// Methods holds pointers to the options of the methods, one struct of each type; see [MethodOptions].
	Methods []any `yaml:",inline"`
}

// DefaultOptions returns the options of the 3D MNIST tutorial: 16x16x16 cells, density, Oranges. Each call allocates
// new method options.
func DefaultOptions() Options {
	return Options{
		Method: MNIST3D.Name, Dims: option.Dims{16, 16, 16}, Value: Density, Fit: FitAuto,
		Colormap: "Oranges", Methods: newMethodOptions(),
	}
}

// CellBytes returns the size in bytes of a cell in a volume of one channel.
func (o Options) CellBytes() int {
	if !o.Values.IsPalette() {
		return FloatContent(1).CellBytes()
	}
	return 1
}

// Encoding returns what volumes hold: Values, with the window of the options. An invalid combination, which [New]
// reports, gives Values.
func (o Options) Encoding() Encoding {
	values := o.withDefaults().Values
	if e, err := values.Windowed(o.Window); err == nil {
		return e
	}
	return values
}

// Sized returns the options for grids of another size. Method [Regular] replaces a method that needs a cube if dims is
// not one.
func (o Options) Sized(dims [3]int) Options {
	o.Dims = dims
	if m, err := methodOf(o.Method); err == nil && m.Needs.Cube && (dims[0] != dims[1] || dims[0] != dims[2]) {
		o.Method = Regular.Name
	}
	return o
}

// Clone returns a deep copy.
func (o Options) Clone() Options {
	if o.Origin != nil {
		origin := *o.Origin
		o.Origin = &origin
	}
	o.Methods = option.Clone(o.Methods)
	return o
}

// withDefaults replaces empty fields by their defaults.
func (o Options) withDefaults() Options {
	if o.Value == "" {
		o.Value = Density
	}
	if o.Values == "" {
		o.Values = PaletteIndices
	}
	if o.Fit == "" {
		o.Fit = FitAuto
	}
	return o
}

// Validate reports conflicting settings. Single values are validated by their tags; [New] checks both.
func (o *Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	dimsErr := checkDims(o.Dims)
	if dimsErr != nil {
		bad("grid: %w", dimsErr)
	}
	if o.Origin != nil && !finite(o.Origin[0], o.Origin[1], o.Origin[2]) {
		bad("origin: found %v, want finite numbers", *o.Origin)
	}
	if err := o.Window.check(); err != nil {
		bad("window: %w", err)
	} else if _, err := o.Values.Windowed(o.Window); err != nil {
		bad("window: %w", err)
	}
	if _, err := scalingOf(o.Values); err != nil {
		bad("values: found %.64q, %w", o.Values, err)
	}
	m, err := methodOf(o.Method)
	if err != nil {
		return errors.Join(errs...) // the tags report the method name
	}
	if m.Needs.Cube && dimsErr == nil && (o.Dims[0] != o.Dims[1] || o.Dims[0] != o.Dims[2]) {
		bad("grid: found %s cells, want a cube for method %s", dimsString(o.Dims), m.Name)
	}
	if m.Placed {
		return errors.Join(errs...)
	}
	if o.Edge != 0 && o.Fit != FitCrop {
		bad("edge: found %g, want 0: method %s fits its own grid, only %s use an edge", o.Edge, m.Name, placed())
	}
	if o.Origin != nil {
		bad("origin: found %v, want none: method %s fits its own grid, only %s use an origin", *o.Origin, m.Name,
			placed())
	}
	return errors.Join(errs...)
}

// placed lists the methods that accept an edge and an origin: "a, b and c".
func placed() string {
	var list []string
	for _, m := range Methods() {
		if m.Placed {
			list = append(list, string(m.Name))
		}
	}
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " and " + list[last]
}
