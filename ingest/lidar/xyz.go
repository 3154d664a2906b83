package lidar

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/columns"
	"github.com/voxelstream/voxelstream/ingest/internal/textnum"
)

// XYZ is plain text with one point per line: .xyz, .txt, .csv, .asc and similar files, as written by CloudCompare,
// MeshLab, PDAL, VeloView, spreadsheets, surveyors and many others. Values are separated by white space, commas,
// semicolons, tabs or bars. Lines that start with #, //, %, ! or ; are comments. A line of names before the first
// point (possibly a comment, "//X Y Z Rf Gf Bf Intensity") names the columns; other lines before it are titles. Without
// names, three columns are x y z, and a fourth is the intensity. Six are x y z and red green blue if the last three
// are integers from 0 to 255 or fractions; normals and others are ignored. Seven are x y z, the colours and the
// intensity in the order that fits (XYZ RGB I, or XYZ I RGB). A line with a single integer before the points is their
// count.
var XYZ = ingest.CloudFormat(ingest.Format{
	Name: "xyz",
	Doc: "column names, titles, comments; separated by white space, commas, semicolons, tabs or bars; decimal " +
		"commas; quoted and empty cells; UTF-8 and UTF-16; a line with the count",
	Assumes: "without names, the columns are x y z, then intensity or colours by their number and values; lines that " +
		"are not rows are left out if they are the minority",
	Refuses: "columns that begin with point numbers or times, and commas that could separate decimals or thousands, " +
		"without `--columns` or `--comma`; longitude and latitude; molecules; Esri rasters",
	Extensions: []string{".xyz", ".txt", ".csv", ".asc"},
	Tested:     "three.js helix_201.xyz, CloudCompare points",
	Options:    newOptions,
	Detect:     detectXYZ,
}, decodeXYZ)

// PTS is Leica's text exchange format: the number of points, then x y z, x y z intensity, x y z red green blue, or
// x y z intensity red green blue. Each further number of points begins a block, which is a cloud of its own.
var PTS = ingest.CloudFormat(ingest.Format{
	Name:       "pts",
	Doc:        "with and without intensity and colours; several blocks",
	Assumes:    "rows after the announced number of points are left out, as in PDAL",
	Extensions: []string{".pts"},
	Tested:     "PDAL autzen.pts",
	Options:    newOptions,
	Detect:     detectPTS,
}, decodeXYZ)

const (
	xyzMaxColumns = 256
	// xyzPeek is the number of rows inspected to identify unnamed columns.
	xyzPeek = 256
	// xyzMaxTitles limits the lines before the first point that are neither comments nor names.
	xyzMaxTitles = 100
	// xyzMaxBlocks limits the blocks of a file.
	xyzMaxBlocks = 4096
)

func detectPTS(h *ingest.Head) ingest.Confidence {
	first, _, _ := bytes.Cut(textnum.Text(h.Bytes), []byte("\n"))
	if !isCount(string(bytes.TrimSpace(first))) {
		return ingest.No
	}
	return detectTable(h, h.Ext == ".pts")
}

// xyzExtensions are the extensions of text tables; true for those that have no other meaning.
var xyzExtensions = map[string]bool{
	".xyz": true, ".asc": true, ".xyzrgb": true, ".xyzi": true, ".xyzn": true, ".pts": true,
	".csv": false, ".txt": false, ".tsv": false,
}

func detectXYZ(h *ingest.Head) ingest.Confidence { return detectTable(h, xyzExtensions[h.Ext]) }

// detectTable judges whether most lines are rows of points. With expected, any text is a guess, so that the decoder
// says what is wrong with it.
func detectTable(h *ingest.Head, expected bool) ingest.Confidence {
	b := wholeLines(h)
	if !isText(b) {
		return ingest.No
	}
	guess := ingest.No
	if expected {
		guess = ingest.Guess
	}
	l, err := parseLayout(b, h.Ext, Options{})
	var open *openError
	switch {
	case errors.As(err, &open):
		return ingest.Guess
	case err != nil:
		return guess
	}
	t := l.table(ingest.Options{})
	rows, _ := t.read(b, l.body, countRows(b, l.body, math.MaxInt), ingest.Options{})
	_, usual := xyzExtensions[h.Ext]
	switch {
	case rows == 0 || t.bad > rows:
		if l.named && usual {
			return ingest.Guess
		}
		return guess
	case usual:
		return ingest.Likely
	case 10*t.bad > rows:
		return guess
	}
	return ingest.Guess
}

