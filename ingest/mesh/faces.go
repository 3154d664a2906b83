package mesh

import (
	"fmt"
	"math"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/polygons"
	"github.com/voxelstream/voxelstream/ingest/internal/textnum"
)

// offFaces returns the triangles of the lines from data[i:] on: the number of corners, then the corners.
func offFaces(data []byte, i, vertices int, o ingest.Options) [][3]int32 {
	found := polygons.New(vertices, o)
	read := func() error {
		var corners []int64
		for row := 0; ; row++ {
			if row%4096 == 0 && o.Err() != nil {
				return o.Err()
			}
			if i = skipComments(data, i); i >= len(data) {
				return nil
			}
			line := data[:textnum.Line(data, i)]
			n, next, ok := textnum.Float(line, i, 0)
			if !ok || !(n >= 0) || n > float64(len(line)-i) {
				return fmt.Errorf("face %d: found %.20q corners", row, textnum.Token(line, i))
			}
			corners = corners[:0]
			for range int(n) {
				var v float64
				if v, next, ok = textnum.Float(line, next, 0); !ok || v != math.Trunc(v) || math.Abs(v) > math.MaxInt32 {
					return fmt.Errorf("face %d: found a corner that is no index", row)
				}
				corners = append(corners, int64(v))
			}
			if err := found.Add(corners); err != nil {
				return fmt.Errorf("face %d: %w", row, err)
			}
			i = len(line)
		}
	}
	return found.Triangles(read())
}

// objFaces returns the triangles of the lines "f v v v", where v is the number of a vertex from 1, or from the last one
// backwards if it is negative, and may be followed by slashes and the numbers of texture coordinates and normals.
func objFaces(data []byte, vertices int, o ingest.Options) [][3]int32 {
	found := polygons.New(vertices, o)
	read := func() error {
		var corners []int64
		seen := int64(0) // vertices so far
		for i, line := 0, 1; i < len(data); i, line = textnum.Line(data, i), line+1 {
			if line%4096 == 0 && o.Err() != nil {
				return o.Err()
			}
			if vertexAt(data, i) > 0 {
				seen++
			}
			at := textnum.Blanks(data, i)
			if at+1 >= len(data) || data[at] != 'f' || data[at+1] != ' ' && data[at+1] != '\t' {
				continue
			}
			corners = corners[:0]
			for at = textnum.Blanks(data, at+1); at < len(data) && data[at] > ' ' && data[at] != '#'; {
				corner, negative, n := at, data[at] == '-', int64(0)
				if negative {
					at++
				}
				digits := at
				for ; at < len(data) && data[at] >= '0' && data[at] <= '9' && n < math.MaxInt32; at++ {
					n = 10*n + int64(data[at]-'0')
				}
				if at == digits || at < len(data) && data[at] > ' ' && data[at] != '/' {
					return fmt.Errorf("line %d: found the corner %.20q, want the number of a vertex", line,
						textnum.Token(data, corner))
				}
				if negative {
					n = seen - n + 1
				}
				corners = append(corners, n-1)
				for at < len(data) && data[at] > ' ' { // texture coordinates and normals
					at++
				}
				at = textnum.Blanks(data, at)
			}
			if err := found.Add(corners); err != nil {
				return fmt.Errorf("line %d: %w", line, err)
			}
		}
		return nil
	}
	return found.Triangles(read())
}
