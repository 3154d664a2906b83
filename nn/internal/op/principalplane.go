package op

import (
	"math"

	"github.com/voxelstream/voxelstream/internal/eigen"
	"github.com/voxelstream/voxelstream/nn/internal/ir"
)

// PrincipalPlane projects a volume [D,H,W,1] of non-negative values onto the plane in which it extends most, as an
// image [1,Size,Size,1]: principal axes of the values, with signs by the third moments. Rows follow the longest axis,
// columns the second one. The gradient takes centre, axes and scales as constant.
//
// Pixels are the sums of the values along the shortest axis, divided by their root mean square. With Pose another line
// of Size numbers follows, which begins with the pose: the direction of the rows and that of the columns as unit vectors
// (x,y,z) along width, height and depth, then 1 for an upright volume, or else 0.
type PrincipalPlane struct {
	Dims [3]int // D, H, W
	Size int    // of the image in pixels a side
	// Scale is the number of pixels of the root mean square distance from the centre.
	Scale float64
	// Upright is the asymmetry along the width below which a volume counts as upright: the sum of the differences
	// between the values and those mirrored, divided by the sum of the values. Such a volume is seen along the width:
	// rows run against the depth axis and columns along the height.
	Upright float64
	Pose    bool
	// View chooses among the 8 images of a volume that is not upright: 1 mirrors the rows, 2 the columns, and 4 swaps
	// the two axes.
	View int
	// Angle turns the image of the view, in radians, and Zoom magnifies it, also that of an upright volume.
	Angle, Zoom float64
	// Turn, Stretch and Shift are the standard deviations of random changes of the image in training: of an angle in
	// radians, of a factor around 1, and of the centre in halves of the image's width. Mirror is the probability with
	// which each axis of a volume that is not upright changes its sign.
	Turn, Stretch, Shift, Mirror float64
	Salt                         uint64 // differs between the layers of a model
}

// PoseSize is the number of numbers of a pose.
const PoseSize = 7

// outputs returns the number of numbers of the output.
func (p *PrincipalPlane) outputs() int {
	if p.Pose {
		return (p.Size + 1) * p.Size
	}
	return p.Size * p.Size
}

// Forward computes Y.
func (p *PrincipalPlane) Forward(e *ir.Env[float32]) { planeForward(p, e) }

// Backward adds to DX.
func (p *PrincipalPlane) Backward(e *ir.Env[float32]) { planeBackward(p, e) }

// Forward64 is Forward in float64.
func (p *PrincipalPlane) Forward64(e *ir.Env[float64]) { planeForward(p, e) }

// Backward64 is Backward in float64.
func (p *PrincipalPlane) Backward64(e *ir.Env[float64]) { planeBackward(p, e) }

func planeForward[T ir.Float](p *PrincipalPlane, e *ir.Env[T]) {
	for n := range e.N {
		projectSample(p, e, n, &Scratch{})
	}
}

func planeBackward[T ir.Float](p *PrincipalPlane, e *ir.Env[T]) {
	for n := range e.N {
		unprojectSample(p, e, n, &Scratch{})
	}
}

// Scratch is memory for one sample at a time.
type Scratch struct {
	voxels []voxel
	image  []float64
}

// Sample computes Y of one sample.
func (p *PrincipalPlane) Sample(e *ir.Env[float32], n int, s *Scratch) { projectSample(p, e, n, s) }

// SampleGrad adds to DX of one sample.
func (p *PrincipalPlane) SampleGrad(e *ir.Env[float32], n int, s *Scratch) {
	unprojectSample(p, e, n, s)
}

// vector is x, y, z: along width, height and depth, in cells.
type vector [3]float64

func (v vector) dot(w vector) float64 {
	return float64(v[0]*w[0]) + float64(v[1]*w[1]) + float64(v[2]*w[2])
}

func (v vector) minus(w vector) vector { return vector{v[0] - w[0], v[1] - w[1], v[2] - w[2]} }

func (v vector) scaled(by float64) vector { return vector{v[0] * by, v[1] * by, v[2] * by} }

// frame is where the image of a volume lies.
type frame struct {
	centre        vector
	rows, columns vector // unit vectors
	upright       bool
	empty         bool
	// pixel (r, c) of a point is its place along rows and columns times scale, plus shift.
	scale          float64
	shiftR, shiftC float64
}

// place returns the row and the column of a point.
func (f *frame) place(at vector) (r, c float64) {
	d := at.minus(f.centre)
	return float64(f.scale*d.dot(f.rows)) + f.shiftR, float64(f.scale*d.dot(f.columns)) + f.shiftC
}

