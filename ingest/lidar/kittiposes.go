package lidar

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
)

// KITTIPoses is a list of poses beside the sequences of KITTI odometry: lines with the first three rows of a matrix, as in
// [KITTISequence], which uses it. Without its scans, there is nothing to read.
var KITTIPoses = ingest.Format{
	Name: "kitti-poses",
	Doc: "lists of 3 x 4 matrices; inspect describes their length and ends, and kitti-sequence reads those " +
		"of its scans",
	InspectOnly: errNoScans.Error(),
	Detect: func(h *ingest.Head) ingest.Confidence {
		text := wholeLines(h)
		if h.IsDir() || !isText(text) || len(strings.TrimSpace(string(text))) == 0 {
			return ingest.No
		}
		for line := range strings.Lines(strings.TrimSpace(string(text))) {
			if _, err := parsePose(line); err != nil {
				return ingest.No
			}
		}
		return ingest.Likely
	},
	Open: func(_ context.Context, path string, _ ingest.Options) (ingest.Source, error) {
		return nil, fmt.Errorf("%s: kitti-poses: %w", path, errNoScans)
	},
	Inspect: func(_ context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		poses, err := readLines(path, o.WithDefaults(), parsePose)
		if err != nil {
			return nil, err
		}
		out := &PoseList{}
		for _, p := range poses {
			if p != nil {
				out.add(p.T)
			}
		}
		if out.Poses == 0 {
			return nil, fmt.Errorf("%s: found no pose", path)
		}
		return out, nil
	},
}

var errNoScans = errors.New("it has poses but no points")

// PoseList describes a list of poses: their number, the first and the last position and the length of the way between in
// metres.
type PoseList struct {
	Poses  int        `json:"poses"`
	First  [3]float64 `json:"first"`
	Last   [3]float64 `json:"last"`
	Length float64    `json:"length_m"`
}

// add adds a position.
func (p *PoseList) add(at [3]float64) {
	if p.Poses == 0 {
		p.First, p.Last = at, at
	}
	p.Poses++
	p.Length += math.Hypot(math.Hypot(at[0]-p.Last[0], at[1]-p.Last[1]), at[2]-p.Last[2])
	p.Last = at
}

// Kind returns "poses".
func (*PoseList) Kind() string { return "poses" }

// Text returns the number, ends and length.
func (p *PoseList) Text() string {
	return fmt.Sprintf("poses   %d\nfirst   %.7g %.7g %.7g m\nlast    %.7g %.7g %.7g m\nlength  %.7g m", p.Poses, p.First[0],
		p.First[1], p.First[2], p.Last[0], p.Last[1], p.Last[2], p.Length)
}
