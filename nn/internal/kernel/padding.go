package kernel

// enlarged returns the same convolution over inputs with their padding around them.
func (g Geometry) enlarged() Geometry {
	for i := range g.In {
		reach := (g.Out[i]-1)*g.Stride[i] + (g.Kernel[i]-1)*g.Dilation[i] + 1
		g.In[i], g.Pad[i] = max(g.Pad[i]+g.In[i], reach), 0
	}
	return g
}

// enlarge copies what is in planes [lo,hi) of an enlarged sample from a sample to its place there; the margins stay
// as they are: zero.
func (g Geometry) enlarge(dst, src []float32, lo, hi int) {
	g.eachRow(lo, hi, func(inner, outer, n int) { copy(dst[outer:outer+n], src[inner:inner+n]) })
}

// addMiddle adds the middle of an enlarged sample to one.
func (g Geometry) addMiddle(dst, src []float32) {
	g.eachRow(0, g.Pad[0]+g.In[0], func(inner, outer, n int) { loops.add(src[outer:outer+n], dst[inner:inner+n]) })
}

// eachRow calls f for each row of a sample in planes [lo,hi) of an enlarged one with its place here and there.
func (g Geometry) eachRow(lo, hi int, f func(inner, outer, length int)) {
	outer, n := g.enlarged(), g.In[2]*g.InC
	for z := max(0, lo-g.Pad[0]); z < min(g.In[0], hi-g.Pad[0]); z++ {
		for y := range g.In[1] {
			f(g.index(z, y, 0), outer.index(z+g.Pad[0], y+g.Pad[1], g.Pad[2]), n)
		}
	}
}

// newEnlarged allocates an enlarged sample of zeros, none where nothing is padded.
func (c *Conv) newEnlarged() []float32 {
	if !c.padded {
		return nil
	}
	return make([]float32, c.whole.InLen())
}
