package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

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
		r, err := learn.Evaluate(ctx, a, args, *split, *report)
		return show(c, r, err, evaluateText)
	}))
	return cmd
}

func evaluateText(w io.Writer, r *learn.EvaluateResult) {
	fmt.Fprintf(w, "rows %d, accuracy %.4f, loss %.4f, calibration error %.4f\n", r.Rows, r.Accuracy, r.Loss, r.ECE)
	if r.Upright != nil {
		fmt.Fprintf(w, "upright %d rows, accuracy %.4f; rotated %d rows, accuracy %.4f\n", r.Upright.Rows, r.Upright.Accuracy, r.Rotated.Rows, r.Rotated.Accuracy)
	}
	fmt.Fprintf(w, "among the %d best %.4f, area under the curve %.4f, F1 %.4f\n", r.K, r.TopK, r.AUC, r.MacroF1)
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\nclass\trows\tprecision\trecall\tF1\tAUC\t")
	for c := range r.Confusion {
		fmt.Fprintf(t, "as %d\t", c)
	}
	for _, c := range r.PerClass {
		auc := "-"
		if c.AUC != nil {
			auc = fmt.Sprintf("%.4f", *c.AUC)
		}
		fmt.Fprintf(t, "\n%d\t%d\t%.3f\t%.3f\t%.3f\t%s\t", c.Class, c.Rows, c.Precision, c.Recall, c.F1, auc)
		for _, n := range r.Confusion[c.Class] {
			fmt.Fprintf(t, "%d\t", n)
		}
	}
	fmt.Fprintln(t)
	t.Flush()
}
