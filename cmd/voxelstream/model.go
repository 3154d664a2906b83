package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/app/learn"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/zoo"
)

func (c *cli) model() *cobra.Command {
	cmd := command("model", "Inspect, convert, run, benchmark and verify models")
	cmd.Long = cmd.Short + ".\n\nWithout a model file, these commands use the built-in model."
	cmd.Example = "  voxelstream model summary shapes.keras\n  voxelstream model convert shapes.onnx shapes.keras"
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }

	summary := command("summary [MODEL]", "Show layers, shapes and parameters, as Keras does",
		openFlags)
	summary.Example = "  voxelstream model summary shapes.keras --svg shapes.svg"
	var svg string
	flagsIn(summary, groupOutput, func(f *pflag.FlagSet) {
		outputVar(f, &svg, "svg", "Also draw the graph to this SVG file.", ".svg")
	})
	forceFlag(summary)
	summary.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		s, err := models.Summarize(ctx, a, first(args), svg)
		return show(c, s, err, modelText)
	})

	convert := command("convert MODEL OUT", "Convert a model to the format given by OUT's extension", openFlags)
	convert.Long = convert.Short + ": .keras, .h5, .onnx or .safetensors. - is standard output, as .keras."
	convert.Example = "  voxelstream model convert shapes.onnx shapes.keras"
	forceFlag(convert)
	convert.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		out, err := c.written(args[1], savedExtensions)
		if err != nil {
			return err
		}
		r, err := models.Convert(ctx, a, args[0], out)
		return summarize(c, r, err, func(w io.Writer, r *models.Conversion) {
			fmt.Fprintf(w, "%s: %s\n", r.Model, app.Count(r.Parameters, "parameter"))
		})
	})

	predict := command("predict [MODEL] --input X.npy --output Y.npy",
		"Run a model on the rows of an array, in its axis order", openFlags, config.Flags("voxelize.values"))
	predict.Long = predict.Short + `.

A model with several inputs or outputs takes one flag for each, as FILE in order or as NAME=FILE. Several outputs can
share --output FILE.npy: each is then written to FILE_NAME.npy. If the model takes inputs of any size, the first input
gives the size. Volumes hold values as measured, which are scaled as the model's metadata or --values says. A model of a
colour map gets colours.`
	predict.Example = "  voxelstream model predict shapes.keras --input x.npy --output y.npy\n" +
		"  voxelstream model predict net.json --weights net.h5 --input x.npy --output y.npy"
	var input, output []string
	flagsIn(predict, groupInput, func(f *pflag.FlagSet) {
		f.StringArrayVar(&input, "input", nil, ".npy file of inputs, with shape (N, ...). - is standard input.")
	})
	flagsIn(predict, groupOutput, func(f *pflag.FlagSet) {
		f.StringArrayVar(&output, "output", nil, ".npy file to write the outputs to. - is standard output.")
	})
	forceFlag(predict)
	predict.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) (err error) {
		for i, arg := range input {
			if name, file := cutName(arg); file == stdio {
				if file, err = c.streams.input(ctx); err != nil {
					return err
				}
				input[i] = name + file
			}
		}
		for i, arg := range output {
			name, file := cutName(arg)
			if file, err = c.written(file, []string{".npy"}); err != nil {
				return err
			}
			output[i] = name + file
		}
		r, err := models.Predict(ctx, a, first(args), input, output)
		return summarize(c, r, err, func(w io.Writer, r *models.Prediction) {
			files := r.Outputs
			if files == nil {
				files = []string{r.Output}
			}
			for _, file := range files {
				fmt.Fprintf(w, "%s: %s\n", file, app.Count(r.Rows, "row"))
			}
		})
	})

	bench := command("bench [MODEL]", "Measure the inference or training speed of a model", openFlags)
	bench.Long = bench.Short + ".\n\nOptimization passes for --without:\n\n" + passesText()
	bench.Example = "  voxelstream model bench shapes.keras --batch 1\n" +
		"  voxelstream model bench --without winograd,palette"
	var o models.BenchOptions
	bench.Flags().IntVar(&o.Batch, "batch", 64, "Number of samples per step.")
	choiceVar(bench.Flags(), &o.Mode, "mode", "infer", "What to measure: infer or train.", []string{"infer", "train"})
	choiceVar(bench.Flags(), &o.Input, "input", "palette", "Input of the model: palette uses colour-mapped volumes, "+
		"as the pipeline does; dense uses arbitrary float32 values.", []string{"palette", "dense"})
	bench.Flags().DurationVar(&o.Lasting, "time", 5*time.Second, "Duration of the measurement.")
	bench.Flags().StringSliceVar(&o.Without, "without", nil,
		"Optimization passes to disable, or all, to measure their "+
			"contribution.")
	bench.RunE = c.do(collecting(gcKeeping, func(ctx context.Context, a *app.Env, args []string) error {
		r, err := models.Bench(ctx, a, first(args), o)
		return show(c, r, err, benchText)
	}))

	verify := command("verify [MODEL]", "Check that a model is finite, and optimized inference exact", openFlags)
	verify.Example = "  voxelstream model verify shapes.keras"
	verify.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		r, err := models.Verify(ctx, a, first(args))
		return show(c, r, err, verifyText)
	})

	cmd.AddCommand(summary, convert, predict, c.modelInput(), c.modelLabels(), c.modelAverage(), bench, verify,
		c.quantize())
	return cmd
}

