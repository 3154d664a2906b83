package zoo

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// views is an entry of the list of views.
type views struct {
	name, doc string
	// of returns the layers that make the views of a model's input, and the first layer of the model, which they
	// replace, or nil if they come before it.
	of func(m *nn.Model) (views []nn.Layer, replaced nn.Layer, err error)
}

// allViews lists the ways to look at a volume several times.
var allViews = []views{
	{
		"turned", "Four images of a plane network: as it is, turned by 0.1 radians in both directions, and magnified by 7 %.",
		turned,
	},
	{"mirrors", "The four images of a plane network, mirrored along each axis.", planes(4)},
	{"dihedral", "The eight images of a plane network: the four mirrored ones, and the same with their axes swapped.", planes(8)},
	{"rotations", "The 24 rotations of the cube.", rotations(0)},
	{"turns", "The 24 rotations of the cube, and upright volumes as they are (see CubeRotation).", rotations(uprightBelow)},
}

// Views returns the names of the ways to look at a volume several times.
func Views() []string {
	names := make([]string, len(allViews))
	for i, v := range allViews {
		names[i] = v.name
	}
	return names
}

// ViewsDoc describes the views with the given name.
func ViewsDoc(name string) string {
	i := slices.IndexFunc(allViews, func(v views) bool { return v.name == name })
	if i < 0 {
		return ""
	}
	return allViews[i].doc
}

// Averaged returns a model that applies another one to several views of each volume, and returns the mean of its
// outputs. It shares the parameters of the other model.
func Averaged(m *nn.Model, name string) (*nn.Model, error) {
	i := slices.IndexFunc(allViews, func(v views) bool { return v.name == name })
	switch {
	case i < 0:
		return nil, fmt.Errorf("got views %q, want one of %s", name, strings.Join(Views(), ", "))
	case len(m.Inputs()) != 1 || len(m.Outputs()) != 1:
		return nil, fmt.Errorf("model %s: found %d inputs and %d outputs, want one of each", m.Name, len(m.Inputs()),
			len(m.Outputs()))
	case len(m.Layers()) < len(m.Nodes())-1:
		return nil, fmt.Errorf("model %s: found layers that are used several times, want a model without views", m.Name)
	}
	fronts, replaced, err := allViews[i].of(m)
	if err != nil {
		return nil, fmt.Errorf("model %s, views %s: %w", m.Name, name, err)
	}
	input := nn.Input(m.Inputs()[0].Name(), m.Inputs()[0].Shape)
	g := &graph{}
	var outputs []*nn.Node
	for _, front := range fronts {
		seen := map[*nn.Node]*nn.Node{m.Inputs()[0]: input}
		if replaced == nil {
			seen[m.Inputs()[0]] = g.apply(front, input)
		}
		for _, n := range m.Nodes() {
			switch {
			case n.Layer == nil:
			case n.Layer == replaced:
				seen[n] = g.apply(front, input)
			default:
				var in []*nn.Node
				for _, from := range n.Inputs {
					in = append(in, seen[from])
				}
				seen[n] = g.apply(n.Layer, in...)
			}
		}
		outputs = append(outputs, seen[m.Outputs()[0]])
	}
	mean := g.apply(layers.NewMerge("Average"), outputs...)
	if g.err != nil {
		return nil, fmt.Errorf("model %s, views %s: %w", m.Name, name, g.err)
	}
	out, err := nn.Functional(m.Name, []*nn.Node{input}, []*nn.Node{mean})
	if err != nil {
		return nil, fmt.Errorf("model %s, views %s: %w", m.Name, name, err)
	}
	out.Metadata, out.Precision, out.Exact = m.Metadata, m.Precision, m.Exact
	return out, nil
}

// planes returns the first views of a plane network.
func planes(count int) func(m *nn.Model) ([]nn.Layer, nn.Layer, error) {
	return planeViews(count, func(p *layers.PrincipalPlane, k int) { p.View = k })
}

// turned returns views of a plane network that differ a little.
var turned = planeViews(4, func(p *layers.PrincipalPlane, k int) {
	p.Angle, p.Zoom = [4]float64{0, .1, -.1, 0}[k], [4]float64{1, 1, 1, 1.07}[k]
})

// planeViews returns views of a plane network, made by changes of its first layer.
func planeViews(count int, change func(p *layers.PrincipalPlane, k int)) func(*nn.Model) ([]nn.Layer, nn.Layer, error) {
	return func(m *nn.Model) ([]nn.Layer, nn.Layer, error) {
		first, ok := m.Layers()[0].(*layers.PrincipalPlane)
		if !ok {
			return nil, nil, errors.New("found no PrincipalPlane layer at the beginning")
		}
		var out []nn.Layer
		for k := range count {
			view := *first
			view.LayerBase = nn.LayerBase{Name: fmt.Sprintf("%s_%d", first.Name, k)}
			change(&view, k)
			out = append(out, &view)
		}
		return out, first, nil
	}
}

// rotations returns the rotations of the cube for volumes whose asymmetry is not below upright.
func rotations(upright float64) func(*nn.Model) ([]nn.Layer, nn.Layer, error) {
	return func(*nn.Model) ([]nn.Layer, nn.Layer, error) {
		var out []nn.Layer
		for k := range layers.CubeRotations {
			r := layers.NewCubeRotation(k)
			r.Upright = upright
			out = append(out, r)
		}
		return out, nil, nil
	}
}
