package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/app/stream"
)

func (c *cli) broker() *cobra.Command {
	cmd := command("broker", "Run the embedded Kafka broker on 127.0.0.1 until interrupted",
		config.Flags("broker"), httpFlag)
	cmd.Long = cmd.Short + ".\n\nIt is for tests and a single machine. Use Kafka for a cluster."
	cmd.Example = "  voxelstream broker --port 9092 &\n" +
		"  voxelstream ingest digits.h5 --brokers 127.0.0.1:9092\n" +
		"  voxelstream classify --once --brokers 127.0.0.1:9092"
	cmd.RunE = c.drain(served(func(ctx context.Context, a *app.Env, _ []string) error {
		b, err := stream.StartBroker(a)
		if err != nil {
			return err
		}
		err = present(c, b, func(w io.Writer, b *stream.Broker) {
			fmt.Fprintf(w, "broker listening on %s, data in %s\n", b.Address,
				b.DataDir)
		})
		if err == nil {
			a.Started()
			<-ctx.Done()
		}
		return errors.Join(err, b.Close())
	}))
	return cmd
}