// layout describes the rows of a text file.
type layout struct {
	fields []string // as the file names them
	names  []string // as a cloud does; empty for columns that are not kept
	named  bool
	scale  float64 // metres per unit of the coordinates
	pts    bool
	delim  byte
	comma  string
	rest   bool
	lost   error // the line before the first row, if it seems to be one, too
	body   int
	line   int
	count  int // count on a line of its own before the points; -1 if there is none
}

// openError is a table whose columns or numbers may mean several things.
type openError struct{ err error }

func (e *openError) Error() string { return e.err.Error() }

func openf(format string, args ...any) error { return &openError{fmt.Errorf(format, args...)} }

// titles are what was found before the first row.
type titles struct {
	names   []string // the last line that names x, y and z
	comment bool     // it is a comment
	line    int
	last    []string // the cells of the last other line that is no comment
	lost    error    // why it is no row
	lines   int
	first   error
}

// parseLayout reads what is before the first row, and finds out what the columns are.
func parseLayout(data []byte, ext string, o Options) (*layout, error) {
	l := &layout{count: -1, scale: 1, comma: o.meaning(), pts: ext == ".pts"}
	var t titles
	for l.body < len(data) {
		next := textnum.Line(data, l.body)
		raw := trimLine(data[l.body:next])
		text, comment := uncomment(raw, 0)
		switch {
		case strings.TrimSpace(raw) == "":
		case !comment && isCount(text) && l.count < 0:
			var err error
			if l.count, err = strconv.Atoi(strings.TrimSpace(text)); err != nil {
				return nil, fmt.Errorf("line %d: found count %.20q", l.line+1, text)
			}
		case !comment && l.startsAt(data, text, &t, o):
			return l, l.name(data, withoutComment(text), &t, o)
		default:
			if err := t.add(text, comment, l.line+1); err != nil {
				return nil, err
			}
		}
		l.body = next
		l.line++
	}
	if t.names != nil && !t.comment && t.lost != nil {
		hint := ""
		if strings.ContainsAny(t.lost.Error(), ",'") {
			hint = "; write them with a decimal point and without thousands separators"
		}
		return nil, openf("%w%s", t.lost, hint)
	}
	if t.first != nil {
		return nil, t.first
	}
	return nil, fmt.Errorf("found no row of numbers in %s", plural(l.line, "line"))
}

// add takes a line that is no row.
func (t *titles) add(text string, comment bool, line int) error {
	cells, _ := sniff(text)
	if len(cells) == 2 && strings.EqualFold(cells[0], "ncols") {
		return openf("line %d: found %.60q: a grid of heights (Esri ASCII raster), want points", line, text)
	}
	for i := range cells {
		cells[i] = strings.Trim(cells[i], `"`)
	}
	if len(cells) <= xyzMaxColumns && columns.Missing(axisNames(cells)) == nil {
		t.names, t.comment, t.line, t.last = cells, comment, line, nil
		return nil
	}
	if comment {
		return nil
	}
	want := "x, y and z or their names"
	if t.names != nil && !t.comment {
		want = "numbers"
	}
	t.last, t.lost = cells, fmt.Errorf("line %d: found %.60q, want %s", line, text, want)
	if t.first == nil {
		t.first = t.lost
	}
	if t.lines++; t.lines > xyzMaxTitles {
		return t.first
	}
	return nil
}

