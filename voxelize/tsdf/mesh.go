package tsdf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Mesh is a triangle mesh.
type Mesh struct {
	// Vertices are x, y, z in metres. RGB holds the colours of the vertices, or is nil.
	Vertices [][3]float32
	RGB      [][3]uint8
	// Triangles hold three vertex indices, counter-clockwise as seen from in front of the surface.
	Triangles [][3]uint32
}

// The corners of a cube are numbered by bits: 1 along x, 2 along y, 4 along z. edges lists the twelve pairs of
// neighbouring corners, along x first, then y, then z. edgeOf is its inverse.
var (
	edges  [12][2]uint8
	edgeOf [8][8]uint8
)

// cases lists the triangles in a cube, as three edges each, for each set of corners behind the surface (one bit per
// corner).
var cases = makeCases()

// makeCases derives the table of Lorensen and Cline ("Marching cubes", SIGGRAPH 1987) from the faces of a cube. On
// each face, a line separates every run of corners behind the surface from the rest: it goes from the edge where the
// run starts to the edge where it ends. The lines join into closed loops. Diagonally opposite corners of a face are
// separated individually, in both cubes that share the face, so the mesh has no holes.
func makeCases() (table [256][][3]uint8) {
	n := 0
	for axis := range 3 {
		for a := range uint8(8) {
			if b := a | 1<<axis; b != a {
				edges[n] = [2]uint8{a, b}
				edgeOf[a][b], edgeOf[b][a] = uint8(n), uint8(n)
				n++
			}
		}
	}
	const none = 255
	for set := range table {
		behind := func(corner uint8) bool { return set>>corner&1 != 0 }
		var next [12]uint8
		for e := range next {
			next[e] = none
		}
		for face := range 6 {
			q := faceCorners(face)
			for i := range q {
				before := q[(i+3)%4]
				if !behind(q[i]) || behind(before) {
					continue
				}
				j := i
				for behind(q[(j+1)%4]) {
					j = (j + 1) % 4
				}
				next[edgeOf[before][q[i]]] = edgeOf[q[j]][q[(j+1)%4]]
			}
		}
		for start := range uint8(12) {
			if next[start] == none {
				continue
			}
			var loop []uint8
			for e := start; next[e] != none; {
				loop = append(loop, e)
				e, next[e] = next[e], none
			}
			for k := 2; k < len(loop); k++ {
				table[set] = append(table[set], [3]uint8{loop[0], loop[k-1], loop[k]})
			}
		}
	}
	return table
}

// faceCorners returns the corners of a face, counter-clockwise as seen from outside the cube.
func faceCorners(face int) [4]uint8 {
	axis, far := face/2, face%2 == 1
	i, j := uint8(1)<<((axis+1)%3), uint8(1)<<((axis+2)%3)
	if far {
		k := uint8(1) << axis
		return [4]uint8{k, k | i, k | i | j, k | j}
	}
	return [4]uint8{0, j, i | j, i}
}

// errTooLarge reports a mesh whose vertices cannot be numbered with 32 bits.
var errTooLarge = errors.New("tsdf: the mesh has more than 2^32 - 2 vertices: use a smaller or coarser grid")

// Mesh extracts the surface by marching cubes. Each cube lies between eight cell centres and is skipped unless all
// eight cells were observed. Vertices lie on the cube's edges where the linearly interpolated distance is 0, and are
// shared by adjacent triangles.
func (v *Volume) Mesh() (*Mesh, error) {
	m := marcher{v: v, mesh: &Mesh{}}
	nz, ny, nx := v.o.Dims[0], v.o.Dims[1], v.o.Dims[2]
	m.offset = [8]int{0, 1, nx, nx + 1, nx * ny, nx*ny + 1, nx*ny + nx, nx*ny + nx + 1}
	for axis := range 3 {
		m.made[axis] = [2][]uint32{make([]uint32, nx*ny), make([]uint32, nx*ny)}
	}
	for z := range nz - 1 {
		for y := range ny - 1 {
			for x := range nx - 1 {
				if err := m.cube(x, y, z); err != nil {
					return nil, err
				}
			}
		}
		// The upper plane becomes the lower one.
		for axis := range 3 {
			m.made[axis][0], m.made[axis][1] = m.made[axis][1], m.made[axis][0]
			clear(m.made[axis][1])
		}
	}
	return m.mesh, nil
}

