package config

import (
	"errors"
	"fmt"

	"github.com/voxelstream/voxelstream/internal/option"
)

// Problems are all that is wrong: single values, by their tags, and settings that do not go together, within a section and across sections.
func (c *Config) Problems() []error { return option.Validate(c) }

// Validate reports settings of different sections that do not go together.
func (c *Config) Validate() error {
	var errs []error
	bad := func(key string, found any, want string) {
		errs = append(errs, fmt.Errorf("%s: found %v, want %s", key, found, want))
	}
	if c.Broker.DataDir == "" && len(c.Kafka.Brokers) == 0 {
		bad("broker.data_dir", `""`, "a folder, or kafka.brokers")
	}
	if cells := c.Voxelize.Dims[0] * c.Voxelize.Dims[1] * c.Voxelize.Dims[2]; int64(cells)*2 > int64(c.Kafka.MaxMessage) {
		bad("voxelize.grid", c.Voxelize.Dims, fmt.Sprintf("volumes that fit into half of kafka.max_message (%v)", c.Kafka.MaxMessage))
	}
	if c.Pipeline.Budget < c.Kafka.MaxMessage {
		bad("pipeline.budget", c.Pipeline.Budget, fmt.Sprintf("kafka.max_message (%v) or more: a message must fit", c.Kafka.MaxMessage))
	}
	_, problems := c.Outputs()
	return errors.Join(append(errs, problems...)...)
}
