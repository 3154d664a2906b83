// Package sqlitefile reads plain tables of SQLite files that are not trusted. It runs no SQL: neither views, triggers,
// generated columns and virtual tables nor statistics in a file's schema can make it work without end. Every page and
// every record is read once, so the time is bounded by the size of the file. Journals and write-ahead logs are not read.
// https://www.sqlite.org/fileformat2.html
package sqlitefile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf16"
)

// Magic is how a file begins.
const Magic = "SQLite format 3\x00"

const (
	headerSize = 100
	// maxDepth is SQLite's limit of the levels of a tree, BTCURSOR_MAX_DEPTH.
	maxDepth = 20
	// maxRecordHeader is SQLite's limit of the types of a record: 32,767 columns of 3 bytes, see OP_Column.
	maxRecordHeader = 98307
	// maxSchema limits the schema, in bytes and in objects.
	maxSchema, maxObjects = 4 << 20, 10000
)

// The kinds of pages of a table; the others are those of an index.
const (
	interiorTable = 5
	leafTable     = 13
)

// File is a database.
type File struct {
	r                io.ReaderAt
	size             int64
	pageSize, usable int64
	encoding         uint32 // of text: 1 is UTF-8, 2 and 3 are UTF-16 in little and big endian
	tables           map[string]object
}

// object is an entry of the schema.
type object struct {
	kind, name, sql string
	root            int64
}

// Open reads the schema of a database of size bytes.
func Open(ctx context.Context, r io.ReaderAt, size int64) (*File, error) {
	var h [headerSize]byte
	if _, err := r.ReadAt(h[:], 0); err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("truncated: found %d bytes, want a header of %d", size, headerSize)
		}
		return nil, err
	}
	if string(h[:len(Magic)]) != Magic {
		return nil, fmt.Errorf("found %.8q, want a SQLite database", h[:])
	}
	f := &File{r: r, size: size, pageSize: int64(binary.BigEndian.Uint16(h[16:]))}
	if f.pageSize == 1 {
		f.pageSize = 1 << 16
	}
	f.usable = f.pageSize - int64(h[20])
	if f.pageSize < 512 || f.pageSize&(f.pageSize-1) != 0 || f.usable < 480 {
		return nil, fmt.Errorf("page size: found %d with %d reserved, want a power of 2 of at least 512", f.pageSize,
			h[20])
	}
	if f.encoding = binary.BigEndian.Uint32(h[56:]); f.encoding == 0 {
		f.encoding = 1 // nothing has been stored yet
	}
	if f.encoding > 3 {
		return nil, fmt.Errorf("text encoding: found %d, want 1 to 3", f.encoding)
	}
	if err := f.readSchema(ctx); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return f, nil
}

// readSchema finds the tables and what else has a name that a query could take for one.
func (f *File) readSchema(ctx context.Context) error {
	f.tables = map[string]object{}
	schema := &Table{file: f, name: "schema", root: 1, columns: []int{0, 1, 3, 4}, rowid: -1}
	objects := 0
	return schema.rows(ctx, maxSchema, func(row *Row) (err error) {
		if objects++; objects > maxObjects {
			return fmt.Errorf("found more than %d objects", maxObjects)
		}
		var o object
		if o.kind, err = row.Text(0, maxSchema); err != nil {
			return err
		}
		if o.kind != "table" && o.kind != "view" {
			return nil
		}
		if o.name, err = row.Text(1, maxSchema); err != nil {
			return err
		}
		if o.root, err = row.Int(2); err != nil {
			return err
		}
		if o.sql, err = row.Text(3, maxSchema); err != nil {
			return err
		}
		key := strings.ToLower(o.name)
		if _, ok := f.tables[key]; ok {
			return fmt.Errorf("found %q twice", o.name)
		}
		f.tables[key] = o
		return nil
	})
}

// Table is a plain table.
type Table struct {
	file    *File
	name    string
	root    int64
	columns []int // positions in a record of the columns that were asked for
	rowid   int   // which of those is the rowid, which records do not store; -1 if none is
}

