package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
)

func (c *cli) version() *cobra.Command {
	cmd := command("version", "Show the versions of the program and its libraries")
	cmd.Example = "  voxelstream version --json"
	cmd.RunE = c.do(func(_ context.Context, _ *app.Env, _ []string) error {
		return show(c, app.ReadBuild(), nil, buildText)
	})
	return cmd
}

func buildText(w io.Writer, b *app.Build) {
	hdf5 := b.HDF5
	if hdf5 == "" {
		hdf5 = "built without"
	}
	fmt.Fprintf(w, "voxelstream %s\ncommit  %s\ngo      %s %s/%s\nhdf5    %s\nkernels %s\n", b.Version, b.Commit, b.Go,
		b.OS, b.Arch, hdf5, b.Tier)
}
