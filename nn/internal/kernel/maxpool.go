package kernel

// MaxPool is the maximum over windows of an array [In,C] that is not a convolution's output.
type MaxPool struct {
	in     [3]int
	c      int
	window Window
	places []int
}

// NewMaxPool prepares a pooling; every window lies within in and has fewer than Dead positions.
func NewMaxPool(in [3]int, c int, w Window) *MaxPool {
	m := &MaxPool{in: in, c: c, window: w}
	s := w.Size
	for off := range volume(s) {
		m.places = append(m.places, ((off/(s[1]*s[2])*in[1]+off/s[2]%s[1])*in[2]+off%s[2])*c)
	}
	return m
}

// OutLen returns the length of one output sample.
func (m *MaxPool) OutLen() int { return volume(m.window.Out) * m.c }

// each calls f for each window of samples [lo,hi) with the places of its first position and of its output.
func (m *MaxPool) each(lo, hi int, f func(in, out int)) {
	w, out := &m.window, lo*m.OutLen()
	for n := lo; n < hi; n++ {
		for z := range w.Out[0] {
			for y := range w.Out[1] {
				at := (((n*m.in[0]+z*w.Stride[0])*m.in[1] + y*w.Stride[1]) * m.in[2]) * m.c
				for range w.Out[2] {
					f(at, out)
					at += w.Stride[2] * m.c
					out += m.c
				}
			}
		}
	}
}

// Forward computes samples [lo,hi) of dst [N,Out,C] from src [N,In,C], and of arg, unless nil, which position held the first maximum.
func (m *MaxPool) Forward(dst []float32, arg []uint8, src []float32, lo, hi int) {
	m.each(lo, hi, func(in, out int) {
		var at []uint8
		if arg != nil {
			at = arg[out : out+m.c]
		}
		loops.pool(dst[out:out+m.c], at, src[in:], m.places, false)
	})
}

// Backward adds to samples [lo,hi) of dsrc the gradient grad of the output.
func (m *MaxPool) Backward(dsrc, grad []float32, arg []uint8, lo, hi int) {
	m.each(lo, hi, func(in, out int) {
		for j, off := range arg[out : out+m.c] {
			if off != Dead {
				dsrc[in+m.places[off]+j] += grad[out+j]
			}
		}
	})
}
