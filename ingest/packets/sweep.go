package packets

import (
	"bytes"
	"slices"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
)

// sweep gathers the returns of one turn of a sensor; the turn ends where the azimuth passes 0.
type sweep struct {
	cloud *ingest.PointCloud
	began time.Time
	last  int // azimuth of the block before
	room  int // points of the largest turn so far
	count Counts

	motion *motion // nil: the sensor stands still
}

// Counts is what a decoder saw.
type Counts struct {
	// Packets were decoded, with so many Returns.
	Packets, Returns int
	// Lost are the packets that the sensor's counters or clock say were sent and never came.
	Lost int
}

func (s *sweep) counts() Counts { return s.count }

// at goes to an azimuth, in hundredths of a degree, measured at a time. It gives the turn that ended before it, nil
// where none did.
func (s *sweep) at(azimuth int, t time.Time) (done *turn) {
	if s.last-azimuth > fullTurn/2 {
		done = s.rest()
	}
	s.last = azimuth
	s.begin(t)
	s.now(t)
	return done
}

// now says when the points that follow were measured.
func (s *sweep) now(t time.Time) {
	if s.motion != nil {
		s.motion.to(s.began, t)
	}
}

// follow corrects points by the motion of the sensor.
func (s *sweep) follow(m *motion) { s.motion = m }

// begin starts a turn where none is under way, with room for as many points as the largest before it had.
func (s *sweep) begin(t time.Time) {
	if s.cloud != nil {
		return
	}
	s.began = t
	n := s.room
	s.cloud = &ingest.PointCloud{X: make([]float64, 0, n), Y: make([]float64, 0, n), Z: make([]float64, 0, n), Intensity: make([]float32, 0, n)}
}

// grow gives the columns with room for n more points, to be written by index; [sweep.keep] says how many were.
func (s *sweep) grow(n int) (x, y, z []float64, intensity []float32, at int) {
	c := s.cloud
	at = c.Len()
	return slices.Grow(c.X, n)[:at+n], slices.Grow(c.Y, n)[:at+n], slices.Grow(c.Z, n)[:at+n], slices.Grow(c.Intensity, n)[:at+n], at
}

// keep makes the first n points of what grow gave the cloud.
func (s *sweep) keep(x, y, z []float64, intensity []float32, n int) {
	before := s.cloud.Len()
	if s.motion != nil {
		n = s.motion.correct(x, y, z, before, n)
	}
	s.count.Returns += n - before
	s.cloud.X, s.cloud.Y, s.cloud.Z, s.cloud.Intensity = x[:n], y[:n], z[:n], intensity[:n]
}

// rest is the turn that is under way, nil without one; the next packet begins another.
func (s *sweep) rest() *turn {
	if s.cloud == nil {
		return nil
	}
	t := &turn{cloud: s.cloud, time: s.began}
	s.room = max(s.room, s.cloud.Len())
	s.cloud = nil
	return t
}

// A turn is 360 degrees, in hundredths.
const fullTurn = 36000

// maxGap is the most packets in a row that count as lost: a longer gap is a sensor that was off, or a recording
// that was cut.
const maxGap = 10_000

// sequence counts the packets that a counter modulo 2^32 says are missing.
type sequence struct {
	next  uint32
	begun bool
}

// lost is how many packets are missing before the one of number n.
func (s *sequence) lost(n uint32) int {
	gap := n - s.next
	begun := s.begun
	s.next, s.begun = n+1, true
	if !begun || gap > maxGap {
		return 0
	}
	return int(gap)
}

// repeats finds packets that come twice in a row, as networks with two paths and some recorders make them.
type repeats struct {
	last  []byte
	count int
}

// again says whether b is the packet before it once more.
func (r *repeats) again(b []byte) bool {
	if len(r.last) == len(b) && bytes.Equal(r.last, b) {
		r.count++
		return true
	}
	r.last = append(r.last[:0], b...)
	return false
}

// plausible is a sensor's clock, in seconds and nanoseconds of Unix; the time of recording where it was never set.
func plausible(sec, nano int64, recorded time.Time) time.Time {
	const year2000, year2100 = 946684800, 4102444800
	if sec < year2000 || sec > year2100 || nano < 0 || nano >= 1e9 {
		return recorded
	}
	return time.Unix(sec, nano).UTC()
}
