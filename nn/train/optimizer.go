package train

import "github.com/voxelstream/voxelstream/nn"

// Optimizer moves the trainable parameters of one model by the gradients of a plan's last Backward.
type Optimizer interface {
	Step(plan *nn.Plan)
}

// state makes the memory of an optimizer: the model's trainable parameters, with an array of zeros beside each, count times over.
func state(m *nn.Model, count int) (params []*nn.Param, arrays [][][]float32) {
	arrays = make([][][]float32, count)
	for _, p := range m.Params() {
		if !p.Trainable {
			continue
		}
		params = append(params, p)
		for i := range arrays {
			arrays[i] = append(arrays[i], make([]float32, len(p.Value)))
		}
	}
	return params, arrays
}
