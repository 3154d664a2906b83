package depth

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/trajectory"
)

// poseOf reads a frame's own pose file: the 4x4 matrix from camera to world of 7-Scenes, tsdf-fusion and ScanNet.
// It returns nil if tracking was lost, which these files mark by a matrix of zeros, infinities or NaN.
func poseOf(path string) (*ingest.Pose, error) {
	data, err := ingest.ReadFile(path, ingest.Options{MaxBytes: 1 << 16})
	if err != nil {
		return nil, err
	}
	m, err := trajectory.Numbers(strings.Fields(string(data)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	p, err := ingest.PoseOfMatrix(m)
	if ingest.Lost(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &p, nil
}

// posesOf reads the poses of a folder without times, in the order of the frames, from the trajectory.log (or else
// odometry.log) of Redwood and Open3D, or the pose.txt of "14 lectures on visual SLAM". It returns nil if there is
// none.
func posesOf(dir string, have map[string]bool, o *settings) ([]*ingest.Pose, error) {
	for _, name := range []string{"trajectory.log", "odometry.log", "pose.txt"} {
		if !have[name] {
			continue
		}
		data, err := ingest.ReadFile(filepath.Join(dir, name), o.Options)
		if err != nil {
			return nil, err
		}
		words := strings.Fields(string(data))
		poses, err := parseLog(words)
		if name == "pose.txt" {
			poses, err = parsePoses(words)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
		}
		return poses, nil
	}
	return nil, nil
}

// parseLog reads Redwood's trajectories: for each frame three integers (its number, its number again, the next
// number) and the 4x4 matrix from camera to world. http://redwood-data.org/indoor/fileformat.html
func parseLog(words []string) ([]*ingest.Pose, error) {
	const ids, matrix = 3, 16
	if len(words)%(ids+matrix) != 0 {
		return nil, fmt.Errorf("found %d numbers, want a multiple of %d: 3 frame numbers and a 4x4 matrix "+
			"per frame", len(words), ids+matrix)
	}
	var out []*ingest.Pose
	for len(words) > 0 {
		m, err := trajectory.Numbers(words[ids : ids+matrix])
		if err != nil {
			return nil, fmt.Errorf("pose %d: %w", len(out), err)
		}
		p, err := ingest.PoseOfMatrix(m)
		if out, err = appendPose(out, p, err); err != nil {
			return nil, err
		}
		words = words[ids+matrix:]
	}
	return out, nil
}

// parsePoses reads "tx ty tz qx qy qz qw", from camera to world, for each frame.
func parsePoses(words []string) ([]*ingest.Pose, error) {
	const width = 7
	if len(words)%width != 0 {
		return nil, fmt.Errorf("found %d numbers, want a multiple of %d: position and quaternion per frame", len(words), width)
	}
	var out []*ingest.Pose
	for len(words) > 0 {
		p, err := trajectory.ParsePose(words[:width])
		if out, err = appendPose(out, p, err); err != nil {
			return nil, err
		}
		words = words[width:]
	}
	return out, nil
}

// appendPose appends a pose, or nil if tracking was lost.
func appendPose(poses []*ingest.Pose, p ingest.Pose, err error) ([]*ingest.Pose, error) {
	switch {
	case err == nil:
		return append(poses, &p), nil
	case ingest.Lost(err):
		return append(poses, nil), nil
	}
	return nil, fmt.Errorf("pose %d: %w", len(poses), err)
}
