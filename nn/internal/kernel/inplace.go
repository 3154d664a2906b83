package kernel

// inPlace computes a convolution without pooling, and the gradient of its weights, from patches that are read where they lie: along a row of outputs, the inputs
// that a tap reads are some distance apart, which is all that a tile wants of its rows. So nothing is gathered, and padding takes no products.
type inPlace struct {
	outputs [3][]stretch // that read what lies inside, along each axis, by tap
	runs    []tapRun     // along the width
}

// tapRun is some taps along the width that are neighbours in memory and are read by the same outputs.
type tapRun struct {
	first, count int
	outputs      stretch
}

const (
	// leastTerms is how many terms a tap has at least, leastRow how many outputs a row, to make up for starting tiles for each tap and row.
	leastTerms, leastRow = 4, 5
	// wideWeights is how many weights of a run are multiplied with a row before the next row: as many as stay in the first-level cache.
	wideWeights = 8 << 10
	// rowsLater is how far ahead of the row at hand inputs are fetched.
	rowsLater = 2
	// joinedTerms is how many terms the taps of a run have that are joined with those of the rows of taps below it.
	joinedTerms = 192
)

// newInPlace returns nil where gathering pays.
func (c *Conv) newInPlace() *inPlace {
	if c.direct || c.Pool != c.Unit() || c.InC < leastTerms || c.Out[2] < leastRow {
		return nil
	}
	p := &inPlace{}
	for a := range 3 {
		for tap := range c.Kernel[a] {
			// Output o reads input o*stride + at.
			at, stride := tap*c.Dilation[a]-c.Pad[a], c.Stride[a]
			lo, hi := min(c.Out[a], max(0, (stride-1-at)/stride)), 0
			if at < c.In[a] {
				hi = min(c.Out[a], (c.In[a]-1-at)/stride+1)
			}
			p.outputs[a] = append(p.outputs[a], stretch{lo, max(lo, hi)})
		}
	}
	for tap, outputs := range p.outputs[2] {
		last := len(p.runs) - 1
		if last >= 0 && p.runs[last].outputs == outputs && c.Dilation[2] == 1 {
			p.runs[last].count++
		} else {
			p.runs = append(p.runs, tapRun{tap, 1, outputs})
		}
	}
	return p
}

// Near tells whether the inputs of the next forward passes are in the caches. What one tap reads is gathered from there, as that fills the tiles.
func (c *Conv) Near(inputs bool) { c.near = inputs }

// readsInPlace tells whether the next forward pass does. Its sums are the same to the bit either way where there is one tap.
func (c *Conv) readsInPlace() bool { return c.inPlace != nil && (!c.near || c.Taps() > 1) }

// outputRow is a part of a row of outputs.
type outputRow struct {
	at    int     // place of the first one among those that are computed
	x, n  int     // its position along the width, and their number
	z, y  stretch // taps along the depth and the height that read what lies inside
	input int     // place of what output 0 of the row would read by the first tap, without padding
}

// mostRows bounds the rows of a block.
const mostRows = mostWindows/leastRow + 2

// rows cuts windows [lo,hi), counted through all samples, into rows.
func (c *Conv) rows(into *[mostRows]outputRow, lo, hi int) []outputRow {
	count := 0
	for at := lo; at < hi; count++ {
		x, y, z := at%c.Out[2], at/c.Out[2]%c.Out[1], at/(c.Out[2]*c.Out[1])%c.Out[0]
		n := min(hi-at, c.Out[2]-x)
		z, y = z*c.Stride[0]-c.Pad[0], y*c.Stride[1]-c.Pad[1]
		into[count] = outputRow{at - lo, x, n, c.tapsInside(0, z), c.tapsInside(1, y), at/c.windows*c.InLen() + c.index(z, y, -c.Pad[2])}
		at += n
	}
	return into[:count]
}

// productsInPlace is products.
func (c *Conv) productsInPlace(dst, src, w, bias []float32, lo, hi int) {
	var rows [mostRows]outputRow
	list := c.rows(&rows, lo, hi)
	if !c.Accumulate || c.spots != nil {
		// One after the other: tiles would write here and there to what is not in the caches yet.
		begin(hi-lo, c.OutC, dst, c.OutC, bias, 0)
	}
	for z := range c.Kernel[0] {
		for i := range c.inPlace.runs {
			t := &c.inPlace.runs[i]
			terms := t.count * c.InC
			high := max(1, joinedTerms/terms)
			for y := 0; y < c.Kernel[1]; y += high {
				for k := 0; k < terms; k += depthBlock {
					c.addRun(dst, src, w, list, z, stretch{y, min(y+high, c.Kernel[1])}, t, stretch{k, min(k+depthBlock, terms)})
				}
			}
		}
	}
}

