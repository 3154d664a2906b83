package kernel

// transforms are those of F(m,3), along each axis: the transforms of m+2 inputs d, of 3 weights g, and of the m+2 products back to m outputs.
//
// F(2,3), for the points 0, 1, -1 and infinity:
//
//	d0-d2, d1+d2, d2-d1, d1-d3
//	g0, (g0+g1+g2)/2, (g0-g1+g2)/2, g2
//	m0+m1+m2, m1-m2-m3
//
// F(4,3), by the construction of Toom and Cook for the points 0, 1, -1, 1/2, -2 and infinity, which round better than 0, 1, -1, 2, -2 (Barabasz et al. 2020); with
// a = d4-d2 and b = d3-d1:
//
//	d0-d2+a+1.5b, a+b+1.5(d2+d3), a-b+1.5(d3-d2), a+2b, a-0.5b, d5-d3-b+1.5a
//	g0, (g0+g1+g2)/3, -(g0-g1+g2)/3, -16(g0+g1/2+g2/4)/15, (g0-2g1+4g2)/15, g2
//	m0+m1+m2+m3+m4, m1-m2+m3/2-2m4, m1+m2+m3/4+4m4, m1-m2+m3/8-8m4+m5
type transforms struct {
	// weights transforms three rows of n weights, from apart, to m+2, to apart. The first three of dst may be those of src.
	weights func(dst []float32, to int, src []float32, from, n int)
	// input sets dst, points step apart, to the transform of the cells of src, n channels each; scratch is [points,laneSlack].
	input func(dst, src, scratch []float32, plane, row, cell, step, n int)
	// output sets the rows of dst [m,m,m,n] to the transform back of the points of src, step apart, plus bias [n]; scratch is [points,laneSlack].
	output func(dst, src, bias, scratch []float32, step, n int)
}

func portableFilterWeights2(dst []float32, to int, src []float32, from, n int) {
	g0, g1, g2 := src[:n], src[from:from+n], src[2*from:2*from+n]
	d0, d1, d2, d3 := dst[:n], dst[to:to+n], dst[2*to:2*to+n], dst[3*to:3*to+n]
	for i := range n {
		a, b, c := g0[i], g1[i], g2[i]
		d0[i], d1[i], d2[i], d3[i] = a, (a+c+b)/2, (a+c-b)/2, c
	}
}

func portableFilterWeights4(dst []float32, to int, src []float32, from, n int) {
	g0, g1, g2 := src[:n], src[from:from+n], src[2*from:2*from+n]
	d0, d1, d2 := dst[:n], dst[to:to+n], dst[2*to:2*to+n]
	d3, d4, d5 := dst[3*to:3*to+n], dst[4*to:4*to+n], dst[5*to:5*to+n]
	for i := range n {
		a, b, c := g0[i], g1[i], g2[i]
		d0[i], d1[i], d2[i] = a, (a+c+b)*(1./3), (a+c-b)*(-1./3)
		d3[i], d4[i], d5[i] = (a+b*.5+c*.25)*(-16./15), (a-2*b+4*c)*(1./15), c
	}
}

func portableWinogradInput2(dst, src, scratch []float32, plane, row, cell, step, n int) {
	d := scratch[:64]
	for c := range n {
		for i := range d {
			d[i] = src[i/16*plane+i/4%4*row+i%4*cell+c]
		}
		for _, apart := range [3]int{1, 4, 16} {
			for i := range d {
				if i/apart%4 == 0 {
					a, b, e, f := d[i], d[i+apart], d[i+2*apart], d[i+3*apart]
					d[i], d[i+apart], d[i+2*apart], d[i+3*apart] = a-e, b+e, e-b, b-f
				}
			}
		}
		for i, v := range d {
			dst[i*step+c] = v
		}
	}
}

func portableWinogradOutput2(dst, src, bias, scratch []float32, step, n int) {
	m := scratch[:64]
	for c := range n {
		for i := range m {
			m[i] = src[i*step+c]
		}
		for _, apart := range [3]int{1, 4, 16} {
			for i := range m {
				if i/apart%4 == 0 {
					a, b, e, f := m[i], m[i+apart], m[i+2*apart], m[i+3*apart]
					m[i], m[i+apart] = a+b+e, b-e-f
				}
			}
		}
		for p := range 8 {
			dst[p*n+c] = m[p/4*16+p/2%2*4+p%2] + bias[c]
		}
	}
}

func portableWinogradInput4(dst, src, scratch []float32, plane, row, cell, step, n int) {
	d := scratch[:216]
	for c := range n {
		for i := range d {
			d[i] = src[i/36*plane+i/6%6*row+i%6*cell+c]
		}
		for _, apart := range [3]int{1, 6, 36} {
			for i := range d {
				if i/apart%6 == 0 {
					d0, d1, d2, d3, d4, d5 := d[i], d[i+apart], d[i+2*apart], d[i+3*apart], d[i+4*apart], d[i+5*apart]
					a, b := d4-d2, d3-d1
					d[i], d[i+apart], d[i+2*apart] = d0-d2+a+1.5*b, a+b+1.5*(d2+d3), a-b+1.5*(d3-d2)
					d[i+3*apart], d[i+4*apart], d[i+5*apart] = a+2*b, a-.5*b, d5-d3-b+1.5*a
				}
			}
		}
		for i, v := range d {
			dst[i*step+c] = v
		}
	}
}

func portableWinogradOutput4(dst, src, bias, scratch []float32, step, n int) {
	m := scratch[:216]
	for c := range n {
		for i := range m {
			m[i] = src[i*step+c]
		}
		for _, apart := range [3]int{1, 6, 36} {
			for i := range m {
				if i/apart%6 == 0 {
					m0, m1, m2, m3, m4, m5 := m[i], m[i+apart], m[i+2*apart], m[i+3*apart], m[i+4*apart], m[i+5*apart]
					sum, difference := m1+m2, m1-m2
					m[i], m[i+apart] = m0+sum+m3+m4, difference+.5*m3-2*m4
					m[i+2*apart], m[i+3*apart] = sum+.25*m3+4*m4, difference+.125*m3-8*m4+m5
				}
			}
		}
		for p := range 64 {
			dst[p*n+c] = m[p/16*36+p/4%4*6+p%4] + bias[c]
		}
	}
}
