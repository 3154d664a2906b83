package perception

import (
	"context"
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/perception/internal/kdtree"
)

// OutliersStatistical removes points that are far from their neighbours.
var OutliersStatistical = Step{
	Name: "outliers-statistical",
	Doc: "Removes the points whose mean distance to their nearest neighbours exceeds the mean of these distances " +
		"over all points by more than a given number of standard deviations.",
	Makes: Filters,
	Options: func() any {
		o := defaultOutliersStatistical
		return &o
	},
	New: func(o Options) (func(ctx context.Context, s *Scene) error, error) {
		c := OptionsOf(o, defaultOutliersStatistical)
		return c.run, nil
	},
}

var defaultOutliersStatistical = outliersStatisticalOptions{Neighbours: 20, Deviations: 2}

type outliersStatisticalOptions struct {
	Neighbours int     `yaml:"outliers_neighbours" min:"1" max:"1000" doc:"Number of nearest neighbours over which step outliers-statistical averages the distance."`
	Deviations float64 `yaml:"outliers_deviations" min:"0" doc:"Number of standard deviations above the mean up to which points are kept."`
}

// run removes outliers as PCL's StatisticalOutlierRemoval does: a point does not count among its neighbours, and the
// standard deviation is that of a sample (n - 1). Open3D's remove_statistical_outlier, which counts the point too,
// gives the same points for one neighbour more.
func (o *outliersStatisticalOptions) run(ctx context.Context, s *Scene) error {
	n := s.Cloud.Len()
	if n < 2 {
		return ctx.Err()
	}
	mean := make([]float64, n)
	near := float64(min(o.Neighbours, n-1))
	err := nearest(ctx, s.Cloud, o.Neighbours+1, func(t *kdtree.Tree, position int, neighbours []kdtree.Neighbour) {
		sum := 0.0
		for _, m := range neighbours {
			sum += math.Sqrt(float64(m.Squared())) // 0 for the point itself
		}
		mean[t.Points[position]] = sum / near
	})
	if err != nil {
		return err
	}
	average := orderless(mean)
	squares := make([]float64, n)
	for i, d := range mean {
		squares[i] = (d - average) * (d - average)
	}
	limit := average + o.Deviations*math.Sqrt(orderless(squares)*float64(n)/float64(n-1))
	keep := make([]bool, n)
	for i, d := range mean {
		keep[i] = d <= limit
	}
	s.Keep(keep)
	return nil
}

// orderless returns the mean of numbers of which none is negative. It adds integers, so that the result does not depend
// on the order of the numbers.
func orderless(values []float64) float64 {
	most := slices.Max(values)
	scale := math.Ldexp(1, 62) / float64(len(values)) / most
	if math.IsInf(scale, 0) {
		return most // 0, or next to it
	}
	sum := int64(0)
	for _, v := range values {
		sum += int64(v * scale)
	}
	return float64(sum) / float64(len(values)) / scale
}
