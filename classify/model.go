package classify

import (
	"fmt"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// Dims returns the depth, height and width of the volumes that a model takes. The input shape is (D, H, W, C) or, as
// in PyTorch, (C, D, H, W). Dims returns an error if the model does not classify volumes.
func Dims(m *nn.Model) (dims [3]int, err error) {
	if len(m.Inputs()) != 1 || len(m.Outputs()) != 1 {
		return dims, fmt.Errorf("model %s: found %d inputs and %d outputs, want one of each",
			m.Name, len(m.Inputs()), len(m.Outputs()))
	}
	in, out := m.Inputs()[0].Shape, m.Outputs()[0].Shape
	if channels, first := layout(in); channels > 0 && len(out) == 1 {
		if out[0] == 1 && !activated(m.Outputs()[0].Layer, "sigmoid") {
			return dims, fmt.Errorf("model %s: layer %q gives a single output, want a sigmoid, for two classes",
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

// layout returns the number of channels of an input shape and whether they come first, or 0 if the shape is not a
// volume. The channel axis is the first or last axis: the one of size 1 or 3, or else the one that differs from the
// three others, or else the smaller one.
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

// colours reports whether palette indices can be converted to an input with this number of channels: to colours (3)
// or densities (1).
func colours(channels int) bool { return channels == 1 || channels == 3 }

// Scored returns a model that outputs probabilities. This is m itself unless m ends in logits, as PyTorch's
// classifiers do, in a dense layer without activation or in a log-softmax. Then it is m followed by a softmax, and
// shares m's parameters.
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

// activated reports whether a layer has the given activation.
func activated(l nn.Layer, function string) bool {
	return l != nil && l.Config()["activation"] == function
}

// extended returns m with a layer added to its output. It shares the parameters of m.
func extended(m *nn.Model, l nn.Layer) (*nn.Model, error) {
	out, err := nn.Apply(l, m.Outputs()[0])
	if err != nil {
		return nil, err
	}
	longer, err := nn.Functional(m.Name, m.Inputs(), []*nn.Node{out})
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", m.Name, err)
	}
	longer.Metadata, longer.Precision, longer.Exact = m.Metadata, m.Precision, m.Exact
	return longer, nil
}
