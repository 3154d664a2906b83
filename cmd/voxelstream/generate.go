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
	cmd := command("generate --out FILE", "Generate an HDF5 archive of labelled 3D digits, from MNIST files or from "+
		"drawn digits")
	cmd.Example = "  voxelstream generate --count 200 --augment --out digits.h5\n" +
		"  voxelstream generate --digits t10k-images.gz --labels t10k-labels.gz --count 5000 --augment " +
		"--test 500 --out mnist3d.h5"
	f := cmd.Flags()
	f.StringVar(&g.Digits, "digits", "", "IDX file of MNIST images, optionally gzipped. (default: drawn digits)")
	f.StringVar(&g.Labels, "labels", "", "IDX file of the labels of --digits.")
	f.IntVar(&g.First, "first", 0, "Index of the first digit to use.")
	f.IntVar(&g.Count, "count", 0, "Number of digits. 0 uses all digits of --digits.")
	f.IntVar(&g.Test, "test", 0, "Number of digits, taken from the end, for the test part.")
	f.BoolVar(&g.Augment, "augment", false, "Add a rotated and noisy copy of each digit.")
	f.IntVar(&g.Grid, "grid", 16, "Grid size: number of cells along each axis.")
	f.StringVar(&g.Layout, "layout", "vectors", "Layout of the archive: vectors stores one row of cells per digit; "+
		"clouds stores one group per digit, with points, normals and image.")
	f.StringVarP(&g.Out, "out", "o", "", "HDF5 file to write.")
	forceFlag(cmd)
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
