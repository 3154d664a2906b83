package perceptiontest

import (
	"math"
	"slices"

	"github.com/voxelstream/voxelstream/ingest/simulate"
)

// SettledScans is the number of scans after which the speed of a track is compared.
const SettledScans = 5

// Tracking accumulates how objects are followed over the scans of a stream. Its zero value is ready. The measures are
// those of Bernardin and Stiefelhagen, "Evaluating multiple object tracking performance: the CLEAR MOT metrics" (2008).
type Tracking struct {
	// Objects is the number of objects in all scans, and Found, Missed and False those that were found, those that
	// were not, and what was found but is no object.
	Objects, Found, Missed, False int
	// Switches is how often an object got another track than the last that it had. Breaks is how often it was found
	// again after it was missed.
	Switches, Breaks int

	overlap float64        // the sum of the IoU
	last    map[int]uint64 // the last track of each object
	gone    map[int]bool   // the objects that were missed after they were found
	age     map[uint64]int // how often a track was seen
	speeds  []float64      // the errors of the speed of what moves
	still   []float64      // the speeds of what does not
}

// Tracked is a cluster with its track.
type Tracked struct {
	// Track is the number of the track, 0 for none.
	Track uint64
	// Velocity is along the axes of the scan, in metres per second over the ground; nil if unknown.
	Velocity *[3]float32
}

// Add adds a scan. tracked[i] is cluster i+1 of the match.
func (t *Tracking) Add(m *Match, tracked []Tracked) {
	if t.last == nil {
		t.last, t.gone, t.age = map[int]uint64{}, map[int]bool{}, map[uint64]int{}
	}
	t.Objects += len(m.Pairs) + len(m.Missed)
	t.Found += len(m.Pairs)
	t.Missed += len(m.Missed)
	t.False += len(m.False)
	for _, c := range tracked {
		if c.Track != 0 {
			t.age[c.Track]++
		}
	}
	for _, o := range m.Missed {
		if t.last[o.ID] != 0 {
			t.gone[o.ID] = true
		}
	}
	for _, p := range m.Pairs {
		t.overlap += p.IoU
		c := tracked[p.Cluster-1]
		if c.Track == 0 {
			continue
		}
		id := p.Object.ID
		if last := t.last[id]; last != 0 && last != c.Track {
			t.Switches++
		}
		if t.gone[id] {
			t.Breaks++
			delete(t.gone, id)
		}
		t.last[id] = c.Track
		if c.Velocity != nil && t.age[c.Track] > SettledScans {
			t.compare(p.Object, *c.Velocity)
		}
	}
}

// compare compares velocities along the ground.
func (t *Tracking) compare(o simulate.Object, v [3]float32) {
	off := math.Hypot(float64(v[0])-o.Velocity[0], float64(v[1])-o.Velocity[1])
	if math.Hypot(o.Velocity[0], o.Velocity[1]) > 0.5 {
		t.speeds = append(t.speeds, off)
	} else {
		t.still = append(t.still, off)
	}
}

// Merge adds the measures of another stream.
func (t *Tracking) Merge(u *Tracking) {
	t.Objects += u.Objects
	t.Found += u.Found
	t.Missed += u.Missed
	t.False += u.False
	t.Switches += u.Switches
	t.Breaks += u.Breaks
	t.overlap += u.overlap
	t.speeds = append(t.speeds, u.speeds...)
	t.still = append(t.still, u.still...)
}

// MOTA is 1 less the misses, false objects and switches per object.
func (t *Tracking) MOTA() float64 {
	return 1 - float64(t.Missed+t.False+t.Switches)/float64(max(t.Objects, 1))
}

// MOTP is the mean IoU of what was found.
func (t *Tracking) MOTP() float64 { return t.overlap / float64(max(t.Found, 1)) }

// SpeedError returns a quantile of the length of the difference between the velocities of tracks and objects, in metres
// per second: of objects that move, and of those that stand. It is NaN if there are none.
func (t *Tracking) SpeedError(quantile float64) (moving, still float64) {
	return at(t.speeds, quantile), at(t.still, quantile)
}

func at(values []float64, quantile float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(quantile*float64(len(sorted)-1)+0.5)]
}
