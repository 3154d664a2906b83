package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/objects"
	"github.com/voxelstream/voxelstream/draw"
)

func (c *cli) objects() *cobra.Command {
	cmd := command("objects FILE|FOLDER...", "Find objects in scans: boxes, distances, tracks and classes",
		perceptionFlags, voxelFlags, ingestFlags, modelFlag)
	cmd.Example = "  voxelstream objects scan.pcd\n" +
		"  voxelstream objects drive.pcap --png street.png\n" +
		"  voxelstream objects recording/ --out boxes.parquet --out boxes.ply --json"
	o := objectsOptions{}
	flagsIn(cmd, groupOutput, func(f *pflag.FlagSet) {
		outputsVar(f, &o.out, "out", "File to write the objects to: "+orList(objects.Extensions())+
			". - is standard output, as CSV. It may be repeated.", objects.Extensions()...)
		outputVar(f, &o.png, "png", "Draw a frame to this PNG file: a scan in perspective and from above, or a depth "+
			"image.", ".png")
		f.Uint64Var(&o.frame, "frame", 0, "Number of the frame to draw.")
	})
	cmd.Flags().BoolVar(&o.unnamed, "no-class", false, "Do not classify the objects.")
	forceFlag(cmd)
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		if cmd.Flags().Changed("frame") && o.png == "" {
			return app.Usage(errors.New("--frame: missing --png FILE, for which it selects the frame"))
		}
		if o.png != "" {
			if _, err := draw.FormatOf(o.png, false); err != nil {
				return app.Usage(fmt.Errorf("--png: %w", err))
			}
		}
		return c.findObjects(ctx, a, args, o)
	})
	return cmd
}

type objectsOptions struct {
	out     []string
	png     string
	frame   uint64
	unnamed bool
}

// findObjects prints the objects of each frame, and writes and draws them.
func (c *cli) findObjects(ctx context.Context, a *app.Env, paths []string, o objectsOptions) (err error) {
	release, err := a.ClaimOutputs(paths, append(slices.Clone(o.out), o.png)...)
	if err != nil {
		return err
	}
	defer release()
	var namer *objects.Namer
	if !o.unnamed {
		if namer, err = objects.NewNamer(ctx, a); err != nil {
			return err
		}
		defer namer.Close()
	}
	var outs []*objects.Output
	defer func() {
		for _, out := range outs {
			err = errors.Join(err, out.Close())
		}
	}()
	for _, path := range o.out {
		out, err := objects.Create(path)
		if err != nil {
			return err
		}
		outs = append(outs, out)
	}
	drawn := false
	_, err = objects.Find(ctx, a, paths, namer, func(f *objects.Frame) error {
		if o.png != "" && !drawn && f.Frame == o.frame {
			drawn = true
			if err := objects.Draw(ctx, o.png, f); err != nil {
				return err
			}
		}
		for i, out := range outs {
			if err := out.Write(f); err != nil {
				return fmt.Errorf("%s: %w", o.out[i], err)
			}
		}
		return c.foundObjects(f)
	})
	if err != nil && !errors.Is(err, app.ErrSkipped) {
		return err
	}
	if o.png != "" && !drawn {
		err = errors.Join(err, app.Usage(fmt.Errorf("--frame: found no frame %d", o.frame)))
	}
	for _, out := range outs {
		err = errors.Join(err, out.Commit())
	}
	return err
}

// foundObjects prints the objects of a frame: a table, or with --json a line for each object and one for the frame.
func (c *cli) foundObjects(f *objects.Frame) error {
	if !c.json {
		shown := *f
		shown.Scene = nil // its points are not shown
		return present(c, &shown, objectsText)
	}
	for i := range f.List {
		if err := c.line(&f.List[i]); err != nil {
			return err
		}
	}
	return c.line(f)
}

func objectsText(w io.Writer, f *objects.Frame) {
	fmt.Fprintf(w, "%s, frame %d: %s in %s (%d ground)\n", f.File, f.Frame, app.Count(f.Objects, "object"),
		app.Count(f.Points, "point"), f.Ground)
	if len(f.List) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "object\ttrack\tdistance m\tcenter m\tsize m\tyaw deg\tspeed m/s\tpoints\tclass\t\n")
	for i := range f.List {
		o := &f.List[i]
		track, speed, class := "-", "-", "-"
		if o.Track > 0 {
			track = fmt.Sprint(o.Track)
		}
		if v := o.Velocity; v != nil {
			speed = fmt.Sprintf("%.1f", math.Hypot(v[0], v[1]))
		}
		if o.Class != nil {
			class = fmt.Sprintf("%s %.2f", className(*o.Class, o.Name), *o.Score)
		}
		fmt.Fprintf(t, "%d\t%s\t%.2f\t%.1f %.1f %.1f\t%.1f x %.1f x %.1f\t%.0f\t%s\t%d\t%s\t\n",
			o.Object, track, o.Distance, o.Center[0], o.Center[1], o.Center[2], o.Size[0], o.Size[1], o.Size[2],
			o.Yaw*180/math.Pi, speed, o.Points, class)
	}
	t.Flush()
}
