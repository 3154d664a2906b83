package layers

import (
	"fmt"
	"math"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// PrincipalPlane turns a flat object in a volume, such as a digit of 3D MNIST, face on: it projects the volume onto
// the plane of its two longest principal axes. Their signs are chosen so that the third moments are positive. So an
// object has the same image in every pose, and so has its mirror image.
//
// Keras has no such layer; python/voxelstream_layers.py adds it, with the same attributes but without the random
// changes in training. An ONNX file has standard operators in its place, which are not read back as this layer.
//
// Input [D,H,W,1] with values that count from 0, output [1,Size,Size,1]: the sums of the values along the shortest
// axis, divided by their root mean square. With Pose the output is [1,Size+1,Size,1]; the last line begins with the
// pose: the directions of the rows and of the columns, as unit vectors (x,y,z) along width, height and depth, then 1
// for an upright volume, or else 0.
type PrincipalPlane struct {
	nn.LayerBase
	// Size is the number of pixels a side, and Scale that of the root mean square distance of the values from their
	// centre in the plane. A volume that would not fit is scaled down.
	Size  int
	Scale float64
	// Upright is the asymmetry along the width below which a volume counts as upright and is seen along the width, rows
	// from the top down: the sum of the differences between the values and those mirrored, divided by the sum of the
	// values. 0 makes no volume count as upright.
	Upright float64
	Pose    bool
	// View, from 0 to 7, chooses among the images of a volume that is not upright: 1 mirrors the rows, 2 the columns,
	// and 4 swaps the two axes.
	View int
	// Angle, in radians, turns the image of the view, or that of an upright volume, and Zoom magnifies it. Angles are
	// at most a full turn in either direction, and Zoom is above 0 and at most 16. A larger image is cropped.
	Angle, Zoom float64
	// Turn, Stretch and Shift are the standard deviations of random changes in training: of an angle in radians, of a
	// factor around 1, and of the centre in halves of the image's width. Mirror is the probability with which each axis
	// changes its sign, unless the volume is upright.
	Turn, Stretch, Shift, Mirror float64
}

// NewPrincipalPlane returns a layer for images of size x size pixels, a quarter of which is the root mean square
// distance from the centre, without random changes.
func NewPrincipalPlane(size int) *PrincipalPlane {
	return &PrincipalPlane{Size: size, Scale: float64(size) / 4, Zoom: 1}
}

func principalPlaneFrom(c Config) *PrincipalPlane {
	p := &PrincipalPlane{
		LayerBase: c.base(), Size: c.integer("size"), Scale: Get(c, "scale", 0.), Upright: Get(c, "upright", 0.),
		Pose: Get(c, "pose", false), View: int(Get(c, "view", 0.)), Angle: Get(c, "angle", 0.), Zoom: Get(c, "zoom", 1.),
		Turn: Get(c, "turn", 0.), Stretch: Get(c, "stretch", 0.), Shift: Get(c, "shift", 0.), Mirror: Get(c, "mirror", 0.),
	}
	if p.Size > maxPlane || p.Pose && p.Size < PoseSize {
		c.fail("size", fmt.Sprintf("at most %d, and with a pose at least %d", maxPlane, PoseSize))
	}
	if p.Scale == 0 {
		p.Scale = float64(p.Size) / 4
	}
	if v := Get(c, "view", 0.); v != float64(p.View) || v < 0 || v > 7 {
		c.fail("view", "an integer from 0 to 7")
	}
	for key, v := range map[string]float64{
		"scale": p.Scale, "upright": p.Upright, "turn": p.Turn, "stretch": p.Stretch, "shift": p.Shift,
		"mirror": p.Mirror,
	} {
		if !(v >= 0 && v <= maxPlane) {
			c.fail(key, fmt.Sprintf("from 0 to %d", maxPlane))
		}
	}
	if !(math.Abs(p.Angle) <= 2*math.Pi) {
		c.fail("angle", "radians, at most a full turn in either direction")
	}
	if !(p.Zoom > 0 && p.Zoom <= maxZoom) {
		c.fail("zoom", fmt.Sprintf("above 0 and at most %d", maxZoom))
	}
	return p
}

// PoseSize is the number of numbers of a pose.
const PoseSize = op.PoseSize

// maxPlane limits the size of the image, and maxZoom its magnification.
const maxPlane, maxZoom = 512, 16

// Class returns "PrincipalPlane".
func (p *PrincipalPlane) Class() string { return "PrincipalPlane" }

// Config returns the layer's attributes.
func (p *PrincipalPlane) Config() map[string]any {
	return map[string]any{
		"size": p.Size, "scale": p.Scale, "upright": p.Upright, "pose": p.Pose, "view": p.View,
		"angle": p.Angle, "zoom": p.Zoom,
		"turn": p.Turn, "stretch": p.Stretch, "shift": p.Shift, "mirror": p.Mirror,
	}
}

// Build checks the input shape.
func (p *PrincipalPlane) Build(in []nn.Shape) (nn.Shape, error) {
	_, channels, err := spatial(&p.LayerBase, p.Class(), in)
	if err != nil {
		return nil, err
	}
	if channels != 1 {
		return nil, &nn.ShapeError{Layer: p.Name, Class: p.Class(), Got: in, Want: "one channel"}
	}
	out := nn.Shape{1, p.Size, p.Size, 1}
	if p.Pose {
		out[1]++
	}
	return out, nil
}

// Lower emits the projection.
func (p *PrincipalPlane) Lower(l *nn.Lowering) {
	l.Emit(&op.PrincipalPlane{
		Dims: [3]int(p.In[0][:3]), Size: p.Size, Scale: p.Scale, Upright: p.Upright, Pose: p.Pose, View: p.View,
		Angle: p.Angle, Zoom: p.Zoom,
		Turn: p.Turn, Stretch: p.Stretch, Shift: p.Shift, Mirror: p.Mirror, Salt: op.Mix(uint64(l.Number) + 1),
	}, p.Out)
}
