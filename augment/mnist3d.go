package augment

import (
	"math"
	"math/rand/v2"

	"github.com/voxelstream/voxelstream/ingest"
)

var mnist3DKind = Kind{
	Name: "mnist3d",
	Doc: "The augmentation of the 3D MNIST archive: rotates about the axes z, y and x by normally distributed angles with " +
		"standard deviations of 180, 90 and 90 degrees, then adds uniform noise of up to a quarter of the standard deviation " +
		"of each coordinate.",
	Options: func() Augmentation { return &mnist3D{Chance: always} },
}

type mnist3D struct {
	Chance `yaml:",inline"`
}

func (o *mnist3D) points(r *rand.Rand, p *ingest.PointCloud) { MNIST3D(r, p) }

// MNIST3D augments a cloud in place as the authors of the 3D MNIST archive do, and returns the rotation: p Rz Ry Rx
// about the origin, with normally distributed angles of 180 degrees standard deviation about z and 90 about y and x.
// Then it adds noise that is uniform within a quarter of the standard deviation of each axis.
func MNIST3D(r *rand.Rand, p *ingest.PointCloud) Matrix {
	m := MNIST3DRotation(r)
	for i := range p.X {
		p.X[i], p.Y[i], p.Z[i] = m.Apply(p.X[i], p.Y[i], p.Z[i])
	}
	for _, v := range [][]float64{p.X, p.Y, p.Z} {
		width := 0.25 * deviation(v)
		for i := range v {
			v[i] += float64(width * (2*r.Float64() - 1))
		}
	}
	return m
}

// MNIST3DRotation returns the rotation of [MNIST3D].
func MNIST3DRotation(r *rand.Rand) Matrix {
	const degree = math.Pi / 180
	az, ay, ax := r.NormFloat64()*180*degree, r.NormFloat64()*90*degree, r.NormFloat64()*90*degree
	return Rotation(2, az).Times(Rotation(1, ay)).Times(Rotation(0, ax))
}

// deviation returns the population standard deviation of the numbers that are not NaN.
func deviation(v []float64) float64 {
	var sum, squares, n float64
	for _, x := range v {
		if x == x {
			sum += x
			n++
		}
	}
	mean := sum / n
	for _, x := range v {
		if x == x {
			squares += float64((x - mean) * (x - mean))
		}
	}
	return math.Sqrt(squares / n)
}
