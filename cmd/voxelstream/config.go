package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/config"
)

func (c *cli) configCommand() *cobra.Command {
	cmd := command("config", "Check, show and describe the configuration", cobra.NoArgs)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }

	lint := command("lint [FILE]", "Report everything that is wrong at once: keys, types, units, environment names, values", cobra.MaximumNArgs(1))
	lint.RunE = func(cmd *cobra.Command, args []string) error {
		c.started = true
		if len(args) > 0 {
			c.config = args[0]
		}
		return app.ConfigLint(os.Stdout, c.file(), os.Environ(), overrides(cmd.Flags()), c.json)
	}
	show := command("print", "Show each effective value and where it came from", cobra.NoArgs)
	show.RunE = c.do(func(_ context.Context, a *app.Env, _ []string) error { return a.ConfigPrint() })

	schema := command("schema", "Write the JSON schema of the configuration file, for editors", cobra.NoArgs)
	schema.RunE = func(*cobra.Command, []string) error {
		c.started = true
		s, err := config.JSONSchema()
		if err == nil {
			_, err = os.Stdout.Write(s)
		}
		return err
	}
	cmd.AddCommand(lint, show, schema)
	return cmd
}
