package kernel

// Winograd is a Conv with a cube as kernel and no dilation, by minimal filtering (Winograd 1980; Lavin & Gray
// 2016). Along each axis F(m,r) computes m outputs of r taps from m+r-1 inputs by as many products instead of m*r;
// see transforms. In three dimensions F(2,3) makes 2x2x2 outputs by 64 products instead of 216, F(4,3) 4x4x4 by 216
// instead of 1728, F(4,2) as many by 125 instead of 512, F(2,5) 2x2x2 by 216 instead of 1000. The products are sums
// over the input channels: matrix products, one for each point.
//
// With stride 2 the even and the odd taps of each axis are kernels of their own, which without stride meet the even
// and the odd inputs: eight phases, whose products are added up before they are transformed back. Kernel 5 has
// phases of 3 and of 2 taps, kernel 3 of 2 and of 1. The transforms are those of the phase with the most taps;
// where a phase has one tap less, the product at infinity is zero and left out, which makes it F(m,r-1). So kernel
// 5 takes 11 products for 4 outputs along each axis instead of 20, and kernel 3 9 instead of 12.
//
// With 16 to 64 channels the error of F(2,3) was measured at that of the direct sum, those of F(4,3) and F(4,2) at
// 2e-6 of the outputs' root mean square, that of F(2,5) below 5e-6 (TestWinogradError).
//
// A tile of outputs holds whole windows of the pooling; what lies beyond the end is left out.
type Winograd struct {
	*Conv
	outputs  int     // of a tile along one axis: 2 or 4
	taps     int     // of a phase along one axis, at most: 2, 3 or 5
	step     int     // stride along each axis
	block    int     // tiles that are multiplied at a time: as many as keep their points in the second-level cache
	held     int     // tiles of which all lots are multiplied before the next
	short    []uint8 // the axes, as bits, along which the last output of a sample's tile is beyond the end
	shorts   bool    // there are such tiles
	tiles    [3]int
	inputs   []*cubes // of the phases, those along the width together
	grads    *cubes   // of the outputs' gradients
	lots     []lot
	infinite []uint8 // the axes, as bits, along which a point lies at infinity
	// perAxis are the windows of a tile along one axis, places those of a window's positions in a tile's outputs.
	perAxis int
	places  []int
}

// lot is some consecutive phases, the products of which are made at a time.
type lot struct {
	first, count int
	// reached are the stretches of phases, counted from first, whose products are not zero at points that lie at
	// infinity along some axes.
	reached [8][]stretch
}

// lotChannels is how many input channels the phases of a lot have together, where they are so few: enough to make
// up for reading the sums again.
const lotChannels = 64

// A batch of samples of fewTiles is cut into few blocks, which keep threads busy unevenly. Smaller blocks read
// transformed weights more often, which is cheap for weights of lightBytes at most.
const fewTiles, lightBytes = 8, 4 << 20

// heldBytes is how large transformed weights may be to be read again for each block of tiles: larger ones do not
// stay in the last cache, so they are read for some blocks in a row.
const heldBytes = 16 << 20

// WinogradFits reports whether a convolution has the shape that NewWinograd wants.
func WinogradFits(g Geometry, pool Window) bool {
	one, two := [3]int{1, 1, 1}, [3]int{2, 2, 2}
	k := g.Kernel[0]
	if g.Kernel != [3]int{k, k, k} || g.Dilation != one {
		return false
	}
	switch g.Stride {
	case one:
		if k != 2 && k != 3 && k != 5 {
			return false
		}
	case two:
		if k < 3 || k > 6 {
			return false
		}
	default:
		return false
	}
	return pool.Size == one && pool.Stride == one || pool.Size == two && pool.Stride == two
}

// WinogradOutputs returns how many outputs a side the largest tile has of a convolution that WinogradFits.
func WinogradOutputs(g Geometry) int {
	if winogradTaps(g) == 5 {
		return 2
	}
	return 4
}

// winogradTaps is the number of taps along each axis of the largest phase.
func winogradTaps(g Geometry) int { return phaseTaps(g, 0) }

// phaseTaps is the number of taps of the i-th phase of an axis.
func phaseTaps(g Geometry, i int) int { return (g.Kernel[0] - i + g.Stride[0] - 1) / g.Stride[0] }

