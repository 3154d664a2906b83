package perception

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
)

// TrackOptions are the options of the step that tracks objects.
type TrackOptions struct {
	Hits         int           `yaml:"track_hits" min:"1" doc:"Number of consecutive scans in which an object must be found before it gets a track."`
	Misses       int           `yaml:"track_misses" min:"0" doc:"Number of consecutive scans in which an object may be missing without losing its track."`
	Noise        float64       `yaml:"track_noise" min:"0.001" max:"100" doc:"Standard deviation of measured positions in metres."`
	Acceleration float64       `yaml:"track_acceleration" min:"0.001" max:"1000" doc:"Standard deviation of the accelerations of objects in metres per second squared."`
	Gate         float64       `yaml:"track_gate" min:"0" max:"100" doc:"Distance in metres up to which a predicted and a measured position may always belong to the same object, even if the prediction is precise. It allows for parts of an object that become hidden from one scan to the next."`
	Speed        float64       `yaml:"track_speed" min:"0.001" max:"1000" doc:"Maximum speed of objects in metres per second. If poses are unknown, add the speed of the sensor."`
	Period       time.Duration `yaml:"track_period" min:"1ms" max:"1h" doc:"Time between scans without timestamps."`
	Pause        time.Duration `yaml:"track_pause" min:"1ms" max:"24h" doc:"Time between two scans after which all tracks end."`
	Streams      int           `yaml:"track_streams" min:"1" max:"100000" doc:"Maximum number of streams whose tracks are kept. The least recently seen stream is dropped."`
}

func defaultTrackOptions() TrackOptions {
	return TrackOptions{
		Hits: 3, Misses: 8, Noise: 0.15, Acceleration: 1.5, Gate: 1.5, Speed: 30, Period: 100 * time.Millisecond,
		Pause: 2 * time.Second, Streams: 64,
	}
}

// KalmanTracks follows objects from scan to scan.
var KalmanTracks = Step{
	Name: "tracks",
	Doc: "Follows objects from scan to scan by a Kalman filter with constant velocity. It numbers tracks from 1 in each " +
		"stream and computes velocities, relative to the world if the poses of the sensor are known.",
	Makes:   Tracks,
	Options: func() any { o := defaultTrackOptions(); return &o },
	New: func(all Options) (func(context.Context, *Scene) error, error) {
		t := &trackers{o: OptionsOf(all, defaultTrackOptions()), streams: map[string]*tracker{}}
		return func(_ context.Context, s *Scene) error {
			t.of(s.Stream).follow(s)
			return nil
		}, nil
	},
}

// trackers holds the trackers of streams. Those of different streams may run at the same time.
type trackers struct {
	o       TrackOptions
	mu      sync.Mutex // guards what follows, but not what a tracker follows
	streams map[string]*tracker
	calls   uint64
}

// of returns the tracker of a stream.
func (t *trackers) of(stream string) *tracker {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls++
	k := t.streams[stream]
	if k == nil {
		if len(t.streams) >= t.o.Streams {
			oldest := ""
			for name, other := range t.streams {
				if first := t.streams[oldest]; first == nil || other.used < first.used {
					oldest = name
				}
			}
			delete(t.streams, oldest)
		}
		k = &tracker{o: &t.o}
		t.streams[stream] = k
	}
	k.used = t.calls
	return k
}

// tracker follows the objects of one stream.
type tracker struct {
	o      *TrackOptions
	used   uint64 // guarded by trackers.mu
	last   time.Time
	posed  bool // positions are in the world
	tracks []*followed
	born   uint64
}

// followed is an object that is followed. Positions are in metres in the world, or in the sensor's axes if the poses are
// unknown.
type followed struct {
	number     uint64 // 0 before it has enough hits
	hits, miss int    // in a row
	// x, y and their velocities are estimated independently with the same covariance.
	at, speed        point2
	varAt, cov, varV float64
	// size is the length and width of the whole object and yaw its direction. Partial views show less of it.
	size [2]float64
	yaw  float64
}

// measured is an object of a scan in the coordinates of the tracks.
type measured struct {
	at   point2
	size [2]float64
	yaw  float64
}

