package config

import (
	"errors"
	"fmt"

	"github.com/voxelstream/voxelstream/internal/option"
)

// Problems returns all problems: invalid values, and conflicts between settings within a section and across sections.
func (c *Config) Problems() []error { return option.Validate(c) }

// Validate reports conflicts between settings of different sections.
func (c *Config) Validate() error {
	var errs []error
	bad := func(key string, found any, want string) {
		errs = append(errs, fmt.Errorf("%s: found %v, want %s", key, found, want))
	}
	if c.Broker.DataDir == "" && len(c.Kafka.Brokers) == 0 {
		bad("broker.data_dir", `""`, "a folder, or kafka.brokers")
	}
	cells := c.Voxelize.Dims[0] * c.Voxelize.Dims[1] * c.Voxelize.Dims[2]
	key, limit, more := "kafka.max_message", c.Kafka.MaxMessage, ", or kafka.claim_check"
	if c.Kafka.ClaimCheck != "" {
		key, limit, more = "kafka.claim_check_max", c.Kafka.ClaimCheckMax, ""
	}
	if int64(cells)*int64(c.Voxelize.CellBytes())*2 > int64(limit) {
		bad("voxelize.grid", c.Voxelize.Dims, fmt.Sprintf("volumes of at most half of %s (%v)%s", key, limit, more))
	}
	if c.Kafka.ClaimCheck != "" && c.Pipeline.Budget < c.Kafka.ClaimCheckMax+c.Kafka.MaxMessage {
		bad("pipeline.budget", c.Pipeline.Budget, fmt.Sprintf("at least kafka.claim_check_max (%v) and kafka.max_message "+
			"(%v) together, so that an object fits", c.Kafka.ClaimCheckMax, c.Kafka.MaxMessage))
	}
	if c.Pipeline.Budget < c.Kafka.MaxMessage {
		bad("pipeline.budget", c.Pipeline.Budget, fmt.Sprintf("at least kafka.max_message (%v), so that a message fits",
			c.Kafka.MaxMessage))
	}
	if c.Model.Shadow != "" && c.Model.Canary != "" {
		bad("model.canary", c.Model.Canary, "either model.shadow or model.canary")
	}
	_, problems := c.Outputs()
	return errors.Join(append(errs, problems...)...)
}
