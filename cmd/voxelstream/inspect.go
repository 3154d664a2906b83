package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/files"
)

func (c *cli) inspect() *cobra.Command {
	cmd := command("inspect FILE...", "Describe files: format, kind, counts, bounds, fields, calibration", ingestFlags)
	cmd.Example = "  voxelstream inspect scan.pcd digits.h5\n" +
		"  voxelstream inspect scan.pcd --png scan.png\n" +
		"  voxelstream inspect model.keras --json"
	png := cmd.Flags().String("png", "", "Draw the first sample to this PNG file.")
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env,
		args []string,
	) error {
		return c.inspectAll(ctx, a, args, *png)
	})
	return cmd
}

// inspectAll describes each file. A file that cannot be read is reported, and the others are still read. If png is not
// empty, the first readable sample is drawn to it.
func (c *cli) inspectAll(ctx context.Context, a *app.Env, paths []string, png string) error {
	failed := 0
	for i, path := range paths {
		info, err := files.Inspect(ctx, a, path)
		if err == nil && png != "" {
			if err = files.Draw(ctx, a, path, png); err == nil {
				png = ""
			}
		}
		if err != nil {
			failed++
			a.Log.Error("cannot read file", "file", path, "error", err)
			if c.json {
				if err := c.line(unreadable{path, err.Error()}); err != nil {
					return err
				}
			}
			continue
		}
		if i > 0 && !c.json {
			fmt.Fprintln(c.out)
		}
		if err := c.print(info, func(w io.Writer) { fmt.Fprintln(w, info) }); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("could not read %d of %s", failed, app.Count(len(paths), "file"))
	}
	return nil
}

// unreadable is the JSON output for a file that cannot be read.
type unreadable struct {
	File  string `json:"file"`
	Error string `json:"error"`
}
