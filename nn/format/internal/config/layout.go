package config

import (
	"fmt"
	"slices"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// tensor is a value of the file's graph. With last, the file has the channels first, [C,D,H,W], and node holds them
// last, [D,H,W,C]: our layers want them there, and a chain of such layers then needs no permutation in between.
type tensor struct {
	node *nn.Node
	last bool
}

// first returns the value in the order of the file.
func (b *builder) first(t tensor) (*nn.Node, error) {
	if !t.last {
		return t.node, nil
	}
	return b.permute(t.node, 4, 1, 2, 3)
}

// channelsLast returns a value [C,D,H,W] of the file as [D,H,W,C].
func (b *builder) channelsLast(t tensor) (*nn.Node, error) {
	if t.last || len(t.node.Shape) != 4 {
		return t.node, nil
	}
	return b.permute(t.node, 2, 3, 4, 1)
}

func (b *builder) permute(n *nn.Node, dims ...int) (*nn.Node, error) {
	p := layers.NewPermute(dims...)
	p.Name = b.unique("permute")
	return nn.Apply(p, n)
}

// Classes by what they do with the order of the axes.
var (
	// anyOrder work element by element.
	anyOrder = []string{
		"Activation", "ActivityRegularization", "Add", "Average", "Dropout", "ELU", "GaussianNoise", "Identity", "LeakyReLU",
		"Maximum", "Minimum", "Multiply", "ReLU", "Subtract",
	}
	// alongAxis work along the axis or axes in their attribute axis.
	alongAxis = []string{"BatchNormalization", "Concatenate", "GroupNormalization", "LayerNormalization", "Softmax"}
)

// arrange chooses the order of the axes of a layer's inputs and adapts its attributes to it. last reports that the
// output has the channels last although the file has them first.
func (b *builder) arrange(o *object, attributes map[string]any, in []tensor) (nodes []*nn.Node, last bool, err error) {
	first := attributes["data_format"] == "channels_first"
	all := len(in) > 0 && !slices.ContainsFunc(in, func(t tensor) bool { return !t.last })
	order := b.first
	switch {
	case first:
		// The activation of a layer is along its last axis, which is the width here.
		if name, ok := attributes["activation"].(string); ok && (name == "softmax" || name == "log_softmax") {
			return nil, false, fmt.Errorf("layer %q (%s): activation %s of a layer with data_format channels_first is not "+
				"supported", o.Name, o.ClassName, name)
		}
		attributes["data_format"] = "channels_last"
		order, last = b.channelsLast, true
	case !all:
	case slices.Contains(anyOrder, o.ClassName) && attributes["activation"] != "softmax" &&
		attributes["activation"] != "log_softmax":
		order, last = b.channelsLast, true
	case slices.Contains(alongAxis, o.ClassName):
		axis, ok := movedAxis(attributes["axis"])
		if ok {
			attributes["axis"] = axis
			order, last = b.channelsLast, true
		}
	}
	for _, t := range in {
		n, err := order(t)
		if err != nil {
			return nil, false, err
		}
		nodes = append(nodes, n)
	}
	return nodes, last, nil
}

// movedAxis converts the attribute axis of a layer from [N,C,D,H,W] to [N,D,H,W,C]. ok is false if it is absent or
// no axis of a sample.
func movedAxis(axis any) (moved any, ok bool) {
	switch axis := axis.(type) {
	case float64:
		if axis < 0 {
			axis += 5
		}
		if axis < 1 || axis > 4 || axis != float64(int(axis)) {
			return nil, false
		}
		return float64((int(axis)+2)%4 + 1), true
	case []any:
		var out []any
		for _, a := range axis {
			m, ok := movedAxis(a)
			if _, list := a.([]any); !ok || list {
				return nil, false
			}
			out = append(out, m)
		}
		return out, len(out) > 0
	}
	return nil, false
}
