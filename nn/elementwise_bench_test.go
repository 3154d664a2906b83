package nn_test

import (
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// BenchmarkElementwise measures layers that do little with each element, on samples of 16^3 positions and 32
// channels: nanoseconds an element on two threads. Training has a normalization before, so that there is a gradient
// to pass on; "normalization alone" shows what of it that is.
func BenchmarkElementwise(b *testing.B) {
	const side, channels, n = 16, 32, 16
	type layer struct {
		name string
		make func() nn.Layer
	}
	all := []layer{{"normalization alone", nil}}
	for _, name := range []string{
		"elu", "selu", "celu", "sigmoid", "tanh", "softplus", "silu", "gelu", "exponential", "mish", "log_sigmoid",
		"softsign", "hard_sigmoid", "relu6",
		"softmax", "log_softmax",
	} {
		all = append(all, layer{name, func() nn.Layer { return layers.NewActivation(name) }})
	}
	padded := func(l *layers.Pooling3D, average bool) nn.Layer {
		l.Strides, l.Padding, l.Average = [3]int{2, 2, 2}, "same", average
		return l
	}
	frozen := layers.NewBatchNormalization()
	frozen.Frozen = true
	all = append(all,
		layer{"layer normalization", func() nn.Layer { return layers.NewLayerNormalization() }},
		layer{"group normalization", func() nn.Layer { return layers.NewGroupNormalization(8) }},
		layer{"frozen normalization", func() nn.Layer { return frozen }},
		layer{"max pooling", func() nn.Layer { return layers.NewMaxPooling3D(2) }},
		layer{"max pooling, padded", func() nn.Layer { return padded(layers.NewMaxPooling3D(3), false) }},
		layer{"average pooling, padded", func() nn.Layer { return padded(layers.NewMaxPooling3D(3), true) }},
		layer{"global maximum", func() nn.Layer { return layers.NewGlobalMaxPooling3D() }},
		layer{"global average", func() nn.Layer { return layers.NewGlobalAveragePooling3D() }},
		layer{"rescaling", func() nn.Layer { return &layers.Rescaling{Scale: []float64{2}, Offset: []float64{1}} }},
		layer{"prelu", func() nn.Layer { return &layers.PReLU{SharedAxes: []int{1, 2, 3}} }},
		layer{"noise", func() nn.Layer { return &layers.GaussianNoise{StdDev: .1} }},
	)
	for _, l := range all {
		for _, mode := range []string{"train", "infer"} {
			b.Run(l.name+"/"+mode, func(b *testing.B) {
				var stack []nn.Layer
				if mode == "train" || l.make == nil {
					stack = append(stack, layers.NewBatchNormalization())
				}
				if l.make != nil {
					stack = append(stack, l.make())
				}
				m, err := nn.Sequential("layer", nn.Shape{side, side, side, channels}, stack...)
				if err != nil {
					b.Fatal(err)
				}
				benchModel(b, m, n, nn.Options{Threads: 2, Training: mode == "train"}, 0)
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n*side*side*side*channels), "ns/element")
			})
		}
	}
}
