package kernel

// PaletteSize is the number of colours that a uint8 index can name.
const PaletteSize = 256

// PaletteConv is a convolution whose input is [N,In] palette indices in place of [N,In,InC] colours.
//
// It is linear in its input, so out = (response to a volume of nothing but background) + sum over the voxels that are not background of the
// response to (colour - background). The first term is the same for all samples; the second is, for each such voxel and tap, a row of a table
// [PaletteSize,Kernel,OutC] that is computed once for given weights. The terms are those of the convolution, added in another order.
type PaletteConv struct {
	Conv
	colours    []float32 // [PaletteSize,InC]
	diff       []float32 // [PaletteSize,InC], colour less background
	background uint8
	shared     bool // one background response serves all positions, as nothing is padded
	dense      *Conv
	still      []float32 // a volume of background
}

// NewPaletteConv prepares a convolution over palette indices; colours is [PaletteSize,InC].
func NewPaletteConv(g Geometry, pool Window, relu bool, colours []float32, background uint8) *PaletteConv {
	c := &PaletteConv{Conv: *NewConv(g, pool, relu), colours: colours, background: background}
	c.diff = make([]float32, len(colours))
	back := colours[int(background)*g.InC : (int(background)+1)*g.InC]
	for i, v := range colours {
		c.diff[i] = v - back[i%g.InC]
	}
	c.shared = true
	for i := range 3 {
		c.shared = c.shared && g.Pad[i] == 0 && (g.Out[i]-1)*g.Stride[i]+(g.Kernel[i]-1)*g.Dilation[i] < g.In[i]
	}
	still := g
	if c.shared {
		still.Out = [3]int{1, 1, 1}
	}
	c.dense = NewConv(still, still.Unit(), false)
	c.still = make([]float32, g.InLen())
	for i := range c.still {
		c.still[i] = back[i%g.InC]
	}
	return c
}

// TableLen returns the length of the table of responses.
func (c *PaletteConv) TableLen() int { return PaletteSize * c.Taps() * c.OutC }

// BaseLen returns the length of the response to background: [OutC] where no output reads padding, else [Out,OutC].
func (c *PaletteConv) BaseLen() int { return c.dense.OutLen() }

// BaseScratchLen returns the length of the scratch memory that Base needs.
func (c *PaletteConv) BaseScratchLen() int { return c.dense.ScratchLen() }

// Base computes the response to a volume of background.
func (c *PaletteConv) Base(base, w, bias, scratch []float32) {
	c.dense.Forward(base, nil, c.still, w, bias, 0, c.dense.Windows(), scratch)
}

// Table computes the responses to colours [lo,hi). Along the width a colour's taps stand in falling order, so that the rows which one voxel adds
// to neighbouring outputs are neighbours too.
func (c *PaletteConv) Table(table, w []float32, lo, hi int) {
	n, kx := c.OutC, c.Kernel[2]
	for colour := lo; colour < hi; colour++ {
		for tap := range c.Taps() {
			mirrored := tap - tap%kx + kx - 1 - tap%kx
			row := table[(colour*c.Taps()+mirrored)*n:][:n]
			clear(row)
			for ch, d := range c.diff[colour*c.InC : (colour+1)*c.InC] {
				if d != 0 {
					axpy(d, w[(tap*c.InC+ch)*n:(tap*c.InC+ch+1)*n], row)
				}
			}
		}
	}
}

// Rows returns the number of rows of windows of one sample; a range of rows is a task.
func (c *PaletteConv) Rows() int { return c.Pool.Out[0] * c.Pool.Out[1] }

// Voxels lists the voxels of a sample that are not background, row by row; it is scratch memory of one worker.
type Voxels struct {
	sample int
	first  []int32 // [D*H+1], where a row's voxels begin in x and colour
	x      []int32
	colour []int32
}

// NewVoxels allocates the list for inputs of c.
func (c *PaletteConv) NewVoxels() *Voxels {
	n := volume(c.In)
	return &Voxels{first: make([]int32, c.In[0]*c.In[1]+1), x: make([]int32, n), colour: make([]int32, n)}
}

func (c *PaletteConv) list(v *Voxels, src []uint8, sample int) {
	width, n := c.In[2], 0
	src = src[sample*volume(c.In) : (sample+1)*volume(c.In)]
	for r := range c.In[0] * c.In[1] {
		v.first[r] = int32(n)
		for x, colour := range src[r*width : (r+1)*width] {
			if colour != c.background {
				v.x[n], v.colour[n] = int32(x), int32(colour)
				n++
			}
		}
	}
	v.first[c.In[0]*c.In[1]] = int32(n)
	v.sample = sample
}

// margin is the number of positions by which a row of outputs is widened at either end, so that the taps of a voxel at the edge need no check.
func (c *PaletteConv) margin() int {
	if c.dense3() {
		return c.Kernel[2] - 1
	}
	return 0
}

// dense3 tells that the outputs which one voxel of a row reaches are neighbours.
func (c *PaletteConv) dense3() bool { return c.Stride[2] == 1 && c.Dilation[2] == 1 }

