package files

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/draw"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
)

// Sheet is a contact sheet of samples, with their labels and what a model says about them. Its zero value is empty.
type Sheet struct {
	tiles []draw.Tile
	// Of each tile.
	paths []string
	rows  []int
	// reserved is the number of samples that may be added later. held is the number of points, cells and pixels of these
	// and those on the sheet, which are held in memory together.
	reserved, held               int
	predicted, labelled, correct int
}

// mostHeld is the largest number of points, cells and pixels of the samples of a sheet with more than one.
const mostHeld = 150_000_000

// Full reports whether another sample does not fit: on the picture or, with its data, in memory.
func (s *Sheet) Full(d ingest.Data) bool {
	n := len(s.tiles) + s.reserved
	return n == draw.MostTiles || n > 0 && s.held+sizeOf(d) > mostHeld
}

// Reserve reports whether there is room for a sample, and keeps it until [Sheet.Release].
func (s *Sheet) Reserve(d ingest.Data) bool {
	if s.Full(d) {
		return false
	}
	s.reserved++
	s.held += sizeOf(d)
	return true
}

// Release returns the room of a sample. It can then be added.
func (s *Sheet) Release(d ingest.Data) {
	s.reserved--
	s.held -= sizeOf(d)
}

// Len returns the number of samples.
func (s *Sheet) Len() int { return len(s.tiles) }

// Add adds a row of a file.
func (s *Sheet) Add(path string, row int, d ingest.Data, label int32) {
	t := draw.Tile{Data: d}
	if label != ingest.NoLabel {
		t.Title = fmt.Sprintf(", label %d", label) // after the name
	}
	s.tiles, s.paths, s.rows = append(s.tiles, t), append(s.paths, path), append(s.rows, row)
	s.held += sizeOf(d)
}

// titled returns the tiles with their titles: the names of the files if there are several, and the rows unless there
// is only one of a file.
func (s *Sheet) titled() []draw.Tile {
	rows := map[string]int{}
	for _, path := range s.paths {
		rows[path]++
	}
	tiles := slices.Clone(s.tiles)
	for i, path := range s.paths {
		var name []string
		if len(rows) > 1 {
			name = append(name, filepath.Base(path))
		}
		if len(rows) == 1 || rows[path] > 1 {
			name = append(name, fmt.Sprintf("row %d", s.rows[i]))
		}
		tiles[i].Title = strings.Join(name, ", ") + tiles[i].Title
	}
	return tiles
}

// Predicted writes what a model says about the last sample below it.
func (s *Sheet) Predicted(r *record.Classification) {
	t := &s.tiles[len(s.tiles)-1]
	name := cmp.Or(r.Name, strconv.Itoa(r.Class))
	t.Below = fmt.Sprintf("predicted %s, %.0f %%", name, 100*r.Score)
	if r.Unfamiliar {
		t.Below = "predicted " + name + ", unfamiliar"
	}
	s.predicted++
	if r.Label == nil {
		return
	}
	s.labelled++
	t.Verdict = -1
	if int(*r.Label) == r.Class {
		s.correct++
		t.Verdict = 1
	}
}

// picture draws the sheet. below is the line below the title.
func (s *Sheet) picture(ctx context.Context, look draw.Options, below string) (*draw.Picture, error) {
	switch {
	case s.labelled > 0:
		below += fmt.Sprintf(", with their labels and predictions: %d of %d are correct", s.correct, s.labelled)
	case s.predicted > 0:
		below += ", with their predictions"
	}
	return draw.Contact(ctx, look, below, s.titled())
}

// Write draws the sheet to a file, as [Draw] does. below is the line below the title.
func (s *Sheet) Write(ctx context.Context, a *app.Env, path, title, below string) error {
	format, err := draw.FormatOf(path, false)
	if err != nil {
		return app.Usage(err)
	}
	p, err := s.picture(ctx, lookOf(a, title), below)
	if err != nil {
		return err
	}
	return ingest.WriteFile(path, func(w io.Writer) error { return format.Write(ctx, w, p) })
}

// lookOf returns how a picture with a title looks: medical images in the window of the configuration, other grids in
// its palette.
func lookOf(a *app.Env, title string) draw.Options {
	v := &a.Config.Voxelize
	return draw.Options{Title: title, Window: v.Window, Palette: string(v.Colormap)}
}

// sizeOf returns the number of points, cells or pixels of a sample.
func sizeOf(d ingest.Data) int {
	switch d := d.(type) {
	case *ingest.PointCloud:
		return d.Len()
	case *ingest.Grid:
		return len(d.Values)
	case *ingest.Frame:
		return len(d.Depth)
	}
	return 0
}
