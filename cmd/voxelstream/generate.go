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
	cmd := command("generate --out FILE.h5", "Make an archive of labelled 3D digits, from MNIST's files or drawn ones", cobra.NoArgs)
	cmd.Example = "  voxelstream generate --count 200 --augment --out digits.h5\n" +
		"  voxelstream generate --digits t10k-images.gz --labels t10k-labels.gz --first 1000 --count 5000 --augment --test 500 --out mnist3d.h5"
	f := cmd.Flags()
	f.StringVar(&g.Digits, "digits", "", "IDX file of MNIST images, gzip or not; without it digits are drawn")
	f.StringVar(&g.Labels, "labels", "", "IDX file of their labels")
	f.IntVar(&g.First, "first", 0, "number of the first digit")
	f.IntVar(&g.Count, "count", 0, "number of digits; 0 means all of the file")
	f.IntVar(&g.Test, "test", 0, "how many of them, the last, go into X_test")
	f.BoolVar(&g.Augment, "augment", false, "after each upright digit, a rotated and noisy one")
	f.IntVar(&g.Grid, "grid", 16, "cells of a grid's side")
	f.StringVar(&g.Layout, "layout", "vectors", "vectors: a row of cells each; clouds: a group with points, normals and image each")
	f.StringVar(&g.Out, "out", "", "the file to write")
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env, _ []string) error {
		s, err := files.Generate(ctx, a, g)
		return show(c, s, err, generateText)
	})
	return cmd
}

func generateText(w io.Writer, s *files.GenerateSummary) {
	fmt.Fprintf(w, "%s: layout %s, %s to train, %d to test, seed %d, %.1f s\n", s.File, s.Layout, app.Count(s.Train, "row"), s.Test, s.Seed, s.Seconds)
}
