package kernel

// Winograd is a Conv with kernel 3x3x3 or 5x5x5, no stride and no dilation, by minimal filtering (Winograd 1980; Lavin & Gray 2016). Along each axis F(m,r)
// computes m outputs of r taps from m+r-1 inputs by as many products instead of m*r; see transforms. In three dimensions F(2,3) makes 2x2x2 outputs
// by 64 products instead of 216, F(4,3) 4x4x4 by 216 instead of 1728, F(2,5) 2x2x2 by 216 instead of 1000. The products are sums over the input channels:
// matrix products, one for each point.
//
// With 16 to 64 channels the error of F(2,3) was measured at that of the direct sum, that of F(4,3) at 2e-6 of the outputs' root mean square, that of F(2,5)
// below 5e-6 (TestWinogradError).
//
// A tile of outputs holds whole windows of the pooling; what lies beyond the end is left out.
type Winograd struct {
	*Conv
	outputs int // of a tile along one axis: 2 or 4
	taps    int // along one axis: 3 or 5
	block   int // tiles that are multiplied at a time: as many as keep their points in the second-level cache
	tiles   [3]int
	// inside tells of each tile of a sample whether all inputs that it reads exist.
	inside []bool
	// windows are the windows of a tile along one axis, places those of a window's positions in a tile's outputs.
	perAxis int
	places  []int
}

// WinogradFits tells whether a convolution has the shape that NewWinograd wants.
func WinogradFits(g Geometry, pool Window) bool {
	one, two, three, five := [3]int{1, 1, 1}, [3]int{2, 2, 2}, [3]int{3, 3, 3}, [3]int{5, 5, 5}
	if g.Kernel != three && g.Kernel != five || g.Stride != one || g.Dilation != one {
		return false
	}
	return pool.Size == one && pool.Stride == one || pool.Size == two && pool.Stride == two
}

// WinogradTiles returns how many tiles of m outputs a side cover a convolution that WinogradFits, and how many products each takes.
func WinogradTiles(g Geometry, pool Window, m int) (tiles, products int) {
	side := m + g.Kernel[0] - 1
	return volume(winogradTiles(g, pool, m)), side * side * side
}

func winogradTiles(g Geometry, pool Window, m int) (tiles [3]int) {
	for i := range tiles {
		outputs := g.Out[i]
		if pool.Size[i] > 1 {
			outputs = pool.Size[i] * pool.Out[i]
		}
		tiles[i] = (outputs + m - 1) / m
	}
	return tiles
}

// NewWinograd prepares a convolution that WinogradFits for tiles of m outputs a side: 2, or 4 where the kernel is 3x3x3.
func NewWinograd(c *Conv, m int) *Winograd {
	w := &Winograd{Conv: c, outputs: m, taps: c.Kernel[0], block: 28, tiles: winogradTiles(c.Geometry, c.Pool, m), perAxis: m / c.Pool.Size[0]}
	if w.side() == 6 {
		w.block = 14
	}
	for off := range c.size {
		z, y, x := off/4, off/2%2, off%2
		w.places = append(w.places, ((z*m+y)*m+x)*c.OutC)
	}
	w.inside = make([]bool, volume(w.tiles))
	side := w.side()
	for t := range w.inside {
		z, y, x := w.corner(t)
		w.inside[t] = z >= 0 && y >= 0 && x >= 0 && z+side <= c.In[0] && y+side <= c.In[1] && x+side <= c.In[2]
	}
	return w
}

// side is the length of a tile's inputs and of its points along one axis.
func (w *Winograd) side() int { return w.outputs + w.taps - 1 }

// points is the number of products for a tile.
func (w *Winograd) points() int { return w.side() * w.side() * w.side() }

// cells is the number of outputs of a tile.
func (w *Winograd) cells() int { return w.outputs * w.outputs * w.outputs }

