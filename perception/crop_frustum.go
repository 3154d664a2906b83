package perception

import (
	"context"
	"math"
)

// CropFrustum keeps the points in the view of a camera at the sensor.
var CropFrustum = Step{
	Name: "crop-frustum",
	Doc: "Keeps the points in a frustum: what a camera at the sensor with these fields of view would see. It looks " +
		"along x, unless it is turned.",
	Makes: Filters,
	Options: func() any {
		return &cropFrustumOptions{Width: 90, Height: 60, Depth: Span{0, 100}}
	},
	New: func(o Options) (func(ctx context.Context, s *Scene) error, error) {
		c := OptionsOf(o, cropFrustumOptions{Width: 90, Height: 60, Depth: Span{0, math.Inf(1)}})
		sinYaw, cosYaw := math.Sincos(c.Yaw * math.Pi / 180)
		sinPitch, cosPitch := math.Sincos(c.Pitch * math.Pi / 180)
		right, top := math.Tan(c.Width*math.Pi/360), math.Tan(c.Height*math.Pi/360)
		return crop(c.Outside, func(x, y, z float64) bool {
			level, side := cosYaw*x+sinYaw*y, cosYaw*y-sinYaw*x
			depth, up := cosPitch*level+sinPitch*z, cosPitch*z-sinPitch*level
			return c.Depth.Has(depth) && math.Abs(side) <= right*depth && math.Abs(up) <= top*depth
		}), nil
	},
}

type cropFrustumOptions struct {
	Width   float64 `yaml:"crop_frustum_width" above:"0" below:"180" doc:"Horizontal field of view in degrees of step crop-frustum."`
	Height  float64 `yaml:"crop_frustum_height" above:"0" below:"180" doc:"Vertical field of view in degrees."`
	Depth   Span    `yaml:"crop_frustum_depth" doc:"Distance in metres along the viewing direction: the near and far ends of the frustum."`
	Yaw     float64 `yaml:"crop_frustum_yaw" doc:"Angle in degrees by which the viewing direction is turned to the left."`
	Pitch   float64 `yaml:"crop_frustum_pitch" doc:"Angle in degrees by which the viewing direction is turned upwards."`
	Outside bool    `yaml:"crop_frustum_outside" doc:"Keep the points outside the frustum instead."`
}
