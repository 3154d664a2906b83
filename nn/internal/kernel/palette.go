package kernel

import (
	"encoding/binary"
	"math/bits"
)

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
	shared     bool  // one background response serves all positions, as nothing is padded
	rowPlaces  []int // of the positions of a window in rows of sums
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
	_, rowLen := c.span()
	for off := range c.size {
		c.rowPlaces = append(c.rowPlaces, off/pool.Size[2]*rowLen+off%pool.Size[2]*g.OutC)
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
					loops.axpy(d, w[(tap*c.InC+ch)*n:(tap*c.InC+ch+1)*n], row)
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
	still := uint64(c.background) * 0x0101010101010101
	for r := range c.In[0] * c.In[1] {
		v.first[r] = int32(n)
		row := src[r*width : (r+1)*width]
		x := 0
		// Eight voxels at a time, as most are background.
		for ; x+8 <= width; x += 8 {
			eight := binary.LittleEndian.Uint64(row[x:]) ^ still
			for eight != 0 {
				i := bits.TrailingZeros64(eight) / 8
				v.x[n], v.colour[n] = int32(x+i), int32(row[x+i])
				n++
				eight &^= 0xff << (8 * i)
			}
		}
		for ; x < width; x++ {
			if row[x] != c.background {
				v.x[n], v.colour[n] = int32(x), int32(row[x])
				n++
			}
		}
	}
	v.first[c.In[0]*c.In[1]] = int32(n)
	v.sample = sample
}

// margin is the number of positions by which a row of outputs is widened at either end, so that the taps of a voxel at the edge need no check.
func (c *PaletteConv) margin() int {
	if c.neighbours() {
		return c.Kernel[2] - 1
	}
	return 0
}

// neighbours tells that the outputs which one voxel of a row reaches are neighbours.
func (c *PaletteConv) neighbours() bool { return c.Stride[2] == 1 && c.Dilation[2] == 1 }

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
			if c.neighbours() {
				c.addRows(sums, table, z, y, v)
				continue
			}
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

// addRows adds to a row of sums what the rows of the input that it reads contribute. Output x+pad-k gets tap k of the voxel at x; the margin makes
// up for outputs that do not exist.
func (c *PaletteConv) addRows(sums, table []float32, z, y int, v *Voxels) {
	n, kx := c.OutC, c.Kernel[2]
	all := c.Taps() * n
	sums = sums[c.Pad[2]*n:]
	if c.Dilation[1] != 1 {
		c.eachRow(z, y, func(in, tap int) {
			loops.voxels(sums, table[tap*n:], v.first[in:in+2], v.x, v.colour, n, all, 0, kx*n)
		})
		return
	}
	y = y*c.Stride[1] - c.Pad[1]
	lo, hi := max(0, -y), min(c.Kernel[1], c.In[1]-y)
	for kz := range c.Kernel[0] {
		iz := z*c.Stride[0] - c.Pad[0] + kz*c.Dilation[0]
		if lo < hi && iz >= 0 && iz < c.In[0] {
			in := iz*c.In[1] + y
			loops.voxels(sums, table[(kz*c.Kernel[1]+lo)*kx*n:], v.first[in+lo:in+hi+1], v.x, v.colour, n, all, kx*n, kx*n)
		}
	}
}

