package kernel

// gatherBytes bounds the rows that are gathered before they are multiplied, so that they stay in the second-level cache.
const gatherBytes = 192 << 10

// block returns how many windows are gathered and multiplied at a time.
func (c *Conv) block() int {
	rows := max(1, min(56, gatherBytes/(4*c.Patch())))
	return max(1, rows/c.size)
}

// ScratchLen returns the length of the scratch memory that one call of a method of c needs.
func (c *Conv) ScratchLen() int { return c.block() * c.size * (c.Patch() + c.OutC) }

// gather copies the patches of all positions of windows [lo,hi) to rows of dst [positions,Patch].
func (c *Conv) gather(dst, src []float32, lo, hi int) {
	patch := c.Patch()
	for w := lo; w < hi; w++ {
		for off := range c.size {
			row := dst[:patch]
			dst = dst[patch:]
			sample, z, y, x, inside := c.origin(w, off)
			in := src[sample : sample+c.InLen()]
			if !inside {
				clear(row)
				c.eachRun(z, y, x, func(at, r, n int) { copy(row[r:r+n], in[at:at+n]) })
				continue
			}
			at := c.index(z, y, x)
			for i := range c.runs {
				r := &c.runs[i]
				copy(row[r.row:r.row+r.length], in[at+r.offset:at+r.offset+r.length])
			}
		}
	}
}

// Forward computes windows [lo,hi) of dst [N,Pool.Out,OutC] from src [N,In,InC], weights w [Patch,OutC] and bias [OutC], which may be nil for
// none. With pooling arg is as long as dst, or nil where it is not wanted; without pooling it is nil.
func (c *Conv) Forward(dst []float32, arg []uint8, src, w, bias []float32, lo, hi int, scratch []float32) {
	patch, out, block := c.Patch(), c.OutC, c.block()
	rows, sums := scratch[:block*c.size*patch], scratch[block*c.size*patch:]
	for ; lo < hi; lo += block {
		end := min(hi, lo+block)
		m := (end - lo) * c.size
		c.gather(rows, src, lo, end)
		to := dst[lo*out : end*out]
		if c.size > 1 {
			to = sums[:m*out]
		}
		if bias == nil {
			clear(to)
		} else {
			for i := range m {
				copy(to[i*out:(i+1)*out], bias)
			}
		}
		Gemm(m, out, patch, rows, patch, 1, w, out, to, out, true)
		switch {
		case c.size > 1:
			for i := lo; i < end; i++ {
				in := sums[(i-lo)*c.size*out:]
				if arg == nil {
					c.maximum(dst[i*out:(i+1)*out], in, out)
				} else {
					c.maximumAt(dst[i*out:(i+1)*out], arg[i*out:(i+1)*out], in, out)
				}
			}
		case c.ReLU:
			rectify(to)
		}
	}
}

// maximum pools one window: dst [OutC] from in, whose positions are stride apart.
func (c *Conv) maximum(dst, in []float32, stride int) {
	copy(dst, in[:len(dst)])
	for off := 1; off < c.size; off++ {
		for j, v := range in[off*stride : off*stride+len(dst)] {
			if v > dst[j] {
				dst[j] = v
			}
		}
	}
	if c.ReLU {
		rectify(dst)
	}
}

// maximumAt is maximum that also records where it was found.
func (c *Conv) maximumAt(dst []float32, arg []uint8, in []float32, stride int) {
	copy(dst, in[:len(dst)])
	arg = arg[:len(dst)]
	clear(arg)
	for off := 1; off < c.size; off++ {
		for j, v := range in[off*stride : off*stride+len(dst)] {
			if v > dst[j] {
				dst[j], arg[j] = v, uint8(off)
			}
		}
	}
	if c.ReLU {
		for j, v := range dst {
			if !(v > 0) {
				dst[j], arg[j] = 0, Dead
			}
		}
	}
}

func rectify(x []float32) {
	for i, v := range x {
		if !(v > 0) {
			x[i] = 0
		}
	}
}

// Spread undoes the pooling for the backward pass: for windows [lo,hi), dense [windows,size,OutC] from grad [windows,OutC], zero but for the
// position that arg names. With the unit window and a rectifier, out tells where the rectifier let through.
func (c *Conv) Spread(dense, grad []float32, arg []uint8, out []float32, lo, hi int) {
	n := c.OutC
	if c.size == 1 {
		copy(dense, grad[lo*n:hi*n])
		if c.ReLU {
			for i, v := range out[lo*n : hi*n] {
				if !(v > 0) {
					dense[i] = 0
				}
			}
		}
		return
	}
	clear(dense[:(hi-lo)*c.size*n])
	for w := lo; w < hi; w++ {
		to := dense[(w-lo)*c.size*n:]
		for j, at := range arg[w*n : (w+1)*n] {
			if at != Dead {
				to[int(at)*n+j] = grad[w*n+j]
			}
		}
	}
}

// WeightGrad adds to dw [Patch,OutC] and db [OutC] (nil for none) the gradient of windows [lo,hi), from src, the gradient grad of the output and
// the arg or out that Forward gave (see Spread).
func (c *Conv) WeightGrad(dw, db, src, grad []float32, arg []uint8, out []float32, lo, hi int, scratch []float32) {
	patch, n, block := c.Patch(), c.OutC, c.block()
	rows, dense := scratch[:block*c.size*patch], scratch[block*c.size*patch:]
	for ; lo < hi; lo += block {
		end := min(hi, lo+block)
		m := (end - lo) * c.size
		c.gather(rows, src, lo, end)
		c.Spread(dense, grad, arg, out, lo, end)
		if db != nil {
			for i := range m {
				addInto(dense[i*n:(i+1)*n], db[:n])
			}
		}
		Gemm(patch, n, m, rows, 1, patch, dense, n, dw, n, true)
	}
}

// InputGrad sets samples [lo,hi) of dsrc [N,In,InC] to the gradient of the input. wt [OutC,Patch] is the transpose of the weights.
func (c *Conv) InputGrad(dsrc, wt, grad []float32, arg []uint8, out []float32, lo, hi int, scratch []float32) {
	patch, n, block := c.Patch(), c.OutC, c.block()
	rows, dense := scratch[:block*c.size*patch], scratch[block*c.size*patch:]
	clear(dsrc[lo*c.InLen() : hi*c.InLen()])
	for w := lo * c.windows; w < hi*c.windows; w += block {
		end := min(hi*c.windows, w+block)
		c.Spread(dense, grad, arg, out, w, end)
		Gemm((end-w)*c.size, patch, n, dense, n, 1, wt, patch, rows, patch, false)
		c.scatter(dsrc, rows, w, end)
	}
}

// scatter adds rows [positions,Patch] of windows [lo,hi) to the inputs that gather would have read them from.
func (c *Conv) scatter(dst, rows []float32, lo, hi int) {
	patch := c.Patch()
	for w := lo; w < hi; w++ {
		for off := range c.size {
			row := rows[:patch]
			rows = rows[patch:]
			sample, z, y, x, inside := c.origin(w, off)
			in := dst[sample : sample+c.InLen()]
			if !inside {
				c.eachRun(z, y, x, func(at, r, n int) { addInto(row[r:r+n], in[at:at+n]) })
				continue
			}
			at := c.index(z, y, x)
			for i := range c.runs {
				r := &c.runs[i]
				addInto(row[r.row:r.row+r.length], in[at+r.offset:at+r.offset+r.length])
			}
		}
	}
}
