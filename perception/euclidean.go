package perception

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
)

// Euclidean finds clusters of points that are near each other.
var Euclidean = Step{
	Name: "euclidean-clusters",
	Doc: "Connects points that are at most cluster_radius apart and makes each connected group an object, as DBSCAN " +
		"and PCL's EuclideanClusterExtraction do. It works for any point cloud.",
	Makes:   Clusters,
	Options: func() any { o := defaultClusterOptions(); return &o },
	New: func(all Options) (func(context.Context, *Scene) error, error) {
		o := OptionsOf(all, defaultClusterOptions())
		return func(ctx context.Context, s *Scene) error {
			points := s.candidates()
			label, n := euclidean(ctx, s.Cloud, points, &o)
			if err := ctx.Err(); err != nil {
				return err
			}
			s.group(points, label, n, &o)
			return nil
		}, nil
	},
}

// euclidean returns the label of each point and the number of labels. Points are connected if their distance is at
// most Radius + Growth * d, where d is the distance from the sensor of the nearer one. If Core is above 1, only core
// points connect others: points that have so many points within that distance, themselves included. Any other point
// gets the label of the nearest core point within that distance, or -1.
//
// It is the grid method for DBSCAN (M. de Berg, A. Gunawan, M. Roeloffzen: Faster DBSCAN and HDBSCAN in
// low-dimensional Euclidean spaces, 2019) in three dimensions. The diagonal of a cell is the radius, so points of one
// cell are connected without a comparison, and two cells are compared until one pair of points connects them.
//
// Once ctx is cancelled, it stops and the labels are of no use.
func euclidean(ctx context.Context, c *ingest.PointCloud, points []int32, o *ClusterOptions) (label []int32, n int) {
	g := newCellGrid(c, points, o.Radius, o.Growth)
	g.watch.done = ctx.Done()
	core := g.cores(o.Core)
	sets := newForest(len(g.cells))
	g.pairs(func(a, b int32) {
		if sets.root(a) != sets.root(b) && g.touch(a, b, core) {
			sets.join(a, b)
		}
	})
	of := make([]int32, len(points)) // the cell whose set each point of the grid belongs to, or -1
	for a, cell := range g.cells {
		for p := cell.first; p < cell.end; p++ {
			of[p] = int32(a)
		}
	}
	if core != nil {
		g.adopt(core, of)
	}
	label = make([]int32, len(points))
	for p, a := range of {
		if a >= 0 {
			a = sets.root(a)
		}
		label[g.order[p]] = a
	}
	return label, len(g.cells)
}

// cellGrid holds points in cells. The cells of a shell around the sensor have the same size. Points in one cell are
// connected.
type cellGrid struct {
	radius, growth float64
	reach          int64 // largest difference along an axis of the indices of connected cells in one shell
	cells          []gridCell
	// columns are the cells with the same x and y. Those of a column are in byZ, in ascending z.
	columns []gridColumn
	byZ     []int32
	find    *cellTable // columns
	// points are ordered by cell; order has the place of each in the list that the grid was made from.
	points []gridPoint
	order  []int32
	watch  watch // stops comparisons of points
}

type gridPoint struct {
	at [3]float64
	r2 float64 // square of its radius
}

type gridCell struct {
	key        cellKey
	first, end int32      // points
	lo, hi     [3]float64 // bounds of the points
	r2         float64    // largest of the points
}

type gridColumn struct {
	key        cellKey // z is 0
	first, end int32   // in byZ
}

// cellKey is a shell and the indices of a cell in its grid.
type cellKey struct {
	shell   int
	x, y, z int64
}

// shellRatio is the largest quotient of the radii of points in one shell. The radius grows by less than shellRatio - 1
// per metre, so a shell is thicker than the radii in it and only successive shells have connected points.
const shellRatio = math.Sqrt2

// cellFill makes the diagonal of cells a little less than the radius, so that rounding cannot disconnect their points.
const cellFill = 0.999

