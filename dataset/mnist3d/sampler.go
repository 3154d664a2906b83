package mnist3d

import (
	"math"
	"math/rand/v2"

	"github.com/voxelstream/voxelstream/augment"
)

// Sampler makes voxel grids of rotated, noisy copies of digits, as [Cloud.Augment] and the voxelization method mnist3d
// do together, in a fifth of the time: points are float32, and their noise has 21 bits. It keeps memory, and must not be
// used concurrently.
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
			s.products[a][b] += p[a] * p[b]
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

// Rotated sets dst, n x n x n cells in the order [z][y][x], to the density of a rotated, noisy copy of a digit.
func (s *Sampler) Rotated(r *rand.PCG, m *Image, n int, dst []float32) error {
	img := m.Pad()
	var count float64
	var sum [3]float64
	var products [3][3]float64
	low, high := [2]float64{Padded, Padded}, [2]float64{}
	visible(img, func(row, column float64, k int) {
		f, middle := &shapes[k], [3]float64{row, column, 0}
		points := float64(len(f.points))
		count += points
		for a := range sum {
			sum[a] += points*middle[a] + f.sum[a]
			for b := range sum {
				products[a][b] += points*middle[a]*middle[b] + middle[a]*f.sum[b] + f.sum[a]*middle[b] + f.products[a][b]
			}
		}
		low = [2]float64{min(low[0], row), min(low[1], column)}
		high = [2]float64{max(high[0], row), max(high[1], column)}
	})
	if count == 0 {
		return ErrBlank
	}
	longest := max(high[0]-low[0]+1, high[1]-low[1]+1, 2*halfDepth)
	mean := [3]float64{sum[0] / count, sum[1] / count, sum[2] / count}
	for a := range mean {
		for b := range mean {
			products[a][b] = products[a][b]/count - mean[a]*mean[b]
		}
	}
	// The points of Upright: (z, y, -x), then rotated.
	turn := augment.Matrix{{0, 0, -1}, {0, 1, 0}, {1, 0, 0}}.Times(augment.MNIST3DRotation(rand.New(r)))
	for a := range turn {
		for b := range turn[a] {
			turn[a][b] /= longest
		}
	}
	var width [3]float64 // of the noise, a quarter of the standard deviation
	for k := range width {
		for a := range mean {
			for b := range mean {
				width[k] += turn[a][k] * products[a][b] * turn[b][k]
			}
		}
		width[k] = .25 * math.Sqrt(width[k])
	}
	s.scatter(r, img, mean, turn, width, int(count))
	s.count(n, dst)
	return nil
}

// scatter sets the points of a digit after a map, with noise that is uniform within width on each axis.
func (s *Sampler) scatter(r *rand.PCG, img *[Padded * Padded]uint8, mean [3]float64, turn augment.Matrix,
	width [3]float64, count int,
) {
	const bits = 21
	var step [3]float32
	for a := range step {
		step[a] = float32(width[a] * 2 / (1<<bits - 1))
	}
	for k := range shapes {
		t := s.turned[k][:0]
		for _, p := range shapes[k].points {
			x, y, z := turn.Apply(p[0], p[1], p[2])
			t = append(t, [3]float32{float32(x), float32(y), float32(z)})
		}
		s.turned[k] = t
	}
	if cap(s.points) < count {
		s.points = make([][3]float32, count)
	}
	s.points = s.points[:count]
	at := 0
	visible(img, func(row, column float64, k int) {
		bx, by, bz := turn.Apply(row-mean[0], column-mean[1], -mean[2])
		x0, y0, z0 := float32(bx-width[0]), float32(by-width[1]), float32(bz-width[2])
		t := s.turned[k]
		points := s.points[at:][:len(t)]
		for i, p := range t {
			u := r.Uint64()
			points[i] = [3]float32{
				x0 + p[0] + float32(int32(u&(1<<bits-1)))*step[0],
				y0 + p[1] + float32(int32(u>>bits&(1<<bits-1)))*step[1],
				z0 + p[2] + float32(int32(u>>(2*bits)&(1<<bits-1)))*step[2],
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
	if cap(s.counts) < n*n*n {
		s.counts = make([]uint32, n*n*n)
	}
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
