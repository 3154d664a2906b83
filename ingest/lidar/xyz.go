package lidar

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
	"github.com/voxelstream/voxelstream/ingest/internal/textnum"
)

// XYZ is plain text with one point per line: .xyz, .txt, .csv, .asc and similar files, as written by CloudCompare,
// MeshLab, PDAL and many others. Values are separated by white space, commas or semicolons. Lines that start with
// #, // or ; are comments. A line of names before the first point (possibly a comment, "//X Y Z Rf Gf Bf
// Intensity") names the columns. Without names, three columns are x y z, and a fourth is the intensity. Six are x y
// z and red green blue if the last three are integers from 0 to 255; otherwise the last three are normals, which
// are ignored. Seven are x y z, the colours and the intensity in the order that fits (XYZ RGB I, or XYZ I RGB). A
// line with a single integer before the points is their count.
var XYZ = ingest.CloudFormat(ingest.Format{
	Name:       "xyz",
	Doc:        "column names, comments, a line with the count; separated by white space, commas or semicolons",
	Extensions: []string{".xyz", ".txt", ".csv", ".asc"},
	Tested:     "three.js helix_201.xyz, CloudCompare points",
	Detect:     detectXYZ,
}, decodeXYZ)

// PTS is Leica's text exchange format: the number of points on the first line, then x y z, or x y z intensity red
// green blue. It is read like XYZ. No software is known to write several such blocks to one file.
var PTS = ingest.CloudFormat(ingest.Format{
	Name:       "pts",
	Doc:        "with and without intensity and colours",
	Extensions: []string{".pts"},
	Tested:     "PDAL autzen.pts",
	Detect:     detectPTS,
}, decodeXYZ)

const (
	xyzMaxColumns = 64
	// xyzPeek is the number of rows inspected to identify unnamed columns.
	xyzPeek = 256
)

func detectPTS(h *ingest.Head) ingest.Confidence {
	first, _, _ := bytes.Cut(h.Bytes, []byte("\n"))
	if _, err := strconv.ParseUint(string(bytes.TrimSpace(first)), 10, 62); err != nil {
		return ingest.No
	}
	return detectXYZ(h)
}

func detectXYZ(h *ingest.Head) ingest.Confidence {
	b := wholeLines(h)
	if !isText(b) {
		return ingest.No
	}
	l, err := parseLayout(b)
	if err != nil {
		return ingest.No
	}
	// Every row must have the layout of the first one.
	t := table{slot: make([]int, len(l.fields)), line: l.line}
	for i := range t.slot {
		t.slot[i] = -1
	}
	if n := countRows(b, l); n == 0 || t.read(b, l.body, n, l.delim) != nil {
		return ingest.No
	}
	switch h.Ext {
	case ".xyz", ".csv", ".asc", ".txt", ".xyzrgb", ".xyzi", ".xyzn":
		return ingest.Likely
	}
	return ingest.Guess
}

// layout describes the rows of a text file.
type layout struct {
	fields []string
	delim  byte
	body   int
	line   int
	count  int // count on a line of its own before the points; -1 if there is none
}

// parseLayout reads comments and the line of names, and assigns names if there are none.
func parseLayout(data []byte) (*layout, error) {
	l := &layout{count: -1}
	var named []string
	for l.body < len(data) {
		next := textnum.Line(data, l.body)
		raw := string(bytes.TrimSpace(data[l.body:next]))
		text, comment := uncomment(raw)
		words, delim := split(text)
		if len(words) > xyzMaxColumns {
			return nil, fmt.Errorf("line %d: found %d columns, limit %d", l.line+1, len(words), xyzMaxColumns)
		}
		if raw != "" && !comment {
			if n, err := strconv.Atoi(text); err == nil && n >= 0 && l.count < 0 {
				l.count, l.body = n, next
				l.line++
				continue
			}
			if numeric(words) {
				l.delim = delim
				return l, l.name(data, words, named)
			}
			if named != nil && columns.Assign(named)[columns.X] >= 0 {
				return nil, fmt.Errorf("line %d: found %.60q, want numbers", l.line+1, raw)
			}
		}
		if roles := columns.Assign(words); roles[columns.X] >= 0 && roles[columns.Y] >= 0 && roles[columns.Z] >= 0 {
			named = words
		} else if raw != "" && !comment {
			return nil, fmt.Errorf("line %d: found %.60q, want numbers or names with x, y and z", l.line+1, raw)
		}
		l.body = next
		l.line++
	}
	return nil, fmt.Errorf("found no row of numbers in %d lines", l.line)
}

