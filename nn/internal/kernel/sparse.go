package kernel

import "math"

// A pooling window passes its gradient to one position only, and to none where the ReLU gave zero. The two kernels
// here visit just those: with a window of 2x2x2 they do an eighth of the work of the dense ones or less. The terms
// are the same ones, less the zeros.

// Survivors lists, for each of some channels, the positions of a sample to which its gradient flows; it is scratch
// memory of one worker.
type Survivors struct {
	windows  int
	count    []int32
	start    []int32   // [channels,windows], of the patch in the sample
	grad     []float32 // [channels,windows]
	enlarged []float32 // a sample with its padding around it, where there is one
}

// NewSurvivors allocates the lists for up to channels channels of c.
func (c *Conv) NewSurvivors(channels int) *Survivors {
	n := channels * c.windows
	return &Survivors{
		windows: c.windows, count: make([]int32, channels), start: make([]int32, n),
		grad: make([]float32, n), enlarged: c.newEnlarged(),
	}
}

// list fills s for channels [lo,hi) of a sample, from its arg and the gradient grad, and adds the gradients to db.
func (s *Survivors) list(c *Conv, db, grad []float32, arg []uint8, lo, hi int) {
	s.clear()
	for w := 0; w < c.windows; w += maxReach {
		n := min(maxReach, c.windows-w)
		loops.survive(s, db[lo:hi], grad[w*c.OutC+lo:], arg[w*c.OutC+lo:], c.starts[w*c.size:(w+n)*c.size], c.OutC,
			c.size, ^uint64(0))
	}
}

func (s *Survivors) clear() { clear(s.count) }

// of returns the list of a channel.
func (s *Survivors) of(channel int) (start []int32, grad []float32) {
	lo, n := channel*s.windows, int(s.count[channel])
	return s.start[lo : lo+n], s.grad[lo : lo+n]
}

// maxReach is how many windows survive takes at once.
const maxReach = 64

// portableSurvive writes what does not survive too, and overwrites it by the next that does: which do cannot be
// foretold, and a wrong guess costs more than the two stores.
func portableSurvive(s *Survivors, sum, grad []float32, arg []uint8, starts []int32, stride, size int, reach uint64) {
	for w := range len(starts) / size {
		inReach := int32(reach >> w & 1)
		args := arg[w*stride:]
		for j, g := range grad[w*stride:][:len(sum)] {
			at := args[j]
			lives := one(at != Dead)
			g = math.Float32frombits(math.Float32bits(g) & uint32(-lives))
			sum[j] += g
			place := j*s.windows + int(s.count[j])
			s.start[place] = starts[w*size+min(int(at), size-1)]
			s.grad[place] = g
			s.count[j] += inReach & lives & one(g != 0)
		}
	}
}

// one is 1 for true, without a branch.
func one(b bool) int32 {
	var n int32
	if b {
		n = 1
	}
	return n
}

// SparseWeightGrad sets rows [lo,hi) of dwt [OutC,Patch] and of db [OutC] to the gradient of the weights,
// transposed, over samples [first,last), from src, the gradient grad of the pooled output and the arg of Forward.
func (c *Conv) SparseWeightGrad(dwt, db, src, grad []float32, arg []uint8, first, last, lo, hi int, s *Survivors) {
	k, patch, out := c.whole, c.Patch(), c.windows*c.OutC
	clear(dwt[lo*patch : hi*patch])
	clear(db[lo:hi])
	for sample := first; sample < last; sample++ {
		in := src[sample*c.InLen() : (sample+1)*c.InLen()]
		if c.padded {
			c.enlarge(s.enlarged, in, 0, c.Pad[0]+c.In[0])
			in = s.enlarged
		}
		s.list(k, db, grad[sample*out:(sample+1)*out], arg[sample*out:(sample+1)*out], lo, hi)
		// Channels outside, so that a row of sums stays in registers for all windows of the sample.
		for j := lo; j < hi; j++ {
			start, scale := s.of(j - lo)
			if len(start) == 0 {
				continue
			}
			to := dwt[j*patch : (j+1)*patch]
			loops.collect(to, in, start, scale, k.toRows, k.runs[0].length)
		}
	}
}

// Places lists, for each position of some windows, the channels whose gradient flows there; it is scratch memory of
// one worker.
type Places struct {
	count []int32   // [placedWindows,size]
	row   []int32   // [placedWindows,size,OutC], where the channel's row of the transposed weights begins
	grad  []float32 // [placedWindows,size,OutC]
	// The gradient of a sample with its padding around it, where there is one.
	enlarged []float32
}

// placedWindows is how many windows SparseInputGrad takes at once, so that a stretch of the weights stays in the
// first-level cache for all of them.
const placedWindows = 8

// NewPlaces allocates the lists.
func (c *Conv) NewPlaces() *Places {
	n := placedWindows * c.size
	return &Places{make([]int32, n), make([]int32, n*c.OutC), make([]float32, n*c.OutC), c.newEnlarged()}
}

// list fills p for some windows, of which it gets grad and arg.
func (p *Places) list(c *Conv, grad []float32, arg []uint8) {
	clear(p.count)
	patch, n := int32(c.Patch()), c.OutC
	for w := range len(grad) / n {
		count := p.count[w*c.size : (w+1)*c.size]
		rows, grads := p.row[w*c.size*n:(w+1)*c.size*n], p.grad[w*c.size*n:(w+1)*c.size*n]
		args, row := arg[w*n:(w+1)*n], int32(0)
		// As in portableSurvive: what does not survive is overwritten, and the last place of a list is only taken
		// by the last channel.
		for j, g := range grad[w*n : (w+1)*n] {
			at := min(int(args[j]), len(count)-1)
			place := at*n + int(count[at])
			rows[place], grads[place] = row, g
			count[at] += one(args[j] != Dead) & one(g != 0)
			row += patch
		}
	}
}

// SparseInputGrad adds the gradient of the input to samples [lo,hi) of dsrc [N,In,InC]. wt [OutC,Patch] is the
// transpose of the weights.
func (c *Conv) SparseInputGrad(dsrc, wt, grad []float32, arg []uint8, lo, hi int, p *Places) {
	out := c.windows * c.OutC
	for sample := lo; sample < hi; sample++ {
		to := dsrc[sample*c.InLen() : (sample+1)*c.InLen()]
		g, a := grad[sample*out:(sample+1)*out], arg[sample*out:(sample+1)*out]
		if !c.padded {
			c.placeGrad(to, wt, g, a, p)
			continue
		}
		clear(p.enlarged)
		c.whole.placeGrad(p.enlarged, wt, g, a, p)
		c.addMiddle(to, p.enlarged)
	}
}

// placeGrad adds the gradient of the input to a sample, in which every patch lies inside.
func (c *Conv) placeGrad(to, wt, grad []float32, arg []uint8, p *Places) {
	n := c.OutC
	for first := 0; first < c.windows; first += placedWindows {
		last := min(first+placedWindows, c.windows)
		p.list(c, grad[first*n:last*n], arg[first*n:last*n])
		for r := range c.toIn {
			for place := range (last - first) * c.size {
				if lives := int(p.count[place]); lives > 0 {
					start := c.starts[first*c.size+place]
					loops.collect(to[start:], wt, p.row[place*n:place*n+lives], p.grad[place*n:place*n+lives],
						c.toIn[r:r+1], c.runs[0].length)
				}
			}
		}
	}
}
