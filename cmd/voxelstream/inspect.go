package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/app/files"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/ingest"
)

func (c *cli) inspect() *cobra.Command {
	cmd := command("inspect FILE|FOLDER...", "Describe files: format, kind, counts, bounds, fields, calibration",
		ingestFlags, config.Flags("voxelize.window"), config.Flags("voxelize.colormap"), modelFlag)
	cmd.Example = "  voxelstream inspect scan.pcd digits.h5\n" +
		"  voxelstream inspect scan.pcd --png scan.png\n" +
		"  voxelstream inspect digits.h5 --png digits.png --rows 0:24 --predict\n" +
		"  voxelstream inspect chair.ply --png chair.gif\n" +
		"  voxelstream inspect ct-series/ --png ct.png --window lung\n" +
		"  voxelstream inspect model.keras --json"
	var p files.PictureOptions
	flagsIn(cmd, groupOutput, func(f *pflag.FlagSet) {
		outputVar(f, &p.Out, "png",
			"Draw the first sample to this file; .apng and .gif show a turn. --rows makes a contact sheet.",
			files.PictureExtensions(true)...)
		f.BoolVar(&p.Predict, "predict", false, "Write the predictions of the model on the contact sheet.")
		f.StringVar(&p.Color, "color", "", "Field that colours points, such as z or intensity.")
	})
	all := cmd.Flags().Bool("all", false, "Describe each file of a folder, however many there are. By default, more than "+
		strconv.Itoa(mostDescribed)+" are counted by format.")
	rowsFlags(cmd, groupOutput, "draw")
	forceFlag(cmd)
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		for _, name := range []string{"row", "rows", "predict", "color"} {
			if cmd.Flags().Changed(name) && p.Out == "" {
				return app.Usage(fmt.Errorf("--%s: missing --png FILE, the picture it is for", name))
			}
		}
		p.Sheet = cmd.Flags().Changed("rows") || p.Predict && cmd.Flags().Changed("row")
		if p.Out != "" {
			if err := p.Check(a.Rows); err != nil {
				return app.Usage(err)
			}
		}
		return c.inspectAll(ctx, a, args, p, *all)
	})
	return cmd
}

// inspectAll describes each file, and the files in each folder, or counts them if they are many and all is not set. A
// file that cannot be read is reported, and the others are still read. If a picture is wanted, it shows the first file
// that can be drawn.
func (c *cli) inspectAll(ctx context.Context, a *app.Env, paths []string, p files.PictureOptions, all bool) error {
	paths, err := input.Expand(paths)
	if err != nil {
		return err
	}
	release, err := a.ClaimOutputs(paths, p.Out)
	if err != nil {
		return err
	}
	defer release()
	shown, unreadable, skipped := 0, 0, 0
	separate := func() {
		if shown > 0 && !c.json {
			fmt.Fprintln(c.out)
		}
	}
	describe := func(in files.Inspected) error {
		if in.Err == nil {
			separate()
			shown++
		}
		return c.inspected(a, in)
	}
	for _, path := range paths {
		folder := newOverview(path)
		bar := a.Bar("files")
		for in := range files.InspectAll(ctx, a, path) {
			if in.Err != nil && ctx.Err() != nil {
				break
			}
			if in.Err == nil && in.Skipped == "" && p.Out != "" {
				if in.Err = files.Draw(ctx, a, in, p); in.Err == nil {
					p.Out = ""
				}
			}
			switch {
			case in.Err == nil:
			case in.File == path:
				unreadable++
			default:
				skipped++
			}
			if in.File == path || all || c.json {
				if err := describe(in); err != nil {
					return err
				}
				continue
			}
			folder.add(in)
			bar.Set(int64(folder.files), 0, "")
		}
		bar.Done()
		if err := ctx.Err(); err != nil { // files are left
			return err
		}
		if folder.files > mostDescribed {
			separate()
			shown += folder.described()
			if err := present(c, folder, func(w io.Writer, o *overview) { o.text(w) }); err != nil {
				return err
			}
			continue
		}
		for _, in := range folder.first {
			if err := describe(in); err != nil {
				return err
			}
		}
	}
	switch {
	case unreadable > 0, shown == 0:
		return fmt.Errorf("could not read %d of %s", unreadable+skipped, app.Count(shown+unreadable+skipped, "file"))
	case skipped > 0:
		return app.SkippedSome(fmt.Sprintf("could not read %d of %s", skipped, app.Count(shown+skipped, "file")))
	}
	return nil
}

// inspected shows the description of one file, or why there is none.
func (c *cli) inspected(a *app.Env, in files.Inspected) error {
	switch {
	case in.Err != nil:
		a.Log.Error("cannot read file", "file", in.File, "error", in.Err)
		if c.json {
			return c.line(struct {
				File  string `json:"file"`
				Error string `json:"error"`
			}{in.File, in.Err.Error()})
		}
		return nil
	case in.Skipped != "" && c.json:
		return c.line(struct {
			File    string `json:"file"`
			Skipped string `json:"skipped"`
		}{in.File, in.Skipped})
	case in.Skipped != "":
		return present(c, in, func(w io.Writer, in files.Inspected) {
			fmt.Fprintf(w, "%s\n  skipped %s\n", in.File, in.Skipped)
		})
	}
	return present(c, in.Info, func(w io.Writer, info ingest.Info) { fmt.Fprintln(w, info) })
}
