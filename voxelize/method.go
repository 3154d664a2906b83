package voxelize

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/option"
)

// Method converts points or depth frames to cells. Each is declared in a file of this package and listed by [Methods].
type Method struct {
	Name MethodName
	// Doc describes the method in one or more sentences.
	Doc   string
	Needs Needs
	// Placed methods use the grid given by Options.Edge and Options.Origin. The others fit a grid to each sample.
	Placed bool
	// Value is what a cell says, where that is part of the method; empty: Options.Value decides.
	Value Value
	// Options makes the method's own options with their defaults: a pointer to a struct with the tags of
	// internal/option, whose fields are keys of the section voxelize. Nil: it has none. [MethodOptions] gives them to
	// New.
	Options func() any
	// New prepares the method for options that are valid. What it returns makes the field of a point cloud or depth
	// frame, never of a ready grid, and is called by several goroutines at a time. An error that wraps [ErrEmpty] says
	// that there is nothing to voxelize.
	New func(o Options) (func(d ingest.Data) (*Field, error), error)
	// Distances makes the signed distances of a frame to the surface, in metres; nil: the method knows none.
	Distances func(o Options, d ingest.Data) (*ingest.Grid, error)
	// Fuse makes one grid of all frames of a recording, which open starts once or several times; nil: each sample
	// gives a grid of its own. Frames that cannot be used go to bad. Threads is how many goroutines compute, 0: one
	// per processor; the result does not depend on it.
	Fuse func(ctx context.Context, o Options, open func() (ingest.Source, error), threads int, bad func(error)) (*Fused,
		error)
}

// Needs are a method's requirements on samples and options.
type Needs struct {
	// Cube: depth, height and width of the grid are equal.
	Cube bool
	// Frames: samples are depth frames, since points do not tell what the camera saw as empty.
	Frames bool
}

// Fused is the result of fusing all frames of a recording.
type Fused struct {
	// Sample says of which stream the frames were and when the first was taken; it has no data.
	Sample ingest.Sample
	// Frames were fused, Failed were not.
	Frames, Failed int
	// Grid gives what Field gives of one frame, as a ready grid; Distances the signed distances, and is nil where the
	// method knows none.
	Grid, Distances func() *ingest.Grid
}

// Methods lists all methods.
func Methods() []Method {
	return []Method{
		MNIST3D,
		Pyntcloud,
		Regular,
		OccupancyGrid,
		DensityGrid,
		TSDF,
	}
}

// MethodName names a method of the list.
type MethodName string

// Choices are the names of the list.
func (MethodName) Choices() []string {
	return names(Methods(), func(m Method) MethodName { return m.Name })
}

// ChoiceDoc is the documentation of a method.
func (MethodName) ChoiceDoc(name string) string {
	m, _ := methodOf(MethodName(name))
	return m.Doc
}

func methodOf(name MethodName) (Method, error) {
	all := Methods()
	i := slices.IndexFunc(all, func(m Method) bool { return m.Name == name })
	if i < 0 {
		return Method{}, fmt.Errorf("method: found %q, want one of %s", name, strings.Join(MethodName("").Choices(), ", "))
	}
	return all[i], nil
}

// names lists the names of what matches.
func names[T any, N ~string](list []T, name func(T) N) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(name(v))
	}
	return out
}

// MethodOptions are the options of type T that o holds for a method, or defaults where it holds none.
func MethodOptions[T any](o Options, defaults T) T { return option.Of(o.Methods, defaults) }

// newMethodOptions are the default options of all methods that have some.
func newMethodOptions() []any {
	var makers []func() any
	for _, m := range Methods() {
		makers = append(makers, m.Options)
	}
	return option.Distinct(makers)
}

// ofPoints is a method that takes points, and frames as the points that they show.
func ofPoints(cells func(p *ingest.PointCloud) (*Field, error)) func(d ingest.Data) (*Field, error) {
	return func(d ingest.Data) (*Field, error) {
		switch d := d.(type) {
		case *ingest.PointCloud:
			if d != nil {
				return cells(d)
			}
		case *ingest.Frame:
			if d == nil {
				break
			}
			cloud, err := project(d)
			if err != nil {
				return nil, err
			}
			return cells(cloud)
		}
		return nil, errNoData
	}
}
