// Package colormap maps values to colours as matplotlib does, with palettes of 256 entries. One palette index per
// voxel stores a colour-mapped grid without loss: 4 KiB for 16x16x16 cells, instead of 48 KiB of RGB.
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

// Palette is a colour map. Entry i is the colour of values in [i/256, (i+1)/256); the last entry includes 1.
type Palette struct {
	Name string
	// RGB holds red, green and blue in [0, 1]: the float32 nearest to matplotlib's float64 entries.
	RGB [Size][3]float32
}

// Map describes a palette of the list.
type Map struct {
	Name Name
	// Doc describes the palette in a sentence.
	Doc  string
	make func() *Palette
}

// Maps lists all palettes. Each palette is built on first use.
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

// Name is the name of a palette of the list.
type Name string

// Choices lists the palette names.
func (Name) Choices() []string { return Names() }

// ChoiceDoc returns the description of a palette.
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

// Color returns the colour of a normalised value: red, green, blue, alpha in [0, 1]. Values below 0 get the first
// entry, values above 1 the last; NaN is transparent black.
func (p *Palette) Color(x float64) [4]float32 {
	if math.IsNaN(x) {
		return [4]float32{}
	}
	c := p.RGB[Entry(x)]
	return [4]float32{c[0], c[1], c[2], 1}
}

// Expand writes the colours of index into dst: red, green and blue per voxel. dst must have three times the length of
// index.
func (p *Palette) Expand(dst []float32, index []uint8) {
	_ = dst[:3*len(index)]
	for i, v := range index {
		c := &p.RGB[v]
		dst[3*i], dst[3*i+1], dst[3*i+2] = c[0], c[1], c[2]
	}
}
