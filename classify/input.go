package classify

import (
	"fmt"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// Input describes the volumes that a model takes. It is the same wherever the model is used: in training, evaluation
// and quantization, and behind Kafka.
type Input struct {
	// Dims is depth, height, width in cells, Channels the number of values per cell that the model takes.
	Dims     [3]int
	Channels int
	// Values says which numbers the model gets for the cells. Palette is the colour map of its palette indices, and
	// nil if it takes values.
	Values  voxelize.Encoding
	Palette *colormap.Palette
	// Voxelize are further settings of the voxelizer that makes such volumes, where they are not the defaults, as texts
	// by their keys.
	Voxelize map[string]string
	// Stated is what the model's metadata says, if the user's preferences replace it. It is empty otherwise.
	Stated voxelize.Encoding
	// first reports that the channels come before depth, height and width in the model's input.
	first bool
	// required reports that a model determines the size.
	required bool
}

// Preferences are what the user of a model says about its input. The zero value leaves everything to the model.
type Preferences struct {
	// Values and Window replace those in the model's metadata.
	Values voxelize.Encoding
	Window voxelize.Window
	// Colormap is the palette for models that do not specify one.
	Colormap string
}

// PreferencesIn returns the preferences in the options of a voxelizer.
func PreferencesIn(o voxelize.Options) Preferences {
	return Preferences{Values: o.Values, Window: o.Window, Colormap: string(o.Colormap)}
}

// InputOf returns the input of a model. Values that neither the user nor the model states are palette indices for a
// model with a colour map, which this program trained on them, and for files of earlier versions of this program. Other
// models come from elsewhere: they take values as measured.
func InputOf(m *nn.Model, p Preferences) (*Input, error) {
	dims, err := Dims(m)
	if err != nil {
		return nil, err
	}
	in := &Input{Dims: dims, Voxelize: m.Voxelize, required: true}
	if _, err := voxelize.DefaultOptions().With(m.Voxelize); err != nil {
		return nil, fmt.Errorf("model %s: metadata: %w", m.Name, err)
	}
	in.Channels, in.first = layout(m.Inputs()[0].Shape)
	if in.Values, err = preferred(m, in.Channels, p); err != nil {
		return nil, err
	}
	if m.Values != "" || m.Colormap != "" {
		if stated, err := preferred(m, in.Channels, Preferences{}); err == nil && stated != in.Values {
			in.Stated = stated
		}
	}
	if in.Values.IsPalette() {
		in.Palette, err = palette(m, in.Channels, p.Colormap)
	}
	return in, err
}

// NewInput returns the input of a model that is to be trained on the volumes of a voxelizer with these options.
// Channels is 0 for values, whose number of channels the first volume decides.
func NewInput(o voxelize.Options) (*Input, error) {
	in := &Input{Dims: o.Dims, Values: o.Encoding(), Voxelize: o.Settings()}
	if !in.Values.IsPalette() {
		return in, nil
	}
	var err error
	in.Channels = 3
	in.Palette, err = colormap.ByName(string(o.Colormap))
	return in, err
}

// preferred returns the values that a model with some channels gets.
func preferred(m *nn.Model, channels int, p Preferences) (e voxelize.Encoding, err error) {
	if e = p.Values; e == "" {
		if e, err = valuesOf(m, channels); err != nil {
			return "", err
		}
	}
	if e, err = e.Windowed(p.Window); err == nil {
		err = e.Apply(nil, channels)
	}
	if err != nil {
		return "", fmt.Errorf("model %s: %w", m.Name, err)
	}
	return e, nil
}

// Scaler returns a function that scales a row of an input of a model from values as measured, in place and in the
// input's order of axes. It returns nil if rows stay as they are: raw values, colours, and inputs that are not volumes.
func Scaler(m *nn.Model, shape nn.Shape, p Preferences) (func(row []float32) error, error) {
	in := &Input{}
	in.Channels, in.first = layout(shape)
	if in.Channels == 0 {
		return nil, nil
	}
	var err error
	if in.Values, err = preferred(m, in.Channels, p); err != nil || in.Values.IsPalette() ||
		in.Values == voxelize.RawValues {
		return nil, err
	}
	return func(row []float32) error {
		if !in.first {
			return in.Values.Apply(row, in.Channels)
		}
		last := make([]float32, len(row))
		in.transpose(last, row, false)
		err := in.Values.Apply(last, in.Channels)
		in.transpose(row, last, true)
		return err
	}, nil
}

// transpose copies a row from the order with the channels last to that with the channels first, or back.
func (in *Input) transpose(dst, src []float32, first bool) {
	cells := len(src) / in.Channels
	for i := range cells {
		for k := range in.Channels {
			if first {
				dst[k*cells+i] = src[i*in.Channels+k]
			} else {
				dst[i*in.Channels+k] = src[k*cells+i]
			}
		}
	}
}

// valuesOf returns the values that a model takes by its metadata.
func valuesOf(m *nn.Model, channels int) (voxelize.Encoding, error) {
	switch {
	case m.Values != "":
		e, err := voxelize.ParseEncoding(m.Values)
		if err != nil {
			return "", fmt.Errorf("model %s: its metadata has the values %w", m.Name, err)
		}
		return e, nil
	case m.Colormap != "" || m.Older && colours(channels):
		return voxelize.PaletteIndices, nil
	}
	return voxelize.RawValues, nil
}

// palette returns the colour map that a model was trained with, or the one named otherwise if the model does not
// specify one.
func palette(m *nn.Model, channels int, otherwise string) (*colormap.Palette, error) {
	if !colours(channels) {
		return nil, fmt.Errorf("model %s: found an input with %d channels, want 1 or 3 for palette indices: use "+
			"--values raw for values as measured", m.Name, channels)
	}
	name := m.Colormap
	if name == "" {
		name = otherwise
	}
	if name == "" {
		name = string(voxelize.DefaultOptions().Colormap)
	}
	p, err := colormap.ByName(name)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", m.Name, err)
	}
	return p, nil
}

