package lidar

import (
	"fmt"

	"github.com/voxelstream/voxelstream/ingest/internal/columns"
	"github.com/voxelstream/voxelstream/ingest/internal/textnum"
)

// table reads rows of text, one per line, into columns.
type table struct {
	cols []columns.Column
	slot []int // column index for each value of a row; -1 if it is not kept
	line int   // lines before the rows, for error messages
}

// read reads n rows from data[i:]. Values end at white space or delim; blank lines between rows are skipped.
func (t *table) read(data []byte, i, n int, delim byte) error {
	_, err := t.readSome(data, i, n, delim)
	return err
}

// readSome is like read but allows data after the rows, at the index that it returns.
func (t *table) readSome(data []byte, i, n int, delim byte) (int, error) {
	for c := range t.cols {
		t.cols[c].Values = make([]float64, n)
	}
	for row := range n {
		t.line++
		i = textnum.Blanks(data, i)
		for i < len(data) && data[i] == '\n' {
			t.line++
			i = textnum.Blanks(data, i+1)
		}
		if i >= len(data) {
			return 0, fmt.Errorf("truncated: found %d rows, want %d", row, n)
		}
		for k, c := range t.slot {
			if delim != 0 && k > 0 {
				i = textnum.Blanks(data, i)
				if i < len(data) && data[i] == delim {
					i++
				}
			}
			v, next, ok := textnum.Float(data, i, delim)
			if !ok {
				return 0, t.bad(data, next, k)
			}
			i = next
			if c >= 0 {
				t.cols[c].Values[row] = v
			}
		}
		i = textnum.Blanks(data, i)
		if delim != 0 && i < len(data) && data[i] == delim {
			i = textnum.Blanks(data, i+1)
		}
		if i < len(data) && data[i] != '\n' {
			return 0, fmt.Errorf("line %d: found %q after %d values, want the end of the line", t.line,
				textnum.Token(data, i), len(t.slot))
		}
		i++
	}
	return min(i, len(data)), nil
}

func (t *table) bad(data []byte, i, k int) error {
	return fmt.Errorf("line %d, value %d of %d: found %q, want a number", t.line, k+1, len(t.slot), textnum.Token(data, i))
}