func (c *cli) modelInput() *cobra.Command {
	cmd := command("input [MODEL]", "Show or set which numbers a model gets for the cells of a volume")
	cmd.Long = cmd.Short + `.

train writes them into the model, and every command that uses the model obeys. A model from elsewhere gets the values
as measured, unless its file or a flag says otherwise. Values for --values:

    palette            colours of a colour map, as in the 3D MNIST tutorial: each grid is scaled by the window in its
                       file, or else to its own range
    palette:full       the same, always by the grid's own range
    palette:LO:HI      the same, by the window from LO to HI
    raw                as measured: Hounsfield units, 0 to 255, z-scores, densities; all channels
    window:LO:HI       LO becomes 0 and HI becomes 1; values outside are clamped
    standard           mean 0 and standard deviation 1, by channel of each volume
    standard:MEAN:DEV  (x - MEAN) / DEV with fixed numbers: one, or one per channel, separated by commas

The file keeps everything else, the weights and the training state included.`
	cmd.Example = "  voxelstream model input shapes.keras\n" +
		"  voxelstream model input ct.onnx --values window:-1000:400 --force\n" +
		"  voxelstream model input video.keras --values standard:0.43,0.39,0.38:0.23,0.22,0.22 --out video-rgb.keras"
	var o models.InputOptions
	cmd.Flags().StringVar(&o.Values, "values", "", "Write these values into the model.")
	cmd.Flags().StringVar(&o.Colormap, "colormap", "", "Colour map for --values palette.")
	flagsIn(cmd, groupOutput, func(f *pflag.FlagSet) {
		outputVar(f, &o.Out, "out", "File to write, with the model's extension. (default: MODEL itself, which needs "+
			"--force)", savedExtensions...)
	})
	forceFlag(cmd)
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		r, err := models.Input(ctx, a, first(args), o)
		return show(c, r, err, func(w io.Writer, r *models.InputInfo) { fmt.Fprintln(w, r.Text()) })
	})
	return cmd
}

func (c *cli) modelLabels() *cobra.Command {
	cmd := command("labels MODEL [NAMES]", "Show or set the names of a model's classes")
	cmd.Long = cmd.Short + `.

NAMES is a file, or the names themselves, separated by commas. A file has one name per line, or is a JSON list, or a
JSON object of names by class number. There must be one name for each class. The file keeps everything else, the weights
and the training state included. train writes the names that the data has. --classes of other commands replaces the names
without changing the file.`
	cmd.Example = "  voxelstream model labels shapes.keras\n" +
		"  voxelstream model labels shapes.onnx names.txt --out named.onnx\n" +
		"  voxelstream model labels shapes.keras chair,table,lamp --force"
	var out string
	flagsIn(cmd, groupOutput, func(f *pflag.FlagSet) {
		outputVar(f, &out, "out", "File to write, with the model's extension. (default: MODEL itself, which needs "+
			"--force)", savedExtensions...)
	})
	forceFlag(cmd)
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		r, err := models.SetLabels(ctx, a, args[0], first(args[1:]), out)
		return show(c, r, err, labelsText)
	})
	return cmd
}

func (c *cli) modelAverage() *cobra.Command {
	cmd := command("average MODEL --views VIEWS --out FILE", "Make a model average its scores over several views")
	cmd.Long = cmd.Short + `.

The file holds the network once, and applies it to each view. Every command that uses the model averages. It takes as
many times as long as there are views. train --average does the same at the end of a training.`
	cmd.Example = "  voxelstream model average digits.keras --views rotations --out digits-24.keras"
	var views, out string
	choiceVar(cmd.Flags(), &views, "views", "", "Views: "+strings.Join(zoo.Views(), ", ")+".", zoo.Views())
	flagsIn(cmd, groupOutput, func(f *pflag.FlagSet) {
		outputVar(f, &out, "out", "Model file to write.", savedExtensions...)
	})
	forceFlag(cmd)
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		r, err := models.Average(ctx, a, first(args), views, out)
		return summarize(c, r, err, func(w io.Writer, r *models.Averaged) { fmt.Fprintln(w, r.Text()) })
	})
	return cmd
}

