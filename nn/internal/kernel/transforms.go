package kernel

// transforms are those of F(m,r), along each axis: the transforms of m+r-1 inputs d, of r weights g, and of as many
// products as inputs back to m outputs.
//
// F(2,3), for the points 0, 1, -1 and infinity:
//
//	d0-d2, d1+d2, d2-d1, d1-d3
//	g0, (g0+g1+g2)/2, (g0-g1+g2)/2, g2
//	m0+m1+m2, m1-m2-m3
//
// F(4,3), by the construction of Toom and Cook for the points 0, 1, -1, 1/2, -2 and infinity, which round better
// than 0, 1, -1, 2, -2 (Barabasz et al. 2020); with a = d4-d2 and b = d3-d1:
//
//	d0-d2+a+1.5b, a+b+1.5(d2+d3), a-b+1.5(d3-d2), a+2b, a-0.5b, d5-d3-b+1.5a
//	g0, (g0+g1+g2)/3, -(g0-g1+g2)/3, -16(g0+g1/2+g2/4)/15, (g0-2g1+4g2)/15, g2
//	m0+m1+m2+m3+m4, m1-m2+m3/2-2m4, m1+m2+m3/4+4m4, m1-m2+m3/8-8m4+m5
//
// F(4,2), for the points 0, 1, -1, 2 and infinity; with e = d3-d1:
//
//	d0-d2+e/2, e-d1-d2, e+3(d1-d2), e, d4-d2-2e
//	g0, -(g0+g1)/2, (g1-g0)/6, (g0+2g1)/6, g1
//	m0+m1+m2+m3, m1-m2+2m3, m1+m2+4m3, m1-m2+8m3+m4
//
// F(2,5) has the points and so the inputs of F(4,3); g(x) is the polynomial of the weights:
//
//	g0, g(1)/3, -g(-1)/3, -16g(1/2)/15, g(-2)/15, g4
//	m0+m1+m2+m3+m4, m1-m2+m3/2-2m4+m5
//
// The gradient of the weights takes the same way back, by the transposes: the outputs' gradients y are spread to
// the values of y(x) at the points, and the products of these with the transformed inputs are folded to weights.
type transforms struct {
	// weights transforms r rows of n weights, from apart, to m+r-1, to apart. The first rows of dst may be those of
	// src.
	weights func(dst []float32, to int, src []float32, from, n int)
	// input sets dst, points step apart, to the transform of the cells of src, n channels each; scratch is
	// [points,laneSlack].
	input func(dst, src, scratch []float32, plane, row, cell, step, n int)
	// output sets the rows of dst [m,m,m,n] to the transform back of the points of src, step apart, plus bias [n];
	// scratch is [points,laneSlack].
	output func(dst, src, bias, scratch []float32, step, n int)
	// spread sets dst, points step apart, to the transpose of output of the cells [m,m,m] of src, n channels each;
	// scratch is [points,laneSlack]. Nil for F(2,3).
	spread func(dst, src, scratch []float32, plane, row, cell, step, n int)
	// fold transforms m+r-1 rows of n products, from apart, to r rows of weights, to apart: the transpose of
	// weights. Its rows may be those of src. Nil for F(2,3).
	fold func(dst []float32, to int, src []float32, from, n int)
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
	portableToPoints(4, 4, func(d []float32, apart int) {
		d0, d1, d2, d3 := d[0], d[apart], d[2*apart], d[3*apart]
		d[0], d[apart], d[2*apart], d[3*apart] = d0-d2, d1+d2, d2-d1, d1-d3
	}, dst, src, scratch, plane, row, cell, step, n)
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
	portableToPoints(6, 6, func(d []float32, apart int) {
		d0, d1, d2, d3, d4, d5 := d[0], d[apart], d[2*apart], d[3*apart], d[4*apart], d[5*apart]
		a, b := d4-d2, d3-d1
		d[0], d[apart], d[2*apart] = d0-d2+a+1.5*b, a+b+1.5*(d2+d3), a-b+1.5*(d3-d2)
		d[3*apart], d[4*apart], d[5*apart] = a+2*b, a-.5*b, d5-d3-b+1.5*a
	}, dst, src, scratch, plane, row, cell, step, n)
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

func portableFilterWeights4of2(dst []float32, to int, src []float32, from, n int) {
	for i := range n {
		a, b := src[i], src[from+i]
		dst[i], dst[to+i], dst[2*to+i], dst[3*to+i], dst[4*to+i] = a, (a+b)*-.5, (b-a)*(1./6), (a+2*b)*(1./6), b
	}
}

func portableWinogradInput4of2(dst, src, scratch []float32, plane, row, cell, step, n int) {
	portableToPoints(5, 5, func(d []float32, apart int) {
		d0, d1, d2, d3, d4 := d[0], d[apart], d[2*apart], d[3*apart], d[4*apart]
		e := d3 - d1
		d[0], d[apart], d[2*apart], d[3*apart], d[4*apart] = d0-d2+.5*e, e-(d1+d2), e+3*(d1-d2), e, d4-d2-2*e
	}, dst, src, scratch, plane, row, cell, step, n)
}

func portableWinogradOutput4of2(dst, src, bias, scratch []float32, step, n int) {
	m := scratch[:125]
	for c := range n {
		for i := range m {
			m[i] = src[i*step+c]
		}
		for _, apart := range [3]int{1, 5, 25} {
			for i := range m {
				if i/apart%5 == 0 {
					m0, m1, m2, m3, m4 := m[i], m[i+apart], m[i+2*apart], m[i+3*apart], m[i+4*apart]
					sum, difference := m1+m2, m1-m2
					m[i], m[i+apart], m[i+2*apart], m[i+3*apart] = m0+sum+m3, difference+2*m3, sum+4*m3, difference+m4+8*m3
				}
			}
		}
		for p := range 64 {
			dst[p*n+c] = m[p/16*25+p/4%4*5+p%4] + bias[c]
		}
	}
}

func portableWinogradSpread4of2(dst, src, scratch []float32, plane, row, cell, step, n int) {
	portableToPoints(4, 5, func(y []float32, apart int) {
		y0, y1, y2, y3 := y[0], y[apart], y[2*apart], y[3*apart]
		y[apart], y[2*apart], y[3*apart], y[4*apart] = y0+y2+(y1+y3), y0+y2-(y1+y3), ((y3*2+y2)*2+y1)*2+y0, y3
	}, dst, src, scratch, plane, row, cell, step, n)
}

func portableFoldWeights4of2(dst []float32, to int, src []float32, from, n int) {
	for i := range n {
		u0, u1, u2, u3, u4 := src[i], src[from+i]*-.5, src[2*from+i], src[3*from+i], src[4*from+i]
		dst[i], dst[to+i] = u0+u1+(u3-u2)*(1./6), u4+u1+(u2+2*u3)*(1./6)
	}
}

func portableFilterWeights2of5(dst []float32, to int, src []float32, from, n int) {
	for i := range n {
		g := [5]float32{src[i], src[from+i], src[2*from+i], src[3*from+i], src[4*from+i]}
		even, odd := g[0]+g[2]+g[4], g[1]+g[3]
		dst[i], dst[5*to+i] = g[0], g[4]
		dst[to+i], dst[2*to+i] = (even+odd)*(1./3), (even-odd)*(-1./3)
		dst[3*to+i] = ((((g[4]*.5+g[3])*.5+g[2])*.5+g[1])*.5 + g[0]) * (-16. / 15)
		dst[4*to+i] = (g[0] - 2*(g[1]-2*(g[2]-2*(g[3]-2*g[4])))) * (1. / 15)
	}
}

func portableWinogradOutput2of5(dst, src, bias, scratch []float32, step, n int) {
	m := scratch[:216]
	for c := range n {
		for i := range m {
			m[i] = src[i*step+c]
		}
		for _, apart := range [3]int{1, 6, 36} {
			for i := range m {
				if i/apart%6 == 0 {
					m0, m1, m2, m3, m4, m5 := m[i], m[i+apart], m[i+2*apart], m[i+3*apart], m[i+4*apart], m[i+5*apart]
					m[i], m[i+apart] = m0+m1+m2+m3+m4, m1-m2+.5*m3-2*m4+m5
				}
			}
		}
		for p := range 8 {
			dst[p*n+c] = m[p/4*36+p/2%2*6+p%2] + bias[c]
		}
	}
}

func portableWinogradSpread4(dst, src, scratch []float32, plane, row, cell, step, n int) {
	portableToPoints(4, 6, func(y []float32, apart int) {
		y0, y1, y2, y3 := y[0], y[apart], y[2*apart], y[3*apart]
		y[apart], y[2*apart], y[3*apart] = y0+y2+(y1+y3), y0+y2-(y1+y3), ((y3*.5+y2)*.5+y1)*.5+y0
		y[4*apart], y[5*apart] = y0-2*(y1-2*(y2-2*y3)), y3
	}, dst, src, scratch, plane, row, cell, step, n)
}

func portableWinogradSpread2of5(dst, src, scratch []float32, plane, row, cell, step, n int) {
	portableToPoints(2, 6, func(y []float32, apart int) {
		y0, y1 := y[0], y[apart]
		y[apart], y[2*apart], y[3*apart], y[4*apart], y[5*apart] = y0+y1, y0-y1, y0+.5*y1, y0-2*y1, y1
	}, dst, src, scratch, plane, row, cell, step, n)
}

// portableToPoints transforms the cells of a cube of m a side to points, side a side; line does it along one axis,
// in place, where they are apart.
func portableToPoints(m, side int, line func(d []float32, apart int), dst, src, scratch []float32, plane, row, cell,
	step, n int,
) {
	d := scratch[:side*side*side]
	for c := range n {
		for i := range d {
			if z, y, x := i/(side*side), i/side%side, i%side; z < m && y < m && x < m {
				d[i] = src[z*plane+y*row+x*cell+c]
			}
		}
		for z := range m {
			for y := range m {
				line(d[(z*side+y)*side:], 1)
			}
			for x := range side {
				line(d[z*side*side+x:], side)
			}
		}
		for i := range side * side {
			line(d[i:], side*side)
		}
		for i, v := range d {
			dst[i*step+c] = v
		}
	}
}

func portableFoldWeights4(dst []float32, to int, src []float32, from, n int) {
	portableFold(3, dst, to, src, from, n)
}

func portableFoldWeights2of5(dst []float32, to int, src []float32, from, n int) {
	portableFold(5, dst, to, src, from, n)
}

func portableFold(taps int, dst []float32, to int, src []float32, from, n int) {
	for i := range n {
		u0, u1, u2, u3, u4, u5 := src[i], src[from+i], src[2*from+i], src[3*from+i], src[4*from+i], src[5*from+i]
		even, odd, half, two := (u1-u2)*(1./3), (u1+u2)*(1./3), u3*(-16./15), u4*(1./15)
		dst[i] = u0 + even + half + two
		for t := 1; t < taps; t++ {
			half, two, even, odd = half*.5, two*-2, odd, even
			v := even + half + two
			if t == taps-1 {
				v += u5
			}
			dst[t*to+i] = v
		}
	}
}
