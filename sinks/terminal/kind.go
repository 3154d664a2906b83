package terminal

import (
	"context"
	"errors"
	"fmt"

	"github.com/voxelstream/voxelstream/sinks"
)

// Kind is the terminal.
var Kind = sinks.Kind{
	Name: "terminal",
	Doc: "A live table of the latest classifications and a line of totals, on standard error. If standard error is not a " +
		"terminal, only the line of totals is printed, every few seconds.",
	Guarantee: sinks.BestEffort,
	Options:   func(sinks.Target) any { return &Options{Rows: 10} },
	Resolve: func(t *sinks.Target, _ sinks.Defaults) (string, error) {
		if t.Path != "" {
			return "", fmt.Errorf("found %q after the scheme, want nothing", t.Path)
		}
		return "terminal:", nil
	},
	Open: func(_ context.Context, _ sinks.Target, options any, s sinks.Services) (sinks.Sink, error) {
		if s.Screen == nil {
			return nil, errors.New("the terminal is not available")
		}
		return New(s.Screen, *options.(*Options)), nil
	},
}

// Options are the options of the table.
type Options struct {
	Rows int `yaml:"rows" min:"1" max:"1000" doc:"Number of rows in the table."`
}
