// Package colormap maps values to colours as matplotlib does, by palettes of 256 entries. A colour-mapped grid is then
// exactly one index per voxel plus the palette: 4 KiB for 16^3 cells instead of the 48 KiB of RGB, and nothing is
// lost.
package colormap

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
)

// Size is the number of entries of every palette.
const Size = 256

// Palette is a colour map: entry i is the colour of values in [i/256, (i+1)/256), the last one of 1 too.
type Palette struct {
	Name string
	// RGB holds red, green and blue in [0, 1]: the float32 nearest to matplotlib's float64 entries.
	RGB [Size][3]float32
}

// Map is a palette of the list.
type Map struct {
	Name Name
	// Doc says what it is for, as a sentence.
	Doc  string
	make func() *Palette
}

// Maps lists all palettes; each is made on first use.
func Maps() []Map { return slices.Clone(maps) }

var maps = []Map{
	{
		"Oranges", "White to orange to brown, as in the 3D MNIST tutorial.",
		sync.OnceValue(func() *Palette { return interpolate("Oranges", oranges) }),
	},
	{"viridis", "Blue to green to yellow, perceptually uniform.", sync.OnceValue(viridis)},
	{
		"gray", "Black to white.",
		sync.OnceValue(func() *Palette { return interpolate("gray", [][3]float64{{0, 0, 0}, {255, 255, 255}}) }),
	},
}

// Name names a palette of the list.
type Name string

// Choices are the names of the list.
func (Name) Choices() []string { return Names() }

// ChoiceDoc is the documentation of a palette.
func (Name) ChoiceDoc(name string) string {
	if i := slices.IndexFunc(maps, func(m Map) bool { return string(m.Name) == name }); i >= 0 {
		return maps[i].Doc
	}
	return ""
}

// Names lists the palettes that ByName knows.
func Names() []string {
	names := make([]string, len(maps))
	for i, m := range maps {
		names[i] = string(m.Name)
	}
	return names
}

// ByName returns a palette by its matplotlib name; case matters, as it does there.
func ByName(name string) (*Palette, error) {
	i := slices.IndexFunc(maps, func(m Map) bool { return string(m.Name) == name })
	if i < 0 {
		return nil, fmt.Errorf("colour map %q: want one of %s", name, strings.Join(Names(), ", "))
	}
	return maps[i].make(), nil
}

// Color is the colour of a value that is already normalised: red, green, blue, alpha in [0, 1]. Values below 0 take
// the first entry, those above 1 the last; NaN is transparent black.
func (p *Palette) Color(x float64) [4]float32 {
	if math.IsNaN(x) {
		return [4]float32{}
	}
	c := p.RGB[Entry(x)]
	return [4]float32{c[0], c[1], c[2], 1}
}

// Expand writes the colours of index into dst, three float32 a voxel; dst has three times the length of index.
func (p *Palette) Expand(dst []float32, index []uint8) {
	_ = dst[:3*len(index)]
	for i, v := range index {
		c := &p.RGB[v]
		dst[3*i], dst[3*i+1], dst[3*i+2] = c[0], c[1], c[2]
	}
}