// Metadata returns the metadata of a model that takes this input, with the names of its classes. A colour map alone
// stands for palette indices.
func (in *Input) Metadata(classes []string) nn.Metadata {
	m := nn.Metadata{Classes: classes, Voxelize: in.Voxelize}
	if in.Palette != nil {
		m.Colormap = in.Palette.Name
	}
	if in.Values != voxelize.PaletteIndices {
		m.Values = in.Values.String()
	}
	return m
}

// Options returns the options of a voxelizer that makes such volumes, in the size of the model (see
// [voxelize.Options.Sized]).
func (in *Input) Options(o voxelize.Options) voxelize.Options {
	if stated, err := o.With(in.Voxelize); err == nil { // InputOf has checked them
		o = stated
	}
	if o = o.Sized(in.Dims); in.required {
		o = o.Required()
	}
	o.Values, o.Window = in.Values, voxelize.Window{}
	if in.Palette != nil {
		o.Colormap = colormap.Name(in.Palette.Name)
	}
	return o
}

// Size returns the number of numbers in a row of the model's input, and whether they are palette indices of one byte.
// Other rows are float32.
func (in *Input) Size() (n int, indices bool) {
	n = in.Dims[0] * in.Dims[1] * in.Dims[2]
	if in.Palette == nil {
		n *= in.Channels
	}
	return n, in.Palette != nil
}

// Colours returns the palette in the form that plans of the model take, or nil if the model takes values. The
// background is entry 0, the colour of an empty cell. For a model with one channel, entries are densities: their
// position in the palette, from 0 to 1.
func (in *Input) Colours() *nn.Palette {
	switch {
	case in.Palette == nil:
		return nil
	case in.Channels == 1:
		density := make([]float32, colormap.Size)
		for i := range density {
			density[i] = float32(i) / (colormap.Size - 1)
		}
		return &nn.Palette{Colours: density, Channels: 1}
	}
	colours := make([]float32, 0, 3*colormap.Size)
	for _, c := range in.Palette.RGB {
		colours = append(colours, c[:]...)
	}
	return &nn.Palette{Colours: colours, Channels: 3}
}