func newCellGrid(c *ingest.PointCloud, points []int32, radius, growth float64) *cellGrid {
	g := &cellGrid{
		radius: radius, growth: growth, find: newCellTable(),
		points: make([]gridPoint, len(points)), order: make([]int32, len(points)),
	}
	longest := 1.0
	if growth > 0 {
		longest = shellRatio
	}
	g.reach = int64(math.Ceil(longest * math.Sqrt(3) / cellFill))
	table := newCellTable()
	of := make([]int32, len(points))
	var last cellKey
	id := int32(-1)
	for k, i := range points {
		p := [3]float64{c.X[i], c.Y[i], c.Z[i]}
		key := g.key(p, g.shell(g.radiusOf(p)))
		if id < 0 || key != last {
			id, last = table.add(key), key
		}
		of[k] = id
	}
	g.cells = make([]gridCell, len(table.keys))
	for _, id := range of {
		g.cells[id].end++
	}
	end := int32(0)
	for a := range g.cells {
		n := g.cells[a].end
		g.cells[a] = gridCell{key: table.keys[a], first: end, end: end}
		end += n
	}
	for k, i := range points {
		cell := &g.cells[of[k]]
		p := [3]float64{c.X[i], c.Y[i], c.Z[i]}
		r := g.radiusOf(p)
		if cell.first == cell.end {
			cell.lo, cell.hi = p, p
		}
		for axis, v := range p {
			cell.lo[axis], cell.hi[axis] = min(cell.lo[axis], v), max(cell.hi[axis], v)
		}
		cell.r2 = max(cell.r2, r*r)
		g.points[cell.end], g.order[cell.end] = gridPoint{p, r * r}, int32(k)
		cell.end++
	}
	g.sortColumns()
	return g
}

// radiusOf returns the distance up to which the point connects to points that are farther from the sensor.
func (g *cellGrid) radiusOf(p [3]float64) float64 {
	if g.growth == 0 {
		return g.radius
	}
	return g.radius + g.growth*math.Sqrt(p[0]*p[0]+p[1]*p[1]+p[2]*p[2])
}

// shell returns the shell of points with radius r.
func (g *cellGrid) shell(r float64) int {
	if g.growth == 0 {
		return 0
	}
	return max(0, int(math.Log(r/g.radius)/math.Log(shellRatio)))
}

// least returns the least radius of points in a shell.
func (g *cellGrid) least(shell int) float64 {
	if shell == 0 {
		return g.radius
	}
	return g.radius * math.Pow(shellRatio, float64(shell))
}

// key returns the cell of a point.
func (g *cellGrid) key(p [3]float64, shell int) cellKey {
	e := g.least(shell) * (cellFill / math.Sqrt(3)) // length of an edge
	return cellKey{shell, int64(math.Floor(p[0] / e)), int64(math.Floor(p[1] / e)), int64(math.Floor(p[2] / e))}
}

// sortColumns fills in columns and byZ.
func (g *cellGrid) sortColumns() {
	of := make([]int32, len(g.cells))
	for a := range g.cells {
		key := g.cells[a].key
		key.z = 0
		of[a] = g.find.add(key)
	}
	g.columns = make([]gridColumn, len(g.find.keys))
	for _, id := range of {
		g.columns[id].end++
	}
	end := int32(0)
	for i := range g.columns {
		n := g.columns[i].end
		g.columns[i] = gridColumn{g.find.keys[i], end, end}
		end += n
	}
	g.byZ = make([]int32, len(g.cells))
	for a, id := range of {
		g.byZ[g.columns[id].end] = int32(a)
		g.columns[id].end++
	}
	for _, col := range g.columns {
		slices.SortFunc(g.byZ[col.first:col.end], func(a, b int32) int {
			if g.cells[a].key.z < g.cells[b].key.z {
				return -1
			}
			return 1
		})
	}
}

// pairs calls f once for each pair of cells whose points may be connected, the nearest cells of a shell first.
func (g *cellGrid) pairs(f func(a, b int32)) {
	for _, col := range g.columns {
		cells := g.byZ[col.first:col.end]
		for i, a := range cells {
			for _, b := range cells[i+1:] {
				if g.cells[b].key.z-g.cells[a].key.z > g.reach {
					break
				}
				f(a, b)
			}
		}
	}
	for _, d := range g.offsets() {
		for _, col := range g.columns {
			key := col.key
			key.x += d[0]
			key.y += d[1]
			other := g.find.get(key)
			if other < 0 {
				continue
			}
			near := g.column(other)
			for _, a := range g.byZ[col.first:col.end] {
				z := g.cells[a].key.z
				near = g.from(near, z-g.reach)
				for _, b := range near {
					if g.cells[b].key.z > z+g.reach {
						break
					}
					f(a, b)
				}
			}
		}
	}
	if g.growth > 0 {
		g.nextShell(f)
	}
}

