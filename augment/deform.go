package augment

import (
	"fmt"
	"math"
	"math/rand/v2"
)

var scaleKind = Kind{
	Name: "scale",
	Doc: "Scales by a random factor. Voxelization methods that fit a grid to each cloud undo it, unless each axis " +
		"has its own factor.",
	Options: func() Augmentation { return &scale{Centre: middle, Chance: always, Low: 0.8, High: 1.25} },
}

type scale struct {
	Low    float64 `yaml:"low" min:"0.01" max:"100" doc:"Smallest factor."`
	High   float64 `yaml:"high" min:"0.01" max:"100" doc:"Largest factor."`
	Each   bool    `yaml:"each" doc:"Scale each axis by its own factor."`
	Centre `yaml:",inline"`
	Chance `yaml:",inline"`
}

// Validate compares the factors.
func (o *scale) Validate() error {
	if o.Low > o.High {
		return fmt.Errorf("low: found %g, want at most high (%g)", o.Low, o.High)
	}
	return nil
}

func (o *scale) affine(r *rand.Rand, e extent) affine {
	factor := func() float64 { return o.Low + r.Float64()*(o.High-o.Low) }
	m := identity.m
	m[0][0] = factor()
	m[1][1], m[2][2] = m[0][0], m[0][0]
	if o.Each {
		m[1][1], m[2][2] = factor(), factor()
	}
	return about(o.of(e), m)
}

var shearKind = Kind{
	Name:    "shear",
	Doc:     "Shears: adds random multiples of the other coordinates to each coordinate.",
	Options: func() Augmentation { return &shear{Centre: middle, Chance: always, Most: 0.2} },
}

type shear struct {
	Most   float64 `yaml:"most" above:"0" below:"0.5" doc:"Largest multiple in either direction."`
	Centre `yaml:",inline"`
	Chance `yaml:",inline"`
}

// affine returns a matrix that can be inverted, because its diagonal is dominant.
func (o *shear) affine(r *rand.Rand, e extent) affine {
	m := identity.m
	for i := range 3 {
		for j := range 3 {
			if i != j {
				m[i][j] = uniform(r, o.Most)
			}
		}
	}
	return about(o.of(e), m)
}

var shiftKind = Kind{
	Name: "shift",
	Doc: "Shifts by a random vector. Grids are shifted by whole cells. Voxelization methods that fit a grid to each " +
		"cloud undo it for points.",
	Options: func() Augmentation { return &shift{Chance: always, Most: 0.1} },
}

type shift struct {
	Most   float64 `yaml:"most" above:"0" max:"1" doc:"Largest shift along each axis in either direction, as a fraction of the longest side."`
	Chance `yaml:",inline"`
}

func (o *shift) affine(r *rand.Rand, e extent) affine {
	a := identity
	for k := range 3 {
		a.t[k] = uniform(r, o.Most*e.longest())
		if e.cells {
			a.t[k] = math.Round(a.t[k])
		}
	}
	return a
}
