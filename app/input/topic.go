package input

import (
	"errors"

	"github.com/voxelstream/voxelstream/ingest/live"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// topicKind is the kind of a topic of files. It is not a package in ingest/live, because ingest does not import
// transports.
var topicKind = live.Kind{
	Name: "kafka", Scheme: "kafka", Form: "kafka://TOPIC", Example: "kafka://frames?group=cameras",
	Doc: "Reads a topic on the cluster, where each message is one file. The file name is the header " +
		"\"name\" or, without this header, the key. The offset of a message is committed when all its samples are stored.",
	Options: func() any { return &TopicOptions{} },
	New: func(target string, options any) (live.Input, error) {
		if !transport.ValidTopic(target) {
			return nil, errors.New("found no topic, want kafka://TOPIC: 1 to 249 letters, digits, dots, dashes or underscores")
		}
		return &Topic{Name: target, TopicOptions: *options.(*TopicOptions)}, nil
	},
}

// TopicOptions are the options of a topic's URL.
type TopicOptions struct {
	Group string `yaml:"group" doc:"Consumer group. Default: kafka.group, followed by a dash and the topic."`
}

// Topic is a topic on the cluster in which each message is one file.
type Topic struct {
	Name string
	TopicOptions
}

// Endless is true: messages may always arrive.
func (*Topic) Endless() bool { return true }
