// Package tsdf reconstructs surfaces from posed depth frames: each frame says of the cells before and behind what it
// sees how far the surface is, cut off at a few cells; the mean over the frames is a truncated signed distance field,
// whose zero is the surface (Curless and Levoy, "A volumetric method for building complex models from range images",
// SIGGRAPH 1996). The field is a grid for a network, and by marching cubes a mesh.
package tsdf

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/voxelstream/voxelstream/ingest"
)

// MaxCells bounds a volume: 512 cells a side, of 8 bytes, 11 with colours.
const MaxCells = 1 << 27

// truncationCells is how many cells a distance reaches where the options do not say: five, as in Zeng's tsdf-fusion,
// https://github.com/andyzeng/tsdf-fusion-python.
const truncationCells = 5

// Options place a volume.
type Options struct {
	// Origin is the minimum corner as x, y, z in metres, Edge the side of a cell, Dims the number of cells along z,
	// y, x.
	Origin [3]float64
	Edge   float64
	Dims   [3]int
	// Truncation is the longest distance that is kept, in metres; 0: five cells.
	Truncation float64
	// Threads compute; 0: one per processor. The result does not depend on it.
	Threads int
}

// Volume is a field of distances over a grid, at the centres of its cells. It is used by one goroutine at a time.
type Volume struct {
	o Options
	// dist is the mean distance over the truncation: 1 far before the surface, 0 on it, -1 behind. weight counts the
	// frames that saw the cell. Both run along x first, then y, then z.
	dist, weight []float32
	// rgb is the mean colour of the cells, three bytes each; nil without colours.
	rgb []uint8
}

// New makes a volume that has seen nothing.
func New(o Options) (*Volume, error) {
	cells := 1
	for _, n := range o.Dims {
		if n < 1 || n > MaxCells/cells {
			return nil, fmt.Errorf("tsdf: volume of %v cells: want at least 1 per axis and at most %d in total", o.Dims,
				MaxCells)
		}
		cells *= n
	}
	if o.Truncation == 0 {
		o.Truncation = truncationCells * o.Edge
	}
	for _, length := range []float64{o.Edge, o.Truncation} {
		if !(length > 0) || math.IsInf(length, 0) {
			return nil, fmt.Errorf("tsdf: cells of %g m, cut off at %g m: want finite lengths above 0", o.Edge, o.Truncation)
		}
	}
	if o.Threads <= 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	return &Volume{o: o, dist: make([]float32, cells), weight: make([]float32, cells)}, nil
}

// Options are those of New, with what was left open.
func (v *Volume) Options() Options { return v.o }

// Integrate adds a frame, which stands at its Pose, or at the origin without one. A frame whose camera is unknown is
// an error. The colours of the mesh are those of the frames that have some.
func (v *Volume) Integrate(f *ingest.Frame) error {
	n := f.Width * f.Height
	if !f.Cam.Valid() || len(f.Depth) != n || f.Color != nil && len(f.Color) != n {
		return errors.New("tsdf: incomplete frame: want intrinsics (fx, fy, cx, cy) and a depth for each pixel")
	}
	if f.Color != nil && v.rgb == nil {
		v.rgb = make([]uint8, 3*len(v.dist))
	}
	world := ingest.Identity()
	if f.Pose != nil {
		world = f.Pose.Inverse()
	}
	lens := ingest.NewProjector(f.Cam, f.Width, f.Height)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(v.o.Threads, v.o.Dims[0]) {
		wg.Go(func() {
			// Planes are independent of one another, so it does not matter who takes which.
			for z := int(next.Add(1)) - 1; z < v.o.Dims[0]; z = int(next.Add(1)) - 1 {
				v.plane(f, &lens, &world, z)
			}
		})
	}
	wg.Wait()
	return nil
}

// plane adds a frame to the cells of one z. camera is the world as the camera has it.
func (v *Volume) plane(f *ingest.Frame, lens *ingest.Projector, camera *ingest.Pose, z int) {
	o := &v.o
	at := func(axis, i int) float64 { return o.Origin[axis] + (float64(i)+0.5)*o.Edge }
	step := [3]float64{camera.R[0] * o.Edge, camera.R[3] * o.Edge, camera.R[6] * o.Edge}
	width, height := float64(f.Width), float64(f.Height)
	trunc := o.Truncation
	straight := f.Cam.Lens.Model == ingest.Straight
	for y := range o.Dims[1] {
		bx, by, bz := camera.Apply(at(0, 0), at(1, y), at(2, z))
		row := (z*o.Dims[1] + y) * o.Dims[2]
		for x := range o.Dims[2] {
			k := float64(x)
			cz := bz + k*step[2]
			if cz <= 0 {
				continue
			}
			// The nearest pixel: its centre lies at whole coordinates.
			px := f.Cam.Fx*((bx+k*step[0])/cz) + f.Cam.Cx + 0.5
			py := f.Cam.Fy*((by+k*step[1])/cz) + f.Cam.Cy + 0.5
			if !straight {
				u, w, ok := lens.Pixel(bx+k*step[0], by+k*step[1], cz)
				if !ok {
					continue
				}
				px, py = u+0.5, w+0.5
			}
			if !(px >= 0 && py >= 0 && px < width && py < height) {
				continue
			}
			pixel := int(py)*f.Width + int(px)
			depth := float64(f.Depth[pixel])
			distance := depth - cz
			if !(depth > 0) || distance < -trunc {
				continue // nothing seen, or hidden behind what was
			}
			i := row + x
			w := v.weight[i]
			v.dist[i] = (v.dist[i]*w + float32(min(1, distance/trunc))) / (w + 1)
			v.weight[i] = w + 1
			if f.Color != nil {
				c := f.Color[pixel]
				for ch, value := range [3]uint8{c.R, c.G, c.B} {
					mean := &v.rgb[3*i+ch]
					*mean = uint8((float32(*mean)*w+float32(value))/(w+1) + 0.5)
				}
			}
		}
	}
}

// Near gives the closeness of each cell to the surface, for a network: 1 on it, falling to 0 where distances are cut
// off, and 0 in cells that no frame saw.
func (v *Volume) Near() *ingest.Grid {
	g := &ingest.Grid{Dims: v.o.Dims, Channels: 1, Values: make([]float32, len(v.dist))}
	for i, d := range v.dist {
		if v.weight[i] > 0 {
			g.Values[i] = 1 - max(d, -d)
		}
	}
	return g
}

// Distances gives the signed distance of each cell to the surface in metres, positive before it; cells that no frame
// saw have the truncation, as free space has.
func (v *Volume) Distances() *ingest.Grid {
	g := &ingest.Grid{Dims: v.o.Dims, Channels: 1, Values: make([]float32, len(v.dist))}
	for i, d := range v.dist {
		if v.weight[i] == 0 {
			d = 1
		}
		g.Values[i] = d * float32(v.o.Truncation)
	}
	return g
}
