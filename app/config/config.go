// Package config holds every setting of the program, loads it from file, environment and flags, and writes the pages that describe it. All of it
// comes from the struct tags (see internal/option) of [Config] and of the packages whose options it holds.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/internal/service"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Config is everything that can be set. The tags (see internal/option) are the single source of config.yaml, the JSON schema, the reference page, the
// flags and the checks of single values.
type Config struct {
	Threads  int              `yaml:"threads" flag:"threads" min:"0" doc:"Number of goroutines that compute. 0: one per processor."`
	Seed     uint64           `yaml:"seed" flag:"seed" doc:"Seed of all random numbers. The same seed, input and version give the same bytes, whatever the number of threads."`
	Log      Log              `yaml:"log" doc:"Messages on standard error."`
	HTTP     service.Options  `yaml:"http" doc:"The HTTP listener: metrics, health, readiness and profiles."`
	Kafka    Kafka            `yaml:"kafka" doc:"The cluster, its topics and the consumer group."`
	Broker   Broker           `yaml:"broker" doc:"The embedded broker, used where kafka.brokers is empty."`
	Ingest   ingest.Options   `yaml:"ingest" doc:"How inputs are read where a file leaves it open."`
	Voxelize voxelize.Options `yaml:"voxelize" doc:"How frames, points and grids become volumes."`
	Model    Model            `yaml:"model" doc:"The network that classifies."`
	Pipeline Pipeline         `yaml:"pipeline" doc:"Batches, retries, limits and shutdown."`
	Sinks    Sinks            `yaml:"sinks" doc:"Where classifications go; one sink or several."`
	Train    Train            `yaml:"train" doc:"How the command train trains; the defaults are those of the 3D MNIST tutorial."`
}

// Log is the section log.
type Log struct {
	Level  Level  `yaml:"level" flag:"log-level" doc:"Least severe messages to show."`
	Format string `yaml:"format" flag:"log-format" enum:"text,json" doc:"Lines for people, or one JSON object per line."`
}

// Level is the severity of a message.
type Level slog.Level

// levels lists the severities, rising.
var levels = []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}

// Choices are the names of the severities.
func (Level) Choices() []string {
	var out []string
	for _, l := range levels {
		out = append(out, Level(l).String())
	}
	return out
}

// String is the name in lower case.
func (l Level) String() string { return strings.ToLower(slog.Level(l).String()) }

// MarshalText is String.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads a name.
func (l *Level) UnmarshalText(text []byte) error { return (*slog.Level)(l).UnmarshalText(text) }

// Kafka is the section kafka.
type Kafka struct {
	Brokers         []string          `yaml:"brokers" flag:"brokers" doc:"host:port of one or more brokers of the cluster. Empty: the embedded broker."`
	Volumes         string            `yaml:"volumes" doc:"Topic of the volumes: Arrow, keyed by stream."`
	Classifications string            `yaml:"classifications" doc:"Topic of the classifications: JSON, keyed by stream."`
	DeadLetters     string            `yaml:"dead_letters" doc:"Topic of the dead letters: what could not be processed, with the reason."`
	Partitions      int               `yaml:"partitions" min:"1" doc:"Number of partitions of a topic that is created. At most this many members of a group work at once."`
	Replication     int               `yaml:"replication" min:"1" doc:"Replication factor of a topic that is created on a cluster."`
	Group           string            `yaml:"group" flag:"group" required:"true" doc:"Consumer group of classify and run."`
	SessionTimeout  time.Duration     `yaml:"session_timeout" min:"6s" doc:"How long a member of the group may be silent before its partitions go to others. Brokers allow 6s and more by default."`
	MaxMessage      option.Bytes      `yaml:"max_message" min:"64KiB" max:"1GiB" doc:"Largest message."`
	ClientID        string            `yaml:"client_id" doc:"Client name in the brokers' logs and quotas."`
	Compression     kafka.Compression `yaml:"compression" doc:"Compression of the messages that are sent."`
	TLS             kafka.TLSOptions  `yaml:"tls" doc:"Encryption of connections to a cluster."`
	SASL            kafka.SASLOptions `yaml:"sasl" doc:"Authentication to a cluster. Keep the password in a file or in the environment."`
}

