package nn_test

import (
	"fmt"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// Build a network and run it. A plan allocates its memory once, for batches of up to a fixed size.
func ExampleModel_Compile() {
	m, err := nn.Sequential("mean", nn.Shape{2, 2, 2, 1}, layers.NewGlobalAveragePooling3D())
	if err != nil {
		panic(err)
	}
	p, err := m.Compile(1, nn.Options{})
	if err != nil {
		panic(err)
	}
	defer p.Close()
	copy(p.Input(0), []float32{1, 2, 3, 4, 5, 6, 7, 8})
	if err := p.Forward(1, false, 0); err != nil {
		panic(err)
	}
	fmt.Println(p.Output(0))
	// Output:
	// [4.5]
}

// The tutorial's kind of network for ten classes.
func ExampleSequential() {
	m, err := nn.Sequential("digits", nn.Shape{16, 16, 16, 3},
		layers.NewConv3D(8, 3, "relu"), layers.NewMaxPooling3D(2),
		layers.NewFlatten(), layers.NewDense(10, "softmax"))
	if err != nil {
		panic(err)
	}
	m.Init(1) // random weights
	total, trainable := m.Count()
	fmt.Println(total, "parameters,", trainable, "trainable,", m.Outputs()[0].Shape, "out")
	// Output:
	// 28106 parameters, 28106 trainable, (None, 10) out
}
