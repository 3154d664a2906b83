package perception

import (
	"context"
	"math"
)

// GroundPlane finds ground that is one plane.
var GroundPlane = Step{
	Name: "ground-plane",
	Doc: "Finds the ground of a scan as one plane through the flat places around the sensor. Use it for floors, and " +
		"for streets where a rough result is enough.",
	Makes:   Surfaces,
	Options: func() any { o := defaultGroundOptions(); return &o },
	New: func(o Options) (func(ctx context.Context, s *Scene) error, error) {
		z := newZones(OptionsOf(o, defaultGroundOptions()))
		return func(_ context.Context, s *Scene) error {
			s.Ground = z.plane(s)
			return nil
		}, nil
	},
}

// plane returns for each point whether it is within PlaneThickness of the plane of the ground.
func (z *zones) plane(s *Scene) []bool {
	w := z.scratch.Get().(*zonesScratch)
	defer z.scratch.Put(w)
	ground := make([]bool, s.Cloud.Len())
	z.sort(s, w)
	plane, ok := z.start(w)
	if !ok {
		return ground
	}
	points := w.points[:w.start[len(w.start)-1]]
	for i := range points {
		p := &points[i]
		d := float64(p.z) - plane.at(float64(p.x), float64(p.y))
		ground[p.i] = math.Abs(d) < z.PlaneThickness
	}
	return ground
}
