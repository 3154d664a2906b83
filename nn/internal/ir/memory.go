package ir

import "slices"

// Allocate plans all memory of the program once: a buffer per value, and per gradient where the program trains.
// With Reuse a buffer is used again as soon as its last reader is done. Gradients of parameters are the caller's
// (see Bind).
func (p *Program) Allocate() {
	for _, in := range p.Inputs {
		if p.Palette != nil && in == p.Inputs[0] {
			if in.Index == nil {
				in.Index = make([]uint8, p.Batch*in.Size()/p.Palette.Channels)
			}
			continue
		}
		in.Data = buffer(p.Batch * in.Size())
		if p.Training && !in.NoGrad {
			in.Grad = buffer(p.Batch * in.Size())
		}
	}
	for _, n := range p.Nodes {
		n.Out.NoGrad = !n.trains()
	}
	if p.Reuse {
		p.reuse()
	} else {
		for _, n := range p.Nodes {
			n.Out.Data = buffer(p.Batch * n.Out.Size())
		}
	}
	if p.Training {
		for _, n := range p.Nodes {
			if !n.Out.NoGrad {
				n.Out.Grad = buffer(p.Batch * n.Out.Size())
			}
		}
		for _, out := range p.Outputs { // the caller writes it, also where nothing before the output can be trained
			if out.Grad == nil {
				out.Grad = buffer(p.Batch * out.Size())
			}
		}
	}
	for _, n := range p.Nodes {
		if planner, ok := n.Op.(Planner); ok {
			planner.Plan(p)
		}
		if setter, ok := n.Op.(Setter); ok {
			n.In[0].GradSet = setter.SetsGrad()
		}
	}
}

// trains reports whether a gradient has anywhere to go at or before n.
func (n *Node) trains() bool {
	for _, param := range n.Params {
		if param.Trainable {
			return true
		}
	}
	for _, in := range n.In {
		if !in.NoGrad {
			return true
		}
	}
	return false
}

// reuse gives each value the smallest free buffer that holds it.
func (p *Program) reuse() {
	last := map[*Value]int{}
	for i, n := range p.Nodes {
		for _, in := range n.In {
			last[in] = i
		}
	}
	for _, out := range p.Outputs {
		last[out] = len(p.Nodes)
	}
	var free [][]float32
	for i, n := range p.Nodes {
		size, best := p.Batch*n.Out.Size(), -1
		for j, b := range free {
			if cap(b) >= size && (best < 0 || cap(b) < cap(free[best])) {
				best = j
			}
		}
		if best >= 0 {
			n.Out.Data = free[best][:size]
			free = append(free[:best], free[best+1:]...)
		} else {
			n.Out.Data = buffer(size)
		}
		done := map[*Value]bool{}
		for _, in := range n.In {
			if last[in] == i && !done[in] && in.Data != nil && !p.isInput(in) {
				done[in] = true
				free = append(free, in.Data[:cap(in.Data)])
			}
		}
	}
}

func (p *Program) isInput(v *Value) bool {
	return slices.Contains(p.Inputs, v)
}

// Bind prepares each node's Env for n samples; grads gives the gradient array of a parameter, or nil.
func (p *Program) Bind(n int, train bool, seed, step uint64, grads func(*Param) []float32) {
	for _, node := range p.Nodes {
		e := &node.Env
		e.N, e.Train, e.Seed, e.Step, e.Pool = n, train, seed, step, p.Pool
		if e.X == nil {
			e.X, e.DX = make([][]float32, len(node.In)), make([][]float32, len(node.In))
			e.P, e.DP = make([][]float32, len(node.Params)), make([][]float32, len(node.Params))
		}
		for i, in := range node.In {
			e.X[i], e.DX[i] = head(in.Data, n*in.Size()), head(in.Grad, n*in.Size())
			if in.Index != nil && i == 0 {
				e.Index = in.Index[:n*in.Size()/p.Palette.Channels]
			}
		}
		e.Y, e.DY = head(node.Out.Data, n*node.Out.Size()), head(node.Out.Grad, n*node.Out.Size())
		for i, param := range node.Params {
			e.P[i] = param.Value
			if grads != nil && param.Trainable {
				e.DP[i] = grads(param)
			}
		}
	}
}

// head is the first n of x, or nil where there is none.
func head(x []float32, n int) []float32 {
	if x == nil {
		return nil
	}
	return x[:n]
}
