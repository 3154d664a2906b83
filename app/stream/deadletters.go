package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/internal/clip"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
)

// deadLetter is the value of the dead letter for an item that never became a message, because it could not be read or
// voxelized. There is no message to send back; the input must be read again instead.
type deadLetter struct {
	Input  string `json:"input"`
	Stream string `json:"stream"`
	Seq    uint64 `json:"seq"`
	Object uint32 `json:"object,omitempty"`
	View   uint32 `json:"view,omitempty"`
	Stage  string `json:"stage"`
	Error  string `json:"error"`
	// Count is the number of items of a summary, and Last the ID of the last one. The first one is above.
	Count int64  `json:"count,omitempty"`
	Last  string `json:"last,omitempty"`

	sensor bool // the item is from a live source that does not ask what became of it
	empty  bool // there was nothing to voxelize
}

// newDeadLetter returns the dead letter of an item that failed in a stage.
func newDeadLetter(in input.Input, id record.ID, stage string, err error) deadLetter {
	return deadLetter{
		Input: clip.Text(in.String()), Stream: id.Stream, Seq: id.Seq, Object: id.Object, View: id.View, Stage: stage,
		Error: clip.Text(err.Error()), empty: errors.Is(err, voxelize.ErrEmpty),
	}
}

// id returns the ID of the item.
func (d *deadLetter) id() record.ID {
	return record.ID{Stream: d.Stream, Seq: d.Seq, Object: d.Object, View: d.View}
}

// deadLetters stores dead letters, each item once. If there are too many with the same reason, it stores summaries.
type deadLetters struct {
	log      *slog.Logger
	observer pipeline.Observer
	topic    deadLetterTopic
	floods   *floods
	count    atomic.Int64

	mu     sync.Mutex // guards what follows
	stream string     // of the last dead letter
	more   int        // dead letters of this stream that were not logged as warnings
	warned int        // streams
}

// deadLetterTopic stores the dead letters of messages. It is a [kafka.Deduper].
type deadLetterTopic interface {
	WriteDeadLetter(context.Context, transport.Message, transport.DeadLetter) error
}

func newDeadLetters(log *slog.Logger, o pipeline.Observer, topic deadLetterTopic) *deadLetters {
	w := &deadLetters{log: log, observer: pipeline.Observed(o), topic: topic}
	w.floods = newFloods(w.store, func(d deadLetter, err error) {
		w.log.Error("a summary of dead letters could not be stored", "input", d.Input, "reason", d.Error, "error", err)
	})
	return w
}

// ingestStage is the stage of items that cannot be read.
const ingestStage = "ingest"

// write stores a dead letter, now or as a part of a summary.
func (w *deadLetters) write(ctx context.Context, d deadLetter) error {
	if d.Stage == ingestStage { // the pipeline reports those of its own stages
		w.observer.Count(ingestStage, pipeline.EventDeadLetter, 1)
	}
	if !w.floods.add(d) {
		return nil
	}
	return w.store(ctx, d)
}

// store stores a dead letter.
func (w *deadLetters) store(ctx context.Context, d deadLetter) error {
	value, err := json.Marshal(d)
	if err != nil {
		return err
	}
	id := d.id().String() + "!" + d.Stage
	if d.Count > 0 {
		id += "!" + d.Last
	}
	w.warn(d)
	err = w.topic.WriteDeadLetter(ctx, transport.New(d.Stream, id, transport.ContentJSON, value), transport.DeadLetter{
		Partition: -1, Offset: -1, Stage: d.Stage, Error: d.Error, Attempts: 1, Time: time.Now(), Count: d.Count,
	})
	if err != nil {
		return fmt.Errorf("dead letter of %s: %w", clip.Text(id), err)
	}
	w.count.Add(1)
	w.observer.Count("inputs", pipeline.EventDeadLetterStored, 1)
	return nil
}

// maxWarnings is the number of streams whose dead letters are logged as warnings: a folder may have thousands of
// unreadable files. The topic has them all.
const maxWarnings = 20

// warn logs a dead letter: the first of a stream as a warning, the others at level debug, because a damaged file may
// have many with the same reason.
func (w *deadLetters) warn(d deadLetter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	level := slog.LevelDebug
	switch {
	case d.Stream == w.stream && w.warned > 0:
		w.more++
	case w.warned < maxWarnings:
		w.sum()
		level = slog.LevelWarn
		w.stream = d.Stream
		w.warned++
	case w.warned == maxWarnings:
		w.sum()
		w.warned++
		w.stream = ""
		w.log.Warn("further dead letters are logged at debug level; run dlq list to see all")
	}
	w.log.Log(context.Background(), level, "dead letter",
		"input", d.Input, "item", clip.Text(d.id().String()), "stage", d.Stage, "error", d.Error)
}

// sum logs how many dead letters of the last stream were not logged as warnings.
func (w *deadLetters) sum() {
	if w.more > 0 {
		w.log.Warn("further dead letters of the same stream", "stream", w.stream, "count", w.more)
	}
	w.more = 0
}

// deadLetterTime is how long the last summaries may take at the end.
const deadLetterTime = 30 * time.Second

// done stores and logs what was not stored and logged yet, when everything is read.
func (w *deadLetters) done(ctx context.Context) {
	w.floods.end(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sum()
}
