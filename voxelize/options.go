package voxelize

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// Value is the kind of value stored in a cell.
type Value string

// The values. Density is normalized by the method. Occupancy is 1 where there is a point, or where the value of an
// input grid is above 0; otherwise 0. Measured values are finite numbers whose meaning and unit the method documents;
// only a method can have them.
const (
	Density   Value = "density"
	Occupancy Value = "occupancy"
	Measured  Value = "measured"
)

// Values lists the values that the options can have.
func Values() []Value { return []Value{Density, Occupancy} }

// Choices lists the names of all values.
func (Value) Choices() []string { return names(Values(), func(v Value) Value { return v }) }

// ChoiceDoc returns the description of a value.
func (Value) ChoiceDoc(name string) string {
	switch Value(name) {
	case Density:
		return "Number of points in the cell, normalized by the method."
	case Occupancy:
		return "1 if the cell holds a point, or if the value in the input grid is above 0; 0 otherwise."
	}
	return ""
}

// Options configures a [Voxelizer]. It is the section voxelize of the configuration.
type Options struct {
	required bool // see Required
	// Dims is the grid size (depth, height, width) in cells. Some methods require a cube. Input grids are fitted to
	// it.
	Dims option.Dims `yaml:"grid" flag:"grid" doc:"Grid size in cells: one number for a cube, or DEPTHxHEIGHTxWIDTH such as 16x24x24. It must match the model's input."`
	// Method is the name of one of [Methods].
	Method MethodName `yaml:"method" flag:"method" doc:"Voxelization method for point clouds and depth frames."`
	// Value is the kind of value to store in each cell; empty means Density. A method with its own Value ignores it.
	Value Value `yaml:"value" flag:"value" doc:"Value to store in each cell."`
	// Values says what volumes hold; empty means PaletteIndices, or what the model was trained on.
	Values Encoding `yaml:"values" flag:"values" doc:"What the network receives for each cell: palette, palette:LO:HI, raw, window:LO:HI (numbers, percentiles such as 1%:99%, or a name such as lung), standard or standard:MEAN:DEV; see the command model input. Empty uses what the model was trained on. A new model gets palette indices."`
	// Edge is the cell size of a placed grid; 0 fits the grid to each cloud. FitCrop uses it for input grids too.
	Edge Edges `yaml:"edge" flag:"edge" doc:"Cell size in metres, for methods on a regular grid: one number for cubes, or DEPTHxHEIGHTxWIDTH such as 4x0.16x0.16. 0 fits the grid to each point cloud; 0 along an axis fits that axis."`
	// Origin is the minimum corner of a placed grid. Without one, the grid is centred on the bounding box of each
	// cloud.
	Origin Position `yaml:"origin" flag:"origin" doc:"Minimum corner X,Y,Z of the grid in metres, for methods on a regular grid, such as 0,-39.68,-3. Empty centres the grid on each point cloud."`
	// Widen widens the cells of a cloud that does not fit into the grid, by the same factor along all axes.
	Widen bool `yaml:"widen" flag:"widen" doc:"Widen the cells for point clouds that do not fit into a grid with cells of voxelize.edge, instead of dropping the points outside."`
	// Fit applies to input grids of another size; empty means FitAuto.
	Fit Fit `yaml:"fit" flag:"fit" doc:"How to fit inputs that are already voxel grids, such as MRI and CT scans, to the grid size."`
	// Spacing is the cell size that input grids are resampled to; zeros leave it to Fit.
	Spacing Spacing `yaml:"spacing" flag:"spacing" doc:"Cell size in millimetres to which MRI and CT scans are resampled before they are cropped or padded to the grid size: one number, or DEPTHxHEIGHTxWIDTH such as 2x1x1. If empty, fit determines the cell size."`
	// Interpolation is how values between the cells of an input grid are computed; empty means Linear.
	Interpolation Interpolation `yaml:"interpolation" flag:"interpolation" doc:"How inputs that are already voxel grids are resampled."`
	// Window is mapped to 0..1 in input grids. Values outside it are clamped.
	Window Window `yaml:"window" flag:"window" doc:"Intensity window CENTRE:WIDTH that is scaled to 0..1 in inputs that are already voxel grids, such as -600:1500 for the lungs in CT. A name stands for the usual window: soft-tissue, lung, mediastinum, liver, bone, spine, temporal-bone, brain, subdural or stroke. LO%:HI% such as 1%:99% is a window between percentiles of each grid, for MRI. It replaces the window of --values. Empty uses the window in the file, if any, for palette indices. none uses the full range of values."`
	// Colormap is the name of the palette.
	Colormap colormap.Name `yaml:"colormap" flag:"colormap" doc:"Colour map of the volumes. It must be the one that the model was trained with."`
	// Norm is how values become palette indices; empty means colormap.Linear. The range is that of Values if it has
	// numbers (palette:LO:HI), otherwise that of the values of each volume.
	Norm colormap.Norm `yaml:"norm" flag:"norm" doc:"How values are mapped to the colour map: linear or log. The range is that of --values palette:LO:HI, or else the range of the values in each volume."`
	// Under, Over and Bad are the colours of an exported volume where values are below or above the range, or the norm
	// cannot map them.
	Under colormap.Color `yaml:"under" flag:"under" doc:"Colour #rrggbb of values below the range of --values palette:LO:HI, for --format rgb of voxelize. Empty is the first colour of the map."`
	Over  colormap.Color `yaml:"over" flag:"over" doc:"Colour #rrggbb of values above that range. Empty is the last colour of the map."`
	Bad   colormap.Color `yaml:"bad" flag:"bad" doc:"Colour #rrggbb of values that norm log cannot map: 0 and less. Empty is the first colour of the map."`
	// Methods holds pointers to the options of the methods, one struct of each type; see [MethodOptions].
	Methods []any `yaml:",inline"`
}

