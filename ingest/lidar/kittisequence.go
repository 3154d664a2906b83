package lidar

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/trajectory"
	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/record"
)

// KITTISequence is a folder of scans in the layout of KITTI odometry and SemanticKITTI, or a drive of KITTI raw. Scans
// are numbered from 0, and line n of a list, counted from 0, belongs to scan n.
//
// A sequence has velodyne/000000.bin, times.txt with seconds, and poses.txt with the first three rows of the matrix
// that leads from the left camera to the world, P. In KITTI odometry, the poses of sequences/00 are in poses/00.txt. Tr
// in calib.txt leads from the scanner to the camera. The pose of the scanner is Tr^-1 P Tr: the world has the axes of
// the scanner, x forward, y left and z up, where those of P are the camera's. See the readme of the development kit at
// https://www.cvlibs.net/datasets/kitti/eval_odometry.php.
//
// A drive has velodyne_points/data/0000000000.bin and velodyne_points/timestamps.txt with dates. It has no poses; those
// of oxts are not read.
var KITTISequence = sequenceFormat(ingest.Format{
	Name: "kitti-sequence",
	Doc:  "folders of scans with their times and poses: KITTI odometry, SemanticKITTI, drives of KITTI raw without oxts",
	Assumes: "as for kitti; line n of a list belongs to scan n; UTC in KITTI raw; scans that have no line in times.txt " +
		"or poses.txt have no time or pose",
	Refuses: "lists in which most lines are unreadable; poses without Tr in calib.txt, which are left out",
	Options: newOptions,
	Detect: func(h *ingest.Head) ingest.Confidence {
		if l := layoutOf(h); l == nil || !l.hasScan(h.Path) {
			return ingest.No
		}
		return ingest.Likely
	},
})

// maxScans limits the scans of a sequence: 116 hours at 10 scans per second.
const maxScans = 1 << 22

// scanLayout is how the files of a sequence are named.
type scanLayout struct {
	scans, times string
	parseTime    func(string) (time.Time, error)
	// sequence says that there may be poses; otherwise times have no zone.
	sequence bool
}

var scanLayouts = []scanLayout{
	{scans: "velodyne", times: "times.txt", parseTime: trajectory.ParseTime, sequence: true},
	{
		scans: filepath.Join("velodyne_points", "data"), times: filepath.Join("velodyne_points", "timestamps.txt"),
		parseTime: func(s string) (time.Time, error) { return time.Parse(time.DateTime, s) },
	},
}

// layoutOf returns the layout of a folder; nil if it has neither. Scans of KITTI's object benchmark, which are in folders
// of the same names as those of sequences, have no lists.
func layoutOf(h *ingest.Head) *scanLayout {
	has := func(name string) bool { return slices.Contains(h.Names, name) }
	switch {
	case has("velodyne") && (has("times.txt") || has("poses.txt") || has("calib.txt")):
		return &scanLayouts[0]
	case has("velodyne_points"):
		return &scanLayouts[1]
	}
	return nil
}

func (l *scanLayout) hasScan(dir string) bool {
	entries, err := regular.ReadDir(filepath.Join(dir, l.scans))
	return err == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		_, ok := scanNumber(e.Name())
		return ok
	})
}

// scanNumber returns the number that is the name of a scan.
func scanNumber(name string) (n int, ok bool) {
	stem, ok := strings.CutSuffix(strings.TrimSuffix(strings.ToLower(name), ".gz"), ".bin")
	if !ok || strings.Trim(stem, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(stem)
	return n, err == nil
}

// scanSequence is the scans of a folder and what is known about them by their numbers.
type scanSequence struct {
	*scanLayout
	dir   string
	items []scanItem
	times []*time.Time
	poses []*ingest.Pose
}

// scanItem is a scan, or if it has no name, the gap from the number missing to the number before that of the next scan.
type scanItem struct {
	number, missing int
	name            string
}

// readScanSequence reads the lists of a folder.
func readScanSequence(dir string, o ingest.Options) (*scanSequence, error) {
	head, err := ingest.ReadHead(dir)
	if err != nil {
		return nil, err
	}
	s := &scanSequence{scanLayout: layoutOf(head), dir: dir}
	if s.scanLayout == nil {
		return nil, fmt.Errorf("%s: found no folder velodyne beside times.txt, poses.txt or calib.txt, and no folder "+
			"velodyne_points", dir)
	}
	if err := s.list(o); err != nil {
		return nil, err
	}
	times := filepath.Join(dir, s.scanLayout.times)
	if s.times, err = readLines(times, o, s.parseTime); err != nil {
		return nil, err
	}
	s.note(o, s.scanLayout.times, "time", len(s.times))
	switch {
	case s.sequence:
		err = s.readPoses(o)
	case len(s.times) > 0:
		o.Note("the times of %s have no zone: assumed UTC", s.scanLayout.times)
	}
	return s, err
}

// list finds the scans and the gaps between them. Of files with the same number, such as 000000.bin and 000000.bin.gz, it
// keeps the first by name.
func (s *scanSequence) list(o ingest.Options) error {
	at := filepath.Join(s.dir, s.scans)
	entries, err := regular.ReadDir(at)
	if err != nil {
		return err
	}
	const itemBytes = 128 // with the name, twice for the gap before it
	if err := o.Take(len(entries), 2*itemBytes); err != nil {
		return err
	}
	var found []scanItem
	for _, e := range entries {
		if n, ok := scanNumber(e.Name()); ok {
			found = append(found, scanItem{number: n, name: e.Name()})
		}
	}
	switch n := len(entries) - len(found); {
	case len(found) == 0:
		return fmt.Errorf("%s: found no scan, want 000000.bin or another number", at)
	case len(found) > maxScans:
		return fmt.Errorf("%s: found %d scans, limit %d", at, len(found), maxScans)
	case n > 0:
		o.Note("left out %s of %s whose names are not numbers", ingest.Plural(n, "file"), s.scans)
	}
	slices.SortFunc(found, func(a, b scanItem) int {
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.name, b.name))
	})
	all := len(found)
	found = slices.CompactFunc(found, func(a, b scanItem) bool { return a.number == b.number })
	if n := all - len(found); n > 0 {
		o.Note("left out %s of %s whose numbers other scans have", ingest.Plural(n, "scan"), s.scans)
	}
	next := found[0].number
	for _, f := range found {
		if f.number > next {
			s.items = append(s.items, scanItem{number: f.number - 1, missing: next})
		}
		s.items = append(s.items, f)
		next = f.number + 1
	}
	return nil
}

