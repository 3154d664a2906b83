// Package tsdf reconstructs surfaces from depth frames with known poses. Each frame gives the signed distance of the
// cells near a surface to that surface, truncated at a few cells. The mean over all frames is a truncated signed
// distance field (TSDF), whose zero level is the surface (Curless and Levoy, "A volumetric method for building
// complex models from range images", SIGGRAPH 1996). The field is the input grid of a network; marching cubes
// extracts a mesh from it.
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

// MaxCells is the largest number of cells of a volume: 512x512x512, at 8 bytes each, or 11 with colours.
const MaxCells = 1 << 27

// truncationCells is the default truncation distance in cells. Five is the value of Zeng's tsdf-fusion,
// https://github.com/andyzeng/tsdf-fusion-python.
const truncationCells = 5

// Options sets the position and size of a volume.
type Options struct {
	// Origin is the minimum corner as x, y, z in metres. Edge is the cell size in metres. Dims is the number of cells
	// along z, y, x.
	Origin [3]float64
	Edge   float64
	Dims   [3]int
	// Truncation is the truncation distance in metres; 0 means five cells.
	Truncation float64
	// Threads is the number of goroutines; 0 means one per processor. The result does not depend on it.
	Threads int
}

// Volume is a truncated signed distance field, sampled at the cell centres of a grid. It must not be used
// concurrently.
type Volume struct {
	o Options
	// dist is the mean distance divided by the truncation: 1 far in front of the surface, 0 on it, -1 behind. weight
	// counts the frames that saw the cell. Both are ordered x fastest, then y, then z.
	dist, weight []float32
	// rgb is the mean colour of the cells, three bytes each, or nil without colours.
	rgb []uint8
}

// New returns an empty volume.
func New(o Options) (*Volume, error) {
	cells := 1
	for _, n := range o.Dims {
		if n < 1 || n > MaxCells/cells {
			return nil, fmt.Errorf("tsdf: found a volume of %v cells, want at least 1 per axis and at most %d in total",
				o.Dims,
				MaxCells)
		}
		cells *= n
	}
	if o.Truncation == 0 {
		o.Truncation = truncationCells * o.Edge
	}
	for _, length := range []float64{o.Edge, o.Truncation} {
		if !(length > 0) || math.IsInf(length, 0) {
			return nil, fmt.Errorf("tsdf: found cells of %g m and a truncation of %g m, want finite lengths above 0",
				o.Edge, o.Truncation)
		}
	}
	if o.Threads <= 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	return &Volume{o: o, dist: make([]float32, cells), weight: make([]float32, cells)}, nil
}

// Options returns the options of New with defaults filled in.
func (v *Volume) Options() Options { return v.o }

// Integrate adds a frame at its Pose, or at the origin if it has none. It returns an error if the camera intrinsics
// are unknown. The mesh gets the colours of the frames that have some.
func (v *Volume) Integrate(f *ingest.Frame) error {
	n := f.Width * f.Height
	if !f.Cam.Valid() || len(f.Depth) != n || f.Color != nil && len(f.Color) != n {
		return errors.New("tsdf: incomplete frame: want intrinsics (fx, fy, cx, cy) and one depth per pixel")
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
			// Planes are independent of one another, so their distribution does not affect the result.
			for z := int(next.Add(1)) - 1; z < v.o.Dims[0]; z = int(next.Add(1)) - 1 {
				v.plane(f, &lens, &world, z)
			}
		})
	}
	wg.Wait()
	return nil
}

// plane integrates a frame into the cells of one z. camera maps world coordinates to camera coordinates.
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
			// The nearest pixel. Pixel centres have integer coordinates.
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
				continue // no depth, or hidden behind the surface
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

// Near returns the closeness of each cell to the surface, as network input: 1 on the surface, falling to 0 at the
// truncation distance, and 0 in cells that no frame saw.
func (v *Volume) Near() *ingest.Grid {
	g := &ingest.Grid{Dims: v.o.Dims, Channels: 1, Values: make([]float32, len(v.dist))}
	for i, d := range v.dist {
		if v.weight[i] > 0 {
			g.Values[i] = 1 - max(d, -d)
		}
	}
	return g
}

// Distances returns the signed distance of each cell to the surface in metres, positive in front of it. Cells that no
// frame saw get the truncation distance, like free space.
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
