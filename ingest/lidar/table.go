package lidar

import (
	"bytes"
	"fmt"
	"iter"
	"math"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
	"github.com/voxelstream/voxelstream/ingest/internal/textnum"
)

// table reads rows of text, one per line, into columns. Blank lines and comments between rows are skipped. A line that
// is not a row is left out; [table.finish] says what was.
type table struct {
	cols  []columns.Column
	slot  []int  // column index for each value of a row; -1 if it is not kept
	lists []bool // values that are lists: a length and as many numbers; nil if there are none
	delim byte   // separates values besides white space; 0 if nothing does
	comma string // what a comma within a number means: commaDecimal, commaThousands, or empty if that is not known
	rest  bool   // the last value, which is not kept, is text up to the end of the line
	block bool   // stop at a line with a single integer
	line  int    // lines read so far, for error messages
	guess int    // number of rows to make room for at first; 0 for all that there may be
	// points is the whole text with points for commas, if these separate decimals; it is made when it is needed.
	points []byte

	bad, empty int   // rows left out, and cells without a value
	fault      error // what was wrong with the first of the rows left out
}

// Meanings of a comma within a number.
const (
	commaDecimal   = "decimal"
	commaThousands = "thousands"
)

// reserve takes the memory for n rows from data.
func (t *table) reserve(data []byte, n int, o ingest.Options) error {
	if t.points == nil && t.comma == commaDecimal && t.delim != ',' {
		if err := o.Take(len(data), 1); err != nil {
			return err
		}
	}
	return o.Take(n, 8*len(t.cols))
}

// read reads up to n rows from data[i:] and returns their number and the index after them. It ends early when reading
// is to end.
func (t *table) read(data []byte, i, n int, o ingest.Options) (rows, next int) {
	room := n
	if t.guess > 0 {
		room = min(n, t.guess)
	}
	for c := range t.cols {
		t.cols[c].Values = make([]float64, room)
	}
	numbers := data
	if t.comma == commaDecimal && t.delim != ',' {
		if t.points == nil {
			t.points = bytes.ReplaceAll(data, []byte(","), []byte("."))
		}
		numbers = t.points
	}
	for rows < n && i < len(data) {
		if t.line%4096 == 0 && o.Err() != nil {
			break
		}
		if rows == room {
			room = min(n, 2*room)
			for c := range t.cols {
				t.cols[c].Values = append(t.cols[c].Values, make([]float64, room-rows)...)
			}
		}
		start := i
		t.line++
		i = textnum.Blanks(data, i)
		if i < len(data) && !mayComment(data[i]) {
			if next, ok := t.row(numbers, start, rows); ok {
				rows++
				i = next
				continue
			}
		}
		i = textnum.Line(data, start)
		text := trimLine(data[start:i])
		if t.block && isCount(text) {
			t.line--
			i = start
			break
		}
		if _, comment := uncomment(text, t.delim); comment || strings.TrimSpace(text) == "" {
			continue
		}
		if err := t.cells(text, rows); err != nil {
			if t.bad++; t.fault == nil {
				t.fault = fmt.Errorf("line %d%w", t.line, err)
			}
			continue
		}
		rows++
	}
	for c := range t.cols {
		t.cols[c].Values = t.cols[c].Values[:rows]
	}
	return rows, i
}

// readRows reads the n rows that a header announces, or as many as there are. It finds out what separates the values.
func (t *table) readRows(body []byte, n int64, o ingest.Options) (rows int, err error) {
	if err := checkCount(n, 0, 0, o); err != nil {
		return 0, err
	}
	start, line := 0, t.line
	for start < len(body) {
		text, next := nextLine(body, start)
		if _, comment := uncomment(text, 0); !comment {
			if len(words(text)) != len(t.slot) && t.lists == nil {
				_, t.delim = sniff(text)
			}
			break
		}
		start = next
	}
	// A row needs two bytes for each value, but for the last one.
	most := int(min(n, int64(len(body))/int64(max(1, len(t.slot)))+1))
	if err := t.reserve(body, most, o); err != nil {
		return 0, err
	}
	rows, _ = t.read(body, 0, most, o)
	if err := o.Err(); err != nil {
		return 0, err
	}
	if err := t.finish(rows, o); err != nil {
		return 0, err
	}
	if int64(rows+t.bad) < n {
		if rows == 0 {
			return 0, fmt.Errorf("truncated: found 0 rows after line %d, want %d", line, n)
		}
		o.Note("truncated: found %d of %d rows", rows, n)
	}
	return rows, nil
}

