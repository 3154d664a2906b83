// Package colormap maps values to colours as matplotlib does, with palettes of 256 entries. One palette index per
// voxel stores a colour-mapped grid without loss: 4 KiB for 16x16x16 cells, instead of 48 KiB of RGB.
package colormap

import (
	_ "embed"
	"encoding/binary"
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
	Doc string
}

// reversed is the end of the name of a palette with the entries of another in reverse order.
const reversed = "_r"

// forward are the palettes in the order of tables.bin. ColorBrewer's are by Cynthia Brewer; viridis, plasma, inferno
// and magma by Nathaniel Smith and Stéfan van der Walt; cividis by Jamie Nuñez, Christopher Anderton and Ryan Renslow;
// turbo by Anton Mikhailov; coolwarm by Kenneth Moreland.
var forward = []Map{
	{"Oranges", "White to orange to brown, as in the 3D MNIST tutorial."},
	{"viridis", "Blue to green to yellow, perceptually uniform."},
	{"gray", "Black to white."},
	{"plasma", "Blue to red to yellow, perceptually uniform."},
	{"inferno", "Black to red to light yellow, perceptually uniform."},
	{"magma", "Black to purple to light yellow, perceptually uniform."},
	{"cividis", "Blue to yellow, suitable for people with colour vision deficiency."},
	{"turbo", "Blue to green to red, for many distinct levels."},
	{"Greys", "White to black."},
	{"Purples", "White to purple."},
	{"Blues", "White to blue."},
	{"Greens", "White to green."},
	{"Reds", "White to red."},
	{"YlOrRd", "Yellow to orange to red."},
	{"RdBu", "Red to white to blue, for values on both sides of a centre."},
	{"Spectral", "Red to yellow to blue, for values on both sides of a centre."},
	{"coolwarm", "Blue to grey to red, for values on both sides of a centre."},
	{"bone", "Black to white with a tinge of blue, like X-ray images."},
	{"hot", "Black to red to yellow to white."},
	{"jet", "Blue to cyan to yellow to red, not perceptually uniform."},
}

// Maps lists all palettes, each followed by its reverse.
func Maps() []Map {
	var all []Map
	for _, m := range forward {
		all = append(all, m, Map{m.Name + reversed, string(m.Name) + " in reverse order."})
	}
	return all
}

// Name is the name of a palette of the list.
type Name string

// Choices lists the palette names.
func (Name) Choices() []string { return Names() }

// ChoiceDoc returns the description of a palette.
func (Name) ChoiceDoc(name string) string {
	for _, m := range Maps() {
		if string(m.Name) == name {
			return m.Doc
		}
	}
	return ""
}

// Names lists the palettes that ByName knows.
func Names() []string {
	var names []string
	for _, m := range Maps() {
		names = append(names, string(m.Name))
	}
	return names
}

// tables holds the entries of the palettes of forward: red, green and blue as little-endian float32. testdata/golden.py
// writes it.
//
//go:embed tables.bin
var tables string

// made are the palettes that were asked for, by their names.
var made sync.Map

// ByName returns a palette by its matplotlib name; case matters, as it does there.
func ByName(name string) (*Palette, error) {
	if p, ok := made.Load(name); ok {
		return p.(*Palette), nil //nolint:forcetypeassert // nothing else is stored
	}
	base, backward := strings.CutSuffix(name, reversed)
	i := slices.IndexFunc(forward, func(m Map) bool { return string(m.Name) == base })
	if i < 0 {
		return nil, fmt.Errorf("colour map %q: want one of %s", name, strings.Join(Names(), ", "))
	}
	p := &Palette{Name: name}
	const bytes = 4 * 3 * Size
	if _, err := binary.Decode([]byte(tables[i*bytes:][:bytes]), binary.LittleEndian, &p.RGB); err != nil {
		panic(err) // the size is right
	}
	if backward {
		slices.Reverse(p.RGB[:])
	}
	kept, _ := made.LoadOrStore(name, p)
	return kept.(*Palette), nil //nolint:forcetypeassert // nothing else is stored
}

// Color returns the colour of a normalized value: red, green, blue, alpha in [0, 1]. Values below 0 get the first
// entry, values above 1 the last; NaN is transparent black.
func (p *Palette) Color(x float64) [4]float32 {
	if math.IsNaN(x) {
		return [4]float32{}
	}
	return p.entry(Entry(x))
}

func (p *Palette) entry(i uint8) [4]float32 {
	c := p.RGB[i]
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
