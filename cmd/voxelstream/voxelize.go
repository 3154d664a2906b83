package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/files"
)

func (c *cli) voxelize() *cobra.Command {
	cmd := command("voxelize INPUT --out FILE", "Write the voxel grids of an input to a file", cobra.ExactArgs(1), voxelFlags, ingestFlags)
	cmd.Example = "  voxelstream voxelize scan.pcd --method occupancy --edge 0.1 --grid 32 --out scan.npy\n" +
		"  voxelstream voxelize rgbd-frames/ --method tsdf --grid 64 --out room.npy"
	out := cmd.Flags().String("out", "", "file to write: .npy, .npz, .h5, .arrow or .binvox")
	format := cmd.Flags().String("format", "index", "cells hold the palette's index, its colour (rgb), the density before the colour map, or with tsdf the distance to the surface in metres; .arrow is always index")
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		s, err := files.Voxelize(ctx, a, args[0], *out, *format)
		return show(c, s, err, voxelizeText)
	})
	return cmd
}

func voxelizeText(w io.Writer, s *files.VoxelizeSummary) {
	fmt.Fprintf(w, "%s: %s of %dx%dx%d cells, method %s\n",
		s.File, app.Count(s.Volumes, "volume"), s.Grid[0], s.Grid[1], s.Grid[2], s.Method)
}
