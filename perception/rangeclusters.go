package perception

import (
	"cmp"
	"context"
	"math"
	"sort"

	"github.com/voxelstream/voxelstream/ingest"
)

// RangeClusters finds clusters in the view of a lidar.
var RangeClusters = Step{
	Name: "range-clusters",
	Doc: "Connects points that are neighbours in the sensor's view, beside or above each other, unless their depths " +
		"differ too much for one surface. It is made for rotating lidars, including those with few beams, whose " +
		"points are much farther apart along z.",
	Makes:   Clusters,
	Options: func() any { o := defaultClusterOptions(); return &o },
	New: func(all Options) (func(context.Context, *Scene) error, error) {
		o := OptionsOf(all, defaultClusterOptions())
		return func(ctx context.Context, s *Scene) error {
			points := s.candidates()
			v := newView(s.Cloud, points, &o)
			if err := v.connect(ctx); err != nil {
				return err
			}
			label := make([]int32, len(points))
			for k := range v.points {
				label[v.points[k].place] = v.sets.root(int32(k))
			}
			s.group(points, label, len(points), &o)
			s.dropSmall(o.MinArea)
			return nil
		}, nil
	},
}

// view holds points as the sensor sees them: in columns from right to left, and from bottom to top in each column.
// Beams need not be known: those of a column are in order. So it does not matter whether the beams are even, some
// returns are missing, or a beam has several.
//
// The criterion is that of I. Bogoslavskyi and C. Stachniss: Fast range image-based segmentation of sparse 3D laser
// scans for online operation, 2016: the angle between the ray to the farther of two neighbours and the line that
// connects them is small if there is a step in depth.
type view struct {
	o      *ClusterOptions
	tan    float64 // of the least angle
	points []viewPoint
	slope  []float64              // of each point: the tangent of its elevation
	start  [viewColumns + 1]int32 // of each column in points
	sets   forest                 // of points
}

type viewPoint struct {
	at    [3]float64
	d     float64 // distance from the sensor
	place int32   // in the list that the view was made from
}

// viewColumns is the number of columns of a turn. They are 0.22 to 0.45 degrees wide, about the resolution of lidars.
// slopeBins is the number of bins by which slopes are sorted roughly.
const (
	viewColumns = 1024
	slopeBins   = 1024
)

func newView(c *ingest.PointCloud, points []int32, o *ClusterOptions) *view {
	v := &view{o: o, tan: math.Tan(o.Angle * math.Pi / 180)}
	n := len(points)
	v.sets = newForest(n)
	slope := make([]float64, n)
	bin := make([]uint16, n)
	column := make([]uint16, n)
	var bins [slopeBins + 1]int32
	for k, i := range points {
		x, y, z := c.X[i], c.Y[i], c.Z[i]
		slope[k] = math.Copysign(math.MaxFloat64, z)
		if flat := x*x + y*y; flat > 0 {
			slope[k] = z / math.Sqrt(flat)
		}
		b := 1 + slope[k]/(1+math.Abs(slope[k])) // 0 to 2, and nearly even for small slopes
		bin[k] = uint16(min(b*(slopeBins/2), slopeBins-1))
		column[k] = uint16(viewColumn(x, y))
		bins[bin[k]+1]++
		v.start[column[k]+1]++
	}
	for b := range slopeBins {
		bins[b+1] += bins[b]
	}
	for col := range viewColumns {
		v.start[col+1] += v.start[col]
	}
	order := make([]int32, n)
	for k, b := range bin {
		order[bins[b]] = int32(k)
		bins[b]++
	}
	next := v.start
	v.points = make([]viewPoint, n)
	v.slope = make([]float64, n)
	for _, k := range order {
		col := column[k]
		j := next[col]
		next[col]++
		i := points[k]
		x, y, z := c.X[i], c.Y[i], c.Z[i]
		v.points[j], v.slope[j] = viewPoint{[3]float64{x, y, z}, math.Sqrt(x*x + y*y + z*z), k}, slope[k]
	}
	for col := range viewColumns {
		first, end := v.start[col], v.start[col+1]
		viewOrder{v.points[first:end], v.slope[first:end]}.sort()
	}
	return v
}

// viewOrder sorts the points of a column by slope, then by their place in the list that the view was made from.
type viewOrder struct {
	points []viewPoint
	slope  []float64
}

// mostMoves is the number of moves per point from which insertion sort is given up. In scans it is less than 1: the
// bins are in order. In a distant cloud, such as a map, all points may be in one bin.
const mostMoves = 32