// voxel is a cell with a value above 0.
type voxel struct {
	at    vector
	value float64
	cell  int
}

// voxelsOf appends the voxels of a volume.
func voxelsOf[T ir.Float](dst []voxel, dims [3]int, x []T) []voxel {
	i := 0
	for d := range dims[0] {
		for h := range dims[1] {
			for w := range dims[2] {
				if v := x[i]; v > 0 {
					dst = append(dst, voxel{vector{float64(w), float64(h), float64(d)}, float64(v), i})
				}
				i++
			}
		}
	}
	return dst
}

// frameOf returns the frame of a volume in the view of the operation, before random changes.
func (p *PrincipalPlane) frameOf(voxels []voxel, upright bool) frame {
	if upright {
		return p.uprightFrame()
	}
	var total float64
	var sum vector
	for _, v := range voxels {
		total += v.value
		for a := range sum {
			sum[a] += float64(v.value * v.at[a])
		}
	}
	if !(total > 0) || math.IsInf(total, 0) {
		return frame{empty: true}
	}
	f := frame{centre: sum.scaled(1 / total)}
	var m [3][3]float64
	for _, v := range voxels {
		d := v.at.minus(f.centre)
		for a := range d {
			for b := range a + 1 {
				m[a][b] += float64(v.value * d[a] * d[b])
			}
		}
	}
	for a := range m {
		for b := range a + 1 {
			m[a][b] /= total
			m[b][a] = m[a][b]
		}
	}
	values, axes := eigen.Symmetric(m)
	f.rows, f.columns = vector(axes[0]), vector(axes[1])
	f.sign(voxels, p.View)
	f.fit(voxels, p, math.Sqrt(max(0, values[0])+max(0, values[1])))
	return f
}

// uprightFrame returns the frame of upright volumes: a cell is a pixel, or less if the image would not hold the volume.
func (p *PrincipalPlane) uprightFrame() frame {
	f := frame{upright: true, rows: vector{0, 0, -1}, columns: vector{0, 1, 0}}
	for a := range f.centre {
		f.centre[a] = float64(p.Dims[2-a]-1) / 2
	}
	f.scale = min(1, float64(p.Size)/float64(max(p.Dims[0], p.Dims[1])))
	f.shiftR, f.shiftC = float64(p.Size-1)/2, float64(p.Size-1)/2
	return f
}

// asymmetry returns the sum of the differences between the values above 0 and those mirrored along the width, divided
// by the sum of the values. Values have several channels. It is NaN for a volume without such values.
func asymmetry[T ir.Float](width, channels int, x []T) float64 {
	var total, differences float64
	for line := 0; line < len(x); line += width * channels {
		for w := range width {
			for c := range channels {
				v := max(0, float64(x[line+w*channels+c]))
				total += v
				differences += math.Abs(v - max(0, float64(x[line+(width-1-w)*channels+c])))
			}
		}
	}
	return differences / total
}

// sign makes the third moments along rows and columns positive, and then chooses the view.
func (f *frame) sign(voxels []voxel, view int) {
	var rows, columns float64
	for _, v := range voxels {
		d := v.at.minus(f.centre)
		r, c := d.dot(f.rows), d.dot(f.columns)
		rows += float64(v.value * r * r * r)
		columns += float64(v.value * c * c * c)
	}
	if (rows < 0) != (view&1 > 0) {
		f.rows = f.rows.scaled(-1)
	}
	if (columns < 0) != (view&2 > 0) {
		f.columns = f.columns.scaled(-1)
	}
	if view&4 > 0 {
		f.rows, f.columns = f.columns, f.rows
	}
}

// fit sets the scale for a root mean square distance from the centre, but less if the image would not hold the volume.
func (f *frame) fit(voxels []voxel, p *PrincipalPlane, radius float64) {
	furthest := 0.
	for _, v := range voxels {
		d := v.at.minus(f.centre)
		furthest = max(furthest, math.Abs(d.dot(f.rows)), math.Abs(d.dot(f.columns)))
	}
	middle := float64(p.Size-1) / 2
	f.scale = 1
	if radius > 0 {
		f.scale = p.Scale / radius
	}
	if furthest*f.scale > middle {
		f.scale = middle / furthest
	}
	f.shiftR, f.shiftC = middle, middle
}

