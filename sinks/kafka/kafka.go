// Package kafka stores classifications on a topic, keyed by stream, each once. They are encoded by package wire, as
// JSON by default.
package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/wire"
)

// Sink converts classifications to messages for a deduplicating writer of the topic.
type Sink struct {
	topic    pipeline.Sink[transport.Message]
	encoding wire.Encoding
	schemaID uint32
}

var _ sinks.Sink = (*Sink)(nil)

// New returns a sink that writes to topic, which must drop messages with a repeated event ID, as a *kafka.Deduper of
// pipeline/transport/kafka does. Close closes topic.
func New(topic pipeline.Sink[transport.Message], o Options) *Sink {
	return &Sink{topic, o.Encoding, uint32(o.SchemaID)}
}

// schema is the header of all messages.
var schema = []byte(transport.SchemaOfClassification(record.SchemaVersion))

// Write stores cs. The event ID of a message is the key of the classification, so a volume classified by two models
// is two events.
func (s *Sink) Write(ctx context.Context, cs []record.Classification) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	failed := map[int]error{}
	ms := make([]transport.Message, 0, len(cs))
	back := make([]int, 0, len(cs)) // index in cs of each message
	for i := range cs {
		value, err := s.encoding.Encode(&cs[i], s.schemaID)
		if err != nil {
			failed[i] = pipeline.Permanent(fmt.Errorf("%s: %w", cs[i].EventID, err))
			continue
		}
		more := append(make([]transport.Header, 0, 3), transport.Header{Key: transport.HeaderSchema, Value: schema})
		if o := cs[i].Origin; o != nil {
			more = append(more, transport.Header{Key: transport.HeaderVolume, Value: []byte(o.String())})
			if o.Trace != "" {
				more = append(more, transport.Header{Key: transport.HeaderTrace, Value: []byte(o.Trace)})
			}
		}
		ms = append(ms, transport.New(cs[i].Stream, cs[i].Key(), s.encoding.ContentType(), value, more...))
		back = append(back, i)
	}
	if len(ms) > 0 {
		err := s.topic.Write(ctx, ms)
		var partial *pipeline.PartialError
		switch {
		case errors.As(err, &partial):
			for i, e := range partial.Failed {
				failed[back[i]] = e
			}
		case err != nil:
			return err
		}
	}
	return pipeline.Partial(failed)
}

// Close closes the writer.
func (s *Sink) Close(ctx context.Context) error { return s.topic.Close(ctx) }