// WinogradTiles returns how many tiles of m outputs a side cover a convolution that WinogradFits, and how many
// products each takes.
func WinogradTiles(g Geometry, pool Window, m int) (tiles, products int) {
	for i := range g.Stride[0] {
		products += m + phaseTaps(g, i) - 1
	}
	return volume(winogradTiles(g, pool, m)), products * products * products
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

// NewWinograd prepares a convolution that WinogradFits for tiles of m outputs a side: WinogradOutputs, or 2 where
// phases have 3 taps.
func NewWinograd(c *Conv, m int) *Winograd {
	w := &Winograd{Conv: c, outputs: m, taps: winogradTaps(c.Geometry), step: c.Stride[0], block: 28}
	if w.step > 1 {
		w.block = 16
	}
	w.tiles, w.perAxis = winogradTiles(c.Geometry, c.Pool, m), m/c.Pool.Size[0]
	if w.Tiles() < fewTiles && 4*w.WeightLen() <= lightBytes {
		w.block = 14
	}
	side := w.side()
	for off := range c.size {
		z, y, x := off/4, off/2%2, off%2
		w.places = append(w.places, ((z*m+y)*m+x)*c.OutC)
	}
	for f := 0; f < w.phases(); f += w.step {
		first := w.phase(f)
		w.inputs = append(w.inputs, newCubes(c.In, c.InC, side, w.step, w.Tiles(), func(t int) [3]int {
			corner := first
			z, y, x := w.place(t)
			for a, at := range [3]int{z, y, x} {
				corner[a] += at*m*w.step - c.Pad[a]
			}
			return corner
		}))
	}
	w.grads = newCubes(c.Out, c.OutC, m, 1, w.Tiles(), func(t int) [3]int {
		z, y, x := w.place(t)
		return [3]int{z * m, y * m, x * m}
	})
	for t := range w.Tiles() {
		axes := uint8(0)
		z, y, x := w.place(t)
		for a, at := range [3]int{z, y, x} {
			if (at+1)*m > c.Out[a] {
				axes |= 1 << a
			}
		}
		w.short = append(w.short, axes)
		w.shorts = w.shorts || axes != 0
	}
	for p := range w.points() {
		axes := uint8(0)
		for a, at := range [3]int{p / (side * side), p / side % side, p % side} {
			if at == side-1 {
				axes |= 1 << a
			}
		}
		w.infinite = append(w.infinite, axes)
	}
	w.cutLots()
	w.held = w.block
	if 4*w.WeightLen() > heldBytes {
		w.held = 4 * w.block
	}
	return w
}

// cutLots makes lots of the phases.
func (w *Winograd) cutLots() {
	count := max(w.step, min(w.phases(), lotChannels/w.InC))
	for count&(count-1) != 0 {
		count-- // so that lots are of one size
	}
	for first := 0; first < w.phases(); first += count {
		l := lot{first: first, count: count}
		for axes := range l.reached {
			for f := range count {
				zero := false
				for a, i := range w.phase(first + f) {
					zero = zero || axes>>a&1 == 1 && phaseTaps(w.Geometry, i) < w.taps
				}
				if zero {
					continue
				}
				if last := len(l.reached[axes]) - 1; last >= 0 && l.reached[axes][last].hi == f {
					l.reached[axes][last].hi++
				} else {
					l.reached[axes] = append(l.reached[axes], stretch{f, f + 1})
				}
			}
		}
		w.lots = append(w.lots, l)
	}
}

// phases is the number of phases.
func (w *Winograd) phases() int { return w.step * w.step * w.step }

// phase returns which phase along each axis the f-th is, which is its first tap.
func (w *Winograd) phase(f int) [3]int {
	return [3]int{f / (w.step * w.step), f / w.step % w.step, f % w.step}
}

// side is the length of a tile's inputs and of its points along one axis.
func (w *Winograd) side() int { return w.outputs + w.taps - 1 }

// points is the number of products for a tile and a phase.
func (w *Winograd) points() int { return w.side() * w.side() * w.side() }

// cells is the number of outputs of a tile.
func (w *Winograd) cells() int { return w.outputs * w.outputs * w.outputs }

// transforms returns those of the tier in use.
func (w *Winograd) transforms() *transforms {
	switch {
	case w.taps == 5:
		return &loops.winograd2of5
	case w.taps == 2:
		return &loops.winograd4of2
	case w.outputs == 2:
		return &loops.winograd2
	}
	return &loops.winograd4
}

// place returns the position of a sample's tile among its tiles.
func (w *Winograd) place(t int) (z, y, x int) {
	return t / (w.tiles[1] * w.tiles[2]), t / w.tiles[2] % w.tiles[1], t % w.tiles[2]
}

// Tiles returns the number of tiles of a sample; a range of tiles is a task.
func (w *Winograd) Tiles() int { return volume(w.tiles) }

// TileBlock returns of how many tiles a range is best a multiple.
func (w *Winograd) TileBlock() int {
	if w.shorts {
		return (mostSorted/2 + w.held - 1) / w.held * w.held
	}
	return w.held
}

// TileScratchLen returns the length of the scratch memory that Forward needs.
func (w *Winograd) TileScratchLen() int {
	points := w.points()
	return points*(w.block*w.lots[0].count*w.InC+w.held*w.OutC+2*pointSlack) + w.inputs[0].scratchLen(points) + w.cells()*w.OutC + w.OutC
}

// laneSlack is the most channels that a tier transforms at a time.
const laneSlack = 16

// pointSlack keeps the points of tiles, which many channels would put a power of two apart, from falling on few
// lines of the cache.
const pointSlack = 16

// rows is the number of rows of a point's weights: the input channels of all phases.
func (w *Winograd) rows() int { return w.phases() * w.InC }

// WeightLen returns the length of the transformed weights.
func (w *Winograd) WeightLen() int { return w.points() * w.rows() * w.OutC }

// WeightScratchLen returns the length of the scratch memory that Weights and Fold need.
func (w *Winograd) WeightScratchLen() int { return w.taps * w.taps * (w.side() + w.taps) * w.OutC }

// Weights transforms the rows of input channels [lo,hi) of weights [Kernel,InC,OutC] to u [points,phases,InC,OutC].
func (w *Winograd) Weights(u, weights []float32, lo, hi int, scratch []float32) {
	n, all, side, taps, filter := w.OutC, w.rows()*w.OutC, w.side(), w.taps, w.transforms().weights
	lines := scratch[:taps*taps*side*n]
	for f := range w.phases() {
		for ci := lo; ci < hi; ci++ {
			row, apart := weights[ci*n:], w.InC*n
			if w.step > 1 {
				row, apart = scratch[len(lines):], n
				w.takePhase(row, weights[ci*n:], f)
			}
			up := u[(f*w.InC+ci)*n:]
			// Along the width, along the height, along the depth. The second lot goes to its place among the points
			// of the first depths, from where the third is made.
			for i := range taps * taps {
				filter(lines[i*side*n:], n, row[i*taps*apart:], apart, n)
			}
			for z := range taps {
				for x := range side {
					filter(up[(z*side*side+x)*all:], side*all, lines[(z*taps*side+x)*n:], side*n, n)
				}
			}
			for yx := range side * side {
				filter(up[yx*all:], side*side*all, up[yx*all:], side*side*all, n)
			}
		}
	}
}

// takePhase copies the weights of a phase's taps, of one input channel, to dst [taps,OutC]; where the kernel ends
// they are zero.
func (w *Winograd) takePhase(dst, weights []float32, f int) {
	n := w.OutC
	w.eachTap(f, func(tap, of int) {
		to := dst[tap*n : (tap+1)*n]
		if of < 0 {
			clear(to)
		} else {
			copy(to, weights[of*w.InC*n:])
		}
	})
}

// eachTap calls g for each tap of a phase with that of the kernel that it is, or -1 where there is none.
func (w *Winograd) eachTap(f int, g func(tap, of int)) {
	first, k := w.phase(f), w.Kernel[0]
	for tap := range w.taps * w.taps * w.taps {
		of := 0
		for a, i := range [3]int{tap / (w.taps * w.taps), tap / w.taps % w.taps, tap % w.taps} {
			at := first[a] + i*w.step
			if at >= k {
				of = -1
				break
			}
			of = of*k + at
		}
		g(tap, of)
	}
}

// Forward is Conv.Forward for tiles [lo,hi), counted through all samples, with transformed weights u.
func (w *Winograd) Forward(dst []float32, arg []uint8, src, u, bias []float32, lo, hi int, scratch []float32) {
	out, points, apart := w.OutC, w.points(), w.held*w.OutC+pointSlack
	m, scratch := scratch[:points*apart], scratch[points*apart:]
	bias, scratch = w.orZeros(bias, scratch)
	var order [mostSorted]int32
	for lo < hi {
		n := min(hi-lo, mostSorted)
		w.sort(order[:n], lo)
		for at := 0; at < n; at += w.held {
			tiles := order[at:min(n, at+w.held)]
			for i := range w.lots {
				for first := 0; first < len(tiles); first += w.block {
					w.products(m[first*out:], src, u, &w.lots[i], tiles[first:min(len(tiles), first+w.block)], scratch)
				}
			}
			for i, t := range tiles {
				w.back(dst, arg, m[i*out:], bias, int(t), apart, scratch)
			}
		}
		lo += n
	}
	w.endStream()
}

// orZeros returns bias or, where there is none, zeros of scratch memory, and the rest of that.
func (w *Winograd) orZeros(bias, scratch []float32) (some, rest []float32) {
	if bias == nil {
		bias, scratch = scratch[:w.OutC], scratch[w.OutC:]
		clear(bias)
	}
	return bias, scratch
}

// back sets the outputs of tile t, counted through all samples, from its products m, points apart, and bias.
func (w *Winograd) back(dst []float32, arg []uint8, m, bias []float32, t, apart int, scratch []float32) {
	n := w.cells() * w.OutC
	w.transforms().output(scratch[:n], m, bias, scratch[n:], apart, w.OutC)
	w.output(dst, arg, scratch[:n], t)
}

// mostSorted is how many tiles are sorted at a time: enough to fill blocks with those that lack the last output
// along the same axes.
const mostSorted = 112

// sort sets order to the tiles from first on, counted through all samples, so that those that lack the last output
// along the same axes follow each other.
func (w *Winograd) sort(order []int32, first int) {
	n := 0
	for axes := range uint8(8) {
		for t := first; t < first+len(order); t++ {
			if w.short[t%len(w.short)] == axes {
				order[n] = int32(t)
				n++
			}
		}
		if n == len(order) {
			return
		}
	}
}

// eachNeeded calls f for the stretches of tiles whose outputs depend on point p: that at infinity gives nothing but
// the last output along its axis.
func (w *Winograd) eachNeeded(tiles []int32, p int, f func(lo, hi int)) {
	axes := w.infinite[p]
	if !w.shorts || axes == 0 {
		f(0, len(tiles))
		return
	}
	lo := 0
	for i, t := range tiles {
		if w.short[int(t)%len(w.short)]&axes != 0 {
			if lo < i {
				f(lo, i)
			}
			lo = i + 1
		}
	}
	if lo < len(tiles) {
		f(lo, len(tiles))
	}
}

// products sets m [points,group,OutC] to the products of a lot of phases of some tiles, or adds them where it is
// not the first.
func (w *Winograd) products(m, src, u []float32, l *lot, tiles []int32, scratch []float32) {
	in, out, points, rows := w.InC, w.OutC, w.points(), w.rows()
	width, step := l.count*in, w.block*l.count*in+pointSlack
	v, scratch := scratch[:points*step], scratch[points*step:]
	for i, t := range tiles {
		for f := 0; f < l.count; f += w.step {
			w.input(v[i*width+f*in:], src, l.first+f, int(t), step, scratch)
		}
	}
	for p := range points {
		v, m := v[p*step:(p+1)*step], m[p*(w.held*out+pointSlack):]
		w.eachNeeded(tiles, p, func(lo, hi int) {
			adds := l.first > 0
			for _, r := range l.reached[w.infinite[p]] {
				first, k := p*rows+(l.first+r.lo)*in, (r.hi-r.lo)*in
				gemmBefore(w.pointAfter(u, p, first, k), hi-lo, out, k, v[lo*width+r.lo*in:], width, 1,
					u[first*out:], out, m[lo*out:], out, adds)
				adds = true
			}
		})
	}
}

// pointAfter returns the rows of transformed weights u that point p+1 has in the place of rows [first,first+n) of
// point p; none where it is the last.
func (w *Winograd) pointAfter(u []float32, p, first, n int) []float32 {
	if p+1 == w.points() {
		return nil
	}
	at := (first + w.rows()) * w.OutC
	return u[at : at+n*w.OutC]
}

// input transforms the cells of phase f of a tile, counted through all samples, and of the phases beside it along
// the width.
func (w *Winograd) input(v, src []float32, f, t, step int, scratch []float32) {
	sample, t := t/w.Tiles(), t%w.Tiles()
	w.inputs[f/w.step].transform(w.transforms().input, v, src[sample*w.InLen():(sample+1)*w.InLen()], t, step,
		w.points(), scratch)
}

// output writes what a tile's outputs give.
func (w *Winograd) output(dst []float32, arg []uint8, tile []float32, t int) {
	sample, t := t/w.Tiles(), t%w.Tiles()
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
				w.write(whole[at:at+n], from, n, 0)
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