// note says how many scans a list is short of, or has besides those that exist.
func (s *scanSequence) note(o ingest.Options, list, what string, lines int) {
	last := s.items[len(s.items)-1].number
	switch {
	case lines == 0:
		o.Note("found no %s: the %ss of the scans are unknown", list, what)
	case lines <= last:
		o.Note("%s ends with line %d: scans from %d to %d have no %s", list, lines, lines, last, what)
	case lines > last+1:
		o.Note("%s has %d lines, but the last scan is %d", list, lines, last)
	}
}

// readPoses reads the poses of the scanner.
func (s *scanSequence) readPoses(o ingest.Options) error {
	path := filepath.Join(s.dir, "poses.txt")
	if _, err := regular.Stat(path); err != nil {
		// KITTI odometry has sequences/00 and poses/00.txt.
		if abs, err := filepath.Abs(s.dir); err == nil && filepath.Base(filepath.Dir(abs)) == "sequences" {
			odometry := filepath.Join(filepath.Dir(filepath.Dir(abs)), "poses", filepath.Base(abs)+".txt")
			if _, err := regular.Stat(odometry); err == nil {
				path = odometry
			}
		}
	}
	poses, err := readLines(path, o, parsePose)
	if err != nil {
		return err
	}
	if s.note(o, filepath.Base(path), "pose", len(poses)); len(poses) == 0 {
		return nil
	}
	calib := filepath.Join(s.dir, "calib.txt")
	tr, err := readTr(calib, o)
	if err != nil {
		return err
	}
	if tr == nil {
		o.Note("found no Tr in calib.txt: left out the poses of %s, which are those of a camera; a line "+
			"`Tr: 1 0 0 0 0 1 0 0 0 0 1 0` says that they are those of the scanner", filepath.Base(path))
		return nil
	}
	inverse := tr.Inverse()
	for _, p := range poses {
		if p != nil {
			camera := inverse.Mul(p)
			*p = camera.Mul(tr)
		}
	}
	s.poses = poses
	return nil
}

// parsePose reads the 12 numbers of a pose.
func parsePose(line string) (ingest.Pose, error) {
	m, err := trajectory.Numbers(strings.Fields(line))
	if err != nil {
		return ingest.Pose{}, err
	}
	const width = 12
	if len(m) != width {
		return ingest.Pose{}, fmt.Errorf("found %d numbers, want %d", len(m), width)
	}
	return ingest.PoseOfMatrix(m)
}

// readTr returns the pose of the scanner in the axes of the camera; nil if the file does not exist or does not have it.
func readTr(path string, o ingest.Options) (*ingest.Pose, error) {
	data, err := ingest.ReadFile(path, o)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer o.Account.Give(int64(len(data)))
	n := 0
	for line := range bytes.Lines(data) {
		n++
		if numbers, ok := bytes.CutPrefix(line, []byte("Tr:")); ok {
			p, err := parsePose(string(numbers))
			if err != nil {
				return nil, fmt.Errorf("%s, line %d: Tr: %w", path, n, err)
			}
			return &p, nil
		}
	}
	return nil, nil
}

