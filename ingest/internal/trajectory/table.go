package trajectory

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
)

// Table is a text file of rows with times: of poses, or of images.
type Table struct {
	// Header is the last comment before the first row, or the first row if it has no number.
	Header string

	name string // of the file
	rows []row
	o    ingest.Options
}

type row struct {
	line int
	text string
}

// ReadTable reads a file. It accepts any line ends, a byte order mark, comments that begin with #, blank lines, and
// columns separated by white space, commas, semicolons or tabs. More than limit rows are an error.
func ReadTable(path string, limit int, o ingest.Options) (*Table, error) {
	data, err := ingest.ReadFile(path, o)
	if err != nil {
		return nil, err
	}
	const rowBytes = 64 // with its text, which is a copy
	if err := o.Take(min(limit, bytes.Count(data, []byte("\n"))+1), rowBytes); err != nil {
		return nil, err
	}
	if err := o.Take(len(data), 1); err != nil {
		return nil, err
	}
	t := &Table{name: filepath.Base(path), o: o}
	var unnamed []row // a header that is no comment
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	for n := 1; len(data) > 0; n++ {
		end := bytes.IndexAny(data, "\r\n")
		next := end + 1
		switch {
		case end < 0:
			end, next = len(data), len(data)
		case data[end] == '\r' && next < len(data) && data[next] == '\n':
			next++
		}
		text := strings.TrimSpace(string(data[:end]))
		data = data[next:]
		switch {
		case text == "":
		case text[0] == '#':
			if len(t.rows) == 0 {
				t.Header = text
			}
		case len(t.rows) == 0 && t.Header == "" && !strings.ContainsAny(text, "0123456789"):
			t.Header, unnamed = text, []row{{n, text}}
		case len(t.rows) == limit:
			return nil, fmt.Errorf("line %d: found more than %d rows", n, limit)
		default:
			t.rows = append(t.rows, row{n, text})
		}
	}
	if len(t.rows) == 0 {
		t.rows = unnamed
	}
	return t, nil
}

// Each calls use with the columns of each row, of which there are at least width. Rows that are too short or that use
// rejects are left out, with a note; if they are more than the others, the error of the first is returned.
func (t *Table) Each(width int, use func(words []string) error) error {
	bad := 0
	var first error
	for _, r := range t.rows {
		words := split(r.text, width)
		var err error
		if len(words) < width {
			err = fmt.Errorf("found %d words, want %d", len(words), width)
		} else {
			err = use(words)
		}
		if err == nil {
			continue
		}
		if bad++; first == nil {
			first = fmt.Errorf("line %d: %w", r.line, err)
		}
	}
	if 2*bad > len(t.rows) {
		return first
	}
	if bad > 0 {
		t.o.Note("left out %d of %d rows of %s; the first is %v", bad, len(t.rows), t.name, first)
	}
	return nil
}

// split splits a row into columns. Commas are decimal if semicolons separate the columns, or if white space does and
// no comma ends a column.
func split(text string, width int) []string {
	var words []string
	switch {
	case strings.Contains(text, ";"):
		words = trimmed(strings.Split(text, ";"))
	case strings.Contains(text, ","):
		words = strings.Fields(text)
		if len(words) < width || slices.ContainsFunc(words, func(w string) bool {
			return strings.HasSuffix(w, ",") || strings.Count(w, ",") > 1
		}) {
			return trimmed(strings.Split(text, ","))
		}
	default:
		return strings.Fields(text)
	}
	for i, w := range words {
		if _, ok := parseDecimal(strings.Replace(w, ",", ".", 1)); ok {
			words[i] = strings.Replace(w, ",", ".", 1)
		}
	}
	return words
}

func trimmed(words []string) []string {
	for i, w := range words {
		words[i] = strings.Trim(strings.TrimSpace(w), `"`)
	}
	return words
}