// follow connects the objects of a scene with the tracks.
func (k *tracker) follow(s *Scene) {
	pose := ingest.Identity()
	if s.Pose != nil {
		pose = *s.Pose
	}
	k.predict(s)
	found := make([]measured, len(s.Objects))
	for i := range s.Objects {
		found[i] = measure(&s.Objects[i].Box, &pose)
	}
	sensor := point2{pose.T[0], pose.T[1]}
	taken := make([]*followed, len(found))
	hit := map[*followed]bool{}
	for _, m := range k.matches(found, sensor) {
		if taken[m.object] != nil || hit[m.track] {
			continue
		}
		taken[m.object] = m.track
		hit[m.track] = true
		m.track.update(&found[m.object], sensor, k.o)
	}
	k.tracks = slices.DeleteFunc(k.tracks, func(t *followed) bool {
		if hit[t] {
			return false
		}
		t.miss++
		return t.number == 0 || t.miss > k.o.Misses
	})
	for i := range s.Objects {
		t := taken[i]
		if t == nil && !found[i].near() {
			continue
		}
		if t == nil {
			t = newTrack(&found[i], k.o)
			k.tracks = append(k.tracks, t)
		}
		if t.number == 0 && t.hits >= k.o.Hits {
			k.born++
			t.number = k.born
		}
		if t.number > 0 {
			t.report(&s.Objects[i], &pose)
		}
	}
}

// near reports whether the object is near enough to be followed: its pose may be wrong by any factor.
func (m *measured) near() bool { return max(math.Abs(m.at.x), math.Abs(m.at.y)) <= farthest }

// measure returns an object in the coordinates of the tracks.
func measure(b *record.Box, pose *ingest.Pose) measured {
	x, y, _ := pose.Apply(b.Center[0], b.Center[1], b.Center[2])
	return measured{
		point2{x, y}, [2]float64{float64(b.Size[0]), float64(b.Size[1])}, float64(b.Yaw) + heading(pose),
	}
}

// heading returns the direction of the sensor's x axis in the world.
func heading(pose *ingest.Pose) float64 { return math.Atan2(pose.R[3], pose.R[0]) }

// predict moves the tracks to the time of a scene.
func (k *tracker) predict(s *Scene) {
	gap := k.o.Period
	if !k.last.IsZero() && !s.Time.IsZero() {
		gap = max(0, s.Time.Sub(k.last))
	}
	if gap > k.o.Pause || k.posed != (s.Pose != nil) {
		k.tracks = nil
	}
	k.last, k.posed = s.Time, s.Pose != nil
	dt := gap.Seconds()
	q := k.o.Acceleration * k.o.Acceleration
	for _, t := range k.tracks {
		t.at.x += dt * t.speed.x
		t.at.y += dt * t.speed.y
		t.varAt += dt*(2*t.cov+dt*t.varV) + q*dt*dt*dt*dt/4
		t.cov += dt*t.varV + q*dt*dt*dt/2
		t.varV += q * dt * dt
	}
}

// match is a track and an object that may be the same.
type match struct {
	cost   float64
	track  *followed
	object int
}

// gate is the largest square of the distance in standard deviations between a track and its object: 99 % of a normal
// distribution in the plane are within it.
const gate = 9.21

// matches returns the possible matches, the most likely first.
func (k *tracker) matches(found []measured, sensor point2) []match {
	order := make([]int, len(found))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(found[a].at.x, found[b].at.x) })
	var out []match
	for _, t := range k.tracks {
		reach := max(k.o.Gate, math.Sqrt(gate*(t.varAt+t.noise(k.o)))) + t.size[0]
		begin, _ := slices.BinarySearchFunc(order, t.at.x-reach, func(i int, x float64) int {
			return cmp.Compare(found[i].at.x, x)
		})
		for _, i := range order[begin:] {
			m := &found[i]
			if m.at.x > t.at.x+reach {
				break
			}
			d := t.innovation(m, sensor)
			variance := t.varAt + t.noise(k.o)
			far := d.x*d.x + d.y*d.y
			if !(far <= max(gate*variance, k.o.Gate*k.o.Gate)) { // also if it is NaN
				continue
			}
			cost := far / variance
			change := math.Log((m.size[0] + 0.5) / (t.size[0] + 0.5))
			out = append(out, match{cost + 2*math.Log(variance) + 4*change*change, t, i})
		}
	}
	slices.SortStableFunc(out, func(a, b match) int { return cmp.Compare(a.cost, b.cost) })
	return out
}

// noise returns the variance of a measured position. The edges of large objects are less certain.
func (t *followed) noise(o *TrackOptions) float64 {
	edge := 0.05 * t.size[0]
	return o.Noise*o.Noise + edge*edge
}

