// Package kdtree finds the nearest neighbours of all points of a cloud.
package kdtree

import (
	"fmt"
	"math"
)

// maxCoordinate is the largest coordinate in metres, so that squared distances are finite as float32.
const maxCoordinate = 1e18

// leafSize is the largest number of points of a leaf.
const leafSize = 16

// maxNear is the largest number of leaves that are looked up for all points of a leaf.
const maxNear = 256

// Tree is a k-d tree of points. Its leaves are ranges of the arrays X, Y and Z.
type Tree struct {
	// X, Y and Z are the coordinates in metres, in the order of the tree, in which neighbours are close together.
	X, Y, Z []float64
	// Points has the index in the cloud of each point of the tree.
	Points []int32

	positions []uint32 // 0, 1, 2, ...
	leaves    int      // 2^depth
	depth     uint8
	boxes     []box // box i has the halves 2i+1 and 2i+2; the last boxes are the leaves
}

// point is a point while the tree is built.
type point struct {
	at [3]float64
	i  int32
}

// New returns the tree of a cloud. The error reports coordinates that are not finite or too large.
func New(x, y, z []float64) (*Tree, error) {
	n := len(x)
	t := &Tree{leaves: 1, X: make([]float64, n), Y: make([]float64, n), Z: make([]float64, n), Points: make([]int32, n)}
	for t.leaves*leafSize < n {
		t.leaves *= 2
		t.depth++
	}
	t.positions = make([]uint32, n)
	points := make([]point, n)
	for i := range points {
		p := [3]float64{x[i], y[i], z[i]}
		for _, v := range p {
			if !(math.Abs(v) <= maxCoordinate) {
				return nil, fmt.Errorf("found a point at %v m, want at most %g m along each axis", p, maxCoordinate)
			}
		}
		points[i] = point{p, int32(i)}
	}
	t.order(points, 0, t.leaves)
	for i := range points {
		p := &points[i]
		t.X[i], t.Y[i], t.Z[i], t.Points[i] = p.at[0], p.at[1], p.at[2], p.i
		t.positions[i] = uint32(i)
	}
	t.boxes = make([]box, 2*t.leaves-1)
	t.bound(0, points)
	return t, nil
}

// start returns the index of the first point of a leaf.
func (t *Tree) start(leaf int) int { return len(t.X) * leaf >> t.depth }

// order orders points, which are those of the leaves from first to first + leaves - 1: first those of the first half
// of the leaves, then those of the second, and so on in each half.
func (t *Tree) order(points []point, first, leaves int) {
	for leaves > 1 {
		half := t.start(first+leaves/2) - t.start(first)
		halve(points, half, widest(points))
		leaves /= 2
		left := points[:half]
		if len(left) > 1<<14 {
			done := make(chan struct{})
			defer func() { <-done }()
			go func(first, leaves int) {
				defer close(done)
				t.order(left, first, leaves)
			}(first, leaves)
		} else {
			t.order(left, first, leaves)
		}
		points, first = points[half:], first+leaves
	}
}

// widest returns the axis along which a sample of points extends farthest.
func widest(points []point) int {
	lo, hi := points[0].at, points[0].at
	for i := 0; i < len(points); i += 1 + len(points)/32 {
		for k, v := range points[i].at {
			if v < lo[k] {
				lo[k] = v
			}
			if v > hi[k] {
				hi[k] = v
			}
		}
	}
	axis := 0
	for k := range 3 {
		if hi[k]-lo[k] > hi[axis]-lo[axis] {
			axis = k
		}
	}
	return axis
}

// halve orders points so that none of the first n is greater along an axis than any of the others (quickselect). A
// sample of the points gives the pivots.
func halve(points []point, n, axis int) {
	lo, hi := 0, len(points)-1
	for lo < hi {
		pivot := quantile(points[lo:hi+1], n-lo, axis)
		i, j := lo, hi
		for i <= j {
			for points[i].at[axis] < pivot {
				i++
			}
			for points[j].at[axis] > pivot {
				j--
			}
			if i <= j {
				points[i], points[j] = points[j], points[i]
				i++
				j--
			}
		}
		switch {
		case n <= j:
			hi = j
		case n >= i:
			lo = i
		default:
			return
		}
	}
}