// startsAt reports whether a line is the first row, and sets its separator.
func (l *layout) startsAt(data []byte, text string, t *titles, o Options) bool {
	text = withoutComment(text)
	cells, delim := sniff(text)
	if words := words(text); delim == '\t' && len(t.names) != len(cells) && len(o.Columns) != len(cells) &&
		len(words) >= 3 && numeric(words, l.comma) {
		cells, delim = words, 0 // tabs that align
	}
	if len(cells) > xyzMaxColumns || len(cells) < 3 {
		return false
	}
	l.delim = delim
	numbers, axes := 0, 0
	for k, c := range cells {
		if isNumber(c, l.comma) {
			numbers++
			if k < 3 {
				axes++
			}
		}
	}
	switch {
	case numbers == len(cells):
		return true
	case numbers < 3:
		return false
	case len(o.Columns) == len(cells):
		return true
	case len(t.names) == len(cells):
		names := axisNames(t.names)
		roles := columns.Assign(names)
		for _, i := range roles[columns.X : columns.Z+1] {
			if !isNumber(cells[i], l.comma) {
				return false
			}
		}
		return true
	case axes == 3, numbers == len(cells)-1 && axes == 2:
		// Numbers and a text, before or after them: a row if the next line is alike.
		at := textnum.Line(data, l.body)
		next, _ := sniff(trimLine(data[at:textnum.Line(data, at)]))
		if len(next) != len(cells) {
			return axes == 3 && numbers == len(cells)-1
		}
		for k, c := range cells {
			if isNumber(c, l.comma) != isNumber(next[k], l.comma) {
				return false
			}
		}
		return true
	}
	return false
}

// name names each column: with the names of the option or of the file, otherwise by their number and values.
func (l *layout) name(data []byte, text string, t *titles, o Options) error {
	first := splitAt(text, l.delim)
	if last := len(first) - 1; l.delim != 0 && first[last] == "" && len(t.names) != len(first) &&
		len(o.Columns) != len(first) {
		first = first[:last]
	}
	k := len(first)
	if err := l.commas(data, text); err != nil {
		return err
	}
	chosen, err := o.chosen(k)
	if err != nil {
		return openf("line %d: %w", l.line+1, err)
	}
	l.rest = !isNumber(first[k-1], l.comma)
	if len(t.last) == k && (t.names != nil && !t.comment ||
		slices.ContainsFunc(t.last, func(c string) bool { return isNumber(c, l.comma) })) {
		l.lost = t.lost
	}
	switch {
	case chosen != nil:
		l.fields, l.names, l.named = o.Columns, chosen, true
		return nil
	case t.names != nil && len(t.names) == k-1 && strings.HasPrefix(first[0], `"`):
		t.names = slices.Insert(slices.Clone(t.names), 0, "row") // R names columns, but not that of the row names
	case t.names != nil && len(t.names) != k && !t.comment:
		return openf(
			"line %d names %d columns, line %d has %d values: name them with --columns",
			t.line,
			len(t.names),
			l.line+1,
			k,
		)
	}
	if len(t.names) == k {
		l.fields, l.named = t.names, true
		return l.setNames()
	}
	if l.lost == nil && len(t.last) == k {
		names := axisNames(t.last)
		if l.delim != 0 || slices.ContainsFunc(names, columns.Known) {
			err := fmt.Errorf("%w; --columns names them otherwise", columns.Missing(names))
			if columns.Near(names) {
				return &openError{err}
			}
			return err
		}
	}
	return l.guess(data, first)
}

// setNames turns the names of the file into those of a cloud.
func (l *layout) setNames() error {
	l.names = axisNames(l.fields)
	roles := columns.Assign(l.names)
	for axis, i := range roles[columns.X : columns.Z+1] {
		unit := unitOf(l.fields[i])
		if axis > 0 && unit != l.scale {
			return openf("columns %s: found different units, want one", strings.Join(l.fields, " "))
		}
		l.scale = unit
	}
	return nil
}

// commas finds out what commas within numbers mean, from the first rows.
func (l *layout) commas(data []byte, text string) error {
	if l.delim == ',' {
		words := words(text)
		one := func(w string) bool { return strings.Count(strings.TrimSuffix(w, ","), ",") == 1 }
		if len(words) >= 3 && !slices.ContainsFunc(words, func(w string) bool { return !one(w) }) {
			return openf(
				"line %d: found %.60q: commas separate values and decimals; write numbers with points",
				l.line+1,
				text,
			)
		}
	}
	if l.comma != "" {
		return nil
	}
	example, line, i := "", l.line, l.body
	for n := 0; n < xyzPeek && i < len(data); n++ {
		line++
		next := textnum.Line(data, i)
		row := trimLine(data[i:next])
		i = next
		if strings.IndexByte(row, ',') < 0 {
			continue
		}
		for _, c := range splitAt(row, l.delim) {
			c = strings.Trim(c, `" `)
			switch {
			case strings.IndexByte(c, ',') < 0:
			case grouped(c):
				if example == "" {
					example = fmt.Sprintf("line %d: found %.30q", line, c)
				}
			case isNumber(c, commaDecimal):
				l.comma = commaDecimal
				return nil
			}
		}
	}
	if example != "" {
		return openf(
			"%s: a decimal comma, or does it separate thousands? Choose with --comma decimal or --comma thousands",
			example,
		)
	}
	return nil
}

