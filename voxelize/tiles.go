package voxelize

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
)

// maxTiles limits the tiles of a sample: 16 km by 16 km in tiles of 64 m, at one height.
const maxTiles = 1 << 16

// indexIn returns floor((p - origin) / size) of a point, or false if 64-bit integers cannot hold that.
func indexIn(origin, size [3]float64, x, y, z float64) (cell [3]int64, ok bool) {
	for a, v := range [3]float64{x, y, z} {
		q := math.Floor((v - origin[a]) / size[a])
		if !(q > -0x1p62 && q < 0x1p62) {
			return cell, false
		}
		cell[a] = int64(q)
	}
	return cell, true
}

// sortedKeys returns the keys of a map in the order of z, y, x.
func sortedKeys[T any](m map[[3]int64]T) [][3]int64 {
	keys := make([][3]int64, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b [3]int64) int {
		return cmp.Or(cmp.Compare(a[2], b[2]), cmp.Compare(a[1], b[1]), cmp.Compare(a[0], b[0]))
	})
	return keys
}

// Tile is a dense part of a large scene: a sample with the points in it, and the voxelizer of its grid.
type Tile struct {
	Sample    ingest.Sample
	Voxelizer *Voxelizer
}

// Tiles divides the space of a point cloud or depth frame into grids of the options' size, side by side from their
// origin, or from 0, 0, 0, and yields those that contain points, in the order of z, y, x. Each has the ID of the sample
// with a number as its object, from 1. The options must have a placed method and an edge along every axis. Points that
// are not finite, or farther away than 64-bit indices reach, are in no tile. More than 65,536 tiles are an error.
func (v *Voxelizer) Tiles(s ingest.Sample) (iter.Seq[Tile], error) {
	o := v.options
	if o.Edge[0]*o.Edge[1]*o.Edge[2] == 0 || !v.method.Placed || v.method.Needs.Frames {
		return nil, fmt.Errorf("voxelize: tiles: found method %s with cells of %v m, want a method on a regular grid for "+
			"points, and --edge", v.method.Name, o.Edge)
	}
	p, sensor, err := pointsOf(s.Data)
	if err != nil {
		return nil, itemError(s, err)
	}
	var origin, size [3]float64
	if o.Origin.At != nil {
		origin = *o.Origin.At
	}
	for a := range 3 {
		size[a] = o.Edge[2-a] * float64(o.Dims[2-a])
	}
	tiles := map[[3]int64][]int32{}
	for i, x := range p.X {
		if !finite(x, p.Y[i], p.Z[i]) {
			continue
		}
		key, ok := indexIn(origin, size, x, p.Y[i], p.Z[i])
		if !ok {
			continue
		}
		if tiles[key] = append(tiles[key], int32(i)); len(tiles) > maxTiles {
			return nil, itemError(s, fmt.Errorf("tiles: found points in more than %d tiles of %v x %v x %v m (x, y, z), want "+
				"at most that many: use a larger --grid or --edge", maxTiles, size[0], size[1], size[2]))
		}
	}
	if len(tiles) == 0 {
		return nil, itemError(s, fmt.Errorf("%w: none of %d points is in a tile", ErrEmpty, p.Len()))
	}
	return func(yield func(Tile) bool) {
		for n, key := range sortedKeys(tiles) {
			one := *v
			one.options = o.Clone()
			one.options.Origin = At(origin[0]+float64(float64(key[0])*size[0]),
				origin[1]+float64(float64(key[1])*size[1]), origin[2]+float64(float64(key[2])*size[2]))
			if rays := MethodOptions(one.options, rayOptions{}); rays.Sensor.At == nil && sensor != [3]float64{} {
				setSensor(&one.options, sensor)
			}
			cells, err := v.method.New(one.options)
			if err != nil {
				return // not for options that New has accepted
			}
			one.cells = cells
			part := s
			part.Data, part.Object = p.At(tiles[key]), uint32(n)+1
			if !yield(Tile{part, &one}) {
				return
			}
		}
	}, nil
}

// setSensor sets the position of the sensor in options.
func setSensor(o *Options, at [3]float64) {
	for _, m := range o.Methods {
		if rays, ok := m.(*rayOptions); ok {
			rays.Sensor = At(at[0], at[1], at[2])
		}
	}
}
