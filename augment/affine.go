package augment

import (
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
)

// Matrix is a linear map of row vectors: p times the matrix. Products are rounded before they are added, so that the
// results are the same on processors with fused multiply-add.
type Matrix [3][3]float64

// Apply returns p times the matrix.
func (m *Matrix) Apply(x, y, z float64) (float64, float64, float64) {
	return float64(x*m[0][0]) + float64(y*m[1][0]) + float64(z*m[2][0]),
		float64(x*m[0][1]) + float64(y*m[1][1]) + float64(z*m[2][1]),
		float64(x*m[0][2]) + float64(y*m[1][2]) + float64(z*m[2][2])
}

// Times returns the map that applies m and then o.
func (m Matrix) Times(o Matrix) (p Matrix) {
	for i := range 3 {
		p[i][0], p[i][1], p[i][2] = o.Apply(m[i][0], m[i][1], m[i][2])
	}
	return p
}

// Rotation returns the rotation about axis 0 (x), 1 (y) or 2 (z), in radians. A positive angle turns the next axis
// towards the one after it: x towards y for axis z.
func Rotation(axis int, angle float64) Matrix {
	sin, cos := math.Sincos(angle)
	var m Matrix
	a, b := (axis+1)%3, (axis+2)%3
	m[axis][axis], m[a][a], m[b][b], m[a][b], m[b][a] = 1, cos, cos, sin, -sin
	return m
}

// minor returns the determinant of the matrix without row i and column j, with its sign.
func (m *Matrix) minor(i, j int) float64 {
	a, b, c, d := (i+1)%3, (i+2)%3, (j+1)%3, (j+2)%3
	return float64(m[a][c]*m[b][d]) - float64(m[a][d]*m[b][c])
}

// determinant returns the factor by which the map changes volumes, negative if it mirrors.
func (m *Matrix) determinant() float64 {
	return float64(m[0][0]*m.minor(0, 0)) + float64(m[0][1]*m.minor(0, 1)) + float64(m[0][2]*m.minor(0, 2))
}

// inverse returns the inverse of a matrix with a determinant other than 0: the adjugate divided by the determinant.
func (m *Matrix) inverse() (v Matrix) {
	det := m.determinant()
	for i := range 3 {
		for j := range 3 {
			v[j][i] = m.minor(i, j) / det
		}
	}
	return v
}

// axisOf returns the number of the axis x, y or z.
func axisOf(name string) int { return int(name[0] - 'x') }

// affine is p m + t.
type affine struct {
	m Matrix
	t [3]float64
}

var identity = affine{m: Matrix{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}}

// about returns the map that applies m to the vectors from a centre.
func about(centre [3]float64, m Matrix) affine {
	x, y, z := m.Apply(centre[0], centre[1], centre[2])
	return affine{m, [3]float64{centre[0] - x, centre[1] - y, centre[2] - z}}
}

// then returns the map that applies a and then b.
func (a affine) then(b affine) affine {
	x, y, z := b.m.Apply(a.t[0], a.t[1], a.t[2])
	return affine{a.m.Times(b.m), [3]float64{x + b.t[0], y + b.t[1], z + b.t[2]}}
}

// points moves the points of a cloud.
func (a affine) points(p *ingest.PointCloud) {
	for i := range p.X {
		x, y, z := a.m.Apply(p.X[i], p.Y[i], p.Z[i])
		p.X[i], p.Y[i], p.Z[i] = x+a.t[0], y+a.t[1], z+a.t[2]
	}
}

// grid moves the contents of the cells of a grid. Values between cells are interpolated linearly. What comes from
// outside of the grid is the background.
func (a affine) grid(g *ingest.Grid) {
	in := slices.Clone(g.Values)
	for k, v := range background(g) {
		for i := k; i < len(g.Values); i += g.Channels {
			g.Values[i] = v
		}
	}
	if a.cellwise() {
		a.move(g, in)
	} else {
		a.resample(g, in)
	}
}

// cellwise reports whether the map moves each cell onto another one.
func (a affine) cellwise() bool {
	for i, row := range a.m {
		for _, v := range append(row[:], a.t[i]) {
			if v != math.Trunc(v) {
				return false
			}
		}
	}
	for _, row := range a.m {
		if math.Abs(row[0])+math.Abs(row[1])+math.Abs(row[2]) != 1 {
			return false
		}
	}
	return true
}

// move copies the values of the cells to where a cellwise map moves them.
func (a affine) move(g *ingest.Grid, in []float32) {
	size, c := [3]int{g.Dims[2], g.Dims[1], g.Dims[0]}, g.Channels
	step := [3]int{int(a.m[0][0]), int(a.m[0][1]), int(a.m[0][2])}
	skip := ((step[2]*size[1]+step[1])*size[0] + step[0]) * c
	for z := range size[2] {
		for y := range size[1] {
			fx, fy, fz := a.m.Apply(0, float64(y), float64(z))
			at := [3]int{int(fx + a.t[0]), int(fy + a.t[1]), int(fz + a.t[2])}
			from := (z*size[1] + y) * size[0] * c
			to := ((at[2]*size[1]+at[1])*size[0] + at[0]) * c
			last := size[0] - 1
			end := [3]int{at[0] + last*step[0], at[1] + last*step[1], at[2] + last*step[2]}
			whole := within(at, size) && within(end, size)
			for range size[0] {
				if whole || within(at, size) {
					for k := range c {
						g.Values[to+k] = in[from+k]
					}
				}
				from, to = from+c, to+skip
				at[0], at[1], at[2] = at[0]+step[0], at[1]+step[1], at[2]+step[2]
			}
		}
	}
}

