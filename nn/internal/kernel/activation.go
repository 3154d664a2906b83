package kernel

// Activation is a function of single elements with its gradient, by package op's name of it. Results err by a few
// units in the last place, in float32; the suite states by how many for each function. The result for an element
// depends on nothing but the element.
type Activation string

// activation is what a tier has of one: y from x, and dx as dy times the slope at x and y. They take n elements, at
// least one, and parameters p.
type activation struct {
	forward  func(n int, y, x, p *float32)
	backward func(n int, dx, dy, x, y, p *float32)
}

// Exists reports whether the tier in use has the activation; what calls it otherwise has its own formula. The
// portable tier has none: its loops would be no faster than formulas in float64.
func (a Activation) Exists() bool {
	_, ok := loops.activations[string(a)]
	return ok
}

// Forward sets y to the activation of x, with parameters p: none, or alpha, or for bounded_relu slope, most and
// threshold. y may be x.
func (a Activation) Forward(y, x, p []float32) {
	if len(x) > 0 {
		loops.activations[string(a)].forward(len(x), &y[:len(x)][0], &x[0], first(p))
	}
}

// Backward sets dx to dy times the slope at x, of which y is the activation. dx may be dy.
func (a Activation) Backward(dx, dy, x, y, p []float32) {
	if n := len(dx); n > 0 {
		loops.activations[string(a)].backward(n, &dx[0], &dy[:n][0], &x[:n][0], &y[:n][0], first(p))
	}
}

// first returns the address of p's first element, and nil of an empty p.
func first(p []float32) *float32 {
	if len(p) == 0 {
		return nil
	}
	return &p[0]
}
