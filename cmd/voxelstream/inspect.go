package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/files"
)

func (c *cli) inspect() *cobra.Command {
	cmd := command("inspect FILE...", "Say what files hold: format, kind, counts, bounds, fields, calibration", cobra.MinimumNArgs(1), ingestFlags)
	png := cmd.Flags().String("png", "", "draw the first sample into this file")
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error { return files.Inspect(ctx, a, args, *png) })
	return cmd
}
