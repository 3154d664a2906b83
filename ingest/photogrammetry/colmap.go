// Package photogrammetry reads the sparse point clouds of structure-from-motion programs.
package photogrammetry

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/textnum"
)

// COLMAP is points3D.bin: a uint64 count, then for each point id uint64, x y z float64, r g b uint8, mean
// reprojection error float64 in pixels, and the track: a uint64 length and that many pairs of uint32 (image,
// feature). Little-endian. https://colmap.github.io/format.html#points3d-txt
var COLMAP = modelFormat(ingest.Format{
	Name:       "colmap",
	Doc:        "points3D.bin; filters by error and track; the complete points of a truncated file",
	Extensions: []string{"points3d.bin"},
	Tested:     "COLMAP export of SBCV",
	Options:    newOptions,
	Detect:     detectCOLMAP,
}, decodeCOLMAP)

// COLMAPText is points3D.txt: lines of id x y z r g b error and the track's pairs, comments with #.
var COLMAPText = modelFormat(ingest.Format{
	Name: "colmap-text",
	Doc:  "points3D.txt, with and without comments, errors and tracks; filters by error and track",
	Assumes: "a table without comments is taken for points if the file has that name, or if its rows have numbers 1, " +
		"2, 3...",
	Extensions: []string{"points3d.txt"},
	Tested:     "COLMAP export of SBCV",
	Options:    newOptions,
	Detect:     detectCOLMAPText,
}, decodeCOLMAPText)

var colmapFields = []string{"x", "y", "z", "red", "green", "blue"}

const (
	colmapFixed    = 8 + 3*8 + 3 + 8 + 8 // bytes of a point without its track
	colmapMaxTrack = 1 << 20
	// colmapMaxError is far above any error, in pixels, that a reconstruction retains.
	colmapMaxError = 1e6
)

// colmapPoint decodes a point at the start of b; ok is false if COLMAP cannot have written it.
func colmapPoint(b []byte) (xyz [3]float64, rgb [3]uint8, errPx float64, track int64, ok bool) {
	le := binary.LittleEndian
	for k := range xyz {
		xyz[k] = math.Float64frombits(le.Uint64(b[8+8*k:]))
	}
	rgb = [3]uint8(b[32:35])
	errPx = math.Float64frombits(le.Uint64(b[35:]))
	n := le.Uint64(b[43:])
	return xyz, rgb, errPx, int64(n & math.MaxInt64), n <= colmapMaxTrack && errPx > -2 && errPx < colmapMaxError
}

func detectCOLMAP(h *ingest.Head) ingest.Confidence {
	if len(h.Bytes) < 8 {
		return ingest.No
	}
	n := binary.LittleEndian.Uint64(h.Bytes)
	if n == 0 || n > uint64(h.Size)/colmapFixed {
		return ingest.No
	}
	// Every point in the head must be valid, and if the head includes the last point, the file must end there.
	b := h.Bytes[8:]
	i := uint64(0)
	for ; i < n && len(b) >= colmapFixed; i++ {
		xyz, _, _, track, ok := colmapPoint(b)
		if !ok || !finite(xyz[0]) || !finite(xyz[1]) || !finite(xyz[2]) {
			return ingest.No
		}
		b = b[min(int64(len(b)), colmapFixed+8*track):]
	}
	if i == 0 || i == n && len(b) > 0 {
		return ingest.No
	}
	return ingest.Likely
}

func finite(v float64) bool { return math.Abs(v) <= math.MaxFloat64 }

// sparse collects points that pass the options' filters.
type sparse struct {
	Options
	read           ingest.Options
	p              ingest.PointCloud
	errors, tracks statistic
	out            int // points that do not pass
}

// statistic is the range and sum of a property.
type statistic struct {
	min, max, sum float64
	n             int
}

func (s *statistic) add(v float64) {
	if s.n == 0 {
		s.min, s.max = v, v
	}
	s.min, s.max = min(s.min, v), max(s.max, v)
	s.sum += v
	s.n++
}

func (s *statistic) values() *Range {
	if s.n == 0 {
		return nil
	}
	return &Range{s.min, s.sum / float64(s.n), s.max}
}

// unknown is the error or length of a track that a file does not have. Such points pass the filter.
const unknown = -1

func newSparse(o ingest.Options) sparse {
	return sparse{Options: ingest.ReaderOptions(o, Options{}), read: o}
}

func (s *sparse) add(xyz [3]float64, rgb [3]uint8, errPx float64, track int64) {
	if s.MaxReprojection > 0 && errPx > s.MaxReprojection || track != unknown && track < int64(s.MinTrack) {
		s.out++
		return
	}
	if track != unknown {
		s.tracks.add(float64(track))
	}
	if errPx >= 0 {
		s.errors.add(errPx)
	}
	p := &s.p
	p.X, p.Y, p.Z = append(p.X, xyz[0]), append(p.Y, xyz[1]), append(p.Z, xyz[2])
	p.R, p.G, p.B = append(p.R, rgb[0]), append(p.G, rgb[1]), append(p.B, rgb[2])
}