// readLines returns what parse makes of each line of a file, and nothing if the file does not exist. Lines that cannot
// be parsed are nil, with a note; if they are more than the others, the error of the first is returned.
func readLines[T any](path string, o ingest.Options, parse func(line string) (T, error)) ([]*T, error) {
	data, err := ingest.ReadFile(path, o)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer o.Account.Give(int64(len(data)))
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	data = bytes.TrimRight(data, " \t\r\n")
	if len(data) == 0 {
		return nil, nil
	}
	lines := bytes.Split(data, []byte("\n"))
	const lineBytes = 128 // of a pose and the pointer to it
	if len(lines) > maxScans {
		return nil, fmt.Errorf("%s: found %d lines, limit %d", path, len(lines), maxScans)
	}
	if err := o.Take(len(lines), lineBytes); err != nil {
		return nil, err
	}
	out := make([]*T, len(lines))
	bad := 0
	var first error
	for i, line := range lines {
		v, err := parse(strings.TrimSpace(string(line)))
		if err == nil {
			out[i] = &v
			continue
		}
		bad++
		first = cmp.Or(first, fmt.Errorf("line %d: %w", i+1, err))
	}
	if 2*bad > len(lines) {
		return nil, fmt.Errorf("%s, %w", path, first)
	}
	if bad > 0 {
		o.Note("left out %d of %d lines of %s; the first is %v", bad, len(lines), filepath.Base(path), first)
	}
	return out, nil
}

// at returns the value for a number, or nil.
func at[T any](list []*T, number int) *T {
	if number < len(list) {
		return list[number]
	}
	return nil
}

// read reads an item. A gap is an error.
func (s *scanSequence) read(i int, o ingest.Options) (*ingest.Clouds, error) {
	item := s.items[i]
	if item.name == "" {
		return nil, fmt.Errorf("%s: found no scan from %d to %d, lines %d to %d of %s", filepath.Join(s.dir, s.scans),
			item.missing, item.number, item.missing+1, item.number+1, s.scanLayout.times)
	}
	c, err := decodeKITTI.Read(filepath.Join(s.dir, s.scans, item.name), KITTI.Name, o)
	if err != nil {
		return nil, err
	}
	if t := at(s.times, item.number); t != nil {
		c.Time = *t
	}
	if p := at(s.poses, item.number); p != nil {
		pose := *p // belongs to the reader
		c.Clouds[0].Pose = &pose
	}
	return c, nil
}

// scanSource streams the scans of a folder. A scan that is damaged and a gap in the numbers are one bad item each.
type scanSource struct {
	*scanSequence
	stream string
	next   int
	end    int
	o      ingest.Options
}

func (s *scanSource) Read(ctx context.Context) (ingest.Sample, error) {
	if err := ctx.Err(); err != nil {
		return ingest.Sample{}, err
	}
	if s.next >= s.end {
		return ingest.Sample{}, io.EOF
	}
	id := record.ID{Stream: s.stream, Seq: uint64(s.next)}
	s.next++
	defer s.o.Account.Close()
	c, err := s.read(s.next-1, s.o.Within(ctx))
	if ctx.Err() != nil {
		return ingest.Sample{}, ctx.Err()
	}
	if err != nil {
		return ingest.Sample{}, &ingest.ItemError{ID: id, Err: err}
	}
	return ingest.Sample{ID: id, Time: c.Time, Label: ingest.NoLabel, Data: c.Clouds[0]}, nil
}

// Len returns the number of scans that are left.
func (s *scanSource) Len() int { return s.end - s.next }

// Slice is that of [ingest.Slicer].
func (s *scanSource) Slice(first, count int) {
	s.next += min(first, s.Len())
	s.end = s.next + min(count, s.Len())
}

func (s *scanSource) Close() error { return nil }

// sequenceFormat adds Open and Inspect to f. The images, labels and tables of numbers in the folder belong to it.
func sequenceFormat(f ingest.Format) ingest.Format {
	f.Parts = []string{KITTI.Name, XYZ.Name, "png-depth"}
	f.Open = func(_ context.Context, dir string, o ingest.Options) (ingest.Source, error) {
		o = o.WithDefaults()
		s, err := readScanSequence(dir, o)
		if err != nil {
			return nil, err
		}
		stream, err := ingest.FolderStreamName(dir, filepath.Join(s.scans, s.items[0].name))
		if err != nil {
			return nil, err
		}
		o.Account = o.Account.Part()
		return &scanSource{scanSequence: s, stream: stream, end: len(s.items), o: o}, nil
	}
	f.Inspect = func(ctx context.Context, dir string, o ingest.Options) (ingest.Detail, error) {
		o = o.WithDefaults().Within(ctx)
		s, err := readScanSequence(dir, o)
		if err != nil {
			return nil, err
		}
		o.Account = o.Account.Part()
		return s.inspect(ctx, o)
	}
	return f
}

// inspect reads all scans and describes them together.
func (s *scanSequence) inspect(ctx context.Context, o ingest.Options) (ingest.Detail, error) {
	var out *ingest.Points
	missing := 0
	var first error
	for i := range s.items {
		c, err := s.read(i, o)
		o.Account.Close()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			missing++
			first = cmp.Or(first, err)
			continue
		case out == nil:
			out = ingest.PointsOf(c)
		default:
			out.Add(c.Clouds[0])
		}
		if c.Clouds[0].Pose != nil {
			out.Poses++
		}
	}
	if out == nil {
		return nil, first
	}
	out.Missing = missing
	if len(s.items) > 1 {
		out.Clouds = len(s.items)
	}
	return out, nil
}
