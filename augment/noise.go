package augment

import (
	"math"
	"math/rand/v2"

	"github.com/voxelstream/voxelstream/ingest"
)

var jitterKind = Kind{
	Name:    "jitter",
	Doc:     "Moves each point by normally distributed noise.",
	Options: func() Augmentation { return &jitter{Chance: always, Sigma: 0.01} },
}

type jitter struct {
	Sigma  float64 `yaml:"sigma" above:"0" max:"1000" doc:"Standard deviation along each axis, in metres."`
	Chance `yaml:",inline"`
}

func (o *jitter) points(r *rand.Rand, p *ingest.PointCloud) {
	for _, v := range [][]float64{p.X, p.Y, p.Z} {
		for i := range v {
			v[i] += float64(o.Sigma * r.NormFloat64())
		}
	}
}

var rangeNoiseKind = Kind{
	Name: "range-noise",
	Doc: "Sensor noise: moves each point along the ray from the sensor, which is at the origin, by normally distributed " +
		"noise.",
	Options: func() Augmentation { return &rangeNoise{Chance: always, Sigma: 0.02} },
}

type rangeNoise struct {
	Sigma  float64 `yaml:"sigma" min:"0" max:"1000" doc:"Standard deviation at range 0, in metres."`
	Growth float64 `yaml:"growth" min:"0" max:"1" doc:"Increase of the standard deviation with each metre of range."`
	Square float64 `yaml:"square" min:"0" max:"1" doc:"Increase of the standard deviation with the square of the range in metres, as for structured light: about 0.0015."`
	Chance `yaml:",inline"`
}

func (o *rangeNoise) points(r *rand.Rand, p *ingest.PointCloud) {
	for i := range p.X {
		noise := r.NormFloat64()
		d := math.Sqrt(p.X[i]*p.X[i] + p.Y[i]*p.Y[i] + p.Z[i]*p.Z[i])
		if !(d > 0 && d <= math.MaxFloat64) {
			continue
		}
		factor := max(0, 1+noise*(o.Sigma+d*(o.Growth+d*o.Square))/d) // a range is not negative
		p.X[i], p.Y[i], p.Z[i] = p.X[i]*factor, p.Y[i]*factor, p.Z[i]*factor
	}
}

var noiseKind = Kind{
	Name:    "noise",
	Doc:     "Adds normally distributed noise to the values of a grid. They stay within their range.",
	Options: func() Augmentation { return &noise{Chance: always, Sigma: 0.05} },
}

type noise struct {
	Sigma  float64 `yaml:"sigma" above:"0" max:"1" doc:"Standard deviation, as a fraction of the range of the values."`
	Chance `yaml:",inline"`
}

func (o *noise) grid(r *rand.Rand, g *ingest.Grid) {
	for k, low := range background(g) {
		high := low
		for i := k; i < len(g.Values); i += g.Channels {
			if g.Values[i] > high {
				high = g.Values[i]
			}
		}
		sigma := o.Sigma * float64(high-low)
		for i := k; i < len(g.Values); i += g.Channels {
			g.Values[i] = min(max(g.Values[i]+float32(sigma*r.NormFloat64()), low), high)
		}
	}
}
