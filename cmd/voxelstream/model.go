package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/pipeline/app"
)

func (c *cli) model() *cobra.Command {
	cmd := command("model", "Look at models, convert, run, measure and check them", cobra.NoArgs)
	cmd.Long = cmd.Short + ".\n\nWithout a file the commands take the built-in model."
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }

	summary := command("summary [MODEL]", "Show layers, shapes and parameters as Keras does", cobra.MaximumNArgs(1))
	svg := summary.Flags().String("svg", "", "draw the graph into this file too")
	summary.RunE = c.do(func(ctx context.Context, a *app.App, args []string) error {
		return a.ModelSummary(ctx, first(args), *svg)
	})

	convert := command("convert IN OUT", "Write a model in another format, which OUT's extension names", cobra.ExactArgs(2))
	convert.RunE = c.do(func(ctx context.Context, a *app.App, args []string) error {
		return a.ModelConvert(ctx, args[0], args[1])
	})

	predict := command("predict [MODEL] --input X.npy --output Y.npy", "Run a model on the rows of an array, in the model's own axis order", cobra.MaximumNArgs(1))
	input := predict.Flags().String("input", "", "array (N, ...) of the model's input")
	output := predict.Flags().String("output", "", "where its outputs go")
	predict.RunE = c.do(func(ctx context.Context, a *app.App, args []string) error {
		return a.ModelPredict(ctx, first(args), *input, *output)
	})

	bench := command("bench [MODEL]", "Measure how fast a model infers or trains", cobra.MaximumNArgs(1))
	batch := bench.Flags().Int("batch", 64, "samples of a step")
	mode := bench.Flags().String("mode", "infer", "infer or train")
	kind := bench.Flags().String("input", "palette", "palette: the way volumes arrive; dense: arbitrary floats")
	lasting := bench.Flags().Duration("time", 5*time.Second, "how long to measure")
	bench.RunE = c.do(func(ctx context.Context, a *app.App, args []string) error {
		return a.ModelBench(ctx, first(args), *batch, *mode, *kind, *lasting)
	})

	verify := command("verify [MODEL]", "Check a model's numbers, and that the fast network computes what the plain one does", cobra.MaximumNArgs(1))
	verify.RunE = c.do(func(ctx context.Context, a *app.App, args []string) error { return a.ModelVerify(ctx, first(args)) })

	cmd.AddCommand(summary, convert, predict, bench, verify)
	return cmd
}

// first is the first argument, or nothing.
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