// Table returns the table with that name and these columns.
func (f *File) Table(name string, columns ...string) (*Table, error) {
	o, ok := f.tables[strings.ToLower(name)]
	switch {
	case !ok:
		return nil, fmt.Errorf("found no table %s", name)
	case o.kind != "table":
		return nil, fmt.Errorf("%s: found a %s, want a plain table", name, o.kind)
	case o.root == 0:
		return nil, fmt.Errorf("%s: found a virtual table, want a plain table", name)
	}
	d, err := parseTable(o.sql)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	t := &Table{file: f, name: name, root: o.root, rowid: -1}
	for i, column := range columns {
		at := d.index(column)
		if at < 0 {
			return nil, fmt.Errorf("%s: found columns %.200s, want one named %s", name, strings.Join(d.columns, ", "),
				column)
		}
		if at == d.rowid {
			t.rowid = i
		}
		t.columns = append(t.columns, at)
	}
	return t, nil
}

// Rows calls use for every row, in the order of the rowids, until it returns an error. The row is valid during the
// call. An error that is not from use or ctx means that the rows from there on cannot be read.
func (t *Table) Rows(ctx context.Context, use func(*Row) error) error {
	err := t.rows(ctx, t.file.size+slack, use)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%s: %w", t.name, err)
	}
	return err
}

// slack is how much more the records of a table may hold than is in the file, because the end of the last one may be
// missing. It is also more than a reader wants of one record.
const slack = 64 << 20

func (t *Table) rows(ctx context.Context, most int64, use func(*Row) error) error {
	w := &walk{
		Table: t, ctx: ctx, use: use, left: most, last: math.MinInt64,
		seen: make([]uint64, t.file.size/t.file.pageSize/64+1),
	}
	return w.page(t.root, 0)
}

// walk is a way through all pages of a table.
type walk struct {
	*Table
	ctx   context.Context
	use   func(*Row) error
	seen  []uint64 // a bit for each page
	last  int64    // rowid of the row before
	begun bool
	left  int64 // bytes that records may still hold
}

