// Package ingest converts the output of sensors and files to three plain kinds of data, in metres and seconds:
// depth frames, point clouds and voxel grids. This package defines those kinds and the contract of a [Source]. Each
// format is a file in a subpackage (depth, lidar, h5, array, ...), and package formats lists them all.
package ingest

import (
	"context"
	"fmt"
	"image/color"
	"time"

	"github.com/voxelstream/voxelstream/record"
)

// NoLabel marks a sample whose class is unknown.
const NoLabel int32 = -1

// Sample is one item of a stream: where it comes from, when, and one of the three kinds of data.
type Sample struct {
	// ID identifies the item. Reading it again gives the same ID.
	record.ID
	// Time is the time of measurement in UTC; zero if unknown.
	Time time.Time
	// Label is the class, or NoLabel.
	Label int32
	Data  Data
}

// Data is *Frame, *PointCloud or *Grid.
type Data interface{ isData() }

func (*Frame) isData()      {}
func (*PointCloud) isData() {}
func (*Grid) isData()       {}

// Metres is a length or depth in metres.
type Metres = float32

// Frame is a depth image of Width x Height pixels, row-major, top row first.
type Frame struct {
	Width, Height int
	// Depth is the distance along the optical axis in metres, one per pixel; 0 where there is no measurement.
	Depth []Metres
	// Color is registered to Depth pixel by pixel; nil if there is none.
	Color []color.RGBA
	Cam   Intrinsics
	// Pose is the camera's pose, with optical axes +X right, +Y down, +Z forward; nil if unknown.
	Pose *Pose
}

// Intrinsics is a pinhole camera with a lens: focal lengths and principal point in pixels, the centre of the top
// left pixel at (0, 0).
type Intrinsics struct {
	Fx float64 `json:"fx"`
	Fy float64 `json:"fy"`
	Cx float64 `json:"cx"`
	Cy float64 `json:"cy"`
	// Lens is the lens distortion; its zero value means none.
	Lens Lens `json:"lens,omitzero"`
}

// PointCloud holds points as columns, in metres. X, Y and Z have equal length; the other columns are nil or of that
// length. Coordinates may be NaN where the file records no return. They are float64 so that every source is
// represented exactly: a float32 sensor widens without loss, map coordinates (UTM northings of millions of metres)
// keep their millimetres, and the float64 clouds of the 3D MNIST archive, whose points are on cell edges, fall into
// the same cells as for its authors.
type PointCloud struct {
	X, Y, Z   []float64
	Intensity []float32
	R, G, B   []uint8
}

// Len returns the number of points, including NaN ones.
func (p *PointCloud) Len() int { return len(p.X) }

// Grid is a ready voxel grid: Dims[0] x Dims[1] x Dims[2] cells (depth, height, width: z, y, x), with the last
// index fastest and Channels values per cell.
type Grid struct {
	Dims     [3]int
	Channels int
	Values   []float32
	// Cell is the edge lengths of a cell along z, y, x in metres; zeros if unknown.
	Cell [3]float64
	// Window is the lowest and highest value to display, as CT files specify them; zeros if there is none.
	Window [2]float32
}

// Source is a stream of samples, read by one goroutine.
type Source interface {
	// Read returns the next sample; io.EOF after the last. An *ItemError concerns one item: the next Read continues
	// after it. Any other error ends the source.
	Read(ctx context.Context) (Sample, error)
	Close() error
}

// Sized is a source that knows the number of remaining samples, including failing ones.
type Sized interface {
	Source
	Len() int
}

// Classed is a source that may know the names of classes.
type Classed interface {
	Source
	// Classes returns the names of the classes that labels number; nil if the source does not know them.
	Classes(ctx context.Context) []string
}

// ClassesOf returns the names of classes that a source knows, or nil.
func ClassesOf(ctx context.Context, src Source) []string {
	if c, ok := src.(Classed); ok {
		return c.Classes(ctx)
	}
	return nil
}

// ItemError means that one item of a stream could not be read, but the stream continues.
type ItemError struct {
	record.ID
	Err error
}

func (e *ItemError) Error() string { return fmt.Sprintf("%v: %v", e.ID, e.Err) }
func (e *ItemError) Unwrap() error { return e.Err }
