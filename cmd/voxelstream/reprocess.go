package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/bulk"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/report"
	"github.com/voxelstream/voxelstream/reprocess"
)

func (c *cli) reprocess() *cobra.Command {
	cmd := command("reprocess INPUT...", "Classify archives in bulk: a table of results and a report",
		voxelFlags, inputFormatFlags(), modelFlag, topKFlag, kafkaFlags)
	cmd.Long = cmd.Short + `.

The output holds the table of results, one row per classified row, report.html, report.json, manifest.json and, if rows
could not be classified, rejected.jsonl. The rows are in the order of the inputs.

The work is done in shards, whose results are stored in parts/. After a crash or an interruption, repeat the command to
continue: at most one shard per thread is done again. If it is repeated with further inputs, only the shards that
contain them are classified. The results do not depend on the number of threads, nor on interruptions.

With --brokers, the shards are tasks on a topic of the cluster. This process works on them together with all processes
that run "reprocess join" with the same output, which must be reachable from each of them under the same name, as must
the inputs.

Exit code 3 means that some files or rows could not be classified.`
	cmd.Example = "  voxelstream reprocess archives/ --model digits.keras --out results\n" +
		"  voxelstream reprocess a.h5 b.h5 --out results --format csv\n" +
		"  voxelstream reprocess archives/ --out results --plan\n" +
		"  voxelstream reprocess diff results-old results-new"
	f := cmd.Flags()
	o := bulk.Options{}
	jobFlags(f, &o)
	flagsIn(cmd, groupOutput, func(f *pflag.FlagSet) {
		f.StringSliceVar(&o.Formats, "format", []string{"parquet"},
			"Formats of the table of results, separated by commas: "+strings.Join(bulk.Formats(), ", ")+
				". Tables of other formats that an earlier run has made are removed.")
	})
	f.BoolVar(&o.Strict, "strict", false, "Stop at the first file or row that cannot be classified.")
	f.BoolVar(&o.Force, "force", false, "Discard the results of other inputs, models or settings in the output.")
	_ = cmd.RegisterFlagCompletionFunc("format", // the flag exists
		cobra.FixedCompletions(bulk.Formats(), cobra.ShellCompDirectiveNoFileComp))
	resume := f.Bool("resume", false, "Continue an earlier run; it is an error if there is none. Without this flag, "+
		"an earlier run is continued if there is one.")
	plan := f.Bool("plan", false, "Only show what would be done, with an estimate of the time.")
	cmd.RunE = c.drain(collecting(gcStreaming, func(ctx context.Context, a *app.Env, args []string) error {
		if *plan {
			p, err := bulk.PlanOf(ctx, a, args, o)
			return show(c, p, err, planText)
		}
		o.Resume = *resume
		r, err := bulk.Reprocess(ctx, a, args, o)
		return summarize(c, r, err, reprocessText)
	}))
	cmd.AddCommand(c.reprocessJoin(), c.reprocessDiff())
	return cmd
}

// jobFlags adds the flags that every process of a job needs.
func jobFlags(f *pflag.FlagSet, o *bulk.Options) {
	seekableVar(f, &o.Out, "out",
		"Folder or object store for the results: a path, s3://BUCKET/PREFIX, gs://... or azblob://... (required)",
		"the results are a folder")
	inGroup(f.Lookup("out"), groupOutput)
	f.IntVar(&o.ShardRows, "shard-rows", reprocess.DefaultShardRows,
		"Number of rows per shard. It must stay the same for an output.")
}

func (c *cli) reprocessJoin() *cobra.Command {
	cmd := command("join", "Work on a job begun with reprocess --brokers", voxelFlags,
		inputFormatFlags(), modelFlag, topKFlag, kafkaFlags)
	cmd.Long = cmd.Short + `.

The settings must be those of the job. The command ends when the job is complete.`
	cmd.Example = "  voxelstream reprocess join --out /mnt/results --brokers kafka1:9092"
	o := bulk.Options{Formats: bulk.Formats()[:1]}
	jobFlags(cmd.Flags(), &o)
	cmd.RunE = c.drain(collecting(gcStreaming, func(ctx context.Context, a *app.Env, _ []string) error {
		r, err := bulk.Join(ctx, a, o)
		return summarize(c, r, err, func(w io.Writer, r *bulk.Joined) {
			fmt.Fprintf(w, "%s of %d in %.1f s\n", app.Count(r.Shards, "shard"), r.Total, r.Seconds)
		})
	}))
	return cmd
}

func (c *cli) reprocessDiff() *cobra.Command {
	cmd := command("diff A B", "Compare two results: which rows changed, and by how much")
	cmd.Long = cmd.Short + `.

A and B are outputs of reprocess, or tables of classifications in any format.`
	cmd.Example = "  voxelstream reprocess diff results-old results-new\n" +
		"  voxelstream reprocess diff old.parquet new.parquet --out diff.html"
	var out string
	flagsIn(cmd, groupOutput, func(f *pflag.FlagSet) {
		outputVar(f, &out, "out", "Also write the comparison to this .html or .json file.", ".json", ".html")
	})
	forceFlag(cmd)
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		d, err := bulk.Diff(ctx, a, args[0], args[1], out)
		if d == nil {
			return err
		}
		var textErr error
		err = show(c, d, err, func(w io.Writer, d *report.Diff) { textErr = d.Text(w) })
		return errors.Join(err, textErr)
	})
	return cmd
}

func planText(w io.Writer, p *bulk.Plan) {
	fmt.Fprintf(w, "%s, %s, %s, %s\n", app.Count(p.Files, "file"), app.Count(p.Rows, "row"),
		option.Bytes(p.Bytes).Scaled(), app.Count(p.Shards, "shard"))
	if p.Uncounted > 0 {
		fmt.Fprintf(w, "of these, %s of an unknown number of rows\n", app.Count(p.Uncounted, "file"))
	}
	if p.Remaining < p.Rows {
		fmt.Fprintf(w, "%s already classified\n", app.Count(p.Rows-p.Remaining, "row"))
	}
	if p.RowsPerSecond > 0 {
		fmt.Fprintf(w, "about %v at %.0f rows/s\n",
			time.Duration(p.Seconds*float64(time.Second)).Round(time.Second), p.RowsPerSecond)
	}
	if len(p.Unusable) > 0 {
		fmt.Fprintf(w, "left out or failing: %s\n", app.CountFiles(p.Unusable))
	}
	for _, f := range p.Unusable {
		fmt.Fprintf(w, "%s  %s: %s\n", f.Status, f.File, f.Error)
	}
}

func reprocessText(w io.Writer, r *bulk.Result) {
	fmt.Fprintf(w, "%s, %d classified, %d failed", app.Count(r.Rows, "row"), r.Classified, r.Failed)
	if r.Skipped > 0 {
		fmt.Fprintf(w, ", %d by an earlier run", r.Skipped)
	}
	if r.Accuracy != nil {
		fmt.Fprintf(w, ", accuracy %.4f", *r.Accuracy)
	}
	fmt.Fprintf(w, "\n%s: %s in %.1f s", app.Count(len(r.Files), "file"), app.CountFiles(r.Files), r.Seconds)
	if r.RowsPerSecond > 0 {
		fmt.Fprintf(w, " (%.0f rows/s)", r.RowsPerSecond)
	}
	fmt.Fprintln(w)
	fmt.Fprintf(w, "%s: %s\n", r.Out, strings.Join(r.Outputs, ", "))
}
