package kernel

// Winograd is a Conv with kernel 3x3x3, no stride and no dilation, by minimal filtering (Winograd 1980; Lavin & Gray 2016): F(2,3) along each axis
// computes 2x2x2 outputs from 4x4x4 inputs by 64 products instead of 216. Inputs d, weights g and outputs of one axis go through
//
//	d0-d2, d1+d2, d2-d1, d1-d3
//	g0, (g0+g1+g2)/2, (g0-g1+g2)/2, g2
//	m0+m1+m2, m1-m2-m3
//
// and the products in between are sums over the input channels: 64 matrix products. All factors are 1 or 1/2, so that the error stays small: with
// 32 to 64 channels it was measured at three times that of the direct sum or less (TestWinogradError).
//
// A tile of outputs is a window of the pooling; without pooling it covers 2x2x2 outputs, and what lies beyond the end is left out.
type Winograd struct {
	*Conv
	tiles [3]int
	// Strides of a tile's corner in the input are 2; whether its 4x4x4 cells lie inside is known beforehand.
	inside []bool
}

// winogradPoints is the number of products for a tile.
const winogradPoints = 64

// WinogradFits tells whether a convolution has the shape that NewWinograd wants.
func WinogradFits(g Geometry, pool Window) bool {
	one, two, three := [3]int{1, 1, 1}, [3]int{2, 2, 2}, [3]int{3, 3, 3}
	if g.Kernel != three || g.Stride != one || g.Dilation != one {
		return false
	}
	return pool.Size == one && pool.Stride == one || pool.Size == two && pool.Stride == two
}

// NewWinograd prepares a convolution that WinogradFits.
func NewWinograd(c *Conv) *Winograd {
	w := &Winograd{Conv: c}
	for i := range 3 {
		w.tiles[i] = (c.Out[i] + 1) / 2
		if c.size > 1 {
			w.tiles[i] = c.Pool.Out[i]
		}
	}
	w.inside = make([]bool, volume(w.tiles))
	for t := range w.inside {
		z, y, x := w.corner(t)
		w.inside[t] = z >= 0 && y >= 0 && x >= 0 && z+4 <= c.In[0] && y+4 <= c.In[1] && x+4 <= c.In[2]
	}
	return w
}

// corner returns the first input cell of a sample's tile.
func (w *Winograd) corner(t int) (z, y, x int) {
	z, y, x = t/(w.tiles[1]*w.tiles[2]), t/w.tiles[2]%w.tiles[1], t%w.tiles[2]
	return 2*z - w.Pad[0], 2*y - w.Pad[1], 2*x - w.Pad[2]
}

// Tiles returns the number of tiles of a sample; a range of tiles is a task.
func (w *Winograd) Tiles() int { return volume(w.tiles) }

// TileBlock is how many tiles are transformed and multiplied at a time.
const TileBlock = 28

// TileScratchLen returns the length of the scratch memory that Forward needs.
func (w *Winograd) TileScratchLen() int {
	return winogradPoints*TileBlock*(w.InC+w.OutC) + max(winogradPoints*w.InC, 8*w.OutC) + w.OutC
}

// WeightLen returns the length of the transformed weights.
func (w *Winograd) WeightLen() int { return winogradPoints * w.InC * w.OutC }

// Weights transforms the rows of input channels [lo,hi) of weights [27,InC,OutC] to u [64,InC,OutC]; scratch is [36*OutC].
func (w *Winograd) Weights(u, weights []float32, lo, hi int, scratch []float32) {
	n, all := w.OutC, w.InC*w.OutC
	first := scratch[:36*n]
	for ci := lo; ci < hi; ci++ {
		row := weights[ci*n:]
		up := u[ci*n:]
		// Along the width 27 become 36, along the height 48, along the depth 64. The second lot goes to its place among the points of the depths 0,
		// 1 and 2, from where the third is made.
		for i := range 9 {
			filter(first[i*4*n:], n, row[i*3*all:], all, n)
		}
		for z := range 3 {
			for x := range 4 {
				filter(up[(z*16+x)*all:], 4*all, first[(z*12+x)*n:], 4*n, n)
			}
		}
		for yx := range 16 {
			filter(up[yx*all:], 16*all, up[yx*all:], 16*all, n)
		}
	}
}

