// Package voxelize turns point clouds and depth frames into voxel grids, and grids into volumes: one palette index per voxel, which is what
// travels through the pipeline and what the network eats. Each method is one file; colormap holds the palettes, volarrow the Arrow codec.
package voxelize

import (
	"time"

	"github.com/voxelstream/voxelstream/record"
)

// Volume is one item on its way to the network. The holder owns it; its slices may be shared with a decoded message and are not to be written.
type Volume struct {
	// ID is that of the sample.
	record.ID
	Time time.Time
	// Label is the class, or -1.
	Label int32
	// Dims is depth, height, width in cells; Index has their product as length, width fastest. They run along z, y, x, except where a
	// [Method] says otherwise.
	Dims [3]int
	// Index is a palette index per voxel, for the palette that the stream's schema names.
	Index []uint8
	// Origin is the minimum corner of the grid as x, y, z in metres, Edge the side of a cell; 0 when the source had no metric frame. Origin
	// is float64: map coordinates are millions of metres, where a float32 is half a metre coarse.
	Origin [3]float64
	Edge   float32
	// Points is how many finite points fell into the grid, Outside how many did not; points with a NaN or infinite coordinate (no return)
	// count in neither. Both are 0 for a ready grid.
	Points, Outside uint32
}