// clouds returns the points. It completes the model, and notes how many points did not pass.
func (s *sparse) clouds(m *Model) *ingest.Clouds {
	m.Track, m.Error = s.tracks.values(), s.errors.values()
	if s.out > 0 {
		s.read.Note("%d of %d points did not pass the filters of error and track", s.out, s.out+s.p.Len())
	}
	return &ingest.Clouds{Fields: colmapFields, Clouds: []*ingest.PointCloud{&s.p}}
}

func decodeCOLMAP(data []byte, o ingest.Options) (*ingest.Clouds, *Model, error) {
	if len(data) < 8 {
		return nil, nil, fmt.Errorf("truncated: found %d bytes, want 8 for the count", len(data))
	}
	n := binary.LittleEndian.Uint64(data)
	if n > uint64(o.MaxPoints) {
		return nil, nil, fmt.Errorf("found %d points, limit %d", n, o.MaxPoints)
	}
	s := newSparse(o)
	at := int64(8)
	for i := range n {
		if i%4096 == 0 && o.Err() != nil {
			return nil, nil, o.Err()
		}
		whole := at+colmapFixed <= int64(len(data))
		var xyz [3]float64
		var rgb [3]uint8
		var errPx float64
		var track int64
		if whole {
			var ok bool
			xyz, rgb, errPx, track, ok = colmapPoint(data[at:])
			if !ok {
				return nil, nil, fmt.Errorf("byte %d, point %d: found error %g and track length %d, want at most %g and %d",
					at, i, errPx, track, colmapMaxError, colmapMaxTrack)
			}
			at += colmapFixed + 8*track
			whole = at <= int64(len(data))
		}
		if !whole {
			if i == 0 {
				return nil, nil, fmt.Errorf("truncated: found %d bytes and no whole point of %d", len(data), n)
			}
			o.Note("the file is truncated: found %d of %d points", i, n)
			break
		}
		s.add(xyz, rgb, errPx, track)
	}
	m := &Model{}
	return s.clouds(m), m, nil
}

// detectCOLMAPText recognizes the comment that COLMAP starts the file with or, without it, the file's name, or rows
// with ascending numbers, colours and an error.
func detectCOLMAPText(h *ingest.Head) ingest.Confidence {
	if bytes.HasPrefix(h.Bytes, []byte("# 3D point list")) {
		return ingest.Sure
	}
	const rows = 3 // that must fit; fewer could be by chance
	r := lines{data: h.Bytes}
	last, n := 0.0, 0
	for row, ok := r.row(); ok && n < rows; row, ok = r.row() {
		words := strings.Fields(string(row))
		if len(words) == 0 {
			continue
		}
		v, err := floats(words)
		if err != nil || len(v) < 7 {
			return ingest.No
		}
		if isNamed(h, "points3d.txt") {
			return ingest.Likely
		}
		if len(v) < 8 || len(v)%2 != 0 || v[0] != last+1 || v[7] < 0 {
			return ingest.No
		}
		for _, c := range v[4:7] {
			if c != float64(channel(c)) {
				return ingest.No
			}
		}
		last = v[0]
		n++
	}
	if n < rows {
		return ingest.No
	}
	return ingest.Likely
}

func decodeCOLMAPText(data []byte, o ingest.Options) (*ingest.Clouds, *Model, error) {
	s := newSparse(o)
	line := 0
	for i := 0; i < len(data); {
		if line++; line%4096 == 0 && o.Err() != nil {
			return nil, nil, o.Err()
		}
		end := textnum.Line(data, i)
		row := data[:end]
		i = textnum.Blanks(row, i)
		if i < end && row[i] != '#' && row[i] != '\n' {
			if s.p.Len() >= o.MaxPoints {
				return nil, nil, fmt.Errorf("line %d: found more than %d points", line, o.MaxPoints)
			}
			var v [8]float64
			for k := range v {
				var ok bool
				if k == 7 && len(bytes.TrimSpace(row[i:])) == 0 { // the error may be missing
					break
				}
				if v[k], i, ok = textnum.Float(row, i, 0); !ok {
					return nil, nil, fmt.Errorf("line %d, value %d: found %q, want a number", line, k+1, textnum.Token(row, i))
				}
			}
			track := words(row[i:])
			if track%2 != 0 {
				return nil, nil, fmt.Errorf("line %d: found %d numbers in the track, want pairs", line, track)
			}
			s.add([3]float64(v[1:4]), [3]uint8{channel(v[4]), channel(v[5]), channel(v[6])}, v[7], int64(track/2))
		}
		i = end
	}
	m := &Model{}
	return s.clouds(m), m, nil
}

// words returns the number of words of a line.
func words(line []byte) (n int) {
	for range bytes.FieldsSeq(line) {
		n++
	}
	return n
}

// channel clamps v to 0..255; NaN becomes 0.
func channel(v float64) uint8 {
	if !(v > 0) {
		return 0
	}
	return uint8(min(v, 255))
}
