package perception

import "context"

// CropBox keeps the points in a box.
var CropBox = Step{
	Name:    "crop-box",
	Doc:     "Keeps the points in a box, or outside it to remove the vehicle that carries the sensor.",
	Makes:   Filters,
	Options: func() any { return &cropBoxOptions{X: Span{-50, 50}, Y: Span{-50, 50}, Z: Span{-5, 5}} },
	New: func(o Options) (func(ctx context.Context, s *Scene) error, error) {
		c := OptionsOf(o, cropBoxOptions{X: everything, Y: everything, Z: everything})
		return crop(c.Outside, func(x, y, z float64) bool {
			return c.X.Has(x) && c.Y.Has(y) && c.Z.Has(z)
		}), nil
	},
}

type cropBoxOptions struct {
	X       Span `yaml:"crop_box_x" flag:"crop-box-x" doc:"Extent of the box of step crop-box along x (forward) in metres."`
	Y       Span `yaml:"crop_box_y" flag:"crop-box-y" doc:"Extent of the box along y (left) in metres."`
	Z       Span `yaml:"crop_box_z" flag:"crop-box-z" doc:"Extent of the box along z (up) in metres."`
	Outside bool `yaml:"crop_box_outside" doc:"Keep the points outside the box instead."`
}
