package frame

import (
	"encoding/binary"
	"math"

	"github.com/voxelstream/voxelstream/ingest"
)

// steps is the number of steps of a quantized coordinate.
const steps = math.MaxUint16

// millimetres are those of a metre.
const millimetres = 1000

// AddSensor appends what the sensor saw, with at most limit points or pixels, and sets what the header says about it.
// A grid has no sensor data: the volume shows it.
func (p *Payload) AddSensor(h *Header, s *ingest.Sample, limit int) {
	h.Sensor = &Sensor{Kind: KindNone}
	if h.Time.IsZero() {
		h.Time = s.Time
	}
	switch d := s.Data.(type) {
	case *ingest.PointCloud:
		p.addCloud(h, d, limit)
	case *ingest.Frame:
		p.addDepth(h, d, limit)
	}
}

// addCloud appends the finite points, of which a stratified sample is taken if there are more than limit: one point of
// each of limit equal ranges, so that no pattern of the scan lines remains.
func (p *Payload) addCloud(h *Header, c *ingest.PointCloud, limit int) {
	var lo, hi [3]float64
	finite := 0
	axes := [3][]float64{c.X, c.Y, c.Z}
	for i := range c.X {
		if !finitePoint(c, i) {
			continue
		}
		for k, axis := range axes {
			if finite == 0 {
				lo[k], hi[k] = axis[i], axis[i]
			}
			lo[k], hi[k] = min(lo[k], axis[i]), max(hi[k], axis[i])
		}
		finite++
	}
	n := min(finite, max(0, limit))
	s := &Sensor{Kind: KindCloud, Points: n, Total: c.Len(), Origin: &lo, Scale: &[3]float64{}}
	h.Sensor, h.LeftOut = s, finite-n
	var inverse [3]float64
	for k := range lo {
		// halves, because the difference of two float64 may be infinite
		s.Scale[k] = 2 * (hi[k]/2/steps - lo[k]/2/steps)
		if s.Scale[k] > 0 {
			inverse[k] = 1 / s.Scale[k]
		}
	}
	chosen := choose(c, finite, n)
	points := p.Add("points", U16, n, 3)
	for j, i := range chosen {
		for k, axis := range axes {
			q := math.Round((axis[i] - lo[k]) * inverse[k])
			binary.LittleEndian.PutUint16(points[6*j+2*k:], uint16(min(max(q, 0), steps)))
		}
	}
	if c.Intensity != nil {
		f := Field{Name: "intensity"}
		f.Lo, f.Hi = bounds(c.Intensity)
		span := float64(f.Hi) - float64(f.Lo)
		quantized := p.Add("field:intensity", U8, n)
		for j, i := range chosen {
			if x := float64(c.Intensity[i]) - float64(f.Lo); span > 0 && x > 0 {
				quantized[j] = uint8(math.Round(min(x/span, 1) * math.MaxUint8))
			}
		}
		s.Fields = append(s.Fields, f)
	}
	if c.R != nil {
		rgb := p.Add("rgb", U8, n, 3)
		for j, i := range chosen {
			rgb[3*j], rgb[3*j+1], rgb[3*j+2] = c.R[i], c.G[i], c.B[i]
		}
	}
}

func finitePoint(c *ingest.PointCloud, i int) bool {
	x := c.X[i]*0 + c.Y[i]*0 + c.Z[i]*0 // NaN unless all are finite
	return x == 0
}

// choose returns the indices of n of the finite points.
func choose(c *ingest.PointCloud, finite, n int) []int32 {
	out := make([]int32, 0, n)
	next, seen := 0, 0
	state := uint64(1)
	for i := range c.X {
		if len(out) == n {
			break
		}
		if !finitePoint(c, i) {
			continue
		}
		if seen == next {
			out = append(out, int32(i)) // a cloud has less than 2^31 points
			from, to := len(out)*finite/n, (len(out)+1)*finite/n
			state = state*6364136223846793005 + 1442695040888963407 // Knuth's MMIX generator
			next = from
			if to > from {
				next += int(state >> 33 % uint64(to-from)) // positive
			}
		}
		seen++
	}
	return out
}

// addDepth appends every k-th pixel of every k-th row, where k is the smallest number for which limit suffices.
func (p *Payload) addDepth(h *Header, f *ingest.Frame, limit int) {
	k := 1
	if limit < 1 {
		limit = 1
	}
	for ceil(f.Width, k)*ceil(f.Height, k) > limit {
		k++
	}
	w, rows := ceil(f.Width, k), ceil(f.Height, k)
	h.Sensor = &Sensor{Kind: KindDepth, Points: w * rows, Total: f.Width * f.Height}
	h.LeftOut = f.Width*f.Height - w*rows
	if f.Cam.Valid() {
		s := float64(k)
		h.Sensor.Camera = &Camera{f.Cam.Fx / s, f.Cam.Fy / s, f.Cam.Cx / s, f.Cam.Cy / s}
	}
	depth := p.Add("depth", U16, rows, w)
	at := 0
	for v := 0; v < f.Height; v += k {
		for u := 0; u < f.Width; u += k {
			mm := float64(f.Depth[v*f.Width+u]) * millimetres
			if mm > 0 { // not NaN
				binary.LittleEndian.PutUint16(depth[at:], uint16(min(math.Round(mm), steps)))
			}
			at += 2
		}
	}
	if f.Color == nil {
		return
	}
	rgb := p.Add("rgb", U8, rows, w, 3)
	at = 0
	for v := 0; v < f.Height; v += k {
		for u := 0; u < f.Width; u += k {
			c := &f.Color[v*f.Width+u]
			rgb[at], rgb[at+1], rgb[at+2] = c.R, c.G, c.B
			at += 3
		}
	}
}

func ceil(n, k int) int { return (n + k - 1) / k }
