// Package voxelize turns point clouds and depth frames into voxel grids, and grids into volumes, which are what
// travels through the pipeline and what the network is given: a palette index or one or more values per voxel. Each
// method is one file; colormap holds the palettes, volarrow the Arrow codec.
package voxelize

import (
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
)

// Volume is one item on its way to the network. The holder owns it; its slices may be shared with a decoded message
// and are not to be written.
type Volume struct {
	// ID is that of the sample.
	record.ID
	Time time.Time
	// Label is the class, or -1.
	Label int32
	// Dims is depth, height, width in cells. They run along z, y, x, except where a [Method] says otherwise.
	Dims [3]int
	// Content says what Index or Values hold. Both are of shape (D, H, W, C), C being Content.Channels, the last
	// index fastest, and one of them is empty.
	Content Content
	// Index has a palette index or a byte value per cell and channel.
	Index []uint8
	// Values has the value of each cell and channel.
	Values []float32
	// Origin is the minimum corner of the grid as x, y, z in metres, Edge the side of a cell; 0 when the source had
	// no metric frame. Origin is float64: map coordinates are millions of metres, where a float32 is half a metre
	// coarse.
	Origin [3]float64
	Edge   float32
	// Points is how many finite points fell into the grid, Outside how many did not; points with a NaN or infinite
	// coordinate (no return) count in neither. Both are 0 for a ready grid.
	Points, Outside uint32
	// Box is where the object is that the volume shows, and Track which one it is from scan to scan. Nil and 0 are
	// those of a whole scan.
	Box   *record.Box
	Track uint64
	// Pose is where the sensor stood; nil when unknown.
	Pose *ingest.Pose
}
