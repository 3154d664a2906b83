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
	cmd := command("convert IN OUT", "Copy the samples of a file to another format, which OUT's extension names", cobra.ExactArgs(2), ingestFlags, voxelFlags)
	cmd.Long = cmd.Short + ": .npy, .npz, .h5, .pcd, .ply, .parquet or .feather (tables), or .arrow, which holds volumes and follows the flags of voxelize.\n" +
		"A folder of depth frames with poses becomes one mesh in a .ply file, made by TSDF fusion and marching cubes, in cells of --edge with --method tsdf."
	cmd.Example = "  voxelstream convert scan.ply scan.pcd\n  voxelstream convert digits.h5 digits.npz\n  voxelstream convert rgbd-frames/ room.ply --method tsdf --edge 0.01"
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		s, err := files.Convert(ctx, a, args[0], args[1])
		return show(c, s, err, convertText)
	})
	return cmd
}

func convertText(w io.Writer, s *files.ConvertSummary) {
	if s.Mesh != nil {
		fmt.Fprintf(w, "%s: a mesh of %s from %s, in cells of %.4g m\n", s.File, app.Count(s.Triangles, "triangle"), app.Count(s.Frames, "frame"), s.Edge)
		return
	}
	fmt.Fprintf(w, "%s: %s\n", s.File, app.Count(s.Samples, "sample"))
}
