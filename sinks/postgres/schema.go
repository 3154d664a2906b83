package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/voxelstream/voxelstream/sinks/table"
)

// sqlTypes are the types of the columns. The binary format of COPY, see appendRow, depends on them.
var sqlTypes = map[table.Type]string{
	table.Text: "text", table.Int32: "integer", table.Int64: "bigint", table.Float32: "real",
	table.Float64: "double precision", table.Bool: "boolean", table.Time: "timestamptz", table.JSON: "jsonb",
}

// name is the name of a table with or without its schema.
type name []string

// maxName is the maximum length of an identifier in bytes. PostgreSQL cuts longer ones off.
const maxName = 63

func parseName(text string) (name, error) {
	parts := strings.Split(text, ".")
	if len(parts) > 2 {
		return nil, fmt.Errorf("found %q, want TABLE or SCHEMA.TABLE", text)
	}
	for _, p := range parts {
		if p == "" || len(p) > maxName || strings.ContainsRune(p, 0) {
			return nil, fmt.Errorf("found the name %q, want 1 to %d bytes", p, maxName)
		}
	}
	return parts, nil
}

// sibling returns another name in the same schema.
func (n name) sibling(other string) name { return append(slices.Clone(n[:len(n)-1]), other) }

// String returns the name as an SQL identifier.
func (n name) String() string {
	var quoted []string
	for _, p := range n {
		quoted = append(quoted, quoteName(p))
	}
	return strings.Join(quoted, ".")
}