func labelsText(w io.Writer, r *models.Labels) {
	if len(r.Classes) == 0 {
		fmt.Fprintln(w, "the model does not name its classes")
	}
	for i, name := range r.Classes {
		fmt.Fprintf(w, "%d\t%s\n", i, name)
	}
	if r.Out != "" {
		fmt.Fprintf(w, "written to %s, version %s\n", r.Out, r.Version)
	}
}

func (c *cli) quantize() *cobra.Command {
	cmd := command("quantize MODEL DATA... --out FILE", "Quantize a model for inference in int8 or bfloat16",
		openFlags, voxelFlags, ingestFlags)
	cmd.Long = cmd.Short + `.

The first rows of the data calibrate the range of each layer's inputs. The remaining rows measure the accuracy in
float32 and in low precision. A model that loses more than --max-drop percentage points is not written. The file holds
the original weights and the precision for inference, which all commands use. Training continues in float32.`
	cmd.Example = "  voxelstream model quantize digits.keras mnist3d.h5 --precision int8 --out digits-int8.keras"
	var o learn.QuantizeOptions
	choiceVar(cmd.Flags(), &o.Kind, "precision", nn.Int8, "Precision: "+strings.Join(nn.Precisions(), " or ")+".",
		nn.Precisions())
	flagsIn(cmd, groupInput, func(f *pflag.FlagSet) {
		choiceVar(f, &o.Split, "split", "", "Part of an archive to use: train, val, test or all. (default train, or all "+
			"if there is no training part)", learn.Splits())
	})
	cmd.Flags().Float64Var(&o.Share, "calibration-share", .2, "Fraction of the rows to calibrate with.")
	cmd.Flags().Float64Var(&o.MaxDrop, "max-drop", .2, "Maximum accuracy loss in percentage points.")
	flagsIn(cmd, groupOutput, func(f *pflag.FlagSet) {
		f.BoolVar(&o.Force, "force", false,
			"Write the model regardless of the accuracy loss, also over an existing file.")
		outputVar(f, &o.Out, "out", "Model file to write. (default: only show the report)", savedExtensions...)
	})
	cmd.RunE = c.do(collecting(gcKeeping, func(ctx context.Context, a *app.Env, args []string) error {
		r, err := learn.Quantize(ctx, a, args[0], args[1:], o)
		return show(c, r, err, quantizeText)
	}))
	return cmd
}

// cutName splits FILE or NAME=FILE into NAME=, which may be empty, and FILE.
func cutName(arg string) (name, file string) {
	at := strings.Index(arg, "=") + 1
	return arg[:at], arg[at:]
}

// first returns the first argument, or an empty string.
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// passesText lists the optimization passes, one per line.
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
		fmt.Fprintf(w, " Inference precision: %s\n", s.Precision)
	}
	if s.Augmentation != "" {
		fmt.Fprintf(w, " Augmentation in training: %s\n", s.Augmentation)
	}
	if len(s.Classes) > 0 {
		fmt.Fprintf(w, " Classes: %s\n", strings.Join(s.Classes, ", "))
	}
}

func benchText(w io.Writer, r *models.BenchResult) {
	fmt.Fprintf(w, "%s, batch size %d, input %s: %.0f samples/s, latency p50 %.3f ms, p99 %.3f ms, %s, kernels %s\n",
		r.Mode, r.Batch, r.Input, r.PerSecond, r.LatencyMS.P50, r.LatencyMS.P99, app.Count(r.Threads, "thread"), r.Tier)
}

func verifyText(w io.Writer, r *models.VerifyResult) {
	fmt.Fprintf(w, "%s, version %s: maximum difference %.2g with optimization passes (tolerance %g), %g with threads; "+
		"kernels %s\n",
		r.Name, r.Version, r.Passes, models.PassTolerance, r.Threads, r.Tier)
}

func quantizeText(w io.Writer, r *learn.QuantizeResult) {
	fmt.Fprintf(w, "accuracy %.4f in %s, %.4f in float32: %.2f percentage points lost on %s, calibrated on %s\n",
		r.Low, r.Kind, r.Float, r.Drop, app.Count(r.Rows, "row"), app.Count(r.Calibration, "other row"))
	fmt.Fprintf(w, "same class for %.2f %% of the rows; probabilities differ by at most %.4f, and by %.5f on average\n",
		100*r.Agree, r.Largest, r.Mean)
	if r.Model != "" {
		fmt.Fprintf(w, "%s: inference in %s; model bench measures its speed\n", r.Model, r.Kind)
	}
}
