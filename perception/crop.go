package perception

import "context"

// crop returns a step that keeps the points inside a region, or those outside it. inside receives coordinates in the
// scene's axes, in metres.
func crop(outside bool, inside func(x, y, z float64) bool) func(ctx context.Context, s *Scene) error {
	return func(ctx context.Context, s *Scene) error {
		c := s.Cloud
		keep := make([]bool, c.Len())
		for i, x := range c.X {
			keep[i] = inside(x, c.Y[i], c.Z[i]) != outside
		}
		s.Keep(keep)
		return ctx.Err()
	}
}