// guess names columns by their number and values.
func (l *layout) guess(data []byte, first []string) error {
	k := len(first)
	at := 0 // where x is
	if !isNumber(first[0], l.comma) {
		if l.count >= 0 && len(first[0]) <= 2 {
			return fmt.Errorf(
				"line %d: found %.60q: a molecule, want points in metres",
				l.line+1,
				strings.Join(first, " "),
			)
		}
		at = 1
	}
	for i := range k {
		l.names = append(l.names, fmt.Sprintf("column%d", i+1))
	}
	copy(l.names[at:], []string{"x", "y", "z"})
	v := l.peek(data)
	set := func(from int, names ...string) { copy(l.names[at+from:], names) }
	if at == 0 && k >= 4 {
		if err := v.counts(l.line + 1); err != nil {
			return err
		}
	}
	c := v[at:]
	switch k -= at; {
	case k >= 7 && l.pts:
		set(3, "intensity", "red", "green", "blue")
	case k == 6 && l.pts:
		set(3, "red", "green", "blue")
	case k == 7 && c.bytes(3) && !slices.ContainsFunc(c[6], func(v float64) bool { return v != 255 }):
		set(3, "red", "green", "blue", "alpha") // as trimesh writes them
	case k >= 7 && c.bytes(3):
		set(3, "red", "green", "blue", "intensity")
	case k >= 7 && c.bytes(4):
		set(3, "intensity", "red", "green", "blue")
	case k == 7 && c[3:7].unit():
		set(3, "qx", "qy", "qz", "qw") // positions of a trajectory
	case k >= 9 && c.normals(3) && c.colors(6):
		set(6, "red", "green", "blue")
	case k >= 6 && c.normals(3):
		set(3, "nx", "ny", "nz")
	case k >= 6 && c.colors(3):
		set(3, "red", "green", "blue")
	case (k == 4 || k == 5 || k == 7) && !c.text(3):
		set(3, "intensity")
	}
	l.fields = l.names
	return nil
}

// samples are the values of the first rows, by column; NaN for texts.
type samples [][]float64

// peek reads the first rows.
func (l *layout) peek(data []byte) samples {
	rest := data[l.body:]
	end := 0
	for range xyzPeek {
		end = textnum.Line(rest, end)
	}
	out := make(samples, len(l.names))
	for text := range bytes.Lines(rest[:end]) {
		cells := splitAt(withoutComment(trimLine(text)), l.delim)
		if len(cells) < len(l.names) {
			continue
		}
		for i := range out {
			v, ok := number(cells[i], l.comma)
			if !ok {
				v = math.NaN()
			}
			out[i] = append(out[i], v)
		}
	}
	return out
}

// every reports whether all values of columns from to from + 2 that are numbers satisfy ok.
func (s samples) every(from int, ok func(v float64) bool) bool {
	for _, column := range s[from : from+3] {
		for _, v := range column {
			if !math.IsNaN(v) && !ok(v) {
				return false
			}
		}
	}
	return true
}

func (s samples) some(from int, ok func(v float64) bool) bool {
	return !s.every(from, func(v float64) bool { return !ok(v) })
}

// text reports whether a column holds no number.
func (s samples) text(at int) bool {
	return !slices.ContainsFunc(s[at], func(v float64) bool { return !math.IsNaN(v) })
}

func whole(v float64) bool { return v == math.Trunc(v) }

// bytes reports whether three columns hold integers from 0 to 255, not all of them 0 or 1.
func (s samples) bytes(at int) bool {
	return s.every(at, func(v float64) bool { return whole(v) && v >= 0 && v <= 255 }) &&
		s.some(at, func(v float64) bool { return v > 1 })
}

