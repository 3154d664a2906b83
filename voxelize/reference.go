package voxelize

import (
	"fmt"
	"io"
	"strings"

	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// WriteReference writes the Markdown reference page of methods and colour maps.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Voxelization methods and colour maps\n\n" +
		"Generated from the declarations of methods and colour maps. `--method` or `voxelize.method` selects a " +
		"method; `voxelstream voxelize --list`\nlists them. `--colormap` or `voxelize.colormap` selects a colour " +
		"map; use the one that the model was trained with.\n\n" +
		"## Methods\n| method | description | inputs | grid | cell size and origin |\n|---|---|---|---|---|\n")
	for _, m := range Methods() {
		samples, grid, placed := "point clouds, depth frames", "any size", "fitted to each point cloud"
		if m.Needs.Frames {
			samples = "depth frames"
		}
		if m.Fuse != nil {
			samples += "; fuses a recording into one grid"
		}
		if m.Needs.Cube {
			grid = "cube"
		}
		if m.Placed {
			placed = "configured or fitted"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", m.Name, m.Doc, samples, grid, placed)
	}
	b.WriteString("\nInputs that are already voxel grids, such as MRI and CT scans or rows of archives, are not " +
		"voxelized. `voxelize.window` scales their\nvalues, and `voxelize.fit` adapts their size.\n")
	for _, m := range Methods() {
		if m.Options == nil {
			continue
		}
		fmt.Fprintf(&b, "\n### Options of %s\n| key | default | meaning |\n|---|---|---|\n", m.Name)
		for _, o := range m.Options() {
			for _, f := range option.Settings(o) {
				fmt.Fprintf(&b, "| `voxelize.%s` | `%s` | %s |\n", f.Path, f.String(), f.Doc+f.Hint())
			}
		}
	}
	b.WriteString("\n## Colour maps\nThe names and colours are those of matplotlib. `_r` at the end of a name reverses the " +
		"colour map: `viridis_r`.\n\n| colour map | colours " +
		"|\n|---|---|\n")
	for _, m := range colormap.Maps() {
		if strings.HasSuffix(string(m.Name), "_r") {
			continue
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", m.Name, m.Doc)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
