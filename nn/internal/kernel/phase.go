package kernel

// Phase is a part of the gradient of a convolution's input from that of its output: of the positions First,
// First+Stride and so on along each axis. With a stride the taps of the kernel that reach a position depend on
// where it lies between two steps, so each phase has taps of its own; as a function of the output's gradient it is
// a convolution without stride: the Geometry, for weights that Mirror makes. Without stride there is one phase, of
// all positions.
type Phase struct {
	Geometry
	First [3]int
	whole Geometry // of the convolution whose gradient it is
	tap   [3]int   // first of the taps that reach it
}

// Phases returns the phases that taps reach, whether there are positions that none reaches, and whether phases make
// up the gradient: not where there are both stride and dilation, or more padding than kernel.
func (g Geometry) Phases() (phases []Phase, gaps, ok bool) {
	one := [3]int{1, 1, 1}
	if g.Stride != one && g.Dilation != one {
		return nil, false, false
	}
	for i := range volume(g.Stride) {
		p := Phase{whole: g, tap: [3]int{i / (g.Stride[1] * g.Stride[2]), i / g.Stride[2] % g.Stride[1], i % g.Stride[2]}}
		p.Geometry = Geometry{In: g.Out, InC: g.OutC, Stride: one, Dilation: g.Dilation, OutC: g.InC}
		empty := false
		for a := range 3 {
			// Position i is reached by output o and tap k where i = o*stride + k*dilation - pad.
			s := g.Stride[a]
			p.First[a] = ((p.tap[a]-g.Pad[a])%s + s) % s
			p.Out[a] = (g.In[a] - p.First[a] + s - 1) / s
			p.Kernel[a] = (g.Kernel[a] - p.tap[a] + s - 1) / s
			p.Pad[a] = (p.Kernel[a]-1)*g.Dilation[a] - (p.First[a]+g.Pad[a]-p.tap[a])/s
			switch {
			case p.Out[a] < 1:
				empty = true
			case p.Kernel[a] < 1:
				empty, gaps = true, true
			case p.Pad[a] < 0:
				return nil, false, false
			}
		}
		if !empty {
			phases = append(phases, p)
		}
	}
	return phases, gaps, true
}

// Mirror sets the weights of one tap of the phase in dst [Kernel,OutC,InC] from those of the convolution, w
// [Kernel,InC,OutC]: taps go the other way, and inputs and outputs change places.
func (p *Phase) Mirror(dst, w []float32, tap int) {
	at, n := p.mirrored(tap), p.InC*p.OutC
	Transpose(dst[tap*n:(tap+1)*n], w[at*n:(at+1)*n], p.OutC, p.InC)
}

// MirrorDepthwise is Mirror for weights [Kernel,InC] of a convolution of each channel by itself.
func (p *Phase) MirrorDepthwise(dst, w []float32, tap int) {
	at, n := p.mirrored(tap), p.InC
	copy(dst[tap*n:(tap+1)*n], w[at*n:])
}

// mirrored is the tap of the convolution that a tap of the phase is.
func (p *Phase) mirrored(tap int) (at int) {
	place := [3]int{tap / (p.Kernel[1] * p.Kernel[2]), tap / p.Kernel[2] % p.Kernel[1], tap % p.Kernel[2]}
	for a := range 3 {
		at = at*p.whole.Kernel[a] + p.tap[a] + p.whole.Stride[a]*(p.Kernel[a]-1-place[a])
	}
	return at
}

// NewConv prepares the convolution that computes the phase, in the midst of the others: its Forward writes to whole
// samples of the gradient.
func (p *Phase) NewConv() *Conv {
	c := NewConv(p.Geometry, p.Unit(), false)
	if p.Out == p.whole.In {
		return c
	}
	c.sampleLen = p.whole.InLen()
	for w := range c.windows {
		z, y, x := w/(p.Out[1]*p.Out[2]), w/p.Out[2]%p.Out[1], w%p.Out[2]
		s := p.whole.Stride
		c.spots = append(c.spots, int32(p.whole.index(p.First[0]+z*s[0], p.First[1]+y*s[1], p.First[2]+x*s[2])))
	}
	return c
}

// place writes the outputs of windows [lo,hi) to their spots, or adds them to what is there.
func (c *Conv) place(dst, outputs []float32, lo, hi int) {
	n := c.OutC
	for w := lo; w < hi; {
		at := c.spots[w%c.windows:][:min(hi-w, c.Out[2]-w%c.Out[2])] // of a row
		to, from := dst[w/c.windows*c.sampleLen+int(at[0]):], outputs[(w-lo)*n:][:len(at)*n]
		if c.Accumulate {
			for i, spot := range at {
				loops.add(from[i*n:][:n], to[spot-at[0]:][:n])
			}
		} else {
			apart := 0
			if len(at) > 1 {
				apart = int(at[1] - at[0])
			}
			c.write(to, from, n, apart)
		}
		w += len(at)
	}
}
