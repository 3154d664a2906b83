package train

import (
	"math"
	"testing"

	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// TestSaturated trains a model whose outputs are 0 or 1 in float32, half of them wrongly. Keras computes such losses
// and their gradients from the logits, and so recovers.
func TestSaturated(t *testing.T) {
	for name, c := range map[string]struct {
		layer nn.Layer
		bias  []float32
		loss  []float64 // by epoch
		want  []float32
	}{
		// The gradient of the bias is the mean of p - truth, which is .5.
		"sigmoid": {layers.NewDense(1, "sigmoid"), []float32{20}, []float64{10, 9.75, 9.5}, []float32{18.5}},
		// The same for two classes: half of the rows have the loss of the whole gap.
		"softmax": {layers.NewDense(2, "softmax"), []float32{0, 200}, []float64{100, 99.5, 99}, []float32{1.5, 198.5}},
		"layer":   {layers.NewSoftmax(), nil, []float64{100, 99.5, 99}, []float32{1.5, 198.5}},
	} {
		t.Run(name, func(t *testing.T) {
			list := []nn.Layer{c.layer}
			bias := c.bias
			if name == "layer" {
				list, bias = []nn.Layer{layers.NewDense(2, ""), c.layer}, []float32{0, 200}
			}
			m := must(nn.Sequential("", nn.Shape{1}, list...))
			clear(m.Params()[0].Value)
			copy(m.Params()[1].Value, bias)
			rows := &Data{X: make([]float32, 4), Labels: []int32{0, 1, 0, 1}}
			h := must(Fit(t.Context(), m, rows, Options{Epochs: 3, BatchSize: 4, Optimizer: NewSGD(m, 1, 0)}))
			for i, l := range h.Loss {
				if math.Abs(l-c.loss[i]) > 1e-5 {
					t.Errorf("found losses %v, want %v", h.Loss, c.loss)
				}
			}
			for i, v := range m.Params()[1].Value {
				if math.Abs(float64(v-c.want[i])) > 1e-5 {
					t.Errorf("found bias %v, want %v", m.Params()[1].Value, c.want)
				}
			}
			e := must(Evaluate(t.Context(), m, rows, EvaluateOptions{}))
			if last := c.loss[2] - (c.loss[1] - c.loss[2]); math.Abs(e.Loss-last) > 1e-5 {
				t.Errorf("evaluation: found loss %v, want %v", e.Loss, last)
			}
		})
	}
}
