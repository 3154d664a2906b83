package voxelize

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/option"
)

// Method converts points or depth frames to cell values. Each method is declared in one file of this package and
// listed in [Methods].
type Method struct {
	Name MethodName
	// Doc describes the method in one or more sentences.
	Doc   string
	Needs Needs
	// Placed methods use the grid given by Options.Edge and Options.Origin. Others fit a grid to each sample.
	Placed bool
	// Value is the kind of cell value, if the method determines it. If it is empty, Options.Value applies.
	Value Value
	// Channels returns the number of values per cell for valid options. It is nil if there is one.
	Channels func(o Options) int
	// Attributes returns the names of the attributes of points that the method uses. It is nil if it uses coordinates
	// only.
	Attributes func(o Options) []string
	// Options returns the method's own options with their defaults: pointers to structs with the tags of
	// internal/option, whose fields become keys of the section voxelize. Methods may have a struct in common. It is nil
	// if the method has none. [MethodOptions] passes them to New.
	Options func() []any
	// New prepares the method for valid options. The function it returns computes the field of a point cloud or depth
	// frame and is called concurrently. It never receives a voxel grid. It returns an error that wraps [ErrEmpty] if
	// there is nothing to voxelize.
	New func(o Options) (func(d ingest.Data) (*Field, error), error)
	// Distances computes the signed distances of a frame's cells to the surface, in metres. It is nil if the method
	// cannot compute them.
	Distances func(o Options, d ingest.Data) (*ingest.Grid, error)
	// Fuse fuses all frames of a recording into one grid. It may call open more than once. Frames that cannot be used
	// are reported to bad. threads is the number of goroutines, 0 for one per processor; the result does not depend
	// on it. Fuse is nil if the method handles each sample separately.
	Fuse func(ctx context.Context, o Options, open func() (ingest.Source, error), threads int, bad func(error)) (*Fused,
		error)
}

// Needs are a method's requirements on samples and options.
type Needs struct {
	// Cube requires depth, height and width of the grid to be equal.
	Cube bool
	// Frames requires depth frames, because points do not show which space the camera saw as empty.
	Frames bool
	// Flat requires a depth of one cell, because the method has one cell per column.
	Flat bool
	// CubicCells requires the edges of a cell to be equal.
	CubicCells bool
}

// Fused is the result of fusing all frames of a recording.
type Fused struct {
	// Sample gives the stream of the frames and the time of the first one. It has no data.
	Sample ingest.Sample
	// Frames is the number of frames fused, Failed the number that could not be.
	Frames, Failed int
	// Grid returns the fused grid, with the cell values that New's function gives for a single frame. Distances
	// returns the signed distances, and is nil if the method cannot compute them.
	Grid, Distances func() *ingest.Grid
}

// Methods lists all methods.
func Methods() []Method {
	return []Method{
		MNIST3D,
		Pyntcloud,
		Regular,
		OccupancyGrid,
		CountGrid,
		DensityGrid,
		MeanGrid,
		MinGrid,
		MaxGrid,
		FirstGrid,
		MajorityGrid,
		Channels,
		HitMiss,
		FreeSpace,
		VoxNet,
		HeightMap,
		Pillars,
		TSDF,
		ProjectiveTSDF,
	}
}

// MethodName is the name of a method of the list.
type MethodName string

// Choices lists the method names.
func (MethodName) Choices() []string {
	return names(Methods(), func(m Method) MethodName { return m.Name })
}

// ChoiceDoc returns the description of a method.
func (MethodName) ChoiceDoc(name string) string {
	m, _ := methodOf(MethodName(name))
	return m.Doc
}

func methodOf(name MethodName) (Method, error) {
	all := Methods()
	i := slices.IndexFunc(all, func(m Method) bool { return m.Name == name })
	if i < 0 {
		return Method{}, fmt.Errorf("method: found %q, want one of %s", name,
			strings.Join(MethodName("").Choices(), ", "))
	}
	return all[i], nil
}

// names returns the names of the elements of list.
func names[T any, N ~string](list []T, name func(T) N) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(name(v))
	}
	return out
}

// MethodOptions returns the method options of type T from o, or defaults if o holds none.
func MethodOptions[T any](o Options, defaults T) T { return option.Of(o.Methods, defaults) }

// MethodsWith returns the names of the methods that have an option of their own with the given key of the section
// voxelize. There are none for keys of [Options], which every method has.
func MethodsWith(key string) []string {
	var out []string
	for _, m := range Methods() {
		if m.Options == nil {
			continue
		}
		has := func(o any) bool { _, ok := option.Find(option.Fields(o), key); return ok }
		if slices.ContainsFunc(m.Options(), has) {
			out = append(out, string(m.Name))
		}
	}
	return out
}

// newMethodOptions returns the default options of all methods that have options.
func newMethodOptions() []any {
	var makers []func() any
	for _, m := range Methods() {
		if m.Options == nil {
			continue
		}
		for _, o := range m.Options() {
			makers = append(makers, func() any { return o })
		}
	}
	return option.Distinct(makers)
}

// ofPoints adapts a function of point clouds to take depth frames too, which it projects to points.
func ofPoints(cells func(p *ingest.PointCloud) (*Field, error)) func(d ingest.Data) (*Field, error) {
	return func(d ingest.Data) (*Field, error) {
		p, _, err := pointsOf(d)
		if err != nil {
			return nil, err
		}
		return cells(p)
	}
}

// pointsOf returns a cloud, or the points of a depth frame, and the position of the sensor in their axes.
func pointsOf(d ingest.Data) (p *ingest.PointCloud, sensor [3]float64, err error) {
	switch d := d.(type) {
	case *ingest.PointCloud:
		if d != nil {
			return d, sensor, nil
		}
	case *ingest.Frame:
		if d == nil {
			break
		}
		if d.Pose != nil {
			sensor = d.Pose.T
		}
		p, err = project(d)
		return p, sensor, err
	}
	return nil, sensor, errNoData
}
