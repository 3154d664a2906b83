package depth

import (
	"fmt"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
)

// Options are the options of this package's readers.
type Options struct {
	DepthUnits float64 `yaml:"depth_units" flag:"depth-units" min:"0" doc:"Depth image units per metre. 0 uses the format's own (5000 for TUM), or 1000."`
	// The camera: focal lengths and principal point in pixels.
	Fx float64 `yaml:"fx" flag:"fx" min:"0" doc:"Horizontal focal length of the depth camera in pixels. 0 uses the intrinsics in the files, or the format's usual camera."`
	Fy float64 `yaml:"fy" flag:"fy" min:"0" doc:"Vertical focal length in pixels; set together with fx."`
	Cx float64 `yaml:"cx" flag:"cx" doc:"Column of the principal point in pixels; used with fx."`
	Cy float64 `yaml:"cy" flag:"cy" doc:"Row of the principal point in pixels; used with fx."`

	Tolerance     time.Duration `yaml:"tolerance" doc:"Maximum time difference between a depth image and its colour image or pose."`
	Noise         ingest.Noise  `yaml:"noise" flag:"noise" doc:"Noise model of the depth camera, which determines the uncertainty of distances."`
	MinConfidence float64       `yaml:"min_confidence" flag:"min-confidence" min:"0" max:"1" doc:"Minimum confidence of points from a depth camera; others are skipped."`
}

// auto is the option for noise by the size of the image.
const auto ingest.Noise = "auto"

// DefaultOptions uses the files' own calibration and pairs images within 20 ms, as the TUM tools do.
func DefaultOptions() Options { return Options{Tolerance: 20 * time.Millisecond, Noise: auto} }

// Validate checks that either both focal lengths are set or neither.
func (o *Options) Validate() error {
	if (o.Fx == 0) != (o.Fy == 0) {
		return fmt.Errorf("fx, fy: found %g and %g, want both or none", o.Fx, o.Fy)
	}
	return nil
}

func newOptions() any {
	o := DefaultOptions()
	return &o
}

// settings holds the limits and the options of this package. Readers complete them with the calibration that they
// find in the folder.
type settings struct {
	ingest.Options
	// camera is the camera from the options or the folder; nil means the usual one for the image size.
	camera *ingest.Intrinsics
	// units per metre; 0 means those usual for the format.
	units     float64
	tolerance time.Duration
	noise     ingest.Noise
}

// settingsOf returns the settings for o, with defaults for options that are not set.
func settingsOf(o ingest.Options) *settings {
	own := ingest.ReaderOptions(o, DefaultOptions())
	s := &settings{Options: o.WithDefaults(), units: own.DepthUnits, tolerance: own.Tolerance, noise: own.Noise}
	if own.Fx > 0 {
		s.camera = &ingest.Intrinsics{Fx: own.Fx, Fy: own.Fy, Cx: own.Cx, Cy: own.Cy}
	}
	return s
}

// cameraFor returns the camera for an image of the given size.
func (s *settings) cameraFor(width, height int) ingest.Intrinsics {
	if s.camera != nil {
		return *s.camera
	}
	return defaultCamera(width, height)
}

// setCamera sets the camera and the noise of a frame.
func (s *settings) setCamera(f *ingest.Frame) {
	f.Cam, f.Noise = s.cameraFor(f.Width, f.Height), s.noiseFor(f.Width, f.Height)
}

// noiseFor returns the noise for an image of the given size.
func (s *settings) noiseFor(width, height int) ingest.Noise {
	size := [2]int{width, height}
	_, azure := azureDepthModes[size]
	switch {
	case s.noise != auto && s.noise != ingest.NoiseUnknown:
		return s.noise
	case azure, size == [2]int{512, 424}: // the Kinect of 2013
		return ingest.TimeOfFlight
	}
	return ingest.StructuredLight
}

// perMetre returns the number of units per metre; usual is the format's default.
func (s *settings) perMetre(usual float64) float64 {
	if s.units > 0 {
		return s.units
	}
	return usual
}