// addResponse adds to a row of sums what one voxel at x contributes, from a colour's rows of responses.
func (c *PaletteConv) addResponse(sums, table []float32, x int) {
	n, kx := c.OutC, c.Kernel[2]
	for k := range kx {
		if at, ok := c.output(x, k); ok {
			loops.add(table[(kx-1-k)*n:(kx-k)*n], sums[at*n:(at+1)*n])
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
	n := c.OutC
	for px := range c.Pool.Out[2] {
		at := (row*c.Pool.Out[2] + px) * n
		var where []uint8
		if arg != nil {
			where = arg[at : at+n]
		}
		loops.pool(dst[at:at+n], where, sums[px*c.Pool.Stride[2]*n:], c.rowPlaces, c.ReLU)
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
		dense := scratch[:c.Pool.Size[0]*sy*rowLen]
		c.clearRows(dense, rowLen)
		c.spreadRow(dense[margin:], dbase, grad, arg, out, row, rowLen, pz, py)
		if c.fastOuter() {
			c.addOuters(dw, dense, pz, py, rowLen, v)
			continue
		}
		for r := range c.Pool.Size[0] * sy {
			z, y := pz*c.Pool.Stride[0]+r/sy, py*c.Pool.Stride[1]+r%sy
			c.eachRow(z, y, func(in, tap int) {
				to := dw[tap*c.InC*n : (tap+c.Kernel[2])*c.InC*n]
				for i := v.first[in]; i < v.first[in+1]; i++ {
					c.addOuter(to, dense[r*rowLen:(r+1)*rowLen], int(v.x[i]), c.diff[int(v.colour[i])*c.InC:][:c.InC])
				}
			})
		}
	}
}

// tiles tells that spreading a row of windows sets every output that a window reads, each once, so that only the margins need clearing.
func (c *PaletteConv) tiles() bool { return c.shared && c.size > 1 && c.Pool.Size == c.Pool.Stride }

// clearRows makes ready for spreadRow.
func (c *PaletteConv) clearRows(dense []float32, rowLen int) {
	if !c.tiles() {
		clear(dense)
		return
	}
	margin := c.margin() * c.OutC
	reads, _ := c.span()
	for r := 0; r < len(dense); r += rowLen {
		clear(dense[r : r+margin])
		clear(dense[r+margin+reads*c.OutC : r+rowLen])
	}
}

// fastOuter tells that the tier has an inner loop for this shape.
func (c *PaletteConv) fastOuter() bool {
	return loops.outer != nil && c.neighbours() && c.Kernel[2] == 3 && c.InC == 3 && c.OutC%16 == 0 && c.size <= maxPairs
}

// maxPairs is the largest number of rows of outputs under a window that addOuters handles.
const maxPairs = 16

// addOuters does, for a row of windows, what addOuter does for a voxel and a row of taps: it takes each row of taps once and visits all rows of
// outputs, so that the sums stay in registers.
func (c *PaletteConv) addOuters(dw, dense []float32, pz, py, rowLen int, v *Voxels) {
	n := c.OutC
	var pairs [maxPairs]span
	for kz := range c.Kernel[0] {
		for ky := range c.Kernel[1] {
			count := 0
			for r := range c.Pool.Size[0] * c.Pool.Size[1] {
				iz := (pz*c.Pool.Stride[0]+r/c.Pool.Size[1])*c.Stride[0] - c.Pad[0] + kz*c.Dilation[0]
				iy := (py*c.Pool.Stride[1]+r%c.Pool.Size[1])*c.Stride[1] - c.Pad[1] + ky*c.Dilation[1]
				if iz < 0 || iz >= c.In[0] || iy < 0 || iy >= c.In[1] {
					continue
				}
				in := iz*c.In[1] + iy
				if v.first[in] < v.first[in+1] {
					pairs[count] = span{in, r*rowLen + c.Pad[2]*n}
					count++
				}
			}
			if count > 0 {
				tap := (kz*c.Kernel[1] + ky) * 3
				loops.outer(dw[tap*3*n:(tap+3)*3*n], dense, c.diff, v.first, v.x, v.colour, pairs[:count], n)
			}
		}
	}
}

// spreadRow undoes the pooling of a row of windows, as Conv.spread does, and adds the gradients to that of the response to background.
func (c *PaletteConv) spreadRow(dense, dbase, grad []float32, arg []uint8, out []float32, row, rowLen, pz, py int) {
	n, size := c.OutC, c.Pool.Size
	for px := range c.Pool.Out[2] {
		at := (row*c.Pool.Out[2] + px) * n
		if c.tiles() {
			loops.unpool(dense[px*size[2]*n:], dbase, grad[at:at+n], arg[at:at+n], c.rowPlaces)
			continue
		}
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
		if c.neighbours() {
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
				loops.axpy(d, from, dw[(k*c.InC+ch)*n:(k*c.InC+ch+1)*n])
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
