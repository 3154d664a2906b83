package mesh

import (
	"bytes"
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
	"github.com/voxelstream/voxelstream/ingest/internal/textnum"
)

// OBJ is Wavefront's text: each line "v x y z" is a vertex, followed by "red green blue" of 0..1 in files of
// scanners. Texture coordinates, normals, faces and materials are skipped. http://paulbourke.net/dataformats/obj/
var OBJ = ingest.CloudFormat(ingest.Format{
	Name:       "obj",
	Doc:        "vertices, with colours",
	Extensions: []string{".obj"},
	Tested:     "trimesh cube.OBJ",
	Detect:     detectOBJ,
}, decodeOBJ)

func detectOBJ(h *ingest.Head) ingest.Confidence {
	vertices := 0
	for line := range bytes.Lines(h.Bytes) {
		word, rest, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		switch string(word) {
		case "v":
			if _, _, ok := textnum.Float(rest, 0, 0); !ok {
				return ingest.No
			}
			vertices++
		case "", "mtllib", "usemtl", "o", "g", "s", "vn", "vt", "vp", "f", "l", "p":
		default:
			if word[0] == '#' {
				continue
			}
			// The last line of a head may be incomplete.
			if !bytes.HasSuffix(line, []byte("\n")) && len(h.Bytes) == ingest.HeadBytes {
				continue
			}
			return ingest.No
		}
	}
	if vertices == 0 {
		return ingest.No
	}
	return ingest.Likely
}

func decodeOBJ(_ string, data []byte, o ingest.Options) (*ingest.Clouds, error) {
	n := 0
	for i := 0; i < len(data); i = textnum.Line(data, i) {
		if isVertex(data, i) {
			n++
		}
	}
	if n > o.MaxPoints {
		return nil, fmt.Errorf("found %d vertices, limit %d", n, o.MaxPoints)
	}
	names := []string{"x", "y", "z", "red", "green", "blue"}
	cols := make([]columns.Column, len(names))
	for k, f := range names {
		cols[k] = columns.Column{Name: f, Type: columns.Float64, Values: make([]float64, n)}
	}
	v, line, colored := 0, 0, 0
	for i := 0; i < len(data); i = textnum.Line(data, i) {
		line++
		if !isVertex(data, i) {
			continue
		}
		at, k := i+1, 0
		for ; k < len(cols); k++ {
			var ok bool
			if cols[k].Values[v], at, ok = textnum.Float(data, at, 0); !ok {
				break
			}
		}
		if k < 3 {
			return nil, fmt.Errorf("line %d, value %d: found %q, want a number", line, k+1, textnum.Token(data, at))
		}
		if k == len(cols) {
			colored++
		}
		v++
	}
	if colored != n || n == 0 {
		cols, names = cols[:3], names[:3] // a fourth value is a weight
	}
	p, err := columns.Cloud(n, cols)
	if err != nil {
		return nil, err
	}
	return &ingest.Clouds{Fields: names, Clouds: []*ingest.PointCloud{p}}, nil
}

func isVertex(data []byte, i int) bool {
	return i+1 < len(data) && data[i] == 'v' && (data[i+1] == ' ' || data[i+1] == '\t')
}
