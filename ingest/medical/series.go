package medical

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/record"
)

// Options are the options of this package's readers.
type Options struct {
	Orientation Axes   `yaml:"orientation" flag:"orient" doc:"Patient directions of the x, y and z axes of MRI and CT volumes: three letters, one each of R or L (right, left), A or P (front, back) and S or I (head, feet), such as RAS or LPS. stored keeps the axes of the file. Use the one that the model was trained with."`
	Series      string `yaml:"series" flag:"series" doc:"Series to read from DICOM files in a folder: its UID, number or description. Empty reads all."`
}

func newOptions() any { return &Options{Orientation: Axes(ingest.RAS)} }

// DICOMSeries is a folder of DICOM files, of whatever names. Each series (Series Instance UID) is one or more volumes,
// with slices sorted by position along their normal; see [DICOM]. Series are ordered by UID, and each is a stream of
// its own if there are several. Files without an image and files that cannot be read are passed over and noted, and
// so are localizers, unless there is nothing else. Subfolders are inputs of their own.
var DICOMSeries = ingest.Format{
	Name:  "dicom-series",
	Parts: []string{"dicom"},
	Doc: "DICOM files of a folder, of any name or extension; by series, slices sorted by " +
		"position; several times, echoes or b-values as several volumes; each series its own stream",
	Assumes: "slices at one position that nothing else tells apart are volumes in the order of their numbers; " +
		"unevenly spaced slices get the most common distance; skipped: files that are not images or cannot be read, " +
		"localizers beside other images, copies of an image, volumes that lack slices at the end of a scan",
	Refuses: "folders in which no image can be read, with the reason of the first",
	Tested:  "MONAI CT series",
	Options: newOptions,
	Detect: func(h *ingest.Head) ingest.Confidence {
		if h.IsDir() && hasDICOM(h) {
			return ingest.Sure
		}
		return ingest.No
	},
	Open: func(ctx context.Context, dir string, o ingest.Options) (ingest.Source, error) {
		o = o.WithDefaults()
		all, first, err := readSeries(ctx, dir, o)
		if err != nil {
			return nil, err
		}
		stream, err := ingest.FolderStreamName(dir, first)
		if err != nil {
			return nil, err
		}
		if len(all) == 1 {
			all[0].stream = stream
		} else {
			for _, s := range all {
				s.stream = stream + ":" + cmp.Or(s.uid, "none")
			}
		}
		return &seriesSource{series: all, o: o}, nil
	},
	Inspect: func(ctx context.Context, dir string, o ingest.Options) (ingest.Detail, error) {
		o = o.WithDefaults()
		all, _, err := readSeries(ctx, dir, o)
		if err != nil {
			return nil, err
		}
		var grids []*ingest.Grid
		var cell []float64
		var arrays []ingest.Array
		for _, s := range all {
			for _, v := range s.volumes {
				g, c, err := stack(v, o)
				if err != nil {
					return nil, fmt.Errorf("%s: series %s: %w", dir, s.uid, err)
				}
				if cell == nil {
					cell = c
				}
				grids = append(grids, g)
			}
			shape := append([]int{len(s.volumes)}, grids[len(grids)-1].Dims[:]...)
			arrays = append(arrays, ingest.Array{Name: s.String(), Type: "series", Shape: shape})
		}
		noteShapes(grids, o)
		out := detail(grids, cell, "mm")
		if len(arrays) > 1 {
			out.Arrays = arrays
		}
		return out, nil
	},
}

// dicomMaxFiles limits the files in a folder.
const dicomMaxFiles = 1 << 16

// series is one series of a folder: its frames, then its volumes.
type series struct {
	uid, number, description, stream string
	frames                           []*frame
	volumes                          [][]*frame
	localizer                        bool
	files                            []string // of a localizer
}

// String returns what a user may call the series: its number and description, or else its UID.
func (s *series) String() string {
	return cmp.Or(strings.TrimSpace(s.number+" "+s.description), s.uid, "without a UID")
}

// is reports whether the series is the one that the options ask for.
func (s *series) is(name string) bool {
	return slices.Contains([]string{s.uid, s.number, s.description, s.String()}, name)
}

// maxTried limits the files that are looked at to recognize a folder.
const maxTried = 16

