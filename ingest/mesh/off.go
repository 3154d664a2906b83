// Package mesh reads the vertices of polygon meshes as points, with the faces as triangles if they are asked for, and
// voxelized models as grids.
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

// OFF is the Object File Format of Geomview: a header word of optional letters (ST with texture coordinates, C with
// colours, N with normals) and OFF, the numbers of vertices, faces and edges, then one vertex per line. Princeton's
// ModelNet has files whose counts follow "OFF" without a line break. http://www.geomview.org/docs/html/OFF.html
var OFF = ingest.CloudFormat(ingest.Format{
	Name:       "off",
	Doc:        "OFF, COFF, NOFF, CNOFF, STOFF; vertices, and faces for pictures",
	Assumes:    "missing vertices at the end are left out, and damaged ones if they are the minority",
	Refuses:    "binary files; vertices of four or more dimensions (4OFF, nOFF)",
	Extensions: []string{".off"},
	Tested:     "ModelNet chair_0001.off",
	Detect:     detectOFF,
}, decodeOFF)

func detectOFF(h *ingest.Head) ingest.Confidence {
	b := textnum.Text(h.Bytes[:min(len(h.Bytes), 4096)])
	words := offWords(b, 1)
	if len(words) == 0 {
		return ingest.No
	}
	if _, _, ok := offPrefix(words[0]); ok {
		return ingest.Sure
	}
	if _, err := strconv.ParseInt(words[0], 10, 62); err == nil && h.Ext == ".off" {
		return ingest.Likely // the header word is optional
	}
	return ingest.No
}

// offPrefix splits the header word into the letters before OFF and what follows it, the number of vertices.
func offPrefix(word string) (letters, count string, ok bool) {
	letters, count, ok = strings.Cut(word, "OFF")
	return letters, count, ok && strings.Trim(letters, "STCN4n") == "" && strings.Trim(count, "0123456789") == ""
}

// offWords returns the first n words of a header, without comments.
func offWords(b []byte, n int) (words []string) {
	for line := range bytes.Lines(b) {
		line, _, _ = bytes.Cut(line, []byte("#"))
		for w := range bytes.FieldsSeq(line) {
			if words = append(words, string(w)); len(words) == n {
				return words
			}
		}
	}
	return words
}

type offHeader struct {
	vertices int64
	fields   []string
}

// parseOFFHeader returns the header and the index of the line after the one with the number of vertices.
func parseOFFHeader(data []byte) (*offHeader, int, error) {
	h, words, counts := &offHeader{fields: []string{"x", "y", "z"}}, 0, []string(nil)
	for i := 0; i < len(data); {
		next := textnum.Line(data, i)
		line, _, _ := bytes.Cut(data[i:next], []byte("#"))
		i = next
		for w := range strings.FieldsSeq(string(line)) {
			if words++; words > 1 {
				if counts = append(counts, w); len(counts) > 3 {
					break
				}
				continue
			}
			letters, count, ok := offPrefix(w)
			switch {
			case ok:
				if err := h.set(letters); err != nil {
					return nil, 0, err
				}
			case strings.Trim(w, "0123456789") == "":
				count = w // without a header word
			default:
				return nil, 0, fmt.Errorf("found %.20q, want OFF", w)
			}
			if count != "" {
				counts = append(counts, count)
			}
		}
		// The three numbers are on one line, or on lines of their own.
		if len(counts) < 2 {
			continue
		}
		if counts[0] == "BINARY" {
			return nil, 0, fmt.Errorf("found OFF BINARY, want text")
		}
		var err error
		if h.vertices, err = strconv.ParseInt(counts[0], 10, 62); err != nil || h.vertices < 0 {
			return nil, 0, fmt.Errorf("found %.20q vertices, want a number", counts[0])
		}
		if len(counts) == 2 {
			if text, after := offLine(data, i); strings.Trim(text, "0123456789") == "" && text != "" {
				i = after // the number of edges on a line of its own
			}
		}
		return h, i, nil
	}
	return nil, 0, fmt.Errorf("found %q, want OFF and the numbers of vertices, faces and edges", counts)
}

