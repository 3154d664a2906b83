package ingest

import (
	"errors"
	"slices"
)

// errNoCamera says what a user can do about a frame whose camera is unknown.
var errNoCamera = errors.New("camera unknown: give fx, fy, cx and cy")

// Valid says whether the camera is known.
func (c Intrinsics) Valid() bool { return c.Fx > 0 && c.Fy > 0 }

// Points projects the pixels that have a depth, row by row, into the camera's optical axes: +X right, +Y down, +Z forward. Where the frame
// has a Pose, the points are in the world's axes.
//
//	x = (u - cx) / fx * z,  y = (v - cy) / fy * z
//
// A lens is taken into account; pixels that no ray reaches through it are left out.
func (f *Frame) Points() (*PointCloud, error) {
	var p PointCloud
	if err := f.AppendPoints(&p); err != nil {
		return nil, err
	}
	return &p, nil
}

// AppendPoints is Points into a cloud whose memory is used again: set its columns to length 0 between frames. A cloud that holds points
// with colours takes only frames with colours, and the other way round.
func (f *Frame) AppendPoints(p *PointCloud) error {
	if !f.Cam.Valid() {
		return errNoCamera
	}
	n := p.Len()
	colored := f.Color != nil
	if n > 0 && colored != (p.R != nil) {
		return errors.New("colours: found only some of the frames with them")
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

// projectStraight projects a frame without a lens into columns from n on, and gives the index behind the last point.
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

// projectRow writes every pixel and moves on only behind the valid ones: no branch depends on the data, which is what makes it fast on
// real frames, whose holes no processor predicts.
func projectRow(x, y, z []float64, n int, row []Metres, tan []float64, ty float64) int {
	end := n + len(row)
	x, y, z = x[:end], y[:end], z[:end]
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

// grow gives s room for n values, and that length.
func grow[T any](s []T, n int) []T {
	return slices.Grow(s, n-len(s))[:n]
}
