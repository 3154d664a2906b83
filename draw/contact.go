package draw

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"

	"github.com/voxelstream/voxelstream/ingest"
)

// Tile is an item of a contact sheet.
type Tile struct {
	Data ingest.Data
	// Title and Below are the lines below the picture, such as the row, and its label and prediction.
	Title, Below string
	// Verdict colours the second line: 1 for a correct prediction, -1 for a wrong one.
	Verdict int
}

// MostTiles is the number of items that fit on a contact sheet.
const MostTiles = 400

// Contact draws many samples side by side, each with two lines of text. Samples are drawn as by [Sample], without
// axes. The error may be that of ctx.
func Contact(ctx context.Context, o Options, below string, tiles []Tile) (*Picture, error) {
	if o.Turn {
		return nil, errors.New("a contact sheet does not turn: want a picture of one image, such as .png")
	}
	if len(tiles) == 0 || len(tiles) > MostTiles {
		return nil, fmt.Errorf("found %d samples for a contact sheet, want 1 to %d", len(tiles), MostTiles)
	}
	columns := columnsOf(len(tiles))
	lines := (len(tiles) + columns - 1) / columns
	const side, words, gap = 132.0, 40.0, 10.0
	s := newSheet(max(420, 2*margin+float64(columns)*(side+gap)-gap), headSize+float64(lines)*(side+words)+margin/2)
	s.head(o.Title, below)
	for i, t := range tiles {
		img, background, err := small(ctx, t.Data, &o, int(side*fine))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.Title, err)
		}
		x, y := margin+float64(i%columns)*(side+gap), headSize+4+float64(i/columns)*(side+words)
		s.rect(background, x, y, side, side)
		s.paste(x+side/2-float64(img.Rect.Dx())/fine/2, y+side/2-float64(img.Rect.Dy())/fine/2, img)
		s.fitted(style(12, true, ink, left), x, y+side+10, side, t.Title)
		c := faint
		switch t.Verdict {
		case 1:
			c = good
		case -1:
			c = bad
		}
		s.fitted(style(11.5, t.Verdict != 0, c, left), x, y+side+25, side, t.Below)
	}
	return &Picture{[]*image.RGBA{s.img}}, nil
}

// columnsOf returns the number of columns of a sheet, which is a little wider than high: of those near the ideal the one
// that leaves the fewest places empty.
func columnsOf(n int) int {
	if n <= 8 {
		return n
	}
	ideal := int(math.Ceil(math.Sqrt(1.5 * float64(n))))
	best := ideal
	for c := ideal; c <= ideal+2; c++ {
		if (c-n%c)%c < (best-n%best)%best {
			best = c
		}
	}
	return best
}

// small draws a sample without anything around it, and returns the colour of its background.
func small(ctx context.Context, d ingest.Data, o *Options, side int) (*image.RGBA, color.RGBA, error) {
	switch d := d.(type) {
	case *ingest.Grid:
		v, err := ofGrid(d, cmp.Or(o.Palette, "viridis"))
		if err != nil {
			return nil, light, err
		}
		return v.cubes(ctx, side-8*fine, side-8*fine, v.low, v.high), light, ctx.Err()
	case *ingest.PointCloud:
		b := newBuffer(side, side)
		if len(d.Faces) > 0 {
			m, err := newMesh(d)
			if err != nil {
				return nil, light, err
			}
			if err := m.view(ctx, newCamera(corners(m.lo, m.hi), frontRight, aboveAt, b.w, b.h), b); err != nil {
				return nil, light, err
			}
			return b.image(light), light, nil
		}
		c, err := newCloud(d, o)
		if err != nil {
			return nil, night, err
		}
		if err := c.view(ctx, newCamera(corners(c.lo, c.hi), c.azimuth, aboveAt, b.w, b.h), b); err != nil {
			return nil, night, err
		}
		return b.image(night), night, nil
	case *ingest.Frame:
		w, h := fitted(max(1, d.Width), max(1, d.Height), float64(side)/fine, float64(side)/fine)
		img, _, err := depthImage(d, w, h)
		return img, night, err
	}
	return nil, light, fmt.Errorf("cannot draw %T", d)
}
