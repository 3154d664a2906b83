package kernel

// A forward pass by minimal filtering can also be made in three stages over a group of tiles: StageInput transforms
// the inputs tile by tile, StageProducts makes the products point by point, StageOutput transforms these back tile
// by tile. With few tiles this reads the weights once, where Forward would read them for every range of tiles. The
// results are the same to the bit.

// GroupLen returns the lengths of the points of inputs and of outputs, their gradients or the products, for groups
// of some tiles.
func (w *Winograd) GroupLen(tiles int) (inputs, outputs int) {
	return w.points() * (tiles*w.rows() + pointSlack), w.points() * (tiles*w.OutC + pointSlack)
}

// StageParts returns into how many parts StageInput cuts a tile.
func (w *Winograd) StageParts() int { return len(w.inputs) }

// StageInput transforms a part of the inputs of tile t, counted through all samples, to the place at of v, for
// groups of some tiles.
func (w *Winograd) StageInput(v, src []float32, t, part, at, tiles int, scratch []float32) {
	first := part * w.step
	w.input(v[at*w.rows()+first*w.InC:], src, first, t, tiles*w.rows()+pointSlack, scratch)
}

// StageProducts sets m to the products of point p of the first n tiles in v, with transformed weights u, for groups
// of some tiles.
func (w *Winograd) StageProducts(m, v, u []float32, p, n, tiles int) {
	in, out, rows := w.InC, w.OutC, w.rows()
	v, m = v[p*(tiles*rows+pointSlack):], m[p*(tiles*out+pointSlack):]
	for i := range w.lots {
		l := &w.lots[i]
		adds := i > 0
		for _, r := range l.reached[w.infinite[p]] {
			first, k := (l.first+r.lo)*in, (r.hi-r.lo)*in
			gemmBefore(w.pointAfter(u, p, p*rows+first, k), n, out, k, v[first:], rows, 1, u[(p*rows+first)*out:], out, m, out, adds)
			adds = true
		}
	}
}

// StageOutput sets the outputs of tile t, counted through all samples, from the products at the place at of m, for
// groups of some tiles, and bias, which may be nil.
func (w *Winograd) StageOutput(dst []float32, arg []uint8, m, bias []float32, t, at, tiles int, scratch []float32) {
	bias, scratch = w.orZeros(bias, scratch)
	w.back(dst, arg, m[at*w.OutC:], bias, t, tiles*w.OutC+pointSlack, scratch)
	w.endStream()
}