// quantile estimates the coordinate of which n points are less, from a sample.
func quantile(points []point, n, axis int) float64 {
	var sample [17]float64
	size := 5
	if len(points) > 512 {
		size = len(sample)
	}
	size = min(size, len(points))
	step := len(points) / size
	for i := range size {
		v := points[step/2+i*step].at[axis]
		at := i
		for ; at > 0 && sample[at-1] > v; at-- {
			sample[at] = sample[at-1]
		}
		sample[at] = v
	}
	return sample[min(n/step, size-1)]
}

// box is a box around the points of a node, by its centre and half of its size. The box of a node without points is far
// from everything.
type box struct{ center, half [3]float64 }

// bound fills in the boxes of a node and of those below it, and returns its corners.
func (t *Tree) bound(node int, points []point) (lo, hi [3]float64) {
	if leaf := node - (t.leaves - 1); leaf >= 0 {
		inf := math.Inf(1)
		lo, hi = [3]float64{inf, inf, inf}, [3]float64{-inf, -inf, -inf}
		for _, p := range points[t.start(leaf):t.start(leaf+1)] {
			for k, v := range p.at {
				if v < lo[k] {
					lo[k] = v
				}
				if v > hi[k] {
					hi[k] = v
				}
			}
		}
	} else {
		a, b := t.bound(2*node+1, points)
		c, d := t.bound(2*node+2, points)
		for k := range lo {
			lo[k], hi[k] = min(a[k], c[k]), max(b[k], d[k])
		}
	}
	x := &t.boxes[node]
	for k := range lo {
		if lo[k] > hi[k] {
			x.center[k] = math.Inf(1)
			continue
		}
		x.center[k] = (lo[k] + hi[k]) / 2
		x.half[k] = max(hi[k]-x.center[k], x.center[k]-lo[k]) * (1 + 1e-15) // not less for rounding
	}
	return lo, hi
}

// squared returns the squared distance of a point from the box.
func (b *box) squared(x, y, z float64) float64 {
	dx := math.Abs(x-b.center[0]) - b.half[0]
	dy := math.Abs(y-b.center[1]) - b.half[1]
	dz := math.Abs(z-b.center[2]) - b.half[2]
	dx += math.Abs(dx) // twice the distance outside the box, or 0, without a branch
	dy += math.Abs(dy)
	dz += math.Abs(dz)
	return (dx*dx + dy*dy + dz*dz) / 4
}

// apart returns the squared distance between boxes.
func (b *box) apart(c *box) float64 {
	d := 0.0
	for k := range 3 {
		gap := math.Abs(b.center[k]-c.center[k]) - b.half[k] - c.half[k]
		gap += math.Abs(gap)
		d += gap * gap
	}
	return d / 4
}

// Neighbour is a point near another one.
type Neighbour uint64

// Position returns the index of the neighbour in the arrays of the tree.
func (n Neighbour) Position() int { return int(uint32(n)) }

// Squared returns the squared distance to the neighbour.
func (n Neighbour) Squared() float32 { return math.Float32frombits(uint32(n >> 32)) }

// neighbour packs a neighbour so that the order of the integers is that of the distances, and among equal distances
// that of the positions.
func neighbour(squared float64, position uint32) Neighbour {
	return Neighbour(math.Float32bits(float32(squared)))<<32 | Neighbour(position)
}

// Blocks returns the number of parts in which [Tree.Nearest] visits the points.
func (t *Tree) Blocks() int { return t.leaves }

// Nearest calls visit for each point of the blocks from first up to but not including last, with its position and its
// k nearest neighbours, itself included, in no particular order. There are fewer if the cloud has fewer points. Distances
// are compared as float32, and which of several points at the k-th distance is found depends on the cloud only. If more
// than k points are equal, a point may not be among its neighbours. The slice is valid until visit returns. Calls are
// independent of each other, so blocks can be visited concurrently.
func (t *Tree) Nearest(k, first, last int, visit func(position int, near []Neighbour)) {
	k = min(k, len(t.X))
	if k <= 0 {
		return
	}
	s := search{t: t, k: k}
	for leaf := first; leaf < last; leaf++ {
		from, to := t.start(leaf), t.start(leaf+1)
		if from == to {
			continue
		}
		bound := math.Inf(1)
		if leaf > first {
			bound = s.next(from)
		}
		visit(from, s.tree(from, leaf, bound))
		farthest := 0.0
		for i := from + 1; i < to; i++ {
			farthest = max(farthest, t.distance(from, i))
		}
		radius := math.Sqrt(s.bound) + farthest
		// The other points' neighbours are in the leaves near theirs, which are looked up once, unless there are many, as
		// where many points are equal.
		few := s.gather(&t.boxes[t.leaves-1+leaf], radius*radius*margin)
		for i := from + 1; i < to; i++ {
			if few {
				visit(i, s.point(i))
			} else {
				visit(i, s.tree(i, leaf, s.next(i)))
			}
		}
	}
}

