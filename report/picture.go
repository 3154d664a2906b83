package report

import (
	"bytes"
	"context"
	"image/png"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/voxelstream/voxelstream/draw"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Draw makes the pictures of the examples. load returns the volume of a row and is called concurrently. The note of an
// example says why its volume could not be loaded or drawn. The error is that of ctx.
func (r *Report) Draw(ctx context.Context, load func(context.Context, record.ID) (voxelize.Volume, error)) error {
	same := map[record.ID][]*Example{}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, list := range [][]Example{r.LeastConfident, r.ConfidentlyWrong} {
		for i := range list {
			x := &list[i]
			if same[x.ID] = append(same[x.ID], x); len(same[x.ID]) > 1 {
				continue
			}
			g.Go(func() error {
				v, err := load(ctx, x.ID)
				if err == nil {
					x.Dims = &v.Dims
					x.Picture, err = picture(&v)
				}
				if err != nil {
					x.Note = err.Error()
				}
				return ctx.Err()
			})
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, examples := range same {
		for _, x := range examples[1:] {
			x.Picture, x.Dims, x.Note = examples[0].Picture, examples[0].Dims, examples[0].Note
		}
	}
	return nil
}

// pictureSide is the width and height of a picture in pixels, more than it has on the page, for fine screens.
const pictureSide = 200

func picture(v *voxelize.Volume) ([]byte, error) {
	img, err := draw.Thumbnail(v, pictureSide)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, img); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