// String describes the content of the volumes, for example "palette Oranges" or "raw values of 1 channel".
func (in *Input) String() string {
	if in.Palette != nil {
		return in.content().String()
	}
	channels := "1 channel"
	if in.Channels != 1 {
		channels = fmt.Sprintf("%d channels", in.Channels)
	}
	if in.Values == voxelize.RawValues {
		return "raw values of " + channels
	}
	return fmt.Sprintf("values of %s, raw or scaled by %s", channels, in.Values)
}

// content returns the content of volumes of palette indices.
func (in *Input) content() voxelize.Content {
	c := voxelize.PaletteContent(in.Palette.Name)
	if in.Values != voxelize.PaletteIndices {
		c.Values = in.Values
	}
	return c
}

// takes reports whether volumes of the given content can be used. Values as measured are scaled by Put.
func (in *Input) takes(c voxelize.Content) bool {
	if in.Palette == nil {
		return c.Palette == "" && c.Channels == in.Channels && (c.Values == "" || c.Values == in.Values)
	}
	return c == in.content()
}

// Check reports a volume that the model does not take.
func (in *Input) Check(v *voxelize.Volume) error {
	if v.Dims != in.Dims {
		return fmt.Errorf("found %s cells, want %s, the input size of the model", cellsOf(v.Dims), cellsOf(in.Dims))
	}
	if !in.takes(v.Content) {
		return fmt.Errorf("found %v, want %v, the input of the model%s", v.Content, in, in.hint(v.Content))
	}
	if err := v.Check(); err != nil {
		return err
	}
	for i, x := range v.Values {
		if x-x != 0 {
			return fmt.Errorf("found value %g at cell (%d,%d,%d), want finite numbers",
				x, i/in.Channels/(in.Dims[1]*in.Dims[2]), i/in.Channels/in.Dims[2]%in.Dims[1], i/in.Channels%in.Dims[2])
		}
	}
	return nil
}

// hint says what to do about volumes of another kind.
func (in *Input) hint(c voxelize.Content) string {
	values := in.Values
	if values == voxelize.RawValues || values == voxelize.PaletteIndices {
		values = "" // as in Content
	}
	switch {
	case (c.Palette == "") != (in.Palette == nil) && in.Palette == nil:
		return ": make the volumes with --values raw, or say that the model takes colour maps with --values palette"
	case in.Palette == nil && in.Channels == 3 && c.Channels == 1:
		return ": if the model was trained on colours of a colour map, as in the 3D MNIST tutorial, use --values palette"
	case (c.Palette == "") != (in.Palette == nil), c.Values != values:
		return fmt.Sprintf(": make the volumes with --values %v", in.Values)
	}
	return ""
}

// Cells returns a row of the model's input in the axis order (D, H, W, C). It may be row itself.
func (in *Input) Cells(row []float32) []float32 {
	if !in.first || in.Channels == 1 {
		return row
	}
	cells := make([]float32, len(row))
	in.transpose(cells, row, false)
	return cells
}

// Put copies the values of a volume that Check accepts to dst, in the axis order of the model's input, and scales
// values as measured. Palette indices become colours.
func (in *Input) Put(dst []float32, v *voxelize.Volume) error {
	to := dst
	if in.first && in.Channels > 1 {
		to = make([]float32, len(dst))
	}
	switch {
	case in.Palette != nil:
		p := in.Colours()
		for i, b := range v.Index {
			copy(to[i*p.Channels:(i+1)*p.Channels], p.Colours[int(b)*p.Channels:])
		}
	case v.Content.Float:
		copy(to, v.Values)
	default:
		for i, b := range v.Index {
			to[i] = v.Content.Offset + v.Content.Scale*float32(b)
		}
	}
	if v.Content.Values == "" && in.Palette == nil {
		if err := in.Values.Apply(to, in.Channels); err != nil {
			return err
		}
	}
	if in.first && in.Channels > 1 {
		in.transpose(dst, to, true)
	}
	return nil
}

// Volume returns a volume of a row of the model's input: palette indices, or values in the axis order of the input,
// which keep their scale.
func (in *Input) Volume(values []float32, index []uint8) voxelize.Volume {
	v := voxelize.Volume{Label: -1, Dims: in.Dims, Index: index}
	if in.Palette != nil {
		v.Content = in.content()
		return v
	}
	v.Content, v.Values = voxelize.FloatContent(in.Channels), in.Cells(values)
	return v
}
