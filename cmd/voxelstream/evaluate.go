package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/learn"
)

func (c *cli) evaluate() *cobra.Command {
	cmd := command("evaluate DATA...", "Measure accuracy, confusion and calibration of a model",
		modelFlag, voxelFlags, ingestFlags)
	cmd.Example = "  voxelstream evaluate mnist3d.h5 --model digits.keras\n" +
		"  voxelstream evaluate mnist3d.h5 --split all --report report.html\n" +
		"  voxelstream evaluate mnist3d.h5 --rows 0:500\n" +
		"  voxelstream evaluate heldout.h5 --model digits.keras --calibrate --force"
	var split, report, out string
	flagsIn(cmd, groupInput, func(f *pflag.FlagSet) {
		choiceVar(f, &split, "split", "", "Part of an archive (HDF5, .npz) to use: train, val, test or all. "+
			"(default test, or else val, or else train)", learn.Splits())
	})
	rowsFlags(cmd, groupInput, "evaluate")
	flagsIn(cmd, groupOutput, func(f *pflag.FlagSet) {
		outputVar(f, &report, "report", "Write a report to this .html or .json file. - is standard output, as JSON.",
			".json", ".html")
		outputVar(f, &out, "out", "With --calibrate, write a copy of the model to this file.", savedExtensions...)
	})
	calibrate := cmd.Flags().Bool("calibrate", false, "First fit the temperature of the scores and the energy of "+
		"unfamiliar volumes to DATA, and write them to the model file (with --force) or to --out. The part of an "+
		"archive is then val, or else test, or else train, unless --split says otherwise.")
	forceFlag(cmd)
	cmd.RunE = c.do(collecting(gcKeeping, func(ctx context.Context, a *app.Env, args []string) error {
		r, err := learn.Evaluate(ctx, a, args, learn.EvaluateOptions{
			Split: split, Report: report, Calibrate: *calibrate, Out: out,
		})
		return show(c, r, err, func(w io.Writer, r *learn.EvaluateResult) { evaluateText(w, r, c.width()) })
	}))
	return cmd
}

// evaluateText writes the figures and a table of the classes with the confusion matrix, which has a table of its own if
// both are wider than the terminal.
func evaluateText(w io.Writer, r *learn.EvaluateResult, width int) {
	fmt.Fprintln(w, r.Called)
	fmt.Fprintf(w, "%s, accuracy %.4f, loss %.4f, calibration error %.4f", app.Count(r.Rows, "row"), r.Accuracy,
		r.Loss, r.ECE)
	if r.Uncalibrated != nil {
		fmt.Fprintf(w, " (%.4f without the temperature %.4f)", *r.Uncalibrated, r.Temperature)
	}
	fmt.Fprintln(w)
	if r.Unfamiliar != nil {
		fmt.Fprintf(w, "%s unlike the training data\n", app.Count(*r.Unfamiliar, "row"))
	}
	if r.Upright != nil {
		fmt.Fprintf(w, "%s upright, accuracy %.4f; %s rotated, accuracy %.4f\n",
			app.Count(r.Upright.Rows, "row"), r.Upright.Accuracy, app.Count(r.Rotated.Rows, "row"), r.Rotated.Accuracy)
	}
	fmt.Fprintf(w, "top-%d accuracy %.4f, AUC %.4f, macro F1 %.4f\n", r.K, r.TopK, r.AUC, r.MacroF1)
	if all := classTable(r, true, true); width == 0 || widest(all) <= width {
		fmt.Fprint(w, all)
	} else {
		fmt.Fprint(w, classTable(r, true, false))
		if matrix := classTable(r, false, true); widest(matrix) <= width {
			fmt.Fprint(w, matrix)
		} else {
			const note = "The confusion matrix is wider than the terminal; --json and --report have it."
			fmt.Fprintln(w, "\n"+wrapped(note, "", width))
		}
	}
	if r.Calibrated != "" {
		fmt.Fprintf(w, "\ncalibration written to %s\n", r.Calibrated)
	}
	filesText(w, r.Files)
}

// classTable returns a table with a line for each class: its figures, its row of the confusion matrix, or both.
func classTable(r *learn.EvaluateResult, figures, confusion bool) string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 2, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\nclass\t")
	if figures {
		fmt.Fprint(t, "rows\tprecision\trecall\tF1\tAUC\t")
	}
	for c := range r.Confusion {
		if confusion {
			fmt.Fprintf(t, "as %d\t", c)
		}
	}
	for _, c := range r.PerClass {
		fmt.Fprintf(t, "\n%s\t", className(c.Class, c.Name))
		if figures {
			auc := "-"
			if c.AUC != nil {
				auc = fmt.Sprintf("%.4f", *c.AUC)
			}
			fmt.Fprintf(t, "%d\t%.3f\t%.3f\t%.3f\t%s\t", c.Rows, c.Precision, c.Recall, c.F1, auc)
		}
		for _, n := range r.Confusion[c.Class] {
			if confusion {
				fmt.Fprintf(t, "%d\t", n)
			}
		}
	}
	fmt.Fprintln(t)
	t.Flush()
	return b.String()
}

// widest returns the number of columns of the longest line of a text.
func widest(text string) int {
	n := 0
	for line := range strings.Lines(text) {
		n = max(n, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")))
	}
	return n
}