// hasDICOM reports whether one of the first files of a folder that may be DICOM is.
func hasDICOM(h *ingest.Head) bool {
	tried := 0
	for _, name := range h.Names {
		path := filepath.Join(h.Path, name)
		if strings.HasPrefix(name, ".") || strings.EqualFold(name, "DICOMDIR") || !mayBeDICOM(name) || isDir(path) {
			continue
		}
		if looksDICOM(path) {
			return true
		}
		if tried++; tried == maxTried {
			break
		}
	}
	return false
}

func isDir(path string) bool {
	info, err := regular.Stat(path)
	return err == nil && info.IsDir()
}

// mayBeDICOM reports whether files of such a name are often DICOM: with one of its extensions, with none, or with the
// digits of a UID after the last dot.
func mayBeDICOM(name string) bool {
	name = strings.ToLower(name)
	ext := filepath.Ext(strings.TrimSuffix(name, ".gz"))
	switch ext {
	case "", ".dcm", ".dicom", ".dic", ".ima", ".img":
		return true
	}
	return strings.Trim(ext[1:], "0123456789") == ""
}

// looksDICOM reports whether a file starts as DICOM does.
func looksDICOM(path string) bool {
	f, _, err := ingest.OpenRegular(path)
	if err != nil {
		return false
	}
	start := make([]byte, dicomPreamble+4)
	n, err := io.ReadFull(f, start)
	_ = f.Close() // opened for reading
	if err == nil && isDICOM(start) {
		return true
	}
	if n == 0 || start[0] != 0x1f && start[0] > 8 { // neither gzip nor a bare data set
		return false
	}
	h, err := ingest.ReadHead(path)
	return err == nil && !h.IsDir() && (isDICOM(h.Bytes) || isBare(h.Bytes))
}

// filesOf lists the regular files of a folder that are not hidden.
func filesOf(dir string) (out []string, err error) {
	entries, err := regular.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if info, err := regular.Stat(filepath.Join(dir, e.Name())); err != nil || !info.Mode().IsRegular() {
			continue
		}
		if len(out) == dicomMaxFiles {
			return nil, fmt.Errorf("%s: found more than %d files", dir, dicomMaxFiles)
		}
		out = append(out, e.Name())
	}
	return out, nil
}

// passedOver collects the files that are passed over, by reason.
type passedOver struct {
	reasons []string
	files   map[string][]string
}

func (p *passedOver) add(reason, file string) {
	if p.files == nil {
		p.files = map[string][]string{}
	}
	if p.files[reason] == nil {
		p.reasons = append(p.reasons, reason)
	}
	p.files[reason] = append(p.files[reason], file)
}

// notDICOM is the reason for files of other formats, which may be inputs of their own.
const notDICOM = "not DICOM"

// maxNamed limits the files that a note names.
const maxNamed = 3

func (p *passedOver) note(o ingest.Options) {
	for _, reason := range p.reasons {
		files := p.files[reason]
		if len(files) == 1 {
			o.Note("passed over %s: %s", files[0], reason)
			continue
		}
		more := ""
		if len(files) > maxNamed {
			more = ", ..."
		}
		o.Note("passed over %d files (%s%s): %s", len(files), strings.Join(files[:min(maxNamed, len(files))], ", "),
			more, reason)
	}
}

