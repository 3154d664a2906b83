package main

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/app/stream"
)

func (c *cli) run() *cobra.Command {
	cmd := command("run INPUT...", "Run the whole pipeline in one process",
		kafkaFlags, httpFlag, voxelFlags, objectsFlag, ingestFlags, sinkFlags, modelFlag, switchFlags, rolloutFlags)
	cmd.Long = cmd.Short + `.

Inputs become volumes on a Kafka topic, which the network classifies; the sinks store the classifications. Without
--brokers, an embedded broker keeps its log in --broker-data-dir. The command exits when all inputs have ended and every
volume is classified or has become a dead letter. Exit code 3 means that there are dead letters. Each volume is stored
once per model, even after a crash or a second run: the JSON lines file and the topic skip duplicates.

` + input.Help()
	cmd.Example = "  voxelstream run digits.h5\n  voxelstream run scan.pcd --model shapes.keras --out shapes.jsonl\n" +
		"  voxelstream run /srv/scans --forever --out results.jsonl\n" +
		"  voxelstream run 'udp://:2368?sensor=vlp16' 'udp://:7502?sensor=ouster&calibration=os1.json'\n" +
		"  voxelstream run watch:///srv/scans 'http://:8080?token-file=token'"
	flagsIn(cmd, groupInput, func(f *pflag.FlagSet) {
		f.Bool("forever", false, "Watch the folders for files that arrive, as watch://FOLDER does, until interrupted. "+
			"Their subfolders are not watched.")
	})
	flagsIn(cmd, "HTTP", func(f *pflag.FlagSet) {
		f.Bool("stay", false, "With --http, keep serving the page after the inputs have ended, until interrupted.")
	})
	cmd.RunE = c.drain(collecting(gcStreaming, served(func(ctx context.Context, a *app.Env, args []string) error {
		s, err := stream.Run(ctx, a, args)
		return c.showSummary(s, err)
	})))
	return cmd
}
