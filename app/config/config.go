// Package config holds every setting of the program, loads it from file, environment and flags, and writes the pages that describe it. All of it
// comes from the struct tags (see internal/option) of [Config] and of the packages whose options it holds.
package config

import (
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/internal/service"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Config is everything that can be set. The tags are the single source of config.yaml, the JSON schema and the reference page: yaml is the key,
// doc the comment, enum the allowed values.
type Config struct {
	Threads  int              `yaml:"threads" doc:"Goroutines that compute. 0 means one per processor."`
	Seed     uint64           `yaml:"seed" doc:"Start of every random number: the same seed, input and version give the same bytes, whatever the number of threads."`
	Log      Log              `yaml:"log" doc:"What goes to standard error."`
	HTTP     service.Options  `yaml:"http" doc:"The HTTP listener: metrics, health, readiness and profiles."`
	Kafka    Kafka            `yaml:"kafka" doc:"The cluster, its topics, and our consumer group."`
	Broker   Broker           `yaml:"broker" doc:"The broker inside the process, used where kafka.brokers is empty."`
	Ingest   ingest.Options   `yaml:"ingest" doc:"How inputs are read where a file leaves it open."`
	Voxelize voxelize.Options `yaml:"voxelize" doc:"How frames, points and grids become volumes."`
	Model    Model            `yaml:"model" doc:"The network that classifies."`
	Pipeline Pipeline         `yaml:"pipeline" doc:"Bounds, batches, retries and stopping."`
	Sinks    Sinks            `yaml:"sinks" doc:"Where classifications go; one sink or several."`
	Train    Train            `yaml:"train" doc:"How train trains; the defaults are those of the 3D MNIST tutorial."`
}

// Log is the section log.
type Log struct {
	Level  string `yaml:"level" enum:"debug,info,warn,error" doc:"The least important messages that are shown."`
	Format string `yaml:"format" enum:"text,json" doc:"Lines for people, or one JSON object a line."`
}

// Kafka is the section kafka.
type Kafka struct {
	Brokers         []string          `yaml:"brokers" doc:"host:port of one or more brokers of the cluster. Empty: the broker inside the process."`
	Volumes         string            `yaml:"volumes" doc:"Topic of the volumes: Arrow, keyed by stream."`
	Classifications string            `yaml:"classifications" doc:"Topic of the classifications: JSON, keyed by stream."`
	DeadLetters     string            `yaml:"dead_letters" doc:"Topic of what could not be processed, with the reason."`
	Partitions      int               `yaml:"partitions" doc:"Partitions of a topic that we create: the most members of the group that work at once."`
	Replication     int               `yaml:"replication" doc:"Copies of a topic that we create on a cluster."`
	Group           string            `yaml:"group" doc:"Consumer group of classify and run."`
	SessionTimeout  time.Duration     `yaml:"session_timeout" doc:"A member that is silent for so long has died; another takes its partitions."`
	MaxMessage      option.Bytes      `yaml:"max_message" doc:"Largest message."`
	ClientID        string            `yaml:"client_id" doc:"Name of this program in the brokers' logs and quotas."`
	Compression     kafka.Compression `yaml:"compression" doc:"Compression of the messages that we send."`
	TLS             kafka.TLSOptions  `yaml:"tls" doc:"Encryption of the connections to a cluster."`
	SASL            kafka.SASLOptions `yaml:"sasl" doc:"Authentication at a cluster. Keep the password in a file or in the environment."`
}

// Broker is the section broker.
type Broker struct {
	DataDir        string        `yaml:"data_dir" doc:"Folder of the broker's log; one process at a time may use it."`
	Port           int           `yaml:"port" doc:"Port on 127.0.0.1. 0 takes a free one."`
	RetentionBytes option.Bytes  `yaml:"retention_bytes" doc:"Largest log of a partition, also a bound on memory: the log is read into memory at start."`
	Retention      time.Duration `yaml:"retention" doc:"Messages are deleted after this time, read or not."`
	SyncWrites     bool          `yaml:"sync_writes" doc:"Survive a loss of power, at about a quarter of the throughput. The death of the process is survived anyway."`
}

// Model is the section model.
type Model struct {
	Path string `yaml:"path" doc:"Model file (.keras, .h5, .onnx or .safetensors). Empty: the built-in network of the ten digits."`
	TopK int    `yaml:"top_k" doc:"Best classes that a classification names."`
}

// Pipeline is the section pipeline.
type Pipeline struct {
	Batch    int           `yaml:"batch" doc:"Most volumes of one message, and of one pass through the network."`
	Linger   time.Duration `yaml:"linger" doc:"How long the first volume of a batch waits for others."`
	Budget   option.Bytes  `yaml:"budget" doc:"Most bytes in flight."`
	InFlight int           `yaml:"in_flight" doc:"Most unsettled messages of a partition: the most that a crash repeats."`
	Attempts int           `yaml:"attempts" doc:"Tries of what fails and might not the next time. 0 tries for ever."`
	Exhaust  string        `yaml:"exhausted" enum:"stop,dead-letter" doc:"What becomes of a message whose attempts are used up."`
	Drain    time.Duration `yaml:"drain" doc:"After the first signal, what is in flight has this long to finish."`
}

// Sinks is the section sinks.
type Sinks struct {
	Out      Outputs `yaml:"out" items:"whole" doc:"Where to store classifications. Each sink gets all of them."`
	Kafka    bool    `yaml:"kafka" doc:"Add the sink kafka:, the topic kafka.classifications."`
	Terminal bool    `yaml:"terminal" doc:"Add the sink terminal:, a live table on standard error, or lines where that is no terminal."`
}

// Train is the section train.
type Train struct {
	Arch            string  `yaml:"arch" enum:"medical,resnet,tutorial,voxnet" doc:"Architecture of a new network."`
	Epochs          int     `yaml:"epochs" doc:"Passes over the data."`
	BatchSize       int     `yaml:"batch_size" doc:"Samples of a step."`
	ValidationSplit float64 `yaml:"validation_split" doc:"Share of the rows, the last ones before shuffling, that is kept to validate. 0 up to, not including, 1."`
	LearningRate    float64 `yaml:"learning_rate" doc:"Step size of the optimizer, at first."`
	Shuffle         bool    `yaml:"shuffle" doc:"Shuffle the rows before each epoch."`

	Loss           string  `yaml:"loss" enum:"binary_crossentropy,categorical_crossentropy,categorical_focal_crossentropy,mean_absolute_error,mean_squared_error,sparse_categorical_crossentropy" doc:"What training makes small; names and arithmetic are Keras's."`
	FromLogits     bool    `yaml:"from_logits" doc:"The model's output is no probability yet."`
	LabelSmoothing float64 `yaml:"label_smoothing" doc:"Share of the truth that is spread over all classes. 0 to 1."`
	ClassWeight    string  `yaml:"class_weight" doc:"What the rows of a class count in the loss. none: all the same. balanced: the more, the rarer their class, as if all classes had as many. Or CLASS=WEIGHT,...: classes without count 1."`

	Optimizer      string  `yaml:"optimizer" enum:"adam,adamw,init,rmsprop,sgd" doc:"Rule by which the weights move; names and arithmetic are Keras's. init: the optimizer of the file that training starts from, with its state and its rate."`
	Momentum       float64 `yaml:"momentum" doc:"Of sgd and rmsprop. 0 up to, not including, 1."`
	Nesterov       bool    `yaml:"nesterov" doc:"Nesterov's momentum, of sgd."`
	WeightDecay    float64 `yaml:"weight_decay" doc:"Share of itself, times the rate, that each weight loses in a step."`
	ClipNorm       float64 `yaml:"clip_norm" doc:"Greatest norm of a weight's gradient. 0: none."`
	ClipGlobalNorm float64 `yaml:"clip_global_norm" doc:"Greatest norm of all gradients together. 0: none."`
	ClipValue      float64 `yaml:"clip_value" doc:"Greatest size of a number of a gradient. 0: none."`
	EMAMomentum    float64 `yaml:"ema_momentum" doc:"The model gets the moving average of its weights, of this momentum, at the end. 0: it gets the last ones."`

	Schedule    string   `yaml:"schedule" enum:"constant,cosine,exponential,piecewise,plateau" doc:"How the learning rate changes."`
	WarmUp      int      `yaml:"warm_up" doc:"Steps in which the rate rises from 0, of cosine."`
	DecaySteps  int      `yaml:"decay_steps" doc:"Steps of cosine's fall, or of one factor of exponential. 0: all steps but the warm-up, or an epoch's."`
	DecayFactor float64  `yaml:"decay_factor" doc:"What the rate is multiplied by in decay_steps (exponential) or after patience (plateau); cosine ends at this part of the rate. 0: 0 of cosine, .9 of exponential, .1 of plateau."`
	Pieces      []string `yaml:"pieces" doc:"Of piecewise: STEP:RATE, the rate behind a step; before the first it is learning_rate."`

	Monitor  string  `yaml:"monitor" enum:"accuracy,auto,loss,val_accuracy,val_loss" doc:"Figure by which an epoch is the best, a plateau is one, or training stops. auto: val_loss, or loss without validation; with keep-best val_accuracy or accuracy."`
	MinDelta float64 `yaml:"min_delta" doc:"Least change of it that counts."`
	Patience int     `yaml:"patience" doc:"Epochs in a row without a better one after which training stops with the weights of the best. 0: it does not stop."`
	Plateau  int     `yaml:"plateau_patience" doc:"Epochs in a row without a better one after which the schedule plateau lowers the rate."`

	StepsPerEpoch   int           `yaml:"steps_per_epoch" doc:"Steps that make an epoch of a topic that is followed."`
	CheckpointEvery time.Duration `yaml:"checkpoint_every" doc:"Store the state of training so often, besides after each epoch. 0s: only then."`
	CheckpointSteps int           `yaml:"checkpoint_steps" doc:"Store it after so many steps, too. 0: no."`
	MemoryLimit     option.Bytes  `yaml:"memory_limit" doc:"Most memory for rows. Where they need more, they are kept in a file of the temporary folder and shuffled by blocks."`
}

// Default is the configuration without file, environment and flags.
func Default() Config {
	return Config{
		Log: Log{Level: "info", Format: "text"},
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
			Batch: 64, Linger: 20 * time.Millisecond, Budget: 256 << 20, InFlight: 256, Attempts: 20, Exhaust: "stop",
			Drain: 10 * time.Second,
		},
		Sinks: Sinks{Out: Outputs{"classifications.jsonl"}, Kafka: true, Terminal: true},
		Train: Train{
			Arch: "tutorial", Epochs: 40, BatchSize: 128, ValidationSplit: 0.3, LearningRate: 1e-3, Shuffle: true,
			Loss: "categorical_crossentropy", ClassWeight: "none", Optimizer: "adam", Schedule: "constant", Pieces: []string{}, Monitor: "auto",
			Plateau: 10, StepsPerEpoch: 100, MemoryLimit: 2 << 30,
		},
	}
}