// colors reports whether three columns hold colours: bytes, integers of 16 bits, or fractions of 1.
func (s samples) colors(at int) bool {
	return s.bytes(at) || s.every(at, func(v float64) bool { return v >= 0 && v <= 1 }) ||
		s.every(at, func(v float64) bool { return whole(v) && v >= 0 && v <= math.MaxUint16 })
}

// normals reports whether three columns hold vectors of length 1, or 0 where there is none.
func (s samples) normals(at int) bool { return s[at : at+3].unit() }

// unit reports whether the columns hold vectors of length 1, or 0 where there is none.
func (s samples) unit() bool {
	some := false
	for i := range s[0] {
		n := 0.0
		for _, column := range s {
			n += column[i] * column[i]
		}
		if !math.IsNaN(n) && n != 0 && math.Abs(n-1) > 0.02 {
			return false
		}
		some = some || n > 0
	}
	return some
}

// counts reports, as an error, that the first of at least four columns seems to count points or to be a time.
func (s samples) counts(line int) error {
	c := s[0]
	if len(c) == 0 {
		return nil
	}
	steps, times := len(c) >= 3, len(c) >= 1
	for i, v := range c {
		steps = steps && whole(v) && (i == 0 || v == c[i-1]+1)
		times = times && v >= 1e9 && v < 1e10 && (i == 0 || v >= c[i-1])
	}
	what := "point numbers"
	switch {
	case times: // seconds since 1970
		what = "times"
	case !steps || s.every(1, whole):
		return nil
	}
	return openf("line %d: found %g in the first of %d columns without names, which seem to be %s: "+
		"name them with --columns, such as -,x,y,z", line, c[0], len(s), what)
}

// axisNames returns the names of a cloud's columns for those of a file: without units and words around x, y or z.
func axisNames(fields []string) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = axisName(f)
	}
	return out
}

// around are the words that surround the name of an axis.
var around = map[string]bool{
	"coord": true, "coordinate": true, "coordinates": true, "coords": true, "pos": true, "position": true,
	"point": true,
	"local": true, "global": true, "world": true, "axis": true, "value": true, "m": true, "meter": true, "meters": true,
	"metre": true, "metres": true, "mm": true, "cm": true, "km": true, "ft": true, "feet": true, "ussft": true,
}

func axisName(field string) string {
	field = strings.TrimSpace(strings.Trim(strings.TrimSpace(field), `"'`))
	if columns.Known(field) {
		return field
	}
	name := ""
	for _, w := range nameWords(field) {
		switch {
		case around[w]:
		case name != "" || !columns.Known(w):
			return field
		default:
			name = w
		}
	}
	if name == "" {
		return field
	}
	return name
}

func nameWords(field string) []string {
	return strings.FieldsFunc(
		strings.ToLower(field),
		func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) },
	)
}

// units are the lengths in metres that follow a column's name. The foot is the international one.
var units = map[string]float64{"mm": 1e-3, "cm": 1e-2, "km": 1e3, "ft": 0.3048, "feet": 0.3048, "ussft": 1200.0 / 3937}

// unitOf returns the unit of a column's name in metres, 1 if there is none.
func unitOf(field string) float64 {
	words := nameWords(field)
	if len(words) > 1 {
		if u, ok := units[words[len(words)-1]]; ok {
			return u
		}
	}
	return 1
}

// countRows counts the lines from data[i:] that are not blank, up to most.
func countRows(data []byte, i, most int) int {
	n := 0
	for i < len(data) && n < most {
		end := bytes.IndexByte(data[i:], '\n')
		if end < 0 {
			end = len(data) - i
		}
		if j := textnum.Blanks(data, i); j < i+end {
			n++
		}
		i += end + 1
	}
	return n
}

// table returns a table for the rows.
func (l *layout) table(o ingest.Options) *table {
	t := &table{
		line: l.line, delim: l.delim, comma: l.comma, rest: l.rest, block: l.count >= 0,
		slot: make([]int, len(l.names)),
	}
	for k, f := range l.names {
		t.slot[k] = -1
		if columns.Wanted(f, o) {
			t.slot[k] = len(t.cols)
			t.cols = append(t.cols, columns.Column{Name: f, Type: columns.Float64})
			if l.pts && !l.named && (f == "red" || f == "green" || f == "blue") {
				t.cols[t.slot[k]].Type = columns.Int32 // even if all are dark
			}
		}
	}
	return t
}

