package kernel

// Geometry is the shape of a convolution: In [D,H,W,InC] per sample, weights [Kernel,InC,OutC], Out [D,H,W,OutC]. Out may be smaller than the
// kernel, stride and padding allow: what is not asked for is not computed. Padding after the end follows from Out; it reads as zero.
type Geometry struct {
	In       [3]int // depth, height, width
	InC      int
	Kernel   [3]int
	Stride   [3]int
	Dilation [3]int
	Pad      [3]int // zeros before the start of each axis
	Out      [3]int
	OutC     int
}

// Window is a pooling window over a convolution's output. Every window lies within Out.
type Window struct {
	Size, Stride, Out [3]int
}

// Unit returns the window that pools nothing.
func (g Geometry) Unit() Window {
	return Window{Size: [3]int{1, 1, 1}, Stride: [3]int{1, 1, 1}, Out: g.Out}
}

// Taps returns the number of positions of the kernel.
func (g Geometry) Taps() int { return volume(g.Kernel) }

// Patch returns the number of inputs that one output reads, which is the number of rows of the weight matrix.
func (g Geometry) Patch() int { return volume(g.Kernel) * g.InC }

// InLen returns the length of one input sample.
func (g Geometry) InLen() int { return volume(g.In) * g.InC }

// OutLen returns the length of one output sample.
func (g Geometry) OutLen() int { return volume(g.Out) * g.OutC }

func volume(s [3]int) int { return s[0] * s[1] * s[2] }

// Dead marks a pooled output that the activation cut off: nothing flows back through it.
const Dead = 255

// Conv is a convolution, followed by a rectifier where ReLU is set and then by the maximum over each window of Pool.
// The windows count in row-major order through all samples; with Pool the unit window they are the output positions themselves.
//
// A pooled forward pass also records in arg, for each output, which position of its window (row-major within the window) held the first
// maximum, or Dead where the rectifier gives zero. So a window has fewer than Dead positions.
type Conv struct {
	Geometry
	Pool Window
	ReLU bool
	// Accumulate makes the forward pass add to what is there, where nothing is pooled nor rectified.
	Accumulate bool

	size    int     // positions in a window
	windows int     // windows of a sample
	runs    []run   // the patch of a position as stretches of consecutive inputs
	toRows  []span  // from an input's place to a weight's, for each run
	toIn    []span  // the other way
	places  []int   // of the positions of a window in rows of OutC
	starts  []int32 // of the patch in the input, for each window and position of it; -1 where it does not lie inside
	padded  bool    // some patch does not
	whole   *Conv   // over enlarged inputs, in which every patch does; c itself where none is padded
	groups  []group
	widest  int  // group
	direct  bool // patches are the cells of the input, one after the other

	spots     []int32 // where the output of each window goes in a sample of sampleLen, nil where it is the window's own place; see Phase
	sampleLen int
}

// group is some runs of a patch, which are gathered and multiplied together.
type group struct {
	runs   []run
	toRows []span // as those of the convolution, with rows counted from the group's first
	toIn   []span
	row    int // first of its rows of the weights
	width  int // number of them
	// reached are the stretches of a sample's windows, in their order, outside of which all of the group's inputs are padding.
	reached []stretch
}

// stretch is a half-open range of windows.
type stretch struct{ lo, hi int }

// run is a stretch of a patch that is consecutive in the input and in the rows of the weights.
type run struct {
	tap    [3]int // its first tap
	offset int    // in the input, from the patch's first element
	row    int    // in the weights
	length int
}

// NewConv prepares a convolution with fused pooling; pool is g.Unit() for none.
func NewConv(g Geometry, pool Window, relu bool) *Conv {
	c := &Conv{Geometry: g, Pool: pool, ReLU: relu, size: volume(pool.Size), windows: volume(pool.Out)}
	if c.size >= Dead {
		panic("kernel: pooling window too large to fuse")
	}
	for off := range c.size {
		c.places = append(c.places, off*g.OutC)
	}
	// Neighbouring taps along the width are neighbours in memory unless dilated.
	taps := g.Kernel[2]
	if g.Dilation[2] != 1 {
		taps = 1
	}
	for z := range g.Kernel[0] {
		for y := range g.Kernel[1] {
			for x := 0; x < g.Kernel[2]; x += taps {
				at := (z*g.Dilation[0]*g.In[1]+y*g.Dilation[1])*g.In[2] + x*g.Dilation[2]
				c.runs = append(c.runs, run{
					tap:    [3]int{z, y, x},
					offset: at * g.InC,
					row:    ((z*g.Kernel[1]+y)*g.Kernel[2] + x) * g.InC,
					length: taps * g.InC,
				})
			}
		}
	}
	c.starts = make([]int32, c.windows*c.size)
	for i := range c.starts {
		z, y, x, inside := c.origin(i/c.size, i%c.size)
		c.starts[i] = -1
		if inside {
			c.starts[i] = int32(c.index(z, y, x))
		}
		c.padded = c.padded || !inside
	}
	if c.whole = c; c.padded {
		c.whole = NewConv(g.enlarged(), pool, relu)
	}
	for _, r := range c.runs {
		c.toRows = append(c.toRows, span{r.offset, r.row})
		c.toIn = append(c.toIn, span{r.row, r.offset})
	}
	one := [3]int{1, 1, 1}
	c.direct = g.Kernel == one && g.Stride == one && g.In == g.Out && !c.padded && pool.Size == one && pool.Out == g.Out
	c.group()
	return c
}

