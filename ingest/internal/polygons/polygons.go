// Package polygons collects the faces of meshes as triangles.
package polygons

import (
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
)

// List holds the triangles of polygons whose corners are among some vertices.
type List struct {
	options   ingest.Options
	vertices  int
	triangles [][3]int32
}

// New returns an empty list. Memory is taken from the account of o.
func New(vertices int, o ingest.Options) *List { return &List{options: o, vertices: vertices} }

// Add adds a polygon, given as the indices of its corners, as a fan of triangles around its first corner. Polygons of
// fewer than three corners are left out.
func (l *List) Add(corners []int64) error {
	for _, c := range corners {
		if c < 0 || c >= int64(l.vertices) {
			return fmt.Errorf("found corner %d, want one of %d vertices", c, l.vertices)
		}
	}
	for k := 2; k < len(corners); k++ {
		if n := len(l.triangles); n == cap(l.triangles) {
			if n%4096 == 0 && l.options.Err() != nil {
				return l.options.Err()
			}
			grown := max(1024, 2*n)
			if err := l.options.Take(grown-n, 12); err != nil {
				return err
			}
			l.triangles = append(make([][3]int32, 0, grown), l.triangles...)
		}
		l.triangles = append(l.triangles, [3]int32{int32(corners[0]), int32(corners[k-1]), int32(corners[k])})
	}
	return nil
}

// Triangles returns the triangles. If the faces could not be read to their end, a note says why, and there are none.
func (l *List) Triangles(err error) [][3]int32 {
	if err != nil {
		l.options.Note("faces are left out: %v", err)
		return nil
	}
	return l.triangles
}
