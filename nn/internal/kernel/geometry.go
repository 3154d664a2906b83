package kernel

// Geometry is the shape of a convolution: In [D,H,W,InC] per sample, weights [Kernel,InC,OutC], Out [D,H,W,OutC].
// Out may be smaller than the kernel, stride and padding allow: what is not asked for is not computed. Padding
// after the end follows from Out; it reads as zero.
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

// Conv is a convolution, followed by a ReLU if ReLU is set and then by the maximum over each window of Pool. The
// windows count in row-major order through all samples; with Pool the unit window they are the output positions
// themselves.
//
// A pooled forward pass also records in arg, for each output, which position of its window (row-major within the
// window) held the first maximum, or Dead where the ReLU gives zero. So a window has fewer than Dead positions.
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
	starts  []int32 // of what lies inside of the patch in the input, for each window and position of it
	kinds   []int32 // of that patch: 0 where all of it lies inside
	padded  bool    // some patch does not
	whole   *Conv   // over enlarged inputs, in which every patch does; c itself where none is padded
	groups  []group
	widest  int      // group
	direct  bool     // patches are the cells of the input, one after the other
	stream  bool     // see Stream
	inPlace *inPlace // nil where patches are gathered
	near    bool     // see Near

	spots     []int32 // where the output of each window goes in a sample of sampleLen, nil where it is the window's own place; see Phase
	sampleLen int
}

// group is some runs of a patch, which are gathered and multiplied together.
type group struct {
	runs   []run
	inside []inside // of each kind of patch
	row    int      // first of its rows of the weights
	width  int      // number of them
	// reached are the stretches of a sample's windows, in their order, outside of which all of the group's inputs
	// are padding.
	reached []stretch
}

// inside is what lies inside the input of a group's part of a patch: stretches of some length, from the first input
// that does to the gathered row and back.
type inside struct {
	toRow, toIn []span
	length      int
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
	kinds := c.sortPatches()
	if c.whole = c; c.padded {
		c.whole = NewConv(g.enlarged(), pool, relu)
	}
	for _, r := range c.runs {
		c.toRows = append(c.toRows, span{r.offset, r.row})
		c.toIn = append(c.toIn, span{r.row, r.offset})
	}
	one := [3]int{1, 1, 1}
	c.direct = g.Kernel == one && g.Stride == one && g.In == g.Out && !c.padded && pool.Size == one && pool.Out == g.Out
	c.group(kinds)
	c.inPlace = c.newInPlace()
	return c
}

// groupRows is how many patches are gathered at a time at least: as many as make up for reading the weights.
const groupRows = 112

// listed bounds the stretches that are listed for all kinds of patches together; of large kernels only some kinds are.
const listed = 1 << 17

// sortPatches sets starts and kinds, and returns for each kind of patch that is listed the taps that read what lies
// inside the input.
func (c *Conv) sortPatches() [][3]stretch {
	whole := [3]stretch{{0, c.Kernel[0]}, {0, c.Kernel[1]}, {0, c.Kernel[2]}}
	kinds, number := [][3]stretch{whole}, map[[3]stretch]int32{whole: 0}
	c.starts, c.kinds = make([]int32, c.windows*c.size), make([]int32, c.windows*c.size)
	for i := range c.starts {
		taps, start := c.reading(i/c.size, i%c.size)
		kind, ok := number[taps]
		switch {
		case ok:
		case len(kinds)*len(c.runs) > listed:
			kind = unlisted
		default:
			kind = int32(len(kinds))
			kinds, number[taps] = append(kinds, taps), kind
		}
		c.starts[i], c.kinds[i] = int32(start), kind
		c.padded = c.padded || kind != 0
	}
	return kinds
}

// unlisted is the kind of patches whose stretches are found when they are needed.
const unlisted = -1

// reading returns the taps along each axis that read what lies inside the input, for position off of a sample's
// window w, and the place of the first such input.
func (c *Conv) reading(w, off int) (taps [3]stretch, start int) {
	var first [3]int
	z, y, x := c.origin(w, off)
	for a, at := range [3]int{z, y, x} {
		taps[a] = c.tapsInside(a, at)
		first[a] = at + taps[a].lo*c.Dilation[a]
	}
	return taps, c.index(first[0], first[1], first[2])
}

