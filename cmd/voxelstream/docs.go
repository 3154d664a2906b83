package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/telemetry"
)

// docs writes generated files: the reference pages and config.yaml of the checkout at DIR or, with --man, man pages.
func (c *cli) docs() *cobra.Command {
	cmd := command("docs DIR", "Write the generated documentation")
	cmd.Hidden = true
	man := cmd.Flags().Bool("man", false, "Write man pages instead.")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c.started = true
		root := cmd.Root()
		root.DisableAutoGenTag = true // omits the date, which would change the pages every day
		if *man {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			return doc.GenManTree(root, &doc.GenManHeader{Title: "VOXELSTREAM", Section: "1", Manual: "Voxelstream", Source: "voxelstream " +
				app.Version}, args[0])
		}
		dir := filepath.Join(args[0], "docs", "reference", "cli")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := doc.GenMarkdownTree(root, dir); err != nil {
			return err
		}
		if err := config.WriteDocs(args[0]); err != nil {
			return err
		}
		reference := filepath.Join(args[0], "docs", "reference")
		return errors.Join(
			writePage(filepath.Join(reference, "metrics.md"), telemetry.WriteReference),
			writePage(filepath.Join(reference, "inputs.md"), input.WriteReference),
		)
	}
	return cmd
}

// writePage writes a file.
func writePage(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
