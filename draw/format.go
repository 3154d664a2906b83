package draw

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// Picture is an image, or the images of a turn.
type Picture struct {
	frames []*image.RGBA
}

// Image returns the first image.
func (p *Picture) Image() *image.RGBA { return p.frames[0] }

// Format is a file format of pictures.
type Format struct {
	Name, Extension string
	// Turns says that files show a turn; otherwise they show one image.
	Turns bool
	write func(w io.Writer, frames []*image.RGBA) error
}

// Formats lists the formats.
func Formats() []Format {
	return []Format{
		{Name: "PNG", Extension: ".png", write: writePNG},
		{Name: "animated PNG", Extension: ".apng", Turns: true, write: writeAPNG},
		{Name: "GIF", Extension: ".gif", Turns: true, write: writeGIF},
	}
}

// FormatOf returns the format of a file by its extension, of those with turns only if they are wanted. The error lists
// the known extensions.
func FormatOf(path string, turns bool) (Format, error) {
	ext := strings.ToLower(filepath.Ext(path))
	all := slices.DeleteFunc(Formats(), func(f Format) bool { return f.Turns && !turns })
	if i := slices.IndexFunc(all, func(f Format) bool { return f.Extension == ext }); i >= 0 {
		return all[i], nil
	}
	var known []string
	for _, f := range all {
		what := f.Name
		if f.Turns {
			what += ", a turn"
		}
		known = append(known, fmt.Sprintf("%s (%s)", f.Extension, what))
	}
	return Format{}, fmt.Errorf("%s: found extension %q of a picture, want %s", path, ext, strings.Join(known, ", "))
}

// Write writes a picture. A format without turns shows the first image. The error may be that of ctx.
func (f Format) Write(ctx context.Context, w io.Writer, p *Picture) error {
	if len(p.frames) == 0 {
		return errors.New("the picture is empty")
	}
	return f.write(stoppable{ctx, w}, p.frames)
}

// stoppable is a writer until a context ends.
type stoppable struct {
	ctx context.Context
	w   io.Writer
}

func (s stoppable) Write(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.w.Write(p)
}

func writePNG(w io.Writer, frames []*image.RGBA) error { return png.Encode(w, frames[0]) }