// tapsInside returns the taps along axis a that read what lies inside the input, where the first tap reads position at.
func (g *Geometry) tapsInside(a, at int) stretch {
	apart := g.Dilation[a]
	lo := max(0, (apart-1-at)/apart)
	return stretch{lo, max(lo, min(g.Kernel[a], (g.In[a]-at+apart-1)/apart))}
}

// insideOf returns what lies inside of a group's part of the patch for position off of a sample's window w.
func (c *Conv) insideOf(g *group, w, off int) inside {
	if kind := c.kinds[w*c.size+off]; kind != unlisted {
		return g.inside[kind]
	}
	taps, _ := c.reading(w, off)
	return c.inside(g, taps)
}

// inside lists what lies inside of a group's part of a patch, for the taps that do.
func (c *Conv) inside(g *group, taps [3]stretch) inside {
	together := g.runs[0].length > c.InC // taps along the width
	in := inside{length: c.InC}
	if together {
		in.length = (taps[2].hi - taps[2].lo) * c.InC
	}
	if in.length == 0 {
		return in
	}
	start := 0
	for a := range 3 {
		start = start*c.In[a] + taps[a].lo*c.Dilation[a]
	}
	for _, r := range g.runs {
		if z, y := r.tap[0], r.tap[1]; z < taps[0].lo || z >= taps[0].hi || y < taps[1].lo || y >= taps[1].hi {
			continue
		}
		skipped := 0
		if together {
			skipped = taps[2].lo * c.InC
		} else if r.tap[2] < taps[2].lo || r.tap[2] >= taps[2].hi {
			continue
		}
		from, to := r.offset+skipped-start*c.InC, r.row-g.row+skipped
		in.toRow, in.toIn = append(in.toRow, span{from, to}), append(in.toIn, span{to, from})
	}
	return in
}

// group cuts the runs into groups of nearly equal length.
func (c *Conv) group(kinds [][3]stretch) {
	length := c.runs[0].length
	most := max(1, gatherBytes/(4*groupRows*length))
	if c.padded && length >= depthBlock/2 {
		most = 1 // as few as make up for reading the sums again leave out most of the padding
	}
	count := (len(c.runs) + most - 1) / most
	for i := range count {
		lo, hi := len(c.runs)*i/count, len(c.runs)*(i+1)/count
		g := group{runs: c.runs[lo:hi], row: c.runs[lo].row, width: (hi - lo) * length}
		for _, taps := range kinds {
			g.inside = append(g.inside, c.inside(&g, taps))
		}
		g.reached = c.reach(&g)
		c.groups = append(c.groups, g)
		c.widest = max(c.widest, g.width)
	}
}

// Windows returns the number of windows of one sample.
func (c *Conv) Windows() int { return c.windows }

// origin returns the coordinates in the input of the first tap for position off of a sample's window w.
func (c *Conv) origin(w, off int) (z, y, x int) {
	p := &c.Pool
	z = (w/(p.Out[1]*p.Out[2]))*p.Stride[0] + off/(p.Size[1]*p.Size[2])
	y = (w/p.Out[2]%p.Out[1])*p.Stride[1] + off/p.Size[2]%p.Size[1]
	x = (w%p.Out[2])*p.Stride[2] + off%p.Size[2]
	return z*c.Stride[0] - c.Pad[0], y*c.Stride[1] - c.Pad[1], x*c.Stride[2] - c.Pad[2]
}

// index returns the place in a sample of channel 0 at a position.
func (g *Geometry) index(z, y, x int) int { return ((z*g.In[1]+y)*g.In[2] + x) * g.InC }

const (
	// leastGap is how many windows that a group does not reach are worth leaving out, leastStretch how many must
	// lie between two gaps.
	leastGap, leastStretch = 6, 28
)

// reach returns the stretches of windows that a group reaches. They are rows of positions, so pooling has but one
// stretch.
func (c *Conv) reach(g *group) []stretch {
	if !c.padded || c.size > 1 {
		return []stretch{{0, c.windows}}
	}
	var out []stretch
	row := c.Pool.Out[2]
	for w := 0; w < c.windows; w += row {
		z, y, _ := c.origin(w, 0)
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

// everywhere reports whether a group reaches all windows.
func (c *Conv) everywhere(g *group) bool {
	return len(g.reached) == 1 && g.reached[0] == stretch{0, c.windows}
}
