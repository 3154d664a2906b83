package kernel

// gatherBytes bounds the rows that are gathered before they are multiplied, so that they stay in the second-level
// cache.
const gatherBytes = 192 << 10

// mostWindows bounds the windows of a block.
const mostWindows = 224

// Block returns how many windows are gathered, or read where they lie, and multiplied at a time.
func (c *Conv) Block() int {
	rows := max(1, min(mostWindows, gatherBytes/(4*c.widest)))
	n := max(1, rows/c.size)
	if c.inPlace != nil && n > c.Out[2] {
		n -= n % c.Out[2]
	}
	return n
}

// RowLen returns of how many windows a range is best a multiple: rows of outputs that are computed where they lie
// are best left whole.
func (c *Conv) RowLen() int {
	if !c.readsInPlace() {
		return 1
	}
	return c.Out[2]
}

// ScratchLen returns the length of the scratch memory that one call of a method of c needs.
func (c *Conv) ScratchLen() int {
	n := c.Block()*c.size*(c.widest+c.OutC) + c.OutC
	if c.enlarges() {
		n = max(n, c.whole.ScratchLen()) + c.whole.InLen()
	}
	return n
}

// enlargedRun is the length of a row of taps below which samples are enlarged by their padding first: so short a
// row costs less to copy than to clip.
const enlargedRun = 16

// enlarges tells that Forward reads enlarged samples.
func (c *Conv) enlarges() bool {
	return c.padded && !c.Accumulate && c.spots == nil && c.Kernel[2]*c.InC < enlargedRun
}

// forwardEnlarged is Forward, sample by sample. The end of scratch holds the planes of an enlarged one that the
// windows read; its margins stay zero.
func (c *Conv) forwardEnlarged(dst []float32, arg []uint8, src, w, bias []float32, lo, hi int, scratch []float32) {
	in, out := c.InLen(), c.windows*c.OutC
	x := scratch[len(scratch)-c.whole.InLen():]
	for lo < hi {
		sample, first := lo/c.windows, lo%c.windows
		last := min(c.windows, first+hi-lo)
		top, _, _ := c.whole.origin(first, 0)
		bottom, _, _ := c.whole.origin(last-1, c.size-1)
		c.enlarge(x, src[sample*in:(sample+1)*in], top, bottom+(c.Kernel[0]-1)*c.Dilation[0]+1)
		var at []uint8
		if arg != nil {
			at = arg[sample*out : (sample+1)*out]
		}
		c.whole.Forward(dst[sample*out:(sample+1)*out], at, x, w, bias, first, last, scratch[:len(scratch)-len(x)])
		lo += last - first
	}
}

// parts cuts scratch memory into the gathered patches, an output for each of them, and a sum for each channel that
// nobody reads.
func (c *Conv) parts(scratch []float32) (rows, out, unused []float32) {
	m := c.Block() * c.size
	rows, scratch = scratch[:m*c.widest], scratch[m*c.widest:]
	return rows, scratch[:m*c.OutC], scratch[m*c.OutC:][:c.OutC]
}

// gather returns a group's part of the patches of all positions of windows [lo,hi) as rows [positions,width], which
// may be dst or the input itself.
func (c *Conv) gather(dst, src []float32, lo, hi int, g *group) []float32 {
	if c.direct {
		return src[lo*c.InC : hi*c.InC]
	}
	all := dst
	for lo < hi {
		// As far as the sample goes.
		sample, first := lo/c.windows, lo%c.windows
		n := min(hi-lo, c.windows-first)
		x := src[sample*c.InLen() : (sample+1)*c.InLen()]
		starts, kinds := c.starts[first*c.size:(first+n)*c.size], c.kinds[first*c.size:(first+n)*c.size]
		for i := 0; i < len(starts); {
			alike := 1
			for i+alike < len(starts) && kinds[i+alike] == kinds[i] && kinds[i] != unlisted {
				alike++
			}
			in, rows := c.insideOf(g, first+i/c.size, i%c.size), dst[:alike*g.width]
			if kinds[i] != 0 {
				clear(rows)
			}
			if len(in.toRow) > 0 {
				loops.gather(rows, x, starts[i:i+alike], in.toRow, in.length, g.width)
			}
			dst, i = dst[len(rows):], i+alike
		}
		lo += n
	}
	return all
}

