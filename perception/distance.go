package perception

import (
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/rank"
	"github.com/voxelstream/voxelstream/record"
)

// noise returns the model of the sensor's errors.
func (s *Scene) noise() ingest.Noise {
	switch {
	case s.Frame == nil:
		return ingest.Lidar
	case s.Frame.Noise == ingest.NoiseUnknown:
		return ingest.StructuredLight
	}
	return s.Frame.Noise
}

// The parameters of the nearest distance: how many measurements make a surface, and over how many standard deviations
// of one measurement they may spread. With three, errors of both signs cancel out in simulated rooms: the mean error of
// the nearest distance is less than a tenth of the standard deviation.
const (
	surfacePoints = 3
	surfaceSpread = 3
)

// distanceOf returns the nearest and the median distance of points with the given ranges, of which there is at least
// one, and the standard deviation of a measurement at the nearest distance. It reorders the ranges.
//
// The nearest distance is the mean of the first ranges, in ascending order, that are within three standard deviations of
// the smallest of them and at least three in number. Smaller ranges are those of single wrong measurements. If there
// are no such three, it is the smallest range.
func distanceOf(ranges []float64, noise ingest.Noise) (d record.Distance) {
	n := len(ranges)
	d.Median = rank.Select(ranges, (n-1)/2)
	// Wrong measurements are few, so the first ranges are enough.
	first := ranges[:n]
	if most := max(64, n/16); most < n {
		rank.Select(ranges, most-1)
		first = ranges[:most]
	}
	slices.Sort(first)
	d.Nearest = first[0]
	for i, r := range first {
		limit := r + surfaceSpread*noise.Deviation(r)
		end := i
		sum := 0.0
		for end < len(first) && first[end] <= limit {
			sum += first[end]
			end++
		}
		if end-i >= surfacePoints {
			d.Nearest = sum / float64(end-i)
			break
		}
	}
	d.Deviation = noise.Deviation(d.Nearest)
	return d
}

// valid returns the share of pixels with a measurement between the first and the last pixel of an object in each row of
// a depth frame, not counting those of other objects. It is 0 for a scan.
func (s *Scene) valid(o *Object) float64 {
	if s.Frame == nil || len(s.Pixel) != s.Cloud.Len() {
		return 0
	}
	width := int32(s.Frame.Width)
	empty, last := 0, int32(math.MinInt32)
	for _, j := range o.Points {
		p := s.Pixel[j]
		if last >= 0 && last/width == p/width {
			for _, z := range s.Frame.Depth[last+1 : max(p, last+1)] {
				if !(z > 0) {
					empty++
				}
			}
		}
		last = p
	}
	return float64(len(o.Points)) / float64(len(o.Points)+empty)
}
