package main

import (
	"context"

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
		return files.Voxelize(ctx, a, args[0], *out, *format)
	})
	return cmd
}
