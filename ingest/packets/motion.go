package packets

import (
	"fmt"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/trajectory"
)

// motion transforms the points of a sweep to the sensor's pose at the start of the sweep. Points measured at times
// without a pose are dropped.
type motion struct {
	poses   trajectory.Trajectory
	began   time.Time   // of the sweep
	start   ingest.Pose // of the sensor at that time
	inverse ingest.Pose // of start
	known   bool        // there was one
	last    time.Time
	step    ingest.Pose // from the sensor at the last time to the sensor at the sweep's start
	ok      bool
}

// maxPoseGap is the maximum time between two poses across which motion is interpolated linearly.
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

// to advances to time t of the sweep that started at began.
func (m *motion) to(began, t time.Time) {
	if !began.Equal(m.began) || m.last.IsZero() {
		m.began = began
		m.start, m.known = m.poses.At(began, maxPoseGap)
		m.inverse = m.start.Inverse()
	} else if t.Equal(m.last) {
		return
	}
	m.last = t
	p, ok := m.poses.At(t, maxPoseGap)
	if m.ok = ok && m.known; m.ok {
		m.step = m.inverse.Mul(&p)
	}
}

// pose returns the pose of the points of the sweep, or nil if it is unknown.
func (m *motion) pose() *ingest.Pose {
	if !m.known {
		return nil
	}
	p := m.start
	return &p
}

// correct transforms points [lo,hi) and returns the end of those that remain.
func (m *motion) correct(x, y, z []float64, lo, hi int) int {
	if !m.ok {
		return lo
	}
	for i := lo; i < hi; i++ {
		x[i], y[i], z[i] = m.step.Apply(x[i], y[i], z[i])
	}
	return hi
}

// covers describes the time range of the poses.
func (m *motion) covers() string {
	return fmt.Sprintf("%s to %s", m.poses[0].Time.Format(time.RFC3339Nano), m.poses[len(m.poses)-1].Time.Format(time.RFC3339Nano))
}
