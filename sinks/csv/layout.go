package csv

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/internal/appendfile"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// layout is the form of the rows. It implements appendfile.Layout.
type layout struct {
	separator byte
	columns   []table.Column
	cells     [][]byte
	key       []byte
}

// Header returns the names of the columns.
func (l *layout) Header() []byte {
	var b []byte
	for i, c := range table.Columns() {
		if i > 0 {
			b = append(b, l.separator)
		}
		b = append(b, c.Name...)
	}
	return append(b, '\n')
}

// The columns that make up the key.
var eventColumn, digestColumn = columnNamed("event_id"), columnNamed("model_digest")

func columnNamed(name string) int {
	return slices.IndexFunc(table.Columns(), func(c table.Column) bool { return c.Name == name })
}

// Begin accepts the header of this version, or an earlier one with fewer columns, with commas or tabs. Rows then have
// its form.
func (l *layout) Begin(line []byte) bool {
	names := strings.TrimRight(string(line), "\r\n")
	all := table.Columns()
	for _, separator := range []byte{',', '\t'} {
		cells := strings.Split(names, string(separator))
		if len(cells) > len(all) || len(cells) < len(all) && all[len(cells)].Since == 0 {
			continue
		}
		if slices.EqualFunc(cells, all[:len(cells)], func(name string, c table.Column) bool { return name == c.Name }) {
			l.separator, l.columns = separator, all[:len(cells)]
			return true
		}
	}
	return false
}

// Newer returns a layout with all columns, if the file has fewer.
func (l *layout) Newer() appendfile.Layout {
	if len(l.columns) == len(table.Columns()) {
		return nil
	}
	return &layout{separator: l.separator, columns: table.Columns()}
}

// Quotes reports true.
func (*layout) Quotes() bool { return true }

// MayBegin reports false, because a file begins with a header.
func (*layout) MayBegin([]byte) bool { return false }

// Append appends a row.
func (l *layout) Append(dst []byte, c *record.Classification) ([]byte, error) {
	if err := table.Check(c); err != nil {
		return dst, err
	}
	for i := range l.columns {
		if i > 0 {
			dst = append(dst, l.separator)
		}
		switch v := l.columns[i].Value(c).(type) {
		case string:
			dst = l.appendText(dst, v)
		case int32:
			dst = strconv.AppendInt(dst, int64(v), 10)
		case int64:
			dst = strconv.AppendInt(dst, v, 10)
		case float32:
			dst = strconv.AppendFloat(dst, float64(v), 'g', -1, 32)
		case float64:
			dst = strconv.AppendFloat(dst, v, 'g', -1, 64)
		case bool:
			dst = strconv.AppendBool(dst, v)
		case time.Time:
			dst = v.AppendFormat(dst, time.RFC3339Nano)
		}
	}
	return append(dst, '\n'), nil
}

// isFormula reports whether a spreadsheet may take a text for a formula, or an apostrophe at its beginning for the mark
// of a text. Spreadsheets skip the white space that is listed; the full-width characters are those of East Asian input.
// https://owasp.org/www-community/attacks/CSV_Injection
func isFormula(text string) bool {
	const first = "=+-@'\t\r\n＝＋－＠"
	for _, r := range text {
		return strings.ContainsRune(first, r)
	}
	return false
}

func (l *layout) appendText(dst []byte, text string) []byte {
	quoted := strings.IndexByte(text, l.separator) >= 0 || strings.ContainsAny(text, "\"\r\n")
	if quoted {
		dst = append(dst, '"')
	}
	if isFormula(text) {
		dst = append(dst, '\'')
	}
	if !quoted {
		return append(dst, text...)
	}
	for i := range len(text) {
		if text[i] == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, text[i])
	}
	return append(dst, '"')
}

// split splits a row into its cells as they are written, without quotation marks around them. They are valid until the
// next call. It returns false if the row does not have one for each column.
func (l *layout) split(row []byte) ([][]byte, bool) {
	row = bytes.TrimSuffix(bytes.TrimSuffix(row, []byte{'\n'}), []byte{'\r'})
	l.cells = l.cells[:0]
	for more := true; more; {
		if len(l.cells) == len(l.columns) {
			return nil, false
		}
		var cell []byte
		if len(row) > 0 && row[0] == '"' {
			n := closing(row)
			if n < 0 {
				return nil, false
			}
			cell, row = row[1:n], row[n+1:]
			if more = len(row) > 0; more {
				if row[0] != l.separator {
					return nil, false
				}
				row = row[1:]
			}
		} else {
			cell, row, more = bytes.Cut(row, []byte{l.separator})
			if bytes.IndexByte(cell, '"') >= 0 {
				return nil, false
			}
		}
		l.cells = append(l.cells, cell)
	}
	return l.cells, len(l.cells) == len(l.columns)
}

// closing returns the index of the quotation mark that ends the cell that row begins with, or -1.
func closing(row []byte) int {
	for at := 1; ; at += 2 {
		i := bytes.IndexByte(row[at:], '"')
		if i < 0 {
			return -1
		}
		if at += i; at+1 == len(row) || row[at+1] != '"' {
			return at
		}
	}
}

// textOf returns the text that a cell stands for.
func textOf(cell []byte) []byte {
	if bytes.IndexByte(cell, '"') >= 0 {
		cell = bytes.ReplaceAll(cell, []byte(`""`), []byte{'"'})
	}
	return bytes.TrimPrefix(cell, []byte{'\''})
}

// Key returns the key of the classification in a row.
func (l *layout) Key(row []byte) (dedupe.Key, bool) {
	cells, ok := l.split(row)
	if !ok || len(cells[eventColumn]) == 0 {
		return dedupe.Key{}, false
	}
	l.key = append(append(l.key[:0], textOf(cells[eventColumn])...), '@')
	l.key = append(l.key, textOf(cells[digestColumn])...)
	return dedupe.Of(l.key), true
}

// Decode decodes a row.
func (l *layout) Decode(row []byte, c *record.Classification) error {
	cells, ok := l.split(row)
	if !ok {
		return fmt.Errorf("found %.60q, want %d values", row, len(l.columns))
	}
	for i := range l.columns {
		col := &l.columns[i]
		v, err := value(col, cells[i])
		if err != nil {
			return fmt.Errorf("column %s: %w", col.Name, err)
		}
		if err := col.Set(c, v); err != nil {
			return err
		}
	}
	return nil
}

// value converts a cell to a value of its column.
func value(col *table.Column, cell []byte) (any, error) {
	if len(cell) == 0 && (col.Null || col.Type != table.Text) {
		return nil, nil //nolint:nilnil // a missing value
	}
	text := string(cell)
	switch col.Type {
	case table.Int32:
		n, err := strconv.ParseInt(text, 10, 32)
		return int32(n), err
	case table.Int64:
		return strconv.ParseInt(text, 10, 64)
	case table.Float32:
		x, err := strconv.ParseFloat(text, 32)
		return float32(x), err
	case table.Float64:
		return strconv.ParseFloat(text, 64)
	case table.Bool:
		return strconv.ParseBool(text)
	case table.Time:
		return time.Parse(time.RFC3339Nano, text)
	}
	return string(textOf(cell)), nil // JSON never begins with an apostrophe
}
