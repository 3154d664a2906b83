package mesh

import (
	"bytes"
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
	"github.com/voxelstream/voxelstream/ingest/internal/textnum"
)

// OBJ is Wavefront's text: each line "v x y z" is a vertex, followed by "red green blue" of 0..1 in files of
// scanners. A line that ends with a backslash goes on in the next. Texture coordinates, normals and materials are
// skipped, and so are faces unless Options.Faces asks for them. http://paulbourke.net/dataformats/obj/
var OBJ = ingest.CloudFormat(ingest.Format{
	Name: "obj",
	Doc:  "vertices, with colours, and faces for pictures",
	Assumes: "a fourth coordinate is a weight and is not applied; damaged vertices are left out if they are the " +
		"minority",
	Extensions: []string{".obj"},
	Tested:     "trimesh cube.OBJ",
	Detect:     detectOBJ,
}, decodeOBJ)

// objWords are the first words of the lines of a file.
var objWords = map[string]bool{
	"v": true, "vn": true, "vt": true, "vp": true, "f": true, "fo": true, "l": true, "p": true, "o": true, "g": true,
	"s": true, "mg": true, "mtllib": true, "usemtl": true, "maplib": true, "usemap": true, "cstype": true, "deg": true,
	"bmat": true, "step": true, "curv": true, "curv2": true, "surf": true, "parm": true, "trim": true, "hole": true,
	"scrv": true, "sp": true, "end": true, "con": true, "bevel": true, "c_interp": true, "d_interp": true, "lod": true,
	"shadow_obj": true, "trace_obj": true, "ctech": true, "stech": true, "call": true, "csh": true,
}

func detectOBJ(h *ingest.Head) ingest.Confidence {
	b := joinLines(textnum.Text(h.Bytes))
	if h.IsDir() || bytes.IndexByte(b, 0) >= 0 {
		return ingest.No
	}
	known, vertices, other := 0, 0, 0
	for line := range bytes.Lines(b) {
		words := bytes.Fields(line)
		whole := bytes.HasSuffix(line, []byte("\n")) || len(h.Bytes) < ingest.HeadBytes
		switch {
		case len(words) == 0 || words[0][0] == '#' || !whole:
		case string(words[0]) == "v":
			if len(words) > 3 {
				if _, _, ok := textnum.Float(words[1], 0, 0); ok {
					vertices++
				}
			}
			known++
		case objWords[string(words[0])]:
			known++
		default:
			other++
		}
	}
	named := h.Ext == ".obj"
	switch {
	case known == 0:
		return ingest.No
	case vertices > 0 && other == 0, named && known > other:
		return ingest.Likely
	}
	return ingest.No
}

// joinLines turns a backslash at the end of a line, and the line feed, into blanks. All offsets remain.
func joinLines(b []byte) []byte {
	cloned := false
	for i := 0; ; {
		n := bytes.IndexByte(b[i:], '\\')
		if n < 0 {
			return b
		}
		i += n
		end := i + 1
		if end < len(b) && b[end] == '\r' {
			end++
		}
		if end < len(b) && b[end] == '\n' {
			if !cloned {
				b, cloned = bytes.Clone(b), true
			}
			b[i], b[end] = ' ', ' '
		}
		i = end
	}
}

func decodeOBJ(_ string, data []byte, o ingest.Options) (*ingest.Clouds, error) {
	lines := textnum.Text(data)
	data = joinLines(lines)
	n := 0
	for i, line := 0, 0; i < len(data); i, line = textnum.Line(data, i), line+1 {
		if line%4096 == 0 && o.Err() != nil {
			return nil, o.Err()
		}
		if vertexAt(data, i) > 0 {
			n++
		}
	}
	if n > o.MaxPoints {
		return nil, fmt.Errorf("found %d vertices, limit %d", n, o.MaxPoints)
	}
	names := []string{"x", "y", "z", "red", "green", "blue"}
	if err := o.Take(n, 8*len(names)); err != nil {
		return nil, err
	}
	cols := make([]columns.Column, len(names))
	for k, f := range names {
		cols[k] = columns.Column{Name: f, Type: columns.Float64, Values: make([]float64, n)}
	}
	v, colored, weights := 0, 0, 0
	var bad badRows
	for i, line := 0, 0; i < len(data); i, line = textnum.Line(data, i), line+1 {
		if line%4096 == 0 && o.Err() != nil {
			return nil, o.Err()
		}
		at, k := vertexAt(data, i), 0
		if at == 0 {
			continue
		}
		for ; k < len(cols); k++ {
			value, next, ok := textnum.Float(data, at, 0)
			if at = next; !ok {
				break
			}
			cols[k].Values[v] = value
		}
		if k < 3 {
			bad.add(lines[:i], k+1, textnum.Token(data, textnum.Blanks(data, at)))
			continue
		}
		switch {
		case k == len(cols):
			colored++
		case k == 4 && cols[3].Values[v] != 1:
			weights++
		}
		v++
	}
	if err := bad.finish(v, "vertex", "vertices", o); err != nil {
		return nil, err
	}
	if weights > 0 {
		o.Note("a fourth coordinate (weight) is not applied")
	}
	if colored != v || v == 0 {
		cols, names = cols[:3], names[:3]
		if colored > 0 {
			o.Note("colours are left out: %d of %d vertices have them", colored, v)
		}
	}
	for k := range cols {
		cols[k].Values = cols[k].Values[:v]
	}
	p, err := columns.Cloud(v, cols, o)
	if err != nil {
		return nil, err
	}
	if o.Faces && v == n {
		p.Faces = objFaces(data, v, o)
	}
	return &ingest.Clouds{Fields: names, Clouds: []*ingest.PointCloud{p}}, nil
}

// vertexAt returns the index after the "v" of the line at data[i:], 0 if it is no vertex.
func vertexAt(data []byte, i int) int {
	i = textnum.Blanks(data, i)
	if i+1 < len(data) && data[i] == 'v' && (data[i+1] == ' ' || data[i+1] == '\t') {
		return i + 1
	}
	return 0
}

// badRows counts the lines that are left out.
type badRows struct {
	n     int
	fault error
}

// add takes a line that is left out: what precedes it in the file, and what is wrong with it.
func (b *badRows) add(before []byte, value int, token string) {
	if b.n++; b.fault == nil {
		line := 1 + bytes.Count(before, []byte("\n"))
		b.fault = fmt.Errorf("line %d, value %d: found %q, want a number", line, value, token)
	}
}

// finish notes what was left out. More bad rows than good ones are an error.
func (b *badRows) finish(good int, one, many string, o ingest.Options) error {
	switch {
	case b.n > good:
		return b.fault
	case b.n == 1:
		o.Note("1 %s left out: %v", one, b.fault)
	case b.n > 1:
		o.Note("%d %s left out: %v", b.n, many, b.fault)
	}
	return nil
}