// Forward computes windows [lo,hi) of dst [N,Pool.Out,OutC] from src [N,In,InC], weights w [Patch,OutC] and bias
// [OutC], which may be nil for none. With pooling arg is as long as dst, or nil where it is not wanted; without
// pooling it is nil.
func (c *Conv) Forward(dst []float32, arg []uint8, src, w, bias []float32, lo, hi int, scratch []float32) {
	if c.enlarges() {
		c.forwardEnlarged(dst, arg, src, w, bias, lo, hi, scratch[:c.ScratchLen()])
		return
	}
	out, block := c.OutC, c.Block()
	rows, sums, _ := c.parts(scratch)
	if c.stream && c.direct {
		block = min(block, streamedRows)
	}
	for ; lo < hi; lo += block {
		end := min(hi, lo+block)
		m := (end - lo) * c.size
		to := sums[:m*out]
		if c.size == 1 && c.spots == nil && !c.stream {
			to = dst[lo*out : end*out]
		}
		c.products(to, src, w, bias, lo, end, rows)
		switch {
		case c.size > 1:
			for i := lo; i < end; i++ {
				var at []uint8
				if arg != nil {
					at = arg[i*out : (i+1)*out]
				}
				loops.pool(dst[i*out:(i+1)*out], at, sums[(i-lo)*c.size*out:], c.places, c.ReLU)
			}
		case c.spots != nil:
			c.place(dst, to, lo, end)
		default:
			if c.ReLU {
				loops.rectify(to)
			}
			if c.stream {
				c.write(dst[lo*out:end*out], to, len(to), 0)
			}
		}
	}
	c.endStream()
}

// products sets dst to the sums of windows [lo,hi), from src, weights and bias, or adds to it where that is wanted.
func (c *Conv) products(dst, src, w, bias []float32, lo, hi int, rows []float32) {
	if c.readsInPlace() {
		c.productsInPlace(dst, src, w, bias, lo, hi)
		return
	}
	out, from, apart := c.OutC, bias, 0
	if c.Accumulate && c.spots == nil {
		from, apart = dst, out
	} else if !c.everywhere(&c.groups[0]) {
		begin((hi-lo)*c.size, out, dst, out, bias, 0)
		from, apart = dst, out
	}
	for i := range c.groups {
		g := &c.groups[i]
		if c.everywhere(g) {
			gemm((hi-lo)*c.size, out, g.width, c.gather(rows, src, lo, hi, g), g.width, 1, w[g.row*out:], out, dst,
				out, from, apart)
		} else {
			c.eachReached(g, lo, hi, func(first, last int) {
				to := dst[(first-lo)*out:]
				gemm(last-first, out, g.width, c.gather(rows, src, first, last, g), g.width, 1, w[g.row*out:], out, to, out, to, out)
			})
		}
		from, apart = dst, out
	}
}

func rectify(x []float32) {
	for i, v := range x {
		if v < 0 {
			x[i] = 0
		}
	}
}

// spread undoes the pooling for the backward pass: for windows [lo,hi), dense [windows,size,OutC] from grad
// [windows,OutC], zero except at the position that arg names. With the unit window and a ReLU, out tells where the
// ReLU lets the gradient through. The gradient is also added to sum [OutC].
func (c *Conv) spread(dense, sum, grad []float32, arg []uint8, out []float32, lo, hi int) {
	n := c.OutC
	if c.size > 1 {
		for w := lo; w < hi; w++ {
			loops.unpool(dense[(w-lo)*c.size*n:], sum, grad[w*n:(w+1)*n], arg[w*n:(w+1)*n], c.places)
		}
		return
	}
	copy(dense, grad[lo*n:hi*n])
	if c.ReLU {
		for i, v := range out[lo*n : hi*n] {
			if !(v > 0) {
				dense[i] = 0
			}
		}
	}
	for i := range hi - lo {
		loops.add(dense[i*n:(i+1)*n], sum[:n])
	}
}

