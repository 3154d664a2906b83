package voxelize

import (
	"fmt"

	"github.com/voxelstream/voxelstream/ingest"
)

// Channels stores several values per cell.
var Channels = Method{
	Name: "channels",
	Doc: "Uses a regular grid. Each cell stores several values, such as its occupancy and the mean intensity of its " +
		"points; see voxelize.channels.",
	Placed: true, Value: Measured,
	Options: func() []any {
		return []any{&channelOptions{Channels: []string{"density", "mean:height"}}, &emptyOptions{}}
	},
	Channels: func(o Options) int { return len(channelsOf(o)) },
	Attributes: func(o Options) (names []string) {
		for _, text := range channelsOf(o) {
			if r, err := parseReducer(text); err == nil && r.attribute != "" {
				names = append(names, r.attribute)
			}
		}
		return names
	},
	New: func(o Options) (func(ingest.Data) (*Field, error), error) {
		list := channelsOf(o)
		if n := len(list); n < 1 || n > MaxChannels {
			return nil, fmt.Errorf("channels: found %d, want 1 to %d", n, MaxChannels)
		}
		rs := make([]reducer, len(list))
		for i, text := range list {
			var err error
			if rs[i], err = parseReducer(text); err != nil {
				return nil, fmt.Errorf("channels: %w", err)
			}
		}
		empty := MethodOptions(o, emptyOptions{}).Empty
		return ofPoints(func(p *ingest.PointCloud) (*Field, error) { return reduceAll(p, &o, rs, empty) }), nil
	},
}

type channelOptions struct {
	Channels []string `yaml:"channels" flag:"channels" doc:"Values per cell of method channels: occupancy, count, density, or a reduction and an attribute such as mean:intensity, max:height, min:range or majority:classification."`
}

func channelsOf(o Options) []string { return MethodOptions(o, channelOptions{}).Channels }
