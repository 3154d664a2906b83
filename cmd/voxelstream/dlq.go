package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/stream"
)

func (c *cli) dlq() *cobra.Command {
	cmd := command("dlq", "Look at the dead letters, and send them back", cobra.NoArgs)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }

	list := command("list", "List the dead letters: why, and where from", cobra.NoArgs, kafkaFlags)
	list.RunE = c.do(func(ctx context.Context, a *app.Env, _ []string) error { return stream.DLQList(ctx, a) })

	show := command("show ID", "Show one dead letter with its headers", cobra.ExactArgs(1), kafkaFlags)
	show.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error { return stream.DLQShow(ctx, a, args[0]) })

	replay := command("replay [ID...]", "Send dead letters back to their topic: those not replayed before, or just the named ones", cobra.ArbitraryArgs, kafkaFlags)
	replay.Long = replay.Short + ".\n\nAn item that could not be read or voxelized never became a message; run or ingest its input again instead."
	replay.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error { return stream.DLQReplay(ctx, a, args) })
	cmd.AddCommand(list, show, replay)
	return cmd
}
