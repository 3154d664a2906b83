package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/app/stream"
	"github.com/voxelstream/voxelstream/internal/screen"
)

func (c *cli) classify() *cobra.Command {
	cmd := command("classify", "Classify the volumes of the topic as a member of a consumer group",
		kafkaFlags, httpFlag, sinkFlags, modelFlag, switchFlags, rolloutFlags,
		config.Flags("voxelize.values", "voxelize.colormap"))
	cmd.Long = cmd.Short + `.

The command runs until interrupted. The first interrupt finishes the work in flight. The second stops immediately:
nothing is lost, but some work is repeated on the next start. The exit code after the first is 0, whether or not there
are dead letters. With --once, exit code 3 means that there are dead letters.`
	cmd.Example = "  voxelstream classify --brokers kafka-1:9092 --model shapes.keras\n" +
		"  voxelstream classify --brokers kafka-1:9092 --once --out results.jsonl"
	once := cmd.Flags().Bool("once", false, "Exit when all volumes on the topic are classified.")
	cmd.RunE = c.drain(collecting(gcStreaming, served(func(ctx context.Context, a *app.Env, _ []string) error {
		s, err := stream.Classify(ctx, a, *once)
		return c.showSummary(s, err)
	})))
	return cmd
}

// showSummary is like show, but text goes to standard error if the classifications went to standard output. With
// --quiet, there is no text.
func (c *cli) showSummary(s *stream.Summary, err error) error {
	if c.quiet && !c.json {
		return err
	}
	if s != nil && s.Stdout && !c.json {
		summaryText(c.err, screen.Printable(s))
		return err
	}
	return show(c, s, err, summaryText)
}

// summaryText writes a summary as text: totals, and a table of the classes.
func summaryText(w io.Writer, s *stream.Summary) {
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	if s.Inputs > 0 {
		fmt.Fprintf(t, "volumes\t%d from %s\n", s.Volumes, app.Count(s.Inputs, "input"))
	}
	fmt.Fprintf(t, "classified\t%s in %.2f s (%.0f/s), latency p50 %.1f ms, p99 %.1f ms\n",
		app.Count(s.Classified, "volume"), s.Seconds, s.PerSecond, s.LatencyMS.P50, s.LatencyMS.P99)
	switch {
	case s.Repeated > 0 && s.New > 0:
		fmt.Fprintf(t, "stored\t%s; %d had been classified and stored before\n", app.Count(s.New, "new volume"), s.Repeated)
	case s.Repeated > 0:
		fmt.Fprintln(t, "stored\tnothing new: all volumes had been classified and stored before")
	}
	if s.Accuracy != nil {
		fmt.Fprintf(t, "accuracy\t%.2f %% (%d of %d)\n", 100**s.Accuracy, s.Correct, s.Labelled)
	}
	if s.Unfamiliar > 0 {
		fmt.Fprintf(t, "unfamiliar\t%s unlike the training data of the model\n", app.Count(s.Unfamiliar, "volume"))
	}
	if s.Failed > 0 {
		fmt.Fprintf(t, "failed\t%d\n", s.Failed)
	}
	fmt.Fprintf(t, "dead letters\t%d\n", s.DeadLetters)
	for _, d := range s.Dropped {
		fmt.Fprintf(t, "dropped\t%s by %s\n", app.Count(d.Classifications, "classification"), d.Sink)
	}
	fmt.Fprintf(t, "model\t%s, version %s\n", s.Model.Name, s.Model.Version)
	fmt.Fprintf(t, "results\t%s\n", strings.Join(s.Outputs, ", "))
	t.Flush()
	defer filesText(w, s.Files)
	defer rolloutText(w, s.Rollout)
	if len(s.Classes) == 0 {
		return
	}
	fmt.Fprintln(t, "\nclass\tvolumes\tcorrect\taccuracy\tmean score")
	for _, c := range s.Classes {
		right, share := "-", "-"
		if c.Accuracy != nil {
			right, share = fmt.Sprint(c.Correct), fmt.Sprintf("%.1f %%", 100**c.Accuracy)
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%.3f\n", className(c.Class, c.Name), c.Volumes, right, share, c.MeanScore)
	}
	t.Flush()
}

// maxDisagreements is the number of pairs of classes in the text of a comparison.
const maxDisagreements = 10

// rolloutText writes the comparison of a model on trial with the one that serves.
func rolloutText(w io.Writer, r *stream.Rollout) {
	if r == nil {
		return
	}
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	defer t.Flush()
	of := "volumes"
	if r.Shadow == nil {
		of = "streams"
	}
	fmt.Fprintf(t, "\n%s\tversion\tvolumes\taccuracy\tcalibration error\tmean score\tms per volume\n", r.Mode)
	for _, m := range []stream.RolloutModel{r.Serving, r.Candidate} {
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", m.Name, m.Version, m.Volumes, figure("%.2f %%", 100, m.Accuracy),
			figure("%.3f", 1, m.ECE), figure("%.3f", 1, m.MeanScore), figure("%.3f", 1, m.MillisPerVolume))
	}
	t.Flush()
	fmt.Fprintf(t, "share\t%g %% of the %s\n", r.Percent, of)
	if r.Failed != "" {
		fmt.Fprintf(t, "failed\t%s\n", r.Failed)
	}
	s := r.Shadow
	if s == nil {
		return
	}
	fmt.Fprintf(t, "compared\t%s, %d left out\n", app.Count(s.Compared, "volume"), s.LeftOut)
	fmt.Fprintf(t, "agreement\t%s, score difference %s\n", figure("%.2f %%", 100, s.Agreement),
		figure("%+.3f", 1, s.ScoreDifference))
	for _, d := range s.Disagreements[:min(len(s.Disagreements), maxDisagreements)] {
		fmt.Fprintf(t, "differ\t%s -> %s: %d\n", className(d.Serving, d.ServingName),
			className(d.Candidate, d.CandidateName), d.Volumes)
	}
	if more := len(s.Disagreements) - maxDisagreements; more > 0 {
		fmt.Fprintf(t, "\t%s of classes: see --json\n", app.Count(more, "more pair"))
	}
}

// figure formats a number times a factor, or "-" if there is none.
func figure(format string, factor float64, v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf(format, factor**v)
}
