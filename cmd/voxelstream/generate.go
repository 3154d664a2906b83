package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/files"
)

func (c *cli) generate() *cobra.Command {
	var g files.GenerateOptions
	cmd := command("generate --out FILE.h5", "Generate an archive of labelled 3D digits, from MNIST files or from "+
		"drawn digits", noArgs)
	cmd.Example = "  voxelstream generate --count 200 --augment --out digits.h5\n" +
		"  voxelstream generate --digits t10k-images.gz --labels t10k-labels.gz --first 1000 --count 5000 --augment " +
		"--test 500 --out mnist3d.h5"
	f := cmd.Flags()
	f.StringVar(&g.Digits, "digits", "", "IDX file of MNIST images, optionally gzipped (default: draw digits)")
	f.StringVar(&g.Labels, "labels", "", "IDX file of the labels")
	f.IntVar(&g.First, "first", 0, "index of the first digit to use")
	f.IntVar(&g.Count, "count", 0, "number of digits; 0 uses the whole file")
	f.IntVar(&g.Test, "test", 0, "number of digits, taken from the end, to put into X_test")
	f.BoolVar(&g.Augment, "augment", false, "add a rotated and noisy copy of each upright digit")
	f.IntVar(&g.Grid, "grid", 16, "grid size: number of cells along each axis")
	f.StringVar(&g.Layout, "layout", "vectors", "vectors stores one row of cells per digit; clouds stores one group "+
		"per digit with points, normals and image")
	f.StringVar(&g.Out, "out", "", "file to write")
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env, _ []string) error {
		s, err := files.Generate(ctx, a, g)
		return show(c, s, err, generateText)
	})
	return cmd
}

func generateText(w io.Writer, s *files.GenerateSummary) {
	fmt.Fprintf(w, "%s: layout %s, %s for training, %d for testing, seed %d, %.1f s\n", s.File, s.Layout,
		app.Count(s.Train, "row"), s.Test, s.Seed, s.Seconds)
}
