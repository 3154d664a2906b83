package kernel

import "bytes"

// PaletteSize is the number of colours that a uint8 index can name.
const PaletteSize = 256

// PaletteConv is a convolution whose input is [N,In] palette indices in place of [N,In,InC] colours.
//
// It is linear in its input, so out = (response to a volume of nothing but background) + sum over the voxels that
// are not background of the response to (colour - background). The first term is the same for all samples; the
// second is, for each such voxel and tap, a few products or a row of a table [PaletteSize,Kernel,OutC] that is
// computed once for given weights. The terms are those of the convolution, added in another order.
type PaletteConv struct {
	Conv
	colours    []float32 // [PaletteSize,InC]
	diff       []float32 // [PaletteSize,InC], colour less background
	background uint8
	shared     bool // one background response serves all positions, as no output reads padding
	flat       bool // within a plane the outputs that one voxel reaches are neighbours: no stride, no dilation
	dense      *Conv
	still      []float32 // a volume of background
	blank      []uint8   // a row of it

	plane plane
}

// plane is the layout of one depth of outputs in scratch memory: those that the windows read, with a margin around
// them that stands for outputs which do not exist, so that the taps of a voxel at an edge need no check.
type plane struct {
	reads  [2]int // height and width without the margin
	margin [2]int
	row    int   // elements between rows
	length int   // elements
	first  int   // the first element that is read
	places []int // of the positions of a window, which may span several planes
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
	c.flat = g.Stride[1] == 1 && g.Stride[2] == 1 && g.Dilation[1] == 1 && g.Dilation[2] == 1
	c.plane = c.layout()
	c.blank = bytes.Repeat([]byte{background}, g.In[2])
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

func (c *PaletteConv) layout() plane {
	var p plane
	var size [2]int
	for i := range 2 {
		p.reads[i] = (c.Pool.Out[i+1]-1)*c.Pool.Stride[i+1] + c.Pool.Size[i+1]
		// A voxel may lie further on than any output that is read, and its place must still be its own.
		size[i] = max(p.reads[i], c.In[i+1])
		if c.flat {
			p.margin[i] = c.Kernel[i+1] - 1
			size[i] = max(p.reads[i], c.In[i+1]+c.Pad[i+1]-p.margin[i])
		}
	}
	p.row = (size[1] + 2*p.margin[1]) * c.OutC
	p.length = (size[0] + 2*p.margin[0]) * p.row
	p.first = p.margin[0]*p.row + p.margin[1]*c.OutC
	s := c.Pool.Size
	for off := range c.size {
		p.places = append(p.places, off/(s[1]*s[2])*p.length+off/s[2]%s[1]*p.row+off%s[2]*c.OutC)
	}
	return p
}

// rgb tells that the inner loops for kernels of width 3 over three colour channels apply.
func (c *PaletteConv) rgb() bool { return c.flat && c.Kernel[2] == 3 && c.InC == 3 }

// tableless tells that responses are computed where they are needed, which pays where a tier computes three
// products as fast as it adds.
func (c *PaletteConv) tableless() bool { return c.rgb() && c.OutC%8 == 0 && loops.respond != nil }

// TableLen returns the length of the table of responses, 0 where none is needed.
func (c *PaletteConv) TableLen() int {
	if c.tableless() {
		return 0
	}
	return PaletteSize * c.Taps() * c.OutC
}

// BaseLen returns the length of the response to background: [OutC] where no output reads padding, else [Out,OutC].
func (c *PaletteConv) BaseLen() int { return c.dense.OutLen() }

// BaseScratchLen returns the length of the scratch memory that Base needs.
func (c *PaletteConv) BaseScratchLen() int { return c.dense.ScratchLen() }

// Base computes the response to a volume of background.
func (c *PaletteConv) Base(base, w, bias, scratch []float32) {
	c.dense.Forward(base, nil, c.still, w, bias, 0, c.dense.Windows(), scratch)
}

// Table computes the responses to colours [lo,hi). Along the width a colour's taps stand in falling order, so that
// the rows which one voxel adds to neighbouring outputs are neighbours too.
func (c *PaletteConv) Table(table, w []float32, lo, hi int) {
	if c.tableless() {
		return
	}
	n, kx, all := c.OutC, c.Kernel[2], c.Taps()*c.OutC
	for tap := range c.Taps() {
		mirrored := tap - tap%kx + kx - 1 - tap%kx
		Gemm(hi-lo, n, c.InC, c.diff[lo*c.InC:], c.InC, 1, w[tap*c.InC*n:], n, table[lo*all+mirrored*n:], all, false)
	}
}

// Slabs returns the number of slabs of one sample: the windows of one depth. A range of slabs is a task.
func (c *PaletteConv) Slabs() int { return c.Pool.Out[0] }

// Voxels lists the voxels of a sample that are not background, plane by plane; it is scratch memory of one worker.
type Voxels struct {
	sample int
	planes int     // those before are listed
	first  []int32 // [D+1], where a plane's voxels begin
	at     []int32 // the place of a voxel in a plane of outputs, were it one
	colour []int32
	trace  *trace
}

// NewVoxels allocates the list for inputs of c, and what WeightGrad needs if it will be called.
func (c *PaletteConv) NewVoxels(training bool) *Voxels {
	n := volume(c.In) + listSlack
	v := &Voxels{first: make([]int32, c.In[0]+1), at: make([]int32, n), colour: make([]int32, n)}
	if training && c.traced() {
		v.trace = c.newTrace()
	}
	return v
}

// listSlack is by how much a tier may write beyond the end of the list.
const listSlack = 16

// list makes sure that v has the planes that a slab of a sample reads. Slabs of one sample come in rising order.
func (c *PaletteConv) list(v *Voxels, src []uint8, slab int) {
	sample, pz := slab/c.Slabs(), slab%c.Slabs()
	first := pz*c.Pool.Stride[0]*c.Stride[0] - c.Pad[0]
	last := first + (c.Pool.Size[0]-1)*c.Stride[0] + (c.Kernel[0]-1)*c.Dilation[0]
	if v.sample != sample {
		v.sample, v.planes = sample, max(first, 0)
		v.first[v.planes] = 0
	}
	height, width := c.In[1], c.In[2]
	src = src[sample*volume(c.In) : (sample+1)*volume(c.In)]
	for ; v.planes <= min(last, c.In[0]-1); v.planes++ {
		n := int(v.first[v.planes])
		for y := range height {
			row := src[(v.planes*height+y)*width:][:width]
			n += loops.list(v.at[n:], v.colour[n:], row, y*c.plane.row, c.OutC, c.background)
		}
		v.first[v.planes+1] = int32(n)
	}
}

// PlaneScratchLen returns the length of the scratch memory that Forward and WeightGrad need.
func (c *PaletteConv) PlaneScratchLen() int { return c.Pool.Size[0] * c.plane.length }

// Forward computes slabs [lo,hi), counted through all samples, of dst [N,Pool.Out,OutC], from the weights and what
// Table and Base made of them; arg as in Conv.Forward.
func (c *PaletteConv) Forward(dst []float32, arg, src []uint8, w, table, base []float32, lo, hi int, v *Voxels,
	scratch []float32,
) {
	v.sample = -1
	n := c.OutC
	for slab := lo; slab < hi; slab++ {
		pz := slab % c.Slabs()
		c.list(v, src, slab)
		for r := range c.Pool.Size[0] {
			z := pz*c.Pool.Stride[0] + r
			sums := scratch[r*c.plane.length : (r+1)*c.plane.length]
			c.setBase(sums, base, z)
			for kz := range c.Kernel[0] {
				at, colour := c.voxels(v, z, kz)
				if len(at) == 0 {
					continue
				}
				taps := kz * c.Kernel[1] * c.Kernel[2]
				if c.tableless() {
					loops.respond(sums, w[taps*c.InC*n:], c.diff, at, colour, c.corner(), c.Kernel[1], c.plane.row, n)
				} else {
					c.addResponses(sums, table[taps*n:], at, colour)
				}
			}
		}
		c.eachWindow(slab, func(out, at int) {
			var where []uint8
			if arg != nil {
				where = arg[out : out+n]
			}
			loops.pool(dst[out:out+n], where, scratch[at:], c.plane.places, c.ReLU)
		})
	}
}

// voxels returns those that outputs of depth z read by tap kz.
func (c *PaletteConv) voxels(v *Voxels, z, kz int) (at, colour []int32) {
	iz := z*c.Stride[0] - c.Pad[0] + kz*c.Dilation[0]
	if iz < 0 || iz >= c.In[0] {
		return nil, nil
	}
	lo, hi := v.first[iz], v.first[iz+1]
	return v.at[lo:hi], v.colour[lo:hi]
}

// eachWindow calls f for each window of a slab with its place in the output and in the planes.
func (c *PaletteConv) eachWindow(slab int, f func(out, at int)) {
	out := slab * c.Pool.Out[1] * c.Pool.Out[2] * c.OutC
	for py := range c.Pool.Out[1] {
		at := c.plane.first + py*c.Pool.Stride[1]*c.plane.row
		for range c.Pool.Out[2] {
			f(out, at)
			out += c.OutC
			at += c.Pool.Stride[2] * c.OutC
		}
	}
}

// setBase fills what is read of a plane with the response to background.
func (c *PaletteConv) setBase(sums, base []float32, z int) {
	length := c.plane.reads[1] * c.OutC
	for y := range c.plane.reads[0] {
		row := sums[c.plane.first+y*c.plane.row:][:length]
		switch {
		case !c.shared:
			copy(row, base[(z*c.Out[1]+y)*c.Out[2]*c.OutC:])
		case y > 0:
			copy(row, sums[c.plane.first:])
		default:
			// Copying what is already there doubles the filled part each time.
			for n := copy(row, base); n < length; n *= 2 {
				copy(row[n:], row[:n])
			}
		}
	}
}

// corner is the distance from a voxel's place to that of the first output it reaches by tap 0 of the height: output
// x+pad-k gets tap k.
func (c *PaletteConv) corner() int {
	return (c.Pad[1]+c.Kernel[1]-1)*c.plane.row + c.Pad[2]*c.OutC
}

// addResponses adds to a plane of sums what voxels contribute, from the rows of a table that begin with the first
// tap of a depth.
func (c *PaletteConv) addResponses(sums, table []float32, at, colour []int32) {
	n, kx := c.OutC, c.Kernel[2]
	if c.flat {
		loops.voxels(sums, table, at, colour, c.corner(), c.Kernel[1], c.plane.row, c.Taps()*n, kx*n)
		return
	}
	for i := range at {
		c.eachOutput(int(at[i]), func(out, ky, k int) {
			row := (int(colour[i])*c.Taps() + ky*kx + kx - 1 - k) * n
			loops.add(table[row:row+n], sums[out:out+n])
		})
	}
}

// eachOutput calls f for each place in a plane that a voxel reaches, and the taps by which it does, where there is
// a stride or a dilation.
func (c *PaletteConv) eachOutput(at int, f func(out, ky, kx int)) {
	y, x := at/c.plane.row, at%c.plane.row/c.OutC
	for ky := range c.Kernel[1] {
		oy := y + c.Pad[1] - ky*c.Dilation[1]
		if oy < 0 || oy%c.Stride[1] != 0 || oy/c.Stride[1] >= c.plane.reads[0] {
			continue
		}
		for kx := range c.Kernel[2] {
			ox := x + c.Pad[2] - kx*c.Dilation[2]
			if ox >= 0 && ox%c.Stride[2] == 0 && ox/c.Stride[2] < c.plane.reads[1] {
				f(oy/c.Stride[1]*c.plane.row+ox/c.Stride[2]*c.OutC, ky, kx)
			}
		}
	}
}

// WeightGradLen returns the length of the sums that WeightGrad adds to.
func (c *PaletteConv) WeightGradLen() int { return c.patchesLen() + c.BaseLen() }

// patchesLen is the length of the part of the weights' gradient that comes from colours less background:
// [Patch,OutC], or the sums of a trace.
func (c *PaletteConv) patchesLen() int {
	if c.traced() {
		return c.OutC * patchRows * patchRow
	}
	return c.Patch() * c.OutC
}

// WeightGrad adds slabs [lo,hi) to sums [WeightGradLen]: the part of the weights' gradient that comes from colours
// less background, then the gradient of the response to background. FinishWeightGrad makes the weights' and the
// bias's gradient of both.
func (c *PaletteConv) WeightGrad(sums []float32, src []uint8, grad []float32, arg []uint8, out []float32, lo,
	hi int, v *Voxels, scratch []float32,
) {
	v.sample = -1
	dw, dbase := sums[:c.patchesLen()], sums[c.patchesLen():]
	if v.trace != nil {
		v.trace.weightGrad(c, dw, dbase, src, grad, arg, lo, hi)
		return
	}
	scratch = scratch[:c.PlaneScratchLen()]
	clear(scratch)
	depth := len(dw) / c.Kernel[0]
	for slab := lo; slab < hi; slab++ {
		pz := slab % c.Slabs()
		c.list(v, src, slab)
		c.spreadSlab(scratch, dbase, grad, arg, out, slab)
		for r := range c.Pool.Size[0] {
			plane := scratch[r*c.plane.length : (r+1)*c.plane.length]
			for kz := range c.Kernel[0] {
				if at, colour := c.voxels(v, pz*c.Pool.Stride[0]+r, kz); len(at) > 0 {
					c.addOuter(dw[kz*depth:(kz+1)*depth], plane, at, colour)
				}
			}
		}
	}
}

// spreadSlab undoes the pooling of a slab, as Conv.spread does, into planes whose margin is zero, and adds the
// gradients to that of the response to background.
func (c *PaletteConv) spreadSlab(planes, dbase, grad []float32, arg []uint8, out []float32, slab int) {
	n := c.OutC
	// Where windows tile the outputs each is set once and the rest stays zero.
	if c.shared && c.size > 1 && c.Pool.Size == c.Pool.Stride {
		c.eachWindow(slab, func(o, at int) {
			loops.unpool(planes[at:], dbase, grad[o:o+n], arg[o:o+n], c.plane.places)
		})
		return
	}
	clear(planes)
	depth := slab % c.Slabs() * c.Pool.Stride[0]
	size := c.Pool.Size
	c.eachWindow(slab, func(o, at int) {
		w := at - c.plane.first
		y, x := w/c.plane.row, w%c.plane.row/n
		for j, g := range grad[o : o+n] {
			off := 0
			if c.size > 1 {
				off = int(arg[o+j])
			} else if c.ReLU && !(out[o+j] > 0) {
				off = Dead
			}
			switch {
			case off == Dead:
				continue
			case c.shared:
				dbase[j] += g
			default:
				oz, oy, ox := depth+off/(size[1]*size[2]), y+off/size[2]%size[1], x+off%size[2]
				dbase[((oz*c.Out[1]+oy)*c.Out[2]+ox)*n+j] += g
			}
			planes[at+c.plane.places[off]+j] += g
		}
	})
}

// addOuter adds to the gradient of a depth of taps [KH,KW,InC,OutC] what voxels contribute.
func (c *PaletteConv) addOuter(dw, plane []float32, at, colour []int32) {
	n := c.OutC
	if c.rgb() {
		loops.outer(dw, plane, c.diff, at, colour, c.corner(), c.Kernel[1], c.plane.row, n)
		return
	}
	add := func(out, ky, kx, colour int) {
		for ch, d := range c.diff[colour*c.InC : (colour+1)*c.InC] {
			if d != 0 {
				row := ((ky*c.Kernel[2]+kx)*c.InC + ch) * n
				loops.axpy(d, plane[out:out+n], dw[row:row+n])
			}
		}
	}
	for i := range at {
		if !c.flat {
			c.eachOutput(int(at[i]), func(out, ky, kx int) { add(out, ky, kx, int(colour[i])) })
			continue
		}
		for ky := range c.Kernel[1] {
			to := int(at[i]) + c.corner() - ky*c.plane.row
			for kx := range c.Kernel[2] {
				add(to+(c.Kernel[2]-1-kx)*n, ky, kx, int(colour[i]))
			}
		}
	}
}

// FinishWeightGrad adds the gradients to dw [Patch,OutC] and db [OutC] (nil for none), from the finished sums.
func (c *PaletteConv) FinishWeightGrad(dw, db, sums, scratch []float32) {
	patches, dbase := sums[:c.patchesLen()], sums[c.patchesLen():]
	if c.traced() {
		c.finishTraced(dw, patches)
	} else {
		loops.add(patches, dw[:len(patches)])
	}
	c.dense.WeightGrad(dw, db, c.still, dbase, nil, nil, 0, c.dense.Windows(), scratch)
}