// groupRows is how many patches are gathered at a time at least: as many as make up for reading the weights.
const groupRows = 112

// group cuts the runs into groups of nearly equal length.
func (c *Conv) group() {
	length := c.runs[0].length
	most := max(1, gatherBytes/(4*groupRows*length))
	count := (len(c.runs) + most - 1) / most
	for i := range count {
		lo, hi := len(c.runs)*i/count, len(c.runs)*(i+1)/count
		g := group{runs: c.runs[lo:hi], row: c.runs[lo].row, width: (hi - lo) * length}
		for _, r := range g.runs {
			g.toRows = append(g.toRows, span{r.offset, r.row - g.row})
			g.toIn = append(g.toIn, span{r.row - g.row, r.offset})
		}
		g.reached = c.reach(&g)
		c.groups = append(c.groups, g)
		c.widest = max(c.widest, g.width)
	}
}

// Windows returns the number of windows of one sample.
func (c *Conv) Windows() int { return c.windows }

// origin returns the coordinates in the input of the first tap for position off of a sample's window w, and whether the whole patch lies inside.
func (c *Conv) origin(w, off int) (z, y, x int, inside bool) {
	p := &c.Pool
	z = (w/(p.Out[1]*p.Out[2]))*p.Stride[0] + off/(p.Size[1]*p.Size[2])
	y = (w/p.Out[2]%p.Out[1])*p.Stride[1] + off/p.Size[2]%p.Size[1]
	x = (w%p.Out[2])*p.Stride[2] + off%p.Size[2]
	z = z*c.Stride[0] - c.Pad[0]
	y = y*c.Stride[1] - c.Pad[1]
	x = x*c.Stride[2] - c.Pad[2]
	inside = z >= 0 && z+(c.Kernel[0]-1)*c.Dilation[0] < c.In[0] &&
		y >= 0 && y+(c.Kernel[1]-1)*c.Dilation[1] < c.In[1] &&
		x >= 0 && x+(c.Kernel[2]-1)*c.Dilation[2] < c.In[2]
	return z, y, x, inside
}

// index returns the place in a sample of channel 0 at a position.
func (g *Geometry) index(z, y, x int) int { return ((z*g.In[1]+y)*g.In[2] + x) * g.InC }

const (
	// leastGap is how many windows that a group does not reach are worth leaving out, leastStretch how many must lie between two gaps.
	leastGap, leastStretch = 6, 28
)

// reach returns the stretches of windows that a group reaches. They are rows of positions, so pooling has but one stretch.
func (c *Conv) reach(g *group) []stretch {
	if !c.padded || c.size > 1 {
		return []stretch{{0, c.windows}}
	}
	var out []stretch
	row := c.Pool.Out[2]
	for w := 0; w < c.windows; w += row {
		z, y, _, _ := c.origin(w, 0)
		inside := false
		for i := range g.runs {
			tz, ty := z+g.runs[i].tap[0]*c.Dilation[0], y+g.runs[i].tap[1]*c.Dilation[1]
			inside = inside || tz >= 0 && tz < c.In[0] && ty >= 0 && ty < c.In[1]
		}
		if !inside {
			continue
		}
		last := len(out) - 1
		if last >= 0 && (w-out[last].hi < leastGap || out[last].hi-out[last].lo < leastStretch) {
			out[last].hi = w + row
		} else {
			out = append(out, stretch{w, w + row})
		}
	}
	return out
}

// eachReached calls f for the stretches of windows [lo,hi), counted through all samples, that a group reaches.
func (c *Conv) eachReached(g *group, lo, hi int, f func(lo, hi int)) {
	for sample := lo / c.windows; sample*c.windows < hi; sample++ {
		for _, s := range g.reached {
			first, last := max(lo, sample*c.windows+s.lo), min(hi, sample*c.windows+s.hi)
			if first < last {
				f(first, last)
			}
		}
	}
}

// everywhere tells whether a group reaches all windows.
func (c *Conv) everywhere(g *group) bool {
	return len(g.reached) == 1 && g.reached[0] == stretch{0, c.windows}
}

// clip returns the part of a run, of the patch whose first tap is at z, y, x, that lies inside the input: elements [lo,hi) of the run, which begin at a place
// of the sample; none where lo is hi.
func (c *Conv) clip(r *run, z, y, x int) (at, lo, hi int) {
	z, y = z+r.tap[0]*c.Dilation[0], y+r.tap[1]*c.Dilation[1]
	if z < 0 || z >= c.In[0] || y < 0 || y >= c.In[1] {
		return 0, 0, 0
	}
	x += r.tap[2] * c.Dilation[2]
	lo, hi = max(0, -x), min(r.length/c.InC, c.In[2]-x)
	if lo >= hi {
		return 0, 0, 0
	}
	return c.index(z, y, x+lo), lo * c.InC, hi * c.InC
}
