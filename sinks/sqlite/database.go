package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"modernc.org/sqlite" // and the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/voxelstream/voxelstream/internal/transient"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks/table"
)

const (
	// applicationID marks a database as ours: "voxs".
	applicationID = 0x766f7873
	// schemaVersion is the user_version of the database. Columns that are added do not change it.
	schemaVersion = 1
	// timeForm sorts as the times do.
	timeForm = "2006-01-02T15:04:05.000000000Z07:00"
)

// database is a connection to a database.
type database struct {
	db     *sql.DB
	conn   *sql.Conn
	insert *sql.Stmt // if prepareInsert was called
}

// connect opens a file. A query has the mode and pragmas.
func connect(ctx context.Context, path, query string) (*database, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	dsn := url.URL{Scheme: "file", Path: abs, RawQuery: query}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(explain(err), db.Close())
	}
	return &database{db: db, conn: conn}, nil
}

func (d *database) close() error {
	var err error
	if d.insert != nil {
		err = d.insert.Close() // otherwise the connection stays open
	}
	return errors.Join(err, d.conn.Close(), d.db.Close())
}

func (d *database) exec(ctx context.Context, statement string) error {
	_, err := d.conn.ExecContext(ctx, statement)
	return explain(err)
}

// number returns the result of a query for a number.
func (d *database) number(ctx context.Context, query string) (n int64, err error) {
	err = d.conn.QueryRowContext(ctx, query).Scan(&n)
	return n, explain(err)
}

// explain says what errors of SQLite mean, and which may pass (https://sqlite.org/rescode.html).
func explain(err error) error {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return transient.Mark(fmt.Errorf("the database is locked by another program: %w", err))
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM:
		return transient.Mark(err)
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("found a file with other content, want a SQLite database: %w", err)
	}
	return err
}

// prepareSchema creates the table, or the columns that it lacks. It must be called in a transaction.
func (d *database) prepareSchema(ctx context.Context, name string) error {
	application, err := d.number(ctx, "PRAGMA application_id")
	if err != nil {
		return err
	}
	version, err := d.number(ctx, "PRAGMA user_version")
	if err != nil {
		return err
	}
	objects, err := d.number(ctx, "SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return err
	}
	switch {
	case application == 0 && version == 0 && objects == 0:
		marks := fmt.Sprintf("PRAGMA application_id=%d; PRAGMA user_version=%d", applicationID, schemaVersion)
		if err := d.exec(ctx, marks); err != nil {
			return err
		}
	case application != applicationID:
		return fmt.Errorf("found a database of another program (application_id %#x, %d tables and indexes), want "+
			"one of Voxelstream, or a new file", uint32(application), objects)
	case version > schemaVersion:
		return fmt.Errorf("found version %d of the database, which a later version of Voxelstream has made, want %d",
			version, schemaVersion)
	}
	there, err := d.columns(ctx, name)
	if err != nil {
		return err
	}
	if len(there) == 0 {
		return d.exec(ctx, createTable(name))
	}
	for _, c := range table.Columns() {
		if !slices.Contains(there, c.Name) {
			if err := d.exec(ctx, "ALTER TABLE "+quote(name)+" ADD COLUMN "+definition(&c, true)); err != nil {
				return err
			}
		}
	}
	return nil
}

// columns returns the names of the columns of a table, or nothing if there is no such table.
func (d *database) columns(ctx context.Context, name string) ([]string, error) {
	return d.texts(ctx, "SELECT name FROM pragma_table_info(?)", name)
}

// texts returns the results of a query for a text.
func (d *database) texts(ctx context.Context, query string, args ...any) (out []string, err error) {
	rows, err := d.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, explain(err)
	}
	defer func() { err = errors.Join(err, explain(rows.Err()), rows.Close()) }()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func createTable(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (\n", quote(name))
	for _, c := range table.Columns() {
		fmt.Fprintf(&b, "  %s,\n", definition(&c, false))
	}
	b.WriteString("  PRIMARY KEY (event_id, model_digest)\n)")
	return b.String()
}

// definition declares a column. A column that is added to a table needs a value for the rows that are there.
func definition(c *table.Column, added bool) string {
	kind, zero := "TEXT", "''"
	switch c.Type {
	case table.Int32, table.Int64, table.Bool:
		kind, zero = "INTEGER", "0"
	case table.Float32, table.Float64:
		kind, zero = "REAL", "0"
	}
	switch {
	case c.Null:
		return quote(c.Name) + " " + kind
	case added:
		return quote(c.Name) + " " + kind + " NOT NULL DEFAULT " + zero
	}
	return quote(c.Name) + " " + kind + " NOT NULL"
}

// quote quotes a name.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// names lists the names of all columns for which keep is true.
func names(keep func(name string) bool) (list []table.Column, sql string) {
	var quoted []string
	for _, c := range table.Columns() {
		if keep(c.Name) {
			list = append(list, c)
			quoted = append(quoted, quote(c.Name))
		}
	}
	return list, strings.Join(quoted, ", ")
}

// prepareInsert prepares insertions into a table.
func (d *database) prepareInsert(ctx context.Context, name string) (err error) {
	columns, list := names(func(string) bool { return true })
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ")
	// INSERT OR IGNORE would skip rows that violate any constraint.
	//nolint:gosec // names are quoted
	d.insert, err = d.conn.PrepareContext(ctx, "INSERT INTO "+quote(name)+" ("+list+") VALUES ("+marks+
		") ON CONFLICT (event_id, model_digest) DO NOTHING")
	return explain(err)
}

// add inserts a row. It reports false if the table holds it already. The error is permanent if the table cannot hold
// the row, for example because of a constraint that the user has added.
func (d *database) add(ctx context.Context, c *record.Classification) (bool, error) {
	if err := table.Check(c); err != nil {
		return false, pipeline.Permanent(err)
	}
	columns := table.Columns()
	args := make([]any, len(columns))
	for k := range columns {
		v := columns[k].Value(c)
		switch x := v.(type) {
		case time.Time:
			v = x.Format(timeForm)
		case float32:
			v = float64(x)
		}
		if f, ok := v.(float64); ok && math.IsNaN(f) { // SQLite stores NULL instead
			err := fmt.Errorf("%.200s: column %s: found NaN, which SQLite cannot hold", c.EventID, columns[k].Name)
			return false, pipeline.Permanent(err)
		}
		args[k] = v
	}
	result, err := d.insert.ExecContext(ctx, args...)
	if e, ok := errors.AsType[*sqlite.Error](err); ok && e.Code()&0xff == sqlite3.SQLITE_CONSTRAINT {
		return false, pipeline.Permanent(fmt.Errorf("%.200s: %w", c.EventID, err))
	}
	if err != nil {
		return false, explain(err)
	}
	n, err := result.RowsAffected()
	return n > 0, err
}
