package perceptiontest

import (
	"math"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/simulate"
	"github.com/voxelstream/voxelstream/record"
)

// IoU returns the intersection over union of two boxes seen from above: flat is that of their areas, solid that of
// their volumes.
func IoU(a, b record.Box) (flat, solid float64) {
	area := overlap(corners(a), corners(b))
	areaA, areaB := float64(a.Size[0])*float64(a.Size[1]), float64(b.Size[0])*float64(b.Size[1])
	top := min(a.Center[2]+float64(a.Size[2])/2, b.Center[2]+float64(b.Size[2])/2)
	bottom := max(a.Center[2]-float64(a.Size[2])/2, b.Center[2]-float64(b.Size[2])/2)
	both := area * max(top-bottom, 0)
	if union := areaA + areaB - area; union > 0 {
		flat = area / union
	}
	if union := areaA*float64(a.Size[2]) + areaB*float64(b.Size[2]) - both; union > 0 {
		solid = both / union
	}
	return flat, solid
}

// corners returns the corners of a box from above, anticlockwise.
func corners(b record.Box) [][2]float64 {
	sin, cos := math.Sincos(float64(b.Yaw))
	l, w := float64(b.Size[0])/2, float64(b.Size[1])/2
	out := make([][2]float64, 0, 4)
	for _, c := range [4][2]float64{{l, w}, {-l, w}, {-l, -w}, {l, -w}} {
		out = append(out, [2]float64{b.Center[0] + c[0]*cos - c[1]*sin, b.Center[1] + c[0]*sin + c[1]*cos})
	}
	return out
}

// overlap returns the area of the intersection of two convex polygons, whose corners are anticlockwise, by the
// algorithm of Sutherland and Hodgman (1974).
func overlap(a, b [][2]float64) float64 {
	for i := range b {
		p, q := b[i], b[(i+1)%len(b)]
		left := func(c [2]float64) float64 { return (q[0]-p[0])*(c[1]-p[1]) - (q[1]-p[1])*(c[0]-p[0]) }
		var cut [][2]float64
		for k, c := range a {
			d := a[(k+1)%len(a)]
			lc, ld := left(c), left(d)
			if lc >= 0 {
				cut = append(cut, c)
			}
			if (lc >= 0) != (ld >= 0) {
				f := lc / (lc - ld)
				cut = append(cut, [2]float64{c[0] + f*(d[0]-c[0]), c[1] + f*(d[1]-c[1])})
			}
		}
		a = cut
	}
	area := 0.0
	for i := 1; i+1 < len(a); i++ {
		area += (a[i][0]-a[0][0])*(a[i+1][1]-a[0][1]) - (a[i][1]-a[0][1])*(a[i+1][0]-a[0][0])
	}
	return area / 2
}

// VisibleBoxes returns truth with boxes that enclose only the returns of the objects, with the true yaw. A cloud must
// be that of the truth.
func VisibleBoxes(cloud *ingest.PointCloud, truth *simulate.Truth) *simulate.Truth {
	out := *truth
	out.Objects = append([]simulate.Object(nil), truth.Objects...)
	index := map[int32]int{}
	type bounds struct{ lo, hi [3]float64 }
	all := make([]bounds, len(out.Objects))
	for k, o := range out.Objects {
		index[int32(o.ID)] = k
		inf := math.Inf(1)
		all[k] = bounds{[3]float64{inf, inf, inf}, [3]float64{-inf, -inf, -inf}}
	}
	for i, id := range truth.Object {
		k, ok := index[id]
		if !ok {
			continue
		}
		sin, cos := math.Sincos(float64(out.Objects[k].Box.Yaw))
		b := &all[k]
		for j, v := range [3]float64{cloud.X[i]*cos + cloud.Y[i]*sin, cloud.Y[i]*cos - cloud.X[i]*sin, cloud.Z[i]} {
			b.lo[j], b.hi[j] = min(b.lo[j], v), max(b.hi[j], v)
		}
	}
	for k := range out.Objects {
		b, box := all[k], &out.Objects[k].Box
		sin, cos := math.Sincos(float64(box.Yaw))
		x, y := (b.lo[0]+b.hi[0])/2, (b.lo[1]+b.hi[1])/2
		box.Center = [3]float64{x*cos - y*sin, x*sin + y*cos, (b.lo[2] + b.hi[2]) / 2}
		for j := range box.Size {
			box.Size[j] = float32(b.hi[j] - b.lo[j])
		}
	}
	return &out
}
