package perception

import (
	"errors"
	"fmt"
	"strings"

	"github.com/voxelstream/voxelstream/internal/option"
)

// Options configures a [Detector]. It is the section perception of the configuration.
type Options struct {
	// Scan and Frame are the names of the steps for scans and for depth frames.
	Scan  []string `yaml:"scan" flag:"steps" doc:"Steps that find the objects of a scan, in order."`
	Frame []string `yaml:"frame" flag:"frame-steps" doc:"Steps that find the objects of a depth frame, in order."`
	// Steps holds pointers to the options of the steps, one struct of each type; see [OptionsOf].
	Steps []any `yaml:",inline"`
}

// DefaultOptions returns the default steps, for scans of rotating lidars. Each call allocates new step options.
func DefaultOptions() Options {
	var makers []func() any
	for _, s := range Steps() {
		makers = append(makers, s.Options)
	}
	return Options{
		Scan: []string{
			string(GroundZones.Name), string(RangeClusters.Name), string(OrientedBoxes.Name), string(KalmanTracks.Name),
		},
		Frame: []string{string(Planes.Name), string(FrameObjects.Name), string(KalmanTracks.Name)},
		Steps: option.Distinct(makers),
	}
}

// Clone returns a deep copy.
func (o Options) Clone() Options {
	o.Steps = option.Clone(o.Steps)
	return o
}

// Validate reports unknown steps and steps in the wrong order.
func (o *Options) Validate() error {
	return errors.Join(checkSteps("scan", o.Scan), checkSteps("frame", o.Frame))
}

// Finding returns an error if the steps cannot find an object.
func (o Options) Finding() error {
	return errors.Join(finding("scan", o.Scan), finding("frame", o.Frame))
}

func finding(key string, names []string) error {
	for _, name := range names {
		if s, err := stepOf(StepName(name)); err == nil && s.Makes == Clusters {
			return nil
		}
	}
	var want []string
	for _, s := range Steps() {
		if s.Makes == Clusters {
			want = append(want, string(s.Name))
		}
	}
	return fmt.Errorf("perception.%s: found no step that finds objects, want one of %s", key, strings.Join(want, ", "))
}

// checkSteps checks the steps that the setting key lists.
func checkSteps(key string, names []string) error {
	var last Step
	seen := map[string]bool{}
	for _, name := range names {
		s, err := stepOf(StepName(name))
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", key, err)
		case seen[name]:
			return fmt.Errorf("%s: found %s twice, want it once", key, name)
		case s.Makes < last.Makes:
			return fmt.Errorf("%s: found %s after %s, want it before", key, name, last.Name)
		}
		seen[name] = true
		last = s
	}
	return nil
}
