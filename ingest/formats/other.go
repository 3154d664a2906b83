package formats

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/sqlitefile"
	hdf "github.com/voxelstream/voxelstream/internal/h5"
)

// other is a kind of file that is no input.
type other struct {
	// what says what the file is, and advice what to do with it.
	what, advice string
	// kind is [ingest.ErrModel], [ingest.ErrNoInput], or ErrFormat for a file that may hold an input.
	kind error
	is   func(h *ingest.Head) bool
}

// What to do with files that are no inputs.
const (
	useModel   = "give a model with --model, or to voxelstream model"
	readTable  = "read it with a program for tables, or compare runs with voxelstream reprocess diff"
	noDepth    = "depth images are PNG or PGM files of 16-bit grey"
	openReport = "open it in a browser, or read it with a program for JSON"
)

// The kinds of files that are no inputs: models, what this program writes, and what other programs do. The
// first that fits counts. written are recognized before the formats, some of which would read them as well, and rest
// after them.
var (
	written = []other{
		{"a Keras model", useModel, ingest.ErrModel, isKeras},
		{
			"a checkpoint of a training run", "continue the run with voxelstream train --resume --checkpoint FILE",
			ingest.ErrNoInput, func(h *ingest.Head) bool { return tensors(h, `{"__metadata__":{"state":`) },
		},
		{"a safetensors model", useModel, ingest.ErrModel, func(h *ingest.Head) bool { return tensors(h, "{") }},
		{"an ONNX model", useModel, ingest.ErrModel, func(h *ingest.Head) bool {
			return h.Ext == ".onnx" && bytes.HasPrefix(h.Bytes, []byte{8}) // field 1, the version
		}},
		{"the architecture of a Keras model", useModel, ingest.ErrModel, func(h *ingest.Head) bool {
			return starts(h, "{") && contains(h, `"class_name"`, `"config"`)
		}},
		{"the results of a run", readTable, ingest.ErrNoInput, isResults},
		{"the objects or predictions of a command", readTable, ingest.ErrNoInput, func(h *ingest.Head) bool {
			return starts(h, "file,frame,time,object", `{"file":`)
		}},
		{
			"the history of a training run", "it is a table of numbers for a spreadsheet", ingest.ErrNoInput,
			func(h *ingest.Head) bool { return starts(h, "epoch,") && contains(h, "loss") },
		},
		{
			"the manifest of a reprocessing run", "continue the run with voxelstream reprocess --resume",
			ingest.ErrNoInput, func(h *ingest.Head) bool { return starts(h, "{") && contains(h, `"manifest":`, `"settings":`) },
		},
		{
			"a part of a reprocessing run", "continue the run with voxelstream reprocess --resume", ingest.ErrNoInput,
			func(h *ingest.Head) bool { return starts(h, "{") && contains(h, `"pieces":`, `"classified":`) },
		},
		{"the report of a run or an evaluation", openReport, ingest.ErrNoInput, isReport},
		{"a configuration", "give it with --config", ingest.ErrNoInput, func(h *ingest.Head) bool {
			return (h.Ext == ".yaml" || h.Ext == ".yml") && hasLine(h, "kafka:") && hasLine(h, "voxelize:")
		}},
		{
			"a colour picture", noDepth, ingest.ErrNoInput,
			isColourPNG,
		},
	}
	rest = []other{
		{"a JPEG picture", noDepth, ingest.ErrNoInput, magic("\xff\xd8\xff")},
		{"a GIF picture", noDepth, ingest.ErrNoInput, magic("GIF8")},
		{"a Parquet table", "such tables are only written", ingest.ErrNoInput, magic("PAR1")},
		{"an Arrow file", "such files are only written", ingest.ErrNoInput, magic("ARROW1")},
		{"a PDF document", "", ingest.ErrNoInput, magic("%PDF")},
		{"an xz archive", "decompress it first", ingest.ErrFormat, magic("\xfd7zXZ\x00")},
		{"a Zstandard archive", "decompress it first", ingest.ErrFormat, magic("\x28\xb5\x2f\xfd")},
		{"a bzip2 archive", "decompress it first", ingest.ErrFormat, magic("BZh")},
		{"an LZ4 archive", "decompress it first", ingest.ErrFormat, magic("\x04\x22\x4d\x18")},
		{"a zip archive", "extract it first", ingest.ErrFormat, magic("PK\x03\x04")},
		{"a 7z archive", "extract it first", ingest.ErrFormat, magic("7z\xbc\xaf\x27\x1c")},
		{"a rar archive", "extract it first", ingest.ErrFormat, magic("Rar!")},
		{"a tar archive", "extract it first", ingest.ErrFormat, func(h *ingest.Head) bool {
			const at = 257 // offset of the magic of POSIX tar
			return len(h.Bytes) > at && bytes.HasPrefix(h.Bytes[at:], []byte("ustar"))
		}},
		{"a Git LFS pointer", "fetch the file with `git lfs pull`", ingest.ErrFormat, magic("version https://git-lfs")},
		{"an HTML page, perhaps of a failed download", "", ingest.ErrFormat, func(h *ingest.Head) bool {
			return starts(h, "<!DOCTYPE html", "<html")
		}},
	}
)

