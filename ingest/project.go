package ingest

import (
	"errors"
	"slices"
)

// errNoCamera tells users what to do about a frame with an unknown camera.
var errNoCamera = errors.New("camera unknown: set ingest.fx, fy, cx and cy (--fx, --fy, --cx and --cy)")

// Valid reports whether the camera is known.
func (c Intrinsics) Valid() bool { return c.Fx > 0 && c.Fy > 0 }

// Points projects the pixels that have a depth, row by row, into the camera's optical axes: +X right, +Y down, +Z
// forward. If the frame has a Pose, the points are in the world's axes.
//
//	x = (u - cx) / fx * z,  y = (v - cy) / fy * z
//
// Lens distortion is corrected; pixels that no ray reaches are skipped.
func (f *Frame) Points() (*PointCloud, error) {
	var p PointCloud
	if err := f.AppendPoints(&p); err != nil {
		return nil, err
	}
	return &p, nil
}

// AppendPoints is like Points but appends to a cloud, whose memory can be reused: set its columns to length 0
// between frames. A cloud with colours accepts only frames with colours, and vice versa.
func (f *Frame) AppendPoints(p *PointCloud) error {
	if !f.Cam.Valid() {
		return errNoCamera
	}
	n := p.Len()
	colored := f.Color != nil
	if n > 0 && colored != (p.R != nil) {
		return errors.New("colours: found frames with and without colours, want the same for all")
	}
	room := n + f.Width*f.Height
	x, y, z := grow(p.X, room), grow(p.Y, room), grow(p.Z, room)
	var r, g, b []uint8
	if colored {
		r, g, b = grow(p.R, room), grow(p.G, room), grow(p.B, room)
	}
	var bent *rays
	if f.Cam.Lens.Model == Straight {
		n = f.projectStraight(x, y, z, n)
	} else {
		bent = raysOf(f.Cam, f.Width, f.Height)
		n = bent.project(f.Depth, x, y, z, n)
	}
	if colored {
		at := p.Len()
		for i, d := range f.Depth {
			if d > 0 && bent.reach(i) {
				c := &f.Color[i]
				r[at], g[at], b[at] = c.R, c.G, c.B
				at++
			}
		}
	}
	if f.Pose != nil {
		for i := p.Len(); i < n; i++ {
			x[i], y[i], z[i] = f.Pose.Apply(x[i], y[i], z[i])
		}
	}
	p.X, p.Y, p.Z = x[:n], y[:n], z[:n]
	if colored {
		p.R, p.G, p.B = r[:n], g[:n], b[:n]
	}
	return nil
}

// Pixels returns the index in Depth of each point that [Frame.Points] returns.
func (f *Frame) Pixels() []int32 {
	var bent *rays
	if f.Cam.Lens.Model != Straight {
		bent = raysOf(f.Cam, f.Width, f.Height)
	}
	out := make([]int32, 0, len(f.Depth))
	for i, d := range f.Depth {
		if d > 0 && bent.reach(i) {
			out = append(out, int32(i))
		}
	}
	return out
}

// projectStraight projects a frame without a lens into columns from index n, and returns the index after the last
// point.
func (f *Frame) projectStraight(x, y, z []float64, n int) int {
	tan := make([]float64, f.Width)
	for u := range tan {
		tan[u] = (float64(u) - f.Cam.Cx) / f.Cam.Fx
	}
	for v := range f.Height {
		n = projectRow(x, y, z, n, f.Depth[v*f.Width:][:f.Width], tan, (float64(v)-f.Cam.Cy)/f.Cam.Fy)
	}
	return n
}

// projectRow writes the valid pixels of a row to columns from index n, and returns the index after the last. If all
// of eight neighbours are valid, the most frequent case, the compiler needs no bounds checks for them. Otherwise it
// writes every pixel but advances only after valid ones, so that no branch depends on single holes, which
// processors cannot predict.
func projectRow(x, y, z []float64, n int, row []Metres, tan []float64, ty float64) int {
	end := n + len(row)
	x, y, z = x[:end], y[:end], z[:end]
	tan = tan[:len(row)]
	for len(row) >= 8 {
		d, t := (*[8]Metres)(row), (*[8]float64)(tan)
		if d[0] > 0 && d[1] > 0 && d[2] > 0 && d[3] > 0 && d[4] > 0 && d[5] > 0 && d[6] > 0 && d[7] > 0 {
			px, py, pz := (*[8]float64)(x[n:]), (*[8]float64)(y[n:]), (*[8]float64)(z[n:])
			for k := range d {
				w := float64(d[k])
				px[k], py[k], pz[k] = t[k]*w, ty*w, w
			}
			n += 8
		} else {
			n = projectFew(x, y, z, n, row[:8], tan, ty)
		}
		row, tan = row[8:], tan[8:]
	}
	return projectFew(x, y, z, n, row, tan, ty)
}

func projectFew(x, y, z []float64, n int, row []Metres, tan []float64, ty float64) int {
	tan = tan[:len(row)]
	for u, d := range row {
		w := float64(d)
		x[n], y[n], z[n] = tan[u]*w, ty*w, w
		if d > 0 {
			n++
		}
	}
	return n
}

// grow returns s with length n, reallocated if necessary.
func grow[T any](s []T, n int) []T {
	return slices.Grow(s, n-len(s))[:n]
}
