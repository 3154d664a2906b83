package depth

import (
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
	"github.com/voxelstream/voxelstream/internal/regular"
)

// TUM is a folder of the TUM RGB-D benchmark: 16-bit PNG depth images in units of 1/5000 m and colour images
// registered to them, listed with their times in seconds. associations.txt (or associate.txt) pairs them; without
// it, depth.txt and rgb.txt are paired by nearest time. Listed files that do not exist are also looked for next to
// the list (depth_T.png or T.png for depth/T.png). The pose of a frame is the nearest in time in groundtruth.txt,
// within the same tolerance. https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats
var TUM = folderFormat(ingest.Format{
	Name: "tum",
	Doc: "association files, or depth.txt and rgb.txt paired by time; colour; poses of " +
		"groundtruth.txt, with the order of its columns from their names; times in decimal or scientific notation",
	Assumes: "1/5000 m per unit, without `--depth-units`; seconds, unless the times can only be milliseconds, " +
		"microseconds or nanoseconds since 1970; the camera usual for the image size, without `--fx`",
	Refuses: "lists in which most rows are unreadable; images outside the folder",
	Library: "image/png, image/jpeg",
	Tested:  "a TUM style recording of an Orbbec camera",
	Options: newOptions,
	Detect:  detectTUM,
}, readTUM)

// tumUnits is the number of units per metre in a TUM depth image.
const tumUnits = 5000

// tumMaxRows limits the length of a list to 4 million lines: 38 hours at 30 frames per second.
const tumMaxRows = 1 << 22

// associations are the usual names of lists of pairs.
var associations = []string{"associations.txt", "associate.txt", "association.txt", "associated.txt", "assoc.txt"}

func detectTUM(h *ingest.Head) ingest.Confidence {
	if !h.IsDir() {
		return ingest.No
	}
	for _, name := range append(associations, "depth.txt") {
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
	posed := false
	for i := range s.pairs {
		s.pairs[i].pose = poses.Nearest(s.pairs[i].depth.time, o.tolerance)
		posed = posed || s.pairs[i].pose != nil
	}
	if len(poses) > 0 && !posed {
		o.Note("none of the %d poses of groundtruth.txt is within %v of a depth image (ingest.tolerance)",
			len(poses), o.tolerance)
	}
	return s, nil
}

// readPairs reads the lists of images.
func readPairs(dir string, o *settings) (*sequence, error) {
	for _, name := range associations {
		rows, err := readList(filepath.Join(dir, name), 4, o)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		f := &sequence{dir: dir, listing: name}
		first := f.depthFirst(rows[0].paths, o)
		for _, r := range rows {
			color, depth := listed{r.times[0], r.paths[0]}, listed{r.times[1], r.paths[1]}
			if first {
				color, depth = depth, color
			}
			f.pairs = append(f.pairs, pair{depth: depth, color: color})
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

// depthFirst reports whether the first of two associated images is the depth image, by their paths or by what they are.
// Both orders are in use; TUM's own associate.py is usually called with rgb.txt first.
func (s *sequence) depthFirst(paths [2]string, o *settings) bool {
	var named, is [2]bool
	for i, name := range paths {
		named[i] = strings.Contains(strings.ToLower(name), "depth")
		if path, err := s.find(name); err == nil {
			head, err := ingest.ReadHead(path)
			is[i] = err == nil && (is16BitGrey(head.Bytes) || head.Ext == ".pgm")
		}
	}
	if named[0] != named[1] {
		return named[0]
	}
	if is[0] == is[1] {
		o.Note("the second image of each line of %s was taken for the depth image", s.listing)
	}
	return is[0] && !is[1]
}

type tumRow struct {
	times [2]time.Time
	paths [2]string
}

// readList reads lines of "time path" (width 2) or "time path time path" (width 4).
func readList(path string, width int, o *settings) ([]tumRow, error) {
	t, err := trajectory.ReadTable(path, tumMaxRows, o.Options)
	if err != nil {
		return nil, err
	}
	var out []tumRow
	var stamps []trajectory.Stamp
	if err := t.Each(width, func(words []string) error {
		var r tumRow
		var at [2]trajectory.Stamp
		for k := range width / 2 {
			var err error
			if at[k], err = trajectory.ParseStamp(words[2*k]); err != nil {
				return err
			}
			if r.paths[k], err = localPath(filepath.Dir(path), words[2*k+1]); err != nil {
				return err
			}
		}
		out, stamps = append(out, r), append(stamps, at[:width/2]...)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("%s, %w", path, err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: found no image", path)
	}
	times, err := t.Times(stamps)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for i := range out {
		copy(out[i].times[:], times[i*width/2:][:width/2])
	}
	return out, nil
}

// localPath returns the path of a listed image in the folder. Lists written on Windows have backslashes. Of a path on
// another machine, the end that exists in the folder is taken.
func localPath(dir, name string) (string, error) {
	name = strings.ReplaceAll(name, `\`, "/")
	drive := len(name) > 2 && name[1:3] == ":/"
	if local := filepath.FromSlash(name); filepath.IsLocal(local) && !drive {
		return local, nil
	}
	for rest := name; rest != ""; {
		_, rest, _ = strings.Cut(rest, "/")
		if local := filepath.FromSlash(rest); filepath.IsLocal(local) {
			if info, err := regular.Stat(filepath.Join(dir, local)); err == nil && info.Mode().IsRegular() {
				return local, nil
			}
		}
	}
	return "", fmt.Errorf("found path %q, want a path inside the folder", name)
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
