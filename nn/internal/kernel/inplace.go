package kernel

// inPlace computes a convolution without pooling, and the gradient of its weights, from patches that are read where
// they lie: along a row of outputs, the inputs that a tap reads are some distance apart, which is all that a tile
// wants of its rows. So nothing is gathered, and padding takes no products.
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
	// leastTerms is how many terms a tap has at least, leastRow how many outputs a row, to make up for starting
	// tiles for each tap and row.
	leastTerms, leastRow = 4, 5
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

// Near reports whether the inputs of the next forward passes are in the caches. What one tap reads is gathered from
// there, as that fills the tiles.
func (c *Conv) Near(inputs bool) { c.near = inputs }

// readsInPlace reports whether the next forward pass does. Its sums are the same to the bit either way where there is
// one tap.
func (c *Conv) readsInPlace() bool { return c.inPlace != nil && (!c.near || c.Taps() > 1) }

// outputRows are some rows of outputs of a plane, or parts of rows, that are read by the same taps, each one
// further along the height than that before.
type outputRows struct {
	at    int     // place of the first output among those that are computed
	count int     // rows
	x, n  int     // position of the first output along the width, and their number in each row
	z, y  stretch // taps along the depth and the height that read what lies inside
	input int     // place of what output 0 of the first row would read by the first tap, without padding
}

// mostRows bounds the rows of a block.
const mostRows = mostWindows/leastRow + 2

// rows cuts windows [lo,hi), counted through all samples, into rows.
func (c *Conv) rows(into *[mostRows]outputRows, lo, hi int) []outputRows {
	count := 0
	for at := lo; at < hi; {
		x, y, z := at%c.Out[2], at/c.Out[2]%c.Out[1], at/(c.Out[2]*c.Out[1])%c.Out[0]
		n := min(hi-at, c.Out[2]-x)
		z, y = z*c.Stride[0]-c.Pad[0], y*c.Stride[1]-c.Pad[1]
		r := outputRows{
			at - lo, 1, x, n, c.tapsInside(0, z), c.tapsInside(1, y),
			at/c.windows*c.InLen() + c.index(z, y, -c.Pad[2]),
		}
		at += n
		if count > 0 {
			last := &into[count-1]
			if x == 0 && last.n == n && last.z == r.z && last.y == r.y && last.input+last.count*c.rowApart() == r.input {
				last.count++
				continue
			}
		}
		into[count] = r
		count++
	}
	return into[:count]
}

// rowApart is how far the inputs of a row of outputs are from those of the row before.
func (c *Conv) rowApart() int { return c.Stride[1] * c.In[2] * c.InC }

// productsInPlace is products.
func (c *Conv) productsInPlace(dst, src, w, bias []float32, lo, hi int) {
	var rows [mostRows]outputRows
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
func (c *Conv) addRun(dst, src, w []float32, rows []outputRows, z int, ys stretch, t *tapRun, terms stretch) {
	out, k, apart := c.OutC, terms.hi-terms.lo, c.Stride[2]*c.InC
	high, deep := c.Dilation[1]*c.In[2]*c.InC, c.Kernel[2]*c.InC
	for i := range rows {
		r := &rows[i]
		lo, hi, y, end := max(r.x, t.outputs.lo), min(r.x+r.n, t.outputs.hi), max(ys.lo, r.y.lo), min(ys.hi, r.y.hi)
		if lo >= hi || y >= end || z < r.z.lo || z >= r.z.hi {
			continue
		}
		a := src[r.input+c.index(z*c.Dilation[0], y*c.Dilation[1], t.first*c.Dilation[2])+lo*apart+terms.lo:]
		b := w[(((z*c.Kernel[1]+y)*c.Kernel[2]+t.first)*c.InC+terms.lo)*out:]
		way := walk{times: end - y, a: high - k, b: (deep - k) * out, tiles: r.count, nextA: c.rowApart(), nextC: r.n * out}
		loops.tile.along(hi-lo, out, k, a, apart, 1, b, out, dst[(r.at+lo-r.x)*out:], out, way)
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
				from := c.index(z*c.Stride[0]+tap[0]*c.Dilation[0]-c.Pad[0],
					first*c.Stride[1]+tap[1]*c.Dilation[1]-c.Pad[1], left*c.Stride[2]+t.first*c.Dilation[2]-c.Pad[2])
				row := ((tap[0]*c.Kernel[1]+tap[1])*c.Kernel[2] + t.first) * c.InC
				c.addGrad(dw[row*c.OutC:], sample[from:], grad[(at+(first-y)*c.Out[2]+left-x)*c.OutC:],
					t.count*c.InC, last-first, right-left)
			}
		}
		at += n * rows
	}
}

