package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/learn"
)

func (c *cli) evaluate() *cobra.Command {
	cmd := command("evaluate DATA...", "Measure a model on labelled data: accuracy, precision and recall, confusion, calibration", cobra.MinimumNArgs(1),
		modelFlag, voxelFlags, ingestFlags)
	split := cmd.Flags().String("split", "", "part of an archive: train, test or all; without it test, or train where there is no test part")
	report := cmd.Flags().String("report", "", "write a report: .html or .json")
	cmd.RunE = c.do(frugal(func(ctx context.Context, a *app.Env, args []string) error {
		return learn.Evaluate(ctx, a, args, *split, *report)
	}))
	return cmd
}
