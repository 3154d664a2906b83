package config

import (
	"fmt"

	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/all"
)

// Outputs lists the paths and URLs of sinks.
type Outputs []string

// Hint describes the available sinks.
func (Outputs) Hint() string { return sinks.Help(all.Kinds) }

// Masked returns the outputs with their secrets masked.
func (o Outputs) Masked() []string {
	out := make([]string, len(o))
	for i, text := range o {
		out[i] = sinks.Mask(all.Kinds, text)
	}
	return out
}

// Outputs returns all configured sinks without opening them, those of sinks.out first. It reports all problems. If
// there are any, the list of sinks is incomplete.
func (c *Config) Outputs() ([]*sinks.Output, []error) {
	d := sinks.Defaults{Topic: c.Kafka.Classifications}
	parsed, problems := sinks.ParseList(all.Kinds, c.Sinks.Out, d)
	var outputs []*sinks.Output
	var errs []error
	places := map[string]bool{}
	for i, o := range parsed {
		for _, err := range problems[i] {
			errs = append(errs, fmt.Errorf("sinks.out[%d]: %w", i, err))
		}
		if o == nil {
			continue
		}
		outputs, places[o.Place] = append(outputs, o), true
		for key, topic := range map[string]string{
			"kafka.volumes":      c.Kafka.Volumes,
			"kafka.dead_letters": c.Kafka.DeadLetters,
		} {
			if o.Place == "kafka:"+topic {
				errs = append(errs, fmt.Errorf("sinks.out[%d]: %s: already used by %s, want another topic", i,
					o.Target.Text, key))
			}
		}
	}
	for _, also := range []struct {
		wanted    bool
		key, text string
	}{
		{c.Sinks.Kafka && transport.ValidTopic(d.Topic), "sinks.kafka", "kafka:"},
		{c.Sinks.Terminal, "sinks.terminal", "terminal:"},
	} {
		if !also.wanted {
			continue
		}
		o, wrong := sinks.Parse(all.Kinds, also.text, d)
		for _, err := range wrong {
			errs = append(errs, fmt.Errorf("%s: %w", also.key, err))
		}
		if o != nil && !places[o.Place] {
			outputs = append(outputs, o)
		}
	}
	return outputs, errs
}
