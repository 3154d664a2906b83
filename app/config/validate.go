package config

import (
	"fmt"
	"net"
	"time"

	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// Validate reports everything that single values and their types do not show: ranges, and keys that do not go together.
func (c *Config) Validate() []error {
	var errs []error
	bad := func(key string, found any, want string) {
		errs = append(errs, fmt.Errorf("%s: found %v, want %s", key, found, want))
	}
	atLeast := func(key string, v, least int) {
		if v < least {
			bad(key, v, fmt.Sprintf("%d or more", least))
		}
	}
	positive := func(key string, d time.Duration) {
		if d <= 0 {
			bad(key, d, "more than 0s")
		}
	}
	atLeast("threads", c.Threads, 0)
	if c.HTTP.Listen != "" {
		if _, err := c.HTTP.Address(); err != nil {
			errs = append(errs, fmt.Errorf("http.listen: %w", err))
		}
	}

	for i, b := range c.Kafka.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			bad(fmt.Sprintf("kafka.brokers[%d]", i), fmt.Sprintf("%q", b), "host:port")
		}
	}
	topics := map[string]string{}
	for _, t := range []struct{ key, name string }{
		{"kafka.volumes", c.Kafka.Volumes}, {"kafka.classifications", c.Kafka.Classifications}, {"kafka.dead_letters", c.Kafka.DeadLetters},
	} {
		if !transport.ValidTopic(t.name) {
			bad(t.key, fmt.Sprintf("%q", t.name), "1 to 249 letters, digits, dots, dashes or underscores")
		}
		if other, again := topics[t.name]; again {
			bad(t.key, fmt.Sprintf("%q", t.name), "a topic of its own, not that of "+other)
		}
		topics[t.name] = t.key
	}
	atLeast("kafka.partitions", c.Kafka.Partitions, 1)
	atLeast("kafka.replication", c.Kafka.Replication, 1)
	for _, err := range append(c.Kafka.TLS.Validate(), c.Kafka.SASL.Validate()...) {
		errs = append(errs, fmt.Errorf("kafka.%w", err))
	}
	if c.Kafka.Group == "" {
		bad("kafka.group", `""`, "a name")
	}
	if c.Kafka.SessionTimeout < 6*time.Second {
		bad("kafka.session_timeout", c.Kafka.SessionTimeout, "6s or more, the least that Kafka brokers allow by default")
	}
	if c.Kafka.MaxMessage < 64<<10 || c.Kafka.MaxMessage > 1<<30 {
		bad("kafka.max_message", c.Kafka.MaxMessage, "64KiB to 1GiB")
	}

	if c.Broker.DataDir == "" && len(c.Kafka.Brokers) == 0 {
		bad("broker.data_dir", `""`, "a folder, or kafka.brokers")
	}
	if c.Broker.Port < 0 || c.Broker.Port > 65535 {
		bad("broker.port", c.Broker.Port, "0 to 65535")
	}
	if c.Broker.RetentionBytes < 1<<20 {
		bad("broker.retention_bytes", c.Broker.RetentionBytes, "1MiB or more")
	}
	positive("broker.retention", c.Broker.Retention)

	if cells := c.Voxelize.Dims[0] * c.Voxelize.Dims[1] * c.Voxelize.Dims[2]; int64(cells)*2 > int64(c.Kafka.MaxMessage) {
		bad("voxelize.grid", c.Voxelize.Dims, fmt.Sprintf("volumes that fit into half of kafka.max_message (%v)", c.Kafka.MaxMessage))
	}
	atLeast("model.top_k", c.Model.TopK, 1)

	atLeast("pipeline.batch", c.Pipeline.Batch, 1)
	if c.Pipeline.Budget < c.Kafka.MaxMessage {
		bad("pipeline.budget", c.Pipeline.Budget, fmt.Sprintf("kafka.max_message (%v) or more: a message must fit", c.Kafka.MaxMessage))
	}
	atLeast("pipeline.in_flight", c.Pipeline.InFlight, 1)
	atLeast("pipeline.attempts", c.Pipeline.Attempts, 0)
	positive("pipeline.drain", c.Pipeline.Drain)

	_, problems := c.Outputs()
	errs = append(errs, problems...)
	errs = append(errs, c.Train.Validate()...)
	return append(errs, option.Validate(c)...)
}
