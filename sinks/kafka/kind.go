package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/wire"
)

// Kind is a topic.
var Kind = sinks.Kind{
	Name: "kafka",
	Doc: "A topic on the cluster in `kafka.brokers`, or on the embedded broker. It is created if it does not exist. " +
		"The default topic is `kafka.classifications`. Each message is one classification, keyed by stream: as JSON " +
		"([schema](classification.schema.json)), Avro ([schema](classification.avsc)) or Protobuf " +
		"([schema](classification.proto)). The headers `content-type` and `schema` say which, and which version.\n\n" +
		"Before writing to a partition, the sink reads what this and other processes have added to it, and skips " +
		"duplicates.",
	Guarantee: sinks.ExactlyOnce,
	Path:      "[TOPIC]",
	Options:   func(sinks.Target) any { return &Options{Window: 1_000_000, Encoding: wire.JSON} },
	Resolve: func(t *sinks.Target, d sinks.Defaults) (string, error) {
		t.Path = strings.TrimPrefix(t.Path, "//")
		if t.Path == "" {
			t.Path = d.Topic
		}
		if !transport.ValidTopic(t.Path) {
			return "", fmt.Errorf("found the topic %q, want 1 to 249 letters, digits, dots, dashes or underscores",
				t.Path)
		}
		return "kafka:" + t.Path, nil
	},
	Open: func(ctx context.Context, t sinks.Target, options any, s sinks.Services) (sinks.Sink, error) {
		if s.Topic == nil {
			return nil, errors.New("there is no cluster")
		}
		o := options.(*Options)
		topic, err := s.Topic(ctx, t.Path, o.Window)
		if err != nil {
			return nil, err
		}
		return New(topic, *o), nil
	},
}

// Options are the options of the topic.
type Options struct {
	Window int `yaml:"window" min:"1000" max:"1000000000" doc:"Number of recent classifications per partition to remember for deduplication, at 24 to 32 bytes each. They are read from the topic at startup."`
	// Encoding and SchemaID are those of the values.
	Encoding wire.Encoding `yaml:"encoding" doc:"Encoding of the messages."`
	SchemaID int           `yaml:"schema_id" min:"0" max:"2147483647" doc:"ID of the schema in a schema registry, for consumers that expect Confluent's wire format: each message begins with a zero byte and the ID. 0 means no such prefix. Register the schema yourself; nothing is looked up."`
}
