// Package csv stores classifications in a file of comma-separated or tab-separated values. The file holds each
// classification once, even after crashes and on a full disk.
package csv

import (
	"path/filepath"
	"strings"

	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/internal/appendfile"
	"github.com/voxelstream/voxelstream/sinks/table"
)

var extensions = []string{".csv", ".tsv", ".csv.gz", ".csv.zst", ".tsv.gz", ".tsv.zst"}

const doc = "A table with a header line, and one line per classification. Files whose extension is `.tsv` have " +
	"tabs between the values; all others have commas. Values with separators, quotation marks or line ends are " +
	"quoted ([RFC 4180](https://www.rfc-editor.org/rfc/rfc4180)); lines end in a line feed. Missing values are " +
	"empty. `top_k` is a JSON document.\n\n" +
	"Spreadsheets interpret text that begins with `=`, `+`, `-` or `@` as a formula. An apostrophe is therefore put " +
	"before text that begins with one of these, with a tab, with a line end or with an apostrophe. Programs that read " +
	"the file must remove it."

// Kind is the sink that appends to a file.
var Kind = appendfile.Kind(sinks.Kind{
	Name: "csv",
	Doc: doc + "\n\nThe file is synced, continued, compressed and rotated like a file of [JSON lines](#jsonl). A " +
		"file from an earlier release with fewer columns is replaced with a copy when it is opened. The new columns " +
		"are empty in earlier rows.",
	Extensions: extensions,
}, newLayout)

// Format is a whole file.
var Format = table.Format{
	Name: "csv", Doc: doc, Extensions: extensions,
	Create: func(path string, _ any) (table.Writer, error) { return appendfile.Create(path, newLayout(path)) },
	Open:   func(path string) (table.Reader, error) { return appendfile.Open(path, newLayout(path)) },
}

func newLayout(path string) appendfile.Layout {
	name := strings.ToLower(filepath.Base(path))
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".zst")
	l := &layout{separator: ',', columns: table.Columns()}
	if strings.HasSuffix(name, ".tsv") {
		l.separator = '\t'
	}
	return l
}
