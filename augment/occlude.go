package augment

import (
	"math"
	"math/rand/v2"

	"github.com/voxelstream/voxelstream/ingest"
)

var occludeKind = Kind{
	Name: "occlude",
	Doc: "Keeps what a sensor in a random direction would see. Points hidden behind others are removed, as decided " +
		"by a depth image (z-buffer).",
	Options: func() Augmentation {
		return &occlude{Chance: always, Distance: 3, Pixels: 32, Thickness: 0.1}
	},
}

type occlude struct {
	Distance  float64 `yaml:"distance" min:"1.5" max:"1000" doc:"Distance of the sensor from the middle of the bounding box, in units of half its diagonal."`
	Pixels    int     `yaml:"pixels" min:"4" max:"1024" doc:"Width and height of the depth image in pixels. It is made smaller if there are fewer than 16 points per pixel, because points behind would show through."`
	Thickness float64 `yaml:"thickness" above:"0" max:"1" doc:"Distance behind the nearest point of a pixel within which points are visible, as a fraction of the longest side. It is at least the width of a pixel."`
	Chance    `yaml:",inline"`
}

func (o *occlude) points(r *rand.Rand, p *ingest.PointCloud) {
	turn := anyRotation(r)
	e := extentOf(p)
	radius := math.Sqrt(e.size[0]*e.size[0]+e.size[1]*e.size[1]+e.size[2]*e.size[2]) / 2
	if !(radius > 0 && radius < math.MaxFloat64) {
		return
	}
	side := min(o.Pixels, max(4, int(math.Sqrt(float64(p.Len())/16))))
	// The sensor looks along -x. Its field of view holds the bounding sphere: the tangent of half of it is
	// 1 / sqrt(distance^2 - 1).
	scale := math.Sqrt(o.Distance*o.Distance-1) * float64(side) / 2
	depth := make([]float64, p.Len()) // NaN for points that are not finite
	pixel := make([]int32, p.Len())
	nearest := make([]float64, side*side)
	for i := range nearest {
		nearest[i] = math.Inf(1)
	}
	for i := range p.X {
		x, y, z := turn.Apply(p.X[i]-e.centre[0], p.Y[i]-e.centre[1], p.Z[i]-e.centre[2])
		depth[i] = o.Distance*radius - x
		if !(depth[i] > 0) {
			continue
		}
		u := min(max(int(y/depth[i]*scale+float64(side)/2), 0), side-1)
		v := min(max(int(z/depth[i]*scale+float64(side)/2), 0), side-1)
		pixel[i] = int32(v*side + u)
		nearest[pixel[i]] = min(nearest[pixel[i]], depth[i])
	}
	limit := max(o.Thickness*e.longest(), o.Distance*radius/scale)
	keep(p, func(i int) bool { return depth[i] <= nearest[pixel[i]]+limit })
}
