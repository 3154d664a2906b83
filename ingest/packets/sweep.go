package packets

import (
	"bytes"
	"slices"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
)

// collector collects the returns of one sweep of a sensor. The sweep ends when the azimuth passes 0.
type collector struct {
	cloud *ingest.PointCloud
	began time.Time
	last  int // azimuth of the previous block
	room  int // number of points in the largest sweep so far
	count Counts

	motion *motion // nil if the sensor is stationary
}

// Counts counts the packets that a decoder has received.
type Counts struct {
	// Packets is the number of decoded packets, Returns the number of returns in them.
	Packets, Returns int
	// Lost is the number of packets that did not arrive, according to the sensor's counters or clock.
	Lost int
}

func (s *collector) counts() Counts { return s.count }

// at advances to an azimuth, in hundredths of a degree, measured at time t. It returns the sweep that ended before
// it, or nil.
func (s *collector) at(azimuth int, t time.Time) (done *sweep) {
	if s.last-azimuth > fullTurn/2 {
		done = s.rest()
	}
	s.last = azimuth
	s.begin(t)
	s.now(t)
	return done
}

// now sets the time at which the following points were measured.
func (s *collector) now(t time.Time) {
	if s.motion != nil {
		s.motion.to(s.began, t)
	}
}

// follow enables the correction of points for the motion of the sensor.
func (s *collector) follow(m *motion) { s.motion = m }

// begin starts a sweep unless one is in progress, with capacity for as many points as the largest sweep so far.
func (s *collector) begin(t time.Time) {
	if s.cloud != nil {
		return
	}
	s.began = t
	n := s.room
	s.cloud = &ingest.PointCloud{
		X: make([]float64, 0, n), Y: make([]float64, 0, n), Z: make([]float64, 0, n),
		Intensity: make([]float32, 0, n),
	}
}

// grow returns the columns with room for n more points, to be written by index. Call [collector.keep] with the number
// written.
func (s *collector) grow(n int) (x, y, z []float64, intensity []float32, at int) {
	c := s.cloud
	at = c.Len()
	return slices.Grow(c.X, n)[:at+n], slices.Grow(c.Y, n)[:at+n], slices.Grow(c.Z, n)[:at+n],
		slices.Grow(c.Intensity, n)[:at+n], at
}

// keep truncates the columns returned by grow to n points and stores them as the cloud.
func (s *collector) keep(x, y, z []float64, intensity []float32, n int) {
	before := s.cloud.Len()
	if s.motion != nil {
		n = s.motion.correct(x, y, z, before, n)
	}
	s.count.Returns += n - before
	s.cloud.X, s.cloud.Y, s.cloud.Z, s.cloud.Intensity = x[:n], y[:n], z[:n], intensity[:n]
}

// rest returns the incomplete sweep, or nil if there is none. The next packet starts another.
func (s *collector) rest() *sweep {
	if s.cloud == nil {
		return nil
	}
	t := &sweep{cloud: s.cloud, time: s.began}
	if s.motion != nil {
		t.cloud.Pose = s.motion.pose()
	}
	s.room = max(s.room, s.cloud.Len())
	s.cloud = nil
	return t
}

// fullTurn is 360 degrees in hundredths of a degree.
const fullTurn = 36000

// maxGap is the maximum number of consecutive packets counted as lost. A longer gap means that the sensor was off
// or the recording was edited.
const maxGap = 10_000

// sequence counts missing packets using a counter modulo 2^32.
type sequence struct {
	next  uint32
	begun bool
}

// lost returns the number of packets missing before packet n.
func (s *sequence) lost(n uint32) int {
	gap := n - s.next
	begun := s.begun
	s.next, s.begun = n+1, true
	if !begun || gap > maxGap {
		return 0
	}
	return int(gap)
}

// repeats detects packets that occur twice in a row, which redundant networks and some recorders cause.
type repeats struct {
	last  []byte
	count int
}

// again reports whether b is a repetition of the previous packet.
func (r *repeats) again(b []byte) bool {
	if len(r.last) == len(b) && bytes.Equal(r.last, b) {
		r.count++
		return true
	}
	r.last = append(r.last[:0], b...)
	return false
}

// plausible returns the time of a sensor's clock, given as Unix seconds and nanoseconds, or the recording time if
// the clock was never set.
func plausible(sec, nano int64, recorded time.Time) time.Time {
	const year2000, year2100 = 946684800, 4102444800
	if sec < year2000 || sec > year2100 || nano < 0 || nano >= 1e9 {
		return recorded
	}
	return time.Unix(sec, nano).UTC()
}
