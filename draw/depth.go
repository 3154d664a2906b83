package draw

import (
	"fmt"
	"image"
	"image/color"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// drawDepth draws a depth frame, with a bar of metres, and its colours beside it. Pixels without a measurement are dark.
func drawDepth(f *ingest.Frame, o *Options) (*Picture, error) {
	if o.Turn {
		return nil, fmt.Errorf("a depth frame does not turn: want a picture of one image, such as .png")
	}
	w, h := fitted(max(1, f.Width), max(1, f.Height), 560, 480)
	depth, c, err := depthImage(f, w, h)
	if err != nil {
		return nil, err
	}
	measured := 0
	for _, d := range f.Depth {
		if d > 0 {
			measured++
		}
	}
	panels := 1
	if f.Color != nil {
		panels = 2
	}
	s := newSheet(margin+float64(panels)*(w+margin)+barSize, headSize+nameSize+max(h, 200)+margin)
	s.head(o.Title, fmt.Sprintf("%d x %d pixels, %.1f %% with a depth", f.Width, f.Height,
		100*float64(measured)/float64(len(f.Depth))))
	top := headSize + nameSize
	s.name(margin, top, "Depth")
	s.paste(margin, top, depth)
	x := margin + w
	if f.Color != nil {
		s.name(x+margin, top, "Colour")
		s.paste(x+margin, top, resized(f, w, h, func(i int) color.RGBA {
			col := f.Color[i]
			return color.RGBA{col.R, col.G, col.B, 255}
		}))
		x += margin + w
	}
	s.bar(x+16, top, max(h, 160), c)
	return &Picture{[]*image.RGBA{s.img}}, nil
}

// depthImage draws the depths alone, and returns what their colours mean.
func depthImage(f *ingest.Frame, w, h float64) (*image.RGBA, *scaled, error) {
	if f.Width < 1 || f.Height < 1 || len(f.Depth) != f.Width*f.Height {
		return nil, nil, fmt.Errorf("found %d depths, want %d x %d", len(f.Depth), f.Width, f.Height)
	}
	palette, err := colormap.ByName("turbo")
	if err != nil {
		return nil, nil, err
	}
	measured := make([]float64, 0, len(f.Depth))
	for _, d := range f.Depth {
		if d > 0 {
			measured = append(measured, float64(d))
		}
	}
	c := &scaled{palette: palette, name: "depth, m", bright: true}
	c.lo, c.hi = spread(measured)
	return resized(f, w, h, func(i int) color.RGBA {
		if d := float64(f.Depth[i]); d > 0 {
			return c.of(d)
		}
		return night
	}), c, nil
}

// fitted returns the size of an image that fits into a panel.
func fitted(width, height int, w, h float64) (float64, float64) {
	scale := min(w/float64(width), h/float64(height))
	return max(1, float64(width)*scale), max(1, float64(height)*scale)
}

// resized draws the pixels of a frame in a size.
func resized(f *ingest.Frame, w, h float64, at func(i int) color.RGBA) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, max(1, int(w*fine)), max(1, int(h*fine))))
	rows(img.Rect.Dy(), func(y int) {
		for x := range img.Rect.Dx() {
			img.SetRGBA(x, y, at(y*f.Height/img.Rect.Dy()*f.Width+x*f.Width/img.Rect.Dx()))
		}
	})
	return img
}
