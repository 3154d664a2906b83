package ingest

import (
	"image/color"
	"math"
	"testing"
)

// lenses are of real cameras: the Kinect v2 and the Kinect v1 of formats, a Tango phone, and a fisheye of 120 degrees.
func lenses() map[string]Intrinsics {
	return map[string]Intrinsics{
		"kinect v2": {Fx: 365.456, Fy: 365.456, Cx: 254.878, Cy: 205.395, Lens: Brown(0.0905474, -0.26819, 0, 0, 0.0950862)},
		"kinect v1": {
			Fx: 594.21434, Fy: 591.04054, Cx: 339.30781, Cy: 242.73914,
			Lens: Brown(-0.26386489753128833, 0.99966832163729757, -0.00076275862143610667, 0.0050350940090814270,
				-1.3053628089976321),
		},
		"tango": {
			Fx: 212.983, Fy: 212.983, Cx: 112.211, Cy: 84.7216,
			Lens: Brown(-0.149772, -1.22478, 0.000850621, -0.00134066, 2.57497),
		},
		"fisheye": {
			Fx: 300, Fy: 301, Cx: 320, Cy: 240,
			Lens: Lens{Model: Fisheye, K: [6]float64{-0.02, 0.003, -0.001, 0.0001}},
		},
		"straight": {Fx: 500, Fy: 500, Cx: 320, Cy: 240},
	}
}

func TestUndistortInverts(t *testing.T) {
	for name, cam := range lenses() {
		for _, at := range [][2]float64{{0, 0}, {1e-14, 0}, {0.1, -0.05}, {-0.3, 0.3}, {0.45, 0.1}} {
			xd, yd := cam.Lens.Distort(at[0], at[1])
			x, y, ok := cam.Lens.Undistort(xd, yd)
			if !ok || math.Hypot(x-at[0], y-at[1]) > 1e-9 {
				t.Errorf("%s at %v: found %g %g %v behind %g %g", name, at, x, y, ok, xd, yd)
			}
		}
	}
}

// TestDistortByHand: numbers that can be followed.
func TestDistortByHand(t *testing.T) {
	for name, c := range map[string]struct {
		lens Lens
		want [2]float64
	}{
		"k1":       {Brown(0.1), [2]float64{0.5125, 0}},      // r^2 = 0.25
		"k2":       {Brown(0, 0.1), [2]float64{0.503125, 0}}, // r^4 = 0.0625
		"k3":       {Brown(0, 0, 0, 0, 0.1), [2]float64{0.50078125, 0}},
		"p1":       {Brown(0, 0, 0.1), [2]float64{0.5, 0.025}},                // r^2 p1
		"p2":       {Brown(0, 0, 0, 0.1), [2]float64{0.575, 0}},               // 3 x^2 p2
		"k4":       {Brown(0, 0, 0, 0, 0, 1), [2]float64{0.4, 0}},             // over 1.25
		"fisheye":  {Lens{Model: Fisheye}, [2]float64{0.4636476090008061, 0}}, // atan 0.5
		"straight": {Brown(), [2]float64{0.5, 0}},
	} {
		if x, y := c.lens.Distort(0.5, 0); math.Abs(x-c.want[0])+math.Abs(y-c.want[1]) > 1e-12 {
			t.Errorf("%s: found %g %g, want %v", name, x, y, c.want)
		}
	}
}

