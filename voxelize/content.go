package voxelize

import (
	"errors"
	"fmt"

	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// Limits of the channels of a cell and the values of a volume.
const (
	MaxChannels = 1 << 10
	MaxValues   = 1 << 26
)

// Content describes what the cells of a volume hold: palette indices, byte values with a scale, or float32 values.
// Volumes with equal Content can share a message and a network.
type Content struct {
	// Palette is the name of the colour map that Volume.Index refers to. It is empty for byte and float32 values.
	Palette string
	// Channels is the number of values per cell; 1 for a palette.
	Channels int
	// Float is true for float32 values, stored in Volume.Values. Otherwise cells are bytes, stored in Volume.Index.
	Float bool
	// Scale and Offset convert bytes to values: value = Offset + Scale*byte. Both are 0 for palettes and float32.
	Scale, Offset float32
	// Values is how the values were scaled, or the window of palette indices. It is empty for values as measured, and
	// for palettes without a window of the options.
	Values Encoding
}

// PaletteContent returns the content of volumes that hold indices into a colour map.
func PaletteContent(palette string) Content { return Content{Palette: palette, Channels: 1} }

// FloatContent returns the content of volumes that hold float32 values.
func FloatContent(channels int) Content { return Content{Channels: channels, Float: true} }

// ByteContent returns the content of volumes that hold byte values: value = offset + scale*byte.
func ByteContent(channels int, scale, offset float32) Content {
	return Content{Channels: channels, Scale: scale, Offset: offset}
}

// String returns a description such as "palette Oranges" or "float32 values of 3 channels".
func (c Content) String() string {
	channels := "1 channel"
	if c.Channels != 1 {
		channels = fmt.Sprintf("%d channels", c.Channels)
	}
	scaled := ""
	if c.Values != "" {
		scaled = ", scaled by " + c.Values.String()
	}
	switch {
	case c == Content{}:
		return "nothing"
	case c.Palette != "":
		return "palette " + c.Palette + scaled
	case c.Float:
		return "float32 values of " + channels + scaled
	}
	return fmt.Sprintf("uint8 values of %s (%g + %g * byte)%s", channels, c.Offset, c.Scale, scaled)
}

// CellBytes returns the size of a cell in bytes.
func (c Content) CellBytes() int {
	if c.Float {
		return 4 * c.Channels
	}
	return c.Channels
}

// Check reports a content that is invalid or contradicts itself.
func (c Content) Check() error {
	if err := c.checkValues(); err != nil {
		return err
	}
	switch {
	case c.Palette != "":
		if c.Values = ""; c != PaletteContent(c.Palette) {
			return fmt.Errorf("palette %s: found %d channels, scale %g and offset %g, want indices with 1 "+
				"channel and no scale or offset",
				c.Palette, c.Channels, c.Scale, c.Offset)
		}
		_, err := colormap.ByName(c.Palette)
		return err
	case c.Channels < 1 || c.Channels > MaxChannels:
		return fmt.Errorf("found %d channels, want 1 to %d", c.Channels, MaxChannels)
	case c.Float && (c.Scale != 0 || c.Offset != 0):
		return fmt.Errorf("float32 values: found scale %g and offset %g, want neither", c.Scale, c.Offset)
	case !c.Float && (c.Scale == 0 || !finite(float64(c.Scale), float64(c.Offset), 0)):
		return fmt.Errorf("uint8 values: found scale %g and offset %g, want finite numbers and a scale other than 0",
			c.Scale, c.Offset)
	}
	return nil
}

// checkValues reports a Values that is not in its text form, or not one of the content.
func (c Content) checkValues() error {
	if c.Values == "" {
		return nil
	}
	s, err := scalingOf(c.Values)
	if err == nil {
		err = s.fits(c.Channels)
	}
	if err == nil && (s.encoding() != c.Values || c.Values == PaletteIndices || c.Values == RawValues ||
		c.Values.IsPalette() != (c.Palette != "")) {
		err = errors.New("want the shortest form of a scaling of such volumes")
	}
	if err != nil {
		return fmt.Errorf("values: found %.64q, %w", c.Values, err)
	}
	return nil
}

// Size returns the number of values of a volume of dims (depth, height, width), or an error if no such volume can
// exist.
func (c Content) Size(dims [3]int) (int, error) {
	if err := c.Check(); err != nil {
		return 0, err
	}
	if err := checkDims(dims); err != nil {
		return 0, err
	}
	cells := dims[0] * dims[1] * dims[2]
	if cells > MaxValues/c.Channels {
		return 0, fmt.Errorf("found %s cells with %d channels, want at most %d values", dimsString(dims), c.Channels,
			MaxValues)
	}
	return cells * c.Channels, nil
}

// Check reports a volume with the wrong size or content, with cells of negative lengths, or with cells, a box or a pose
// that are not finite and so cannot be written as JSON. It does not check the values.
func (v *Volume) Check() error {
	size, err := v.Content.Size(v.Dims)
	if err != nil {
		return err
	}
	indices, values := size, 0
	if v.Content.Float {
		indices, values = 0, size
	}
	if len(v.Index) != indices || len(v.Values) != values {
		return fmt.Errorf("%s cells of %v: found %d bytes and %d float32 values, want %d and %d",
			dimsString(v.Dims), v.Content, len(v.Index), len(v.Values), indices, values)
	}
	if b := v.Box; b != nil && !allFinite(
		b.Center[0], b.Center[1], b.Center[2], float64(b.Size[0]), float64(b.Size[1]), float64(b.Size[2]),
		float64(b.Yaw)) {
		return fmt.Errorf("box: found %v, want finite numbers", *b)
	}
	if !allFinite(v.Cell[:]...) || min(v.Cell[0], v.Cell[1], v.Cell[2]) < 0 {
		return fmt.Errorf("cell: found %v, want finite lengths of at least 0", v.Cell)
	}
	if p := v.Pose; p != nil && !(allFinite(p.R[:]...) && allFinite(p.T[:]...)) {
		return fmt.Errorf("pose: found %v, want finite numbers", *p)
	}
	if d := v.Distance; d != nil {
		if x := d.Values(); !allFinite(x[:]...) {
			return fmt.Errorf("distance: found %v, want finite numbers", *d)
		}
	}
	if x := v.Velocity; x != nil && !allFinite(float64(x[0]), float64(x[1]), float64(x[2])) {
		return fmt.Errorf("velocity: found %v, want finite numbers", *x)
	}
	return nil
}

// Compact stores float32 values as bytes if all of them are whole numbers from 0 to 255, as in 8-bit images. The values
// stay the same, in a quarter of the memory.
func (v *Volume) Compact() {
	if !v.Content.Float {
		return
	}
	for _, x := range v.Values {
		if !(x >= 0 && x <= 255) || x != float32(uint8(x)) {
			return
		}
	}
	v.Index = make([]uint8, len(v.Values))
	for i, x := range v.Values {
		v.Index[i] = uint8(x)
	}
	v.Content.Float, v.Content.Scale, v.Values = false, 1, nil
}

func allFinite(values ...float64) bool {
	for _, x := range values {
		if x-x != 0 { // x-x is NaN for infinities too
			return false
		}
	}
	return true
}
