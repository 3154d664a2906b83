package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/files"
)

func (c *cli) convert() *cobra.Command {
	cmd := command("convert IN OUT", "Convert a file to the format given by OUT's extension",
		voxelFlags, ingestFlags)
	cmd.Long = cmd.Short + `.

OUT is a .npy, .npz, .h5, .pcd, .ply, .parquet, .feather or .arrow file, or - for standard output as .npy. An .arrow
file holds volumes, made according to the voxelization flags. A folder of depth frames with poses is converted to one
mesh in a .ply file by TSDF fusion and marching cubes; with --method tsdf, --edge sets the cell size. --spacing resamples
MRI and CT scans, whole.`
	cmd.Example = "  voxelstream convert scan.ply scan.pcd\n" +
		"  voxelstream convert digits.h5 digits.npz\n" +
		"  voxelstream convert digits.h5 first.npz --rows 0:100\n" +
		"  voxelstream convert ct.nii.gz ct.npy --spacing 1\n" +
		"  voxelstream convert rgbd-frames/ room.ply --method tsdf --edge 0.01"
	rowsFlags(cmd, groupInput, "convert")
	forceFlag(cmd)
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		out, err := c.written(args[1], files.Converted())
		if err != nil {
			return err
		}
		s, err := files.Convert(ctx, a, args[0], out)
		return summarize(c, s, err, convertText)
	})
	return cmd
}

func convertText(w io.Writer, s *files.ConvertSummary) {
	if s.Mesh != nil {
		fmt.Fprintf(w, "%s: mesh of %s from %s, cell size %.4g m\n", s.File, app.Count(s.Triangles, "triangle"),
			app.Count(s.Frames, "frame"), s.Edge)
		return
	}
	fmt.Fprintf(w, "%s: %s\n", s.File, app.Count(s.Samples, "sample"))
}
