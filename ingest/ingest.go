// Package ingest converts the output of sensors and files to three plain kinds of data, in metres and seconds:
// depth frames, point clouds and voxel grids. This package defines those kinds and the contract of a [Source]. Each
// format is a file in a subpackage (depth, lidar, h5, array, ...), and package formats lists them all.
package ingest

import (
	"context"
	"fmt"
	"image/color"
	"strings"
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

// Noun says in an error what data are.
func Noun(d Data) string {
	switch d.(type) {
	case *Frame:
		return "a depth frame"
	case *PointCloud:
		return "points"
	case *Grid:
		return "a grid"
	}
	return "nothing"
}

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
	// Noise is the model of the sensor's random errors, if it is known.
	Noise Noise
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
// length. [PointCloud.Column] finds a column by its name. Coordinates may be NaN where the file records no return. They
// are float64 so that every source is represented exactly: a float32 sensor widens without loss, map coordinates (UTM
// northings of millions of metres) keep their millimetres, and the float64 clouds of the 3D MNIST archive, whose points
// are on cell edges, fall into the same cells as for its authors.
type PointCloud struct {
	X, Y, Z   []float64
	Intensity []float32
	R, G, B   []uint8
	// Pose is the sensor's pose in the world, if the points are in the sensor's axes and the pose is known; otherwise
	// nil.
	Pose *Pose
	// Fields are the further columns that Options.Fields asked for, in the order of the file.
	Fields []Field
	// Faces are the triangles of a mesh, as indices of their corners, if Options.Faces asked for them. What selects points
	// or moves them from other clouds drops the faces.
	Faces [][3]int32
}

// Field is a further column of a cloud, such as ring, gps_time, return_number or classification. Numbers are float64
// so that times keep their microseconds.
type Field struct {
	Name   string // as in the file
	Values []float64
}

// Len returns the number of points, including NaN ones.
func (p *PointCloud) Len() int { return len(p.X) }

// Column returns a column by its name: x, y, z, intensity, red, green, blue, or a field in any case. It is a copy unless
// it is stored as float64. The error lists the columns that the cloud has.
func (p *PointCloud) Column(name string) ([]float64, error) {
	var have []string
	for _, f := range append([]Field{{"x", p.X}, {"y", p.Y}, {"z", p.Z}}, p.Fields...) {
		if strings.EqualFold(f.Name, name) {
			return f.Values, nil
		}
		have = append(have, f.Name)
	}
	if p.Intensity != nil {
		if name == "intensity" {
			return float64s(p.Intensity), nil
		}
		have = append(have, "intensity")
	}
	if p.R != nil {
		for i, column := range [][]uint8{p.R, p.G, p.B} {
			color := [...]string{"red", "green", "blue"}[i]
			if name == color {
				return float64s(column), nil
			}
			have = append(have, color)
		}
	}
	return nil, fmt.Errorf("found points with %s, want %s", strings.Join(have, ", "), name)
}

func float64s[T float32 | uint8](values []T) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = float64(v)
	}
	return out
}

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
	// Orientation is the directions of x, y and z in a patient, Stored those of the axes in the file, fastest first. Both
	// are empty if unknown.
	Orientation, Stored Orientation
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