// span returns the number of outputs along the width that the windows read, and the first and the length of a row of them in scratch memory.
func (c *PaletteConv) span() (reads, rowLen int) {
	reads = (c.Pool.Out[2]-1)*c.Pool.Stride[2] + c.Pool.Size[2]
	// A voxel may lie further right than any output reads.
	width := max(reads, c.In[2]+c.Pad[2]-c.Kernel[2]+1)
	return reads, (width + 2*c.margin()) * c.OutC
}

// RowScratchLen returns the length of the scratch memory that Forward and WeightGrad need.
func (c *PaletteConv) RowScratchLen() int {
	_, rowLen := c.span()
	return c.Pool.Size[0] * c.Pool.Size[1] * rowLen
}

// Forward computes rows of windows [lo,hi), counted through all samples, of dst [N,Pool.Out,OutC]; arg as in Conv.Forward.
func (c *PaletteConv) Forward(dst []float32, arg, src []uint8, table, base []float32, lo, hi int, v *Voxels, scratch []float32) {
	v.sample = -1
	reads, rowLen := c.span()
	n, margin := c.OutC, c.margin()*c.OutC
	sy := c.Pool.Size[1]
	for row := lo; row < hi; row++ {
		sample, pz, py := row/c.Rows(), row%c.Rows()/c.Pool.Out[1], row%c.Pool.Out[1]
		if v.sample != sample {
			c.list(v, src, sample)
		}
		for r := range c.Pool.Size[0] * sy {
			z, y := pz*c.Pool.Stride[0]+r/sy, py*c.Pool.Stride[1]+r%sy
			sums := scratch[r*rowLen : (r+1)*rowLen]
			c.setBase(sums[margin:margin+reads*n], base, z, y)
			c.eachRow(z, y, func(in, tap int) {
				for i := v.first[in]; i < v.first[in+1]; i++ {
					c.addResponse(sums, table[(int(v.colour[i])*c.Taps()+tap)*n:], int(v.x[i]))
				}
			})
		}
		c.poolRow(dst, arg, scratch[margin:], row, rowLen)
	}
}

// eachRow calls f for each row of the input that outputs at (z,y) read, with the first tap of the row.
func (c *PaletteConv) eachRow(z, y int, f func(row, tap int)) {
	for kz := range c.Kernel[0] {
		iz := z*c.Stride[0] - c.Pad[0] + kz*c.Dilation[0]
		if iz < 0 || iz >= c.In[0] {
			continue
		}
		for ky := range c.Kernel[1] {
			iy := y*c.Stride[1] - c.Pad[1] + ky*c.Dilation[1]
			if iy >= 0 && iy < c.In[1] {
				f(iz*c.In[1]+iy, (kz*c.Kernel[1]+ky)*c.Kernel[2])
			}
		}
	}
}

// setBase fills a row of sums with the response to background.
func (c *PaletteConv) setBase(sums, base []float32, z, y int) {
	if !c.shared {
		at := (z*c.Out[1] + y) * c.Out[2] * c.OutC
		copy(sums, base[at:])
		return
	}
	// Copying what is already there doubles the filled part each time.
	for n := copy(sums, base); n < len(sums); n *= 2 {
		copy(sums[n:], sums[:n])
	}
}

// addResponse adds to a row of sums what one voxel at x contributes, from a colour's rows of responses.
func (c *PaletteConv) addResponse(sums, table []float32, x int) {
	n, kx := c.OutC, c.Kernel[2]
	if c.dense3() {
		// Output x+pad-k gets tap k; the margin makes up for outputs that do not exist.
		at := (x + c.Pad[2]) * n
		addInto(table[:kx*n], sums[at:at+kx*n])
		return
	}
	for k := range kx {
		if at, ok := c.output(x, k); ok {
			addInto(table[(kx-1-k)*n:(kx-k)*n], sums[at*n:(at+1)*n])
		}
	}
}

// output returns which output along the width reads the input at x by tap k.
func (c *PaletteConv) output(x, k int) (int, bool) {
	at := x + c.Pad[2] - k*c.Dilation[2]
	if at < 0 || at%c.Stride[2] != 0 {
		return 0, false
	}
	at /= c.Stride[2]
	reads := (c.Pool.Out[2]-1)*c.Pool.Stride[2] + c.Pool.Size[2]
	return at, at < reads
}

// poolRow takes the maximum over the windows of a row, whose sums stand in rows of rowLen.
func (c *PaletteConv) poolRow(dst []float32, arg []uint8, sums []float32, row, rowLen int) {
	n, size := c.OutC, c.Pool.Size
	for px := range c.Pool.Out[2] {
		at := (row*c.Pool.Out[2] + px) * n
		to := dst[at : at+n]
		var where []uint8
		if arg != nil {
			where = arg[at : at+n]
			clear(where)
		}
		from := sums[px*c.Pool.Stride[2]*n:]
		copy(to, from[:n])
		for off := 1; off < c.size; off++ {
			in := from[(off/size[2])*rowLen+(off%size[2])*n:][:n]
			if where == nil {
				for j, v := range in {
					if v > to[j] {
						to[j] = v
					}
				}
				continue
			}
			for j, v := range in {
				if v > to[j] {
					to[j], where[j] = v, uint8(off)
				}
			}
		}
		if !c.ReLU {
			continue
		}
		for j, v := range to {
			if !(v > 0) {
				to[j] = 0
				if where != nil {
					where[j] = Dead
				}
			}
		}
	}
}