// margin makes bounds of squared distances larger than the rounding errors of float32.
const margin = 1 + 1e-6

func (t *Tree) distance(i, j int) float64 {
	x, y, z := t.X[i]-t.X[j], t.Y[i]-t.Y[j], t.Z[i]-t.Z[j]
	return math.Sqrt(x*x + y*y + z*z)
}

// search looks for the neighbours of one point after another.
type search struct {
	t       *Tree
	k       int
	x, y, z float64     // the point
	found   []Neighbour // the first n of them are candidates
	n       int
	bound   float64   // no neighbour's squared distance is greater
	limit   Neighbour // no neighbour is greater

	near   []nearLeaf
	points span // of the leaves of near, one after the other
	stack  []int32
}

// nearLeaf is a leaf near another one.
type nearLeaf struct {
	squared float64 // distance between the boxes
	leaf    int
	end     int // of its points in search.points
}

// begin starts the search for the neighbours of a point within the square root of bound.
func (s *search) begin(position int, bound float64) {
	s.x, s.y, s.z = s.t.X[position], s.t.Y[position], s.t.Z[position]
	s.n, s.bound, s.limit = 0, bound, neighbour(bound, math.MaxUint32)
}

// next returns a bound for the neighbours of the point after the last one: each neighbour of the last one is at most its
// own distance and that between the two points away.
func (s *search) next(position int) float64 {
	r := math.Sqrt(s.bound) + s.t.distance(position-1, position)
	return r * r * margin
}

// point finds the neighbours of a point among the points near its leaf.
func (s *search) point(position int) []Neighbour {
	// Most often, they are hardly farther away than those of the point before.
	safe := s.next(position)
	s.begin(position, min(safe, s.bound*1.25))
	if s.scan(s.within()); s.n < s.k {
		s.begin(position, safe)
		s.scan(s.within())
	}
	s.keep()
	return s.found[:s.k]
}

// within returns the points of the gathered leaves within the bound.
func (s *search) within() span {
	n := 0
	for i := range s.near {
		if s.near[i].squared > s.bound {
			break
		}
		n = s.near[i].end
	}
	p := &s.points
	return span{p.x[:n], p.y[:n], p.z[:n], p.positions[:n]}
}

// span is a range of points in the order of the tree, with their positions.
type span struct {
	x, y, z   []float64
	positions []uint32
}

func (t *Tree) slice(from, to int) span {
	return span{t.X[from:to], t.Y[from:to], t.Z[from:to], t.positions[from:to]}
}

// scan adds points to the candidates.
func (s *search) scan(p span) {
	xs := p.x
	if need := s.n + len(xs) + 1; need > len(s.found) {
		s.found = append(s.found, make([]Neighbour, need)...)
	}
	ys, zs, positions := p.y[:len(xs)], p.z[:len(xs)], p.positions[:len(xs)]
	found := s.found[s.n:]
	px, py, pz, limit := s.x, s.y, s.z, s.limit
	n := 0
	for i, x := range xs {
		x -= px
		y := ys[i] - py
		z := zs[i] - pz
		// Each point is written but only candidates are kept, so that no branch depends on distances.
		c := neighbour(x*x+y*y+z*z, positions[i])
		found[n] = c
		if c <= limit {
			n++
		}
	}
	s.n += n
}

// tree finds the neighbours of a point of a leaf.
func (s *search) tree(position, leaf int, bound float64) []Neighbour {
	s.begin(position, bound)
	s.leaf(leaf)
	// From the leaf to the root, the other half of each node, so that near points come first.
	for node := s.t.leaves - 1 + leaf; node > 0; node = (node - 1) / 2 {
		s.below(((node - 1) ^ 1) + 1)
	}
	s.keep()
	return s.found[:s.k]
}

