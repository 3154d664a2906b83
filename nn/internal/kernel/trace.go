package kernel

import "bytes"

// A pooling window passes its gradient to one position of each channel only: to a survivor. Where windows tile the
// outputs of a convolution over palette indices its weight gradient is the sum over the survivors of gradient times
// patch, and windows whose patches are background alone add nothing but to the response to background. That leaves
// out seven eighths of the products with windows of 2x2x2, all of them with zero.

const (
	// patchRow is the length of a row of taps in the sums: that of a vector, so that rows are added whole.
	patchRow = 16
	// patchRows is how many rows of taps a patch has.
	patchRows = 9
	// tracedPositions is how many positions of a window one vector can look up.
	tracedPositions = 16
)

// trace is what the weight gradient keeps of one sample.
type trace struct {
	volume []float32                // [In,InC] colours less background, and what is read beyond the end
	filled []bool                   // [D,H], which rows are not background
	reach  []uint64                 // [D,H], the windows along the width that read something of the row
	touch  []uint64                 // [W], the windows along the width that read the place
	wide   *[PaletteSize][4]float32 // the colours less background, of three channels

	survivors *Survivors
}

// traced tells that the weight gradient visits survivors.
func (c *PaletteConv) traced() bool {
	unit := [3]int{1, 1, 1}
	return c.shared && c.Kernel == [3]int{3, 3, 3} && c.Dilation == unit && 3*c.InC <= patchRow &&
		c.size > 1 && c.size <= tracedPositions && c.Pool.Size == c.Pool.Stride && c.Pool.Out[2] <= maxReach
}

func (c *PaletteConv) newTrace() *trace {
	t := &trace{
		volume:    make([]float32, c.InLen()+patchRow),
		filled:    make([]bool, c.In[0]*c.In[1]),
		reach:     make([]uint64, c.In[0]*c.In[1]),
		touch:     make([]uint64, c.In[2]),
		survivors: c.NewSurvivors(c.OutC),
	}
	if c.InC == 3 {
		t.wide = new([PaletteSize][4]float32)
		for i := range t.wide {
			copy(t.wide[i][:3], c.diff[3*i:])
		}
	}
	first, last := c.reads(2)
	for w := range c.Pool.Out[2] {
		for x := first(w); x < last(w); x++ {
			t.touch[x] |= 1 << w
		}
	}
	return t
}

// reads returns the first place along an axis that a window reads, and the one after the last.
func (c *PaletteConv) reads(axis int) (first, last func(window int) int) {
	step := c.Pool.Stride[axis] * c.Stride[axis]
	length := (c.Pool.Size[axis]-1)*c.Stride[axis] + c.Kernel[axis]
	return func(w int) int { return w * step }, func(w int) int { return w*step + length }
}

// set takes a sample [In].
func (t *trace) set(c *PaletteConv, sample []uint8) {
	width := c.In[2]
	for row := range t.filled {
		colours := sample[row*width:][:width]
		to := t.volume[row*width*c.InC:][:width*c.InC]
		if bytes.Equal(colours, c.blank) {
			if t.filled[row] {
				clear(to)
				t.filled[row], t.reach[row] = false, 0
			}
			continue
		}
		var reach uint64
		to = t.volume[row*width*c.InC:]
		for x, colour := range colours {
			if c.InC == 3 {
				// A vector at once: what it has too much is zero, and overwritten by the next place or right for a
				// background.
				*(*[4]float32)(to[3*x:]) = t.wide[colour]
			} else {
				copy(to[x*c.InC:(x+1)*c.InC], c.diff[int(colour)*c.InC:])
			}
			reach |= t.touch[x] & -uint64(one(colour != c.background))
		}
		t.filled[row], t.reach[row] = true, reach
	}
}

// reached returns which windows along the width read something, in the row of windows at depth pz and height py.
func (t *trace) reached(c *PaletteConv, pz, py int) uint64 {
	var reach uint64
	top, bottom := c.reads(0)
	front, back := c.reads(1)
	for z := top(pz); z < bottom(pz); z++ {
		for _, r := range t.reach[z*c.In[1]+front(py) : z*c.In[1]+back(py)] {
			reach |= r
		}
	}
	return reach
}

// list appends the survivors of a slab and adds the gradients to that of the response to background.
func (t *trace) list(c *PaletteConv, dbase, grad []float32, arg []uint8, slab int) {
	pz, rows, row := slab%c.Slabs(), c.Pool.Out[1], c.Pool.Out[2]
	for py := range rows {
		first := (slab*rows + py) * row * c.OutC
		starts := c.starts[(pz*rows+py)*row*c.size:][:row*c.size]
		loops.survive(t.survivors, dbase, grad[first:], arg[first:], starts, c.OutC, c.size, t.reached(c, pz, py))
	}
}

// collect adds what was listed to sums of patches [OutC,patchRows,patchRow], and empties the lists.
func (t *trace) collect(c *PaletteConv, sums []float32) {
	for j := range c.OutC {
		if start, scale := t.survivors.of(j); len(start) > 0 {
			loops.collectCube(sums[j*patchRows*patchRow:], t.volume, start, scale, c.In[2]*c.InC, c.In[1]*c.In[2]*c.InC)
		}
	}
	t.survivors.clear()
}

// weightGrad is WeightGrad.
func (t *trace) weightGrad(c *PaletteConv, dw, dbase []float32, src []uint8, grad []float32, arg []uint8, lo, hi int) {
	for lo < hi {
		sample := lo / c.Slabs()
		t.set(c, src[sample*volume(c.In):(sample+1)*volume(c.In)])
		for end := min(hi, (sample+1)*c.Slabs()); lo < end; lo++ {
			t.list(c, dbase, grad, arg, lo)
		}
		t.collect(c, dw)
	}
}

// finishTraced adds sums of patches to the weights' gradient dw [Patch,OutC].
func (c *PaletteConv) finishTraced(dw, sums []float32) {
	run := 3 * c.InC
	for j := range c.OutC {
		from := sums[j*patchRows*patchRow:]
		for r := range patchRows {
			for i, v := range from[r*patchRow:][:run] {
				dw[(r*run+i)*c.OutC+j] += v
			}
		}
	}
}

func portableCollectCube(dst, src []float32, starts []int32, scales []float32, row, plane int) {
	for i := range starts {
		for r := range patchRows {
			from, sums := src[int(starts[i])+r/3*plane+r%3*row:], dst[r*patchRow:]
			for k := range patchRow {
				sums[k] += scales[i] * from[k]
			}
		}
	}
}