// WeightGrad adds to dw [Patch,OutC] and db [OutC] (nil for none) the gradient of windows [lo,hi), from src, the
// gradient grad of the output and what Forward gave: arg with pooling, else out.
func (c *Conv) WeightGrad(dw, db, src, grad []float32, arg []uint8, out []float32, lo, hi int, scratch []float32) {
	n, block := c.OutC, c.Block()
	rows, dense, unused := c.parts(scratch)
	if db == nil {
		db = unused
	}
	for ; lo < hi; lo += block {
		end := min(hi, lo+block)
		c.spread(dense, db, grad, arg, out, lo, end)
		for i := range c.groups {
			g := &c.groups[i]
			Gemm(g.width, n, (end-lo)*c.size, c.gather(rows, src, lo, end, g), 1, g.width, dense, n, dw[g.row*n:], n, true)
		}
	}
}

// Groups returns into how many parts the rows of the weights are cut for GroupGrad.
func (c *Conv) Groups() int { return len(c.groups) }

// GroupGrad adds to the rows of one group in dw [Patch,OutC] the gradient of windows [lo,hi), from src and the
// gradient grad of the convolution itself, and to db [OutC], unless it is nil, that of the bias: the sum of grad,
// which is read for both at once. It is for convolutions without pooling.
func (c *Conv) GroupGrad(dw, db, src, grad []float32, number, lo, hi int, scratch []float32) {
	g, n, block := &c.groups[number], c.OutC, c.Block()
	rows, sums, _ := c.parts(scratch)
	inPlace := c.inPlace != nil
	if inPlace {
		plane := c.Out[1] * c.Out[2]
		block = (block + plane - 1) / plane * plane
		if c.Taps() == 1 {
			block = plane // with each of which the next one is fetched
		}
	}
	for ; lo < hi; lo += block {
		end := min(hi, lo+block)
		if db != nil {
			loops.sums(sums[:n], grad[lo*n:end*n])
			loops.add(sums[:n], db[:n])
		}
		if inPlace {
			c.groupGradInPlace(dw, src, grad, g, lo, end)
			continue
		}
		later, inputs := min(hi, end+block), []float32(nil)
		if c.direct {
			inputs = src[end*c.InC : later*c.InC]
		}
		c.eachReached(g, lo, end, func(lo, hi int) {
			to := dw[g.row*n:]
			loops.tile.product(g.width, n, hi-lo, c.gather(rows, src, lo, hi, g), 1, g.width, grad[lo*n:], n, to, n,
				to, n, inputs, grad[end*n:later*n])
		})
	}
}

// InputGrad adds the gradient of the input to samples [lo,hi) of dsrc [N,In,InC]. wt [OutC,Patch] is the transpose
// of the weights.
func (c *Conv) InputGrad(dsrc, wt, grad []float32, arg []uint8, out []float32, lo, hi int, scratch []float32) {
	patch, n, block := c.Patch(), c.OutC, c.Block()
	rows, dense, unused := c.parts(scratch)
	for w := lo * c.windows; w < hi*c.windows; w += block {
		end := min(hi*c.windows, w+block)
		c.spread(dense, unused, grad, arg, out, w, end)
		for i := range c.groups {
			g := &c.groups[i]
			Gemm((end-w)*c.size, g.width, n, dense, n, 1, wt[g.row:], patch, rows, g.width, false)
			c.scatter(dsrc, rows, w, end, g)
		}
	}
}

// scatter adds rows [positions,width] of a group, for windows [lo,hi), to the inputs that gather would have read
// them from.
func (c *Conv) scatter(dst, rows []float32, lo, hi int, g *group) {
	sample, in := lo/c.windows, lo%c.windows
	for range hi - lo {
		x := dst[sample*c.InLen() : (sample+1)*c.InLen()]
		for off := range c.size {
			row := rows[:g.width]
			rows = rows[g.width:]
			if inside := c.insideOf(g, in, off); len(inside.toIn) > 0 {
				loops.spans(1, row, x[c.starts[in*c.size+off]:], inside.toIn, inside.length)
			}
		}
		if in++; in == c.windows {
			sample, in = sample+1, 0
		}
	}
}
