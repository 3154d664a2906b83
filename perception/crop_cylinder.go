package perception

import (
	"context"
	"math"
)

// CropCylinder keeps the points in an upright cylinder.
var CropCylinder = Step{
	Name:    "crop-cylinder",
	Doc:     "Keeps the points in an upright cylinder, or in an upright tube if its inner radius is not 0.",
	Makes:   Filters,
	Options: func() any { return &cropCylinderOptions{Radius: Span{0, 50}, Height: Span{-5, 5}} },
	New: func(o Options) (func(ctx context.Context, s *Scene) error, error) {
		c := OptionsOf(o, cropCylinderOptions{Radius: everything, Height: everything})
		return crop(c.Outside, func(x, y, z float64) bool {
			x, y = x-c.X, y-c.Y
			return c.Radius.Has(math.Sqrt(x*x+y*y)) && c.Height.Has(z)
		}), nil
	},
}

type cropCylinderOptions struct {
	Radius  Span    `yaml:"crop_cylinder_radius" doc:"Distance in metres from the axis of the points that step crop-cylinder keeps."`
	Height  Span    `yaml:"crop_cylinder_z" doc:"Extent of the cylinder along z (up) in metres."`
	X       float64 `yaml:"crop_cylinder_x" doc:"Position of the axis along x (forward) in metres."`
	Y       float64 `yaml:"crop_cylinder_y" doc:"Position of the axis along y (left) in metres."`
	Outside bool    `yaml:"crop_cylinder_outside" doc:"Keep the points outside the cylinder instead."`
}
