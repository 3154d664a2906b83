package nn

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
)

// SVG draws the model as a graph from its inputs down to its outputs: a box for each layer with its name, class,
// output shape and parameters. A layer's row is the length of the longest path from an input; within a row, boxes
// are placed near their inputs and consumers.
func (m *Model) SVG() string {
	d := newDrawing(m)
	d.arrange()
	return d.render(m.Name)
}

// Sizes of the drawing, in pixels.
const (
	boxWidth, boxHeight = 236, 46
	passWidth           = 22 // width of a line that passes a row
	gapX, gapY          = 18, 30
	margin              = 24
	textSize            = 12
	characters          = 34 // characters that fit into a box
)

// place is a box, or the point where a line passes a row.
type place struct {
	node *Node // nil for a point
	row  int
	x    float64 // of the centre
	up   []*place
	down []*place
}

func (p *place) width() float64 {
	if p.node == nil {
		return passWidth
	}
	return boxWidth
}

// drawing holds the places row by row, from left to right.
type drawing struct {
	rows   [][]*place
	places map[*Node]*place
	nodes  []*Node
}

func newDrawing(m *Model) *drawing {
	d := &drawing{places: map[*Node]*place{}}
	for _, n := range m.nodes {
		p := &place{node: n}
		for _, in := range n.Inputs {
			p.row = max(p.row, d.places[in].row+1)
		}
		d.places[n] = p
		d.nodes = append(d.nodes, n)
		d.add(p)
		for _, in := range n.Inputs {
			d.join(d.places[in], p)
		}
	}
	return d
}

func (d *drawing) add(p *place) {
	for len(d.rows) <= p.row {
		d.rows = append(d.rows, nil)
	}
	d.rows[p.row] = append(d.rows[p.row], p)
}

// join adds a line from one place to another, through a point in every row in between.
func (d *drawing) join(from, to *place) {
	for row := from.row + 1; row < to.row; row++ {
		point := &place{row: row}
		d.add(point)
		from.down, point.up = append(from.down, point), append(point.up, from)
		from = point
	}
	from.down, to.up = append(from.down, to), append(to.up, from)
}

// sweeps is the number of passes over the rows, down and up; more change little.
const sweeps = 8

// arrange computes the x of each place: the centre of its neighbours in the previous row, alternating between
// downward and upward sweeps (Sugiyama, Tagawa & Toda 1981), as far as the row has room.
func (d *drawing) arrange() {
	for _, row := range d.rows {
		spread(row)
	}
	for i := range sweeps {
		for r := range d.rows {
			row, neighbours := d.rows[r], func(p *place) []*place { return p.up }
			if i%2 == 1 {
				row, neighbours = d.rows[len(d.rows)-1-r], func(p *place) []*place { return p.down }
			}
			for _, p := range row {
				if near := neighbours(p); len(near) > 0 {
					p.x = 0
					for _, q := range near {
						p.x += q.x / float64(len(near))
					}
				}
			}
			slices.SortStableFunc(row, func(a, b *place) int { return cmp.Compare(a.x, b.x) })
			spread(row)
		}
	}
}

// spread moves the places of a row apart until they do not overlap, and keeps their centre.
func spread(row []*place) {
	var before, after float64
	for i, p := range row {
		before += p.x
		if i > 0 {
			p.x = max(p.x, row[i-1].x+(row[i-1].width()+p.width())/2+gapX)
		}
		after += p.x
	}
	for _, p := range row {
		p.x += (before - after) / float64(len(row))
	}
}

func (p *place) top() float64    { return margin + float64(p.row)*(boxHeight+gapY) }
func (p *place) bottom() float64 { return p.top() + boxHeight }

func (d *drawing) render(title string) string {
	left, right := 0., 0.
	for _, row := range d.rows {
		for _, p := range row {
			left, right = min(left, p.x-p.width()/2), max(right, p.x+p.width()/2)
		}
	}
	shift := margin - left
	width, height := right-left+2*margin, 2*margin+float64(len(d.rows))*(boxHeight+gapY)-gapY
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="%d">`+"\n",
		width, height, width, height, textSize)
	fmt.Fprintf(&b, "<title>%s</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n", escape(title))
	b.WriteString(`<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">` +
		`<path d="M0 0L8 4L0 8z" fill="#667"/></marker></defs>` + "\n")
	b.WriteString(`<g fill="none" stroke="#667" stroke-width="1.2">` + "\n")
	for _, n := range d.nodes {
		for _, below := range d.places[n].down {
			b.WriteString(line(d.places[n], below, shift))
		}
	}
	b.WriteString("</g>\n")
	for _, n := range d.nodes {
		b.WriteString(box(d.places[n], shift))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// line returns the path from a box through points to the next box: straight through a row, curved between rows.
func line(from, to *place, shift float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<path marker-end="url(#arrow)" d="M%.1f %.1f`, from.x+shift, from.bottom())
	for {
		half := gapY / 2.
		fmt.Fprintf(&b, "C%.1f %.1f %.1f %.1f %.1f %.1f", from.x+shift, from.bottom()+half, to.x+shift,
			to.top()-half, to.x+shift, to.top())
		if to.node != nil {
			b.WriteString("\"/>\n")
			return b.String()
		}
		fmt.Fprintf(&b, "V%.1f", to.bottom())
		from, to = to, to.down[0]
	}
}

func box(p *place, shift float64) string {
	n, class, count := p.node, "InputLayer", 0
	if n.Layer != nil {
		class = n.Layer.Class()
		for _, param := range n.Layer.Base().Params {
			count += len(param.Value)
		}
	}
	below := strings.Replace(n.Shape.String(), "None, ", "", 1)
	if count > 0 {
		below += " " + thousands(count) + " params"
	}
	x := p.x + shift
	return fmt.Sprintf("<g><rect x=\"%.1f\" y=\"%.1f\" width=\"%d\" height=\"%d\" rx=\"5\" fill=\"%s\" stroke=\"#556\"/>"+
		"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\"><tspan font-weight=\"bold\">%s</tspan></text>"+
		"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" fill=\"#333\">%s</text></g>\n",
		x-boxWidth/2, p.top(), boxWidth, boxHeight, colour(class), x, p.top()+19,
		escape(cut(label(n.Name(), class))), x, p.top()+36, escape(cut(below)))
}

// label returns the layer's name and, unless the name implies it, its class.
func label(name, class string) string {
	if strings.HasPrefix(name, snake(class)) {
		return name
	}
	return name + " (" + class + ")"
}

// colours assigns a colour to each kind of layer, by a part of its class name.
var colours = []struct{ part, colour string }{
	{"Input", "#e6e6ee"},
	{"Conv", "#cfe2f8"},
	{"Dense", "#d9d2f0"},
	{"Pooling", "#fbe3c8"},
	{"Normalization", "#d4edda"},
	{"Dropout", "#f3f3d0"},
	{"Add", "#f8d7da"},
	{"Concatenate", "#f8d7da"},
	{"Multiply", "#f8d7da"},
	{"Subtract", "#f8d7da"},
}

func colour(class string) string {
	for _, c := range colours {
		if strings.Contains(class, c.part) {
			return c.colour
		}
	}
	return "#f4f4f7"
}

// cut shortens text that does not fit into a box.
func cut(text string) string {
	if r := []rune(text); len(r) > characters {
		return string(r[:characters-1]) + "…"
	}
	return text
}

func escape(text string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(text)); err != nil {
		return "" // a strings.Builder never fails
	}
	return b.String()
}
