package perception

import (
	"context"
	"math"
)

// CropRange keeps the points at some distance from the sensor.
var CropRange = Step{
	Name:    "crop-range",
	Doc:     "Keeps the points whose distance from the sensor is within limits.",
	Makes:   Filters,
	Options: func() any { return &cropRangeOptions{Range: Span{1, 100}} },
	New: func(o Options) (func(ctx context.Context, s *Scene) error, error) {
		c := OptionsOf(o, cropRangeOptions{Range: everything})
		return crop(c.Outside, func(x, y, z float64) bool {
			return c.Range.Has(math.Sqrt(x*x + y*y + z*z))
		}), nil
	},
}

type cropRangeOptions struct {
	Range   Span `yaml:"crop_range" flag:"crop-range" doc:"Distance from the sensor in metres of the points that step crop-range keeps."`
	Outside bool `yaml:"crop_range_outside" doc:"Keep the points at other distances instead."`
}
