package packets

import (
	"fmt"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/trajectory"
)

// motion moves the points of a turn to where they would be seen from the place of the sensor at the turn's start.
// Points of times without a pose are left out, as nobody knows where they are.
type motion struct {
	poses   trajectory.Trajectory
	began   time.Time   // of the turn
	inverse ingest.Pose // of the sensor's at that time
	known   bool        // there was one
	last    time.Time
	step    ingest.Pose // from the sensor at the last time to the sensor at the turn's start
	ok      bool
}

// maxPoseGap is the longest time between two poses across which a motion is taken to be even.
const maxPoseGap = time.Second

func readMotion(o ingest.Options) (*motion, error) {
	path := optionsOf(o).Trajectory
	poses, err := trajectory.Read(path, o)
	if err != nil {
		return nil, err
	}
	if len(poses) == 0 {
		return nil, fmt.Errorf("%s: found no pose", path)
	}
	return &motion{poses: poses}, nil
}

// to goes to a time of the turn that began at another.
func (m *motion) to(began, t time.Time) {
	if !began.Equal(m.began) || m.last.IsZero() {
		var p ingest.Pose
		m.began = began
		p, m.known = m.poses.At(began, maxPoseGap)
		m.inverse = p.Inverse()
	} else if t.Equal(m.last) {
		return
	}
	m.last = t
	p, ok := m.poses.At(t, maxPoseGap)
	if m.ok = ok && m.known; m.ok {
		m.step = m.inverse.Mul(&p)
	}
}

// correct moves points [lo,hi) and returns the end of those that remain.
func (m *motion) correct(x, y, z []float64, lo, hi int) int {
	if !m.ok {
		return lo
	}
	for i := lo; i < hi; i++ {
		x[i], y[i], z[i] = m.step.Apply(x[i], y[i], z[i])
	}
	return hi
}

// covers describes the times of the poses.
func (m *motion) covers() string {
	return fmt.Sprintf("%s to %s", m.poses[0].Time.Format(time.RFC3339Nano), m.poses[len(m.poses)-1].Time.Format(time.RFC3339Nano))
}