// DefaultOptions returns the options of the 3D MNIST tutorial: 16x16x16 cells, density, Oranges. Each call allocates
// new method options.
func DefaultOptions() Options {
	return Options{
		Method: MNIST3D.Name, Dims: option.Dims{16, 16, 16}, Value: Density, Fit: FitAuto, Interpolation: Linear,
		Colormap: "Oranges", Norm: colormap.Linear, Methods: newMethodOptions(),
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

// Fields returns the names of the fields of points that the method uses besides coordinates, intensity and colours:
// those that a reader must be asked for.
func (o Options) Fields() []string {
	m, err := methodOf(o.Method)
	if err != nil || m.Attributes == nil {
		return nil
	}
	var out []string
	for _, name := range m.Attributes(o) {
		if !slices.Contains(standardAttributes, name) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
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

// Required returns the options for a model that takes only grids of this size: errors do not suggest another one.
func (o Options) Required() Options {
	o.required = true
	return o
}

// otherwise are the keys of the settings that models state in another way (see package classify).
var otherwise = []string{"grid", "values", "window", "colormap"}

// Settings returns the settings that differ from the defaults, as texts by their keys. Those that models state in
// another way are left out: grid size, values and colour map.
func (o Options) Settings() map[string]string {
	o = o.Clone()
	defaults := DefaultOptions()
	known := option.Settings(&defaults)
	var out map[string]string
	for _, f := range option.Settings(&o) {
		d, ok := option.Find(known, f.Path)
		if ok && f.String() != d.String() && !slices.Contains(otherwise, f.Path) {
			if out == nil {
				out = map[string]string{}
			}
			out[f.Path] = f.String()
		}
	}
	return out
}

// With returns the options with settings as Settings returns them.
func (o Options) With(settings map[string]string) (Options, error) {
	o = o.Clone()
	fields := option.Settings(&o)
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		f, ok := option.Find(fields, key)
		if !ok || slices.Contains(otherwise, key) {
			return o, fmt.Errorf("voxelize: found the setting %.64q, which this version does not know", key)
		}
		if err := f.Set(settings[key]); err != nil {
			return o, fmt.Errorf("voxelize: %s: %w", key, err)
		}
	}
	return o, nil
}

// Clone returns a deep copy.
func (o Options) Clone() Options {
	if o.Origin.At != nil {
		o.Origin = At(o.Origin.At[0], o.Origin.At[1], o.Origin.At[2])
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
	if o.Norm == "" {
		o.Norm = colormap.Linear
	}
	if o.Interpolation == "" {
		o.Interpolation = Linear
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
	if err := o.Edge.check(); err != nil {
		bad("edge: %w", err)
	} else if o.Fit == FitCrop && !o.Edge.Cubic() {
		bad("edge: found %v, want one number for fit %s, which makes cubic cells", o.Edge, FitCrop)
	}
	if err := o.Origin.check(); err != nil {
		bad("origin: %w", err)
	}
	if err := o.Window.check(); err != nil {
		bad("window: %w", err)
	} else if _, err := o.Values.Windowed(o.Window); err != nil {
		bad("window: %w", err)
	}
	if _, err := scalingOf(o.Values); err != nil {
		bad("values: found %.64q, %w", o.Values, err)
	}
	if err := o.Spacing.check(); err != nil {
		bad("spacing: %w", err)
	}
	if o.Spacing != (Spacing{}) && (o.Fit == FitWhole || o.Fit == FitExact || o.Edge != (Edges{})) {
		bad("spacing: found %v with fit %s and edge %g, want fit auto or crop and no edge", o.Spacing, o.Fit, o.Edge)
	}
	m, err := methodOf(o.Method)
	if err != nil {
		return errors.Join(errs...) // the tags report the method name
	}
	if m.Needs.Cube && dimsErr == nil && (o.Dims[0] != o.Dims[1] || o.Dims[0] != o.Dims[2]) {
		bad("grid: found %s cells, want a cube for method %s", dimsString(o.Dims), m.Name)
	}
	if m.Needs.Flat && dimsErr == nil && o.Dims[0] != 1 {
		bad("grid: found %s cells, want a depth of 1 for method %s, such as 1x%dx%d", dimsString(o.Dims), m.Name,
			o.Dims[1], o.Dims[2])
	}
	if m.Needs.CubicCells && !o.Edge.Cubic() {
		bad("edge: found %v, want one number for method %s, which needs cubic cells", o.Edge, m.Name)
	}
	if m.Placed {
		return errors.Join(errs...)
	}
	const regularOnly = "method %s fits its own grid; a method on a regular grid, such as regular, uses an %s"
	if o.Edge != (Edges{}) && o.Fit != FitCrop {
		bad("edge: found %v, want 0: "+regularOnly, o.Edge, m.Name, "edge")
	}
	if o.Origin.At != nil {
		bad("origin: found %v, want none: "+regularOnly, o.Origin, m.Name, "origin")
	}
	return errors.Join(errs...)
}
