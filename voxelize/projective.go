package voxelize

import (
	"math"

	"github.com/voxelstream/voxelstream/ingest"
)

// ProjectiveTSDF is a TSDF of points, by the distances along their beams.
var ProjectiveTSDF = Method{
	Name: "projective-tsdf",
	Doc: "Computes a truncated signed distance field of points on a regular grid, by the distance along the beam of " +
		"each point: 1 on the surface, falling to 0 five cells away, and 0 in cells that no beam passes near a point.",
	Placed: true, Value: Measured, Needs: Needs{CubicCells: true},
	Options: newRayOptions,
	New: func(o Options) (func(ingest.Data) (*Field, error), error) {
		return func(d ingest.Data) (*Field, error) {
			s, err := projective(d, &o)
			if err != nil {
				return nil, err
			}
			f := newChannels(s.grid, 1)
			f.Points, f.Outside = s.inside, s.outside
			for i := range f.Values {
				if mean, ok := s.mean(i); ok {
					f.Values[i] = 1 - math.Abs(mean)
				}
			}
			return f, nil
		}, nil
	},
	Distances: func(o Options, d ingest.Data) (*ingest.Grid, error) {
		s, err := projective(d, &o)
		if err != nil {
			return nil, err
		}
		g := &ingest.Grid{Dims: s.grid.Dims, Channels: 1, Cell: s.grid.Cell, Values: make([]float32, len(s.n))}
		for i := range g.Values {
			mean, ok := s.mean(i)
			if !ok {
				mean = 1
			}
			g.Values[i] = float32(mean * s.truncation)
		}
		return g, nil
	},
}

// distances are the sums of signed distances in each cell.
type distances struct {
	counts
	truncation float64
	sum        []int64 // in units of the truncation distance, times distanceUnit
	n          []uint32
}

const (
	// truncationCells is the truncation distance in cells, as in package tsdf.
	truncationCells = 5
	// distanceUnit makes the sums integers, which do not depend on the order of the points. 2^32 of them fit.
	distanceUnit = 1 << 30
)

// mean returns the mean distance in a cell, from 1 in front of the surface to -1 behind it, or false if there is none.
func (s *distances) mean(i int) (float64, bool) {
	if s.n[i] == 0 {
		return 0, false
	}
	return float64(s.sum[i]) / distanceUnit / float64(s.n[i]), true
}

// projective adds up, in the cells along the beam of each point within the truncation distance, the distance from the
// cell's centre to the point along the beam. This is the projective distance of Curless and Levoy with equal weights.
func projective(d ingest.Data, o *Options) (*distances, error) {
	p, sensor, err := beamsOf(d, o)
	if err != nil {
		return nil, err
	}
	c, err := count(p, o)
	if err != nil {
		return nil, err
	}
	s := &distances{
		counts: *c, truncation: truncationCells * c.grid.Cell[0], sum: make([]int64, len(c.cells)),
		n: make([]uint32, len(c.cells)),
	}
	for i, x := range p.X {
		if y, z := p.Y[i], p.Z[i]; finite(x, y, z) {
			s.add(sensor, [3]float64{x, y, z})
		}
	}
	return s, nil
}

// add adds the distances along one beam.
func (s *distances) add(sensor, point [3]float64) {
	dx, dy, dz := point[0]-sensor[0], point[1]-sensor[1], point[2]-sensor[2]
	length := math.Sqrt(float64(dx*dx) + float64(dy*dy) + float64(dz*dz))
	if !(length > 0) || math.IsInf(length, 0) {
		return
	}
	unit := [3]float64{dx / length, dy / length, dz / length}
	along := func(distance float64) (at [3]float64) {
		for a := range at {
			at[a] = sensor[a] + float64(unit[a]*distance)
		}
		return at
	}
	s.grid.walk(along(max(0, length-s.truncation)), along(length+s.truncation), func(cell int) bool {
		at := s.grid.center(cell)
		distance := float64((point[0]-at[0])*unit[0]) + float64((point[1]-at[1])*unit[1]) +
			float64((point[2]-at[2])*unit[2])
		if share := distance / s.truncation; share >= -1 && share <= 1 {
			s.sum[cell] += int64(math.Round(share * distanceUnit))
			s.n[cell]++
		}
		return true
	})
}
