package perception

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
)

// follower runs the tracks step on scenes of boxes.
type follower struct {
	t   *testing.T
	run func(context.Context, *Scene) error
}

func newFollower(t *testing.T, change func(o *TrackOptions)) *follower {
	t.Helper()
	o := defaultTrackOptions()
	if change != nil {
		change(&o)
	}
	run, err := KalmanTracks.New(Options{Steps: []any{&o}})
	if err != nil {
		t.Fatal(err)
	}
	return &follower{t, run}
}

// scene passes on a scene at a time in seconds, and returns it.
func (f *follower) scene(stream string, seconds float64, pose *ingest.Pose, boxes ...record.Box) *Scene {
	f.t.Helper()
	s := &Scene{Time: time.Unix(100, 0).Add(time.Duration(seconds * 1e9)), Pose: pose}
	s.Stream = stream
	for _, b := range boxes {
		s.Objects = append(s.Objects, Object{Box: b})
	}
	if err := f.run(context.Background(), s); err != nil {
		f.t.Fatal(err)
	}
	return s
}

func numbers(s *Scene) (out []uint64) {
	for _, o := range s.Objects {
		out = append(out, o.Track)
	}
	return out
}

func carAt(x, y, yaw float64) record.Box {
	return record.Box{Center: [3]float64{x, y, -1}, Size: [3]float32{4, 1.8, 1.5}, Yaw: float32(yaw)}
}

// driving returns the pose of a sensor that drives at 10 m/s and turns.
func driving(seconds float64) *ingest.Pose {
	sin, cos := math.Sincos(0.3 + 0.2*seconds)
	return &ingest.Pose{R: [9]float64{cos, -sin, 0, sin, cos, 0, 0, 0, 1}, T: [3]float64{100 + 10*seconds, -50, 2}}
}

// seenFrom returns a box of the world in the axes of a sensor.
func seenFrom(pose *ingest.Pose, b record.Box) record.Box {
	inverse := pose.Inverse()
	b.Center[0], b.Center[1], b.Center[2] = inverse.Apply(b.Center[0], b.Center[1], b.Center[2])
	b.Yaw -= float32(heading(pose))
	return b
}

func TestTracksFromMovingSensor(t *testing.T) {
	f := newFollower(t, nil)
	for i := range 30 {
		seconds := 0.1 * float64(i)
		pose := driving(seconds)
		parked := seenFrom(pose, carAt(120, -40, 0.2))
		moving := seenFrom(pose, carAt(140-8*seconds, -47, math.Pi))
		s := f.scene("a", seconds, pose, parked, moving)
		if i < 2 {
			if s.Objects[0].Track != 0 || s.Objects[0].Velocity != nil {
				t.Errorf("scan %d: found a track before 3 hits", i)
			}
			continue
		}
		if got := numbers(s); !slices.Equal(got, []uint64{1, 2}) {
			t.Fatalf("scan %d: found tracks %v, want 1 and 2", i, got)
		}
		if i < 15 {
			continue
		}
		sin, cos := math.Sincos(heading(pose))
		want := [2][2]float64{{0, 0}, {-8 * cos, 8 * sin}} // along the sensor's axes
		for k, o := range s.Objects {
			if math.Hypot(float64(o.Velocity[0])-want[k][0], float64(o.Velocity[1])-want[k][1]) > 0.1 {
				t.Errorf("scan %d, object %d: found the velocity %v, want %v", i, k, *o.Velocity, want[k])
			}
		}
		forward := math.Pi - heading(pose)
		if turn := math.Remainder(float64(s.Objects[1].Box.Yaw)-forward, 2*math.Pi); math.Abs(turn) > 0.01 {
			t.Errorf("scan %d: found the yaw %g, want %g: the direction of travel", i, s.Objects[1].Box.Yaw, forward)
		}
	}
}

func TestTracksWithoutPoses(t *testing.T) {
	f := newFollower(t, nil)
	var s *Scene
	for i := range 20 {
		s = f.scene("a", 0.1*float64(i), nil, carAt(30-float64(i), 3, 0))
	}
	if v := s.Objects[0].Velocity; math.Abs(float64(v[0])+10) > 0.1 || math.Abs(float64(v[1])) > 0.1 {
		t.Errorf("found the velocity %v, want -10, 0 relative to the sensor", *v)
	}
}