// uncomment removes a comment marker.
func uncomment(s string) (text string, comment bool) {
	for _, mark := range []string{"#", "//", ";"} {
		if strings.HasPrefix(s, mark) {
			return strings.TrimLeft(s, mark+" "), true
		}
	}
	return s, false
}

// split splits a line at the separator that it uses.
func split(s string) ([]string, byte) {
	for _, d := range []byte{',', ';'} {
		if strings.IndexByte(s, d) >= 0 {
			words := strings.Split(strings.TrimRight(s, string(d)+" "), string(d))
			for i := range words {
				words[i] = strings.Trim(strings.TrimSpace(words[i]), `"`)
			}
			return words, d
		}
	}
	return strings.Fields(s), 0
}

func numeric(words []string) bool {
	for _, w := range words {
		if _, next, ok := textnum.Float([]byte(w), 0, 0); !ok || next != len(w) {
			return false
		}
	}
	return len(words) > 0
}

// name names each column: with the file's names if there are as many as values, otherwise by the number of columns
// and their values.
func (l *layout) name(data []byte, first, named []string) error {
	if len(named) == len(first) {
		l.fields = named
		return nil
	}
	k := len(first)
	if k < 3 {
		return fmt.Errorf("line %d: found %d values, want x, y and z", l.line+1, k)
	}
	l.fields = []string{"x", "y", "z"}
	switch {
	case k >= 7 && colors(data, l, k, 3):
		l.fields = append(l.fields, "red", "green", "blue", "intensity")
	case k >= 7 && colors(data, l, k, 4):
		l.fields = append(l.fields, "intensity", "red", "green", "blue")
	case k >= 6 && colors(data, l, k, 3):
		l.fields = append(l.fields, "red", "green", "blue")
	case k == 6:
		l.fields = append(l.fields, "nx", "ny", "nz")
	case k == 4 || k == 5 || k == 7:
		l.fields = append(l.fields, "intensity")
	}
	for i := len(l.fields); i < k; i++ {
		l.fields = append(l.fields, fmt.Sprintf("column%d", i+1))
	}
	return nil
}

// colors reports whether the three columns starting at at hold integers from 0 to 255, not all of them 0 or 1, in
// the first rows.
func colors(data []byte, l *layout, k, at int) bool {
	i, large := l.body, false
	for range xyzPeek {
		if i >= len(data) {
			break
		}
		words, _ := split(string(bytes.TrimSpace(data[i:textnum.Line(data, i)])))
		i = textnum.Line(data, i)
		if len(words) < k || !numeric(words) {
			continue
		}
		for _, w := range words[at : at+3] {
			v, _, _ := textnum.Float([]byte(w), 0, 0)
			if v < 0 || v > 255 || v != math.Trunc(v) {
				return false
			}
			large = large || v > 1
		}
	}
	return large
}

// countRows counts the lines that are not blank.
func countRows(data []byte, l *layout) int {
	n := 0
	for i := l.body; i < len(data); {
		end := bytes.IndexByte(data[i:], '\n')
		if end < 0 {
			end = len(data) - i
		}
		if j := textnum.Blanks(data, i); j < i+end {
			n++
		}
		i += end + 1
	}
	return n
}

func decodeXYZ(_ string, data []byte, o ingest.Options) (*ingest.Clouds, error) {
	l, err := parseLayout(data)
	if err != nil {
		return nil, err
	}
	return decodeRows(data, l, o)
}

func decodeRows(data []byte, l *layout, o ingest.Options) (*ingest.Clouds, error) {
	n := countRows(data, l)
	if l.count >= 0 {
		if n < l.count {
			return nil, fmt.Errorf("truncated: found %d rows, want %d according to line %d", n, l.count, l.line)
		}
		n = l.count // data after the points is ignored, as in PDAL
	}
	if err := checkCount(int64(n), int64(len(data)-l.body)+1, 2*int64(len(l.fields)), o); err != nil {
		return nil, err
	}
	t := table{line: l.line, slot: make([]int, len(l.fields))}
	for k, f := range l.fields {
		t.slot[k] = -1
		if columns.Wanted(f) {
			t.slot[k] = len(t.cols)
			t.cols = append(t.cols, columns.Column{Name: f, Type: columns.Float64})
		}
	}
	if err := t.read(data, l.body, n, l.delim); err != nil {
		return nil, err
	}
	p, err := columns.Cloud(n, t.cols)
	if err != nil {
		return nil, err
	}
	return oneCloud(p, l.fields), nil
}