// offLine returns the line at data[i:] and the index after it.
func offLine(data []byte, i int) (string, int) {
	next := textnum.Line(data, i)
	return strings.TrimSpace(string(data[i:next])), next
}

// set adds the fields of the letters before OFF. A vertex has them in the order normal, colour, texture.
func (h *offHeader) set(letters string) error {
	if strings.ContainsAny(letters, "4n") {
		return fmt.Errorf("found %sOFF, want vertices of three dimensions", letters)
	}
	if strings.Contains(letters, "N") {
		h.fields = append(h.fields, "nx", "ny", "nz")
	}
	if strings.Contains(letters, "C") {
		h.fields = append(h.fields, "red", "green", "blue", "alpha")
	}
	if strings.Contains(letters, "ST") {
		h.fields = append(h.fields, "s", "t")
	}
	return nil
}

func decodeOFF(_ string, data []byte, o ingest.Options) (*ingest.Clouds, error) {
	data = textnum.Text(data)
	h, i, err := parseOFFHeader(data)
	if err != nil {
		return nil, err
	}
	if h.vertices > int64(o.MaxPoints) {
		return nil, fmt.Errorf("found %d vertices, limit %d", h.vertices, o.MaxPoints)
	}
	most := min(h.vertices, int64(len(data)-i)/5+1) // a line needs 6 bytes at least, but for the last one
	if err := o.Take(int(most), 8*len(h.fields)); err != nil {
		return nil, err
	}
	cols := make([]columns.Column, len(h.fields))
	for k, f := range h.fields {
		cols[k] = columns.Column{Name: f, Type: columns.Float64, Values: make([]float64, most)}
	}
	rows := 0
	var bad badRows
	for rows+bad.n < int(most) {
		if (rows+bad.n)%4096 == 0 && o.Err() != nil {
			return nil, o.Err()
		}
		if i = skipComments(data, i); i >= len(data) {
			break
		}
		start, fine := i, true
		for k := range cols {
			value, next, ok := textnum.Float(data, i, 0)
			if i = next; !ok && h.fields[k] == "alpha" && atEnd(data, i) {
				continue
			}
			if !ok {
				bad.add(data[:start], k+1, textnum.Token(data, textnum.Blanks(data, i)))
				fine = false
				break
			}
			cols[k].Values[rows] = value
		}
		i = textnum.Line(data, start)
		if fine {
			rows++
		}
	}
	if err := bad.finish(rows, "vertex", "vertices", o); err != nil {
		return nil, err
	}
	if missing := h.vertices - int64(rows+bad.n); missing > 0 {
		if rows == 0 {
			return nil, fmt.Errorf("truncated: found 0 vertices, want %d", h.vertices)
		}
		o.Note("truncated: found %d of %d vertices", rows, h.vertices)
	}
	for k := range cols {
		cols[k].Values = cols[k].Values[:rows]
	}
	p, err := columns.Cloud(rows, cols, o)
	if err != nil {
		return nil, err
	}
	if o.Faces && int64(rows) == h.vertices {
		p.Faces = offFaces(data, i, rows, o)
	}
	return &ingest.Clouds{Fields: h.fields, Clouds: []*ingest.PointCloud{p}}, nil
}

// skipComments advances to the next line with content.
func skipComments(data []byte, i int) int {
	for {
		i = textnum.Blanks(data, i)
		if i >= len(data) || data[i] != '\n' && data[i] != '#' {
			return i
		}
		i = textnum.Line(data, i)
	}
}

func atEnd(data []byte, i int) bool {
	i = textnum.Blanks(data, i)
	return i >= len(data) || data[i] == '\n' || data[i] == '#'
}
