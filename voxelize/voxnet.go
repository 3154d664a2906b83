package voxelize

import "github.com/voxelstream/voxelstream/ingest"

// VoxNet has the three occupancy models of Maturana and Scherer, "VoxNet: A 3D Convolutional Neural Network for
// Real-Time Object Recognition", IROS 2015, section III.A.
var VoxNet = Method{
	Name: "voxnet",
	Doc: "Uses a regular grid with an occupancy model of VoxNet: the log odds of a cell being occupied, from beams that " +
		"end in it and pass through it, its density, or whether a beam ends in it; see voxelize.occupancy_model.",
	Placed: true, Value: Measured,
	Options: func() []any { return []any{&voxnetOptions{Model: voxnetBinary}, &rayOptions{}} },
	New: func(o Options) (func(ingest.Data) (*Field, error), error) {
		model := MethodOptions(o, voxnetOptions{}).Model
		return ofBeams(&o, 1, func(b *beams, f *Field) {
			for i, hits := range b.cells {
				f.Values[i] = voxnet(model, float64(hits), float64(b.misses[i]))
			}
		}), nil
	},
}

type voxnetOptions struct {
	Model string `yaml:"occupancy_model" flag:"occupancy-model" enum:"binary,density,hit" doc:"Occupancy model of method voxnet. binary: log odds, -4 to 4, 0 where no beam passes. density: fraction of beams that a cell stops, 0.5 where no beam passes. hit: 1 where a beam ends."`
}

// The occupancy models.
const (
	voxnetBinary  = "binary"
	voxnetDensity = "density"
	voxnetHit     = "hit"
)

// The log odds that one beam adds, and their limit.
const (
	voxnetOccupied = 1.38
	voxnetFree     = -1.38
	voxnetLimit    = 4
)

// voxnet returns the value of a cell. The paper updates a cell beam by beam:
//
//	binary   l <- l + z l_occ + (1 - z) l_free, from 0, within -4 and 4, with z = 1 for a hit and 0 for a miss
//	density  alpha <- alpha + z, beta <- beta + 1 - z, both from 1; the value is alpha / (alpha + beta)
//	hit      h <- min(h + z, 1), from 0
//
// Here all beams of a sample are added before the log odds are limited, so that the order of the points does not
// matter.
func voxnet(model string, hits, misses float64) float64 {
	switch model {
	case voxnetDensity:
		return (1 + hits) / (2 + hits + misses)
	case voxnetHit:
		return min(hits, 1)
	}
	return min(max(float64(hits*voxnetOccupied)+float64(misses*voxnetFree), -voxnetLimit), voxnetLimit)
}
