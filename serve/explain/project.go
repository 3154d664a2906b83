package explain

import (
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/layers"
)

// faceOf returns the first layer of a model if it turns volumes face on, and if a node depends on it alone.
func faceOf(m *nn.Model, node *nn.Node) (face *layers.PrincipalPlane) {
	seen := map[*nn.Node]bool{}
	alone := true
	var visit func(n *nn.Node)
	visit = func(n *nn.Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		if p, ok := n.Layer.(*layers.PrincipalPlane); ok && n.Inputs[0] == m.Inputs()[0] {
			alone = alone && (face == nil || face == p)
			face = p
			return
		}
		alone = alone && n.Layer != nil
		for _, in := range n.Inputs {
			visit(in)
		}
	}
	visit(node)
	if !alone {
		return nil
	}
	return face
}

// project returns the values of the cells of an image, of some size, at the cells of the volume in row that the image
// shows: interpolated linearly where the layer places them. Empty cells of the volume get 0.
func project(face *layers.PrincipalPlane, row, cells []float32, size [3]int) ([]float32, error) {
	in := nn.Input("", face.In[0])
	out, err := nn.Apply(face, in)
	if err != nil {
		return nil, err
	}
	m, err := nn.Functional("", []*nn.Node{in}, []*nn.Node{out})
	if err != nil {
		return nil, err
	}
	p, err := m.Compile(1, nn.Options{InputGrad: true, Threads: 1})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	copy(p.Input(0), row)
	if err := p.Forward(1, false, 0); err != nil {
		return nil, err
	}
	// A pixel of the image is the sum of shares of cells, all divided by one number. Backwards, a cell gets the sum of its
	// shares of pixels, divided by the same number.
	backwards := func(image []float32) []float32 {
		grad := p.OutputGrad(0)
		clear(grad)
		copy(grad, image)
		p.Backward()
		return p.InputGrad(0)
	}
	dims := [3]int{1, face.Size, face.Size}
	ones := make([]float32, face.Size*face.Size)
	for i := range ones {
		ones[i] = 1
	}
	shares := append([]float32(nil), backwards(ones)...)
	values := append([]float32(nil), backwards(interpolate(cells, size, spread(size, dims), dims))...)
	for i, share := range shares {
		if share > 0 {
			values[i] /= share
		} else {
			values[i] = 0
		}
	}
	return values, nil
}
