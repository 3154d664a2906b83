package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/app/stream"
)

func (c *cli) ingest() *cobra.Command {
	cmd := command("ingest INPUT...", "Turn inputs into volumes and send them to the topic of volumes", cobra.MinimumNArgs(1), kafkaFlags, voxelFlags, ingestFlags)
	cmd.Long = cmd.Short + ".\n\n" + input.Help()
	cmd.Example = "  voxelstream ingest digits.h5 --brokers kafka-1:9092\n  voxelstream ingest 'udp://:2368?sensor=vlp16'"
	cmd.AddCommand(c.simulate())
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error { return stream.Ingest(ctx, a, args) })
	return cmd
}
