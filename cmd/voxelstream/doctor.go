package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/doctor"
)

func (c *cli) doctor() *cobra.Command {
	cmd := command("doctor", "Check this machine: CPU, HDF5, Kafka, disk space and limits", kafkaFlags, modelFlag)
	cmd.Example = "  voxelstream doctor\n  voxelstream doctor --brokers kafka-1:9092 --model shapes.keras"
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env, _ []string) error {
		checks, err := doctor.Run(ctx, a)
		return errors.Join(present(c, checks, checksText), err)
	})
	return cmd
}

func checksText(w io.Writer, checks []doctor.Check) {
	for _, c := range checks {
		mark := "ok  "
		if !c.OK {
			mark = "FAIL"
		}
		fmt.Fprintf(w, "%s %-14s %s\n", mark, c.Name, c.Found)
		if c.Advice != "" {
			fmt.Fprintf(w, "     %-14s %s\n", "", c.Advice)
		}
	}
}