// A car whose rear is seen first and whose side appears gradually does not move.
func TestPartialViewsAreNoMotion(t *testing.T) {
	f := newFollower(t, nil)
	for i := range 40 {
		length := min(4, 0.3+0.15*float64(i))
		b := carAt(10+length/2, 3, 0)
		b.Size[0] = float32(length)
		if length < 1.8 {
			b.Size[0], b.Size[1] = b.Size[1], b.Size[0]
			b.Yaw = math.Pi / 2
		}
		s := f.scene("a", 0.1*float64(i), nil, b)
		if v := s.Objects[0].Velocity; v != nil && math.Hypot(float64(v[0]), float64(v[1])) > 0.15 {
			t.Errorf("scan %d: found the velocity %v of a car that stands", i, *v)
		}
	}
}

func TestTracksAreBornAndDie(t *testing.T) {
	f := newFollower(t, func(o *TrackOptions) { o.Hits, o.Misses = 2, 3 })
	pose := driving(0)
	scan := 0
	next := func(seen bool) uint64 {
		scan++
		seconds := 0.1 * float64(scan)
		if !seen {
			f.scene("a", seconds, pose)
			return 0
		}
		return f.scene("a", seconds, pose, carAt(20-0.5*float64(scan), 5, 0)).Objects[0].Track
	}
	var got []uint64
	for _, seen := range []bool{
		true, false, true, true, true, true, false, false, false, true, false, false, false, false, true, true,
	} {
		got = append(got, next(seen))
	}
	want := []uint64{0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2}
	if !slices.Equal(got, want) {
		t.Errorf("found the tracks %v, want %v", got, want)
	}
}

func TestTracksEndAfterPause(t *testing.T) {
	f := newFollower(t, func(o *TrackOptions) { o.Hits = 1 })
	var got []uint64
	for _, seconds := range []float64{0, 0.1, 5, 5.1} {
		got = append(got, numbers(f.scene("a", seconds, nil, carAt(10, 0, 0)))...)
	}
	got = append(got, numbers(f.scene("a", 5.2, driving(0), carAt(10, 0, 0)))...) // positions are in other axes now
	if want := []uint64{1, 1, 2, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("found the tracks %v, want %v", got, want)
	}
}

func TestTracksOfStreams(t *testing.T) {
	f := newFollower(t, func(o *TrackOptions) { o.Hits, o.Streams = 1, 3 })
	var got []uint64
	for i, stream := range []string{"a", "b", "a", "c", "a", "d", "a", "b"} {
		got = append(got, numbers(f.scene(stream, 0.1*float64(i), nil, carAt(10, 0, 0), carAt(10, 9, 0)))...)
	}
	if want := []uint64{1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("found the tracks %v, want %v", got, want)
	}
	o := TrackOptions{Streams: 3}
	streams := &trackers{o: o, streams: map[string]*tracker{}}
	for i := range 100 {
		streams.of(fmt.Sprint(i))
		streams.of("kept")
	}
	if len(streams.streams) != 3 || streams.streams["kept"] == nil || streams.streams["99"] == nil {
		t.Errorf("found trackers of %d streams, want those of the last 3", len(streams.streams))
	}
}

// TestTracksOfConcurrentStreams follows streams at the same time, more of them than are kept. The race detector finds
// what they share.
func TestTracksOfConcurrentStreams(t *testing.T) {
	for _, kept := range []int{3, 16} {
		f := newFollower(t, func(o *TrackOptions) { o.Hits, o.Streams = 1, kept })
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				for k := range 200 {
					s := &Scene{Time: time.Unix(100, int64(k)*1e8), Objects: []Object{{Box: carAt(10, 0, 0)}}}
					s.Stream = fmt.Sprint(i)
					if err := f.run(context.Background(), s); err != nil || s.Objects[0].Track != 1 {
						t.Errorf("stream %d, scene %d: found track %d (%v), want 1", i, k, s.Objects[0].Track, err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
}
