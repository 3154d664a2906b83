// Package config contains all settings of the program. It loads them from a file, the environment and flags, and
// generates their reference pages. Everything is derived from the struct tags (see internal/option) of [Config] and
// of the option structs that it includes.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/nn/format"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/internal/service"
	"github.com/voxelstream/voxelstream/internal/store"
	"github.com/voxelstream/voxelstream/perception"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
	"github.com/voxelstream/voxelstream/telemetry"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Config contains all settings. Its tags (see internal/option) are the single source of config.yaml, the JSON schema,
// the reference page, the flags and the validation of single values.
type Config struct {
	Threads    int              `yaml:"threads" flag:"threads" min:"0" doc:"Number of threads for computation. 0 uses one per CPU." group:"Global"`
	Seed       uint64           `yaml:"seed" flag:"seed" doc:"Seed of the random number generators. The same seed, input and version produce identical output, whatever the number of threads." group:"Global"`
	Log        Log              `yaml:"log" doc:"Logging to standard error." group:"Global"`
	HTTP       service.Options  `yaml:"http" doc:"HTTP listener for metrics, health checks and profiling." group:"HTTP"`
	Kafka      Kafka            `yaml:"kafka" doc:"Kafka cluster, topics and consumer group." group:"Kafka"`
	Broker     Broker           `yaml:"broker" doc:"Embedded broker, used when kafka.brokers is empty." group:"Embedded broker"`
	Ingest     ingest.Options   `yaml:"ingest" doc:"Limits on inputs, and values that input files do not specify." group:"Input"`
	Voxelize   voxelize.Options `yaml:"voxelize" doc:"Conversion of point clouds, depth frames and grids to volumes." group:"Voxelization"`
	Perception Perception       `yaml:"perception" doc:"Objects in scans and depth frames." group:"Objects"`
	Model      Model            `yaml:"model" doc:"Network that classifies the volumes." group:"Model"`
	Pipeline   Pipeline         `yaml:"pipeline" doc:"Batching, retries, limits and shutdown." group:"Pipeline"`
	Sinks      Sinks            `yaml:"sinks" doc:"Where classifications are written." group:"Output"`
	Telemetry  Telemetry        `yaml:"telemetry" doc:"Tracing." group:"Tracing"`
	Serve      Serve            `yaml:"serve" doc:"Settings of the serve command: models, batching and limits." group:"Serving"`
	Train      Train            `yaml:"train" doc:"Settings of the train command. The defaults are those of the 3D MNIST tutorial." group:"Training"`
}

// Telemetry is the section telemetry.
type Telemetry struct {
	Traces telemetry.TraceOptions `yaml:"traces" doc:"OpenTelemetry traces of volumes, from the input to the sinks."`
}

// Perception is the section perception.
type Perception struct {
	Objects bool               `yaml:"objects" flag:"objects" doc:"Make a volume of each object in a scan or depth frame, rather than one of all points."`
	Options perception.Options `yaml:",inline"`
}

// Log is the section log.
type Log struct {
	Level  Level  `yaml:"level" flag:"log-level" doc:"Minimum severity of messages to log."`
	Format string `yaml:"format" flag:"log-format" enum:"text,json" doc:"Log as text, or as JSON with one object per line."`
}

// Level is the minimum severity of log messages.
type Level slog.Level

// levels lists the severities, lowest first.
var levels = []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}

// Choices lists the names of the severities.
func (Level) Choices() []string {
	var out []string
	for _, l := range levels {
		out = append(out, Level(l).String())
	}
	return out
}

// String returns the name in lower case.
func (l Level) String() string { return strings.ToLower(slog.Level(l).String()) }

// MarshalText returns String.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText parses a name.
func (l *Level) UnmarshalText(text []byte) error { return (*slog.Level)(l).UnmarshalText(text) }