func decodeXYZ(path string, data []byte, o ingest.Options) (*ingest.Clouds, error) {
	data = textnum.Text(data)
	l, err := parseLayout(data, strings.ToLower(filepath.Ext(strings.TrimSuffix(path, ".gz"))), optionsOf(o))
	if err != nil {
		return nil, err
	}
	if !l.named && !l.pts && len(l.names) > 3 {
		o.Note("columns without names, read as %s; --columns names them", strings.Join(l.names, " "))
	}
	if l.scale != 1 {
		o.Note("coordinates multiplied by %g: the columns are %s", l.scale, strings.Join(l.fields, " "))
	}
	out := &ingest.Clouds{Fields: l.fields}
	total := 0
	t := l.table(o)
	if l.lost != nil {
		t.bad, t.fault = 1, l.lost
	}
	for i := l.body; ; {
		var p *ingest.PointCloud
		if p, i, err = l.block(data, i, t, o); err != nil {
			return nil, err
		}
		if total += p.Len(); total > o.MaxPoints {
			return nil, fmt.Errorf("point count: found more than %d, the limit", o.MaxPoints)
		}
		out.Clouds = append(out.Clouds, p)
		text, next := nextLine(data, i)
		if l.count < 0 || !isCount(text) {
			return out, nil
		}
		if len(out.Clouds) == xyzMaxBlocks {
			return nil, fmt.Errorf("found more than %d blocks", xyzMaxBlocks)
		}
		if l.count, err = strconv.Atoi(text); err != nil {
			return nil, fmt.Errorf("line %d: found count %.20q", t.line+1, text)
		}
		line := t.line + bytes.Count(data[i:next], []byte("\n"))
		points := t.points
		i, t = next, l.table(o)
		t.points = points
		l.line, t.line = line, line
	}
}

// nextLine returns the next line that is not blank, and the index after it.
func nextLine(data []byte, i int) (text string, next int) {
	for next = i; text == "" && next < len(data); {
		from := next
		next = textnum.Line(data, from)
		text = strings.TrimSpace(string(data[from:next]))
	}
	return text, next
}

// block reads the rows up to the next count, and returns the index after them.
func (l *layout) block(data []byte, i int, t *table, o ingest.Options) (*ingest.PointCloud, int, error) {
	most := math.MaxInt
	if l.count >= 0 {
		most = l.count
	}
	n := countRows(data, i, most)
	// A row needs a byte for each value at least, or two without a separator.
	n = min(n, (len(data)-i)/len(l.names)+1)
	if n > o.MaxPoints {
		return nil, 0, fmt.Errorf("point count: found %d, limit %d", n, o.MaxPoints)
	}
	if err := t.reserve(data, n, o); err != nil {
		return nil, 0, err
	}
	rows, next := t.read(data, i, n, o)
	if err := o.Err(); err != nil {
		return nil, 0, err
	}
	if err := t.finish(rows, o); err != nil {
		return nil, 0, err
	}
	if l.count >= 0 {
		if rows+t.bad < l.count {
			o.Note("line %d says %s, found %d", l.line, plural(l.count, "point"), rows)
		}
		next = l.skipRest(data, next, t, o)
	}
	if rows == 0 && l.count != 0 {
		return nil, 0, fmt.Errorf("found no row of numbers")
	}
	p, err := columns.Cloud(rows, t.cols, o)
	if err != nil {
		return nil, 0, err
	}
	if l.scale != 1 {
		for _, c := range [][]float64{p.X, p.Y, p.Z} {
			for k := range c {
				c[k] *= l.scale
			}
		}
	}
	return p, next, nil
}

// skipRest skips the rows after the announced number, and notes how many there are.
func (l *layout) skipRest(data []byte, i int, t *table, o ingest.Options) int {
	more := 0
	for i < len(data) {
		text, next := nextLine(data, i)
		if isCount(text) {
			break
		}
		if _, comment := uncomment(text, l.delim); text != "" && !comment {
			more++
		}
		t.line += bytes.Count(data[i:next], []byte("\n"))
		i = next
	}
	if more > 0 {
		o.Note("%s left out: line %d announces %s", plural(more, "row"), l.line, plural(l.count, "point"))
	}
	return i
}
