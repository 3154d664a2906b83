// Package mesh reads the vertices of polygon meshes as points, and voxelised models as grids.
package mesh

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
	"github.com/voxelstream/voxelstream/ingest/internal/textnum"
)

// OFF is the Object File Format of Geomview: "OFF" (COFF with colours, NOFF with normals, ...), the numbers of
// vertices, faces and edges, then one vertex per line. Princeton's ModelNet has files whose counts follow "OFF"
// without a line break. http://www.geomview.org/docs/html/OFF.html
var OFF = ingest.CloudFormat(ingest.Format{
	Name:       "off",
	Doc:        "OFF, COFF, NOFF, CNOFF, STOFF; vertices only",
	Extensions: []string{".off"},
	Tested:     "ModelNet chair_0001.off",
	Detect:     detectOFF,
}, decodeOFF)

func detectOFF(h *ingest.Head) ingest.Confidence {
	if _, _, err := parseOFFHeader(h.Bytes); err == nil {
		return ingest.Sure
	}
	return ingest.No
}

// offFields are the columns by the letters before OFF.
var offFields = map[string][]string{
	"": {"x", "y", "z"}, "C": {"x", "y", "z", "red", "green", "blue", "alpha"}, "N": {"x", "y", "z", "nx", "ny", "nz"},
	"CN": {"x", "y", "z", "nx", "ny", "nz", "red", "green", "blue", "alpha"}, "ST": {"x", "y", "z", "s", "t"},
}

type offHeader struct {
	vertices int64
	fields   []string
	line     int
}

// parseOFFHeader returns the header and the index after it.
func parseOFFHeader(data []byte) (*offHeader, int, error) {
	first, rest, _ := bytes.Cut(data[:min(len(data), 4096)], []byte("\n"))
	kind, counts, ok := strings.Cut(string(first), "OFF")
	fields, known := offFields[kind]
	if !ok || !known {
		return nil, 0, fmt.Errorf("found %.20q, want OFF", first)
	}
	h := &offHeader{fields: fields, line: 1}
	i := len(first) + 1
	words := strings.Fields(counts)
	for len(words) == 0 || words[0][0] == '#' {
		if len(rest) == 0 {
			return nil, 0, fmt.Errorf("found no line with the counts")
		}
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		words = strings.Fields(string(line))
		i += len(line) + 1
		h.line++
	}
	if len(words) < 2 {
		return nil, 0, fmt.Errorf("line %d: found %.40q, want the numbers of vertices, faces and edges", h.line,
			strings.Join(words, " "))
	}
	var err error
	if h.vertices, err = strconv.ParseInt(words[0], 10, 62); err != nil || h.vertices < 0 {
		return nil, 0, fmt.Errorf("line %d: found %.20q vertices", h.line, words[0])
	}
	return h, i, nil
}

func decodeOFF(_ string, data []byte, o ingest.Options) (*ingest.Clouds, error) {
	h, i, err := parseOFFHeader(data)
	if err != nil {
		return nil, err
	}
	i = min(i, len(data))
	if h.vertices > int64(o.MaxPoints) || h.vertices > int64(len(data)-i)/5+1 {
		return nil, fmt.Errorf("found %d vertices in %d bytes, limit %d points of at least 5 bytes", h.vertices,
			len(data)-i, o.MaxPoints)
	}
	cols := make([]columns.Column, len(h.fields))
	for k, f := range h.fields {
		cols[k] = columns.Column{Name: f, Type: columns.Float64, Values: make([]float64, h.vertices)}
	}
	for v := range int(h.vertices) {
		if i, err = skipComments(data, i, &h.line); err != nil {
			return nil, fmt.Errorf("truncated: found %d vertices, want %d", v, h.vertices)
		}
		for k := range cols {
			var ok bool
			if cols[k].Values[v], i, ok = textnum.Float(data, i, 0); !ok && !(h.fields[k] == "alpha" && atEnd(data, i)) {
				return nil, fmt.Errorf("line %d, value %d: found %q, want a number", h.line, k+1, textnum.Token(data, i))
			}
		}
		i = textnum.Line(data, i)
	}
	p, err := columns.Cloud(int(h.vertices), cols)
	if err != nil {
		return nil, err
	}
	return &ingest.Clouds{Fields: h.fields, Clouds: []*ingest.PointCloud{p}}, nil
}

// skipComments advances to the next line with content and counts lines.
func skipComments(data []byte, i int, line *int) (int, error) {
	for {
		*line++
		i = textnum.Blanks(data, i)
		if i >= len(data) {
			return i, fmt.Errorf("end of file")
		}
		if data[i] != '\n' && data[i] != '#' {
			return i, nil
		}
		i = textnum.Line(data, i)
	}
}

func atEnd(data []byte, i int) bool {
	i = textnum.Blanks(data, i)
	return i >= len(data) || data[i] == '\n'
}