// readSeries reads all DICOM files of a folder; first is the name of the first one that is an image. o must have its
// defaults set.
func readSeries(ctx context.Context, dir string, o ingest.Options) (all []*series, first string, err error) {
	names, err := filesOf(dir)
	if err != nil {
		return nil, "", err
	}
	var over passedOver
	type group struct {
		uid       string
		localizer bool
	}
	by := map[group]*series{}
	total := int64(0)
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, "", err
		}
		path := filepath.Join(dir, name)
		if !looksDICOM(path) {
			over.add(notDICOM, name)
			continue
		}
		p, frames, err := readFrames(path, o)
		if errors.Is(err, errDirectory) {
			continue
		}
		if err != nil {
			over.add(err.Error(), name)
			continue
		}
		if total += int64(len(p.pixels)); total > int64(o.MaxBytes) {
			return nil, "", fmt.Errorf("%s: found too many bytes of pixels, limit %v", dir, o.MaxBytes)
		}
		first = cmp.Or(first, name)
		g := group{p.text(tagSeries), slices.Contains(strings.Split(p.text(tagImageType), `\`), "LOCALIZER")}
		s := by[g]
		if s == nil {
			s = &series{uid: g.uid, number: p.text(tagSeriesNumber), description: p.text(tagSeriesName), localizer: g.localizer}
			by[g] = s
			all = append(all, s)
		}
		s.frames = append(s.frames, frames...)
		if g.localizer {
			s.files = append(s.files, name)
		}
	}
	if len(all) == 0 {
		over.note(o)
		if len(over.reasons) == 0 {
			return nil, "", fmt.Errorf("%s: found no DICOM image among %d files", dir, len(names))
		}
		return nil, "", fmt.Errorf("%s: found no DICOM image among %d files: %s: %s", dir, len(names),
			over.files[over.reasons[0]][0], over.reasons[0])
	}
	slices.SortFunc(all, func(a, b *series) int { return cmp.Compare(a.uid, b.uid) })
	all, err = chosen(all, ingest.ReaderOptions(o, Options{}).Series, &over)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", dir, err)
	}
	over.note(o)
	for _, s := range all {
		if s.volumes, err = volumes(s.frames, o); err != nil {
			return nil, "", fmt.Errorf("%s: series %v: %w", dir, s, err)
		}
		s.frames = nil
	}
	if len(all) > 1 {
		o.Note("%d series, each a stream of its own; --series reads one of %s", len(all), list(all))
	}
	return all, first, nil
}

func readFrames(path string, o ingest.Options) (*picture, []*frame, error) {
	data, err := ingest.ReadFile(path, o)
	if err != nil {
		return nil, nil, err
	}
	return parseFrames(data, o)
}

// maxListed limits the series that a text lists.
const maxListed = 16

// list names series: by their UIDs where several have the same name.
func list(all []*series) string {
	count := map[string]int{}
	for _, s := range all {
		count[s.String()]++
	}
	var names []string
	for _, s := range all[:min(maxListed, len(all))] {
		name := s.String()
		if count[name] > 1 {
			name = cmp.Or(s.uid, name)
		}
		names = append(names, strconv.Quote(name))
	}
	if len(all) > maxListed {
		names = append(names, "...")
	}
	return strings.Join(names, ", ")
}

// chosen returns the series of that name, or all but the localizers if there is none.
func chosen(all []*series, name string, over *passedOver) (out []*series, err error) {
	if name != "" {
		for _, s := range all {
			if s.is(name) {
				out = append(out, s)
			}
		}
		if out == nil {
			return nil, fmt.Errorf("found no series %q, want --series with one of %s", name, list(all))
		}
		return out, nil
	}
	for _, s := range all {
		if !s.localizer {
			out = append(out, s)
		}
	}
	if out == nil {
		return all, nil
	}
	for _, s := range all {
		for _, file := range s.files {
			over.add("a localizer beside other images", file)
		}
	}
	return out, nil
}

// seriesSource is the volumes of a folder, which are put together when they are read.
type seriesSource struct {
	series []*series
	seq    uint64
	o      ingest.Options
}

func (s *seriesSource) Read(ctx context.Context) (ingest.Sample, error) {
	if err := ctx.Err(); err != nil {
		return ingest.Sample{}, err
	}
	for len(s.series) > 0 && len(s.series[0].volumes) == 0 {
		s.series = s.series[1:]
		s.seq = 0
	}
	if len(s.series) == 0 {
		return ingest.Sample{}, io.EOF
	}
	one := s.series[0]
	frames := one.volumes[0]
	one.volumes = one.volumes[1:]
	id := record.ID{Stream: one.stream, Seq: s.seq}
	s.seq++
	g, _, err := stack(frames, s.o)
	if err != nil {
		return ingest.Sample{}, &ingest.ItemError{ID: id, Err: fmt.Errorf("series %v: %w", one, err)}
	}
	return ingest.Sample{ID: id, Label: ingest.NoLabel, Data: g}, nil
}

func (s *seriesSource) Close() error {
	s.series = nil
	return nil
}