// addRun adds the products of some terms of a run of taps, of some rows of a plane of taps, to some rows of outputs.
func (c *Conv) addRun(dst, src, w []float32, rows []outputRow, z int, ys stretch, t *tapRun, terms stretch) {
	out, k, apart := c.OutC, terms.hi-terms.lo, c.Stride[2]*c.InC
	later := uintptr(4 * rowsLater * c.Stride[1] * c.In[2] * c.InC)
	wide := out
	if (ys.hi-ys.lo)*k*out > wideWeights {
		_, wide = loops.tile.cut(c.Out[2], out)
	}
	high, deep := c.Dilation[1]*c.In[2]*c.InC, c.Kernel[2]*c.InC
	for j := 0; j < out; j += wide {
		for i := range rows {
			r := &rows[i]
			lo, hi, y, end := max(r.x, t.outputs.lo), min(r.x+r.n, t.outputs.hi), max(ys.lo, r.y.lo), min(ys.hi, r.y.hi)
			if lo >= hi || y >= end || z < r.z.lo || z >= r.z.hi {
				continue
			}
			a := src[r.input+c.index(z*c.Dilation[0], y*c.Dilation[1], t.first*c.Dilation[2])+lo*apart+terms.lo:]
			b := w[(((z*c.Kernel[1]+y)*c.Kernel[2]+t.first)*c.InC+terms.lo)*out+j:]
			s := stretches{end - y, high - k, (deep - k) * out}
			loops.tile.stretched(hi-lo, min(wide, out-j), k, a, apart, 1, b, out, dst[(r.at+lo-r.x)*out+j:], out, s, fetch{place(a) + later, 4 * line})
		}
	}
}

// groupGradInPlace is GroupGrad without the bias.
func (c *Conv) groupGradInPlace(dw, src, grad []float32, g *group, lo, hi int) {
	// As many whole rows of a plane as there are, else a part of a row.
	for at := lo; at < hi; {
		x, y, z := at%c.Out[2], at/c.Out[2]%c.Out[1], at/(c.Out[2]*c.Out[1])%c.Out[0]
		n, rows := min(hi-at, c.Out[2]-x), 1
		if n == c.Out[2] {
			rows = min((hi-at)/n, c.Out[1]-y)
		}
		sample := src[at/c.windows*c.InLen():][:c.InLen()]
		for i := range g.runs {
			tap := g.runs[i].tap
			if zs := c.inPlace.outputs[0][tap[0]]; z < zs.lo || z >= zs.hi {
				continue
			}
			ys := c.inPlace.outputs[1][tap[1]]
			first, last := max(y, ys.lo), min(y+rows, ys.hi)
			for r := range c.inPlace.runs {
				t := &c.inPlace.runs[r]
				if c.Dilation[2] != 1 && t.first != tap[2] {
					continue
				}
				left, right := max(x, t.outputs.lo), min(x+n, t.outputs.hi)
				if first >= last || left >= right {
					continue
				}
				from := c.index(z*c.Stride[0]+tap[0]*c.Dilation[0]-c.Pad[0], first*c.Stride[1]+tap[1]*c.Dilation[1]-c.Pad[1], left*c.Stride[2]+t.first*c.Dilation[2]-c.Pad[2])
				row := ((tap[0]*c.Kernel[1]+tap[1])*c.Kernel[2] + t.first) * c.InC
				c.addGrad(dw[row*c.OutC:], sample[from:], grad[(at+(first-y)*c.Out[2]+left-x)*c.OutC:], t.count*c.InC, last-first, right-left)
			}
		}
		at += n * rows
	}
}

// addGrad adds to the first m rows of dw the products of what some outputs of some rows of a plane read by the taps of these weights, and their gradients.
func (c *Conv) addGrad(dw, src, grad []float32, m, rows, outputs int) {
	n, acs, apart := c.OutC, c.Stride[2]*c.InC, c.Stride[1]*c.In[2]*c.InC
	s := stretches{rows, apart - outputs*acs, (c.Out[2] - outputs) * n}
	loops.tile.stretched(m, n, outputs, src, 1, acs, grad, n, dw, n, s, fetch{place(src) + uintptr(4*apart), 4 * acs})
}
