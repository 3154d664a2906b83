package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/files"
)

func (c *cli) voxelize() *cobra.Command {
	cmd := command("voxelize FILE|FOLDER --out OUT", "Voxelize an input and write the grids to a file", voxelFlags,
		inputFormatFlags())
	cmd.Example = "  voxelstream voxelize scan.pcd --method occupancy --edge 0.1 --grid 32 --out scan.npy\n" +
		"  voxelstream voxelize rgbd-frames/ --method tsdf --grid 64 --out room.npy\n" +
		"  voxelstream voxelize scan.bin --method pillars --grid 1x200x200 --edge 4x0.4x0.4 --format density --out scan.npy\n" +
		"  voxelstream voxelize city.laz --method count --edge 0.5 --grid 64 --tiles --out tiles.arrow\n" +
		"  voxelstream voxelize --list"
	var out, format string
	flagsIn(cmd, groupOutput, func(f *pflag.FlagSet) {
		outputVar(f, &out, "out", "File to write: "+orList(files.Voxelized())+". - is standard output, as .npy.",
			files.Voxelized()...)
		choiceVar(f, &format, "format", "index", "Cell values: index (into the palette), rgb (colour), density "+
			"(before the colour map) or, with method tsdf, distance (to the surface in metres). Does not apply to .arrow "+
			"and .binvox.", files.CellFormats())
	})
	tiles := cmd.Flags().Bool("tiles", false, "Divide a large scene into grids side by side, and write those with points. "+
		"Needs --edge; --origin is the corner of one of them.")
	list := cmd.Flags().Bool("list", false, "List the voxelization methods.")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if *list {
			return noArgs(cmd, args)
		}
		return checkArgs(cmd, args)
	}
	forceFlag(cmd)
	cmd.RunE = c.do(func(ctx context.Context, a *app.Env, args []string) error {
		if *list {
			methods := files.Methods()
			return show(c, &methods, nil, methodsText)
		}
		s, err := files.Voxelize(ctx, a, args[0], out, format, *tiles)
		return summarize(c, s, err, voxelizeText)
	})
	return cmd
}

func methodsText(w io.Writer, methods *[]files.MethodInfo) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, m := range *methods {
		fmt.Fprintf(table, "%s\t%s\n", m.Name, m.Doc)
	}
	table.Flush()
}

func voxelizeText(w io.Writer, s *files.VoxelizeSummary) {
	made := "from voxel grids"
	if s.Method != "" {
		made = "method " + s.Method
	}
	fmt.Fprintf(w, "%s: %s of %s cells, %s, with %s\n",
		s.File, app.Count(s.Volumes, "volume"), s.Grid.Cells(), made, s.Cells)
}