type marcher struct {
	v      *Volume
	mesh   *Mesh
	offset [8]int // of a cube's corners, relative to its first
	// made holds 1 + the vertex on each edge, or 0 if it does not exist yet. It is indexed by the axis of the edge,
	// and by the plane (lower or upper) of the current layer of cubes in which the edge starts.
	made [3][2][]uint32
}

// cube adds the triangles of the cube whose first corner is the cell (x, y, z).
func (m *marcher) cube(x, y, z int) error {
	v := m.v
	first := (z*v.o.Dims[1]+y)*v.o.Dims[2] + x
	set := 0
	for corner, off := range m.offset {
		if v.weight[first+off] == 0 {
			return nil
		}
		if v.dist[first+off] < 0 {
			set |= 1 << corner
		}
	}
	for _, t := range cases[set] {
		var triangle [3]uint32
		for k, e := range t {
			var err error
			if triangle[k], err = m.vertex(x, y, z, first, e); err != nil {
				return err
			}
		}
		m.mesh.Triangles = append(m.mesh.Triangles, triangle)
	}
	return nil
}

// vertex returns the number of the vertex on an edge of a cube, and creates it on first use.
func (m *marcher) vertex(x, y, z, first int, e uint8) (uint32, error) {
	v, mesh := m.v, m.mesh
	a, b := edges[e][0], edges[e][1]
	at := [3]int{x + int(a&1), y + int(a>>1&1), z + int(a>>2)}
	axis := int(e) / 4
	made := &m.made[axis][a>>2][at[1]*v.o.Dims[2]+at[0]]
	if *made != 0 {
		return *made - 1, nil
	}
	if len(mesh.Vertices) == math.MaxUint32-1 {
		return 0, errTooLarge
	}
	i, j := first+m.offset[a], first+m.offset[b]
	// One end is below 0 and the other is not, so the difference cannot be 0.
	part := float64(v.dist[i]) / (float64(v.dist[i]) - float64(v.dist[j]))
	var p [3]float32
	for k := range p {
		c := float64(at[k]) + 0.5
		if k == axis {
			c += part
		}
		p[k] = float32(v.o.Origin[k] + c*v.o.Edge)
	}
	mesh.Vertices = append(mesh.Vertices, p)
	if v.rgb != nil {
		var c [3]uint8
		for k := range c {
			from, to := float64(v.rgb[3*i+k]), float64(v.rgb[3*j+k])
			c[k] = uint8(from + part*(to-from) + 0.5)
		}
		mesh.RGB = append(mesh.RGB, c)
	}
	*made = uint32(len(mesh.Vertices))
	return *made - 1, nil
}

// WritePLY writes the mesh as PLY 1.0 in the format binary_little_endian.
func (m *Mesh) WritePLY(w io.Writer) error {
	b := bufio.NewWriterSize(w, 1<<16)
	colors := ""
	if m.RGB != nil {
		colors = "property uchar red\nproperty uchar green\nproperty uchar blue\n"
	}
	fmt.Fprintf(b, "ply\nformat binary_little_endian 1.0\n"+
		"element vertex %d\nproperty float x\nproperty float y\nproperty float z\n%s"+
		"element face %d\nproperty list uchar uint vertex_indices\nend_header\n", len(m.Vertices), colors,
		len(m.Triangles))
	le := binary.LittleEndian
	var buf [16]byte
	for i, p := range m.Vertices {
		out := buf[:0]
		for _, c := range p {
			out = le.AppendUint32(out, math.Float32bits(c))
		}
		if m.RGB != nil {
			out = append(out, m.RGB[i][:]...)
		}
		b.Write(out) //nolint:errcheck // Flush reports it
	}
	for _, t := range m.Triangles {
		out := append(buf[:0], 3)
		for _, i := range t {
			out = le.AppendUint32(out, i)
		}
		b.Write(out) //nolint:errcheck // Flush reports it
	}
	return b.Flush()
}