// Kafka is the section kafka.
type Kafka struct {
	Brokers         []string          `yaml:"brokers" flag:"brokers" doc:"Bootstrap brokers of the Kafka cluster, as host:port. Empty uses the embedded broker."`
	Volumes         string            `yaml:"volumes" doc:"Topic for volumes, in Arrow format, keyed by stream."`
	Classifications string            `yaml:"classifications" doc:"Topic for classifications, in JSON, keyed by stream."`
	DeadLetters     string            `yaml:"dead_letters" doc:"Topic for dead letters: messages and inputs that could not be processed, with the reason."`
	ReplayTopics    []string          `yaml:"replay_topics" doc:"Further topics to which dlq replay may send messages back: those of kafka:// inputs."`
	Partitions      int               `yaml:"partitions" min:"0" doc:"Number of partitions of new topics. It limits how many members of a consumer group can work in parallel. 0 uses the default of the cluster."`
	Replication     int               `yaml:"replication" min:"0" doc:"Replication factor of new topics on a cluster. 0 uses the default of the cluster, which needs Kafka 2.4 or newer."`
	Group           string            `yaml:"group" flag:"group" required:"true" doc:"Consumer group of the classify and run commands."`
	SessionTimeout  time.Duration     `yaml:"session_timeout" min:"6s" doc:"Time without a heartbeat after which a group member's partitions are reassigned. Brokers accept 6s or more by default."`
	InstanceID      string            `yaml:"instance_id" flag:"instance-id" doc:"Name of this process in the consumer group, such as the name of its pod. It must be unique in the group. A process with an instance ID that is restarted within the session timeout gets its partitions back at once, without a rebalance of the other members."`
	MaxMessage      option.Bytes      `yaml:"max_message" min:"64KiB" max:"1GiB" doc:"Maximum message size."`
	ClaimCheck      Place             `yaml:"claim_check" doc:"Folder, or URL such as s3://BUCKET/PATH, gs://BUCKET/PATH or azblob://CONTAINER/PATH, for volumes larger than max_message. Their messages then refer to objects there. Producers and consumers must use the same place. If it is empty, such volumes become dead letters."`
	ClaimCheckMax   option.Bytes      `yaml:"claim_check_max" min:"64KiB" max:"1GiB" doc:"Maximum size of an object in claim_check."`
	ClientID        string            `yaml:"client_id" doc:"Client name in the brokers' logs and quotas."`
	Compression     kafka.Compression `yaml:"compression" doc:"Compression codec for messages sent."`
	TLS             kafka.TLSOptions  `yaml:"tls" doc:"Encryption of connections to a cluster."`
	SASL            kafka.SASLOptions `yaml:"sasl" doc:"Authentication to a cluster. Keep the password in a file or in the environment."`
}

// Place is a folder or the URL of a place in an object store, as in [store.Open].
type Place string

// Masked returns the place with its secrets masked.
func (p Place) Masked() string { return store.Mask(string(p)) }

// Validate reports invalid addresses and topic names, topics that are used twice, and an invalid place.
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
	for _, t := range []struct{ key, name string }{
		{"volumes", k.Volumes},
		{"classifications", k.Classifications},
		{"dead_letters", k.DeadLetters},
	} {
		if !transport.ValidTopic(t.name) {
			bad(t.key, t.name, "1 to 249 letters, digits, dots, dashes or underscores")
		}
		if other, again := topics[t.name]; again {
			bad(t.key, t.name, "a topic other than kafka."+other)
		}
		topics[t.name] = t.key
	}
	if err := store.Check(string(k.ClaimCheck)); err != nil {
		errs = append(errs, fmt.Errorf("claim_check: %w", err))
	}
	if k.ClaimCheck != "" && k.ClaimCheckMax <= k.MaxMessage {
		errs = append(errs, fmt.Errorf("claim_check_max: found %v, want more than kafka.max_message (%v)", k.ClaimCheckMax,
			k.MaxMessage))
	}
	for i, name := range k.ReplayTopics {
		if !transport.ValidTopic(name) || name == k.Classifications || name == k.DeadLetters {
			bad(fmt.Sprintf("replay_topics[%d]", i), name, "a topic of kafka:// inputs")
		}
	}
	return errors.Join(errs...)
}

