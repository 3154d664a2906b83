package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// writer writes a database as a whole, in one transaction without a journal.
type writer struct{ d *database }

func create(path string, o Options) (_ *writer, err error) {
	for _, suffix := range []string{"", "-journal", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	ctx := context.Background()
	d, err := connect(ctx, path, "_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)&_pragma=locking_mode(EXCLUSIVE)&"+
		"_pragma=cache_size(-16384)")
	if err != nil {
		return nil, err
	}
	if err = d.exec(ctx, "BEGIN"); err == nil {
		if err = d.prepareSchema(ctx, o.Table); err == nil {
			err = d.prepareInsert(ctx, o.Table)
		}
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return &writer{d}, nil
}

// Write inserts rows. Of rows with the same key, only the first is stored.
func (w *writer) Write(cs []record.Classification) error {
	failed := map[int]error{}
	for i := range cs {
		if _, err := w.d.add(context.Background(), &cs[i]); pipeline.IsPermanent(err) {
			failed[i] = err
		} else if err != nil {
			return err
		}
	}
	return pipeline.Partial(failed)
}

// Close commits the transaction and closes the database.
func (w *writer) Close() error {
	return errors.Join(w.d.exec(context.Background(), "COMMIT"), w.d.close())
}

// reader reads a table in the order in which it was written.
type reader struct {
	d       *database
	rows    *sql.Rows
	columns []table.Column
	values  []any
	targets []any // pointers to rowid and values
	rowid   int64 // of the last row
	n       int
}

// maxValue limits the values of a database that is read, in bytes.
const maxValue = 64 << 20

func openReader(path string) (*reader, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	d, err := connect(ctx, path,
		"mode=ro&_pragma=trusted_schema(0)&_pragma=cell_size_check(1)&_pragma=busy_timeout(5000)")
	if err != nil {
		return nil, err
	}
	r := &reader{d: d}
	if err = r.whole(ctx, path, info.Size()); err == nil {
		err = r.query(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return r, nil
}

// whole returns an error if the file ends within a page, which SQLite notices only when it reads that page. A
// write-ahead log may hold the whole page.
func (r *reader) whole(ctx context.Context, path string, size int64) error {
	if _, err := os.Stat(path + "-wal"); err == nil {
		return nil
	}
	page, err := r.d.number(ctx, "PRAGMA page_size")
	if err == nil && page > 0 && size%page != 0 {
		err = fmt.Errorf("found %d bytes, want whole pages of %d bytes", size, page)
	}
	return err
}

// query begins to read the table of classifications.
func (r *reader) query(ctx context.Context) error {
	application, err := r.d.number(ctx, "PRAGMA application_id")
	if err != nil {
		return err
	}
	if application != applicationID {
		return fmt.Errorf("found the application_id %#x, want %#x, that of Voxelstream", uint32(application),
			applicationID)
	}
	if _, err := sqlite.Limit(r.d.conn, sqlite3.SQLITE_LIMIT_LENGTH, maxValue); err != nil {
		return err
	}
	// A virtual table has no page.
	tables, err := r.d.texts(ctx, "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 1 "+
		"AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' LIMIT 1000")
	if err != nil {
		return err
	}
	name := defaultTable
	if !slices.Contains(tables, name) {
		if len(tables) != 1 {
			return fmt.Errorf("found %d tables, want one named %s", len(tables), name)
		}
		name = tables[0]
	}
	there, err := r.d.columns(ctx, name)
	if err != nil {
		return err
	}
	computed, err := r.d.texts(ctx, "SELECT name FROM pragma_table_xinfo(?) WHERE hidden <> 0 OR lower(name) = 'rowid'", name)
	if err != nil {
		return err
	}
	if len(computed) > 0 {
		return fmt.Errorf("table %.100q: column %.100q is computed, want a plain table", name, computed[0])
	}
	var list string
	r.columns, list = names(func(name string) bool { return slices.Contains(there, name) })
	for _, c := range table.Columns() {
		if c.Since == 0 && !slices.Contains(there, c.Name) {
			return fmt.Errorf("table %.100q: found no column %s", name, c.Name)
		}
	}
	r.values = make([]any, len(r.columns))
	r.targets = []any{&r.rowid}
	for i := range r.values {
		r.targets = append(r.targets, &r.values[i])
	}
	//nolint:gosec // names are quoted
	r.rows, err = r.d.conn.QueryContext(ctx, "SELECT rowid, "+list+" FROM "+quote(name)+" ORDER BY rowid")
	return explain(err)
}

// Read reads the next rows.
func (r *reader) Read(dst []record.Classification) (int, error) {
	for n := range dst {
		if !r.rows.Next() {
			if err := r.rows.Err(); err != nil {
				return n, explain(err)
			}
			if n == 0 && len(dst) > 0 {
				return 0, io.EOF
			}
			return n, nil
		}
		r.n++
		last := r.rowid
		if err := r.rows.Scan(r.targets...); err != nil {
			return n, fmt.Errorf("row %d: %w", r.n, err)
		}
		// A damaged database can lead to the same rows again and again.
		if r.n > 1 && r.rowid <= last {
			return n, fmt.Errorf("row %d: found rowid %d after %d", r.n, r.rowid, last)
		}
		dst[n] = record.Classification{}
		for i := range r.columns {
			col := &r.columns[i]
			v, err := convert(col.Type, r.values[i])
			if err != nil {
				return n, fmt.Errorf("row %d: column %s: %w", r.n, col.Name, err)
			}
			if err := col.Set(&dst[n], v); err != nil {
				return n, fmt.Errorf("row %d: %w", r.n, err)
			}
		}
	}
	return len(dst), nil
}

// convert converts a value of SQLite to a column's type.
func convert(t table.Type, v any) (any, error) {
	switch x := v.(type) {
	case int64:
		switch {
		case t == table.Int64:
			return x, nil
		case t == table.Int32 && math.MinInt32 <= x && x <= math.MaxInt32:
			return int32(x), nil
		case t == table.Bool && (x == 0 || x == 1):
			return x == 1, nil
		}
	case float64:
		switch {
		case t == table.Float64:
			return x, nil
		case t == table.Float32 && float64(float32(x)) == x:
			return float32(x), nil
		}
	case string:
		switch t {
		case table.Text, table.JSON:
			return x, nil
		case table.Time:
			return time.Parse(time.RFC3339Nano, x)
		}
	case nil:
		return nil, nil //nolint:nilnil // a missing value
	}
	return nil, fmt.Errorf("found %.60v", v)
}

// Close closes the database.
func (r *reader) Close() error { return errors.Join(r.rows.Close(), r.d.close()) }
