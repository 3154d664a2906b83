package lidar

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
	"github.com/voxelstream/voxelstream/ingest/internal/textnum"
)

// PTX is Leica's text format of organized scans, one or more per file: columns, rows, the scanner's position and
// three axes, a 4x4 matrix (four lines, the translation in the last) from the scanner to the world, then columns x
// rows lines of x y z intensity, or with red green blue. "0 0 0" is a ray without return and becomes NaN. Other
// points are transformed to world coordinates.
var PTX = ingest.CloudFormat(ingest.Format{
	Name:       "ptx",
	Doc:        "several scans, with their matrices; with and without colours",
	Assumes:    "rows that are cut off or damaged are left out",
	Extensions: []string{".ptx"},
	Tested:     "PDAL no-color.ptx",
	Detect:     detectPTX,
}, decodePTX)

// ptxHeaderLines is the number of lines for columns, rows, position, axes and matrix.
const ptxHeaderLines = 10

// ptxRows is for how many points of a scan there is room at first: its header may announce more than follow.
const ptxRows = 1 << 16

// ptxMaxScans limits the scans in a file.
const ptxMaxScans = 4096

func detectPTX(h *ingest.Head) ingest.Confidence {
	if b := wholeLines(h); isText(b) {
		if _, err := parsePTXHeader(b, 0, 0); err == nil {
			return ingest.Sure
		}
		if h.Ext == ".ptx" {
			return ingest.Likely
		}
	}
	return ingest.No
}

// ptxScan is the header of a scan.
type ptxScan struct {
	points int64
	matrix [4][4]float64
	body   int // index after the header
	line   int // lines up to there
}

// parsePTXHeader reads the header at data[i:], skipping blank lines; line is the number of lines before it.
func parsePTXHeader(data []byte, i, line int) (*ptxScan, error) {
	h := &ptxScan{}
	counts := [2]int64{}
	for k := range ptxHeaderLines {
		text, next := nextLine(data, i)
		line += max(1, bytes.Count(data[i:next], []byte("\n")))
		i = next
		words := strings.Fields(text)
		want := [ptxHeaderLines]int{1, 1, 3, 3, 3, 3, 4, 4, 4, 4}[k]
		if len(words) != want || !numeric(words, "") {
			return nil, fmt.Errorf("line %d: found %.60q, want the %d numbers of a scan header line", line, text, want)
		}
		switch {
		case k < 2:
			var err error
			if counts[k], err = strconv.ParseInt(words[0], 10, 31); err != nil || counts[k] < 0 {
				return nil, fmt.Errorf("line %d: found %.20q, want a size", line, words[0])
			}
		case k >= 6:
			for c, w := range words {
				h.matrix[k-6][c], _ = number(w, "")
			}
		}
	}
	h.points, h.body, h.line = counts[0]*counts[1], i, line
	return h, nil
}

func decodePTX(_ string, data []byte, o ingest.Options) (*ingest.Clouds, error) {
	data = textnum.Text(data)
	out := &ingest.Clouds{}
	data = bytes.TrimRightFunc(data, unicode.IsSpace)
	for i, line, total := 0, 0, int64(0); i < len(data); {
		if len(out.Clouds) == ptxMaxScans {
			return nil, fmt.Errorf("found more than %d scans", ptxMaxScans)
		}
		h, err := parsePTXHeader(data, i, line)
		if err != nil && len(out.Clouds) > 0 {
			o.Note("left out after scan %d: %v", len(out.Clouds), err)
			break
		}
		if err != nil {
			return nil, err
		}
		p, t, next, err := h.rows(data, o)
		if err != nil {
			return nil, err
		}
		if total += int64(p.Len()); total > int64(o.MaxPoints) {
			return nil, fmt.Errorf("point count: found more than %d, the limit", o.MaxPoints)
		}
		h.check(len(out.Clouds)+1, o)
		place(p, h.matrix)
		out.Clouds = append(out.Clouds, p)
		out.Fields = []string{"x", "y", "z", "intensity", "red", "green", "blue"}[:len(t.slot)]
		i, line = next, t.line
	}
	if len(out.Clouds) == 0 {
		return nil, fmt.Errorf("found no scan, want at least 1")
	}
	return out, nil
}

// rows reads the points of a scan, not yet placed in the world.
func (h *ptxScan) rows(data []byte, o ingest.Options) (p *ingest.PointCloud, t *table, next int, err error) {
	if err := checkCount(h.points, 0, 0, o); err != nil {
		return nil, nil, 0, err
	}
	n := min(h.points, int64(len(data)-h.body)/8+1) // a row needs 8 bytes at least, but for the last one
	first, _ := nextLine(data, h.body)
	k := len(strings.Fields(first))
	if n == 0 {
		k = 4
	}
	if k != 4 && k != 7 {
		return nil, nil, 0, fmt.Errorf("line %d: found %d values, want 4 or 7", h.line+1, k)
	}
	t = &table{line: h.line, block: true, guess: ptxRows}
	for c, f := range []string{"x", "y", "z", "intensity", "red", "green", "blue"}[:k] {
		t.slot = append(t.slot, c)
		t.cols = append(t.cols, columns.Column{Name: f, Type: columns.Float64})
		if c > 3 {
			t.cols[c].Type = columns.Int32 // even if all are dark
		}
	}
	if err := t.reserve(data, int(n), o); err != nil {
		return nil, nil, 0, err
	}
	rows, next := t.read(data, h.body, int(n), o)
	if err := o.Err(); err != nil {
		return nil, nil, 0, err
	}
	if err := t.finish(rows, o); err != nil {
		return nil, nil, 0, err
	}
	if int64(rows+t.bad) < h.points {
		o.Note("scan header before line %d says %s, found %d", h.line+1, plural(int(h.points), "point"), rows)
	}
	p, err = columns.Cloud(rows, t.cols, o)
	return p, t, next, err
}

// check notes a matrix that is not a motion.
func (h *ptxScan) check(scan int, o ingest.Options) {
	m := h.matrix
	if _, err := ingest.PoseOfMatrix([]float64{
		m[0][0], m[1][0], m[2][0], m[3][0], m[0][1], m[1][1], m[2][1], m[3][1], m[0][2], m[1][2], m[2][2], m[3][2],
	}); err != nil {
		o.Note("scan %d: the matrix is applied, though it is not a rotation and translation", scan)
	}
}

// place transforms points from the scanner's axes to the world's: row vector times matrix. Rays without return
// become NaN.
func place(p *ingest.PointCloud, m [4][4]float64) {
	for i := range p.X {
		x, y, z := p.X[i], p.Y[i], p.Z[i]
		if x == 0 && y == 0 && z == 0 {
			p.X[i], p.Y[i], p.Z[i] = math.NaN(), math.NaN(), math.NaN()
			continue
		}
		p.X[i] = x*m[0][0] + y*m[1][0] + z*m[2][0] + m[3][0]
		p.Y[i] = x*m[0][1] + y*m[1][1] + z*m[2][1] + m[3][1]
		p.Z[i] = x*m[0][2] + y*m[1][2] + z*m[2][2] + m[3][2]
	}
}