// transforms returns those of the tier in use.
func (w *Winograd) transforms() *transforms {
	switch {
	case w.taps == 5:
		return &loops.winograd2of5
	case w.outputs == 2:
		return &loops.winograd2
	}
	return &loops.winograd4
}

// place returns the position of a sample's tile among its tiles.
func (w *Winograd) place(t int) (z, y, x int) {
	return t / (w.tiles[1] * w.tiles[2]), t / w.tiles[2] % w.tiles[1], t % w.tiles[2]
}

// corner returns the first input cell of a sample's tile.
func (w *Winograd) corner(t int) (z, y, x int) {
	z, y, x = w.place(t)
	return z*w.outputs - w.Pad[0], y*w.outputs - w.Pad[1], x*w.outputs - w.Pad[2]
}

// Tiles returns the number of tiles of a sample; a range of tiles is a task.
func (w *Winograd) Tiles() int { return volume(w.tiles) }

// TileBlock returns how many tiles are transformed and multiplied at a time.
func (w *Winograd) TileBlock() int { return w.block }

// TileScratchLen returns the length of the scratch memory that Forward needs.
func (w *Winograd) TileScratchLen() int {
	points := w.points()
	return points*w.block*(w.InC+w.OutC) + points*(w.InC+laneSlack) + w.cells()*w.OutC + w.OutC
}

// laneSlack is the most channels that a tier transforms at a time.
const laneSlack = 16

// WeightLen returns the length of the transformed weights.
func (w *Winograd) WeightLen() int { return w.points() * w.InC * w.OutC }

// WeightScratchLen returns the length of the scratch memory that Weights and Fold need.
func (w *Winograd) WeightScratchLen() int { return w.taps * w.taps * w.side() * w.OutC }

// Weights transforms the rows of input channels [lo,hi) of weights [taps,InC,OutC] to u [points,InC,OutC].
func (w *Winograd) Weights(u, weights []float32, lo, hi int, scratch []float32) {
	n, all, side, taps, filter := w.OutC, w.InC*w.OutC, w.side(), w.taps, w.transforms().weights
	for ci := lo; ci < hi; ci++ {
		row, up := weights[ci*n:], u[ci*n:]
		// Along the width, along the height, along the depth. The second lot goes to its place among the points of the first depths, from where the
		// third is made.
		for i := range taps * taps {
			filter(scratch[i*side*n:], n, row[i*taps*all:], all, n)
		}
		for z := range taps {
			for x := range side {
				filter(up[(z*side*side+x)*all:], side*all, scratch[(z*taps*side+x)*n:], side*n, n)
			}
		}
		for yx := range side * side {
			filter(up[yx*all:], side*side*all, up[yx*all:], side*side*all, n)
		}
	}
}

// Forward is Conv.Forward for tiles [lo,hi), counted through all samples, with transformed weights u.
func (w *Winograd) Forward(dst []float32, arg []uint8, src, u, bias []float32, lo, hi int, scratch []float32) {
	in, out, points, block := w.InC, w.OutC, w.points(), w.block
	v, scratch := scratch[:points*block*in], scratch[points*block*in:]
	m, scratch := scratch[:points*block*out], scratch[points*block*out:]
	tile, scratch := scratch[:w.cells()*out], scratch[w.cells()*out:]
	if bias == nil {
		bias, scratch = scratch[:out], scratch[out:]
		clear(bias)
	}
	for ; lo < hi; lo += block {
		end := min(hi, lo+block)
		for t := lo; t < end; t++ {
			w.input(v[(t-lo)*in:], src, t, block*in, scratch)
		}
		for p := range points {
			Gemm(end-lo, out, in, v[p*block*in:], in, 1, u[p*in*out:], out, m[p*block*out:], out, false)
		}
		for t := lo; t < end; t++ {
			w.transforms().output(tile, m[(t-lo)*out:], bias, scratch, block*out, out)
			w.output(dst, arg, tile, t)
		}
	}
}