// Validate reports addresses and names of topics that are none, and topics that are not told apart.
func (k *Kafka) Validate() error {
	var errs []error
	bad := func(key, found, want string) {
		errs = append(errs, fmt.Errorf("%s: found %q, want %s", key, found, want))
	}
	for i, b := range k.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			bad(fmt.Sprintf("brokers[%d]", i), b, "host:port")
		}
	}
	topics := map[string]string{}
	for _, t := range []struct{ key, name string }{{"volumes", k.Volumes}, {"classifications", k.Classifications}, {"dead_letters", k.DeadLetters}} {
		if !transport.ValidTopic(t.name) {
			bad(t.key, t.name, "1 to 249 letters, digits, dots, dashes or underscores")
		}
		if other, again := topics[t.name]; again {
			bad(t.key, t.name, "another topic than that of kafka."+other)
		}
		topics[t.name] = t.key
	}
	return errors.Join(errs...)
}

// Broker is the section broker.
type Broker struct {
	DataDir        string        `yaml:"data_dir" flag:"broker-data-dir" doc:"Folder of the embedded broker's log. One process at a time may use it."`
	Port           int           `yaml:"port" flag:"port" min:"0" max:"65535" doc:"Port on 127.0.0.1. 0: any free one."`
	RetentionBytes option.Bytes  `yaml:"retention_bytes" flag:"retention-bytes" min:"1MiB" doc:"Largest log of a partition. It also bounds memory, as the log is read into memory at start."`
	Retention      time.Duration `yaml:"retention" flag:"retention" above:"0s" doc:"Messages are deleted after this time, whether they were read or not."`
	SyncWrites     bool          `yaml:"sync_writes" flag:"sync-writes" doc:"Survive a power failure, at about a quarter of the throughput. A crash of the process loses nothing either way."`
}

// Model is the section model.
type Model struct {
	Path string `yaml:"path" flag:"model" doc:"Model file (.keras, .h5, .onnx or .safetensors). Empty: the built-in network for the ten digits."`
	TopK int    `yaml:"top_k" flag:"top-k" min:"1" doc:"Number of classes that a classification names, best first."`
}

// Pipeline is the section pipeline.
type Pipeline struct {
	Batch    int           `yaml:"batch" min:"1" doc:"Most volumes in one message and in one pass through the network."`
	Linger   time.Duration `yaml:"linger" doc:"How long the first volume of a batch waits for others."`
	Budget   option.Bytes  `yaml:"budget" doc:"Most bytes in flight."`
	InFlight int           `yaml:"in_flight" min:"1" doc:"Most messages of a partition in flight: the most that are processed again after a crash."`
	Attempts int           `yaml:"attempts" min:"0" doc:"Most attempts at an operation whose error may be temporary. 0: no limit."`
	Exhaust  string        `yaml:"exhausted" enum:"stop,dead-letter" doc:"What to do with a message after the last attempt."`
	Drain    time.Duration `yaml:"drain" above:"0s" doc:"Time that work in flight has to finish after the first signal."`
	Networks int           `yaml:"networks" min:"1" doc:"Batches classified at the same time, each by a network with an equal share of the threads. More than one raises throughput under load; 1 gives the lowest latency for single volumes of large models."`
}

// Sinks is the section sinks.
type Sinks struct {
	Out      Outputs `yaml:"out" flag:"out" items:"whole" doc:"Where to store classifications. Each sink gets all of them."`
	Kafka    bool    `yaml:"kafka" flag:"to-topic" doc:"Add the sink kafka:, the topic kafka.classifications."`
	Terminal bool    `yaml:"terminal" flag:"table" doc:"Add the sink terminal:, a live table on standard error, or lines where that is no terminal."`
}

// Default is the configuration without file, environment and flags.
func Default() Config {
	return Config{
		Log: Log{Level: Level(slog.LevelInfo), Format: "text"},
		Kafka: Kafka{
			Brokers: []string{}, Volumes: transport.TopicVolumes, Classifications: transport.TopicClassifications,
			DeadLetters: transport.TopicDeadLetters, Partitions: 4, Replication: 1, Group: "voxelstream",
			SessionTimeout: 10 * time.Second, MaxMessage: 16 << 20, ClientID: "voxelstream", Compression: "none",
			SASL: kafka.SASLOptions{Mechanism: "none"},
		},
		Broker:   Broker{DataDir: "voxelstream-data/kafka", RetentionBytes: 256 << 20, Retention: 24 * time.Hour},
		Ingest:   formats.NewOptions(),
		Voxelize: voxelize.DefaultOptions(),
		Model:    Model{TopK: 3},
		Pipeline: Pipeline{
			Batch: 64, Networks: 2, Linger: 20 * time.Millisecond, Budget: 256 << 20, InFlight: 256, Attempts: 20, Exhaust: "stop",
			Drain: 10 * time.Second,
		},
		Sinks: Sinks{Out: Outputs{"classifications.jsonl"}, Kafka: true, Terminal: true},
		Train: defaultTrain(),
	}
}
