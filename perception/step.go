package perception

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/internal/option"
)

// Step is one step from points to objects. Each step is declared in one file of this package and listed in [Steps].
type Step struct {
	Name StepName
	// Doc describes the step in one or more sentences.
	Doc string
	// Makes is what the step finds. Steps run in the order of their stages; those of the same stage in the order in
	// which they are configured.
	Makes Stage
	// Options returns the step's own options with their defaults: a pointer to a struct with the tags of
	// internal/option, whose fields become keys of the section perception. It is nil if the step has none. [OptionsOf]
	// passes them to New.
	Options func() any
	// New prepares the step for valid options. The function it returns is called concurrently for different scenes. If
	// the stage is Tracks, the scenes of one stream are passed one at a time, in their order; calls for scenes of
	// different streams may overlap.
	New func(o Options) (func(ctx context.Context, s *Scene) error, error)
}

// Stage is what a step finds.
type Stage int

// The stages, in the order in which they run. Filters remove or add points or describe them. Surfaces finds ground and
// planes. Clusters finds objects. Boxes fills in their boxes. Tracks connects them to the objects of earlier scenes.
const (
	Filters Stage = iota
	Surfaces
	Clusters
	Boxes
	Tracks
)

// Steps lists all steps.
func Steps() []Step {
	return []Step{
		CropRange,
		CropBox,
		CropCylinder,
		CropFrustum,
		Downsample,
		OutliersStatistical,
		OutliersRadius,
		Normals,
		GroundZones,
		GroundPlane,
		Planes,
		RangeClusters,
		Euclidean,
		FrameObjects,
		OrientedBoxes,
		KalmanTracks,
	}
}

// StepName is the name of a step of the list.
type StepName string

// Choices lists the names of the steps.
func (StepName) Choices() []string {
	var out []string
	for _, s := range Steps() {
		out = append(out, string(s.Name))
	}
	return out
}

// ChoiceDoc returns the description of a step.
func (StepName) ChoiceDoc(name string) string {
	s, _ := stepOf(StepName(name))
	return s.Doc
}

func stepOf(name StepName) (Step, error) {
	all := Steps()
	i := slices.IndexFunc(all, func(s Step) bool { return s.Name == name })
	if i < 0 {
		return Step{}, fmt.Errorf("step: found %.64q, want one of %s", name, strings.Join(StepName("").Choices(), ", "))
	}
	return all[i], nil
}

// OptionsOf returns the step options of type T from o, or defaults if o holds none.
func OptionsOf[T any](o Options, defaults T) T { return option.Of(o.Steps, defaults) }