// addGrad adds to the first m rows of dw the products of what some outputs of some rows of a plane read by the taps
// of these weights, and their gradients.
func (c *Conv) addGrad(dw, src, grad []float32, m, rows, outputs int) {
	n, acs, apart := c.OutC, c.Stride[2]*c.InC, c.Stride[1]*c.In[2]*c.InC
	way := walk{times: rows, a: apart - outputs*acs, b: (c.Out[2] - outputs) * n}
	next := 0
	if c.Taps() == 1 && outputs == c.Out[2] {
		next = c.Stride[0] * c.In[1] * c.In[2] * c.InC
	}
	loops.tile.down(m, n, outputs, src, 1, acs, grad, n, dw, n, way, next)
}

// down adds to c [m,n] the products of a [m,k] and b [k,n] along a way: in tiles one below the other. The next
// call's a is that far behind this one, and its b follows that of this one, where next is not 0.
func (t *tileKernel) down(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int,
	w walk, next int,
) {
	w.check(m, n, k, a, ars, acs, b, ldb, c, ldc)
	for j, cols := 0, 0; j < n; j += cols {
		var high int
		high, cols = t.cut(m, n-j)
		for lo := 0; lo < m; {
			rows := min(high, m-lo)
			w.tiles, w.nextA, w.nextC = min((m-lo)/rows, mostTiles), rows*ars, rows*ldc
			w.nextFrom = w.nextC
			at, to := a[lo*ars:], c[lo*ldc+j:]
			switch done := lo / rows * line; {
			case next == 0: // what the same tile reads two stretches later
				w.fetch = fetch{place(at) + uintptr(4*2*(k*acs+w.a)), 4 * acs, 4 * w.a, 4 * (w.nextA - w.times*(k*acs+w.a))}
			case j == 0: // a line of each of the next k with every tile
				w.fetch = fetch{place(a) + uintptr(4*(next+done)), 4 * acs, 4 * w.a, 4 * (line - w.times*(k*acs+w.a))}
			default:
				w.fetch = fetch{place(b) + uintptr(4*w.times*k*(ldb+done)), 4 * line, 0, 0}
			}
			t.add(rows, cols, k, at, ars, acs, b[j:], ldb, to, ldc, to, ldc, w)
			lo += w.tiles * rows
		}
	}
}

// along adds to c [m,n] the products of a [m,k] and b [k,n] along a way of some tiles, and fetches what a later one
// reads.
func (t *tileKernel) along(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, w walk) {
	w.check(m, n, k, a, ars, acs, b, ldb, c, ldc)
	w.nextFrom = w.nextC
	for j, cols := 0, 0; j < n; j += cols {
		var high int
		high, cols = t.cut(m, n-j)
		for lo := 0; lo < m; lo += high {
			at, to := a[lo*ars:], c[lo*ldc+j:]
			rows, depth, w := min(high, m-lo), k, w
			w.fetch = fetch{place(at) + uintptr(4*2*w.nextA), 4 * line, 4 * w.a, 4 * (w.nextA - w.times*(k*line+w.a))}
			if parts := divisor(rows, k); w.times == 1 && ars > k && parts > 0 {
				// A part of k for each row of the next tile: so the row is fetched, and nothing between rows.
				w.times, w.a, w.b, depth = parts, 0, 0, k/parts
				w.fetch = fetch{place(at) + uintptr(4*w.nextA), 4 * parts, 4 * (ars - k), 4 * (w.nextA - parts*ars)}
			}
			t.add(rows, cols, depth, at, ars, acs, b[j:], ldb, to, ldc, to, ldc, w)
		}
	}
}

// divisor returns the least divisor of k that is not below n, or 0.
func divisor(n, k int) int {
	for ; n <= k; n++ {
		if k%n == 0 {
			return n
		}
	}
	return 0
}

// check wants all elements that tiles reach on the way to be there, on behalf of assembly.
func (w *walk) check(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int) {
	_ = a[(m-1)*ars+(k-1)*acs+(w.times-1)*(k*acs+w.a)+max(0, w.tiles-1)*w.nextA]
	_ = b[(k-1)*ldb+n-1+(w.times-1)*(k*ldb+w.b)]
	_ = c[(m-1)*ldc+n-1+max(0, w.tiles-1)*w.nextC]
}
