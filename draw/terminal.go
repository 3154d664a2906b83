package draw

import (
	"image"
	"image/color"
	"strings"

	"gonum.org/v1/plot/font"
	vgdraw "gonum.org/v1/plot/vg/draw"
)

// Terminal draws the output of commands as a terminal shows it: light letters of one width on a dark panel. Lines that
// begin with a dollar sign are commands.
func Terminal(lines []string) *Picture {
	const size, height, most = 13.0, 18.0, 400
	st := func(c color.Color) vgdraw.TextStyle {
		s := style(size, false, c, left)
		s.Font = font.Font{Typeface: "Liberation", Variant: "Mono", Size: size}
		return s
	}
	plain, command := st(color.RGBA{208, 213, 222, 255}), st(color.RGBA{120, 205, 255, 255})
	lines = lines[:min(len(lines), most)]
	columns := 60
	for i, l := range lines {
		letters := []rune(strings.ReplaceAll(l, "\t", "    "))
		letters = letters[:min(len(letters), 160)]
		lines[i] = string(letters)
		columns = max(columns, len(letters))
	}
	s := newSheet(2*margin+float64(columns)*float64(plain.Width("m")), 2*margin+float64(len(lines))*height)
	s.rect(night, 0, 0, s.width, s.height)
	for i, l := range lines {
		look := plain
		if strings.HasPrefix(l, "$ ") {
			look = command
		}
		s.text(look, margin, margin+(float64(i)+0.5)*height, l)
	}
	return &Picture{[]*image.RGBA{s.img}}
}