// row reads a row of plain numbers, the common case. ok is false for anything else.
func (t *table) row(data []byte, i, row int) (next int, ok bool) {
	for k, c := range t.slot {
		i = t.blanks(data, i)
		if k > 0 && t.delim != 0 {
			if i >= len(data) || data[i] != t.delim {
				return 0, false
			}
			i = t.blanks(data, i+1)
		}
		if i >= len(data) || data[i] == '\n' || data[i] == '\t' {
			return 0, false
		}
		switch {
		case t.lists != nil && t.lists[k]:
			if i, ok = skipList(data, i); !ok {
				return 0, false
			}
		case c >= 0:
			var v float64
			if v, i, ok = textnum.Float(data, i, t.delim); !ok {
				return 0, false
			}
			t.cols[c].Values[row] = v
		case t.rest && k == len(t.slot)-1:
			return textnum.Line(data, i), true
		case data[i] == '"':
			return 0, false
		default:
			for i < len(data) && data[i] != '\n' && data[i] != t.delim && (t.delim != 0 || data[i] > ' ') {
				i++
			}
		}
	}
	i = t.blanks(data, i)
	if t.delim != 0 && i < len(data) && data[i] == t.delim {
		i = textnum.Blanks(data, i+1)
	}
	if i < len(data) && data[i] != '\n' {
		return 0, false
	}
	return min(i+1, len(data)), true
}

// blanks skips blanks; a tab is none where it separates values.
func (t *table) blanks(data []byte, i int) int {
	if t.delim != '\t' {
		return textnum.Blanks(data, i)
	}
	for i < len(data) && (data[i] == ' ' || data[i] == '\r') {
		i++
	}
	return i
}

// skipList skips the length of a list and its numbers.
func skipList(data []byte, i int) (next int, ok bool) {
	n, i, ok := textnum.Float(data, i, 0)
	if !ok || !(n >= 0 && n < plyMaxList) {
		return 0, false
	}
	for range int(n) {
		if _, i, ok = textnum.Float(data, i, 0); !ok {
			return 0, false
		}
	}
	return i, true
}

// cells reads a row with quotes, empty cells, numbers with commas or apostrophes, or a comment at its end. The error
// continues "line 7".
func (t *table) cells(text string, row int) error {
	if t.lists == nil {
		text = withoutComment(text)
	}
	cells := splitAt(text, t.delim)
	want := len(t.slot)
	if t.delim != 0 && len(cells) == want+1 && strings.TrimSpace(cells[want]) == "" {
		cells = cells[:want]
	}
	empty := 0
	for k, c := range t.slot {
		switch {
		case k >= len(cells) && t.rest && k == want-1:
			continue
		case k >= len(cells):
			return fmt.Errorf(", value %d of %d: found the end of the line, want a number", k+1, want)
		case t.lists != nil && t.lists[k]:
			return fmt.Errorf(", value %d of %d: found %.40q, want a list", k+1, want, cells[k])
		case c < 0:
			continue
		}
		v, ok := number(cells[k], t.comma)
		if !ok {
			return t.badCell(cells, k)
		}
		if t.delim != 0 && strings.Trim(cells[k], "\" \t-") == "" {
			empty++
		}
		t.cols[c].Values[row] = v
	}
	if len(cells) > want && !t.rest {
		return fmt.Errorf(": found %.40q after %d values, want the end of the line", cells[want], want)
	}
	t.empty += empty
	return nil
}

func (t *table) badCell(cells []string, k int) error {
	hint := ""
	if strings.ContainsAny(cells[k], ",'") {
		hint = "; decimal commas or thousands separators?"
	}
	return fmt.Errorf(", value %d of %d: found %.40q, want a number%s", k+1, len(t.slot), cells[k], hint)
}

// finish notes what was left out. More bad rows than good ones are an error.
func (t *table) finish(rows int, o ingest.Options) error {
	switch {
	case t.bad > rows:
		return t.fault
	case t.bad > 0:
		o.Note("%s left out: %v", plural(t.bad, "row"), t.fault)
	}
	if t.empty > 0 {
		o.Note("%s read as NaN", plural(t.empty, "empty cell"))
	}
	return nil
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// commentMarks begin a comment; a semicolon does not where it separates values.
var commentMarks = []string{"#", "//", "%", "!", ";"}

func mayComment(c byte) bool { return c == '#' || c == '/' || c == '%' || c == '!' || c == ';' }

// uncomment removes a comment marker.
func uncomment(s string, delim byte) (text string, comment bool) {
	begin := strings.TrimLeft(s, " \t")
	for _, mark := range commentMarks {
		if strings.HasPrefix(begin, mark) && (mark != ";" || delim != ';') {
			return strings.TrimLeft(begin, mark+" \t"), true
		}
	}
	return s, false
}

// withoutComment removes a comment at the end of a row.
func withoutComment(s string) string {
	for _, mark := range []string{" #", "\t#", " //", "\t//"} {
		s, _, _ = strings.Cut(s, mark)
	}
	return s
}

// trimLine returns a line without its end and blanks around it. Tabs stay, as they may separate empty cells.
func trimLine(line []byte) string { return strings.Trim(string(line), " \r\n\f\v") }

// isCount reports whether a line holds a single integer: the number of points that follow.
func isCount(s string) bool {
	s = strings.TrimSpace(s)
	return s != "" && len(s) < 19 && strings.Trim(s, "0123456789") == ""
}

// splitAt splits a row at delim outside of quotes, or at white space if delim is 0.
func splitAt(s string, delim byte) []string {
	if delim == 0 && strings.Contains(s, `"`) {
		quoted := false
		return some(strings.FieldsFuncSeq(s, func(r rune) bool {
			if r == '"' {
				quoted = !quoted
			}
			return !quoted && r <= ' '
		}))
	}
	if delim == 0 {
		return words(s)
	}
	var out []string
	from, quoted := 0, false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == delim && !quoted && len(out) <= maxCells:
			out = append(out, strings.TrimSpace(s[from:i]))
			from = i + 1
		}
	}
	return append(out, strings.TrimSpace(s[from:]))
}

