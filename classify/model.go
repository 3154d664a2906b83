package classify

import (
	"fmt"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// Dims is depth, height and width of the volumes that a model takes, (D, H, W, C) or, as PyTorch has them, (C, D,
// H, W). An error says why it is no classifier of volumes.
func Dims(m *nn.Model) (dims [3]int, err error) {
	if len(m.Inputs()) != 1 || len(m.Outputs()) != 1 {
		return dims, fmt.Errorf("model %s: found %d inputs and %d outputs, want one of each",
			m.Name, len(m.Inputs()), len(m.Outputs()))
	}
	in, out := m.Inputs()[0].Shape, m.Outputs()[0].Shape
	if channels, first := layout(in); channels > 0 && len(out) == 1 {
		if out[0] == 1 && !activated(m.Outputs()[0].Layer, "sigmoid") {
			return dims, fmt.Errorf("model %s: its one output comes from layer %q; want a sigmoid there, for two classes",
				m.Name, m.Outputs()[0].Name())
		}
		if first {
			return [3]int(in[1:]), nil
		}
		return [3]int(in[:3]), nil
	}
	return dims, fmt.Errorf("model %s: found input %v and output %v, want %s",
		m.Name, in, out, "(None, D, H, W, C) or (None, C, D, H, W), and (None, classes)")
}

// layout is the number of channels of an input, and whether they come first; 0 where it is no volume. The channels
// are the axis of 1 or 3, or else the one at an end that differs from the three others, or else the smaller one at
// an end.
func layout(in nn.Shape) (channels int, first bool) {
	if len(in) != 4 {
		return 0, false
	}
	switch {
	case in[3] == 1 || in[3] == 3:
		return in[3], false
	case in[0] == 1 || in[0] == 3:
		return in[0], true
	case in[0] == in[1] && in[1] == in[2]:
		return in[3], false
	case in[1] == in[2] && in[2] == in[3] || in[0] < in[3]:
		return in[0], true
	}
	return in[3], false
}

// colours says whether an input of so many channels can be made of palette indices: as colours or as densities.
func colours(channels int) bool { return channels == 1 || channels == 3 }

// Scored is a model that gives probabilities: m itself or, where it ends in logits, as PyTorch's classifiers do (a
// dense layer without activation, or the logarithms of probabilities), m with a softmax after them. It shares the
// parameters of m.
func Scored(m *nn.Model) (*nn.Model, error) {
	if len(m.Outputs()) != 1 || len(m.Outputs()[0].Shape) != 1 || !endsInLogits(m.Outputs()[0].Layer) {
		return m, nil
	}
	softmax := layers.NewSoftmax()
	softmax.Name = "probabilities"
	return extended(m, softmax)
}

func endsInLogits(l nn.Layer) bool {
	dense, ok := l.(*layers.Dense)
	return ok && dense.Units > 1 && activated(l, "linear") || activated(l, "log_softmax")
}

// activated tells whether a layer ends in that activation.
func activated(l nn.Layer, function string) bool {
	return l != nil && l.Config()["activation"] == function
}

// twoClasses makes the probabilities of both classes, 1-p and p, of one output p; a model with more is returned as
// it is.
func twoClasses(m *nn.Model) (*nn.Model, error) {
	if m.Outputs()[0].Shape[0] != 1 {
		return m, nil
	}
	both := layers.NewDense(2, "")
	both.Name = "probabilities"
	two, err := extended(m, both)
	if err != nil {
		return nil, err
	}
	copy(both.Params[0].Value, []float32{-1, 1})
	copy(both.Params[1].Value, []float32{1, 0})
	return two, nil
}

// extended is m with a layer on its output. It shares the parameters of m.
func extended(m *nn.Model, l nn.Layer) (*nn.Model, error) {
	out, err := nn.Apply(l, m.Outputs()[0])
	if err != nil {
		return nil, err
	}
	longer, err := nn.Functional(m.Name, m.Inputs(), []*nn.Node{out})
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", m.Name, err)
	}
	longer.Classes, longer.Colormap, longer.Precision = m.Classes, m.Colormap, m.Precision
	return longer, nil
}

// Palette is the colour map that a model was trained on, or the named one where the model does not say. A model
// whose input has other than 1 or 3 channels takes no palette.
func Palette(m *nn.Model, otherwise string) (*colormap.Palette, error) {
	if channels, _ := layout(m.Inputs()[0].Shape); !colours(channels) {
		return nil, fmt.Errorf("model %s: found an input of %d channels, want 1 or 3 for palette indices",
			m.Name, channels)
	}
	name := m.Colormap
	if name == "" {
		name = otherwise
	}
	if name == "" {
		name = string(voxelize.DefaultOptions().Colormap)
	}
	p, err := colormap.ByName(name)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", m.Name, err)
	}
	return p, nil
}

// Plan is a palette in the form that plans of m take; its background is entry 0, the colour of an empty cell. Of a
// model of one channel an entry is its place in the palette, 0 to 1: the density.
func Plan(m *nn.Model, p *colormap.Palette) *nn.Palette {
	if channels, _ := layout(m.Inputs()[0].Shape); channels == 1 {
		density := make([]float32, colormap.Size)
		for i := range density {
			density[i] = float32(i) / (colormap.Size - 1)
		}
		return &nn.Palette{Colours: density, Channels: 1}
	}
	colours := make([]float32, 0, 3*colormap.Size)
	for _, c := range p.RGB {
		colours = append(colours, c[:]...)
	}
	return &nn.Palette{Colours: colours, Channels: 3}
}
