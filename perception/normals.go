package perception

import (
	"context"
	"math"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/perception/internal/kdtree"
)

// Normals estimates the normals of the surface at each point.
var Normals = Step{
	Name: "normals",
	Doc: "Computes the normal of each point: the direction in which its neighbours vary least (principal component " +
		"analysis), pointing towards the sensor. Points whose neighbours lie on a line get none.",
	Makes: Filters,
	Options: func() any {
		o := defaultNormals
		return &o
	},
	New: func(o Options) (func(ctx context.Context, s *Scene) error, error) {
		c := OptionsOf(o, defaultNormals)
		return c.run, nil
	},
}

var defaultNormals = normalsOptions{Neighbours: 20}

type normalsOptions struct {
	Neighbours int     `yaml:"normals_neighbours" min:"3" max:"1000" doc:"Number of nearest points, including the point itself, from which step normals computes a normal."`
	Radius     float64 `yaml:"normals_radius" min:"0" doc:"Distance in metres beyond which points have no influence on a normal. 0 means no limit."`
}

func (o *normalsOptions) run(ctx context.Context, s *Scene) error {
	normals := make([][3]float32, s.Cloud.Len())
	farthest := float32(math.Inf(1))
	if o.Radius > 0 {
		farthest = float32(o.Radius * o.Radius)
	}
	err := nearest(ctx, s.Cloud, o.Neighbours, func(t *kdtree.Tree, position int, near []kdtree.Neighbour) {
		x, y, z := t.X[position], t.Y[position], t.Z[position]
		var m moments
		for _, n := range near {
			if p := n.Position(); n.Squared() <= farthest {
				m.add(t.X[p]-x, t.Y[p]-y, t.Z[p]-z)
			}
		}
		normals[t.Points[position]] = m.normal(x, y, z)
	})
	if err == nil {
		s.Normals = normals
	}
	return err
}

// nearest calls visit for each point of a cloud, concurrently, with its k nearest neighbours, itself included.
func nearest(ctx context.Context, c *ingest.PointCloud, k int,
	visit func(t *kdtree.Tree, position int, near []kdtree.Neighbour),
) error {
	t, err := kdtree.New(c.X, c.Y, c.Z)
	if err != nil {
		return err
	}
	return parallel(ctx, t.Blocks(), 256, func(from, to int) {
		t.Nearest(k, from, to, func(position int, near []kdtree.Neighbour) { visit(t, position, near) })
	})
}

// normal returns the eigenvector of the smallest eigenvalue of the covariance of the neighbours of the point p, on the
// side of the sensor; zeros if the neighbours are on a line or in one place.
func (m *moments) normal(px, py, pz float64) [3]float32 {
	if m.n < 3 {
		return [3]float32{}
	}
	x, y, z := m.x/m.n, m.y/m.n, m.z/m.n
	v := symmetric{
		m.xx/m.n - x*x, m.xy/m.n - x*y, m.xz/m.n - x*z,
		m.yy/m.n - y*y, m.yz/m.n - y*z,
		m.zz/m.n - z*z,
	}
	n, ok := v.least()
	if !ok {
		return [3]float32{}
	}
	if n[0]*px+n[1]*py+n[2]*pz > 0 {
		n[0], n[1], n[2] = -n[0], -n[1], -n[2]
	}
	return [3]float32{float32(n[0]), float32(n[1]), float32(n[2])}
}

// symmetric is a symmetric matrix of 3 x 3.
type symmetric struct{ xx, xy, xz, yy, yz, zz float64 }

// least returns the unit eigenvector of the smallest eigenvalue of a matrix without negative eigenvalues. ok is false
// if the two smallest are equal within the rounding errors. The eigenvalues are those of O. K. Smith, Eigenvalues of a
// symmetric 3 x 3 matrix, Communications of the ACM 4 (1961), and the eigenvector is perpendicular to the rows of the
// matrix from which its eigenvalue is subtracted.
func (m symmetric) least() (v [3]float64, ok bool) {
	scale := m.xx + m.yy + m.zz
	if !(scale > 0) || math.IsInf(scale, 0) {
		return v, false
	}
	a := symmetric{m.xx / scale, m.xy / scale, m.xz / scale, m.yy / scale, m.yz / scale, m.zz / scale}
	const mean = 1.0 / 3
	xx, yy, zz := a.xx-mean, a.yy-mean, a.zz-mean
	off := a.xy*a.xy + a.xz*a.xz + a.yz*a.yz
	p := math.Sqrt((xx*xx + yy*yy + zz*zz + 2*off) / 6)
	if p == 0 {
		return v, false // a ball
	}
	det := xx*(yy*zz-a.yz*a.yz) - a.xy*(a.xy*zz-a.yz*a.xz) + a.xz*(a.xy*a.yz-yy*a.xz)
	half := max(-1, min(1, det/(2*p*p*p)))
	angle := math.Acos(half) / 3
	largest := mean + 2*p*math.Cos(angle)
	smallest := mean + 2*p*math.Cos(angle+2*math.Pi/3)
	middle := 1 - largest - smallest
	if middle-smallest < 1e-7 {
		return v, false
	}
	// The cross product of the two rows that are least parallel.
	r0 := [3]float64{a.xx - smallest, a.xy, a.xz}
	r1 := [3]float64{a.xy, a.yy - smallest, a.yz}
	r2 := [3]float64{a.xz, a.yz, a.zz - smallest}
	longest := 0.0
	for _, c := range [][3]float64{cross(r0, r1), cross(r0, r2), cross(r1, r2)} {
		if l := c[0]*c[0] + c[1]*c[1] + c[2]*c[2]; l > longest {
			v, longest = c, l
		}
	}
	l := math.Sqrt(longest)
	return [3]float64{v[0] / l, v[1] / l, v[2] / l}, longest > 0
}

func cross(a, b [3]float64) [3]float64 {
	return [3]float64{a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]}
}