// Broker is the section broker.
type Broker struct {
	DataDir        string        `yaml:"data_dir" flag:"broker-data-dir" doc:"Directory of the embedded broker's log. Only one process at a time may use it."`
	Port           int           `yaml:"port" flag:"port" min:"0" max:"65535" doc:"TCP port on 127.0.0.1. 0 picks a free port."`
	RetentionBytes option.Bytes  `yaml:"retention_bytes" flag:"retention-bytes" min:"1MiB" doc:"Maximum log size per partition. Independently of this, at least 8 MiB of disk space is kept free: messages that would use it are refused until more is available."`
	Retention      time.Duration `yaml:"retention" flag:"retention" above:"0s" doc:"Time after which messages are deleted, whether or not they have been read."`
	SyncWrites     bool          `yaml:"sync_writes" flag:"sync-writes" doc:"Sync every write to disk. Messages then survive a power failure, at about a quarter of the throughput. They survive a crash of the process either way."`
}

// Model is the section model.
type Model struct {
	Path string `yaml:"path" flag:"model" doc:"Model file (.keras, .h5, .onnx or .safetensors). Empty uses a built-in model: objects in the command objects and with perception.objects, and digits otherwise."`
	// Alternatives and Folder are the models that clients of the HTTP listener can switch to.
	Alternatives []string `yaml:"alternatives" flag:"alternative" items:"whole" doc:"Model files that the web page can switch run or classify to, in addition to the built-in model."`
	Folder       string   `yaml:"folder" flag:"model-folder" doc:"Folder of further model files that the web page can switch run or classify to, including files added later."`
	// Shadow and Canary are models on trial, Announcement names the model that replaces the one of Path.
	Shadow        string  `yaml:"shadow" flag:"shadow" doc:"Model file to run alongside the model, on spare capacity. Its classifications are compared but never stored."`
	ShadowPercent float64 `yaml:"shadow_percent" flag:"shadow-percent" above:"0" max:"100" doc:"Percentage of the volumes that the shadow model classifies too. The volumes are the same on every member of the group."`
	Canary        string  `yaml:"canary" flag:"canary" doc:"Model file that classifies some of the streams in place of the model. If it fails a check, or fails on a volume, the model takes over all streams."`
	CanaryPercent float64 `yaml:"canary_percent" flag:"canary-percent" above:"0" max:"100" doc:"Percentage of the streams that the canary model classifies. The streams are the same on every member of the group."`
	Announcement  string  `yaml:"announcement" flag:"model-announcement" doc:"File that names the model to use, with its SHA-256. When it changes, the model is loaded, checked and used from the next batch on."`
	TopK          int     `yaml:"top_k" flag:"top-k" min:"1" doc:"Number of top-scoring classes to report per classification."`
	// Weights and InputShape give what some model files leave open.
	Weights    string `yaml:"weights" flag:"weights" doc:"File with the weights, if the model file is a JSON file that contains only the architecture."`
	InputShape Shape  `yaml:"input_shape" flag:"input-shape" doc:"Sizes of the model's input axes, such as 64,64,64, if the model file does not fix them."`
	Classes    string `yaml:"classes" flag:"classes" doc:"Names of the model's classes, instead of those in its file: a file with one name per line or a JSON list, or names separated by commas."`
	Exact      bool   `yaml:"exact" flag:"exact" doc:"Compute every convolution directly from its definition. The default is faster and rounds differently (by 5e-6 of the output)."`
}

// Opening returns what the model file may leave open.
func (m *Model) Opening() format.Options {
	return format.Options{Weights: m.Weights, Input: m.InputShape.sizes(), Exact: m.Exact}
}

// Shape is a list of sizes as text, separated by commas; empty if there are none.
type Shape string

