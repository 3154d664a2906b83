// Package jsonl stores classifications in a file of JSON lines, one object per line. The file holds each classification
// once, even after crashes and on a full disk.
package jsonl

import (
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/internal/appendfile"
	"github.com/voxelstream/voxelstream/sinks/table"
)

var extensions = []string{".jsonl", ".ndjson", ".jsonl.gz", ".jsonl.zst", ".ndjson.gz", ".ndjson.zst"}

const doc = "A file with one JSON object per line ([schema](classification.schema.json))."

// Kind is the sink that appends to a file.
var Kind = appendfile.Kind(sinks.Kind{
	Name: "jsonl",
	Doc: doc + " Every write is synced to disk.\n\n" +
		"New classifications are appended to an existing file. The file is read once at startup, so that " +
		"classifications it already holds are skipped. An incomplete last line, left by a crash, is removed and " +
		"written again. Only one process at a time may write to a file.\n\n" +
		"If the name ends in `.gz` or `.zst`, each write is a separate gzip member or Zstandard frame, which other " +
		"programs read as one text. After a crash, the last one may be incomplete until the next start. Single " +
		"classifications compress badly, so compression pays for batches.\n\n" +
		"With `rotate-bytes` or `rotate-every`, `results.jsonl` is always the current file. The rotated files are " +
		"`results-000001.jsonl` and so on; the newest has the highest number. You may compress them later (`.gz`, " +
		"`.zst`). A classification is not stored again as long as the current file or a rotated one holds it. If " +
		"its file has been deleted, because of `keep` or by you, and it is delivered again after the next start, " +
		"it is stored again. Without these options, only the current file counts.\n\n" +
		"Another program may rename, remove or truncate the file while it is in use. The sink then continues with " +
		"a new file, or at the end of what is left. It recognizes classifications in the files of other programs " +
		"only until it is restarted. A program that copies the file before it truncates it, such as logrotate with " +
		"`copytruncate`, loses what is written between the two steps. `create` and `nocreate` lose nothing. Zeros " +
		"between lines, which such rotations could cause in earlier releases, are removed at startup.",
	Extensions: extensions,
}, layout)

// Format is a whole file.
var Format = table.Format{
	Name: "jsonl", Doc: doc, Extensions: extensions,
	Create: func(path string, _ any) (table.Writer, error) { return appendfile.Create(path, layout(path)) },
	Open:   func(path string) (table.Reader, error) { return appendfile.Open(path, layout(path)) },
}

func layout(string) appendfile.Layout { return appendfile.JSONLines() }
