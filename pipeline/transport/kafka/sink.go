package kafka

import (
	"context"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// Sink returns a pipeline sink that writes to a topic. Closing it leaves the producer open, because it may be shared.
func (p *Producer) Sink(topic string) pipeline.Sink[transport.Message] { return topicSink{p, topic} }

type topicSink struct {
	p     *Producer
	topic string
}

func (s topicSink) Write(ctx context.Context, ms []transport.Message) error {
	_, err := s.p.Produce(ctx, s.topic, ms...)
	return err
}

func (topicSink) Close(context.Context) error { return nil }
