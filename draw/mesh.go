package draw

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"math"

	"github.com/voxelstream/voxelstream/ingest"
)

// clay is the colour of surfaces without one.
var clay = color.RGBA{176, 190, 208, 255}

// mesh is a surface of triangles being drawn.
type mesh struct {
	*ingest.PointCloud
	lo, hi  vec
	normals []vec // of the vertices, of any length
}

func newMesh(p *ingest.PointCloud) (*mesh, error) {
	m := &mesh{PointCloud: p, normals: make([]vec, p.Len())}
	n := 0
	if m.lo, m.hi, n = p.Bounds(); n == 0 {
		return nil, fmt.Errorf("found no finite vertex to draw")
	}
	for _, f := range p.Faces {
		// The length of the product is twice the area, so that large faces count more.
		normal := cross(sub(m.at(f[1]), m.at(f[0])), sub(m.at(f[2]), m.at(f[0])))
		if !finite(dot(normal, normal)) {
			continue
		}
		for _, v := range f {
			m.normals[v] = add(m.normals[v], normal)
		}
	}
	return m, nil
}

func (m *mesh) at(i int32) vec { return vec{m.X[i], m.Y[i], m.Z[i]} }

// mostLayers is how often triangles may cover each sample of an image on average. Surfaces of things cover it a few times,
// and dense scans of trees some tens of times. What covers it more often would take minutes to draw.
const mostLayers = 50

// view draws the triangles, lit from the upper left of the viewer. Edges between faces that meet at more than about 45
// degrees stay sharp; other faces pass smoothly into each other. It is an error if faces overlap too much.
func (m *mesh) view(ctx context.Context, cam *camera, b *buffer) error {
	floor(b, cam, m.lo, m.hi, color.RGBA{198, 205, 216, 255})
	lamp := unit(add(add(scale(cam.right, -0.5), scale(cam.up, 0.75)), scale(cam.ahead, -0.9)))
	sharp := math.Cos(math.Pi / 4)
	most := mostLayers*b.w*b.h + 16*len(m.Faces) // the smallest faces try up to 16 samples around them
	for i, f := range m.Faces {
		if ended(ctx, i) {
			return ctx.Err()
		}
		flat := unit(cross(sub(m.at(f[1]), m.at(f[0])), sub(m.at(f[2]), m.at(f[0]))))
		if !finite(dot(flat, flat)) { // the area is outside the range of numbers
			continue
		}
		var corners triangle
		seen := true
		for k, v := range f {
			c := &corners[k]
			var ok bool
			if c.x, c.y, c.z, ok = cam.project(m.at(v)); !ok {
				seen = false
				break
			}
			normal := unit(m.normals[v])
			if dot(normal, flat) < sharp {
				normal = flat
			}
			if dot(normal, sub(m.at(v), cam.eye)) > 0 { // both sides are lit
				normal = scale(normal, -1)
			}
			brightness := 0.42 + 0.08*normal[2] + 0.5*max(0, dot(normal, lamp))
			base := clay
			if m.R != nil {
				base = color.RGBA{m.R[v], m.G[v], m.B[v], 255}
			}
			c.rgb = vec{float64(base.R) * brightness, float64(base.G) * brightness, float64(base.B) * brightness}
		}
		if seen {
			b.triangle(corners)
		}
		if b.tried > most {
			return fmt.Errorf("faces overlap too much to draw: they cover the image more than %d times", mostLayers)
		}
	}
	b.lightEyes(2, 4)
	return nil
}

// lit is a corner of a triangle: its place in samples, its depth and its colour.
type lit struct {
	x, y, z float64
	rgb     vec
}

// triangle is its three corners.
type triangle [3]lit

// across returns the part of a row of samples that is within a triangle, up to rounding, or from > to if there is none.
// left and right are the ends of the triangle.
func (c *triangle) across(y, left, right float64) (from, to float64) {
	from, to = right, left
	for k := range c {
		p, q := &c[k], &c[(k+1)%3]
		switch {
		case y < min(p.y, q.y), y > max(p.y, q.y):
		case p.y == q.y:
			from, to = min(from, p.x, q.x), max(to, p.x, q.x)
		default:
			x := p.x + (q.x-p.x)*((y-p.y)/(q.y-p.y))
			from, to = min(from, x), max(to, x)
		}
	}
	return max(from, left), min(to, right)
}

