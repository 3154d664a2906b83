// Package trajectory reads where a sensor was at which time, and gives its pose at any time between.
package trajectory

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
)

// Stamped is the pose of a sensor at a time.
type Stamped struct {
	Time time.Time
	Pose ingest.Pose
}

// Trajectory is poses sorted by time.
type Trajectory []Stamped

// maxPoses bounds a trajectory: a day at a kilohertz.
const maxPoses = 1 << 27

// Read reads the format of TUM's groundtruth.txt: lines of "time tx ty tz qx qy qz qw", the time in seconds since
// 1970, from the sensor to the world in metres; lines that begin with # are comments. Poses of a tracker that was
// lost are left out.
func Read(path string, o ingest.Options) (Trajectory, error) {
	const width = 8
	data, err := ingest.ReadFile(path, o)
	if err != nil {
		return nil, err
	}
	var out Trajectory
	n := 0
	for line := range bytes.Lines(data) {
		n++
		words := strings.Fields(string(line))
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		if len(words) < width || len(out) == maxPoses {
			return nil, fmt.Errorf("%s, line %d: found %d words, want %d; limit %d lines", path, n, len(words), width, maxPoses)
		}
		s, err := parse(words[:width])
		if ingest.Lost(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, n, err)
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b Stamped) int { return a.Time.Compare(b.Time) })
	return out, nil
}

func parse(words []string) (Stamped, error) {
	t, err := ParseTime(words[0])
	if err != nil {
		return Stamped{}, err
	}
	p, err := ParsePose(words[1:])
	return Stamped{t, p}, err
}

// ParseTime reads seconds since 1970 to the nanosecond, which a float64 cannot hold.
func ParseTime(s string) (time.Time, error) {
	whole, frac, _ := strings.Cut(s, ".")
	frac = (frac + "000000000")[:9]
	sec, err1 := strconv.ParseInt(whole, 10, 40)
	nsec, err2 := strconv.ParseUint(frac, 10, 32)
	if err1 != nil || err2 != nil {
		return time.Time{}, fmt.Errorf("found time %.40q, want seconds", s)
	}
	return time.Unix(sec, int64(nsec)).UTC(), nil
}

// ParsePose reads tx ty tz qx qy qz qw.
func ParsePose(words []string) (ingest.Pose, error) {
	var v [7]float64
	for i := range v {
		var err error
		if v[i], err = strconv.ParseFloat(words[i], 64); err != nil {
			return ingest.Pose{}, fmt.Errorf("found %.20q, want a number", words[i])
		}
	}
	return ingest.PoseOfQuaternion(v[6], v[3], v[4], v[5], [3]float64(v[:3]))
}

// around returns the indices of the poses before and behind t; either may not exist.
func (t Trajectory) around(at time.Time) (before, behind int) {
	i, _ := slices.BinarySearchFunc(t, at, func(s Stamped, at time.Time) int { return s.Time.Compare(at) })
	return i - 1, i
}

// Nearest is the pose within the tolerance of a time, or nil.
func (t Trajectory) Nearest(at time.Time, tolerance time.Duration) *ingest.Pose {
	before, behind := t.around(at)
	best := -1
	for _, k := range []int{before, behind} {
		if k >= 0 && k < len(t) && (best < 0 || t[k].Time.Sub(at).Abs() < t[best].Time.Sub(at).Abs()) {
			best = k
		}
	}
	if best < 0 || t[best].Time.Sub(at).Abs() > tolerance {
		return nil
	}
	return &t[best].Pose
}

// At is the pose at a time between two poses no further apart than gap, as if the sensor moved and turned between
// them at a constant speed.
func (t Trajectory) At(at time.Time, gap time.Duration) (ingest.Pose, bool) {
	before, behind := t.around(at)
	if behind < len(t) && t[behind].Time.Equal(at) {
		return t[behind].Pose, true
	}
	if before < 0 || behind == len(t) {
		return ingest.Pose{}, false
	}
	a, b := &t[before], &t[behind]
	span := b.Time.Sub(a.Time)
	if span > gap {
		return ingest.Pose{}, false
	}
	return between(&a.Pose, &b.Pose, float64(at.Sub(a.Time))/float64(span)), true
}

// between turns about the axis of the rotation from a to b by a share of its angle (Rodrigues), and moves along the
// line by the same share.
func between(a, b *ingest.Pose, share float64) ingest.Pose {
	inverse := ingest.Pose{R: a.R}
	inverse = inverse.Inverse()
	turn := inverse.Mul(&ingest.Pose{R: b.R}) // from a to b, in a's axes
	r := &turn.R
	x, y, z := r[7]-r[5], r[2]-r[6], r[3]-r[1] // 2 sin(angle) times the axis
	sin := math.Sqrt(x*x + y*y + z*z)
	angle := math.Atan2(sin, r[0]+r[4]+r[8]-1)
	out := ingest.Pose{R: a.R}
	if sin > 1e-12 {
		x, y, z = x/sin, y/sin, z/sin
		s, c := math.Sincos(angle * share)
		part := ingest.Pose{R: [9]float64{
			c + x*x*(1-c), x*y*(1-c) - z*s, x*z*(1-c) + y*s,
			y*x*(1-c) + z*s, c + y*y*(1-c), y*z*(1-c) - x*s,
			z*x*(1-c) - y*s, z*y*(1-c) + x*s, c + z*z*(1-c),
		}}
		out = out.Mul(&part)
	}
	for i := range 3 {
		out.T[i] = a.T[i] + share*(b.T[i]-a.T[i])
	}
	return out
}