func (w *walk) page(number int64, depth int) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	p, err := w.file.page(number)
	if err != nil {
		return err
	}
	bit := uint64(1) << (number % 64)
	if w.seen[number/64]&bit != 0 {
		return fmt.Errorf("page %d: found in the tree twice", number)
	}
	w.seen[number/64] |= bit
	if depth == maxDepth {
		return fmt.Errorf("page %d: found more than %d levels", number, maxDepth)
	}
	switch p.kind() {
	case interiorTable:
		for i := range p.cells() {
			at, err := p.cell(i)
			if err != nil {
				return err
			}
			if err := w.page(int64(binary.BigEndian.Uint32(p.data[at:])), depth+1); err != nil {
				return err
			}
		}
		return w.page(int64(binary.BigEndian.Uint32(p.data[p.header+8:])), depth+1)
	case leafTable:
		for i := range p.cells() {
			if i%256 == 255 && w.ctx.Err() != nil {
				return w.ctx.Err()
			}
			row, err := w.row(p, i)
			if err != nil {
				return err
			}
			if w.begun && row.ID <= w.last {
				return fmt.Errorf("page %d: found row %d after %d", number, row.ID, w.last)
			}
			w.begun, w.last = true, row.ID
			if w.left -= row.size; w.left < 0 {
				return fmt.Errorf("row %d: found records of more bytes than the file", row.ID)
			}
			if err := row.parse(); err != nil {
				return err
			}
			if err := w.use(row); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("page %d: found type %d, want a page of a table", number, p.kind())
}

// page is one page of the file.
type page struct {
	number int64
	data   []byte // with 4 bytes more, so that a pointer at its end can be read
	header int64  // where its own header begins
	usable int64
}

func (f *File) page(number int64) (*page, error) {
	if number < 1 || number > f.size/f.pageSize {
		return nil, fmt.Errorf("page %d: missing, found %d pages", number, f.size/f.pageSize)
	}
	p := &page{number: number, data: make([]byte, f.pageSize+4), usable: f.usable}
	if _, err := f.r.ReadAt(p.data[:f.pageSize], (number-1)*f.pageSize); err != nil {
		return nil, fmt.Errorf("page %d: %w", number, err)
	}
	if number == 1 {
		p.header = headerSize
	}
	return p, nil
}

func (p *page) kind() byte { return p.data[p.header] }

func (p *page) headerSize() int64 {
	if p.kind() == interiorTable {
		return 12
	}
	return 8
}

// cells returns the number of cells, of those that the page has room to point to.
func (p *page) cells() int {
	n := int64(binary.BigEndian.Uint16(p.data[p.header+3:]))
	return int(min(n, (p.usable-p.header-p.headerSize())/2))
}

// cell returns where a cell begins.
func (p *page) cell(i int) (int64, error) {
	first := p.header + p.headerSize()
	at := int64(binary.BigEndian.Uint16(p.data[first+2*int64(i):]))
	if at < first || at >= p.usable {
		return 0, fmt.Errorf("page %d: cell %d begins at byte %d, want %d to %d", p.number, i, at, first, p.usable-1)
	}
	return at, nil
}

// Ref is the place of a row.
type Ref struct {
	page uint32
	cell uint16
}

// Row is a row of a table.
type Row struct {
	ID    int64 // the rowid
	Ref   Ref
	table *Table
	size  int64  // of the record
	local []byte // its beginning, which is in the page
	more  uint32 // page of the rest; 0 if there is none
	found []field
}

// field is a value of a record.
type field struct {
	kind  uint64 // serial type; of the rowid and of a missing value 0
	at    int64
	rowid bool
}

// Row returns the row at a place that a row had before.
func (t *Table) Row(ref Ref) (*Row, error) {
	p, err := t.file.page(int64(ref.page))
	if err != nil {
		return nil, err
	}
	if p.kind() != leafTable || int(ref.cell) >= p.cells() {
		return nil, fmt.Errorf("page %d: changed while it was read", ref.page)
	}
	row, err := t.row(p, int(ref.cell))
	if err == nil {
		err = row.parse()
	}
	return row, err
}

// row finds the record of a leaf's cell.
func (t *Table) row(p *page, i int) (*Row, error) {
	at, err := p.cell(i)
	if err != nil {
		return nil, err
	}
	cell := p.data[at:p.usable]
	size, n := varint(cell)
	id, m := varint(cell[n:])
	if n == 0 || m == 0 {
		return nil, fmt.Errorf("page %d: cell %d is cut off", p.number, i)
	}
	if size > math.MaxInt32 { // SQLite's own limit
		return nil, fmt.Errorf("page %d: cell %d has %d bytes, limit %d", p.number, i, size, math.MaxInt32)
	}
	row := &Row{ID: int64(id), Ref: Ref{uint32(p.number), uint16(i)}, table: t, size: int64(size)}
	cell = cell[n+m:]
	local := row.size
	if most := p.usable - 35; local > most {
		least := (p.usable-12)*32/255 - 23
		if local = least + (row.size-least)%(p.usable-4); local > most {
			local = least
		}
		if local+4 > int64(len(cell)) {
			return nil, fmt.Errorf("page %d: cell %d is cut off", p.number, i)
		}
		row.more = binary.BigEndian.Uint32(cell[local:])
	}
	if local > int64(len(cell)) {
		return nil, fmt.Errorf("page %d: cell %d is cut off", p.number, i)
	}
	row.local = cell[:local]
	return row, nil
}

// parse finds the columns in the record.
func (r *Row) parse() error {
	header, n := varint(r.local)
	if n == 0 || header < uint64(n) || header > uint64(r.size) || header > maxRecordHeader {
		return fmt.Errorf("row %d: found a header of %d bytes in a record of %d", r.ID, header, r.size)
	}
	types := r.local[n:min(int(header), len(r.local))]
	if int(header) > len(r.local) {
		whole, err := r.bytes(0, int64(header))
		if err != nil {
			return err
		}
		types = whole[n:]
	}
	last := 0
	for _, c := range r.table.columns {
		last = max(last, c)
	}
	all := make([]field, 0, last+1)
	at := int64(header)
	for len(types) > 0 && len(all) <= last {
		kind, n := varint(types)
		if n == 0 {
			return fmt.Errorf("row %d: the types of its columns are cut off", r.ID)
		}
		types = types[n:]
		size := sizeOf(kind)
		if size < 0 || at+size > r.size {
			return fmt.Errorf("row %d: found a value of type %d at byte %d of %d", r.ID, kind, at, r.size)
		}
		all = append(all, field{kind: kind, at: at})
		at += size
	}
	r.found = make([]field, len(r.table.columns))
	for i, c := range r.table.columns {
		if c < len(all) {
			r.found[i] = all[c]
		}
		r.found[i].rowid = i == r.table.rowid
	}
	return nil
}

// sizeOf returns the size of a value of a serial type, -1 for one that there is not.
func sizeOf(kind uint64) int64 {
	switch {
	case kind >= 12 && kind <= math.MaxInt64:
		return int64(kind-12) / 2
	case kind < 10:
		return [...]int64{0, 1, 2, 3, 4, 6, 8, 8, 0, 0}[kind]
	}
	return -1
}

// Size returns the number of bytes that a column stores.
func (r *Row) Size(column int) int64 { return sizeOf(r.found[column].kind) }

// Int returns the integer in a column.
func (r *Row) Int(column int) (int64, error) {
	f := r.found[column]
	switch {
	case f.rowid:
		return r.ID, nil
	case f.kind == 8, f.kind == 9:
		return int64(f.kind - 8), nil
	case f.kind == 0 || f.kind > 6:
		return 0, fmt.Errorf("row %d: found %s, want an integer", r.ID, typeName(f.kind))
	}
	b, err := r.bytes(f.at, sizeOf(f.kind))
	if err != nil {
		return 0, err
	}
	v := int64(int8(b[0]))
	for _, c := range b[1:] {
		v = v<<8 | int64(c)
	}
	return v, nil
}

func typeName(kind uint64) string {
	switch {
	case kind == 0:
		return "nothing"
	case kind == 7:
		return "a fraction"
	case kind >= 12 && kind%2 == 0:
		return "bytes"
	case kind >= 13:
		return "text"
	}
	return "an integer"
}

// Text returns the text of at most most bytes in a column; that of no value is empty.
func (r *Row) Text(column int, most int64) (string, error) {
	f := r.found[column]
	size := sizeOf(f.kind)
	switch {
	case f.kind == 0:
		return "", nil
	case f.kind < 12:
		return "", fmt.Errorf("row %d: found %s, want text", r.ID, typeName(f.kind))
	case size > most:
		return "", fmt.Errorf("row %d: found text of %d bytes, limit %d", r.ID, size, most)
	}
	b, err := r.bytes(f.at, size)
	if err != nil || f.kind%2 == 0 || r.table.file.encoding == 1 {
		return string(b), err
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if r.table.file.encoding == 3 {
		order = binary.BigEndian
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = order.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units)), nil
}

// Bytes returns the bytes or text in a column; those of no value are nil.
func (r *Row) Bytes(column int) ([]byte, error) {
	f := r.found[column]
	if f.kind != 0 && f.kind < 12 {
		return nil, fmt.Errorf("row %d: found %s, want bytes", r.ID, typeName(f.kind))
	}
	if f.kind == 0 {
		return nil, nil
	}
	return r.bytes(f.at, sizeOf(f.kind))
}

// bytes returns a part of the record. Its first bytes are in the page of the row, the others in a chain of pages that
// hold nothing else.
func (r *Row) bytes(at, n int64) ([]byte, error) {
	f := r.table.file
	out := make([]byte, 0, min(n, f.size))
	if at < int64(len(r.local)) {
		out = append(out, r.local[at:min(at+n, int64(len(r.local)))]...)
	}
	next, from := r.more, int64(len(r.local)) // the part of the record that a page begins with
	var link [4]byte
	for int64(len(out)) < n {
		if next == 0 || int64(next) > f.size/f.pageSize {
			return nil, fmt.Errorf("row %d: found %d of %d bytes, page %d is missing", r.ID, len(out), n, next)
		}
		start := int64(next-1) * f.pageSize
		if _, err := f.r.ReadAt(link[:], start); err != nil {
			return nil, fmt.Errorf("row %d: page %d: %w", r.ID, next, err)
		}
		to := min(from+f.usable-4, r.size)
		if skip := max(0, at-from); from+skip < to {
			k := int64(len(out))
			out = append(out, make([]byte, min(to-from-skip, n-k))...)
			if _, err := f.r.ReadAt(out[k:], start+4+skip); err != nil {
				return nil, fmt.Errorf("row %d: page %d: %w", r.ID, next, err)
			}
		}
		if from = to; from == r.size && int64(len(out)) < n {
			return nil, fmt.Errorf("row %d: found %d of %d bytes", r.ID, len(out), n)
		}
		next = binary.BigEndian.Uint32(link[:])
	}
	return out, nil
}

// varint reads an integer of 1 to 9 bytes, the high ones first; n is 0 if b ends before it does.
func varint(b []byte) (v uint64, n int) {
	for i, c := range b {
		if i == 8 {
			return v<<8 | uint64(c), 9
		}
		v = v<<7 | uint64(c&0x7f)
		if c < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}
