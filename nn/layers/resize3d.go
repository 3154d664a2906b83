package layers

import (
	"fmt"
	"math"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// Padding3D surrounds a volume with zero cells, or with Crop removes cells from its sides.
//
// Input [D,H,W,C], output [D',H',W',C] with D' = D + before + after, or D - before - after, and likewise for H' and
// W'.
type Padding3D struct {
	nn.LayerBase
	Sizes [3][2]int // cells before and after, along each axis
	Crop  bool
}

// NewZeroPadding3D returns a layer that pads all sides by size cells.
func NewZeroPadding3D(size int) *Padding3D {
	return &Padding3D{Sizes: [3][2]int{{size, size}, {size, size}, {size, size}}}
}

// NewCropping3D returns a layer that crops all sides by size cells.
func NewCropping3D(size int) *Padding3D {
	p := NewZeroPadding3D(size)
	p.Crop = true
	return p
}

func paddingFrom(c Config, key string, crop bool) *Padding3D {
	c.channelsLast()
	p := NewZeroPadding3D(1) // the Keras default of both
	p.LayerBase, p.Crop = c.base(), crop
	c.used[key] = true
	switch v := c.attributes[key].(type) {
	case nil:
	case []any:
		for a := range p.Sizes {
			var ok bool
			if len(v) == 3 {
				p.Sizes[a], ok = pair(v[a])
			}
			if !ok {
				c.fail(key, "three integers of at least 0, or three pairs of them")
				return p
			}
		}
	default:
		var ok bool
		if p.Sizes[0], ok = pair(v); !ok {
			c.fail(key, "three integers of at least 0, or three pairs of them")
		}
		p.Sizes[1], p.Sizes[2] = p.Sizes[0], p.Sizes[0]
	}
	return p
}

// pair reads two integers of at least 0, or one that applies to both.
func pair(v any) (p [2]int, ok bool) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v, v}
	}
	if len(list) != 2 {
		return p, false
	}
	for i := range p {
		f, ok := list[i].(float64)
		if !ok || f != math.Trunc(f) || f < 0 || f > maxElements {
			return p, false
		}
		p[i] = int(f)
	}
	return p, true
}

// Class returns "ZeroPadding3D" or "Cropping3D".
func (p *Padding3D) Class() string {
	if p.Crop {
		return "Cropping3D"
	}
	return "ZeroPadding3D"
}

// Config returns the layer's Keras attributes.
func (p *Padding3D) Config() map[string]any {
	key := "padding"
	if p.Crop {
		key = "cropping"
	}
	sizes := [][]int{p.Sizes[0][:], p.Sizes[1][:], p.Sizes[2][:]}
	return map[string]any{key: sizes, "data_format": "channels_last"}
}

// Build checks the input shape.
func (p *Padding3D) Build(in []nn.Shape) (nn.Shape, error) {
	dims, channels, err := spatial(&p.LayerBase, p.Class(), in)
	if err != nil {
		return nil, err
	}
	for a, s := range p.Sizes {
		if p.Crop {
			s[0], s[1] = -s[0], -s[1]
		}
		if dims[a] += s[0] + s[1]; dims[a] < 1 {
			want := fmt.Sprintf("more than the %d cells that are cropped along axis %d", -s[0]-s[1], a+1)
			return nil, &nn.ShapeError{Layer: p.Name, Class: p.Class(), Got: in, Want: want}
		}
	}
	if tooLarge(dims[0], dims[1], dims[2], channels) {
		return nil, fmt.Errorf("layer %q (%s): an output of %v x %d has more than %d elements", p.Name, p.Class(),
			dims, channels, maxElements)
	}
	return nn.Shape{dims[0], dims[1], dims[2], channels}, nil
}

// Lower emits the selection of cells.
func (p *Padding3D) Lower(l *nn.Lowering) {
	lowerCells(l, p.In[0], p.Out, func(axis, i int) int {
		if p.Crop {
			return i + p.Sizes[axis][0]
		}
		return i - p.Sizes[axis][0]
	})
}

// lowerCells emits an operation whose output cell (z,y,x) is the input cell (from(0,z), from(1,y), from(2,x)), or
// zero if that is outside the input.
func lowerCells(l *nn.Lowering, in, out nn.Shape, from func(axis, i int) int) {
	g := &op.Gather{From: make([]int32, 0, out[0]*out[1]*out[2]), Cells: in[0] * in[1] * in[2], C: in[3]}
	inside := func(i, size int) bool { return i >= 0 && i < size }
	for z := range out[0] {
		for y := range out[1] {
			for x := range out[2] {
				iz, iy, ix := from(0, z), from(1, y), from(2, x)
				cell := int32(-1)
				if inside(iz, in[0]) && inside(iy, in[1]) && inside(ix, in[2]) {
					cell = int32((iz*in[1]+iy)*in[2] + ix)
				}
				g.From = append(g.From, cell)
			}
		}
	}
	l.Emit(g, out)
}

// UpSampling3D repeats each cell along each axis.
//
// Input [D,H,W,C], output [D Size[0], H Size[1], W Size[2], C].
type UpSampling3D struct {
	nn.LayerBase
	Size [3]int
}

// NewUpSampling3D returns a layer that repeats each cell size times along each axis.
func NewUpSampling3D(size int) *UpSampling3D { return &UpSampling3D{Size: [3]int{size, size, size}} }

func upSamplingFrom(c Config) *UpSampling3D {
	c.channelsLast()
	return &UpSampling3D{LayerBase: c.base(), Size: c.triple("size", [3]int{2, 2, 2})}
}

// Class returns "UpSampling3D".
func (u *UpSampling3D) Class() string { return "UpSampling3D" }

// Config returns the layer's Keras attributes.
func (u *UpSampling3D) Config() map[string]any {
	return map[string]any{"size": u.Size[:], "data_format": "channels_last"}
}

// Build checks the input shape.
func (u *UpSampling3D) Build(in []nn.Shape) (nn.Shape, error) {
	d, channels, err := spatial(&u.LayerBase, u.Class(), in)
	if err != nil {
		return nil, err
	}
	if tooLarge(d[0], u.Size[0], d[1], u.Size[1], d[2], u.Size[2], channels) {
		return nil, fmt.Errorf("layer %q (UpSampling3D): %v times %v has more than %d elements", u.Name, u.Size,
			in[0], maxElements)
	}
	return nn.Shape{d[0] * u.Size[0], d[1] * u.Size[1], d[2] * u.Size[2], channels}, nil
}

// Lower emits the selection of cells.
func (u *UpSampling3D) Lower(l *nn.Lowering) {
	lowerCells(l, u.In[0], u.Out, func(axis, i int) int { return i / u.Size[axis] })
}
