package objects

import (
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/draw"
	"github.com/voxelstream/voxelstream/ingest"
)

// Draw draws the objects of a frame to a file; see [Picture].
func Draw(ctx context.Context, path string, f *Frame) error {
	format, err := draw.FormatOf(path, false)
	if err != nil {
		return err
	}
	p, err := Picture(ctx, f)
	if err != nil {
		return err
	}
	return ingest.WriteFile(path, func(w io.Writer) error { return format.Write(ctx, w, p) })
}

// Picture draws the objects of a frame: a scan in perspective and from above, or a depth image with the objects in
// colour; and a list of the nearest objects.
func Picture(ctx context.Context, f *Frame) (*draw.Picture, error) {
	s := &draw.Scene{
		Title: fmt.Sprintf("%s, frame %d", filepath.Base(f.File), f.Frame),
		Below: fmt.Sprintf("%s in %s, %d of them on the ground", app.Count(f.Objects, "object"),
			app.Count(f.Points, "point"), f.Ground),
		Cloud: f.Scene.Cloud, Frame: f.Scene.Frame, Pixel: f.Scene.Pixel,
		Ground: f.Scene.Ground, Cluster: f.Scene.Cluster,
	}
	for i := range f.List {
		s.Objects = append(s.Objects, drawn(&f.List[i]))
	}
	return draw.Objects(ctx, s)
}

// drawn describes an object for pictures.
func drawn(o *Object) draw.Object {
	return draw.Object{
		Number: o.Object, Center: o.Center, Size: o.Size, Yaw: o.Yaw, Velocity: o.Velocity,
		Hue: hue(o), Name: describe(o), Below: measures(o),
	}
}

// hue returns the number of an object's colour: that of its class, or of its track or number if it has no class.
func hue(o *Object) int {
	switch {
	case o.Name == unknown:
		return -1
	case o.Class != nil:
		return *o.Class
	case o.Track != 0:
		return int((o.Track - 1) % (1 << 20))
	}
	return o.Object - 1
}

// describe returns the class and the distance of an object.
func describe(o *Object) string {
	what := "object"
	switch {
	case o.Name == unknown:
		what = unknown
	case o.Class != nil:
		what = o.Name
		if what == "" {
			what = fmt.Sprintf("class %d", *o.Class)
		}
		what = fmt.Sprintf("%s %.0f %%", what, 100**o.Score)
	}
	return fmt.Sprintf("%s at %.1f m", what, o.Distance)
}

// measures returns the size, the speed and the number of points of an object.
func measures(o *Object) string {
	t := fmt.Sprintf("%.1f x %.1f x %.1f m", o.Size[0], o.Size[1], o.Size[2])
	if o.Velocity != nil {
		t += fmt.Sprintf(", %.1f m/s", math.Hypot(o.Velocity[0], o.Velocity[1]))
	}
	return t + fmt.Sprintf(", %d points", o.Points)
}
