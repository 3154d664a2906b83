// Package trajectory reads the poses of a sensor over time, and interpolates between them.
package trajectory

import (
	"errors"
	"fmt"
	"io/fs"
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

// width is the number of columns of a pose: time tx ty tz qx qy qz qw.
const width = 8

// Read reads a list of poses: rows of time, position in metres and quaternion, from the sensor to the world. The order
// of the columns is that of their names, if there are any, such as in the comment of a EuRoC file; otherwise it is
// that of TUM's groundtruth.txt: time tx ty tz qx qy qz qw. For times see [Table.Times]. Poses of a tracker that was
// lost are left out.
func Read(path string, o ingest.Options) (Trajectory, error) {
	out, err := read(path, o)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !strings.HasPrefix(err.Error(), path) {
		err = fmt.Errorf("%s, %w", path, err)
	}
	return out, err
}

func read(path string, o ingest.Options) (Trajectory, error) {
	t, err := ReadTable(path, maxPoses, o)
	if err != nil {
		return nil, err
	}
	columns, named := columnsOf(t.Header)
	if !named && len(t.rows) > 0 && len(strings.Fields(strings.ReplaceAll(t.rows[0].text, ", ", ","))) < width {
		o.Note("the columns of %s have no names: assumed the order time tx ty tz qx qy qz qw", t.name)
	}
	var out Trajectory
	var stamps []Stamp
	lost := 0
	err = t.Each(width, func(words []string) error {
		const matrix = 12
		if len(words) == matrix && !named {
			return fmt.Errorf("found %d numbers, want %d: a list of matrices, such as KITTI's, has no times", matrix, width)
		}
		var w [width]string
		for i, c := range columns {
			if c >= len(words) {
				return fmt.Errorf("found %d words, want %d", len(words), c+1)
			}
			w[i] = words[c]
		}
		at, err := ParseStamp(w[0])
		if err != nil {
			return err
		}
		p, err := ParsePose(w[1:])
		if ingest.Lost(err) {
			lost++
			return nil
		}
		if err == nil {
			out, stamps = append(out, Stamped{Pose: p}), append(stamps, at)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if lost > 0 {
		o.Note("left out %d poses of %s at which tracking was lost", lost, t.name)
	}
	times, err := t.Times(stamps)
	for i, at := range times {
		out[i].Time = at
	}
	slices.SortStableFunc(out, func(a, b Stamped) int { return a.Time.Compare(b.Time) })
	return out, err
}

// columnsOf finds the columns of time, position and quaternion by their names: time or timestamp; x, tx or p_RS_R_x;
// qw or q_RS_w. named is false if one is missing, and the columns are then those of TUM.
func columnsOf(header string) (columns [width]int, named bool) {
	standard := [width]int{0, 1, 2, 3, 4, 5, 6, 7}
	header = strings.TrimSpace(strings.TrimLeft(strings.ToLower(header), "# "))
	names := strings.Fields(header)
	if strings.ContainsAny(header, ",;") {
		names = strings.FieldsFunc(header, func(r rune) bool { return r == ',' || r == ';' })
	}
	for i := range columns {
		columns[i] = -1
	}
	for i, name := range names {
		name, _, _ = strings.Cut(name, "[") // the unit
		name, _, _ = strings.Cut(name, "(")
		name = strings.Trim(strings.TrimSpace(name), `"`)
		if name == "" {
			continue
		}
		role := -1
		switch axis := strings.IndexByte("xyzw", name[len(name)-1]); {
		case name == "t" || strings.Contains(name, "time") || strings.Contains(name, "stamp"):
			role = 0
		case axis >= 0 && (name[0] == 'q' || strings.Contains(name, "orientation")):
			role = 4 + axis
		case axis >= 0 && axis < 3 && (len(name) == 1 || name[0] == 't' || name[0] == 'p'):
			role = 1 + axis
		}
		if role >= 0 && columns[role] < 0 {
			columns[role] = i
		}
	}
	if slices.Contains(columns[:], -1) {
		return standard, false
	}
	return columns, true
}

// ParsePose reads tx ty tz qx qy qz qw.
func ParsePose(words []string) (ingest.Pose, error) {
	const columns = 7
	v, err := Numbers(words[:columns])
	if err != nil {
		return ingest.Pose{}, err
	}
	return ingest.PoseOfQuaternion(v[6], v[3], v[4], v[5], [3]float64(v[:3]))
}

// Numbers reads decimal numbers.
func Numbers(words []string) ([]float64, error) {
	out := make([]float64, len(words))
	for i, w := range words {
		var err error
		if out[i], err = strconv.ParseFloat(w, 64); err != nil {
			return nil, fmt.Errorf("found %.20q, want a number", w)
		}
	}
	return out, nil
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
