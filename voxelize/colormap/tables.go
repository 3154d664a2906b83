package colormap

import (
	_ "embed"
	"fmt"
	"strings"
)

// oranges holds the nine stops of ColorBrewer's Oranges, in 0..255.
var oranges = [][3]float64{
	{255, 245, 235},
	{254, 230, 206},
	{253, 208, 162},
	{253, 174, 107},
	{253, 141, 60},
	{241, 105, 19},
	{217, 72, 1},
	{166, 54, 3},
	{127, 39, 4},
}

// interpolate fills a palette linearly between equally spaced stops. It uses float64 and matplotlib's order of
// operations (matplotlib.colors._create_lookup_table), so the float32 results are identical. The conversions prevent
// fused multiply-adds.
func interpolate(name string, stops [][3]float64) *Palette {
	p := &Palette{Name: name}
	spans := float64(len(stops) - 1)
	at := func(s int) float64 { return float64(s) / spans * (Size - 1) }
	s := 1 // first stop at or after entry i
	for i := range Size {
		x := float64(i)
		for s < len(stops)-1 && at(s) < x {
			s++
		}
		distance := (x - at(s-1)) / (at(s) - at(s-1))
		for c := range 3 {
			lo, hi := stops[s-1][c]/255, stops[s][c]/255
			p.RGB[i][c] = float32(float64(distance*(hi-lo)) + lo)
		}
	}
	return p
}

// viridisTable is the palette by Stéfan van der Walt and Nathaniel Smith (CC0), one line per entry.
//
//go:embed viridis.txt
var viridisTable string

func viridis() *Palette {
	p := &Palette{Name: "viridis"}
	lines := strings.Split(strings.TrimSpace(viridisTable), "\n")
	if len(lines) != Size {
		panic(fmt.Sprintf("colormap: viridis.txt has %d lines, want %d", len(lines), Size))
	}
	for i, line := range lines {
		if _, err := fmt.Sscan(line, &p.RGB[i][0], &p.RGB[i][1], &p.RGB[i][2]); err != nil {
			panic(fmt.Sprintf("colormap: viridis.txt line %d: %v", i+1, err))
		}
	}
	return p
}
