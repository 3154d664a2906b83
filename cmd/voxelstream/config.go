package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/config"
)

func (c *cli) configCommand() *cobra.Command {
	cmd := command("config", "Check, show and describe the configuration")
	cmd.Example = "  voxelstream config lint config.yaml\n  voxelstream config print"
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }

	lint := command("lint [FILE]",
		"Check the configuration and report all problems")
	lint.Long = lint.Short + ": unknown keys and variables, wrong types, units and values."
	lint.Example = "  voxelstream config lint config.yaml"
	lint.RunE = func(cmd *cobra.Command, args []string) error {
		c.started = true
		if len(args) > 0 {
			c.config = args[0]
		}
		return c.lint(cmd.Flags())
	}
	shown := command("print", "Show each effective value and its origin")
	shown.Example = "  voxelstream config print --config config.yaml"
	shown.RunE = c.do(func(_ context.Context, a *app.Env, _ []string) error {
		settings := a.Config.Settings()
		return present(c, settings, settingsText)
	})

	schema := command("schema", "Print the JSON schema of the configuration file, for editors")
	schema.Example = "  voxelstream config schema > config.schema.json"
	schema.RunE = func(*cobra.Command, []string) error {
		c.started = true
		s, err := config.JSONSchema()
		if err == nil {
			_, err = c.out.Write(s)
		}
		return err
	}
	cmd.AddCommand(lint, shown, schema)
	return cmd
}

// settingsText writes a table of all keys.
func settingsText(w io.Writer, settings []config.Setting) {
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tVALUE\tORIGIN")
	for _, s := range settings {
		fmt.Fprintf(t, "%s\t%s\t%s\n", s.Key, s.Text, s.Origin)
	}
	t.Flush()
}

// problems is the result of config lint.
type problems struct {
	File     string   `json:"file"`
	Problems []string `json:"problems"`
}

// lint checks the file, the environment and the flags, and prints all problems at once.
func (c *cli) lint(flags *pflag.FlagSet) error {
	_, err := config.Load(c.file(), os.Environ(), overrides(flags))
	var bad *config.Error
	if err != nil && !errors.As(err, &bad) {
		return err
	}
	p := &problems{File: c.file(), Problems: []string{}}
	if bad != nil {
		for _, problem := range bad.Problems {
			p.Problems = append(p.Problems, problem.Error())
		}
		err = app.Usage(errors.New(app.Count(len(p.Problems), "problem")))
	}
	return show(c, p, err, problemsText)
}

func problemsText(w io.Writer, p *problems) {
	for _, problem := range p.Problems {
		fmt.Fprintln(w, problem)
	}
	if len(p.Problems) == 0 {
		fmt.Fprintln(w, "no problems")
	}
}
