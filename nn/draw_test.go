package nn_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// TestSVG checks that there is a box for every node and input and an arrow for every connection, that boxes do not overlap,
// and that names are escaped.
func TestSVG(t *testing.T) {
	a, b := nn.Input("a", nn.Shape{4, 4, 4, 2}), nn.Input("b", nn.Shape{4, 4, 4, 2})
	c := layers.NewConv3D(2, 1, "relu")
	c.Name = `<script>"&`
	x := must(nn.Apply(c, a))
	y := must(nn.Apply(layers.NewBatchNormalization(), must(nn.Apply(layers.NewReLU(), x))))
	sum := must(nn.Apply(layers.NewAdd(), x, y, b, a))
	m := must(nn.Functional("m", []*nn.Node{a, b}, []*nn.Node{must(nn.Apply(layers.NewFlatten(), sum)), y}))
	text := m.SVG()
	type box struct{ x, y, w, h float64 }
	var boxes []box
	arrows := 0
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		attr := map[string]string{}
		for _, a := range e.Attr {
			attr[a.Name.Local] = a.Value
		}
		switch {
		case e.Name.Local == "script":
			t.Error("a name became an element")
		case e.Name.Local == "path" && attr["marker-end"] != "":
			arrows++
		case e.Name.Local == "rect" && attr["rx"] != "":
			n := func(key string) float64 {
				v, err := strconv.ParseFloat(attr[key], 64)
				if err != nil {
					t.Fatal(err)
				}
				return v
			}
			boxes = append(boxes, box{n("x"), n("y"), n("width"), n("height")})
		}
	}
	if len(boxes) != len(m.Nodes()) || arrows != 8 {
		t.Errorf("got %d boxes and %d arrows, want %d and 8", len(boxes), arrows, len(m.Nodes()))
	}
	for i, p := range boxes {
		for _, q := range boxes[:i] {
			if p.x < q.x+q.w && q.x < p.x+p.w && p.y < q.y+q.h && q.y < p.y+p.h {
				t.Errorf("boxes %+v and %+v overlap", p, q)
			}
		}
	}
}
