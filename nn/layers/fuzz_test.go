package layers_test

import (
	"encoding/json"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// FuzzFromConfig makes layers of any class and attributes: whatever is accepted and fits a shape says of itself
// what makes it again.
func FuzzFromConfig(f *testing.F) {
	for _, c := range cases {
		f.Add(c.class, c.options)
	}
	f.Fuzz(func(t *testing.T, class, text string) {
		var options map[string]any
		if json.Unmarshal([]byte(text), &options) != nil {
			return
		}
		l, err := layers.FromConfig(class, options)
		if err != nil {
			return
		}
		in := nn.Input("", nn.Shape{2, 3, 2, 4})
		node, err := nn.Apply(l, in)
		if err != nil || node.Shape.Size() > 1<<20 {
			return
		}
		m, err := nn.Functional("", []*nn.Node{in}, []*nn.Node{node})
		if err != nil {
			return
		}
		if total, _ := m.Count(); total > 1<<20 {
			return
		}
		m.Init(1)
		m.Constrain()
		again, err := json.Marshal(layers.ToConfig(l))
		if err != nil {
			t.Fatal(err)
		}
		var written map[string]any
		if err := json.Unmarshal(again, &written); err != nil {
			t.Fatal(err)
		}
		if _, err := layers.FromConfig(class, written); err != nil {
			t.Errorf("%s of %s: %v", again, text, err)
		}
	})
}
