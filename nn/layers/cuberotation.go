package layers

import (
	"fmt"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// CubeRotation turns a volume by one of the 24 rotations of a cube.
//
// Keras has no such layer; python/voxelstream_layers.py adds it. An ONNX file has standard operators in its place,
// which are not read back as this layer.
//
// Input and output are [S,S,S,C].
type CubeRotation struct {
	nn.LayerBase
	// Rotation is the number of the rotation, from 0, which changes nothing, to 23.
	Rotation int
	// Upright is the asymmetry along the width below which a volume counts as upright and stays as it is: the sum of
	// the differences between the values and those mirrored, divided by the sum of the values. 0 turns all volumes.
	Upright float64
}

// NewCubeRotation returns a layer that turns all volumes.
func NewCubeRotation(rotation int) *CubeRotation { return &CubeRotation{Rotation: rotation} }

func cubeRotationFrom(c Config) *CubeRotation {
	r := &CubeRotation{LayerBase: c.base(), Upright: Get(c, "upright", 0.)}
	v := Get(c, "rotation", 0.)
	if r.Rotation = int(v); v != float64(r.Rotation) || v < 0 || r.Rotation >= len(op.CubeRotations) {
		c.fail("rotation", fmt.Sprintf("an integer from 0 to %d", len(op.CubeRotations)-1))
		r.Rotation = 0
	}
	if !(r.Upright >= 0) {
		c.fail("upright", "at least 0")
	}
	return r
}

// CubeRotations is the number of rotations.
const CubeRotations = 24

// Class returns "CubeRotation".
func (r *CubeRotation) Class() string { return "CubeRotation" }

// Config returns the layer's attributes.
func (r *CubeRotation) Config() map[string]any {
	return map[string]any{"rotation": r.Rotation, "upright": r.Upright}
}

// Build checks the input shape.
func (r *CubeRotation) Build(in []nn.Shape) (nn.Shape, error) {
	dims, channels, err := spatial(&r.LayerBase, r.Class(), in)
	if err != nil {
		return nil, err
	}
	if dims[0] != dims[1] || dims[1] != dims[2] {
		return nil, &nn.ShapeError{Layer: r.Name, Class: r.Class(), Got: in, Want: "as many cells along each axis"}
	}
	out := nn.Shape{dims[0], dims[1], dims[2], channels}
	return out, checkGather(&r.LayerBase, r.Class(), out)
}

// Lower emits the rotation.
func (r *CubeRotation) Lower(l *nn.Lowering) {
	l.Emit(op.NewCubeRotation(r.Out[0], r.Out[3], r.Rotation, r.Upright), r.Out)
}