// filter transforms three rows of n weights, from apart, to four, to apart. The first three of dst may be those of src.
func filter(dst []float32, to int, src []float32, from, n int) {
	g0, g1, g2 := src[:n], src[from:from+n], src[2*from:2*from+n]
	d0, d1, d2, d3 := dst[:n], dst[to:to+n], dst[2*to:2*to+n], dst[3*to:3*to+n]
	for i := range n {
		a, b, c := g0[i], g1[i], g2[i]
		d0[i], d1[i], d2[i], d3[i] = a, (a+c+b)/2, (a+c-b)/2, c
	}
}

// Forward is Conv.Forward for tiles [lo,hi), counted through all samples, with transformed weights u.
func (w *Winograd) Forward(dst []float32, arg []uint8, src, u, bias []float32, lo, hi int, scratch []float32) {
	in, out := w.InC, w.OutC
	v, scratch := scratch[:winogradPoints*TileBlock*in], scratch[winogradPoints*TileBlock*in:]
	m, scratch := scratch[:winogradPoints*TileBlock*out], scratch[winogradPoints*TileBlock*out:]
	if bias == nil {
		bias = scratch[len(scratch)-out:]
		clear(bias)
	}
	for ; lo < hi; lo += TileBlock {
		end := min(hi, lo+TileBlock)
		for t := lo; t < end; t++ {
			w.input(v[(t-lo)*in:], src, t, TileBlock*in, scratch)
		}
		for p := range winogradPoints {
			Gemm(end-lo, out, in, v[p*TileBlock*in:], in, 1, u[p*in*out:], out, m[p*TileBlock*out:], out, false)
		}
		for t := lo; t < end; t++ {
			loops.winogradOutput(scratch[:8*out], m[(t-lo)*out:], bias, TileBlock*out, out)
			w.output(dst, arg, scratch[:8*out], t)
		}
	}
}

// input transforms the cells of a tile, counted through all samples.
func (w *Winograd) input(v, src []float32, t, step int, scratch []float32) {
	c := w.InC
	sample, t := t/len(w.inside), t%len(w.inside)
	x := src[sample*w.InLen() : (sample+1)*w.InLen()]
	z0, y0, x0 := w.corner(t)
	if w.inside[t] {
		loops.winogradInput(v, x[w.index(z0, y0, x0):], w.In[1]*w.In[2]*c, w.In[2]*c, c, step, c)
		return
	}
	// Cells outside are zero, be they padding or beyond the last output.
	cells := scratch[:winogradPoints*c]
	clear(cells)
	for z := max(0, -z0); z < min(4, w.In[0]-z0); z++ {
		for y := max(0, -y0); y < min(4, w.In[1]-y0); y++ {
			first, last := max(0, -x0), min(4, w.In[2]-x0)
			if first < last {
				at := w.index(z0+z, y0+y, x0+first)
				copy(cells[((z*4+y)*4+first)*c:((z*4+y)*4+last)*c], x[at:])
			}
		}
	}
	loops.winogradInput(v, cells, 16*c, 4*c, c, step, c)
}

// output writes what a tile's 8 outputs give.
func (w *Winograd) output(dst []float32, arg []uint8, tile []float32, t int) {
	out := w.OutC
	if w.size > 1 {
		var at []uint8
		if arg != nil {
			at = arg[t*out : (t+1)*out]
		}
		loops.pool(dst[t*out:(t+1)*out], at, tile, w.places, w.ReLU)
		return
	}
	if w.ReLU {
		loops.rectify(tile)
	}
	sample, t := t/len(w.inside), t%len(w.inside)
	z0, y0, x0 := 2*(t/(w.tiles[1]*w.tiles[2])), 2*(t/w.tiles[2]%w.tiles[1]), 2*(t%w.tiles[2])
	for z := range min(2, w.Out[0]-z0) {
		for y := range min(2, w.Out[1]-y0) {
			at := sample*w.OutLen() + (((z0+z)*w.Out[1]+y0+y)*w.Out[2]+x0)*out
			copy(dst[at:at+min(2, w.Out[2]-x0)*out], tile[(z*2+y)*2*out:])
		}
	}
}

func portableWinogradInput(dst, src []float32, plane, row, cell, step, n int) {
	var d [winogradPoints]float32
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

func portableWinogradOutput(dst, src, bias []float32, step, n int) {
	var m [winogradPoints]float32
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
