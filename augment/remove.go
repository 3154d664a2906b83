package augment

import (
	"math"
	"math/rand/v2"

	"github.com/voxelstream/voxelstream/ingest"
)

// keep leaves the points of a cloud for which fine is true, or all of them if there are none.
func keep(p *ingest.PointCloud, fine func(i int) bool) {
	kept, some := make([]bool, p.Len()), false
	for i := range kept {
		kept[i] = fine(i)
		some = some || kept[i]
	}
	if some {
		*p = *p.Kept(kept)
	}
}

var dropoutKind = Kind{
	Name:    "dropout",
	Doc:     "Removes a random fraction of the points.",
	Options: func() Augmentation { return &dropout{Chance: always, Most: 0.5} },
}

type dropout struct {
	Most   float64 `yaml:"most" above:"0" below:"1" doc:"Largest fraction to remove. The fraction of a row is random between 0 and this."`
	Chance `yaml:",inline"`
}

func (o *dropout) points(r *rand.Rand, p *ingest.PointCloud) {
	fraction := o.Most * r.Float64()
	keep(p, func(int) bool { return r.Float64() >= fraction })
}

var cutoutKind = Kind{
	Name: "cutout",
	Doc: "Removes the points in a cube around a random point, or sets the cells in a box at a random place of a grid to the " +
		"background, which is the lowest value.",
	Options: func() Augmentation { return &cutout{Chance: always, Size: 0.3} },
}

type cutout struct {
	Size   float64 `yaml:"size" above:"0" max:"1" doc:"Side of the cube as a fraction of the longest side of the cloud, or sides of the box as fractions of those of the grid."`
	Chance `yaml:",inline"`
}

func (o *cutout) points(r *rand.Rand, p *ingest.PointCloud) {
	if p.Len() == 0 {
		return
	}
	i := r.IntN(p.Len())
	x, y, z := p.X[i], p.Y[i], p.Z[i]
	e := extentOf(p)
	half := o.Size * e.longest() / 2
	keep(p, func(i int) bool {
		return !(math.Abs(p.X[i]-x) <= half && math.Abs(p.Y[i]-y) <= half && math.Abs(p.Z[i]-z) <= half)
	})
}

func (o *cutout) grid(r *rand.Rand, g *ingest.Grid) {
	var from, to [3]int
	for k, n := range g.Dims {
		half := o.Size * float64(n) / 2
		centre := r.Float64() * float64(n)
		from[k], to[k] = max(0, int(math.Round(centre-half))), min(n, int(math.Round(centre+half)))
	}
	fill := background(g)
	for z := from[0]; z < to[0]; z++ {
		for y := from[1]; y < to[1]; y++ {
			for x := from[2]; x < to[2]; x++ {
				copy(g.Values[((z*g.Dims[1]+y)*g.Dims[2]+x)*g.Channels:], fill)
			}
		}
	}
}
