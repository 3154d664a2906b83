package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
)

func (c *cli) version() *cobra.Command {
	cmd := command("version", "Show version, commit, Go, HDF5 and the tier of the kernels", cobra.NoArgs)
	cmd.RunE = c.do(func(_ context.Context, a *app.Env, _ []string) error { return a.ShowVersion() })
	return cmd
}
