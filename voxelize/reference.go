package voxelize

import (
	"fmt"
	"io"
	"strings"

	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/voxelize/colormap"
)

// WriteReference writes the reference page of methods and colour maps, as Markdown.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Voxelization methods and colour maps\n\nGenerated from the lists of methods and colour maps. `--method` or `voxelize.method` chooses a method, " +
		"`voxelstream voxelize --list` lists\nthem. `--colormap` or `voxelize.colormap` chooses a colour map; a model wants the one that it was trained with.\n\n" +
		"## Methods\n| method | what it makes | samples | grid | edge and origin |\n|---|---|---|---|---|\n")
	for _, m := range Methods() {
		samples, grid, placed := "point clouds, depth frames", "any", "fitted to each cloud"
		if m.Needs.Frames {
			samples = "depth frames"
		}
		if m.Fuse != nil {
			samples += "; a recording is fused"
		}
		if m.Needs.Cube {
			grid = "cube"
		}
		if m.Placed {
			placed = "as set, or fitted"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", m.Name, m.Doc, samples, grid, placed)
	}
	b.WriteString("\nReady grids, such as the rows of archives and scans of MRI and CT, are not voxelized: `voxelize.window` scales their values, `voxelize.fit` fits their\n" +
		"cells.\n")
	for _, m := range Methods() {
		if m.Options == nil {
			continue
		}
		fmt.Fprintf(&b, "\n### Options of %s\n| key | default | meaning |\n|---|---|---|\n", m.Name)
		for _, f := range option.Settings(m.Options()) {
			fmt.Fprintf(&b, "| `voxelize.%s` | `%s` | %s |\n", f.Path, f.String(), f.Doc+f.Hint())
		}
	}
	b.WriteString("\n## Colour maps\nThe names and colours are those of matplotlib.\n\n| colour map | colours |\n|---|---|\n")
	for _, m := range colormap.Maps() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", m.Name, m.Doc)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
