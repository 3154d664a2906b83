package stream

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
)

// Summary is the result of run and classify.
type Summary struct {
	// Inputs and Volumes count what run has put onto the topic; both absent for classify.
	Inputs  int   `json:"inputs,omitempty"`
	Volumes int64 `json:"volumes,omitempty"`
	// Classified counts volumes whose classification every sink holds. Labelled of them had a label, Correct of these agree with it.
	Classified  int           `json:"classified"`
	DeadLetters int64         `json:"dead_letters"`
	Labelled    int           `json:"labelled"`
	Correct     int           `json:"correct"`
	Accuracy    *float64      `json:"accuracy,omitempty"`
	Seconds     float64       `json:"seconds"`
	PerSecond   float64       `json:"volumes_per_second"`
	LatencyMS   app.Quantiles `json:"latency_ms"`
	Model       record.Model  `json:"model"`
	Classes     []ClassCount  `json:"classes"`
	Outputs     []string      `json:"outputs"`
}

// ClassCount is one line of the summary's table: by label where there is one, else by the class that was found.
type ClassCount struct {
	Class     int      `json:"class"`
	Volumes   int      `json:"volumes"`
	Correct   int      `json:"correct"`
	Accuracy  *float64 `json:"accuracy,omitempty"`
	MeanScore float64  `json:"mean_score"`
}

func (c *classifying) summary(start time.Time) *Summary {
	t := c.tally.Total()
	s := &Summary{
		Classified: t.Classified, Labelled: t.Labelled, Correct: t.Correct, Accuracy: accuracy(t), Seconds: time.Since(start).Seconds(),
		DeadLetters: c.consumer.Stats().DeadLettered.Load(), LatencyMS: app.Quantiles{P50: c.tally.Latency(0.5), P99: c.tally.Latency(0.99)},
		Model: c.model, Outputs: c.outputs,
	}
	s.PerSecond = float64(t.Classified) / max(s.Seconds, 1e-3)
	for class, n := range c.tally.Classes() {
		s.Classes = append(s.Classes, ClassCount{class, n.Classified, n.Correct, accuracy(n), n.MeanScore()})
	}
	slices.SortFunc(s.Classes, func(a, b ClassCount) int { return cmp.Compare(a.Class, b.Class) })
	return s
}

func accuracy(c sinks.Count) *float64 {
	if a, ok := c.Accuracy(); ok {
		return &a
	}
	return nil
}

// report prints a summary; dead letters make it an error.
func report(a *app.Env, s *Summary) error {
	if err := a.Print(s, s.text); err != nil {
		return err
	}
	if s.DeadLetters > 0 {
		return app.ErrDeadLetters
	}
	return nil
}

func (s *Summary) text(w io.Writer) {
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	if s.Inputs > 0 {
		fmt.Fprintf(t, "volumes\t%d, inputs %d\n", s.Volumes, s.Inputs)
	}
	fmt.Fprintf(t, "classified\t%d in %.2f s (%.0f/s), latency p50 %.1f ms, p99 %.1f ms\n", s.Classified, s.Seconds, s.PerSecond, s.LatencyMS.P50, s.LatencyMS.P99)
	if s.Accuracy != nil {
		fmt.Fprintf(t, "accuracy\t%.2f %% (%d of %d)\n", 100**s.Accuracy, s.Correct, s.Labelled)
	}
	fmt.Fprintf(t, "dead letters\t%d\n", s.DeadLetters)
	fmt.Fprintf(t, "model\t%s, version %s\n", s.Model.Name, s.Model.Version)
	fmt.Fprintf(t, "results\t%s\n", strings.Join(s.Outputs, ", "))
	t.Flush()
	if len(s.Classes) == 0 {
		return
	}
	fmt.Fprintln(t, "\nclass\tvolumes\tcorrect\taccuracy\tmean score")
	for _, c := range s.Classes {
		right, share := "-", "-"
		if c.Accuracy != nil {
			right, share = fmt.Sprint(c.Correct), fmt.Sprintf("%.1f %%", 100**c.Accuracy)
		}
		fmt.Fprintf(t, "%d\t%d\t%s\t%s\t%.3f\n", c.Class, c.Volumes, right, share, c.MeanScore)
	}
	t.Flush()
}
