package perception

import (
	"context"
	"fmt"

	"github.com/voxelstream/voxelstream/perception/internal/grid"
)

// OutliersRadius removes points that have few neighbours.
var OutliersRadius = Step{
	Name:  "outliers-radius",
	Doc:   "Removes the points that have too few neighbours within a radius.",
	Makes: Filters,
	Options: func() any {
		o := defaultOutliersRadius
		return &o
	},
	New: func(o Options) (func(ctx context.Context, s *Scene) error, error) {
		c := OptionsOf(o, defaultOutliersRadius)
		return c.run, nil
	},
}

var defaultOutliersRadius = outliersRadiusOptions{Radius: 0.5, Least: 2}

type outliersRadiusOptions struct {
	Radius float64 `yaml:"outliers_radius" above:"0" doc:"Radius in metres within which step outliers-radius counts neighbours."`
	Least  int     `yaml:"outliers_radius_neighbours" min:"1" max:"1000" doc:"Minimum number of neighbours for a point to be kept."`
}

// run removes outliers as PCL's RadiusOutlierRemoval and Open3D's remove_radius_outlier do: a point does not count
// among its neighbours.
func (o *outliersRadiusOptions) run(ctx context.Context, s *Scene) error {
	c := s.Cloud
	// The diagonal of a cell is shorter than the radius, so all points of a cell are neighbours.
	g, err := grid.New(c.X, c.Y, c.Z, o.Radius*0.577)
	if err != nil {
		return fmt.Errorf("outliers_radius: %w", err)
	}
	x, y, z := g.Sorted()
	keep := make([]bool, c.Len())
	squared := o.Radius * o.Radius
	err = parallel(ctx, g.Cells(), 4096, func(from, to int) {
		g.Near(2, from, to, func(cell int, runs [][2]int32) {
			first, last := g.Start[cell], g.Start[cell+1]
			for i := first; i < last; i++ {
				n := int(last-first) - 1 // not the point itself
				for r := 0; r < len(runs) && n < o.Least; r++ {
					for j := g.Start[runs[r][0]]; j < g.Start[runs[r][1]] && n < o.Least; j++ {
						dx, dy, dz := x[j]-x[i], y[j]-y[i], z[j]-z[i]
						if dx*dx+dy*dy+dz*dz <= squared && (j < first || j >= last) {
							n++
						}
					}
				}
				keep[g.Points[i]] = n >= o.Least
			}
		})
	})
	if err == nil {
		s.Keep(keep)
	}
	return err
}
