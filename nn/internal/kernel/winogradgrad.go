package kernel

// The gradient of the weights by minimal filtering is made in two steps over a group of tiles, so that the sums of each point have one place whatever the
// number of threads: GradPoints transforms inputs and gradients tile by tile, GradProducts adds their products point by point. After the last group
// Fold makes weights of the sums.

// HasGrad tells whether there are transforms for the gradient of the weights.
func (w *Winograd) HasGrad() bool { return w.side() == 6 && w.size == 1 }

// gradSlack keeps the points of a group, which many tiles would put a power of two apart, from falling on few lines of the cache.
const gradSlack = 16

// GradLen returns the lengths of the points of inputs and of gradients, for groups of some tiles.
func (w *Winograd) GradLen(tiles int) (inputs, gradients int) {
	return w.points() * (tiles*w.InC + gradSlack), w.points() * (tiles*w.OutC + gradSlack)
}

// GradScratchLen returns the length of the scratch memory that GradPoints needs.
func (w *Winograd) GradScratchLen() int { return w.points() * (max(w.InC, w.OutC) + laneSlack) }

// GradPoints transforms the inputs and the outputs' gradients of tile t, counted through all samples, to the place at of v and d, for groups of some tiles.
func (w *Winograd) GradPoints(v, d, src, grad []float32, t, at, tiles int, scratch []float32) {
	w.input(v[at*w.InC:], src, t, tiles*w.InC+gradSlack, scratch)
	sample, t := t/len(w.inside), t%len(w.inside)
	z, y, x := w.place(t)
	m := w.outputs
	outputs := cube{dims: w.Out, channels: w.OutC, corner: [3]int{z * m, y * m, x * m}, side: m}
	outputs.inside = (z+1)*m <= w.Out[0] && (y+1)*m <= w.Out[1] && (x+1)*m <= w.Out[2]
	outputs.transform(w.transforms().spread, d[at*w.OutC:], grad[sample*w.OutLen():(sample+1)*w.OutLen()], tiles*w.OutC+gradSlack, w.points(), scratch)
}

// Points returns the number of points of a tile, each of which is a task of GradProducts.
func (w *Winograd) Points() int { return w.points() }

// GradProducts adds to the sums of point p in u [points,InC,OutC] the products of the first n tiles in v and d, for groups of some tiles.
func (w *Winograd) GradProducts(u, v, d []float32, p, n, tiles int) {
	in, out := w.InC, w.OutC
	Gemm(in, out, n, v[p*(tiles*in+gradSlack):], 1, in, d[p*(tiles*out+gradSlack):], out, u[p*in*out:(p+1)*in*out], out, true)
}

// Fold adds what the sums u give for the weights of input channels [lo,hi) to dw [taps,InC,OutC]. It changes u.
func (w *Winograd) Fold(dw, u []float32, lo, hi int, scratch []float32) {
	n, all, side, taps, fold := w.OutC, w.InC*w.OutC, w.side(), w.taps, w.transforms().fold
	line := scratch[:taps*n]
	for ci := lo; ci < hi; ci++ {
		up, row := u[ci*n:], dw[ci*n:]
		for yx := range side * side {
			fold(up[yx*all:], side*side*all, up[yx*all:], side*side*all, n)
		}
		for z := range taps {
			for x := range side {
				at := up[(z*side*side+x)*all:]
				fold(at, side*all, at, side*all, n)
			}
			for y := range taps {
				fold(line, n, up[(z*side+y)*side*all:], all, n)
				for x := range taps {
					to := ((z*taps+y)*taps + x) * all
					loops.add(line[x*n:(x+1)*n], row[to:to+n])
				}
			}
		}
	}
}
