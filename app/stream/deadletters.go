package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
	"github.com/voxelstream/voxelstream/record"
)

// deadLetter is the value of the dead letter of an item that never became a message: it could not be read, or not be
// voxelized. There is no message to send back; reading the input again repeats it.
type deadLetter struct {
	Input  string `json:"input"`
	Stream string `json:"stream"`
	Seq    uint64 `json:"seq"`
	Object uint32 `json:"object,omitempty"`
	View   uint32 `json:"view,omitempty"`
	Stage  string `json:"stage"`
	Error  string `json:"error"`
}

// newDeadLetter is that of an item of an input that failed in a stage.
func newDeadLetter(in input.Input, id record.ID, stage string, err error) deadLetter {
	return deadLetter{
		Input: in.String(), Stream: id.Stream, Seq: id.Seq, Object: id.Object, View: id.View, Stage: stage,
		Error: err.Error(),
	}
}

// id is the item's ID.
func (d *deadLetter) id() record.ID {
	return record.ID{Stream: d.Stream, Seq: d.Seq, Object: d.Object, View: d.View}
}

// deadLetters writes them, each item once.
type deadLetters struct {
	log      *slog.Logger
	observer pipeline.Observer
	topic    pipeline.Sink[transport.Message]
	count    atomic.Int64
}

func newDeadLetters(a *app.Env, cl *cluster) *deadLetters {
	return &deadLetters{
		log: a.Log, observer: pipeline.Observed(a.Observer),
		topic: kafka.NewDeduper(cl.producer, a.Config.Kafka.DeadLetters, 0),
	}
}

// ingestStage is the stage of what cannot be read.
const ingestStage = "ingest"

// write stores a dead letter and returns when it is stored.
func (w *deadLetters) write(ctx context.Context, d deadLetter) error {
	value, err := json.Marshal(d)
	if err != nil {
		return err
	}
	id := d.id().String() + "!" + d.Stage
	m := transport.DeadLetterOf(transport.New(d.Stream, id, transport.ContentJSON, value), transport.DeadLetter{
		Partition: -1, Offset: -1, Stage: d.Stage, Error: d.Error, Attempts: 1, Time: time.Now(),
	})
	w.warn(d)
	if d.Stage == ingestStage { // the pipeline reports those of its stages
		w.observer.Count(ingestStage, pipeline.EventDeadLetter, 1)
	}
	if err := w.topic.Write(ctx, []transport.Message{m}); err != nil {
		return fmt.Errorf("dead letter of %s: %w", id, err)
	}
	w.count.Add(1)
	w.observer.Count("inputs", pipeline.EventDeadLetterStored, 1)
	return nil
}

// maxWarnings is how many dead letters a run warns of: a folder without its images would fill the screen. The topic
// has them all.
const maxWarnings = 5

// warn logs a dead letter: the first ones as warnings, the others at level debug.
func (w *deadLetters) warn(d deadLetter) {
	level := slog.LevelWarn
	switch n := w.count.Load(); {
	case n == maxWarnings:
		w.log.Warn("further dead letters are logged at debug level; run dlq list to see all")
		fallthrough
	case n > maxWarnings:
		level = slog.LevelDebug
	}
	w.log.Log(context.Background(), level, "dead letter",
		"input", d.Input, "item", d.id(), "stage", d.Stage, "error", d.Error)
}