// sides returns the directions of a measured object's length and width, and the sizes of the track along them.
func (t *followed) sides(m *measured) (axes [2]point2, size [2]float64) {
	sin, cos := math.Sincos(m.yaw)
	size = t.size
	if math.Abs(math.Cos(m.yaw-t.yaw)) < math.Sqrt2/2 {
		size[0], size[1] = size[1], size[0]
	}
	return [2]point2{{cos, sin}, {-sin, cos}}, size
}

// innovation returns the vector from the track to the measured position. Along each side of an object that is smaller
// than the track, the edge towards the sensor is compared: the other one is hidden.
func (t *followed) innovation(m *measured, sensor point2) point2 {
	axes, size := t.sides(m)
	d := point2{m.at.x - t.at.x, m.at.y - t.at.y}
	for i, axis := range axes {
		away := nearEdge(m, axis, m.size[i], sensor)
		shift := away * (size[i] - m.size[i]) / 2
		d.x += shift * axis.x
		d.y += shift * axis.y
	}
	return d
}

// nearEdge returns from -1 to 1 how much the sensor sees of one edge of an object along an axis rather than the other:
// 1 if only the lower one.
func nearEdge(m *measured, axis point2, size float64, sensor point2) float64 {
	aside := axis.x*(m.at.x-sensor.x) + axis.y*(m.at.y-sensor.y)
	return max(-1, min(1, aside/(size/2)))
}

// Rates at which the size of a track follows the measured one, per scan: objects are rarely seen larger than they are.
const (
	growRate   = 0.3
	shrinkRate = 0.02
)

// outlier is the square of the distance in standard deviations from which a measured position counts less.
const outlier = 4

// update corrects a track by a measured object.
func (t *followed) update(m *measured, sensor point2, o *TrackOptions) {
	d := t.innovation(m, sensor)
	// An object of which a part is hidden may seem to jump. Such a measurement counts less.
	variance := max(t.varAt+t.noise(o), (d.x*d.x+d.y*d.y)/outlier)
	gainAt, gainV := t.varAt/variance, t.cov/variance
	t.at.x += gainAt * d.x
	t.at.y += gainAt * d.y
	t.speed.x += gainV * d.x
	t.speed.y += gainV * d.y
	t.varV -= gainV * t.cov
	t.cov -= gainAt * t.cov
	t.varAt -= gainAt * t.varAt
	t.hits++
	t.miss = 0
	t.resize(m, sensor)
}

// resize lets the size and yaw follow the measured ones. The edges that the sensor sees stay where they are.
func (t *followed) resize(m *measured, sensor point2) {
	axes, size := t.sides(m)
	for i, axis := range axes {
		rate := shrinkRate
		if m.size[i] > size[i] {
			rate = growRate
		}
		change := rate * (m.size[i] - size[i])
		shift := nearEdge(m, axis, m.size[i], sensor) * change / 2
		t.at.x += shift * axis.x
		t.at.y += shift * axis.y
		size[i] += change
	}
	t.size, t.yaw = size, m.yaw
}

func newTrack(m *measured, o *TrackOptions) *followed {
	t := &followed{hits: 1, at: m.at, size: m.size, yaw: m.yaw}
	t.varAt, t.varV = t.noise(o), o.Speed*o.Speed/gate
	return t
}

// report fills in the track of an object. If the object moves, x of its box points forward.
func (t *followed) report(o *Object, pose *ingest.Pose) {
	o.Track = t.number
	r := &pose.R
	x, y := t.speed.x, t.speed.y // turn from the world to the sensor's axes
	v := [3]float64{r[0]*x + r[3]*y, r[1]*x + r[4]*y, r[2]*x + r[5]*y}
	o.Velocity = &[3]float32{float32(v[0]), float32(v[1]), float32(v[2])}
	if speed := math.Hypot(x, y); speed < 1 || speed < 3*math.Sqrt(t.varV) {
		return
	}
	b := &o.Box
	turn := math.Atan2(v[1], v[0]) - float64(b.Yaw)
	quarters := math.Round(turn / (math.Pi / 2))
	if math.Mod(quarters, 2) != 0 {
		b.Size[0], b.Size[1] = b.Size[1], b.Size[0]
	}
	b.Yaw = float32(math.Remainder(float64(b.Yaw)+quarters*math.Pi/2, 2*math.Pi))
}