// sizes returns the sizes of a valid shape.
func (s Shape) sizes() []int {
	var out []int
	for _, text := range strings.FieldsFunc(string(s), func(r rune) bool { return r == ',' || r == 'x' }) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1<<20 || len(out) == 7 {
			return nil
		}
		out = append(out, n)
	}
	return out
}

// MarshalText returns the text.
func (s Shape) MarshalText() ([]byte, error) { return []byte(s), nil }

// UnmarshalText checks and sets the text.
func (s *Shape) UnmarshalText(text []byte) error {
	if *s = Shape(text); *s != "" && s.sizes() == nil {
		return errors.New("want 1 to 7 sizes of at least 1, such as 64,64,64")
	}
	return nil
}

// Pipeline is the section pipeline.
type Pipeline struct {
	Batch    int           `yaml:"batch" min:"1" doc:"Maximum number of volumes per message and per forward pass."`
	Linger   time.Duration `yaml:"linger" doc:"Maximum time that a volume waits for others to share a message or a batch. It waits only while others are on their way."`
	Budget   option.Bytes  `yaml:"budget" doc:"Maximum size of all data in flight."`
	InFlight int           `yaml:"in_flight" min:"1" doc:"Maximum number of messages in flight per partition. At most this many are processed again after a crash."`
	Attempts int           `yaml:"attempts" min:"0" doc:"Maximum number of attempts when an error may be temporary. 0 means no limit."`
	Exhaust  string        `yaml:"exhausted" enum:"stop,dead-letter" doc:"What to do with a message after the last attempt: stop the program, or make it a dead letter."`
	Drain    time.Duration `yaml:"drain" above:"0s" doc:"Maximum time to finish work in flight after the first interrupt or termination signal."`
	Networks int           `yaml:"networks" min:"1" doc:"Batches classified at the same time, each by a network with an equal share of the threads. More than one raises throughput under load; 1 gives the lowest latency for single volumes of large models."`
}

// Sinks is the section sinks.
type Sinks struct {
	Out      Outputs `yaml:"out" flag:"out" items:"whole" doc:"Destinations of classifications. Each one receives all of them."`
	Kafka    bool    `yaml:"kafka" flag:"to-topic" doc:"Also write classifications to the topic kafka.classifications (the sink kafka:)."`
	Terminal bool    `yaml:"terminal" flag:"table" doc:"Also show a live table on standard error, or plain lines if it is not a terminal (the sink terminal:)."`
}

// Default returns the default configuration.
func Default() Config {
	return Config{
		Log: Log{Level: Level(slog.LevelInfo), Format: "text"},
		Kafka: Kafka{
			Brokers: []string{}, Volumes: transport.TopicVolumes, Classifications: transport.TopicClassifications,
			DeadLetters: transport.TopicDeadLetters, Partitions: 4, Group: "voxelstream",
			SessionTimeout: 10 * time.Second, MaxMessage: 16 << 20, ClaimCheckMax: 128 << 20, ClientID: "voxelstream", Compression: "none",
			SASL: kafka.SASLOptions{Mechanism: "none"},
		},
		Broker:     Broker{DataDir: "voxelstream-data/kafka", RetentionBytes: 256 << 20, Retention: 24 * time.Hour},
		Ingest:     formats.NewOptions(),
		Voxelize:   voxelize.DefaultOptions(),
		Perception: Perception{Options: perception.DefaultOptions()},
		Model:      Model{TopK: 3, ShadowPercent: 100, CanaryPercent: 10},
		Pipeline: Pipeline{
			Batch: 64, Networks: 2, Linger: 20 * time.Millisecond, Budget: 256 << 20, InFlight: 256, Attempts: 20,
			Exhaust: "stop",
			Drain:   10 * time.Second,
		},
		Sinks:     Sinks{Out: Outputs{"classifications.jsonl"}, Kafka: true, Terminal: true},
		Telemetry: Telemetry{Traces: telemetry.TraceOptions{SampleRatio: 1}},
		Serve:     defaultServe(),
		Train:     defaultTrain(),
	}
}