// WeightGradLen returns the length of the sums that WeightGrad adds to.
func (c *PaletteConv) WeightGradLen() int { return c.Patch()*c.OutC + c.BaseGradLen() }

// BaseGradLen returns the length of the gradient of the response to background, the second part of the sums.
func (c *PaletteConv) BaseGradLen() int { return c.BaseLen() }

// WeightGrad adds rows of windows [lo,hi) to sums [WeightGradLen]: the part of the weights' gradient that comes from colours less background,
// [Patch,OutC], then the gradient of the response to background. FinishWeightGrad makes the weights' and the bias's gradient of both.
func (c *PaletteConv) WeightGrad(sums []float32, src []uint8, grad []float32, arg []uint8, out []float32, lo, hi int, v *Voxels, scratch []float32) {
	v.sample = -1
	n, margin := c.OutC, c.margin()*c.OutC
	_, rowLen := c.span()
	sy := c.Pool.Size[1]
	dw, dbase := sums[:c.Patch()*n], sums[c.Patch()*n:]
	for row := lo; row < hi; row++ {
		sample, pz, py := row/c.Rows(), row%c.Rows()/c.Pool.Out[1], row%c.Pool.Out[1]
		if v.sample != sample {
			c.list(v, src, sample)
		}
		clear(scratch[:c.Pool.Size[0]*sy*rowLen])
		c.spreadRow(scratch[margin:], dbase, grad, arg, out, row, rowLen, pz, py)
		for r := range c.Pool.Size[0] * sy {
			z, y := pz*c.Pool.Stride[0]+r/sy, py*c.Pool.Stride[1]+r%sy
			dense := scratch[r*rowLen : (r+1)*rowLen]
			c.eachRow(z, y, func(in, tap int) {
				to := dw[tap*c.InC*n : (tap+c.Kernel[2])*c.InC*n]
				for i := v.first[in]; i < v.first[in+1]; i++ {
					c.addOuter(to, dense, int(v.x[i]), c.diff[int(v.colour[i])*c.InC:][:c.InC])
				}
			})
		}
	}
}

// spreadRow undoes the pooling of a row of windows, as Conv.Spread does, and adds the gradients to that of the response to background.
func (c *PaletteConv) spreadRow(dense, dbase, grad []float32, arg []uint8, out []float32, row, rowLen, pz, py int) {
	n, size := c.OutC, c.Pool.Size
	for px := range c.Pool.Out[2] {
		at := (row*c.Pool.Out[2] + px) * n
		for j, g := range grad[at : at+n] {
			off := 0
			if c.size > 1 {
				off = int(arg[at+j])
			} else if c.ReLU && !(out[at+j] > 0) {
				off = Dead
			}
			if off == Dead {
				continue
			}
			x := px*c.Pool.Stride[2] + off%size[2]
			dense[(off/size[2])*rowLen+x*n+j] += g
			if c.shared {
				dbase[j] += g
				continue
			}
			z, y := pz*c.Pool.Stride[0]+off/(size[1]*size[2]), py*c.Pool.Stride[1]+off/size[2]%size[1]
			dbase[((z*c.Out[1]+y)*c.Out[2]+x)*n+j] += g
		}
	}
}

// addOuter adds to the gradient of a row of taps [KW,InC,OutC] what one voxel at x contributes.
func (c *PaletteConv) addOuter(dw, dense []float32, x int, diff []float32) {
	n := c.OutC
	for k := range c.Kernel[2] {
		var from []float32
		if c.dense3() {
			at := (x + c.Pad[2] - k + c.Kernel[2] - 1) * n
			from = dense[at : at+n]
		} else {
			at, ok := c.output(x, k)
			if !ok {
				continue
			}
			from = dense[at*n : (at+1)*n]
		}
		for ch, d := range diff {
			if d != 0 {
				axpy(d, from, dw[(k*c.InC+ch)*n:(k*c.InC+ch+1)*n])
			}
		}
	}
}

// FinishWeightGrad sets dw [Patch,OutC] and db [OutC] (nil for none) from the finished sums.
func (c *PaletteConv) FinishWeightGrad(dw, db, sums, scratch []float32) {
	n := c.OutC
	copy(dw, sums[:c.Patch()*n])
	dbase := sums[c.Patch()*n:]
	if db != nil {
		clear(db)
	}
	c.dense.WeightGrad(dw, db, c.still, dbase, nil, nil, 0, c.dense.Windows(), scratch)
}
