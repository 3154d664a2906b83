package layers

import (
	"fmt"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// Pooling3D computes the maximum of each window, or with Average the mean.
//
// Input [D,H,W,C], output [D',H',W',C], with the sizes of Conv3D. Padding is ignored: the mean divides by the
// number of cells inside the input.
type Pooling3D struct {
	nn.LayerBase
	Size, Strides [3]int
	Padding       string
	Average       bool

	pool op.Pool
}

// NewMaxPooling3D returns a max pooling over cubic windows that do not overlap.
func NewMaxPooling3D(size int) *Pooling3D {
	cube := [3]int{size, size, size}
	return &Pooling3D{Size: cube, Strides: cube, Padding: "valid"}
}

func poolingFrom(c Config, average bool) *Pooling3D {
	c.channelsLast()
	size := c.triple("pool_size", [3]int{2, 2, 2})
	return &Pooling3D{LayerBase: c.base(), Size: size, Strides: c.triple("strides", size), Padding: c.padding(), Average: average}
}

// Class returns "MaxPooling3D" or "AveragePooling3D".
func (p *Pooling3D) Class() string {
	if p.Average {
		return "AveragePooling3D"
	}
	return "MaxPooling3D"
}

// Config returns the layer's Keras attributes.
func (p *Pooling3D) Config() map[string]any {
	return map[string]any{"pool_size": p.Size[:], "strides": p.Strides[:], "padding": p.Padding, "data_format": "channels_last"}
}

// Build checks the input shape.
func (p *Pooling3D) Build(in []nn.Shape) (nn.Shape, error) {
	dims, channels, err := spatial(&p.LayerBase, p.Class(), in)
	if err != nil {
		return nil, err
	}
	p.pool = op.Pool{In: dims, Size: p.Size, Stride: p.Strides, C: channels, Average: p.Average}
	for a := range dims {
		p.pool.Out[a], p.pool.Pad[a] = axisPlan(dims[a], p.Size[a], p.Strides[a], 1, p.Padding)
		if p.pool.Out[a] < 1 {
			want := fmt.Sprintf("a size of at least %d along axis %d for the window %v", p.Size[a], a+1, p.Size)
			return nil, &nn.ShapeError{Layer: p.Name, Class: p.Class(), Got: in, Want: want}
		}
	}
	return nn.Shape{p.pool.Out[0], p.pool.Out[1], p.pool.Out[2], channels}, nil
}

// Lower emits the pooling.
func (p *Pooling3D) Lower(l *nn.Lowering) {
	pool := p.pool
	l.Emit(&pool, p.Out)
}

// GlobalPooling3D reduces all positions to one by their mean or maximum.
//
// Input [D,H,W,C], output [C], or [1,1,1,C] with KeepDims.
type GlobalPooling3D struct {
	nn.LayerBase
	Average, KeepDims bool
}

// NewGlobalAveragePooling3D returns a layer that computes the mean.
func NewGlobalAveragePooling3D() *GlobalPooling3D { return &GlobalPooling3D{Average: true} }

// NewGlobalMaxPooling3D returns a layer that computes the maximum.
func NewGlobalMaxPooling3D() *GlobalPooling3D { return &GlobalPooling3D{} }

func globalFrom(c Config, average bool) *GlobalPooling3D {
	c.channelsLast()
	return &GlobalPooling3D{LayerBase: c.base(), Average: average, KeepDims: Get(c, "keepdims", false)}
}

// Class returns "GlobalMaxPooling3D" or "GlobalAveragePooling3D".
func (g *GlobalPooling3D) Class() string {
	if g.Average {
		return "GlobalAveragePooling3D"
	}
	return "GlobalMaxPooling3D"
}

// Config returns the layer's Keras attributes.
func (g *GlobalPooling3D) Config() map[string]any {
	return map[string]any{"data_format": "channels_last", "keepdims": g.KeepDims}
}

// Build checks the input shape.
func (g *GlobalPooling3D) Build(in []nn.Shape) (nn.Shape, error) {
	_, channels, err := spatial(&g.LayerBase, g.Class(), in)
	if err != nil {
		return nil, err
	}
	if g.KeepDims {
		return nn.Shape{1, 1, 1, channels}, nil
	}
	return nn.Shape{channels}, nil
}

// Lower emits the pooling.
func (g *GlobalPooling3D) Lower(l *nn.Lowering) {
	in := g.In[0]
	l.Emit(&op.GlobalPool{Cells: in[0] * in[1] * in[2], C: in[3], Average: g.Average}, g.Out)
}
