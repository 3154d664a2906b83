package augment

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
)

var mixupKind = Kind{
	Name: "mixup",
	Doc: "Mixes each row with another training row, and their labels in the same proportions, after all other " +
		"augmentations (Zhang et al. 2018). Points are chosen at random from both clouds (Zhang et al., PointCutMix, " +
		"2021). Grid values are weighted averages.",
	Options: func() Augmentation { return &mixup{Chance: always, Alpha: 0.2} },
}

type mixup struct {
	Alpha  float64 `yaml:"alpha" min:"0.05" max:"2" doc:"Value of both parameters of the beta distribution of the proportions. Small values mix little; 1 gives uniform proportions."`
	Chance `yaml:",inline"`
}

// share draws from the beta distribution (Joehnk 1964).
func (o *mixup) share(r *rand.Rand) float64 {
	for {
		a, b := math.Pow(r.Float64(), 1/o.Alpha), math.Pow(r.Float64(), 1/o.Alpha)
		if s := a + b; s > 0 && s <= 1 {
			return a / s
		}
	}
}

// Partner draws the row, of a number of rows, with which another one is mixed, and the share of the other one. It
// returns false if a row is not mixed.
func (a *Augmenter) Partner(r *rand.Rand, rows int) (row int, share float64, ok bool) {
	if a.mix == nil || r.Float64() >= a.mix.chance() {
		return 0, 1, false
	}
	return r.IntN(rows), a.mix.share(r), true
}

// MixPoints replaces p by a cloud of two: each point of p stays with a probability of share, and each point of other is
// added with the remaining probability. The middles of the bounding boxes coincide. Columns that only one of the clouds
// has are dropped, and so are all fields if they have different names.
func MixPoints(r *rand.Rand, p, other *ingest.PointCloud, share float64) {
	to, from := extentOf(p), extentOf(other)
	keep(p, func(int) bool { return r.Float64() < share })
	keep(other, func(int) bool { return r.Float64() >= share })
	for i := range other.X {
		p.X = append(p.X, other.X[i]-from.centre[0]+to.centre[0])
		p.Y = append(p.Y, other.Y[i]-from.centre[1]+to.centre[1])
		p.Z = append(p.Z, other.Z[i]-from.centre[2]+to.centre[2])
	}
	p.Intensity = joined(p.Intensity, other.Intensity)
	p.R, p.G, p.B = joined(p.R, other.R), joined(p.G, other.G), joined(p.B, other.B)
	if !slices.EqualFunc(p.Fields, other.Fields, func(a, b ingest.Field) bool { return a.Name == b.Name }) {
		p.Fields = nil
	}
	for i := range p.Fields {
		p.Fields[i].Values = joined(p.Fields[i].Values, other.Fields[i].Values)
	}
}

func joined[T any](a, b []T) []T {
	if a == nil || b == nil {
		return nil
	}
	return append(a, b...)
}

// MixGrids replaces the values of g by the averages with those of other, a grid of the same size, weighted by share.
func MixGrids(g, other *ingest.Grid, share float64) {
	a, b := float32(share), float32(1-share)
	for i, v := range other.Values {
		g.Values[i] = a*g.Values[i] + b*v
	}
}
