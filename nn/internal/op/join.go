package op

import "github.com/voxelstream/voxelstream/nn/internal/ir"

// Copy gives the elements on as they are: a change of shape alone.
type Copy struct{}

// Forward computes Y.
func (c *Copy) Forward(e *ir.Env[float32]) { copy(e.Y, e.X[0]) }

// Backward adds to DX.
func (c *Copy) Backward(e *ir.Env[float32]) { add(e.DX[0], e.DY) }

// Forward64 is Forward in float64.
func (c *Copy) Forward64(e *ir.Env[float64]) { copy(e.Y, e.X[0]) }

// Backward64 is Backward in float64.
func (c *Copy) Backward64(e *ir.Env[float64]) { add(e.DX[0], e.DY) }

func add[T ir.Float](dst, src []T) {
	for i := range dst {
		dst[i] += src[i]
	}
}

// Add is the sum of its inputs, element by element.
type Add struct{}

// Forward computes Y.
func (a *Add) Forward(e *ir.Env[float32]) { addForward(e) }

// Backward adds to DX.
func (a *Add) Backward(e *ir.Env[float32]) { addBackward(e) }

// Forward64 is Forward in float64.
func (a *Add) Forward64(e *ir.Env[float64]) { addForward(e) }

// Backward64 is Backward in float64.
func (a *Add) Backward64(e *ir.Env[float64]) { addBackward(e) }

func addForward[T ir.Float](e *ir.Env[T]) {
	copy(e.Y, e.X[0])
	for _, x := range e.X[1:] {
		add(e.Y, x)
	}
}

func addBackward[T ir.Float](e *ir.Env[T]) {
	for _, dx := range e.DX {
		add(dx, e.DY)
	}
}

// Concat joins its inputs along the last axis; Widths are their lengths there.
type Concat struct{ Widths []int }

// Forward computes Y.
func (c *Concat) Forward(e *ir.Env[float32]) { concatForward(c, e) }

// Backward adds to DX.
func (c *Concat) Backward(e *ir.Env[float32]) { concatBackward(c, e) }

// Forward64 is Forward in float64.
func (c *Concat) Forward64(e *ir.Env[float64]) { concatForward(c, e) }

// Backward64 is Backward in float64.
func (c *Concat) Backward64(e *ir.Env[float64]) { concatBackward(c, e) }

// each calls f with every stretch of an input: input number, offset there, offset in the output, length.
func (c *Concat) each(out int, f func(input, from, to, length int)) {
	to := 0
	for row := 0; to < out; row++ {
		for i, w := range c.Widths {
			f(i, row*w, to, w)
			to += w
		}
	}
}

func concatForward[T ir.Float](c *Concat, e *ir.Env[T]) {
	c.each(len(e.Y), func(i, from, to, n int) { copy(e.Y[to:to+n], e.X[i][from:from+n]) })
}

func concatBackward[T ir.Float](c *Concat, e *ir.Env[T]) {
	c.each(len(e.DY), func(i, from, to, n int) {
		if e.DX[i] != nil {
			add(e.DX[i][from:from+n], e.DY[to:to+n])
		}
	})
}

// GlobalPool reduces all positions of X [Cells,C] to Y [C]: their mean, or their maximum, whose gradient equal
// positions share evenly, as in Keras.
type GlobalPool struct {
	Cells, C int
	Average  bool

	all *Pool // one window over all positions
}

// Forward computes Y.
func (g *GlobalPool) Forward(e *ir.Env[float32]) { globalForward(g, e) }

// Backward adds to DX.
func (g *GlobalPool) Backward(e *ir.Env[float32]) { globalBackward(g, e) }

// Forward64 is Forward in float64.
func (g *GlobalPool) Forward64(e *ir.Env[float64]) { globalForward(g, e) }

// Backward64 is Backward in float64.
func (g *GlobalPool) Backward64(e *ir.Env[float64]) { globalBackward(g, e) }

func (g *GlobalPool) pool() *Pool {
	if g.all == nil {
		g.all = &Pool{
			In: [3]int{1, 1, g.Cells}, Out: [3]int{1, 1, 1}, Size: [3]int{1, 1, g.Cells},
			Stride: [3]int{1, 1, 1}, C: g.C, Average: g.Average,
		}
	}
	return g.all
}

func globalForward[T ir.Float](g *GlobalPool, e *ir.Env[T]) { poolForward(g.pool(), e) }

func globalBackward[T ir.Float](g *GlobalPool, e *ir.Env[T]) {
	if g.Average {
		poolBackward(g.pool(), e)
		return
	}
	if e.DX[0] == nil {
		return
	}
	for i, most := range e.Y {
		from := i/g.C*g.Cells*g.C + i%g.C
		var equal T
		for cell := range g.Cells {
			if e.X[0][from+cell*g.C] == most {
				equal++
			}
		}
		for cell := range g.Cells {
			if at := from + cell*g.C; e.X[0][at] == most {
				e.DX[0][at] += e.DY[i] / equal
			}
		}
	}
}

// Expand turns palette indices into colours: Index [Cells], Y [Cells,Channels].
type Expand struct{ Palette *ir.Palette }

// Forward computes Y.
func (x *Expand) Forward(e *ir.Env[float32]) {
	c := x.Palette.Channels
	for i, index := range e.Index {
		copy(e.Y[i*c:(i+1)*c], x.Palette.Colours[int(index)*c:])
	}
}

// Backward does nothing: an index has no gradient.
func (x *Expand) Backward(*ir.Env[float32]) {}
