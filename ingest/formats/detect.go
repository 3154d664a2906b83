package formats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
)

// Selection holds the options that choose inputs and their format.
type Selection struct {
	Format Name     `yaml:"format" flag:"format" doc:"Format of the input files. auto detects it from the content of each file."`
	Ignore []string `yaml:"ignore" flag:"ignore" doc:"Files and folders to skip when a folder is read: glob patterns, matched against the name and the path within the folder."`
}

// Validate checks the patterns.
func (s *Selection) Validate() error {
	for _, glob := range s.Ignore {
		if _, err := filepath.Match(glob, ""); err != nil {
			return fmt.Errorf("ignore: found %q, want a glob pattern", glob)
		}
	}
	return nil
}

// Name is the name of a format, or auto.
type Name string

// auto detects the format.
const auto Name = "auto"

// Choices are auto and the names of all formats.
func (Name) Choices() []string {
	out := []string{string(auto)}
	for _, f := range All() {
		out = append(out, f.Name)
	}
	return out
}

// Hint says where the names are listed.
func (Name) Hint() string { return "One of auto and the names in docs/reference/formats.md." }

func selectionOf(o ingest.Options) Selection { return ingest.ReaderOptions(o, Selection{Format: auto}) }

// Detect returns the format of the file or folder at path: the one that the options name, or else the one that its
// content fits best. A file that fits none is judged by its extension, and the error is then the reason for which
// that format cannot read it. If nothing fits, the error wraps [ingest.ErrFormat].
func Detect(ctx context.Context, path string, o ingest.Options) (ingest.Format, error) {
	d, err := detect(ctx, path, o)
	return d.Format, err
}

// detected is the format of an input.
type detected struct {
	ingest.Format
	sure ingest.Confidence
	// note is a remark about the detection; empty if there is none.
	note string
}

// errFolder is the error for a folder that is not one recording: its files are inputs of their own.
var errFolder = fmt.Errorf("a folder that is not one recording: %w", ingest.ErrFormat)

func detect(ctx context.Context, path string, o ingest.Options) (detected, error) {
	if confines(path, o) {
		return detectConfined(ctx, path, o)
	}
	head, err := ingest.ReadHead(path)
	if err != nil {
		return detected{}, err
	}
	if name := selectionOf(o).Format; name != auto && name != "" {
		return forced(head, string(name))
	}
	if err := recognized(head, written); err != nil {
		return detected{}, err
	}
	var best detected
	for _, f := range All() {
		if c := f.Detect(head); c > best.sure {
			best.Format, best.sure = f, c
		}
	}
	switch {
	case best.sure > ingest.No:
		return best, nil
	case head.IsDir():
		return best, fmt.Errorf("%s: %w", path, errFolder)
	case head.Size == 0:
		return best, fmt.Errorf("%s: the file is empty", path)
	}
	if f, ok := byExtension(path, head.Gzip); ok {
		return named(ctx, head, f, o)
	}
	return best, unknown(head, o)
}

// detectConfined has another process recognize the format of a file.
func detectConfined(ctx context.Context, path string, o ingest.Options) (detected, error) {
	name, sure, note, err := o.Confined.Detect(ctx, path, o)
	if err != nil {
		return detected{}, err
	}
	all := All()
	i := slices.IndexFunc(all, func(f ingest.Format) bool { return f.Name == name })
	if i < 0 {
		return detected{}, fmt.Errorf("%s: found format %.40q: %w", path, name, ingest.ErrFormat)
	}
	return detected{Format: all[i], sure: sure, note: note}, nil
}

// Recognize is Detect, with the confidence and a remark about it.
func Recognize(ctx context.Context, path string, o ingest.Options,
) (name string, sure ingest.Confidence, note string, err error) {
	d, err := detect(ctx, path, o)
	return d.Name, d.sure, d.note, err
}

// forced returns the format of the given name. If it is one of files, the files of a folder are inputs of their own.
func forced(head *ingest.Head, name string) (detected, error) {
	all := All()
	i := slices.IndexFunc(all, func(f ingest.Format) bool { return f.Name == name })
	if i < 0 {
		return detected{}, fmt.Errorf("found the format %q, want one of %s", name, strings.Join(Name("").Choices(), ", "))
	}
	f := all[i]
	if sure := f.Detect(head); sure > ingest.No || head.IsDir() == (f.Parts != nil) {
		return detected{Format: f, sure: max(sure, ingest.Likely)}, nil
	}
	if head.IsDir() {
		return detected{}, fmt.Errorf("%s: %w", head.Path, errFolder)
	}
	return detected{}, fmt.Errorf("%s: found a file, want a folder: %s recordings are folders", head.Path, name)
}

// byExtension returns the format with the longest extension that a file name has.
func byExtension(path string, gzip bool) (best ingest.Format, ok bool) {
	name := strings.ToLower(filepath.Base(path))
	if gzip {
		name = strings.TrimSuffix(name, ".gz")
	}
	longest := 1
	for _, f := range All() {
		for _, ext := range f.Extensions {
			if strings.HasSuffix(name, ext) && len(ext) >= longest {
				best, ok, longest = f, true, len(ext)
			}
		}
	}
	return best, ok
}

// named judges a file whose extension is that of f, although f did not recognize it. In most cases the error says what
// is wrong with it. Text that f can read is accepted with a note. Other content is not, because any bytes could be
// numbers.
func named(ctx context.Context, head *ingest.Head, f ingest.Format, o ingest.Options) (detected, error) {
	o.Notes, o.Account = nil, o.Budget.Open(ctx)
	defer o.Account.Close()
	switch _, err := f.Inspect(ctx, head.Path, o); {
	case err != nil && strings.HasPrefix(err.Error(), head.Path):
		return detected{}, err
	case err != nil:
		return detected{}, fmt.Errorf("%s: %s: %w", head.Path, f.Name, err)
	case bytes.IndexByte(head.Bytes, 0) >= 0:
		return detected{}, fmt.Errorf("%s: its name is that of a file of format %s, but its content is not plausible: %w; "+
			"%s %[2]s reads it all the same", head.Path, f.Name, ingest.ErrFormat, formatFlag(o))
	}
	return detected{Format: f, sure: ingest.Guess, note: "the format was recognized by the file's extension only"}, nil
}

// isFolder reports whether an error of detect is due to a folder of inputs.
func isFolder(err error) bool { return errors.Is(err, errFolder) }