// offsets returns the differences of x and y between columns of one shell that may be connected, one for each pair of
// opposite ones, in ascending distance.
func (g *cellGrid) offsets() [][2]int64 {
	var out [][2]int64
	for x := int64(0); x <= g.reach; x++ {
		for y := -g.reach; y <= g.reach; y++ {
			if x > 0 || y > 0 {
				out = append(out, [2]int64{x, y})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b [2]int64) int { return int(a[0]*a[0] + a[1]*a[1] - b[0]*b[0] - b[1]*b[1]) })
	return out
}

func (g *cellGrid) column(i int32) []int32 { return g.byZ[g.columns[i].first:g.columns[i].end] }

// from skips the cells that are lower than z.
func (g *cellGrid) from(cells []int32, z int64) []int32 {
	for len(cells) > 0 && g.cells[cells[0]].key.z < z {
		cells = cells[1:]
	}
	return cells
}

// nextShell calls f for the pairs of cells in successive shells.
func (g *cellGrid) nextShell(f func(a, b int32)) {
	for a := range g.cells {
		cell := &g.cells[a]
		r := math.Sqrt(cell.r2)
		next := cell.key.shell + 1
		if r*(1+g.growth) < g.least(next)*cellFill {
			continue // no point of the next shell is within r
		}
		lo, hi := cell.lo, cell.hi
		for axis := range lo {
			lo[axis] -= r
			hi[axis] += r
		}
		low, high := g.key(lo, next), g.key(hi, next)
		for x := low.x; x <= high.x; x++ {
			for y := low.y; y <= high.y; y++ {
				other := g.find.get(cellKey{next, x, y, 0})
				if other < 0 {
					continue
				}
				for _, b := range g.from(g.column(other), low.z) {
					if g.cells[b].key.z > high.z {
						break
					}
					f(int32(a), b)
				}
			}
		}
	}
}

// square returns the square of the distance between the bounds of points.
func square(alo, ahi, blo, bhi [3]float64) float64 {
	sum := 0.0
	for axis := range alo {
		d := max(alo[axis]-bhi[axis], blo[axis]-ahi[axis], 0)
		sum += d * d
	}
	return sum
}

// touch reports whether a point of cell a is connected with one of cell b. If core is not nil, both must be core
// points.
func (g *cellGrid) touch(a, b int32, core []bool) bool {
	ca, cb := &g.cells[a], &g.cells[b]
	r2 := min(ca.r2, cb.r2)
	if square(ca.lo, ca.hi, cb.lo, cb.hi) > r2 {
		return false
	}
	for i := ca.first; i < ca.end; i++ {
		p := &g.points[i]
		if core != nil && !core[i] || square(p.at, p.at, cb.lo, cb.hi) > r2 {
			continue
		}
		for j := cb.first; j < cb.end; j++ {
			if _, ok := p.connects(&g.points[j]); ok && (core == nil || core[j]) {
				return true
			}
		}
		if g.watch.over(int(cb.end - cb.first)) {
			return false
		}
	}
	return false
}

// connects returns the square of the distance of two points, and whether it is within the radius of both.
func (p *gridPoint) connects(q *gridPoint) (d2 float64, ok bool) {
	x, y, z := p.at[0]-q.at[0], p.at[1]-q.at[1], p.at[2]-q.at[2]
	d2 = x*x + y*y + z*z
	return d2, d2 <= min(p.r2, q.r2)
}

// cores reports which points have at least n points within their radius; nil if all have.
func (g *cellGrid) cores(n int) []bool {
	if n <= 1 {
		return nil
	}
	count := make([]int, len(g.points))
	dense := make([]bool, len(g.cells)) // all points of the cell have enough
	for a, cell := range g.cells {
		for i := cell.first; i < cell.end; i++ {
			count[i] = int(cell.end - cell.first)
		}
		dense[a] = int(cell.end-cell.first) >= n
	}
	g.pairs(func(a, b int32) {
		ca, cb := &g.cells[a], &g.cells[b]
		r2 := min(ca.r2, cb.r2)
		if dense[a] && dense[b] || square(ca.lo, ca.hi, cb.lo, cb.hi) > r2 {
			return
		}
		for i := ca.first; i < ca.end; i++ {
			for j := cb.first; j < cb.end; j++ {
				if _, ok := g.points[i].connects(&g.points[j]); ok {
					count[i]++
					count[j]++
				}
			}
			if g.watch.over(int(cb.end - cb.first)) {
				return
			}
		}
	})
	core := make([]bool, len(g.points))
	for i, m := range count {
		core[i] = m >= n
	}
	return core
}

// adopt changes the cell of each point that is no core point to that of the nearest core point within the radius, or
// to -1. The first of several nearest is the one with the lowest coordinates.
func (g *cellGrid) adopt(core []bool, of []int32) {
	type nearest struct {
		d2    float64
		point int32
	}
	best := make([]nearest, len(core))
	for i := range best {
		best[i] = nearest{math.Inf(1), -1}
	}
	consider := func(from, to *gridCell) {
		for i := from.first; i < from.end; i++ {
			for j := to.first; j < to.end && !core[i]; j++ {
				d2, ok := g.points[i].connects(&g.points[j])
				b := &best[i]
				if ok && core[j] && (d2 < b.d2 ||
					d2 == b.d2 && slices.Compare(g.points[j].at[:], g.points[b.point].at[:]) < 0) {
					*b = nearest{d2, j}
				}
			}
			if g.watch.over(int(to.end - to.first)) {
				return
			}
		}
	}
	for a := range g.cells {
		consider(&g.cells[a], &g.cells[a])
	}
	g.pairs(func(a, b int32) {
		consider(&g.cells[a], &g.cells[b])
		consider(&g.cells[b], &g.cells[a])
	})
	cells := slices.Clone(of)
	for i, b := range best {
		switch {
		case core[i]:
		case b.point < 0:
			of[i] = -1
		default:
			of[i] = cells[b.point]
		}
	}
}

// cellTable is a hash table of cells with numbers in the order in which they are added.
type cellTable struct {
	keys  []cellKey
	slots []int32 // 1 plus a number, or 0; the length is a power of two
}

func newCellTable() *cellTable { return &cellTable{slots: make([]int32, 1024)} }

// cellFactors scatter cells over the hash table. They are random so that no input can make all of its cells collide; the
// result does not depend on them.
var cellFactors = [5]uint64{rand.Uint64() | 1, rand.Uint64() | 1, rand.Uint64() | 1, rand.Uint64() | 1, rand.Uint64() | 1}

// slot returns the slot of a key, or the free slot where it belongs.
func (t *cellTable) slot(k cellKey) int {
	f := &cellFactors
	h := uint64(k.x)*f[0] + uint64(k.y)*f[1] + uint64(k.z)*f[2] + uint64(k.shell)*f[3]
	h = (h ^ h>>32) * f[4]
	mask := len(t.slots) - 1
	i := int(h>>32) & mask
	for t.slots[i] > 0 && t.keys[t.slots[i]-1] != k {
		i = (i + 1) & mask
	}
	return i
}

// get returns the number of a key, or -1.
func (t *cellTable) get(k cellKey) int32 { return t.slots[t.slot(k)] - 1 }

// add returns the number of a key, which it adds if it is new.
func (t *cellTable) add(k cellKey) int32 {
	i := t.slot(k)
	if t.slots[i] > 0 {
		return t.slots[i] - 1
	}
	if 2*len(t.keys) >= len(t.slots) {
		t.slots = make([]int32, 2*len(t.slots))
		for id, key := range t.keys {
			t.slots[t.slot(key)] = int32(id) + 1
		}
		i = t.slot(k)
	}
	t.keys = append(t.keys, k)
	t.slots[i] = int32(len(t.keys))
	return t.slots[i] - 1
}
