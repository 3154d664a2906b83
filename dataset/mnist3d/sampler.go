package mnist3d

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/voxelstream/voxelstream/augment"
)

// Sampler makes voxel grids of rotated, noisy copies of digits, as [Cloud.Augment] and the voxelization method mnist3d
// do together, in a fifth of the time: points are float32, and their noise has 21 bits. It keeps memory, and must not be
// used concurrently. Conversions of products prevent that they are fused with additions, as in [Upright].
type Sampler struct {
	turned [6][][3]float32
	points [][3]float32
	counts []uint32
}

// shape is one of the six faces of a pixel's box: points relative to the middle of the box, with their sum and the sums
// of the products of their coordinates. x is along rows, y along columns, z along depth.
type shape struct {
	points   [][3]float64
	sum      [3]float64
	products [3][3]float64
}

// shapes are the faces in the order front, back, row-, row+, column-, column+.
var shapes = shapesOf()

func shapesOf() (out [6]shape) {
	for i, z := range [2]float64{halfDepth, -halfDepth} {
		for _, r := range across {
			for _, c := range across {
				out[i].add([3]float64{r, c, z})
			}
		}
	}
	for side := minusX; side <= plusY; side++ {
		half := float64(side%2) - 0.5
		for _, z := range along {
			for _, in := range across {
				if side <= plusX {
					out[2+side].add([3]float64{half, in, z})
				} else {
					out[2+side].add([3]float64{in, half, z})
				}
			}
		}
	}
	return out
}

func (s *shape) add(p [3]float64) {
	s.points = append(s.points, p)
	for a := range p {
		s.sum[a] += p[a]
		for b := range p {
			s.products[a][b] += float64(p[a] * p[b])
		}
	}
}

// visible calls f for each face of a digit that has points, with its number in shapes.
func visible(img *[Padded * Padded]uint8, f func(row, column float64, k int)) {
	for i, v := range img {
		if v == 0 {
			continue
		}
		row, column := float64(i/Padded), float64(i%Padded)
		f(row, column, 0)
		f(row, column, 1)
		for side, d := range [4]int{-Padded, Padded, -1, 1} {
			if img[i+d] == 0 {
				f(row, column, 2+side)
			}
		}
	}
}

// Rotated sets dst, n x n x n cells in the order [z][y][x], to the density of a rotated, noisy copy of a digit. An image
// without ink gives [ErrBlank].
func (s *Sampler) Rotated(r *rand.PCG, m *Image, n int, dst []float32) error {
	img := m.Pad()
	e, err := extentOf(img)
	if err != nil {
		return err
	}
	s.scatter(r, img, e.turned(augment.MNIST3DRotation(rand.New(r))))
	s.count(n, dst)
	return nil
}

// extent describes the points of an extruded image, in pixels: x along rows, y along columns, z along depth.
type extent struct {
	points     int
	size       float64 // of the longest side
	mean       [3]float64
	covariance [3][3]float64
}

func extentOf(img *[Padded * Padded]uint8) (e extent, err error) {
	low, high := [2]float64{Padded, Padded}, [2]float64{}
	visible(img, func(row, column float64, k int) {
		f, middle := &shapes[k], [3]float64{row, column, 0}
		points := float64(len(f.points))
		e.points += len(f.points)
		for a := range e.mean {
			e.mean[a] += float64(points*middle[a]) + f.sum[a]
			for b := range e.mean {
				e.covariance[a][b] += float64(points*middle[a]*middle[b]) + float64(middle[a]*f.sum[b]) +
					float64(f.sum[a]*middle[b]) + f.products[a][b]
			}
		}
		low = [2]float64{min(low[0], row), min(low[1], column)}
		high = [2]float64{max(high[0], row), max(high[1], column)}
	})
	if e.points == 0 {
		return e, ErrBlank
	}
	e.size = max(high[0]-low[0]+1, high[1]-low[1]+1, 2*halfDepth)
	n := float64(e.points)
	for a := range e.mean {
		e.mean[a] /= n
	}
	for a := range e.mean {
		for b := range e.mean {
			e.covariance[a][b] = e.covariance[a][b]/n - float64(e.mean[a]*e.mean[b])
		}
	}
	return e, nil
}

