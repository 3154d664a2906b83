package kernel

import "slices"

// Pooling takes the maximum or the mean of windows of an array [In,C] that is not a convolution's output. Windows
// may reach beyond it, and what lies there does not count.
type Pooling struct {
	in     [3]int
	c      int
	window Window
	axes   [3]poolingAxis
	places [][]int  // of the positions from a window's first one inside, for each class of windows: by how many positions lie inside along each axis
	spans  [][]span // from nowhere to places
}

// poolingAxis has the first position inside and the class of the windows along an axis.
type poolingAxis struct {
	first, class []int
	counts       []int // of positions inside, of each class
}

// NewPooling prepares a pooling whose windows begin pad positions before the array; each has a position inside. For
// Max there are fewer than Dead in each.
func NewPooling(in [3]int, c int, w Window, pad [3]int) *Pooling {
	m := &Pooling{in: in, c: c, window: w}
	for i := range m.axes {
		a := &m.axes[i]
		for out := range w.Out[i] {
			start := out*w.Stride[i] - pad[i]
			first := max(start, 0)
			count := min(start+w.Size[i], in[i]) - first
			class := slices.Index(a.counts, count)
			if class < 0 {
				class, a.counts = len(a.counts), append(a.counts, count)
			}
			a.first, a.class = append(a.first, first), append(a.class, class)
		}
	}
	for _, z := range m.axes[0].counts {
		for _, y := range m.axes[1].counts {
			for _, x := range m.axes[2].counts {
				m.addClass([3]int{z, y, x})
			}
		}
	}
	return m
}

func (m *Pooling) addClass(s [3]int) {
	places, spans := make([]int, volume(s)), make([]span, volume(s))
	for i := range places {
		places[i] = ((i/(s[1]*s[2])*m.in[1]+i/s[2]%s[1])*m.in[2] + i%s[2]) * m.c
		spans[i].to = places[i]
	}
	m.places, m.spans = append(m.places, places), append(m.spans, spans)
}

// OutLen returns the length of one output sample.
func (m *Pooling) OutLen() int { return volume(m.window.Out) * m.c }

// each calls f for each window of samples [lo,hi) with its class and the places of its first position and of its
// output.
func (m *Pooling) each(lo, hi int, f func(class, in, out int)) {
	out, axes := lo*m.OutLen(), &m.axes
	for n := lo; n < hi; n++ {
		for z, top := range axes[0].first {
			for y, left := range axes[1].first {
				row := (axes[0].class[z]*len(axes[1].counts) + axes[1].class[y]) * len(axes[2].counts)
				at := ((n*m.in[0]+top)*m.in[1] + left) * m.in[2]
				for x, first := range axes[2].first {
					f(row+axes[2].class[x], (at+first)*m.c, out)
					out += m.c
				}
			}
		}
	}
}

// Max computes samples [lo,hi) of dst [N,Out,C] from src [N,In,C], and of arg, unless nil, which position inside
// the window held the first maximum.
func (m *Pooling) Max(dst []float32, arg []uint8, src []float32, lo, hi int) {
	m.each(lo, hi, func(class, in, out int) {
		var at []uint8
		if arg != nil {
			at = arg[out : out+m.c]
		}
		loops.pool(dst[out:out+m.c], at, src[in:], m.places[class], false)
	})
}

// MaxGrad adds to samples [lo,hi) of dsrc the gradient grad of the output of Max.
func (m *Pooling) MaxGrad(dsrc, grad []float32, arg []uint8, lo, hi int) {
	m.each(lo, hi, func(class, in, out int) {
		places := m.places[class]
		for j, off := range arg[out : out+m.c] {
			if off != Dead {
				dsrc[in+places[off]+j] += grad[out+j]
			}
		}
	})
}

// Average computes samples [lo,hi) of dst [N,Out,C] from src [N,In,C].
func (m *Pooling) Average(dst, src []float32, lo, hi int) {
	m.each(lo, hi, func(class, in, out int) {
		places := m.places[class]
		loops.average(dst[out:out+m.c], src[in:], places, 1/float32(len(places)))
	})
}

// AverageGrad adds to samples [lo,hi) of dsrc the gradient grad of the output of Average.
func (m *Pooling) AverageGrad(dsrc, grad []float32, lo, hi int) {
	m.each(lo, hi, func(class, in, out int) {
		spans := m.spans[class]
		loops.spans(1/float32(len(spans)), grad[out:out+m.c], dsrc[in:], spans, m.c)
	})
}

func portableAverage(dst, src []float32, places []int, scale float32) {
	clear(dst)
	for _, at := range places {
		portableAdd(src[at:at+len(dst)], dst)
	}
	for i := range dst {
		dst[i] *= scale
	}
}

// GlobalPooling reduces all cells of samples [cells,C]: to their mean, or to their maximum, whose gradient equal
// cells share. It has the memory for one sample at a time.
type GlobalPooling struct {
	cells, c int
	total    []float64
	part     []float32 // [2,C]
}

// NewGlobalPooling prepares a pooling.
func NewGlobalPooling(cells, c int) *GlobalPooling {
	return &GlobalPooling{cells: cells, c: c, total: make([]float64, c), part: make([]float32, 2*c)}
}

// Average sets y [C] to the mean of the rows of x [cells,C].
func (g *GlobalPooling) Average(y, x []float32) {
	clear(g.total)
	sums := g.part[:g.c]
	for lo := 0; lo < len(x); lo += momentRows * g.c {
		loops.sums(sums, x[lo:min(lo+momentRows*g.c, len(x))])
		for j, v := range sums {
			g.total[j] += float64(v)
		}
	}
	for j, v := range g.total {
		y[j] = float32(v / float64(g.cells))
	}
}

// AverageGrad adds to dx [cells,C] the gradient dy [C] of the output of Average.
func (g *GlobalPooling) AverageGrad(dx, dy []float32) {
	ones, share := g.part[:g.c], g.part[g.c:]
	for j, d := range dy {
		ones[j], share[j] = 1, d/float32(g.cells)
	}
	loops.scaleShift(dx, dx, ones, share)
}

// Max sets y [C] to the maximum of the rows of x [cells,C].
func (g *GlobalPooling) Max(y, x []float32) { loops.maxima(y, x) }

// MaxGrad adds to dx [cells,C] the gradient dy [C] of the output y of Max.
func (g *GlobalPooling) MaxGrad(dx, x, dy, y []float32) {
	equal := g.part[:g.c]
	clear(equal)
	for lo := 0; lo < len(x); lo += g.c {
		for j, v := range x[lo : lo+g.c] {
			if v == y[j] {
				equal[j]++
			}
		}
	}
	for lo := 0; lo < len(x); lo += g.c {
		for j, v := range x[lo : lo+g.c] {
			if v == y[j] {
				dx[lo+j] += dy[j] / equal[j]
			}
		}
	}
}

func portableMaxima(most, x []float32) {
	copy(most, x)
	for lo := 0; lo < len(x); lo += len(most) {
		for j, v := range x[lo : lo+len(most)] {
			most[j] = max(most[j], v)
		}
	}
}
