package kernel

// The gradient of the weights by minimal filtering is made in two steps over a group of tiles, so that the sums of
// each point have one place whatever the number of threads: GradPoints transforms inputs and gradients tile by
// tile, GradProducts adds their products point by point. After the last group Fold makes weights of the sums.

// GradScratchLen returns the length of the scratch memory that GradPoints needs.
func (w *Winograd) GradScratchLen() int {
	return max(w.inputs[0].scratchLen(w.points()), w.grads.scratchLen(w.points()))
}

// GradPoints transforms the inputs and the outputs' gradients of tile t, counted through all samples, to the place
// at of v and d, for groups of some tiles.
func (w *Winograd) GradPoints(v, d, src, grad []float32, t, at, tiles int, scratch []float32) {
	out := w.OutC
	for part := range w.StageParts() {
		w.StageInput(v, src, t, part, at, tiles, scratch)
	}
	sample, t := t/w.Tiles(), t%w.Tiles()
	w.grads.transform(w.transforms().spread, d[at*out:], grad[sample*w.OutLen():(sample+1)*w.OutLen()], t,
		tiles*out+pointSlack, w.points(), scratch)
}

// Points returns the number of points of a tile, each of which is a task of GradProducts.
func (w *Winograd) Points() int { return w.points() }

// GradProducts adds to the sums of point p in u [points,phases,InC,OutC] the products of the first n tiles in v and
// d, for groups of some tiles.
func (w *Winograd) GradProducts(u, v, d []float32, p, n, tiles int) {
	in, out, rows := w.InC, w.OutC, w.rows()
	v, d, u = v[p*(tiles*rows+pointSlack):], d[p*(tiles*out+pointSlack):], u[p*rows*out:(p+1)*rows*out]
	for i := range w.lots {
		for _, r := range w.lots[i].reached[w.infinite[p]] {
			first := (w.lots[i].first + r.lo) * in
			Gemm((r.hi-r.lo)*in, out, n, v[first:], 1, rows, d, out, u[first*out:], out, true)
		}
	}
}

// Fold adds what the sums u give for the weights of input channels [lo,hi) to dw [Kernel,InC,OutC]. It changes u.
func (w *Winograd) Fold(dw, u []float32, lo, hi int, scratch []float32) {
	n, all, side, taps, fold := w.OutC, w.rows()*w.OutC, w.side(), w.taps, w.transforms().fold
	weights := scratch[:taps*taps*taps*n]
	for f := range w.phases() {
		for ci := lo; ci < hi; ci++ {
			up := u[(f*w.InC+ci)*n:]
			for yx := range side * side {
				fold(up[yx*all:], side*side*all, up[yx*all:], side*side*all, n)
			}
			for z := range taps {
				for x := range side {
					at := up[(z*side*side+x)*all:]
					fold(at, side*all, at, side*all, n)
				}
				for y := range taps {
					fold(weights[(z*taps+y)*taps*n:], n, up[(z*side+y)*side*all:], all, n)
				}
			}
			w.eachTap(f, func(tap, of int) {
				if of >= 0 {
					to := (of*w.InC + ci) * n
					loops.add(weights[tap*n:(tap+1)*n], dw[to:to+n])
				}
			})
		}
	}
}
