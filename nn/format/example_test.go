package format_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// The extension selects the format of a new file: .keras, .h5, .onnx or .safetensors.
func ExampleSave() {
	m, err := nn.Sequential("small", nn.Shape{4, 4, 4, 1}, layers.NewFlatten(), layers.NewDense(2, "softmax"))
	if err != nil {
		panic(err)
	}
	m.Init(1)
	if err := m.SetClasses([]string{"cup", "plate"}); err != nil {
		panic(err)
	}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "small.safetensors")
	if err := format.Save(path, m); err != nil {
		panic(err)
	}

	again, err := format.Load(context.Background(), path)
	if err != nil {
		panic(err)
	}
	fmt.Println(again.Name, again.Classes)
	// Output:
	// small [cup plate]
}
