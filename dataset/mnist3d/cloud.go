package mnist3d

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/voxelstream/voxelstream/augment"
	"github.com/voxelstream/voxelstream/ingest"
)

// Padded is the side of the image that is extruded: one empty pixel around the 28x28, so that every inked pixel has
// four neighbours.
const Padded = Side + 2

// ErrBlank means that an image has no ink and therefore no surface.
var ErrBlank = errors.New("image without ink")

// Cloud is a digit as points on the surface of its extruded pixels. It has no unit: the longest side of an upright
// cloud is 1, and its mean is 0.
type Cloud struct {
	Points *ingest.PointCloud
	faces  []face
	turn   augment.Matrix // the rotation applied to the outward directions
}

// face is a run of points with the same direction.
type face struct {
	points uint16
	toward uint8 // 0..5: -x, +x, -y, +y, -z, +z before any rotation
}

// Points on a box of 1x1x6: 5x5 on front and back, 5x30 on the sides.
const (
	inPlane    = 5
	inDepth    = 30
	halfDepth  = 3
	minusX     = 0
	plusX      = 1
	minusY     = 2
	plusY      = 3
	minusZ     = 4
	plusZ      = 5
	facePoints = inPlane * inPlane
	sidePoints = inPlane * inDepth
)

// across and along are numpy's linspace(-.5, .5, 5) and linspace(-3, 3, 30).
var across, along = linspace(0.5, inPlane), linspace(halfDepth, inDepth)

// linspace is NumPy's linspace(-half, half, n): i*step + start, with the last value set exactly. The conversion
// prevents a fused multiply-add.
func linspace(half float64, n int) []float64 {
	v := make([]float64, n)
	step := 2 * half / float64(n-1)
	for i := range v {
		v[i] = float64(float64(i)*step) - half
	}
	v[n-1] = half
	return v
}

// Pad centres the image in 30x30 pixels, row-major.
func (m *Image) Pad() *[Padded * Padded]uint8 {
	var p [Padded * Padded]uint8
	for r := range Side {
		copy(p[(r+1)*Padded+1:], m[r*Side:(r+1)*Side])
	}
	return &p
}

// Upright extrudes an image as the authors of the 3D MNIST archive do, bit for bit.
//
// Each inked pixel at (row, column) of the padded image is a box of 1x1x6 around x = row, y = column, z = 0. Its
// front (z = 3) and back are always there, a side only where the neighbouring pixel is empty. Pixels come row by
// row, faces in the order front, back, row-, row+, column-, column+; on front and back rows are outer, on sides
// depth is. Then the minimum of the longest axis is subtracted from all axes, all are divided by that axis's length
// and the mean is subtracted; a quarter turn about y puts the digit upright: (x, y, z) becomes (z, y, -x).
//
// The result is exact only if nothing is "improved": sums run in the order of the points, no multiplication is
// fused with an addition, and the cosine of 90 degrees stays 6.1e-17. With a cosine of 0 many points on cell edges
// fall to the other side.
func Upright(m *Image) (*Cloud, error) {
	c := extrude(m.Pad())
	if len(c.faces) == 0 {
		return nil, ErrBlank
	}
	p := c.Points
	lo, size := longest(p)
	n := float64(len(p.X))
	for _, v := range [][]float64{p.X, p.Y, p.Z} {
		var sum float64
		for i := range v {
			v[i] = (v[i] - lo) / size
			sum += v[i]
		}
		mean := sum / n
		for i := range v {
			v[i] -= mean
		}
	}
	const cos90 = 6.123233995736766e-17
	for i, x := range p.X {
		z := p.Z[i]
		p.X[i] = float64(x*cos90) + z
		p.Z[i] = float64(z*cos90) - x
	}
	c.turn = augment.Matrix{{cos90, 0, -1}, {0, 1, 0}, {1, 0, cos90}}
	return c, nil
}

// extrude returns the points, where x is the row and y the column, in pixels.
func extrude(img *[Padded * Padded]uint8) *Cloud {
	pixels, sides := 0, 0
	neighbours := [4]int{-Padded, Padded, -1, 1} // in the order of minusX, plusX, minusY, plusY
	for i, v := range img {
		if v == 0 {
			continue
		}
		pixels++
		for _, d := range neighbours {
			if img[i+d] == 0 {
				sides++
			}
		}
	}
	n := 2*facePoints*pixels + sidePoints*sides
	xs, ys, zs := make([]float64, n), make([]float64, n), make([]float64, n)
	faces := make([]face, 0, 2*pixels+sides)
	k := 0
	add := func(x, y, z float64) {
		xs[k], ys[k], zs[k] = x, y, z
		k++
	}
	for i, v := range img {
		if v == 0 {
			continue
		}
		row, column := float64(i/Padded), float64(i%Padded)
		for _, z := range [2]float64{halfDepth, -halfDepth} {
			for _, dr := range across {
				for _, dc := range across {
					add(row+dr, column+dc, z)
				}
			}
		}
		faces = append(faces, face{facePoints, plusZ}, face{facePoints, minusZ})
		for side, d := range neighbours {
			if img[i+d] != 0 {
				continue
			}
			half := float64(side%2) - 0.5 // towards the smaller side, then towards the larger
			for _, z := range along {
				for _, in := range across {
					if side <= plusX {
						add(row+half, column+in, z)
					} else {
						add(row+in, column+half, z)
					}
				}
			}
			faces = append(faces, face{sidePoints, uint8(side)})
		}
	}
	return &Cloud{Points: &ingest.PointCloud{X: xs, Y: ys, Z: zs}, faces: faces}
}

// longest returns the minimum and the length of the longest axis, the first if there are several.
func longest(p *ingest.PointCloud) (lo, size float64) {
	for _, v := range [][]float64{p.X, p.Y, p.Z} {
		least, most := v[0], v[0]
		for _, x := range v {
			if x < least {
				least = x
			} else if x > most {
				most = x
			}
		}
		if most-least > size {
			lo, size = least, most-least
		}
	}
	return lo, size
}

// Tilt returns the angle in degrees between the vertical of the digit and that of upright digits, the axis z.
func (c *Cloud) Tilt() float64 {
	_, _, z := c.turn.Apply(-1, 0, 0) // rows run down
	return math.Acos(min(max(z, -1), 1)) * 180 / math.Pi
}

// Normals returns the outward unit normals at the points, as columns.
func (c *Cloud) Normals() *ingest.PointCloud {
	n := c.Points.Len()
	p := &ingest.PointCloud{X: make([]float64, 0, n), Y: make([]float64, 0, n), Z: make([]float64, 0, n)}
	for _, f := range c.faces {
		var d [3]float64
		d[f.toward/2] = 2*float64(f.toward%2) - 1
		x, y, z := c.turn.Apply(d[0], d[1], d[2])
		for range f.points {
			p.X, p.Y, p.Z = append(p.X, x), append(p.Y, y), append(p.Z, z)
		}
	}
	return p
}

// Augment returns a rotated, noisy copy, as the augmentation mnist3d makes it; see [augment.MNIST3D].
func (c *Cloud) Augment(rng *rand.Rand) *Cloud {
	p := &ingest.PointCloud{X: slices.Clone(c.Points.X), Y: slices.Clone(c.Points.Y), Z: slices.Clone(c.Points.Z)}
	m := augment.MNIST3D(rng, p)
	return &Cloud{Points: p, faces: c.faces, turn: c.turn.Times(m)}
}
