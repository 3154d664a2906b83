package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/learn"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/nn"
)

func (c *cli) model() *cobra.Command {
	cmd := command("model", "Look at models, convert, run, measure and check them", cobra.NoArgs)
	cmd.Long = cmd.Short + ".\n\nWithout a file the commands take the built-in model."
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }

	summary := command("summary [MODEL]", "Show layers, shapes and parameters as Keras does", cobra.MaximumNArgs(1))
	svg := summary.Flags().String("svg", "", "draw the graph into this file too")
	summary.RunE = c.do(func(ctx context.Context, _ *app.Env, args []string) error {
		s, err := models.Summarize(ctx, first(args), *svg)
		return show(c, s, err, modelText)
	})

	convert := command("convert IN OUT", "Write a model in another format, which OUT's extension names", cobra.ExactArgs(2))
	convert.RunE = c.do(func(ctx context.Context, _ *app.Env, args []string) error {
		r, err := models.Convert(ctx, args[0], args[1])
		return show(c, r, err, func(w io.Writer, r *models.Conversion) {
			fmt.Fprintf(w, "%s: %s\n", r.Model, app.Count(r.Parameters, "parameter"))
		})
	})

	predict := command("predict [MODEL] --input X.npy --output Y.npy", "Run a model on the rows of an array, in the model's own axis order", cobra.MaximumNArgs(1))
	input := predict.Flags().String("input", "", "array (N, ...) of the model's input")
	output := predict.Flags().String("output", "", "where its outputs go")
	predict.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		r, err := models.Predict(ctx, a, first(args), *input, *output)
		return show(c, r, err, func(w io.Writer, r *models.Prediction) {
			fmt.Fprintf(w, "%s: %s\n", r.Output, app.Count(r.Rows, "row"))
		})
	})

	bench := command("bench [MODEL]", "Measure how fast a model infers or trains", cobra.MaximumNArgs(1))
	bench.Long = bench.Short + ".\n\nThe optimisation passes, which --without switches off:\n\n" + passesText()
	var o models.BenchOptions
	bench.Flags().IntVar(&o.Batch, "batch", 64, "samples of a step")
	bench.Flags().StringVar(&o.Mode, "mode", "infer", "infer or train")
	bench.Flags().StringVar(&o.Input, "input", "palette", "palette: the way volumes arrive; dense: arbitrary floats")
	bench.Flags().DurationVar(&o.Lasting, "time", 5*time.Second, "how long to measure")
	bench.Flags().StringSliceVar(&o.Without, "without", nil, "optimisation passes that are switched off, to see what each of them buys; all for the plain operations")
	bench.RunE = c.do(frugal(func(ctx context.Context, a *app.Env, args []string) error {
		r, err := models.Bench(ctx, a, first(args), o)
		return show(c, r, err, benchText)
	}))

	verify := command("verify [MODEL]", "Check a model's numbers, and that the fast network computes what the plain one does", cobra.MaximumNArgs(1))
	verify.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		r, err := models.Verify(ctx, a, first(args))
		return show(c, r, err, verifyText)
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
	cmd.Flags().StringVar(&o.Kind, "precision", nn.Int8, strings.Join(nn.Precisions(), " or "))
	cmd.Flags().StringVar(&o.Split, "split", "", "part of an archive: train, test or all; without it train, or all where there is no training part")
	cmd.Flags().Float64Var(&o.Share, "calibration-share", .2, "share of the rows that find the ranges")
	cmd.Flags().Float64Var(&o.MaxDrop, "max-drop", .2, "most points of accuracy that may be lost")
	cmd.Flags().BoolVar(&o.Force, "force", false, "write the model whatever is lost")
	cmd.Flags().StringVar(&o.Out, "out", "", "file of the new model; without it only the report is shown")
	cmd.RunE = c.do(frugal(func(ctx context.Context, a *app.Env, args []string) error {
		r, err := learn.Quantize(ctx, a, args[0], args[1:], o)
		return show(c, r, err, quantizeText)
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

// passesText lists the optimisation passes, a line each.
func passesText() string {
	var out strings.Builder
	for _, pass := range nn.Passes() {
		fmt.Fprintf(&out, "    %-16s %s\n", pass[0], pass[1])
	}
	return out.String()
}

func modelText(w io.Writer, s *models.Summary) {
	fmt.Fprint(w, s.Table)
	if s.Precision != "" {
		fmt.Fprintf(w, " Infers in %s.\n", s.Precision)
	}
}

func benchText(w io.Writer, r *models.BenchResult) {
	fmt.Fprintf(w, "%s of batches of %d, input %s: %.0f samples/s, latency p50 %.3f ms, p99 %.3f ms, %s, kernels %s\n",
		r.Mode, r.Batch, r.Input, r.PerSecond, r.LatencyMS.P50, r.LatencyMS.P99, app.Count(r.Threads, "thread"), r.Tier)
}

func verifyText(w io.Writer, r *models.VerifyResult) {
	fmt.Fprintf(w, "%s, version %s: largest difference by passes %.2g (allowed %g), by threads %g, kernels %s\n",
		r.Name, r.Version, r.Passes, models.PassTolerance, r.Threads, r.Tier)
}

func quantizeText(w io.Writer, r *learn.QuantizeResult) {
	fmt.Fprintf(w, "%s: accuracy %.4f, %.4f in float32: %.2f points lost on %s; ranges of %s\n",
		r.Kind, r.Low, r.Float, r.Drop, app.Count(r.Rows, "row"), app.Count(r.Calibration, "other row"))
	fmt.Fprintf(w, "the same class for %.2f %% of the rows; probabilities differ by %.4f at most, %.5f on average\n", 100*r.Agree, r.Largest, r.Mean)
	if r.Model != "" {
		fmt.Fprintf(w, "%s infers in %s from now on; model bench says how fast\n", r.Model, r.Kind)
	}
}
