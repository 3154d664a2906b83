package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// letter is the value of a dead letter of an item that never became a message: it could not be read, or not be voxelized. There is nothing to
// send back; reading the input again is what repeats it.
type letter struct {
	Input  string `json:"input"`
	Stream string `json:"stream"`
	Seq    uint64 `json:"seq"`
	Stage  string `json:"stage"`
	Error  string `json:"error"`
}

// letters writes them, each item once.
type letters struct {
	app   *app.Env
	topic pipeline.Sink[transport.Message]
	count atomic.Int64
}

func newLetters(a *app.Env, b *bus) *letters {
	return &letters{app: a, topic: kafka.NewDeduper(b.producer, a.Config.Kafka.DeadLetters, 0)}
}

// park stores a letter and returns when it is stored.
func (l *letters) park(ctx context.Context, item letter) error {
	value, err := json.Marshal(item)
	if err != nil {
		return err
	}
	id := fmt.Sprintf("%s/%d!%s", item.Stream, item.Seq, item.Stage)
	m := transport.DeadLetterOf(transport.New(item.Stream, id, transport.ContentJSON, value), transport.DeadLetter{
		Partition: -1, Offset: -1, Stage: item.Stage, Error: item.Error, Attempts: 1, Time: time.Now(),
	})
	l.log(item)
	if err := l.topic.Write(ctx, []transport.Message{m}); err != nil {
		return fmt.Errorf("dead letter of %s: %w", id, err)
	}
	l.count.Add(1)
	return nil
}

// loud is how many parked items a run warns of; a folder without its images would fill the screen. The topic has them all.
const loud = 5

// log tells of a parked item: the first ones as warnings, the others at level debug.
func (l *letters) log(item letter) {
	level := slog.LevelWarn
	switch n := l.count.Load(); {
	case n == loud:
		l.app.Log.Warn("more items are parked; dlq list shows them all")
		fallthrough
	case n > loud:
		level = slog.LevelDebug
	}
	l.app.Log.Log(context.Background(), level, "parked an item",
		"input", item.Input, "stream", item.Stream, "seq", item.Seq, "stage", item.Stage, "error", item.Error)
}

// streamOf is the stream that an input would have had; its path where that cannot be told.
func streamOf(path string) string {
	if name, err := ingest.StreamName(path); err == nil {
		return name
	}
	return path
}
