package ingest

import (
	"fmt"
	"strings"
)

// DistanceRegions is the number of regions into which an image is divided along its height and along its width.
const DistanceRegions = 3

// Distance describes the distances of objects in front of a depth camera, along its optical axis.
type Distance struct {
	Range
	// Regions are the ranges of the parts of the image, top row first; nil for regions without a measurement.
	Regions [DistanceRegions][DistanceRegions]*Range `json:"regions"`
}

// Range is the nearest and the median distance, in metres, of the valid pixels. For an even number of pixels the
// median is the smaller of the two middle values.
type Range struct {
	Nearest float64 `json:"nearest_m"`
	Median  float64 `json:"median_m"`
}

// Distance measures the frame. It returns nil if no pixel has a depth.
func (f *Frame) Distance() *Distance {
	var out Distance
	all := make([]Metres, 0, len(f.Depth))
	part := make([]Metres, 0, len(f.Depth))
	for i := range DistanceRegions {
		for j := range DistanceRegions {
			part = part[:0]
			for v := i * f.Height / DistanceRegions; v < (i+1)*f.Height/DistanceRegions; v++ {
				row := f.Depth[v*f.Width:]
				for _, d := range row[j*f.Width/DistanceRegions : (j+1)*f.Width/DistanceRegions] {
					if d > 0 {
						part = append(part, d)
					}
				}
			}
			all = append(all, part...)
			out.Regions[i][j] = rangeOf(part)
		}
	}
	r := rangeOf(all)
	if r == nil {
		return nil
	}
	out.Range = *r
	return &out
}

// rangeOf returns the range of the depths, which it reorders.
func rangeOf(depths []Metres) *Range {
	if len(depths) == 0 {
		return nil
	}
	nearest := depths[0]
	for _, d := range depths {
		nearest = min(nearest, d)
	}
	return &Range{Nearest: widen(nearest), Median: widen(nth(depths, (len(depths)-1)/2))}
}

// nth returns the value that would be at index k if s were sorted, using Hoare's selection algorithm, which
// reorders s.
func nth(s []Metres, k int) Metres {
	lo, hi := 0, len(s)-1
	for lo < hi {
		pivot := s[lo+(hi-lo)/2]
		i, j := lo, hi
		for i <= j {
			for s[i] < pivot {
				i++
			}
			for s[j] > pivot {
				j--
			}
			if i <= j {
				s[i], s[j] = s[j], s[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			hi = j
		case k >= i:
			lo = i
		default:
			return s[k]
		}
	}
	return s[k]
}

// Text returns one line for the whole image and one for each row of regions.
func (d *Distance) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "nearest %.3f m, median %.3f m; nearest by region:", d.Nearest, d.Median)
	for _, row := range d.Regions {
		b.WriteString("\n       ")
		for _, r := range row {
			if r == nil {
				b.WriteString("        -")
			} else {
				fmt.Fprintf(&b, " %8.3f", r.Nearest)
			}
		}
	}
	return b.String()
}