func quoteName(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// quote returns an SQL string constant. It is right whatever standard_conforming_strings is.
func quote(s string) string {
	return "E'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// columnList returns the names of the columns, separated by commas.
func columnList() string {
	var names []string
	for _, c := range table.Columns() {
		names = append(names, c.Name)
	}
	return strings.Join(names, ", ")
}

// definitions returns the columns for CREATE TABLE, one per line.
func definitions(columns []table.Column) string {
	var lines []string
	for _, c := range columns {
		line := "    " + c.Name + " " + sqlTypes[c.Type]
		if !c.Null {
			line += " NOT NULL"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, ",\n")
}

// The numbers of columns of earlier versions of the table.
const (
	columnsOfVersion1 = 23
	columnsOfVersion2 = columnsOfVersion1 + 2
)

// comments returns the statements that describe columns.
func comments(identifier string, columns []table.Column) string {
	var sql strings.Builder
	for _, c := range columns {
		fmt.Fprintf(&sql, ";\nCOMMENT ON COLUMN %s.%s IS %s", identifier, c.Name, quote(c.Doc))
	}
	return sql.String()
}

// definition returns the statement that creates version 1 of the table. table is an SQL identifier.
func definition(identifier string) string {
	return "CREATE TABLE " + identifier + " (\n" + definitions(table.Columns()[:columnsOfVersion1]) +
		",\n    PRIMARY KEY (event_id, model_digest)\n)"
}

// migration returns the statements that convert a table from one version to the next.
type migration func(identifier string) string

// migrations are the migrations from an empty database to the current version, in order. They are only ever added, at
// the end.
var migrations = []migration{
	func(identifier string) string {
		return strings.Replace(definition(identifier), "CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1) +
			comments(identifier, table.Columns()[:columnsOfVersion1])
	},
	func(identifier string) string {
		return "ALTER TABLE " + identifier + "\n    ADD COLUMN IF NOT EXISTS energy real,\n" +
			"    ADD COLUMN IF NOT EXISTS unfamiliar boolean" +
			comments(identifier, table.Columns()[columnsOfVersion1:columnsOfVersion2])
	},
	func(identifier string) string {
		return "ALTER TABLE " + identifier + "\n    ADD COLUMN IF NOT EXISTS distance_nearest double precision,\n" +
			"    ADD COLUMN IF NOT EXISTS distance_median double precision,\n" +
			"    ADD COLUMN IF NOT EXISTS distance_center double precision,\n" +
			"    ADD COLUMN IF NOT EXISTS distance_deviation double precision,\n" +
			"    ADD COLUMN IF NOT EXISTS distance_valid double precision,\n" +
			"    ADD COLUMN IF NOT EXISTS velocity_x real,\n    ADD COLUMN IF NOT EXISTS velocity_y real,\n" +
			"    ADD COLUMN IF NOT EXISTS velocity_z real" +
			comments(identifier, table.Columns()[columnsOfVersion2:columnsOfVersion2+8])
	},
}

// migrationLock is the key of the advisory lock under which tables are migrated: the bytes of "voxelstr".
const migrationLock = 0x766f78656c737472

// migrate brings the table to the version after the last of the migrations. It changes nothing, and needs no right to
// create tables, if the table has that version.
func migrate(ctx context.Context, c *pgconn.PgConn, n name, migrations []migration) error {
	record := n.sibling("voxelstream_migrations").String()
	found, err := exec(ctx, c, fmt.Sprintf("SELECT to_regclass(%s)", quote(record)))
	if err != nil {
		return err
	}
	if found[0] != "" {
		if version, err := versionOf(ctx, c, n, record); err != nil || version == len(migrations) {
			return err
		}
	}
	return transaction(ctx, c, func() error {
		// CREATE TABLE IF NOT EXISTS fails if two sessions execute it at once.
		create := fmt.Sprintf("SELECT pg_advisory_xact_lock(%d);\nCREATE TABLE IF NOT EXISTS %s (\n"+
			"    table_name text NOT NULL,\n    version integer NOT NULL,\n"+
			"    applied_at timestamptz NOT NULL DEFAULT now(),\n    PRIMARY KEY (table_name, version)\n)",
			migrationLock, record)
		if _, err := exec(ctx, c, create); err != nil {
			return err
		}
		version, err := versionOf(ctx, c, n, record)
		if err != nil {
			return err
		}
		if version > len(migrations) {
			return fmt.Errorf("found version %d of the table %s, which a newer release has made; want at most %d",
				version, strings.Join(n, "."), len(migrations))
		}
		for ; version < len(migrations); version++ {
			sql := fmt.Sprintf("%s;\nINSERT INTO %s (table_name, version) VALUES (%s, %d)",
				migrations[version](n.String()), record, quote(n[len(n)-1]), version+1)
			if _, err := exec(ctx, c, sql); err != nil {
				return err
			}
		}
		return nil
	})
}

// versionOf returns the version of a table that the table of migrations records, or 0.
func versionOf(ctx context.Context, c *pgconn.PgConn, n name, record string) (int, error) {
	found, err := exec(ctx, c, fmt.Sprintf("SELECT coalesce(max(version), 0) FROM %s WHERE table_name = %s", record,
		quote(n[len(n)-1])))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(found[0])
}

// exec executes statements. It returns the first value of each row in the result of the last one.
func exec(ctx context.Context, c *pgconn.PgConn, sql string) (values []string, err error) {
	results, err := c.Exec(ctx, sql).ReadAll()
	if err != nil || len(results) == 0 {
		return nil, err
	}
	for _, row := range results[len(results)-1].Rows {
		values = append(values, string(row[0]))
	}
	return values, nil
}

// transaction calls f in a transaction. After an error, it rolls back or closes the connection.
func transaction(ctx context.Context, c *pgconn.PgConn, f func() error) error {
	if _, err := exec(ctx, c, "BEGIN"); err != nil {
		return err
	}
	err := f()
	if err == nil {
		_, err = exec(ctx, c, "COMMIT")
	}
	if err == nil || c.IsClosed() {
		return err
	}
	if _, undone := exec(ctx, c, "ROLLBACK"); undone != nil {
		c.Close(ctx) //nolint:errcheck // the server rolls back
	}
	return err
}
