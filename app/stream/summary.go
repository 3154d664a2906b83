package stream

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/internal/tally"
	"github.com/voxelstream/voxelstream/record"
)

// Summary is the result of run and classify.
type Summary struct {
	// Inputs counts the inputs of run. It is absent for classify.
	Inputs int `json:"inputs,omitempty"`
	// Volumes counts the volumes that run has sent to the topic, or those that classify has read from it.
	Volumes int64 `json:"volumes"`
	// Classified counts the volumes whose classification is stored by every required sink: New those of which at least
	// one of them had none, and Repeated those that all of them held already.
	Classified int   `json:"classified"`
	New        int64 `json:"new"`
	Repeated   int64 `json:"repeated"`
	// Failed counts the rows and volumes that became dead letters, and the files that could not be read to their end. A
	// message of the topic that cannot be decoded counts as one.
	Failed    int64   `json:"failed"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	// Files lists what became of each file of run's inputs.
	Files       []app.FileOutcome `json:"files"`
	DeadLetters int64             `json:"dead_letters"`
	// Unfamiliar counts the volumes that are unlike the training data of the model.
	Unfamiliar int `json:"unfamiliar,omitempty"`
	// Labelled counts the volumes with a label, and Correct those whose class is the label.
	Labelled  int           `json:"labelled"`
	Correct   int           `json:"correct"`
	Accuracy  *float64      `json:"accuracy,omitempty"`
	LatencyMS app.Quantiles `json:"latency_ms"`
	Model     record.Model  `json:"model"`
	// Rollout compares a model on trial with Model; nil if there is none.
	Rollout *Rollout     `json:"rollout,omitempty"`
	Classes []ClassCount `json:"classes"`
	Outputs []string     `json:"outputs"`
	// Dropped lists the best-effort sinks that have dropped classifications.
	Dropped []Dropped `json:"dropped,omitempty"`
	// Stdout is true if classifications were written to standard output.
	Stdout bool `json:"-"`
}

// ClassCount counts the volumes with a label or, for volumes without one, with a predicted class.
type ClassCount struct {
	Class     int      `json:"class"`
	Name      string   `json:"name,omitempty"`
	Volumes   int      `json:"volumes"`
	Correct   int      `json:"correct"`
	Accuracy  *float64 `json:"accuracy,omitempty"`
	MeanScore float64  `json:"mean_score"`
}

// Dropped counts the classifications that a best-effort sink has dropped.
type Dropped struct {
	Sink            string `json:"sink"`
	Classifications int    `json:"classifications"`
}

// summary returns the result. It lets a shadow model finish, unless ctx has ended.
func (c *classifying) summary(ctx context.Context, start time.Time) *Summary {
	t := c.tally.Total()
	model, _ := c.network.inUse()
	s := &Summary{
		Classified: t.Classified, Unfamiliar: t.Unfamiliar, Labelled: t.Labelled, Correct: t.Correct,
		Accuracy: accuracy(t),
		Repeated: c.repeated.Load(), Failed: c.failed.Load(), Files: []app.FileOutcome{},
		Seconds:     time.Since(start).Seconds(),
		DeadLetters: c.consumer.Stats().DeadLettered.Load(), LatencyMS: app.Quantiles{
			P50: c.tally.Latency(0.5),
			P99: c.tally.Latency(0.99),
		},
		Model: model.Info, Outputs: c.outputs, Stdout: c.stdout,
	}
	s.New = int64(s.Classified) - s.Repeated
	s.Dropped = c.drops.total()
	s.Classes = []ClassCount{}
	s.PerSecond = float64(t.Classified) / max(s.Seconds, 1e-3)
	for class, n := range c.tally.Classes() {
		s.Classes = append(s.Classes, ClassCount{
			class, c.network.ClassName(class), n.Classified, n.Correct,
			accuracy(n), n.MeanScore(),
		})
	}
	slices.SortFunc(s.Classes, func(a, b ClassCount) int { return cmp.Compare(a.Class, b.Class) })
	c.rollout.finish(ctx.Done(), c.app.Config.Pipeline.Drain)
	s.Rollout = c.rollout.report()
	return s
}

func accuracy(c tally.Count) *float64 {
	if a, ok := c.Accuracy(); ok {
		return &a
	}
	return nil
}

// deadLettered returns an error if there are dead letters, unless a signal has stopped a service. A service manager would
// call a service failed that was stopped as it should be, however long ago the dead letter was.
func deadLettered(n int64, service, stopped bool) error {
	if n > 0 && (!service || !stopped) {
		return app.ErrDeadLetters
	}
	return nil
}
