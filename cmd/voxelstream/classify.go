package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/stream"
)

func (c *cli) classify() *cobra.Command {
	cmd := command("classify", "Classify the volumes of the topic, as a member of a consumer group", cobra.NoArgs, kafkaFlags, sinkFlags, modelFlag)
	cmd.Long = cmd.Short + ".\n\nIt runs until a signal: the first lets what is in flight finish, the second stops at once (nothing is lost, some work is repeated)."
	cmd.Example = "  voxelstream classify --brokers kafka-1:9092 --model shapes.keras"
	once := cmd.Flags().Bool("once", false, "end when everything on the topic is classified")
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env, _ []string) error { return stream.Classify(ctx, a, *once) })
	return cmd
}
