package layers

import (
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/internal/op"
)

// Dropout sets a share Rate of the elements to zero in training, and divides the others by 1-Rate. With Spatial it drops whole channels.
//
// Input and output have the same shape.
type Dropout struct {
	nn.LayerBase
	Rate    float64
	Spatial bool
}

// NewDropout makes a dropout of single elements.
func NewDropout(rate float64) *Dropout { return &Dropout{Rate: rate} }

func dropoutFrom(c Config, spatial bool) *Dropout {
	c.none("noise_shape")
	c.used["seed"] = true // the plan's seed and the layer's position determine what falls
	if spatial {
		c.channelsLast()
	}
	d := &Dropout{LayerBase: c.base(), Rate: Get(c, "rate", 0.), Spatial: spatial}
	if d.Rate < 0 || d.Rate >= 1 {
		c.fail("rate", "at least 0 and below 1")
	}
	return d
}

// Class is Dropout or SpatialDropout3D.
func (d *Dropout) Class() string {
	if d.Spatial {
		return "SpatialDropout3D"
	}
	return "Dropout"
}

// Config returns Keras's attributes.
func (d *Dropout) Config() map[string]any {
	config := map[string]any{"rate": d.Rate, "seed": nil}
	if d.Spatial {
		config["data_format"] = "channels_last"
	} else {
		config["noise_shape"] = nil
	}
	return config
}

// Build checks the input.
func (d *Dropout) Build(in []nn.Shape) (nn.Shape, error) {
	if d.Spatial {
		if _, _, err := spatial(&d.LayerBase, d.Class(), in); err != nil {
			return nil, err
		}
	}
	return single(&d.LayerBase, d.Class(), in)
}

// Lower emits the dropout.
func (d *Dropout) Lower(l *nn.Lowering) {
	o := &op.Dropout{Rate: d.Rate, Salt: op.Mix(uint64(l.Number) + 1), Len: d.Out.Size()}
	if d.Spatial {
		o.Spatial = d.Out[len(d.Out)-1]
	}
	l.Emit(o, d.Out)
}
