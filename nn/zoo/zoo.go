// Package zoo builds known architectures by name. Each matches, layer by layer, the model that
// bench/peers/models.py builds with Keras.
package zoo

import (
	"fmt"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// architecture is an entry of the list.
type architecture struct {
	name, doc string
	// channels is the number that it takes for volumes of palette indices: 3 for colours, 1 for densities.
	channels int
	build    func(input nn.Shape, classes int) (*nn.Model, error)
}

// architectures lists the architectures.
var architectures = []architecture{
	{"tutorial", "The network of the Keras tutorial on 3D MNIST, designed for 16x16x16 cells.", 3, tutorial},
	{"voxnet", "VoxNet (Maturana and Scherer 2015), designed for 32x32x32 cells.", 3, voxnet},
	{"resnet", "A small residual network (He et al. 2016), designed for 32x32x32 cells.", 3, resnet},
	{"medical", "A network for medical scans, designed for 64x64x64 cells.", 3, medical},
	{"volume", "A network for voxel grids of 16x16x16 cells or more: five normalized convolutions and 256 units.", 1, volume},
	{"plane", "A network for flat objects in any pose, such as 3D MNIST: it turns them face on (see PrincipalPlane).", 1, plane},
}

// Names returns the names of the architectures.
func Names() []string {
	names := make([]string, len(architectures))
	for i, a := range architectures {
		names[i] = a.name
	}
	return names
}

// Doc describes the architecture with the given name.
func Doc(name string) string {
	i := slices.IndexFunc(architectures, func(a architecture) bool { return a.name == name })
	if i < 0 {
		return ""
	}
	return architectures[i].doc
}

// Channels returns the number of channels that the architecture with the given name takes for volumes of palette
// indices: 3 for colours, 1 for densities.
func Channels(name string) int {
	i := slices.IndexFunc(architectures, func(a architecture) bool { return a.name == name })
	if i < 0 {
		return 0
	}
	return architectures[i].channels
}

// New builds an architecture for the given input shape (depth, height, width, channels) and number of classes. Its
// weights are zero until Init.
func New(name string, input nn.Shape, classes int) (*nn.Model, error) {
	i := slices.IndexFunc(architectures, func(a architecture) bool { return a.name == name })
	if i < 0 {
		return nil, fmt.Errorf("got architecture %q, want one of %s", name, strings.Join(Names(), ", "))
	}
	if classes < 2 {
		return nil, fmt.Errorf("architecture %q: got %d classes, want at least 2", name, classes)
	}
	m, err := architectures[i].build(input, classes)
	if err != nil {
		return nil, fmt.Errorf("architecture %q: %w", name, err)
	}
	return m, nil
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

// voxnet is VoxNet (Maturana & Scherer 2015), designed for 32x32x32 occupancy: two convolutions with leaky ReLU of
// slope .1, one pooling layer, 128 units.
func voxnet(input nn.Shape, classes int) (*nn.Model, error) {
	first := layers.NewConv3D(32, 5, "")
	first.Strides = [3]int{2, 2, 2}
	return nn.Sequential("voxnet", input,
		first, layers.NewLeakyReLU(.1), layers.NewDropout(.2),
		layers.NewConv3D(32, 3, ""), layers.NewLeakyReLU(.1), layers.NewMaxPooling3D(2), layers.NewDropout(.3),
		layers.NewFlatten(), layers.NewDense(128, "relu"), layers.NewDropout(.4), layers.NewDense(classes, "softmax"))
}

// medical is a network for single-channel volumes, designed for 64x64x64: three convolutions, each followed by
// pooling and normalization, then global average pooling, so that any size of at least 8 works.
func medical(input nn.Shape, classes int) (*nn.Model, error) {
	var stack []nn.Layer
	for _, filters := range []int{16, 32, 64} {
		conv := layers.NewConv3D(filters, 3, "relu")
		conv.Padding = "same"
		stack = append(stack, conv, layers.NewMaxPooling3D(2), layers.NewBatchNormalization())
	}
	stack = append(stack, layers.NewGlobalAveragePooling3D(), layers.NewDense(128, "relu"), layers.NewDropout(.3),
		layers.NewDense(classes, "softmax"))
	return nn.Sequential("medical", input, stack...)
}

// resnet is a small residual network (He et al. 2016) in three dimensions, designed for 32x32x32: three stages of
// one block, each of the later two at half the resolution of the one before, and global average pooling.
func resnet(input nn.Shape, classes int) (*nn.Model, error) {
	g := &graph{}
	start := nn.Input("", input)
	x := g.apply(layers.NewReLU(), g.normalized(16, 3, 1, start))
	for _, stage := range []struct{ filters, stride int }{{16, 1}, {32, 2}, {64, 2}} {
		x = g.block(x, stage.filters, stage.stride)
	}
	out := g.apply(layers.NewDense(classes, "softmax"), g.apply(layers.NewGlobalAveragePooling3D(), x))
	if g.err != nil {
		return nil, g.err
	}
	return nn.Functional("resnet", []*nn.Node{start}, []*nn.Node{out})
}

// graph applies layers until the first error.
type graph struct{ err error }

func (g *graph) apply(l nn.Layer, in ...*nn.Node) *nn.Node {
	if g.err != nil {
		return nil
	}
	n, err := nn.Apply(l, in...)
	g.err = err
	return n
}

// normalized adds a convolution and a normalization. The convolution has no bias, because the normalization would
// cancel it.
func (g *graph) normalized(filters, size, stride int, in *nn.Node) *nn.Node {
	conv := layers.NewConv3D(filters, size, "")
	conv.Strides, conv.UseBias = [3]int{stride, stride, stride}, false
	if size > 1 {
		conv.Padding = "same"
	}
	return g.apply(layers.NewBatchNormalization(), g.apply(conv, in))
}

// block adds a residual block of two convolutions. If shapes differ, a convolution of size 1 projects the shortcut.
func (g *graph) block(x *nn.Node, filters, stride int) *nn.Node {
	y := g.normalized(filters, 3, 1, g.apply(layers.NewReLU(), g.normalized(filters, 3, stride, x)))
	if g.err == nil && (stride > 1 || x.Shape[len(x.Shape)-1] != filters) {
		x = g.normalized(filters, 1, stride, x)
	}
	return g.apply(layers.NewReLU(), g.apply(layers.NewAdd(), y, x))
}

// volume is a network for densities: five convolutions, each normalized, of which three halve the size, and 256 units.
func volume(input nn.Shape, classes int) (*nn.Model, error) {
	var stack []nn.Layer
	for _, c := range []struct{ filters, size, stride int }{{32, 6, 2}, {32, 3, 1}, {96, 3, 2}, {96, 3, 1}, {128, 3, 2}} {
		conv := layers.NewConv3D(c.filters, c.size, "")
		conv.Strides, conv.Padding, conv.UseBias = [3]int{c.stride, c.stride, c.stride}, "same", false
		conv.KernelWeight.Initializer = layers.Initializer("he_uniform")
		stack = append(stack, conv, layers.NewBatchNormalization(), layers.NewReLU())
	}
	hidden := layers.NewDense(256, "relu")
	hidden.KernelWeight.Initializer = layers.Initializer("he_uniform")
	stack = append(stack, layers.NewFlatten(), layers.NewDropout(.1), hidden, layers.NewDense(classes, "softmax"))
	return nn.Sequential("volume", input, stack...)
}

// uprightBelow is the asymmetry along the width below which a digit of 3D MNIST is upright. Of the archive's test rows, the
// largest of an upright one is .135, and the smallest of a rotated one .241.
const uprightBelow = .2

// plane is a network for the images of layers.PrincipalPlane: six convolutions, each normalized, in three stages of half
// the size each, then 128 units that also see the pose.
func plane(input nn.Shape, classes int) (*nn.Model, error) {
	const size = 20
	face := layers.NewPrincipalPlane(size)
	face.Upright, face.Pose = uprightBelow, true
	face.Turn, face.Stretch, face.Shift, face.Mirror = .08, .05, .03, 0
	g := &graph{}
	start := nn.Input("", input)
	both := g.apply(face, start)
	pose := layers.NewCropping3D(0)
	pose.Sizes = [3][2]int{{}, {size, 0}, {0, size - layers.PoseSize}}
	image := layers.NewCropping3D(0)
	image.Sizes = [3][2]int{{}, {0, 1}, {}}
	x := g.apply(image, both)
	for stage, filters := range []int{24, 48, 96} {
		if stage > 0 {
			pool := layers.NewMaxPooling3D(1)
			pool.Size, pool.Strides = [3]int{1, 2, 2}, [3]int{1, 2, 2}
			x = g.apply(pool, x)
		}
		for range 2 {
			conv := layers.NewConv3D(filters, 3, "")
			conv.Kernel, conv.Padding, conv.UseBias = [3]int{1, 3, 3}, "same", false
			conv.KernelWeight.Initializer = layers.Initializer("he_uniform")
			x = g.apply(layers.NewReLU(), g.apply(layers.NewBatchNormalization(), g.apply(conv, x)))
		}
	}
	hidden := layers.NewDense(128, "relu")
	hidden.KernelWeight.Initializer = layers.Initializer("he_uniform")
	x = g.apply(layers.NewConcatenate(), g.apply(layers.NewFlatten(), x), g.apply(layers.NewFlatten(), g.apply(pose, both)))
	out := g.apply(layers.NewDense(classes, "softmax"), g.apply(hidden, x))
	if g.err != nil {
		return nil, g.err
	}
	return nn.Functional("plane", []*nn.Node{start}, []*nn.Node{out})
}