// input transforms the cells of a tile, counted through all samples.
func (w *Winograd) input(v, src []float32, t, step int, scratch []float32) {
	sample, t := t/len(w.inside), t%len(w.inside)
	z, y, x := w.corner(t)
	cube := cube{dims: w.In, channels: w.InC, corner: [3]int{z, y, x}, side: w.side(), inside: w.inside[t]}
	cube.transform(w.transforms().input, v, src[sample*w.InLen():(sample+1)*w.InLen()], step, w.points(), scratch)
}

// cube is a cube of cells of a sample, some of which may not exist.
type cube struct {
	dims     [3]int // of the sample
	channels int
	corner   [3]int // of the cube's first cell
	side     int
	inside   bool // all cells exist
}

// transform calls f for the cells of x; cells that do not exist are zero, be they padding or beyond the last output.
func (k *cube) transform(f func(dst, src, scratch []float32, plane, row, cell, step, n int), v, x []float32, step, points int, scratch []float32) {
	c, side, dims := k.channels, k.side, k.dims
	z0, y0, x0 := k.corner[0], k.corner[1], k.corner[2]
	lines, scratch := scratch[:points*laneSlack], scratch[points*laneSlack:]
	index := func(z, y, x int) int { return ((z*dims[1]+y)*dims[2] + x) * c }
	if k.inside {
		f(v, x[index(z0, y0, x0):], lines, dims[1]*dims[2]*c, dims[2]*c, c, step, c)
		return
	}
	cells := scratch[:side*side*side*c]
	clear(cells)
	for z := max(0, -z0); z < min(side, dims[0]-z0); z++ {
		for y := max(0, -y0); y < min(side, dims[1]-y0); y++ {
			first, last := max(0, -x0), min(side, dims[2]-x0)
			if first < last {
				at := index(z0+z, y0+y, x0+first)
				copy(cells[((z*side+y)*side+first)*c:((z*side+y)*side+last)*c], x[at:])
			}
		}
	}
	f(v, cells, lines, side*side*c, side*c, c, step, c)
}

// output writes what a tile's outputs give.
func (w *Winograd) output(dst []float32, arg []uint8, tile []float32, t int) {
	sample, t := t/len(w.inside), t%len(w.inside)
	z0, y0, x0 := w.place(t)
	if w.size > 1 {
		w.pool(dst, arg, tile, sample, [3]int{z0 * w.perAxis, y0 * w.perAxis, x0 * w.perAxis})
		return
	}
	if w.ReLU {
		loops.rectify(tile)
	}
	out, m := w.OutC, w.outputs
	z0, y0, x0 = z0*m, y0*m, x0*m
	whole := dst[sample*w.OutLen() : (sample+1)*w.OutLen()]
	for z := range min(m, w.Out[0]-z0) {
		for y := range min(m, w.Out[1]-y0) {
			at := (((z0+z)*w.Out[1]+y0+y)*w.Out[2] + x0) * out
			n := min(m, w.Out[2]-x0) * out
			from := tile[(z*m+y)*m*out:][:n]
			if w.Accumulate {
				loops.add(from, whole[at:at+n])
			} else {
				copy(whole[at:at+n], from)
			}
		}
	}
}

// pool takes the maximum over each window of a tile, the first of which is at first.
func (w *Winograd) pool(dst []float32, arg []uint8, tile []float32, sample int, first [3]int) {
	out, m, windows := w.OutC, w.outputs, w.Pool.Out
	for z := range min(w.perAxis, windows[0]-first[0]) {
		for y := range min(w.perAxis, windows[1]-first[1]) {
			for x := range min(w.perAxis, windows[2]-first[2]) {
				to := (((sample*windows[0]+first[0]+z)*windows[1]+first[1]+y)*windows[2] + first[2] + x) * out
				var at []uint8
				if arg != nil {
					at = arg[to : to+out]
				}
				loops.pool(dst[to:to+out], at, tile[((z*m+y)*m+x)*2*out:], w.places, w.ReLU)
			}
		}
	}
}
