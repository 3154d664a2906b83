package ingest

import (
	"fmt"
	"image/color"
)

// ColorImage is an image of a colour camera next to a depth camera, row-major, top row first.
type ColorImage struct {
	Width, Height int
	Pixels        []color.RGBA
	Cam           Intrinsics
	// Depth is the depth camera's pose in the colour camera's axes: colour = R * depth + T.
	Depth Pose
}

// Register assigns a colour to each pixel with a depth: its point is projected into the colour image and takes the
// colour of that pixel. Pixels without depth, or outside the colour image, become transparent black. A point that a
// nearer object hides from the colour camera gets the colour of that object.
func (f *Frame) Register(c *ColorImage) error {
	n := f.Width * f.Height
	if !f.Cam.Valid() || !c.Cam.Valid() {
		return errNoCamera
	}
	if len(f.Depth) != n || len(c.Pixels) != c.Width*c.Height {
		return fmt.Errorf("found %d depths and %d colours, want %d and %d", len(f.Depth), len(c.Pixels), n, c.Width*c.Height)
	}
	f.Color = make([]color.RGBA, n)
	to := NewProjector(c.Cam, c.Width, c.Height)
	bent := raysOf(f.Cam, f.Width, f.Height)
	for i, d := range f.Depth {
		if !(d > 0) || !bent.reach(i) {
			continue
		}
		w := float64(d)
		u, v, ok := to.Pixel(c.Depth.Apply(bent.x[i]*w, bent.y[i]*w, w))
		// Comparing before converting is also correct for values that no integer can represent.
		if u, v = u+0.5, v+0.5; ok && u >= 0 && v >= 0 && u < float64(c.Width) && v < float64(c.Height) {
			f.Color[i] = c.Pixels[int(v)*c.Width+int(u)]
		}
	}
	return nil
}
