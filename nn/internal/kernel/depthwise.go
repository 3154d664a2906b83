package kernel

import "slices"

// Depthwise is a convolution of each channel by itself: InC is OutC, weights are [Kernel,InC]. Vectors are of
// channels, and each position is a sum over the taps that lie inside the input, so that nothing is gathered and
// padding costs nothing.
type Depthwise struct {
	*Conv
	taps   [][]span // of each kind of patch: from the first input that lies inside, to the row of the weights
	strips []strip  // of a sample
	step   int      // between the inputs of neighbouring positions
	apart  int      // between their outputs
	inputs int      // of a sample
	length int      // of a sample of the output
	zeros  []float32
}

// strip is some neighbouring windows whose patches are of one kind, depthwiseRows at most.
type strip struct{ window, count int }

// depthwiseRows is how many positions the loops of a tier take at a time at most: enough sums to hide the latency
// of their additions.
const depthwiseRows = 8

// NewDepthwise prepares a convolution of each channel by itself, or a phase of its input's gradient. It returns
// false for pooling, and for kernels so large that their patches are of too many kinds.
func NewDepthwise(c *Conv) (d *Depthwise, ok bool) {
	if c.size != 1 || slices.Contains(c.kinds, unlisted) {
		return nil, false
	}
	d = &Depthwise{
		Conv: c, step: c.Stride[2] * c.InC, apart: c.OutC, inputs: c.InLen(), length: c.OutLen(),
		zeros: make([]float32, c.OutC),
	}
	if c.spots != nil {
		d.length = c.sampleLen
		if c.Out[2] > 1 {
			d.apart = int(c.spots[1] - c.spots[0])
		}
	}
	d.taps = make([][]span, 1+slices.Max(c.kinds))
	for w := 0; w < c.windows; {
		kind, n := c.kinds[w], 1
		for (w+n)%c.Out[2] != 0 && c.kinds[w+n] == kind {
			n++
		}
		if d.taps[kind] == nil {
			taps, _ := c.reading(w, 0)
			d.taps[kind] = d.list(taps)
		}
		parts := (n + depthwiseRows - 1) / depthwiseRows
		for i := range parts {
			d.strips = append(d.strips, strip{w + n*i/parts, n*(i+1)/parts - n*i/parts})
		}
		w += n
	}
	return d, true
}

// list returns the taps in some ranges.
func (d *Depthwise) list(taps [3]stretch) []span {
	out := []span{}
	for z := taps[0].lo; z < taps[0].hi; z++ {
		for y := taps[1].lo; y < taps[1].hi; y++ {
			for x := taps[2].lo; x < taps[2].hi; x++ {
				out = append(out, span{
					from: d.index((z-taps[0].lo)*d.Dilation[0], (y-taps[1].lo)*d.Dilation[1], (x-taps[2].lo)*d.Dilation[2]),
					to:   ((z*d.Kernel[1]+y)*d.Kernel[2] + x) * d.InC,
				})
			}
		}
	}
	return out
}

// Strips returns into how many strips a sample is cut.
func (d *Depthwise) Strips() int { return len(d.strips) }

// at returns what a strip, counted through all samples, reads and writes: its inputs, the place of its outputs, and
// its taps.
func (d *Depthwise) at(src []float32, number int) (s strip, x []float32, place int, taps []span) {
	s = d.strips[number%len(d.strips)]
	sample := number / len(d.strips)
	place = sample*d.length + s.window*d.OutC
	if d.spots != nil {
		place = sample*d.length + int(d.spots[s.window])
	}
	if taps = d.taps[d.kinds[s.window]]; len(taps) > 0 {
		x = src[sample*d.inputs+int(d.starts[s.window]) : (sample+1)*d.inputs]
	}
	return s, x, place, taps
}

// Forward computes strips [lo,hi), counted through all samples, of dst [N,Out,OutC] from src [N,In,InC], weights w
// [Kernel,InC] and bias [OutC], which may be nil. Where Accumulate is set it adds to dst.
func (d *Depthwise) Forward(dst, src, w, bias []float32, lo, hi int) {
	if bias == nil {
		bias = d.zeros
	}
	for i := lo; i < hi; i++ {
		s, x, place, taps := d.at(src, i)
		to := dst[place : place+(s.count-1)*d.apart+d.OutC]
		from, begin := bias, 0
		if d.Accumulate {
			from, begin = to, d.apart
		}
		if len(taps) == 0 {
			portableDepthwise(to, d.apart, from, begin, x, d.step, w, taps, s.count, d.OutC)
			continue
		}
		loops.depthwise(to, d.apart, from, begin, x, d.step, w, taps, s.count, d.OutC)
	}
}

// WeightGrad adds to dw [Kernel,InC] the gradient of the weights over strips [lo,hi), counted through all samples,
// from src and the gradient grad of the output.
func (d *Depthwise) WeightGrad(dw, src, grad []float32, lo, hi int) {
	for i := lo; i < hi; i++ {
		if s, x, place, taps := d.at(src, i); len(taps) > 0 {
			loops.depthwiseWeights(dw, grad[place:], d.apart, x, d.step, taps, s.count, d.OutC)
		}
	}
}

func portableDepthwise(dst []float32, out int, from []float32, begin int, src []float32, step int, w []float32,
	taps []span, rows, n int,
) {
	for i := range rows {
		to := dst[i*out : i*out+n]
		copy(to, from[i*begin:])
		for _, t := range taps {
			x := src[t.from+i*step:][:n]
			for c, v := range w[t.to : t.to+n] {
				to[c] += x[c] * v
			}
		}
	}
}

func portableDepthwiseWeights(dw, grad []float32, apart int, src []float32, step int, taps []span, rows, n int) {
	for _, t := range taps {
		sums := dw[t.to : t.to+n]
		for i := range rows {
			x := src[t.from+i*step:][:n]
			for c, g := range grad[i*apart : i*apart+n] {
				sums[c] += x[c] * g
			}
		}
	}
}
