package perception

import (
	"math"
	"slices"
)

// dropSmall removes the objects of which the beams hit less than an area in square metres, perpendicular to the beams.
// Each beam stands for the same solid angle, so a point at distance d stands for an area that grows with the square of
// d: the number of points that an object needs falls with the square of its distance. A point that replaces several
// counts as often.
func (s *Scene) dropSmall(least float64) {
	if least <= 0 || len(s.Objects) == 0 {
		return
	}
	beam := s.beam()
	c := s.Cloud
	s.removeObjects(func(o *Object) bool {
		sum := 0.0
		for _, i := range o.Points {
			sum += float64(s.returnsOf(int(i))) * (c.X[i]*c.X[i] + c.Y[i]*c.Y[i] + c.Z[i]*c.Z[i])
		}
		return sum*beam < least
	})
}

// The view of the sensor is divided into cells of equal solid angle on average: by azimuth, and evenly by the sine of
// the elevation. They are 3.6 degrees high at the horizon, so that one between the beams of a lidar is not empty.
const (
	cellColumns = 128
	cellRows    = 32
	cellAngle   = 4 * math.Pi / (cellColumns * cellRows)
)

// beam returns the solid angle in steradians for which each return of the sensor stands. It is the mean over the cells in
// which the scan is dense: others are at the edge of the view, or partly show the sky, which returns nothing.
func (s *Scene) beam() float64 {
	c := s.Cloud
	var counts [cellColumns * cellRows]int
	for i, x := range c.X {
		y, z := c.Y[i], c.Z[i]
		d := math.Sqrt(x*x + y*y + z*z)
		if d < closest || d > farthest {
			continue
		}
		row := min(int((1+z/d)/2*cellRows), cellRows-1)
		counts[row*cellColumns+viewColumn(x, y)/(viewColumns/cellColumns)] += s.returnsOf(i)
	}
	filled := slices.DeleteFunc(slices.Sorted(slices.Values(counts[:])), func(n int) bool { return n == 0 })
	if len(filled) == 0 {
		return 0
	}
	least := filled[len(filled)/2] / 4
	cells, points := 0, 0
	for _, n := range filled {
		if n > least {
			cells, points = cells+1, points+n
		}
	}
	return cellAngle * float64(cells) / float64(points)
}
