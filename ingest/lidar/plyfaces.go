package lidar

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
	"github.com/voxelstream/voxelstream/ingest/internal/polygons"
	"github.com/voxelstream/voxelstream/ingest/internal/textnum"
)

// faces returns the triangles of the element "face" if it follows the vertices, which are those of element at. There are
// none if vertices were left out, because the corners are then other ones.
func (h *plyHeader) faces(data []byte, at, vertices int, o ingest.Options) [][3]int32 {
	face := slices.IndexFunc(h.elements, func(e plyElement) bool { return strings.EqualFold(e.name, "face") })
	if face < at || int64(vertices) != h.elements[at].count {
		return nil
	}
	e := &h.elements[face]
	list := slices.IndexFunc(e.props, func(p plyProperty) bool {
		return p.list && p.t < columns.Float32 && (p.name == "vertex_indices" || p.name == "vertex_index")
	})
	if list < 0 {
		return nil
	}
	found := polygons.New(vertices, o)
	if h.format == "ascii" {
		return found.Triangles(h.textFaces(textnum.Lines(data[h.body:]), face, list, found, o))
	}
	return found.Triangles(h.binaryFaces(data, face, list, found, o))
}

func (h *plyHeader) textFaces(body []byte, face, list int, found *polygons.List, o ingest.Options) error {
	i := 0
	var corners []int64
	for k := range h.elements[:face+1] {
		e := &h.elements[k]
		for row := int64(0); row < e.count; {
			if row%4096 == 0 && o.Err() != nil {
				return o.Err()
			}
			if i >= len(body) {
				return fmt.Errorf("truncated: found %d rows of %s, want %d", row, e.name, e.count)
			}
			next := textnum.Line(body, i)
			if textnum.Blanks(body, i) >= next-1 { // an empty line
				i = next
				continue
			}
			if k == face {
				var err error
				if corners, err = e.textCorners(body[:next], i, list, corners[:0]); err == nil {
					err = found.Add(corners)
				}
				if err != nil {
					return fmt.Errorf("face %d: %w", row, err)
				}
			}
			i = next
			row++
		}
	}
	return nil
}

// textCorners appends the numbers of a list in the line at b[i:].
func (e *plyElement) textCorners(b []byte, i, list int, corners []int64) ([]int64, error) {
	for k, p := range e.props[:list+1] {
		n := int64(1)
		if p.list {
			v, next, ok := textnum.Float(b, i, 0)
			if !ok || !(v >= 0) || v > plyMaxList {
				return nil, fmt.Errorf("list %s: found %.20q elements", p.name, textnum.Token(b, textnum.Blanks(b, i)))
			}
			n, i = int64(v), next
		}
		for range n {
			v, next, ok := textnum.Float(b, i, 0)
			if !ok || k == list && (v != math.Trunc(v) || math.Abs(v) > math.MaxInt32) {
				return nil, fmt.Errorf("list %s: found %.20q, want a whole number", p.name,
					textnum.Token(b, textnum.Blanks(b, i)))
			}
			if i = next; k == list {
				corners = append(corners, int64(v))
			}
		}
	}
	return corners, nil
}

func (h *plyHeader) binaryFaces(data []byte, face, list int, found *polygons.List, o ingest.Options) error {
	big, i := h.format == "binary_big_endian", int64(h.body)
	for k := range face {
		if err := h.elements[k].sized(); err != nil {
			return err
		}
		var err error
		if i, err = h.elements[k].skip(data, i, h.elements[k].count, big, o, nil); err != nil {
			return err
		}
	}
	e := &h.elements[face]
	if err := e.sized(); err != nil {
		return err
	}
	var corners []int64
	for row := range e.count {
		if row%4096 == 0 && o.Err() != nil {
			return o.Err()
		}
		next, err := e.skipRow(data, i, row, big) // whose end is within the data
		if err != nil {
			return err
		}
		for k, p := range e.props[:list+1] {
			n, size := int64(1), int64(p.t.Size())
			if p.list {
				n = plyCount(data[i:], p.countType, big)
				i += int64(p.countType.Size())
			}
			if k == list {
				corners = corners[:0]
				for c := range n {
					corners = append(corners, plyCount(data[i+c*size:], p.t, big))
				}
			}
			i += n * size
		}
		if err := found.Add(corners); err != nil {
			return fmt.Errorf("face %d: %w", row, err)
		}
		i = next
	}
	return nil
}
