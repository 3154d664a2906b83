package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/learn"
	"github.com/voxelstream/voxelstream/app/models"
)

func (c *cli) model() *cobra.Command {
	cmd := command("model", "Look at models, convert, run, measure and check them", cobra.NoArgs)
	cmd.Long = cmd.Short + ".\n\nWithout a file the commands take the built-in model."
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }

	summary := command("summary [MODEL]", "Show layers, shapes and parameters as Keras does", cobra.MaximumNArgs(1))
	svg := summary.Flags().String("svg", "", "draw the graph into this file too")
	summary.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		return models.ModelSummary(ctx, a, first(args), *svg)
	})

	convert := command("convert IN OUT", "Write a model in another format, which OUT's extension names", cobra.ExactArgs(2))
	convert.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		return models.ModelConvert(ctx, a, args[0], args[1])
	})

	predict := command("predict [MODEL] --input X.npy --output Y.npy", "Run a model on the rows of an array, in the model's own axis order", cobra.MaximumNArgs(1))
	input := predict.Flags().String("input", "", "array (N, ...) of the model's input")
	output := predict.Flags().String("output", "", "where its outputs go")
	predict.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		return models.ModelPredict(ctx, a, first(args), *input, *output)
	})

	bench := command("bench [MODEL]", "Measure how fast a model infers or trains", cobra.MaximumNArgs(1))
	bench.Long = bench.Short + ".\n\nThe optimisation passes, which --without switches off:\n\n" + models.PassesText()
	var o models.BenchOptions
	bench.Flags().IntVar(&o.Batch, "batch", 64, "samples of a step")
	bench.Flags().StringVar(&o.Mode, "mode", "infer", "infer or train")
	bench.Flags().StringVar(&o.Input, "input", "palette", "palette: the way volumes arrive; dense: arbitrary floats")
	bench.Flags().DurationVar(&o.Lasting, "time", 5*time.Second, "how long to measure")
	bench.Flags().StringSliceVar(&o.Without, "without", nil, "optimisation passes that are switched off, to see what each of them buys; all for the plain operations")
	bench.RunE = c.do(frugal(func(ctx context.Context, a *app.Env, args []string) error {
		return models.ModelBench(ctx, a, first(args), o)
	}))

	verify := command("verify [MODEL]", "Check a model's numbers, and that the fast network computes what the plain one does", cobra.MaximumNArgs(1))
	verify.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		return models.ModelVerify(ctx, a, first(args))
	})

	cmd.AddCommand(summary, convert, predict, bench, verify, c.quantize())
	return cmd
}

func (c *cli) quantize() *cobra.Command {
	cmd := command("quantize MODEL DATA... --out FILE", "Make a model infer in int8 or bfloat16", cobra.MinimumNArgs(2), voxelFlags, ingestFlags)
	cmd.Long = cmd.Short + `.

The first rows of the data find the range of each layer's inputs; the accuracy on the others is compared with that in float32. A model that loses more than
--max-drop points is not written. The file holds the same weights, and says in what precision to infer: every command does so, and classifications name its
version. Training goes on in float32.`
	cmd.Example = "  voxelstream model quantize digits.keras mnist3d.h5 --precision int8 --out digits-int8.keras"
	var o learn.QuantizeOptions
	cmd.Flags().StringVar(&o.Kind, "precision", "int8", "int8 or bfloat16")
	cmd.Flags().StringVar(&o.Split, "split", "", "part of an archive: train, test or all; without it train, or all where there is no training part")
	cmd.Flags().Float64Var(&o.Share, "calibration-share", .2, "share of the rows that find the ranges")
	cmd.Flags().Float64Var(&o.MaxDrop, "max-drop", .2, "most points of accuracy that may be lost")
	cmd.Flags().BoolVar(&o.Force, "force", false, "write the model whatever is lost")
	cmd.Flags().StringVar(&o.Out, "out", "", "file of the new model; without it only the report is shown")
	cmd.RunE = c.do(frugal(func(ctx context.Context, a *app.Env, args []string) error {
		return learn.ModelQuantize(ctx, a, args[0], args[1:], o)
	}))
	return cmd
}

// first is the first argument, or nothing.
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
