package augment

import (
	"math"
	"math/rand/v2"
)

var rotateKind = Kind{
	Name:    "rotate",
	Doc:     "Rotates by a random angle about an axis.",
	Options: func() Augmentation { return &rotate{Centre: middle, Chance: always, Axis: "z", Degrees: 180} },
}

type rotate struct {
	Axis    string  `yaml:"axis" enum:"x,y,z" doc:"Axis."`
	Degrees float64 `yaml:"degrees" above:"0" max:"180" doc:"Maximum angle in either direction."`
	Centre  `yaml:",inline"`
	Chance  `yaml:",inline"`
}

func (o *rotate) affine(r *rand.Rand, e extent) affine {
	return about(o.of(e), Rotation(axisOf(o.Axis), uniform(r, o.Degrees*math.Pi/180)))
}

// uniform returns a number between -limit and limit.
func uniform(r *rand.Rand, limit float64) float64 { return limit * (2*r.Float64() - 1) }

var rotate3DKind = Kind{
	Name:    "rotate3d",
	Doc:     "Rotates uniformly among all rotations in space (SO(3)).",
	Options: func() Augmentation { return &rotate3D{Centre: middle, Chance: always} },
}

type rotate3D struct {
	Centre `yaml:",inline"`
	Chance `yaml:",inline"`
}

func (o *rotate3D) affine(r *rand.Rand, e extent) affine { return about(o.of(e), anyRotation(r)) }

// anyRotation returns a rotation that is uniformly distributed in SO(3): that of a unit quaternion which is uniformly
// distributed on the sphere in four dimensions (Shoemake, Uniform random rotations, Graphics Gems III, 1992).
func anyRotation(r *rand.Rand) Matrix {
	u := r.Float64()
	s1, c1 := math.Sincos(2 * math.Pi * r.Float64())
	s2, c2 := math.Sincos(2 * math.Pi * r.Float64())
	a, b := math.Sqrt(1-u), math.Sqrt(u)
	x, y, z, w := a*s1, a*c1, b*s2, b*c2
	return Matrix{
		{1 - 2*(y*y+z*z), 2 * (x*y + w*z), 2 * (x*z - w*y)},
		{2 * (x*y - w*z), 1 - 2*(x*x+z*z), 2 * (y*z + w*x)},
		{2 * (x*z + w*y), 2 * (y*z - w*x), 1 - 2*(x*x+y*y)},
	}
}

var rotate90Kind = Kind{
	Name: "rotate90",
	Doc: "Rotates by a random multiple of 90 degrees, which moves the values of a grid from cell to cell. A grid " +
		"that is not a cube is rotated only in ways that keep its shape.",
	Options: func() Augmentation { return &rotate90{Chance: always, Axis: anyAxis} },
}

// anyAxis stands for all axes.
const anyAxis = "any"

type rotate90 struct {
	Axis   string `yaml:"axis" enum:"x,y,z,any" doc:"Axis; any chooses among the 24 rotations of a cube."`
	Chance `yaml:",inline"`
}

func (o *rotate90) affine(r *rand.Rand, e extent) affine {
	var choice []Matrix
	for _, m := range quarterTurns {
		if o.Axis != anyAxis && m[axisOf(o.Axis)][axisOf(o.Axis)] != 1 {
			continue
		}
		if e.cells && !m.keeps(e.size) {
			continue
		}
		choice = append(choice, m)
	}
	return about(e.centre, choice[r.IntN(len(choice))])
}

// keeps reports whether a rotation by multiples of 90 degrees rotates a box onto itself.
func (m *Matrix) keeps(size [3]float64) bool {
	x, y, z := m.Apply(size[0], 0, 0)
	a, b, c := m.Apply(0, size[1], 0)
	i, j, k := m.Apply(0, 0, size[2])
	return [3]float64{math.Abs(x + a + i), math.Abs(y + b + j), math.Abs(z + c + k)} == size
}

// quarterTurns are the 24 rotations of a cube: the matrices with one 1 or -1 in each row and column, and the determinant
// 1. The first is the identity.
var quarterTurns = func() (out []Matrix) {
	for _, axes := range [][3]int{{0, 1, 2}, {1, 2, 0}, {2, 0, 1}, {0, 2, 1}, {1, 0, 2}, {2, 1, 0}} {
		for signs := range 8 {
			var m Matrix
			even := axes == [3]int{0, 1, 2} || axes == [3]int{1, 2, 0} || axes == [3]int{2, 0, 1}
			for i, axis := range axes {
				m[i][axis] = 1
				if signs>>i&1 == 1 {
					m[i][axis] = -1
					even = !even
				}
			}
			if even {
				out = append(out, m)
			}
		}
	}
	return out
}()

var mirrorKind = Kind{
	Name:    "mirror",
	Doc:     "Mirrors along an axis. Use it if mirror images belong to the same class, which is not true of digits.",
	Options: func() Augmentation { return &mirror{Centre: middle, Chance: Chance{.5}, Axis: "x"} },
}

type mirror struct {
	Axis   string `yaml:"axis" enum:"x,y,z" doc:"Axis along which the coordinates change their sign."`
	Centre `yaml:",inline"`
	Chance `yaml:",inline"`
}

func (o *mirror) affine(_ *rand.Rand, e extent) affine {
	m := identity.m
	m[axisOf(o.Axis)][axisOf(o.Axis)] = -1
	return about(o.of(e), m)
}
