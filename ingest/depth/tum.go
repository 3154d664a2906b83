package depth

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/trajectory"
)

// TUM is a folder of the TUM RGB-D benchmark: 16-bit PNG depth images in units of 1/5000 m and colour images
// registered to them, listed with their times in seconds. associations.txt (or associate.txt) pairs them; without
// it, depth.txt and rgb.txt are paired by nearest time. Listed files that do not exist are also looked for next to
// the list (depth_T.png or T.png for depth/T.png). The pose of a frame is the nearest in time in groundtruth.txt,
// within the same tolerance. https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats
var TUM = folderFormat(ingest.Format{
	Name: "tum",
	Doc: "association files, or depth.txt and rgb.txt paired by time; colour; poses of " +
		"groundtruth.txt",
	Library: "image/png, image/jpeg",
	Tested:  "a TUM style recording of an Orbbec camera",
	Options: newOptions,
	Detect:  detectTUM,
}, readTUM)

// tumUnits is the number of units per metre in a TUM depth image.
const tumUnits = 5000

// tumMaxRows limits the length of a list to 4 million lines: 38 hours at 30 frames per second.
const tumMaxRows = 1 << 22

func detectTUM(h *ingest.Head) ingest.Confidence {
	if !h.IsDir() {
		return ingest.No
	}
	for _, name := range []string{"associations.txt", "associate.txt", "depth.txt"} {
		if _, ok := slices.BinarySearch(h.Names, name); ok {
			return ingest.Likely
		}
	}
	return ingest.No
}

// readTUM reads the lists of a folder and pairs frames with colour images and poses.
func readTUM(dir string, o *settings) (*sequence, error) {
	s, err := readPairs(dir, o)
	if err != nil {
		return nil, err
	}
	poses, err := trajectory.Read(filepath.Join(dir, "groundtruth.txt"), o.Options)
	if errors.Is(err, fs.ErrNotExist) {
		poses, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	for i := range s.pairs {
		s.pairs[i].pose = poses.Nearest(s.pairs[i].depth.time, o.tolerance)
	}
	return s, nil
}

// readPairs reads the lists of images.
func readPairs(dir string, o *settings) (*sequence, error) {
	for _, name := range []string{"associations.txt", "associate.txt"} {
		rows, err := readList(filepath.Join(dir, name), 4, o)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		f := &sequence{dir: dir, listing: name}
		for _, r := range rows {
			a, b := listed{r.times[0], r.paths[0]}, listed{r.times[1], r.paths[1]}
			// Both orders are in use; TUM's own associate.py is usually called with rgb.txt first.
			if strings.Contains(a.path, "depth") && !strings.Contains(b.path, "depth") {
				a, b = b, a
			}
			f.pairs = append(f.pairs, pair{depth: b, color: a})
		}
		return f, nil
	}
	depths, err := readFiles(filepath.Join(dir, "depth.txt"), o)
	if err != nil {
		return nil, err
	}
	colors, err := readFiles(filepath.Join(dir, "rgb.txt"), o)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return &sequence{dir: dir, listing: "depth.txt", pairs: pairNearest(depths, colors, o.tolerance)}, nil
}

type tumRow struct {
	times [2]time.Time
	paths [2]string
}

// row is a line of a list, split at white space.
type row struct {
	line  int
	words []string
}

// readRows reads the lines of a list, without comments. Each must have at least width words.
func readRows(path string, width int, o *settings) ([]row, error) {
	data, err := ingest.ReadFile(path, o.Options)
	if err != nil {
		return nil, err
	}
	var rows []row
	n := 0
	for line := range bytes.Lines(data) {
		n++
		words := strings.Fields(string(line))
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		if len(words) < width || len(rows) == tumMaxRows {
			return nil, fmt.Errorf("%s, line %d: found %d words, want %d; limit %d lines", path, n, len(words), width, tumMaxRows)
		}
		rows = append(rows, row{n, words[:width]})
	}
	return rows, nil
}

// readList reads lines of "time path" (width 2) or "time path time path" (width 4).
func readList(path string, width int, o *settings) ([]tumRow, error) {
	rows, err := readRows(path, width, o)
	if err != nil {
		return nil, err
	}
	out := make([]tumRow, len(rows))
	for i, row := range rows {
		for k := range width / 2 {
			t, err := trajectory.ParseTime(row.words[2*k])
			if err != nil {
				return nil, fmt.Errorf("%s, line %d: %w", path, row.line, err)
			}
			name := filepath.FromSlash(row.words[2*k+1])
			if !filepath.IsLocal(name) {
				return nil, fmt.Errorf("%s, line %d: found path %q, want a path inside the folder", path, row.line, name)
			}
			out[i].times[k], out[i].paths[k] = t, name
		}
	}
	return out, nil
}

func readFiles(path string, o *settings) ([]listed, error) {
	rows, err := readList(path, 2, o)
	out := make([]listed, len(rows))
	for i, r := range rows {
		out[i] = listed{r.times[0], r.paths[0]}
	}
	slices.SortStableFunc(out, func(a, b listed) int { return a.time.Compare(b.time) })
	return out, err
}

// pairNearest pairs each depth image with the colour image nearest in time, within the tolerance. A colour image
// that is nearest to several depth images is paired with the nearest of them. Both lists are sorted by time.
func pairNearest(depths, colors []listed, tolerance time.Duration) []pair {
	pairs := make([]pair, len(depths))
	owner := make(map[int]int, len(depths)) // colour -> depth
	gap := func(d, c int) time.Duration { return depths[d].time.Sub(colors[c].time).Abs() }
	for d := range depths {
		pairs[d].depth = depths[d]
		c, _ := slices.BinarySearchFunc(colors, depths[d].time, func(f listed, t time.Time) int { return f.time.Compare(t) })
		if c == len(colors) || c > 0 && gap(d, c-1) <= gap(d, c) {
			c--
		}
		if c < 0 || gap(d, c) > tolerance {
			continue
		}
		if other, taken := owner[c]; !taken || cmp.Compare(gap(d, c), gap(other, c)) < 0 {
			owner[c] = d
		}
	}
	for c, d := range owner {
		pairs[d].color = colors[c]
	}
	return pairs
}
