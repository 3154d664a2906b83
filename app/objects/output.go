package objects

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/ingest"
)

// table writes the objects of frames in one format.
type table interface {
	write(f *Frame) error
	end() error
}

// formats lists the formats of output files by their extensions.
var formats = []struct {
	extension string
	open      func(w io.Writer) (table, error)
}{
	{".csv", newCSV},
	{".jsonl", newJSONLines},
	{".parquet", newParquet},
	{".ply", newPLY},
}

// Output is a file of objects. It appears under its name when it is committed.
type Output struct {
	*ingest.NewFile
	table table
}

// Create creates a file in the format given by its extension. The caller must call Close.
func Create(path string) (*Output, error) {
	extension := strings.ToLower(filepath.Ext(path))
	var known []string
	for _, f := range formats {
		known = append(known, f.extension)
		if f.extension != extension {
			continue
		}
		file, err := ingest.CreateFile(path)
		if err != nil {
			return nil, err
		}
		t, err := f.open(file)
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		return &Output{file, t}, nil
	}
	return nil, app.Usage(fmt.Errorf("%s: found extension %q, want one of %s", path, extension, strings.Join(known, ", ")))
}

// Write writes the objects of a frame.
func (o *Output) Write(f *Frame) error { return o.table.write(f) }

// Commit completes the file.
func (o *Output) Commit() error {
	if err := o.table.end(); err != nil {
		return err
	}
	return o.NewFile.Commit()
}

// jsonLines writes the lines of the command's option --json.
type jsonLines struct{ *json.Encoder }

func newJSONLines(w io.Writer) (table, error) { return jsonLines{json.NewEncoder(w)}, nil }

func (j jsonLines) write(f *Frame) error {
	for i := range f.List {
		if err := j.Encode(&f.List[i]); err != nil {
			return err
		}
	}
	return j.Encode(f)
}

func (j jsonLines) end() error { return nil }

// plyBoxes collects boxes for a PLY file, whose header begins with their number.
type plyBoxes struct {
	w     io.Writer
	boxes []Object
}

func newPLY(w io.Writer) (table, error) { return &plyBoxes{w: w}, nil }

func (p *plyBoxes) write(f *Frame) error {
	p.boxes = append(p.boxes, f.List...)
	return nil
}

// faces are the corners of the faces of a box, counterclockwise from outside. Bit 0 of a corner is its side along the
// length, bit 1 along the width, bit 2 along the height.
var faces = [6][4]int{{0, 2, 3, 1}, {4, 5, 7, 6}, {0, 1, 5, 4}, {2, 6, 7, 3}, {0, 4, 6, 2}, {1, 3, 7, 5}}

// end writes each box as eight corners and six faces, in the colour that it has in pictures.
func (p *plyBoxes) end() error {
	var b strings.Builder
	fmt.Fprintf(&b, "ply\nformat ascii 1.0\ncomment boxes of objects in metres: x forward, y left, z up\n"+
		"element vertex %d\nproperty float x\nproperty float y\nproperty float z\n"+
		"property uchar red\nproperty uchar green\nproperty uchar blue\n"+
		"element face %d\nproperty list uchar int vertex_indices\nproperty uint frame\nproperty uint object\n"+
		"end_header\n", 8*len(p.boxes), 6*len(p.boxes))
	for i := range p.boxes {
		o := drawn(&p.boxes[i])
		c := o.Color()
		for _, at := range o.Corners() {
			fmt.Fprintf(&b, "%.4f %.4f %.4f %d %d %d\n", at[0], at[1], at[2], c.R, c.G, c.B)
		}
	}
	for i := range p.boxes {
		for _, f := range faces {
			fmt.Fprintf(&b, "4 %d %d %d %d %d %d\n", 8*i+f[0], 8*i+f[1], 8*i+f[2], 8*i+f[3], p.boxes[i].Frame,
				p.boxes[i].Object)
		}
	}
	_, err := io.WriteString(p.w, b.String())
	return err
}

// Extensions lists the extensions of output files.
func Extensions() []string {
	var out []string
	for _, f := range formats {
		out = append(out, f.extension)
	}
	return slices.Clip(out)
}
