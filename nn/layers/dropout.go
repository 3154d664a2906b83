package layers

import (
	"fmt"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// Dropout sets a fraction Rate of the elements to zero during training and divides the others by 1-Rate. With
// Spatial it drops whole channels.
//
// Input and output have the same shape.
type Dropout struct {
	nn.LayerBase
	Rate    float64
	Spatial bool
	// NoiseShape, without the batch, is 1 for each axis along which elements are dropped together. Other sizes are
	// the input's, or -1, which stands for them. Nil drops each element independently.
	NoiseShape []int
}

// NewDropout returns a Dropout of single elements.
func NewDropout(rate float64) *Dropout { return &Dropout{Rate: rate} }

func dropoutFrom(c Config, spatial bool) *Dropout {
	c.used["seed"] = true // the plan's seed and the layer's position determine what is dropped
	if spatial {
		c.channelsLast()
	}
	d := &Dropout{LayerBase: c.base(), Rate: Get(c, "rate", 0.), Spatial: spatial}
	if d.Rate < 0 || d.Rate >= 1 {
		c.fail("rate", "at least 0 and below 1")
	}
	if !spatial {
		d.NoiseShape = c.noiseShape()
	}
	return d
}

// noiseShape reads the attribute of that name: null for the batch, then a size or null for each axis.
func (c Config) noiseShape() []int {
	c.use("noise_shape")
	v := c.attributes["noise_shape"]
	if v == nil {
		return nil
	}
	list, ok := v.([]any)
	if !ok || len(list) < 2 || list[0] != nil {
		c.fail("noise_shape", "null for the batch, then a size or null for each axis")
		return nil
	}
	var out []int
	for _, v := range list[1:] {
		size := -1
		if f, ok := v.(float64); ok && f >= 1 && f <= maxElements && f == math.Trunc(f) {
			size = int(f)
		} else if v != nil {
			c.fail("noise_shape", "null for the batch, then a size or null for each axis")
		}
		out = append(out, size)
	}
	return out
}

// Class returns "Dropout" or "SpatialDropout3D".
func (d *Dropout) Class() string {
	if d.Spatial {
		return "SpatialDropout3D"
	}
	return "Dropout"
}

// Config returns the layer's Keras attributes.
func (d *Dropout) Config() map[string]any {
	config := map[string]any{"rate": d.Rate, "seed": nil}
	if d.Spatial {
		config["data_format"] = "channels_last"
	} else {
		config["noise_shape"] = d.noiseAttribute()
	}
	return config
}

func (d *Dropout) noiseAttribute() any {
	if d.NoiseShape == nil {
		return nil
	}
	shape := []any{nil}
	for _, size := range d.NoiseShape {
		if size < 0 {
			shape = append(shape, nil)
		} else {
			shape = append(shape, size)
		}
	}
	return shape
}

// Build checks the input shape.
func (d *Dropout) Build(in []nn.Shape) (nn.Shape, error) {
	if d.Spatial {
		if _, _, err := spatial(&d.LayerBase, d.Class(), in); err != nil {
			return nil, err
		}
	}
	shape, err := single(&d.LayerBase, d.Class(), in)
	if err != nil || d.NoiseShape == nil {
		return shape, err
	}
	for a, size := range d.NoiseShape {
		if len(d.NoiseShape) != len(shape) || size != 1 && size != -1 && size != shape[a] {
			return nil, &nn.ShapeError{
				Layer: d.Name, Class: d.Class(), Got: in,
				Want: fmt.Sprintf("the noise shape %v, or 1 for some of its axes", d.NoiseShape),
			}
		}
	}
	return shape, checkGather(&d.LayerBase, d.Class(), shape)
}

// Lower emits the dropout.
func (d *Dropout) Lower(l *nn.Lowering) {
	o := &op.Dropout{Rate: d.Rate, Salt: op.Mix(uint64(l.Number) + 1), Len: d.Out.Size()}
	if d.Spatial {
		o.Spatial = d.Out[len(d.Out)-1]
	}
	if d.NoiseShape != nil {
		noise := slices.Clone(d.Out)
		for a, size := range d.NoiseShape {
			if size == 1 {
				noise[a] = 1
			}
		}
		o.Together = repeat(noise, d.Out).From
	}
	l.Emit(o, d.Out)
}
