package simulate

import (
	"math"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
)

// Camera is a depth camera with structured light. Its optical axis is the x axis of the sensor.
type Camera struct {
	Width, Height int
	Cam           ingest.Intrinsics
	// Min and Max are the smallest and the largest depth in metres.
	Min, Max float64
	// Noise is the standard deviation of the depth at 1 m in metres. It grows with the square of the depth.
	Noise float64
	// Baseline is the distance of camera and projector in metres, and Step the step of the disparity in pixels, which
	// together quantize the depth. If one is 0, the depth is not quantized.
	Baseline, Step float64
}

// KinectV1 is the Microsoft Kinect of 2010 with the camera that TUM recordings assume. Its noise, 1.5 mm at 1 m, and
// its step of 1/8 pixel are those of Khoshelham and Elberink, "Accuracy and resolution of Kinect depth data" (2012), equation 10
// and section 2.
var KinectV1 = Camera{
	Width: 640, Height: 480, Cam: ingest.Intrinsics{Fx: 525, Fy: 525, Cx: 319.5, Cy: 239.5}, Min: 0.5, Max: 8,
	Noise: 0.0015, Baseline: 0.075, Step: 0.125,
}

// Frame returns what the camera sees at a time, with the truth about each pixel. There is no depth where the projector
// does not reach: in the shadow that a near edge casts to one side. Boxes and velocities of the truth are in the axes
// of the world, which the pose of the frame leads to.
func (c *Camera) Frame(w *World, at time.Duration) (*ingest.Frame, *Truth) {
	t := at.Seconds()
	sensor := w.sensor(t)
	// The optical axes: x right, y down, z forward.
	pose := poseOf(frame{sensor.at, sensor.y.times(-1), sensor.z.times(-1), sensor.x})
	f := &ingest.Frame{Width: c.Width, Height: c.Height, Cam: c.Cam, Pose: &pose, Noise: ingest.StructuredLight}
	f.Depth = make([]ingest.Metres, c.Width*c.Height)
	truth := &Truth{Time: at, Pose: pose, Object: make([]int32, len(f.Depth)), Class: make([]Class, len(f.Depth))}
	objects := len(w.bodies) + 1
	count := &tally{last: make([]int32, objects), alone: make([]int32, objects)}
	points, hits := make([]int, objects), make([]int32, objects)
	d := newDice(uint64(at), 0x6465707468)
	v := w.view(t)
	row := make([]float64, c.Width)
	for y := range c.Height {
		for x := range c.Width {
			ray := vec{1, -(float64(x) - c.Cam.Cx) / c.Cam.Fx, -(float64(y) - c.Cam.Cy) / c.Cam.Fy}
			long := ray.norm()
			count.ray++
			h := v.trace(vec{}, ray.times(1/long), count)
			i := y*c.Width + x
			truth.Object[i], truth.Class[i] = int32(h.Object), h.Class
			hits[h.Object]++
			row[x] = h.Range / long
		}
		for x, z := range row {
			if z = c.measure(d, row, x, z); z >= c.Min && z <= c.Max {
				f.Depth[y*c.Width+x] = ingest.Metres(z)
				points[truth.Object[y*c.Width+x]]++
			}
		}
	}
	truth.Objects = w.truth(t, frame{x: vec{1, 0, 0}, y: vec{0, 1, 0}, z: vec{0, 0, 1}}, points, hits, count.alone)
	return f, truth
}

// measure returns the measured depth of a pixel in a row of true ones, 0 for none. The disparity of depth z is
// Fx Baseline / z.
func (c *Camera) measure(d dice, row []float64, x int, z float64) float64 {
	if math.IsInf(z, 1) {
		return 0
	}
	z += c.Noise * z * z * d.NormFloat64()
	if !(c.Baseline > 0) {
		return z
	}
	scale := c.Cam.Fx * c.Baseline
	// A point that moves less than those to its left when seen from the projector is behind them.
	for k := 1; k <= 60 && k <= x; k++ {
		if near := row[x-k]; scale/near-scale/row[x] >= float64(k) {
			return 0
		}
	}
	if !(c.Step > 0) || !(z > 0) {
		return z
	}
	return scale / (math.Round(scale/z/c.Step) * c.Step)
}
