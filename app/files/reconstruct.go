package files

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/voxelize/tsdf"
)

// fuse fuses the frames of an input into a volume for a mesh, with the options that place returns.
func fuse(ctx context.Context, a *app.Env, input string,
	place func(lo, hi [3]float64) (tsdf.Options, error), skips *app.Skips,
) (*tsdf.Fused, error) {
	return tsdf.Fuse(ctx, func() (ingest.Source, error) {
		src, err := formats.Open(ctx, input, a.Reading())
		if err != nil {
			return nil, err
		}
		return a.Rows.Of(src), nil
	},
		func(lo, hi [3]float64) (tsdf.Options, error) {
			o, err := place(lo, hi)
			o.Threads = a.Config.Threads
			return o, err
		}, skips.Add)
}

// posed reports whether an input is a folder that is one recording, whose first readable frame has a pose.
func posed(ctx context.Context, a *app.Env, input string) bool {
	f, err := formats.Detect(ctx, input, a.Config.Ingest)
	if err != nil || f.Parts == nil {
		return false
	}
	src, err := formats.OpenSingle(ctx, input, a.Config.Ingest)
	if err != nil {
		return false // the next reader reports the error
	}
	defer src.Close() //nolint:errcheck // opened for reading
	for {
		s, err := src.Read(ctx)
		if _, ok := errors.AsType[*ingest.ItemError](err); ok {
			continue
		}
		f, ok := s.Data.(*ingest.Frame)
		return err == nil && ok && f.Pose != nil
	}
}

// meshCells is the number of cells along the longest side of a reconstruction if no edge is given.
const meshCells = 256

// place fits a volume for a mesh around a bounding box. Cells have the configured size, and a margin keeps the
// surface out of the outermost cells.
func place(a *app.Env, lo, hi [3]float64) (tsdf.Options, error) {
	const margin = 2
	longest := max(hi[0]-lo[0], hi[1]-lo[1], hi[2]-lo[2])
	o := tsdf.Options{Edge: a.Config.Voxelize.Edge[0]}
	if o.Edge == 0 {
		o.Edge = max(longest, 1e-3) / meshCells
	}
	for axis := range 3 {
		cells := math.Ceil((hi[axis]-lo[axis])/o.Edge) + 2*margin
		if !(cells < tsdf.MaxCells) {
			return o, fmt.Errorf("the bounding box from %v to %v m is too large for cells of %g m; set a larger --edge",
				lo, hi, o.Edge)
		}
		o.Origin[axis] = lo[axis] - margin*o.Edge
		o.Dims[2-axis] = int(cells)
	}
	return o, nil
}

// reconstruct fuses frames with poses and writes the surface as a mesh.
func reconstruct(ctx context.Context, a *app.Env, input, out string) (*ConvertSummary, error) {
	skips := a.Skips()
	fused, err := fuse(ctx, a, input, func(lo, hi [3]float64) (tsdf.Options, error) { return place(a, lo, hi) }, skips)
	if err != nil {
		return nil, err
	}
	mesh, err := fused.Volume.Mesh()
	if err != nil {
		return nil, err
	}
	if err := ingest.WriteFile(out, mesh.WritePLY); err != nil {
		return nil, err
	}
	s := &ConvertSummary{
		File: out, Frames: fused.Frames, Failed: fused.Failed,
		Mesh: &Mesh{Vertices: len(mesh.Vertices), Triangles: len(mesh.Triangles), Edge: fused.Volume.Options().Edge},
	}
	return s, skips.Done(input, "frame")
}