// TestNoRay: a lens that bends everything inward has no ray for tangents beyond its turning point, and those pixels
// have no point.
func TestNoRay(t *testing.T) {
	inward := Brown(-1)
	if _, _, ok := inward.Undistort(0.5, 0); ok { // x - x^3 is 0.385 at most
		t.Error("found a ray")
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		if _, _, ok := inward.Undistort(bad, 0); ok {
			t.Errorf("%g: found a ray", bad)
		}
		if _, _, ok := (&Lens{Model: Fisheye}).Undistort(bad, 0); ok {
			t.Errorf("fisheye %g: found a ray", bad)
		}
	}
	cam := Intrinsics{Fx: 2, Fy: 2, Cx: 1, Cy: 1, Lens: inward}
	to := NewProjector(cam, 3, 3)
	if u, v, ok := to.Pixel(0, 0, 2); !ok || u != 1 || v != 1 {
		t.Errorf("the middle: found %g %g %v", u, v, ok)
	}
	if _, _, ok := to.Pixel(1.9, 0, 2); ok { // bent back to 0.09
		t.Error("found a pixel beyond the turning point")
	}
	cam.Cy = 0
	f := &Frame{
		Width: 3, Height: 1, Depth: []Metres{2, 2, 2}, Cam: cam,
		Color: []color.RGBA{{R: 1}, {R: 2}, {R: 3}},
	}
	p, err := f.Points()
	if err != nil || p.Len() != 1 || p.X[0] != 0 || p.R[0] != 2 {
		t.Errorf("found %+v, %v", p, err)
	}
}

// TestProjectorInvertsPoints: every point falls on the pixel that it came from.
func TestProjectorInvertsPoints(t *testing.T) {
	for name, cam := range lenses() {
		f := &Frame{Width: 640, Height: 480, Depth: make([]Metres, 640*480), Cam: cam}
		switch name {
		case "kinect v2":
			f.Width, f.Height = 512, 424
		case "tango":
			f.Width, f.Height = 224, 172
		}
		f.Depth = f.Depth[:f.Width*f.Height]
		for i := range f.Depth {
			f.Depth[i] = 1.5
		}
		p, err := f.Points()
		if err != nil {
			t.Fatal(err)
		}
		if p.Len() < len(f.Depth)*9/10 {
			t.Errorf("%s: found %d points of %d pixels", name, p.Len(), len(f.Depth))
		}
		to := NewProjector(cam, f.Width, f.Height)
		i := 0
		for k := range f.Depth {
			if cam.Lens.Model != Straight && !raysOf(cam, f.Width, f.Height).reach(k) {
				continue
			}
			u, v, ok := to.Pixel(p.X[i], p.Y[i], p.Z[i])
			if !ok || math.Abs(u-float64(k%f.Width)) > 1e-6 || math.Abs(v-float64(k/f.Width)) > 1e-6 {
				t.Fatalf("%s, pixel %d: found %g %g %v", name, k, u, v, ok)
			}
			i++
		}
		if _, _, ok := to.Pixel(0, 0, -1); ok {
			t.Errorf("%s: found a pixel for what is behind", name)
		}
	}
}

// TestRegister: a colour camera 10 cm to the right of the depth camera sees a thing at 1 m ten pixels further left.
func TestRegister(t *testing.T) {
	const w = 40
	f := &Frame{Width: w, Height: 1, Depth: make([]Metres, w), Cam: Intrinsics{Fx: 100, Fy: 100, Cx: 20}}
	c := &ColorImage{Width: w, Height: 1, Pixels: make([]color.RGBA, w), Cam: f.Cam, Depth: Identity()}
	c.Depth.T[0] = -0.1
	for i := range w {
		f.Depth[i], c.Pixels[i] = 1, color.RGBA{R: uint8(i), A: 255}
	}
	f.Depth[30] = 0
	if err := f.Register(c); err != nil {
		t.Fatal(err)
	}
	for i, got := range f.Color {
		want := color.RGBA{}
		if i >= 10 && i != 30 {
			want = color.RGBA{R: uint8(i - 10), A: 255}
		}
		if got != want {
			t.Errorf("pixel %d: found %v, want %v", i, got, want)
		}
	}
	c.Pixels = c.Pixels[1:]
	if err := f.Register(c); err == nil {
		t.Error("pixels missing: found no error")
	}
	c.Cam = Intrinsics{}
	if err := f.Register(c); err == nil {
		t.Error("no camera: found no error")
	}
}
