package ingest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/internal/rank"
)

// DistanceRegions is the number of regions into which an image is divided along its height and along its width.
const DistanceRegions = 3

// Distance describes the distances of objects in front of a depth camera, along its optical axis.
type Distance struct {
	Range
	// Regions are the ranges of the parts of the image, top row first; nil for regions without a measurement.
	Regions [DistanceRegions][DistanceRegions]*Range `json:"regions"`
	// Noise is the model from which the deviations follow.
	Noise Noise `json:"noise"`
}

// Range is the nearest and the median distance in an image or a part of it, in metres. For an even number of pixels the
// median is the smaller of the two middle values.
//
// Nearest is the least mean depth of a pixel and those of its eight neighbours that agree with it to five standard
// deviations, if at least four do. So it is the distance of a surface, and not of a single wrong measurement, and does
// not become smaller with the number of pixels, as the least measured depth does. If no pixel has four such neighbours,
// it is the least depth.
type Range struct {
	Nearest float64 `json:"nearest_m"`
	Median  float64 `json:"median_m"`
	// Deviation is the standard deviation of a measurement at the nearest distance.
	Deviation float64 `json:"deviation_m"`
	// Valid is the share of pixels with a measurement.
	Valid float64 `json:"valid"`
}

// Distance measures the frame. It returns nil if no pixel has a depth.
func (f *Frame) Distance() *Distance {
	whole := f.Range()
	if whole == nil {
		return nil
	}
	out := Distance{Range: *whole, Noise: f.noise()}
	for i := range DistanceRegions {
		for j := range DistanceRegions {
			out.Regions[i][j] = f.rangeIn(j*f.Width/DistanceRegions, (j+1)*f.Width/DistanceRegions,
				i*f.Height/DistanceRegions, (i+1)*f.Height/DistanceRegions)
		}
	}
	return &out
}

// Range measures the whole image. It returns nil if no pixel has a depth.
func (f *Frame) Range() *Range { return f.rangeIn(0, f.Width, 0, f.Height) }

// noise returns the model of the frame, or the default one.
func (f *Frame) noise() Noise {
	if f.Noise == NoiseUnknown {
		return StructuredLight
	}
	return f.Noise
}

// rangeIn measures columns from u0 to before u1 and rows from v0 to before v1.
func (f *Frame) rangeIn(u0, u1, v0, v1 int) *Range {
	depths := make([]Metres, 0, (u1-u0)*(v1-v0))
	for v := v0; v < v1; v++ {
		for _, d := range f.Depth[v*f.Width+u0 : v*f.Width+u1] {
			if d > 0 {
				depths = append(depths, d)
			}
		}
	}
	if len(depths) == 0 {
		return nil
	}
	nearest := float64(f.surface(u0, u1, v0, v1))
	if nearest == 0 {
		nearest = float64(slices.Min(depths))
	}
	return &Range{
		Nearest: widen(float32(nearest)), Median: widen(rank.Select(depths, (len(depths)-1)/2)),
		Deviation: widen(float32(f.noise().Deviation(nearest))),
		Valid:     widen(float32(len(depths)) / float32((u1-u0)*(v1-v0))),
	}
}

// surface returns the depth of the nearest surface, as [Range] describes it, or 0 if there is none.
func (f *Frame) surface(u0, u1, v0, v1 int) Metres {
	noise := f.noise()
	var best Metres
	var cut Metres // a pixel from this depth on cannot have a smaller mean than best
	for v := v0; v < v1; v++ {
		for u := u0; u < u1; u++ {
			d := f.Depth[v*f.Width+u]
			if !(d > 0) || best > 0 && d >= cut {
				continue
			}
			slack := Metres(5 * noise.Deviation(float64(d)))
			sum, n := d, 1
			for y := max(v-1, 0); y <= min(v+1, f.Height-1); y++ {
				row := f.Depth[y*f.Width:][:f.Width]
				for x := max(u-1, 0); x <= min(u+1, f.Width-1); x++ {
					if e := row[x]; e > 0 && (x != u || y != v) && e-d <= slack && d-e <= slack {
						sum, n = sum+e, n+1
					}
				}
			}
			if mean := sum / Metres(n); n >= 5 && (best == 0 || mean < best) {
				best = mean
				cut = best + Metres(5*noise.Deviation(float64(best)))*9/8 // the slack at the cut is larger
			}
		}
	}
	return best
}

// Text returns one line for the whole image and one for each row of regions.
func (d *Distance) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "nearest %.3f m ± %.1f mm (%s), median %.3f m, %.1f%% of pixels valid; nearest by region:", d.Nearest,
		1000*d.Deviation, d.Noise, d.Median, 100*d.Valid)
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
