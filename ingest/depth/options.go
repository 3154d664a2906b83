package depth

import (
	"fmt"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
)

// Options are those of the readers of this package.
type Options struct {
	DepthUnits float64 `yaml:"depth_units" flag:"depth-units" min:"0" doc:"Units of a depth image per metre. 0: what the format says (5000 for TUM), or 1000."`
	// The camera: focal lengths and principal point in pixels.
	Fx float64 `yaml:"fx" flag:"fx" min:"0" doc:"Focal length of the depth camera in pixels. 0: what the files say, or the usual camera of the format."`
	Fy float64 `yaml:"fy" flag:"fy" min:"0" doc:"Focal length along the height of the image, in pixels; set with fx."`
	Cx float64 `yaml:"cx" flag:"cx" doc:"Column of the principal point in pixels, used with fx."`
	Cy float64 `yaml:"cy" flag:"cy" doc:"Row of the principal point in pixels, used with fx."`

	Tolerance     time.Duration `yaml:"tolerance" doc:"Greatest difference in time between a depth image and the colour image or pose that belongs to it."`
	MinConfidence float64       `yaml:"min_confidence" flag:"min-confidence" min:"0" max:"1" doc:"Leave out points of a depth camera whose confidence is less than this."`
}

// DefaultOptions takes what the files say, and pairs images within 20 ms as the tools of TUM do.
func DefaultOptions() Options { return Options{Tolerance: 20 * time.Millisecond} }

// Validate reports a camera of one focal length.
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

// settings are what a reader works by: the limits, and the options of this package. Readers complete them by what they find beside the images.
type settings struct {
	ingest.Options
	// camera is that of the options, or one that was found; nil: the usual one for the size of the image.
	camera *ingest.Intrinsics
	// units of an image per metre; 0: the usual ones of the format.
	units     float64
	tolerance time.Duration
}

// settingsOf has the defaults for what o leaves open.
func settingsOf(o ingest.Options) *settings {
	own := ingest.ReaderOptions(o, DefaultOptions())
	s := &settings{Options: o.WithDefaults(), units: own.DepthUnits, tolerance: own.Tolerance}
	if own.Fx > 0 {
		s.camera = &ingest.Intrinsics{Fx: own.Fx, Fy: own.Fy, Cx: own.Cx, Cy: own.Cy}
	}
	return s
}

// cameraFor is the camera of an image of that size.
func (s *settings) cameraFor(width, height int) ingest.Intrinsics {
	if s.camera != nil {
		return *s.camera
	}
	return defaultCamera(width, height)
}

// perMetre is how many units make a metre, where they are usually as many as usual.
func (s *settings) perMetre(usual float64) float64 {
	if s.units > 0 {
		return s.units
	}
	return usual
}
