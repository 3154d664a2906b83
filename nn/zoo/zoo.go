// Package zoo builds known architectures by name.
package zoo

import (
	"fmt"
	"sort"
	"strings"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// architectures lists them all.
var architectures = map[string]func(input nn.Shape, classes int) (*nn.Model, error){
	"tutorial": tutorial,
	"voxnet":   voxnet,
}

// Names returns the architectures' names, sorted.
func Names() []string {
	var names []string
	for name := range architectures {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// New builds an architecture for inputs of a shape (depth, height, width, channels) and a number of classes. Its weights are zero until Init.
func New(name string, input nn.Shape, classes int) (*nn.Model, error) {
	build, ok := architectures[name]
	if !ok {
		return nil, fmt.Errorf("got architecture %q, want one of %s", name, strings.Join(Names(), ", "))
	}
	if classes < 2 {
		return nil, fmt.Errorf("architecture %q: got %d classes, want at least 2", name, classes)
	}
	return build(input, classes)
}

// tutorial is the network of the Keras tutorial on 3D MNIST: 258,058 parameters for 16x16x16x3 and ten classes.
func tutorial(input nn.Shape, classes int) (*nn.Model, error) {
	conv := func(filters int) *layers.Conv3D {
		c := layers.NewConv3D(filters, 3, "relu")
		c.KernelWeight.Initializer = layers.Initializer("he_uniform")
		return c
	}
	dense := func() *layers.Dense {
		d := layers.NewDense(256, "relu")
		d.KernelWeight.Initializer = layers.Initializer("he_uniform")
		return d
	}
	return nn.Sequential("tutorial", input,
		conv(32), layers.NewMaxPooling3D(2), layers.NewBatchNormalization(), layers.NewDropout(.5),
		conv(64), layers.NewMaxPooling3D(2), layers.NewBatchNormalization(), layers.NewDropout(.5),
		layers.NewFlatten(), dense(), dense(), layers.NewDense(classes, "softmax"))
}

// voxnet is VoxNet (Maturana & Scherer 2015), made for 32x32x32 occupancy: two convolutions that leak by .1, one pooling, 128 units.
func voxnet(input nn.Shape, classes int) (*nn.Model, error) {
	first := layers.NewConv3D(32, 5, "")
	first.Strides = [3]int{2, 2, 2}
	return nn.Sequential("voxnet", input,
		first, layers.NewLeakyReLU(.1), layers.NewDropout(.2),
		layers.NewConv3D(32, 3, ""), layers.NewLeakyReLU(.1), layers.NewMaxPooling3D(2), layers.NewDropout(.3),
		layers.NewFlatten(), layers.NewDense(128, "relu"), layers.NewDropout(.4), layers.NewDense(classes, "softmax"))
}
