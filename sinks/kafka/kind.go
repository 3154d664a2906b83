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
		"([schema](classification.proto)). The headers `content-type` and `schema` name the encoding and its version.\n\n" +
		"Each classification is stored once, even if processes are killed, frozen or cut off from the brokers, or " +
		"partitions are added. To ensure this, the process that owns a partition of the volumes claims it at the brokers. " +
		"They then refuse what other processes still write for this partition, and the owner reads what was written " +
		"before. This needs the right to write to transactional IDs that begin with the name of the group. Without it, " +
		"the sink logs a warning and continues without claims. Consumers need no support for transactions, but clients " +
		"that do not skip control records, such as kafka-go's Reader, see the markers of the claims.\n\n" +
		"The sink recognizes the latest `window` classifications of each partition. If a volume with an older " +
		"classification is sent again, it is stored a second time. A warning and the metric " +
		"`voxelstream_forgotten_messages` say when a topic holds more classifications than that.",
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
	Window int `yaml:"window" min:"1000" max:"1000000000" doc:"Number of recent classifications per partition of the topic to remember for deduplication, at 24 to 32 bytes each. At startup, each process reads them from all partitions of the topic. A volume with an older classification is stored again if it is sent again."`
	// Encoding and SchemaID are those of the values.
	Encoding wire.Encoding `yaml:"encoding" doc:"Encoding of the messages."`
	SchemaID int           `yaml:"schema_id" min:"0" max:"2147483647" doc:"ID of the schema in a schema registry, for consumers that expect Confluent's wire format: each message begins with a zero byte and the ID. 0 means no such prefix. Register the schema yourself; nothing is looked up."`
}