// below visits the leaves below a node.
func (s *search) below(node int) {
	if d := s.t.boxes[node].squared(s.x, s.y, s.z); d > s.bound || d == s.bound && s.n >= s.k {
		return // also if all distances are 0
	}
	if leaf := node - (s.t.leaves - 1); leaf >= 0 {
		s.leaf(leaf)
		return
	}
	a, b := 2*node+1, 2*node+2
	if s.t.boxes[b].squared(s.x, s.y, s.z) < s.t.boxes[a].squared(s.x, s.y, s.z) {
		a, b = b, a
	}
	s.below(a)
	s.below(b)
}

// leaf adds the points of a leaf to the candidates.
func (s *search) leaf(leaf int) {
	s.scan(s.t.slice(s.t.start(leaf), s.t.start(leaf+1)))
	if s.n > s.k {
		s.keep()
	}
}

// keep drops all but the nearest k candidates. It is quickselect with pivots that are interpolated, because the squared
// distances of points on a surface are evenly distributed.
func (s *search) keep() {
	if s.n < s.k {
		return
	}
	all := s.found[:s.n]
	lo, hi := 0, len(all) // the k-th is among these
	low, high := 0.0, s.bound
	for hi-lo > 6 {
		part := all[lo:hi]
		pivot := neighbour(low+(high-low)*(float64(s.k-lo)-0.5)/float64(hi-lo), 0)
		less := split(part, pivot)
		if less == 0 || less == len(part) {
			a, b, c := part[0], part[len(part)/2], part[len(part)-1]
			pivot = max(min(a, b), min(max(a, b), c)) // none is equal to another, so one of them is less
			less = split(part, pivot)
		}
		if lo+less >= s.k {
			hi, high = lo+less, float64(pivot.Squared())
		} else {
			lo, low = lo+less, float64(pivot.Squared())
		}
	}
	for i := lo + 1; i < hi; i++ {
		v := all[i]
		at := i
		for ; at > lo && all[at-1] > v; at-- {
			all[at] = all[at-1]
		}
		all[at] = v
	}
	s.n = s.k
	s.limit = 0
	for _, v := range all[:s.k] {
		s.limit = max(s.limit, v)
	}
	s.bound = float64(s.limit.Squared()) * margin
}

// split moves the neighbours that are less than the pivot before the others and returns their number.
func split(part []Neighbour, pivot Neighbour) int {
	less := 0
	for i, v := range part {
		part[i] = part[less]
		part[less] = v
		if v < pivot {
			less++
		}
	}
	return less
}

// gather looks up the leaves within the square root of a squared distance of a box, nearest first, and copies their
// points. It returns false if there are more than maxNear leaves.
func (s *search) gather(b *box, squared float64) bool {
	s.near = s.near[:0]
	s.stack = append(s.stack[:0], 0)
	for len(s.stack) > 0 {
		node := s.stack[len(s.stack)-1]
		s.stack = s.stack[:len(s.stack)-1]
		d := s.t.boxes[node].apart(b)
		if !(d <= squared) {
			continue
		}
		leaf := int(node) - (s.t.leaves - 1)
		if leaf < 0 {
			s.stack = append(s.stack, 2*node+1, 2*node+2)
			continue
		}
		if len(s.near) == maxNear {
			return false
		}
		s.near = append(s.near, nearLeaf{})
		at := len(s.near) - 1
		for ; at > 0 && s.near[at-1].squared > d; at-- {
			s.near[at] = s.near[at-1]
		}
		s.near[at] = nearLeaf{squared: d, leaf: leaf}
	}
	p := &s.points
	p.x, p.y, p.z, p.positions = p.x[:0], p.y[:0], p.z[:0], p.positions[:0]
	for i := range s.near {
		leaf := s.near[i].leaf
		q := s.t.slice(s.t.start(leaf), s.t.start(leaf+1))
		p.x, p.y, p.z = append(p.x, q.x...), append(p.y, q.y...), append(p.z, q.z...)
		p.positions = append(p.positions, q.positions...)
		s.near[i].end = len(p.x)
	}
	return true
}