// within reports whether a cell is one of the grid.
func within(at, size [3]int) bool {
	return uint(at[0]) < uint(size[0]) && uint(at[1]) < uint(size[1]) && uint(at[2]) < uint(size[2])
}

// resample interpolates at the places from which the map comes. The values of g are the background.
func (a affine) resample(g *ingest.Grid, in []float32) {
	size, c := [3]int{g.Dims[2], g.Dims[1], g.Dims[0]}, g.Channels
	sx, sy, sz := c, c*size[0], c*size[0]*size[1]
	back := a.m.inverse()
	// The places between which all neighbours are in the grid.
	mx, my, mz := float64(size[0]-1), float64(size[1]-1), float64(size[2]-1)
	to := 0
	for z := range size[2] {
		for y := range size[1] {
			x0, y0, z0 := back.Apply(-a.t[0], float64(y)-a.t[1], float64(z)-a.t[2])
			for x := range size[0] {
				px, py, pz := x0+float64(x)*back[0][0], y0+float64(x)*back[0][1], z0+float64(x)*back[0][2]
				out := g.Values[to : to+c]
				to += c
				if !(px >= 0 && py >= 0 && pz >= 0 && px < mx && py < my && pz < mz) {
					border(out, in, [3]float64{px, py, pz}, size)
					continue
				}
				ix, iy, iz := int(px), int(py), int(pz)
				tx, ty, tz := float32(px-float64(ix)), float32(py-float64(iy)), float32(pz-float64(iz))
				at := ix*sx + iy*sy + iz*sz
				for k := range out {
					v := in[at+k : at+k+sz+sy+sx+1]
					low := mix(mix(v[0], v[sx], tx), mix(v[sy], v[sy+sx], tx), ty)
					high := mix(mix(v[sz], v[sz+sx], tx), mix(v[sz+sy], v[sz+sy+sx], tx), ty)
					out[k] = mix(low, high, tz)
				}
			}
		}
	}
}

// border interpolates at a place of which some neighbours are outside of the grid. Those count as background, which is
// in out.
func border(out, in []float32, place [3]float64, size [3]int) {
	var at [3]int
	var part [3]float32
	for k, v := range place {
		if !(v > -1 && v < float64(size[k])) {
			return
		}
		at[k] = int(v+1) - 1 // rounded down
		part[k] = float32(v - float64(at[k]))
	}
	for k, fill := range out {
		sum := float32(0)
		for corner := range 8 {
			weight, cell := float32(1), at
			for axis := range 3 {
				if corner>>axis&1 == 1 {
					cell[axis]++
					weight *= part[axis]
				} else {
					weight *= 1 - part[axis]
				}
			}
			v := fill
			if within(cell, size) {
				v = in[((cell[2]*size[1]+cell[1])*size[0]+cell[0])*len(out)+k]
			}
			sum += weight * v
		}
		out[k] = sum
	}
}

// mix returns a value between two.
func mix(a, b, part float32) float32 { return a + part*(b-a) }

// background returns the lowest value of each channel.
func background(g *ingest.Grid) []float32 {
	low := slices.Clone(g.Values[:g.Channels])
	for k := range low {
		for i := k; i < len(g.Values); i += g.Channels {
			if g.Values[i] < low[k] {
				low[k] = g.Values[i]
			}
		}
	}
	return low
}

// extent is the bounding box of a cloud, or of a grid in cells. Cell (0, 0, 0) of a grid has its centre at 0, 0, 0.
type extent struct {
	centre [3]float64
	// size along x, y and z
	size  [3]float64
	cells bool
}

// Centre is the option of maps that leave a point where it is.
type Centre struct {
	About string `yaml:"about" enum:"middle,origin" doc:"Fixed point: the middle of the bounding box, or the origin, which is the sensor in many scans. For grids it is always the middle."`
}

// middle is the default of [Centre].
var middle = Centre{"middle"}

func (c Centre) of(e extent) [3]float64 {
	if c == middle || e.cells {
		return e.centre
	}
	return [3]float64{}
}

// longest returns the longest side.
func (e *extent) longest() float64 { return max(e.size[0], e.size[1], e.size[2]) }

// mapped returns the extent of what a map makes of a box. The centre is exact. The sides grow as the volume does, which
// is exact for scaling by one factor and for rotations by 90 degrees.
func (e extent) mapped(a affine) extent {
	if a == identity {
		return e
	}
	x, y, z := a.m.Apply(e.centre[0], e.centre[1], e.centre[2])
	e.centre = [3]float64{x + a.t[0], y + a.t[1], z + a.t[2]}
	growth := math.Cbrt(math.Abs(a.m.determinant()))
	for k := range e.size {
		e.size[k] *= growth
	}
	return e
}

// extentOf returns the bounding box of the finite points. It is of size 0 if there are none.
func extentOf(p *ingest.PointCloud) (e extent) {
	lo, hi, n := p.Bounds()
	if n == 0 {
		return e
	}
	for k := range 3 {
		e.centre[k], e.size[k] = lo[k]+(hi[k]-lo[k])/2, hi[k]-lo[k]
	}
	return e
}

// extentOfGrid returns the box of the cells of a grid.
func extentOfGrid(g *ingest.Grid) extent {
	e := extent{cells: true}
	for k := range 3 {
		n := g.Dims[2-k]
		e.centre[k], e.size[k] = float64(n-1)/2, float64(n)
	}
	return e
}
