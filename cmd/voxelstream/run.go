package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/pipeline/app"
)

func (c *cli) run() *cobra.Command {
	cmd := command("run INPUT...", "The whole pipeline in one process: inputs -> volumes -> Kafka -> network -> classifications",
		cobra.MinimumNArgs(1), kafkaFlags, voxelFlags, ingestFlags, sinkFlags, modelFlag)
	cmd.Long = cmd.Short + `.

Without --brokers a broker inside the process keeps its log in --broker-data-dir. The command ends when every input has ended and every volume
is classified or a dead letter; exit code 3 says that there are dead letters. A volume is stored once per model, also after a crash and a second
run: the JSON lines file and the topic drop what they hold already.`
	cmd.Example = "  voxelstream run digits.h5\n  voxelstream run scan.pcd --model shapes.keras --out shapes.jsonl"
	cmd.RunE = c.do(func(ctx context.Context, a *app.App, args []string) error { return a.Run(ctx, args) })
	return cmd
}