// triangle draws a triangle, whose colours are interpolated.
func (b *buffer) triangle(c triangle) {
	area := (c[1].x-c[0].x)*(c[2].y-c[0].y) - (c[2].x-c[0].x)*(c[1].y-c[0].y)
	if area == 0 || !finite(area) {
		return
	}
	left, right := min(c[0].x, c[1].x, c[2].x), max(c[0].x, c[1].x, c[2].x)
	top, bottom := min(c[0].y, c[1].y, c[2].y), max(c[0].y, c[1].y, c[2].y)
	if right < 0 || bottom < 0 || left > float64(b.w) || top > float64(b.h) {
		return
	}
	y0, y1 := int(max(0, math.Floor(top))), int(min(float64(b.h-1), math.Ceil(bottom)))
	for y := y0; y <= y1; y++ {
		from, to := c.across(float64(y)+0.5, left, right)
		x0 := int(min(float64(b.w), max(0, math.Floor(from-1))))
		x1 := int(max(-1, min(float64(b.w-1), math.Ceil(to+1))))
		b.tried += 1 + max(0, x1-x0)
		for x := x0; x <= x1; x++ {
			px, py := float64(x)+0.5, float64(y)+0.5
			u := ((c[1].x-px)*(c[2].y-py) - (c[2].x-px)*(c[1].y-py)) / area
			v := ((c[2].x-px)*(c[0].y-py) - (c[0].x-px)*(c[2].y-py)) / area
			w := 1 - u - v
			if u < 0 || v < 0 || w < 0 {
				continue
			}
			// In perspective, what is linear in the image is the inverse of the depth.
			a, e, i := u/c[0].z, v/c[1].z, w/c[2].z
			z := 1 / (a + e + i)
			if !finite(z) {
				continue
			}
			rgb := scale(add(add(scale(c[0].rgb, a), scale(c[1].rgb, e)), scale(c[2].rgb, i)), z)
			b.set(x, y, z, color.RGBA{uint8(rgb[0] + 0.5), uint8(rgb[1] + 0.5), uint8(rgb[2] + 0.5), 255})
		}
	}
}

// drawMesh draws a surface from two sides, or a turn.
func drawMesh(ctx context.Context, p *ingest.PointCloud, o *Options) (*Picture, error) {
	m, err := newMesh(p)
	if err != nil {
		return nil, err
	}
	below := fmt.Sprintf("%d vertices, %s", p.Len(), countOf(len(p.Faces), "triangle"))
	size := sub(m.hi, m.lo)
	remark := fmt.Sprintf("%s x %s x %s of the file's unit. Lines of the floor: every %s",
		rounded(size[0]), rounded(size[1]), rounded(size[2]), number(gridStep(m.lo, m.hi)))
	if o.Turn {
		return turn(ctx, o.Title, below, remark, nil, light, turning(m.lo, m.hi), frontRight, m.view)
	}
	const side = 520.0
	s := newSheet(margin+side+margin+side+margin, headSize+nameSize+side+34)
	s.head(o.Title, below)
	for i, name := range []string{"From the front right", "From the back left"} {
		x := margin + float64(i)*(side+margin)
		s.name(x, headSize+nameSize, name)
		azimuth := frontRight + float64(i)*math.Pi
		err := s.perspective(ctx, x, headSize+nameSize, side, side, light, corners(m.lo, m.hi), azimuth, m.view)
		if err != nil {
			return nil, err
		}
	}
	s.foot(margin, headSize+nameSize+side, remark)
	return &Picture{[]*image.RGBA{s.img}}, nil
}

// rounded writes a measure with three digits.
func rounded(x float64) string { return fmt.Sprintf("%.3g", x) }