func (v viewOrder) sort() {
	moves := mostMoves * len(v.points)
	for k, p := range v.points {
		slope := v.slope[k]
		j := k
		for ; j > 0 && v.slope[j-1] > slope; j-- {
			v.points[j], v.slope[j] = v.points[j-1], v.slope[j-1]
		}
		v.points[j], v.slope[j] = p, slope
		if moves -= k - j; moves < 0 {
			sort.Sort(v)
			return
		}
	}
}

func (v viewOrder) Len() int { return len(v.points) }

// Less implements [sort.Interface].
func (v viewOrder) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(v.slope[i], v.slope[j]), cmp.Compare(v.points[i].place, v.points[j].place)) < 0
}

// Swap implements [sort.Interface].
func (v viewOrder) Swap(i, j int) {
	v.points[i], v.points[j] = v.points[j], v.points[i]
	v.slope[i], v.slope[j] = v.slope[j], v.slope[i]
}

// viewColumn returns the column of a direction. It grows with the azimuth like y / (|x| + |y|) in each quadrant.
func viewColumn(x, y float64) int {
	sum := math.Abs(x) + math.Abs(y)
	if sum == 0 {
		return 0
	}
	q := y / sum // -1 to 1
	if x < 0 {
		q = 2 - q // 1 to 3
	}
	if q < 0 {
		q += 4
	}
	return min(int(q*(viewColumns/4)), viewColumns-1)
}

// Limits of the search for a neighbour.
const (
	tries   = 6  // points above in the same column
	columns = 16 // to the left
)

// connect joins the points that belong to the same object, unless ctx is cancelled.
func (v *view) connect(ctx context.Context) error {
	w := watch{done: ctx.Done()}
	for col := range viewColumns {
		var level [columns + 1]int32 // of each column to the left: the first point that is not below point k
		for step := range level {
			level[step] = v.start[(col+step)%viewColumns]
		}
		for k := v.start[col]; k < v.start[col+1]; k++ {
			v.above(k, v.start[col+1])
			v.beside(k, col, &level)
			if w.over(1) {
				return ctx.Err()
			}
		}
	}
	return nil
}

// above joins point k with the next point above it, up to end, that belongs to the same object. Once another surface is
// found between them, their depths must be nearly equal, and the gap small.
func (v *view) above(k, end int32) {
	p := &v.points[k]
	limit := v.o.Gap + v.o.Beams*p.d
	most := v.o.Slant
	for j := k + 1; j < min(end, k+1+tries); j++ {
		lateral, depth := offset(p, &v.points[j])
		if lateral > limit {
			return
		}
		if v.same(lateral, depth, most) {
			v.sets.join(k, j)
			return
		}
		limit, most = v.o.Gap+v.o.GapRate*p.d, v.o.Near
	}
}

// beside joins point k of a column with points in the nearest column to the left that has one of the same object. Once
// another surface is found between them, their depths must be nearly equal.
func (v *view) beside(k int32, col int, level *[columns + 1]int32) {
	p := &v.points[k]
	limit := v.o.Gap + v.o.GapRate*p.d
	most := v.o.Depth
	for step := 1; step <= columns; step++ {
		next := (col + step) % viewColumns
		first, end := v.start[next], v.start[next+1]
		at := level[step]
		for at < end && v.slope[at] < v.slope[k] {
			at++
		}
		level[step] = at
		joined, other := false, false
		for j := max(first, at-2); j < min(end, at+2); j++ {
			lateral, depth := offset(p, &v.points[j])
			switch {
			case lateral > limit:
			case v.same(lateral, depth, most):
				v.sets.join(k, j)
				joined = true
			default:
				other = true
			}
		}
		if joined || p.d*float64(step-1)*leastColumn > limit {
			return
		}
		if other {
			most = v.o.Near
		}
	}
}

// leastColumn is the width of the narrowest column in radians.
const leastColumn = 4. / viewColumns / (1 + 4./viewColumns)

// offset returns the distance of the nearer of two points from the ray to the farther one, and their distance along
// that ray.
func offset(p, q *viewPoint) (lateral, depth float64) {
	if p.d < q.d {
		p, q = q, p
	}
	if p.d == 0 {
		return 0, 0
	}
	along := (p.at[0]*q.at[0] + p.at[1]*q.at[1] + p.at[2]*q.at[2]) / p.d
	return math.Sqrt(max(0, q.d*q.d-along*along)), p.d - along
}

// same reports whether neighbours with these offsets may belong to the same object, if their depths differ by at most
// limit.
func (v *view) same(lateral, depth, limit float64) bool {
	return depth <= v.o.Near || depth <= limit && depth*v.tan <= lateral
}
