package voxelize

import (
	"math"

	"github.com/voxelstream/voxelstream/ingest"
)

// HitMiss and FreeSpace follow each beam from the sensor to its point.
var (
	HitMiss = Method{
		Name: "hitmiss",
		Doc: "Uses a regular grid. Follows the beam to each point through the cells and stores two channels per cell: " +
			"the number of beams that end in it and the number that pass through it.",
		Placed: true, Value: Measured,
		Options:  newRayOptions,
		Channels: func(Options) int { return 2 },
		New: func(o Options) (func(ingest.Data) (*Field, error), error) {
			return ofBeams(&o, 2, func(b *beams, f *Field) {
				for i, hits := range b.cells {
					f.Values[2*i], f.Values[2*i+1] = float64(hits), float64(b.misses[i])
				}
			}), nil
		},
	}
	FreeSpace = Method{
		Name: "freespace",
		Doc: "Uses a regular grid. Follows the beam to each point through the cells. A cell is 1 if it holds a point, -1 " +
			"if beams only pass through it, so that it is known to be free, and 0 if no beam reaches it.",
		Placed: true, Value: Measured,
		Options: newRayOptions,
		New: func(o Options) (func(ingest.Data) (*Field, error), error) {
			return ofBeams(&o, 1, func(b *beams, f *Field) {
				for i, hits := range b.cells {
					switch {
					case hits > 0:
						f.Values[i] = 1
					case b.misses[i] > 0:
						f.Values[i] = -1
					}
				}
			}), nil
		},
	}
)

type rayOptions struct {
	Sensor Position `yaml:"sensor_position" flag:"sensor-position" doc:"Position X,Y,Z of the sensor in metres, in the axes of the points, for methods that follow beams. Empty is the origin for point clouds and the camera for depth frames."`
}

func newRayOptions() []any { return []any{&rayOptions{}} }

// beams are the hits and misses of the beams of a sensor. The cells of counts hold the hits.
type beams struct {
	counts
	misses []uint32
}

// ofBeams returns a function that computes a field from hits and misses.
func ofBeams(o *Options, channels int, values func(b *beams, f *Field)) func(d ingest.Data) (*Field, error) {
	return func(d ingest.Data) (*Field, error) {
		p, sensor, err := beamsOf(d, o)
		if err != nil {
			return nil, err
		}
		c, err := count(p, o)
		if err != nil {
			return nil, err
		}
		b := &beams{*c, make([]uint32, len(c.cells))}
		b.trace(p, sensor)
		f := newChannels(b.grid, channels)
		f.Points, f.Outside = b.inside, b.outside
		values(b, f)
		return f, nil
	}
}

// beamsOf returns the points of a sample and the position of their sensor.
func beamsOf(d ingest.Data, o *Options) (*ingest.PointCloud, [3]float64, error) {
	p, sensor, err := pointsOf(d)
	if at := MethodOptions(*o, rayOptions{}).Sensor.At; at != nil {
		sensor = *at
	}
	return p, sensor, err
}

// trace counts a miss in every cell that a beam passes through before the cell of its point. A point that is not finite
// has no beam. A point outside the grid has one, which may pass through the grid.
func (b *beams) trace(p *ingest.PointCloud, sensor [3]float64) {
	for i, x := range p.X {
		y, z := p.Y[i], p.Z[i]
		if !finite(x, y, z) {
			continue
		}
		end, ok := b.grid.Index(x, y, z)
		if !ok {
			end = -1
		}
		b.grid.walk(sensor, [3]float64{x, y, z}, func(cell int) bool {
			if cell == end {
				return false
			}
			b.misses[cell]++
			return true
		})
	}
}

// walk visits the cells of a grid along the segment from one point to another, in order, until visit returns false. It
// steps from face to face as Amanatides and Woo, "A Fast Voxel Traversal Algorithm for Ray Tracing", Eurographics 1987.
func (g *Grid) walk(from, to [3]float64, visit func(cell int) bool) {
	// The part of the segment within the grid, as shares of its length.
	first, last := 0.0, 1.0
	var d [3]float64
	for a := range 3 {
		d[a] = to[a] - from[a]
		low := g.Origin[a] - from[a]
		high := low + float64(float64(g.Dims[2-a])*g.Cell[2-a])
		if !finite(d[a], low, high) {
			return // beyond the range of numbers
		}
		if d[a] == 0 {
			if low > 0 || high <= 0 {
				return
			}
			continue
		}
		near, far := low/d[a], high/d[a]
		first, last = max(first, min(near, far)), min(last, max(near, far))
	}
	if !(first <= last) {
		return
	}
	stride := strides(g.Dims)
	cell := 0
	var at, step [3]int
	var next, delta [3]float64 // share of the segment at the next face, and between two faces
	for a := range 3 {
		n, size := g.Dims[2-a], g.Cell[2-a]
		k := (from[a] + float64(first*d[a]) - g.Origin[a]) / size
		at[a] = int(min(max(k, 0), float64(n-1)))
		cell += at[a] * stride[a]
		next[a], delta[a] = math.Inf(1), math.Inf(1)
		switch {
		case d[a] > 0:
			step[a] = 1
			next[a] = (g.Origin[a] + float64(float64(at[a]+1)*size) - from[a]) / d[a]
			delta[a] = size / d[a]
		case d[a] < 0:
			step[a] = -1
			next[a] = (g.Origin[a] + float64(float64(at[a])*size) - from[a]) / d[a]
			delta[a] = -size / d[a]
		}
	}
	for visit(cell) {
		a := 0
		if next[1] < next[a] {
			a = 1
		}
		if next[2] < next[a] {
			a = 2
		}
		at[a] += step[a]
		if next[a] > last || at[a] < 0 || at[a] >= g.Dims[2-a] || step[a] == 0 {
			return
		}
		next[a] += delta[a]
		cell += step[a] * stride[a]
	}
}