// vary changes the frame at random.
func (f *frame) vary(p *PrincipalPlane, key uint64) {
	uniform := func(i uint64) float64 { return float64(Mix(key+i)>>11) / (1 << 53) }
	normal := func(i uint64) float64 { return standardNormal(Mix(key + i)) }
	if !f.upright {
		if uniform(0) < p.Mirror {
			f.rows = f.rows.scaled(-1)
		}
		if uniform(1) < p.Mirror {
			f.columns = f.columns.scaled(-1)
		}
	}
	f.turn(p.Turn * normal(2))
	f.scale *= max(.5, 1+float64(p.Stretch*normal(3)))
	half := float64(p.Size) / 2
	f.shiftR += float64(half * p.Shift * normal(4))
	f.shiftC += float64(half * p.Shift * normal(5))
}

// turn turns rows and columns by an angle.
func (f *frame) turn(angle float64) {
	sin, cos := math.Sincos(angle)
	rows, columns := f.rows, f.columns
	for a := range rows {
		f.rows[a] = float64(cos*rows[a]) + float64(sin*columns[a])
		f.columns[a] = float64(cos*columns[a]) - float64(sin*rows[a])
	}
}

// planeFrame returns the frame of a sample, whose voxels are in s then.
func planeFrame[T ir.Float](p *PrincipalPlane, e *ir.Env[T], n int, s *Scratch) frame {
	size := ir.Size(p.Dims[:])
	x := e.X[0][n*size : (n+1)*size]
	s.voxels = voxelsOf(s.voxels[:0], p.Dims, x)
	f := p.frameOf(s.voxels, asymmetry(p.Dims[2], 1, x) < p.Upright)
	if p.Angle != 0 {
		f.turn(p.Angle)
	}
	f.scale *= p.Zoom
	if e.Train && !f.empty {
		f.vary(p, sampleKey(p.Salt, e.Seed, e.Step, n))
	}
	return f
}

// project sets the image of the voxels in s, and returns 1 divided by the root mean square of its pixels.
func (p *PrincipalPlane) project(f *frame, s *Scratch) float64 {
	if s.image == nil {
		s.image = make([]float64, p.Size*p.Size)
	}
	clear(s.image)
	for _, v := range s.voxels {
		p.spread(f, v.at, func(pixel int, share float64) { s.image[pixel] += float64(share * v.value) })
	}
	sum := 0.
	for _, y := range s.image {
		sum += float64(y * y)
	}
	if sum == 0 {
		return 1
	}
	return math.Sqrt(float64(len(s.image)) / sum)
}

// spread calls add for each pixel around the place of a point, with its share by bilinear interpolation.
func (p *PrincipalPlane) spread(f *frame, at vector, add func(pixel int, share float64)) {
	r, c := f.place(at)
	fr, fc := math.Floor(r), math.Floor(c)
	tr, tc := r-fr, c-fc
	for dr, sr := range [2]float64{1 - tr, tr} {
		for dc, sc := range [2]float64{1 - tc, tc} {
			row, column := int(fr)+dr, int(fc)+dc
			if row >= 0 && row < p.Size && column >= 0 && column < p.Size {
				add(row*p.Size+column, sr*sc)
			}
		}
	}
}

func projectSample[T ir.Float](p *PrincipalPlane, e *ir.Env[T], n int, s *Scratch) {
	size := p.outputs()
	y := e.Y[n*size : (n+1)*size]
	f := planeFrame(p, e, n, s)
	if f.empty {
		clear(y)
		return
	}
	scale := p.project(&f, s)
	for i, v := range s.image {
		y[i] = T(v * scale)
	}
	if !p.Pose {
		return
	}
	pose := y[len(s.image):]
	clear(pose)
	for a := range 3 {
		pose[a], pose[3+a] = T(f.rows[a]), T(f.columns[a])
	}
	if f.upright {
		pose[6] = 1
	}
}

func unprojectSample[T ir.Float](p *PrincipalPlane, e *ir.Env[T], n int, s *Scratch) {
	f := planeFrame(p, e, n, s)
	if e.DX[0] == nil || f.empty {
		return
	}
	size, cells := p.outputs(), ir.Size(p.Dims[:])
	dx, dy := e.DX[0][n*cells:(n+1)*cells], e.DY[n*size:(n+1)*size]
	scale := p.project(&f, s)
	for _, v := range s.voxels {
		p.spread(&f, v.at, func(pixel int, share float64) {
			dx[v.cell] += T(share * scale * float64(dy[pixel]))
		})
	}
}