// pose is where a sampler puts the points.
type pose struct {
	extent
	// turn maps pixels, from their mean, to the coordinates of the rotated digit, whose longest upright side is 1.
	turn augment.Matrix
	// width limits the noise on each axis: a quarter of the standard deviation.
	width [3]float64
}

// turned returns the pose of an upright digit after a rotation.
func (e extent) turned(rotation augment.Matrix) pose {
	p := pose{extent: e, turn: augment.Matrix{{0, 0, -1}, {0, 1, 0}, {1, 0, 0}}.Times(rotation)} // as in Upright
	for a := range p.turn {
		for b := range p.turn[a] {
			p.turn[a][b] /= e.size
		}
	}
	for k := range p.width {
		variance := 0.
		for a := range e.mean {
			for b := range e.mean {
				variance += float64(p.turn[a][k] * e.covariance[a][b] * p.turn[b][k])
			}
		}
		p.width[k] = .25 * math.Sqrt(variance)
	}
	return p
}

// scatter sets the points of a digit in a pose, with noise that is uniform within the width on each axis.
func (s *Sampler) scatter(r *rand.PCG, img *[Padded * Padded]uint8, p pose) {
	const bits = 21
	var step [3]float32
	for a := range step {
		step[a] = float32(p.width[a] * 2 / (1<<bits - 1))
	}
	for k := range shapes {
		t := s.turned[k][:0]
		for _, at := range shapes[k].points {
			x, y, z := p.turn.Apply(at[0], at[1], at[2])
			t = append(t, [3]float32{float32(x), float32(y), float32(z)})
		}
		s.turned[k] = t
	}
	s.points = slices.Grow(s.points[:0], p.points)[:p.points]
	at := 0
	visible(img, func(row, column float64, k int) {
		bx, by, bz := p.turn.Apply(row-p.mean[0], column-p.mean[1], -p.mean[2])
		x0, y0, z0 := float32(bx-p.width[0]), float32(by-p.width[1]), float32(bz-p.width[2])
		t := s.turned[k]
		points := s.points[at:][:len(t)]
		for i, at := range t {
			u := r.Uint64()
			points[i] = [3]float32{
				x0 + at[0] + float32(float32(int32(u&(1<<bits-1)))*step[0]),
				y0 + at[1] + float32(float32(int32(u>>bits&(1<<bits-1)))*step[1]),
				z0 + at[2] + float32(float32(int32(u>>(2*bits)&(1<<bits-1)))*step[2]),
			}
		}
		at += len(t)
	})
}

// count counts the points in the cells of their bounding cube, as the method mnist3d does, and sets dst to the counts
// divided by the largest.
func (s *Sampler) count(n int, dst []float32) {
	const padding = .001
	low, high := s.points[0], s.points[0]
	for _, p := range s.points {
		if p[0] < low[0] {
			low[0] = p[0]
		}
		if p[0] > high[0] {
			high[0] = p[0]
		}
		if p[1] < low[1] {
			low[1] = p[1]
		}
		if p[1] > high[1] {
			high[1] = p[1]
		}
		if p[2] < low[2] {
			low[2] = p[2]
		}
		if p[2] > high[2] {
			high[2] = p[2]
		}
	}
	var size [3]float32
	for a := range size {
		low[a], high[a] = low[a]-padding, high[a]+padding
		size[a] = high[a] - low[a]
	}
	longest := max(size[0], size[1], size[2])
	perUnit := float32(n) / longest
	for a := range low {
		low[a] -= (longest - size[a]) / 2
	}
	s.counts = slices.Grow(s.counts[:0], n*n*n)
	counts := s.counts[:n*n*n]
	clear(counts)
	last := int32(n - 1)
	for _, p := range s.points {
		x, y, z := int32((p[0]-low[0])*perUnit), int32((p[1]-low[1])*perUnit), int32((p[2]-low[2])*perUnit)
		counts[(int(min(z, last))*n+int(min(y, last)))*n+int(min(x, last))]++
	}
	most := uint32(0)
	for _, c := range counts {
		most = max(most, c)
	}
	for i, c := range counts {
		dst[i] = float32(float64(c) / float64(most))
	}
}
