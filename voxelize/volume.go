// Package voxelize converts point clouds and depth frames to voxel grids, and grids to volumes. A volume holds a
// palette index or one or more values per voxel; it is what the pipeline carries and the network classifies. Each
// method has one file. Package colormap holds the palettes, volarrow the Arrow codec.
package voxelize

import (
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
)

// Volume is the input of the network. Its holder owns it, but its slices may be shared with a decoded message and
// must not be modified.
type Volume struct {
	// ID is the ID of the sample.
	record.ID
	Time time.Time
	// Label is the class, or -1 if unknown.
	Label int32
	// Dims is depth, height, width in cells. These run along z, y, x, unless the [Method] documents another order.
	Dims [3]int
	// Content describes Index and Values. One of them is empty; the other has the shape (D, H, W, C), where C is
	// Content.Channels, last index fastest.
	Content Content
	// Index holds a palette index or byte value per cell and channel.
	Index []uint8
	// Values holds the value of each cell and channel.
	Values []float32
	// Origin is the minimum corner of the grid as x, y, z in metres, and Edge the cell size; both are 0 if the source
	// has no metric frame. Origin is float64 because map coordinates are millions of metres, where float32 has a
	// resolution of half a metre.
	Origin [3]float64
	Edge   float32
	// Cell is the edge lengths of a cell along z, y, x in metres if they differ, and Edge is then that along x. It is
	// zero for cubes.
	Cell [3]float64
	// Points is the number of finite points inside the grid, Outside the number outside it. Neither counts points
	// with a NaN or infinite coordinate (no return). Both are 0 for input grids.
	Points, Outside uint32
	// Box is the bounding box of the object that the volume shows. Track identifies the object across scans. They are
	// nil and 0 for a whole scan.
	Box   *record.Box
	Track uint64
	// Distance is how far away the object is, or for a depth frame the surfaces in it; nil if unknown. Velocity is that
	// of the object as in [record.Classification].
	Distance *record.Distance
	Velocity *[3]float32
	// Pose is the pose of the sensor; nil if unknown.
	Pose *ingest.Pose
}
