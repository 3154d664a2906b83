package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/doctor"
)

func (c *cli) doctor() *cobra.Command {
	cmd := command("doctor", "Say what this machine has: processor, HDF5, Kafka, disk, limits", cobra.NoArgs, kafkaFlags, modelFlag)
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env, _ []string) error { return doctor.Doctor(ctx, a) })
	return cmd
}