// words splits a line at white space. A space that does not break a line is within a word, as it separates thousands.
func words(s string) []string {
	return some(strings.FieldsFuncSeq(s, func(r rune) bool { return r <= ' ' }))
}

// maxCells is more than any row has. A line of more is no row, whatever follows.
const maxCells = 1 << 17

// some collects the first cells of a line.
func some(cells iter.Seq[string]) (out []string) {
	for c := range cells {
		if out = append(out, c); len(out) > maxCells {
			break
		}
	}
	return out
}

// sniff splits a line at the separator that it uses: a tab, semicolon, bar or comma, otherwise white space. A comma
// does not separate where all of them are within words.
func sniff(s string) (cells []string, delim byte) {
	for _, d := range []byte{'\t', ';', '|', ','} {
		if cells = splitAt(s, d); len(cells) < 2 || d == '\t' && len(cells) < 3 {
			continue
		}
		if w := words(s); d == ',' && len(w) >= 3 && numeric(w, "") {
			return w, 0
		}
		return cells, d
	}
	return words(s), 0
}

// apostrophes removes what separates thousands in Switzerland, and spaces that do elsewhere.
var apostrophes = strings.NewReplacer("'", "", "’", "", "\u00a0", "", "\u202f", "")

// commasFor makes commas of them.
var commasFor = strings.NewReplacer("'", ",", "’", ",", "\u00a0", ",", "\u202f", ",")

// number reads a cell. An empty one, and a dash, is NaN. Apostrophes separate thousands; what a comma does is in
// comma, and otherwise follows from the number itself where it cannot be a thousands separator.
func number(cell, comma string) (float64, bool) {
	s := strings.Trim(cell, "\" \t")
	if strings.Trim(s, "-") == "" {
		return math.NaN(), len(s) < 3
	}
	if plain := apostrophes.Replace(s); plain != s {
		// Something else separates thousands, so a comma is a decimal one.
		end := len(s) - len(strings.TrimLeft(s, "+-0123456789'’\u00a0\u202f"))
		if !grouped(commasFor.Replace(s[:end])) {
			return 0, false
		}
		s, comma = plain, commaDecimal
	}
	if strings.Contains(s, ",") {
		switch {
		case comma == commaThousands && grouped(s):
			s = strings.ReplaceAll(s, ",", "")
		case comma == commaDecimal, comma == "" && !grouped(s):
			s = strings.ReplaceAll(s, ",", ".")
		default:
			return 0, false
		}
	}
	v, next, ok := textnum.Float([]byte(s), 0, 0)
	return v, ok && next == len(s)
}

// isNumber reports whether a cell is a number, with any meaning of commas if comma is empty.
func isNumber(cell, comma string) bool {
	if comma != "" || strings.IndexByte(cell, ',') < 0 {
		_, ok := number(cell, comma)
		return ok
	}
	return isNumber(cell, commaDecimal) || isNumber(cell, commaThousands)
}

// grouped reports whether the commas of a number can separate thousands: 1,500 and 12,345,678.9 but not 0,500 or 1,5.
func grouped(s string) bool {
	whole, _, _ := strings.Cut(strings.TrimLeft(s, "+-"), ".")
	groups := strings.Split(whole, ",")
	for i, g := range groups {
		if strings.Trim(g, "0123456789") != "" || i > 0 && len(g) != 3 ||
			i == 0 && (g == "" || len(g) > 3 || g[0] == '0') {
			return false
		}
	}
	return true
}

// numeric reports whether all cells are numbers.
func numeric(cells []string, comma string) bool {
	for _, c := range cells {
		if !isNumber(c, comma) {
			return false
		}
	}
	return len(cells) > 0
}