// recognized returns the error for a file that is of one of some kinds, or nil.
func recognized(head *ingest.Head, kinds []other) error {
	for _, k := range kinds {
		if !head.IsDir() && k.is(head) {
			return &otherError{head.Path, k}
		}
	}
	return nil
}

// otherError is the error for a file that is no input.
type otherError struct {
	path string
	other
}

func (e *otherError) Error() string {
	text := e.path + ": found " + e.what
	if errors.Is(e, ingest.ErrNoInput) {
		text += ", want data"
	}
	if e.advice != "" {
		text += "; " + e.advice
	}
	return text
}

func (e *otherError) Is(target error) bool {
	return target == ingest.ErrFormat || target == e.kind || target == ingest.ErrNoInput && e.kind == ingest.ErrModel
}

// What says what a file is that is no input, such as "a Keras model", from the error that says so. It returns an empty
// string for other errors.
func What(path string, err error) string {
	if !errors.Is(err, ingest.ErrNoInput) {
		return ""
	}
	what, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), path+": found "), ", want data")
	return what
}

func magic(prefix string) func(h *ingest.Head) bool {
	return func(h *ingest.Head) bool { return bytes.HasPrefix(h.Bytes, []byte(prefix)) }
}

// starts reports whether a text starts with one of several beginnings, after white space.
func starts(h *ingest.Head, beginnings ...string) bool {
	text := bytes.TrimLeft(h.Bytes, "\ufeff \t\r\n")
	for _, b := range beginnings {
		if bytes.HasPrefix(text, []byte(b)) {
			return true
		}
	}
	return false
}

// contains reports whether the head contains all words.
func contains(h *ingest.Head, words ...string) bool {
	for _, w := range words {
		if !bytes.Contains(h.Bytes, []byte(w)) {
			return false
		}
	}
	return true
}

// hasLine reports whether a line starts with a word.
func hasLine(h *ingest.Head, word string) bool {
	return bytes.HasPrefix(h.Bytes, []byte(word)) || contains(h, "\n"+word)
}

// isKeras recognizes an archive of Keras 3, an HDF5 file of Keras 2, and the weights alone.
func isKeras(h *ingest.Head) bool {
	if magic("PK\x03\x04")(h) {
		const name = 30 // offset of the name of the first member
		for _, member := range []string{"metadata.json", "config.json", "model.weights.h5"} {
			if len(h.Bytes) > name && bytes.HasPrefix(h.Bytes[name:], []byte(member)) {
				return true
			}
		}
		return false
	}
	return hdf.IsHDF5(h.Bytes) &&
		(contains(h, "model_weights") || strings.HasSuffix(strings.ToLower(filepath.Base(h.Path)), ".weights.h5"))
}

// tensors recognizes a safetensors file by the beginning of its JSON.
func tensors(h *ingest.Head, beginning string) bool {
	const size = 8 // bytes of the length of the JSON
	return len(h.Bytes) > size && bytes.HasPrefix(h.Bytes[size:], []byte(beginning)) &&
		binary.LittleEndian.Uint64(h.Bytes) <= uint64(max(0, h.Size-size)) && contains(h, `"`)
}

// isResults recognizes tables of classifications by the names of their columns.
func isResults(h *ingest.Head) bool {
	switch {
	case starts(h, "event_id,stream,", "event_id\tstream\t", `{"event_id":`):
		return true
	case hdf.IsHDF5(h.Bytes), magic(sqlitefile.Magic)(h):
		return contains(h, "event_id", "model_digest")
	}
	return false
}

// isReport recognizes reports as JSON and as pages.
func isReport(h *ingest.Head) bool {
	return starts(h, "{") && (contains(h, `"per_class":`, `"accuracy":`) || contains(h, `"title":`, `"classified":`)) ||
		starts(h, "<!DOCTYPE html") && (h.Ext == ".html" || h.Ext == ".htm")
}

// isColourPNG recognizes PNG pictures with colours, by the colour type in their header.
func isColourPNG(h *ingest.Head) bool {
	const (
		colourType = 25 // offset
		colourBit  = 2
	)
	return magic("\x89PNG\r\n\x1a\n")(h) && len(h.Bytes) > colourType && h.Bytes[colourType]&colourBit != 0
}

// unknown is the error for a file that no format recognizes.
func unknown(head *ingest.Head, o ingest.Options) error {
	if err := recognized(head, rest); err != nil {
		return err
	}
	return fmt.Errorf("%s: found %d bytes that start with %q: %w; %s NAME reads it as that format", head.Path,
		head.Size, head.Bytes[:min(8, len(head.Bytes))], ingest.ErrFormat, formatFlag(o))
}

// formatFlag returns the flag of the command that names a format.
func formatFlag(o ingest.Options) string { return "--" + cmp.Or(o.FormatFlag, "format") }
