// Package sqlite stores classifications in a table of a SQLite database. The table holds each classification once.
package sqlite

import (
	"context"
	"errors"
	"strings"

	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/table"
)

var extensions = []string{".sqlite", ".sqlite3", ".db"}

const doc = "A SQLite database. Its table has a row per classification and the primary key `event_id`, " +
	"`model_digest`. `time` is text in UTC with nanoseconds, which sorts by time; `top_k` is a JSON document."

// Kind is the sink that inserts into a database.
var Kind = sinks.Kind{
	Name: "sqlite",
	Doc: doc + "\n\n" +
		"Each write is a transaction that is synced to disk. Classifications that the table already holds are " +
		"skipped. A row that violates a constraint you have added becomes a dead letter; the other rows are stored. " +
		"The database is created if it does not exist. A database of another program is refused, so that its tables " +
		"stay as they are. Missing columns are added to a database of an earlier release. Columns and indexes that " +
		"you add are kept.\n\n" +
		"Other programs may read the database at the same time, and several processes may write to it. The " +
		"database is in WAL mode: while it is open, and after a crash until the next start, the file with the " +
		"suffix `-wal` belongs to it. It must not be on a network file system.",
	Guarantee:  sinks.ExactlyOnce,
	Path:       "FILE",
	Extensions: extensions,
	Options:    func(sinks.Target) any { return newOptions() },
	Open: func(ctx context.Context, t sinks.Target, options any, s sinks.Services) (sinks.Sink, error) {
		return open(ctx, t.Path, *options.(*Options), s)
	},
}

// Format is a whole database.
var Format = table.Format{
	Name: "sqlite", Doc: doc, Extensions: extensions,
	Options: newOptions,
	Create: func(path string, options any) (table.Writer, error) {
		return create(path, *options.(*Options))
	},
	Open: func(path string) (table.Reader, error) { return openReader(path) },
}

// Options are the options of the database.
type Options struct {
	Table string `yaml:"table" required:"true" doc:"Name of the table. It is created if it does not exist."`
}

const defaultTable = "classifications"

func newOptions() any { return &Options{Table: defaultTable} }

// Validate refuses names that SQLite reserves.
func (o *Options) Validate() error {
	if strings.HasPrefix(strings.ToLower(o.Table), "sqlite_") || strings.ContainsRune(o.Table, 0) {
		return errors.New("table: found a name that SQLite reserves, want another one")
	}
	return nil
}
