package draw

import (
	"context"
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Options say how a sample is drawn.
type Options struct {
	// Title is written above the picture.
	Title string
	// Window has the grey levels of medical images.
	Window voxelize.Window
	// Palette is the palette of grids without colours of their own; empty means viridis.
	Palette string
	// Color names the column that colours points, such as z or intensity. Empty means the colours of the points, or
	// their height if they have none.
	Color string
	// Cameras are the positions of the photographs of a reconstruction.
	Cameras [][3]float64
	// Turn draws a turn of a volume, cloud or mesh.
	Turn bool
}

// Sample draws a sample: a depth frame with its colours beside it, points in perspective and from above, a mesh as a
// surface, a grid as cubes with its slices, or the slices of a medical image. The error says why it cannot be drawn, or
// is that of ctx.
func Sample(ctx context.Context, d ingest.Data, o Options) (*Picture, error) {
	switch d := d.(type) {
	case *ingest.Frame:
		return drawDepth(d, &o)
	case *ingest.PointCloud:
		if len(d.Faces) > 0 {
			return drawMesh(ctx, d, &o)
		}
		return drawCloud(ctx, d, &o)
	case *ingest.Grid:
		if d.Orientation != "" && !o.Turn {
			return drawMedical(d, &o)
		}
		return drawGrid(ctx, d, &o)
	}
	return nil, fmt.Errorf("cannot draw %T", d)
}
