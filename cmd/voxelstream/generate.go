package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/files"
)

func (c *cli) generate() *cobra.Command {
	var g files.GenerateOptions
	var r files.RecordOptions
	var scenes int
	cmd := command("generate --out FILE|DIR", "Generate labelled data: 3D digits, simulated scans, objects",
		perceptionFlags)
	cmd.Long = cmd.Short + `.

Without --scene and --objects, an HDF5 archive of 3D digits is made of MNIST files or of drawn digits. --scene records
scans of a simulated scene with ground truth. --objects makes an archive of the objects that are found in such scans.`
	cmd.Example = "  voxelstream generate --count 200 --augment --out digits.h5\n" +
		"  voxelstream generate --digits t10k-images.gz --labels t10k-labels.gz --count 5000 --augment " +
		"--test 500 --out mnist3d.h5\n" +
		"  voxelstream generate --scene street --sensor hdl64 --count 20 --seed 7 --out street\n" +
		"  voxelstream generate --objects 400 --seed 1 --out objects.h5"
	flagsIn(cmd, "Digits", func(f *pflag.FlagSet) { digitFlags(f, &g) })
	flagsIn(cmd, groupOutput, func(f *pflag.FlagSet) {
		seekableVar(f, &g.Out, "out", "HDF5 file to write, or folder for scans.",
			"an HDF5 file cannot be streamed, nor can a folder")
	})
	flagsIn(cmd, "Simulated scans", func(f *pflag.FlagSet) {
		choiceVar(f, &r.Scene, "scene", "", "Generate scans of this simulated scene, in the layout of SemanticKITTI, "+
			"or depth frames, in that of TUM RGB-D. 'ingest simulate --list' names the scenes; --seed varies them.",
			files.Scenes())
		choiceVar(f, &r.Sensor, "sensor", "", "Sensor for --scene: "+orList(files.Sensors())+
			". (default: kinect for indoors, otherwise hdl64)", files.Sensors())
		f.IntVar(&scenes, "objects", 0, "Generate the objects that are found in scans and depth frames of this many "+
			"simulated streets and rooms.")
	})
	forceFlag(cmd)
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env, _ []string) error {
		if err := generates(cmd.Flags()); err != nil {
			return app.Usage(err)
		}
		switch {
		case cmd.Flags().Changed("objects"):
			s, err := files.GenerateObjects(ctx, a, scenes, g.Out)
			return summarize(c, s, err, objectsGenerated)
		case r.Scene != "":
			r.Count, r.Out = g.Count, g.Out
			s, err := files.Record(ctx, a, r)
			return summarize(c, s, err, recordText)
		}
		s, err := files.Generate(ctx, a, g)
		return summarize(c, s, err, generateText)
	})
	return cmd
}

// generates returns an error if flags are set together that have no effect on each other.
func generates(f *pflag.FlagSet) error {
	digits := []string{"digits", "labels", "first", "test", "augment", "grid", "layout"}
	for _, name := range []string{"count", "first", "test"} {
		if n, err := f.GetInt(name); err == nil && n < 0 {
			return fmt.Errorf("--%s: found %d, want at least 0", name, n)
		}
	}
	switch {
	case f.Changed("objects"):
		return without(f, "objects", append(digits, "count", "scene", "sensor")...)
	case f.Changed("scene"):
		return without(f, "scene", digits...)
	case f.Changed("sensor"):
		return errors.New("--sensor has no effect without --scene")
	}
	return nil
}

// digitFlags declares the flags of archives of digits.
func digitFlags(f *pflag.FlagSet, g *files.GenerateOptions) {
	f.StringVar(&g.Digits, "digits", "", "IDX file of MNIST images, optionally gzipped. (default: drawn digits)")
	f.StringVar(&g.Labels, "labels", "", "IDX file of the labels of --digits.")
	f.IntVar(&g.First, "first", 0, "Index of the first digit to use.")
	f.IntVar(&g.Count, "count", 0, "Number of digits, scans or depth frames. 0 uses all digits of --digits, or "+
		"10 scans.")
	f.IntVar(&g.Test, "test", 0, "Number of digits, taken from the end, for the test part.")
	f.BoolVar(&g.Augment, "augment", false, "Add a rotated and noisy copy of each digit.")
	f.IntVar(&g.Grid, "grid", 16, "Grid size: number of cells along each axis.")
	choiceVar(f, &g.Layout, "layout", "vectors", "Layout of the archive: vectors stores one row of cells per digit; "+
		"clouds stores one group per digit, with points, normals and image.", []string{"vectors", "clouds"})
}

func generateText(w io.Writer, s *files.GenerateSummary) {
	fmt.Fprintf(w, "%s: layout %s, %s for training, %d for testing, seed %d, %.1f s\n", s.File, s.Layout,
		app.Count(s.Train, "row"), s.Test, s.Seed, s.Seconds)
}

func recordText(w io.Writer, s *files.RecordSummary) {
	fmt.Fprintf(w, "%s: scene %s, sensor %s, %s, %d points, %d objects, seed %d, %.1f s\n", s.Folder, s.Scene, s.Sensor,
		app.Count(s.Scans, "scan"), s.Points, s.Objects, s.Seed, s.Seconds)
}

func objectsGenerated(w io.Writer, s *files.ObjectsSummary) {
	fmt.Fprintf(w, "%s: %s from %s, seed %d, %.1f s\n",
		s.File, app.Count(s.Objects, "object"), app.Count(s.Scenes, "scene"), s.Seed, s.Seconds)
	for _, name := range slices.Sorted(maps.Keys(s.Classes)) {
		fmt.Fprintf(w, "  %-12s %d\n", name, s.Classes[name])
	}
}
