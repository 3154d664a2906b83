package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/app/stream"
)

func (c *cli) ingest() *cobra.Command {
	cmd := command("ingest INPUT...", "Convert inputs to volumes and send them to the volumes topic",
		kafkaFlags, httpFlag, voxelFlags, objectsFlag, ingestFlags)
	cmd.Long = cmd.Short + ".\n\n" + input.Help()
	cmd.Example = "  voxelstream ingest digits.h5 --brokers kafka-1:9092\n" +
		"  voxelstream ingest 'udp://:2368?sensor=vlp16'"
	cmd.AddCommand(c.simulate())
	cmd.RunE = c.drain(collecting(gcStreaming, served(func(ctx context.Context, a *app.Env, args []string) error {
		s, err := stream.Ingest(ctx, a, args)
		return summarize(c, s, err, ingestText)
	})))
	return cmd
}

func ingestText(w io.Writer, s *stream.IngestSummary) {
	fmt.Fprintf(w, "%s: %s in %s, %s, %.1f s\n", app.Count(s.Inputs, "input"), app.Count(s.Volumes, "volume"),
		app.Count(s.Messages, "message"), app.Count(s.DeadLetters, "dead letter"), s.Seconds)
	filesText(w, s.Files)
}
