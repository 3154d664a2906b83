package sqlite_test

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/internal/option"
	"github.com/voxelstream/voxelstream/internal/transient"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
	"github.com/voxelstream/voxelstream/sinks/sqlite"
	"github.com/voxelstream/voxelstream/sinks/table/tabletest"
)

func TestSuite(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Harness {
		return harness(filepath.Join(t.TempDir(), "new", "a ?%#.sqlite"))
	})
}

func TestKilled(t *testing.T) {
	sinktest.Kill(t, func(t *testing.T) string { return filepath.Join(t.TempDir(), "c.sqlite") },
		func(_ *testing.T, path string) sinktest.Harness { return harness(path) })
}

func TestFormat(t *testing.T) { tabletest.Run(t, &sqlite.Format, 0, 300) }

func FuzzReader(f *testing.F) { tabletest.Fuzz(f, &sqlite.Format) }

func BenchmarkFormat(b *testing.B) { tabletest.Benchmark(b, &sqlite.Format) }

func harness(path string) sinktest.Harness {
	return sinktest.Harness{
		Kind: &sqlite.Kind,
		Open: func(t *testing.T) sinks.Sink { return open(t, path, "") },
		Stored: func(t *testing.T) []string {
			return texts(t, path, "SELECT event_id FROM classifications ORDER BY rowid")
		},
	}
}

func tryOpen(t testing.TB, path, options string) (sinks.Sink, error) {
	t.Helper()
	target := sinks.Target{Path: path}
	o := sqlite.Kind.Options(target)
	if _, errs := option.ParseQuery(o, options); len(errs) > 0 {
		t.Fatal(errs)
	}
	return sqlite.Kind.Open(t.Context(), target, o, sinks.Services{})
}

func open(t testing.TB, path, options string) sinks.Sink {
	t.Helper()
	s, err := tryOpen(t, path, options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// database opens a database as another program does.
func database(t *testing.T, path string) *sql.DB {
	t.Helper()
	dsn := url.URL{Scheme: "file", Path: path}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() }) //nolint:errcheck // nothing to lose
	return db
}

// texts returns the results of a query.
func texts(t *testing.T, path, query string) (out []string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	db := database(t, path)
	defer db.Close() //nolint:errcheck // nothing to lose
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // Err says it
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func one(t *testing.T, path, query string) string {
	t.Helper()
	out := texts(t, path, query)
	if len(out) != 1 {
		t.Fatalf("%s: found %q, want one row", query, out)
	}
	return out[0]
}

func execute(t *testing.T, path string, statements ...string) {
	t.Helper()
	db := database(t, path)
	defer db.Close() //nolint:errcheck // nothing to lose
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func batch(from, to int) []record.Classification { return sinktest.Batch("s", from, to) }

func write(t testing.TB, s sinks.Sink, from, to int) {
	t.Helper()
	if err := s.Write(t.Context(), batch(from, to)); err != nil {
		t.Fatal(err)
	}
}

func closed(t testing.TB, s sinks.Sink) {
	t.Helper()
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestForeign: databases of other programs are refused and stay as they are.
func TestForeign(t *testing.T) {
	const ours = "PRAGMA application_id=1987016819"
	for name, c := range map[string]struct {
		statements []string
		want       string
	}{
		"tables":              {[]string{"CREATE TABLE classifications (event_id)"}, "database of another program"},
		"application":         {[]string{"PRAGMA application_id=7", "CREATE TABLE x (y)"}, "application_id 0x7"},
		"later version":       {[]string{ours, "PRAGMA user_version=2"}, "found version 2"},
		"version of its own":  {[]string{"PRAGMA user_version=9"}, "database of another program"},
		"without primary key": {[]string{ours, "CREATE TABLE classifications (event_id, model_digest)"}, "ON CONFLICT"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.db")
			execute(t, path, c.statements...)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tryOpen(t, path, ""); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("found %v, want %q", err, c.want)
			}
			if name == "without primary key" {
				return // it is ours, and gets the other columns
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
				t.Errorf("the file was changed (%v)", err)
			}
		})
	}
	path := filepath.Join(t.TempDir(), "c.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("event_id,stream\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tryOpen(t, path, ""); err == nil || !strings.Contains(err.Error(), "want a SQLite database") {
		t.Fatalf("found %v", err)
	}
	if _, err := tryOpen(t, t.TempDir(), ""); err == nil {
		t.Fatal("a directory was opened")
	}
}

// TestEarlierVersion: a table with fewer columns, of an earlier version, gets the others. Columns and indexes of users
// stay.
func TestEarlierVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	s := open(t, path, "")
	write(t, s, 0, 3)
	closed(t, s)
	execute(t, path, "ALTER TABLE classifications DROP COLUMN track", "ALTER TABLE classifications DROP COLUMN box_yaw",
		"ALTER TABLE classifications ADD COLUMN remark TEXT", "UPDATE classifications SET remark = 'x' WHERE seq = 1",
		"CREATE INDEX by_class ON classifications (class)")
	s = open(t, path, "")
	write(t, s, 2, 5)
	closed(t, s)
	if got := one(t, path, "SELECT count(*) || ' ' || sum(track) || ' ' || count(box_yaw) || ' ' || max(remark) "+
		"FROM classifications"); got != "5 0 0 x" {
		t.Errorf("found %s", got)
	}
	rows, err := tabletest.Read(&sqlite.Format, path)
	if err != nil || len(rows) != 5 {
		t.Errorf("found %d rows, %v", len(rows), err)
	}
}

// TestTables: a database can have several tables.
func TestTables(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	for _, name := range []string{`odd "name"`, "b"} {
		s := open(t, path, "table="+url.PathEscape(name))
		write(t, s, 0, 3)
		closed(t, s)
	}
	const query = `SELECT (SELECT count(*) FROM b) || ' ' || (SELECT count(*) FROM "odd ""name""")`
	if got := one(t, path, query); got != "3 3" {
		t.Errorf("found %s", got)
	}
	if _, err := tabletest.Read(&sqlite.Format, path); err == nil || !strings.Contains(err.Error(), "2 tables") {
		t.Errorf("found %v, want an error about 2 tables", err)
	}
	o := &sqlite.Options{Table: "SQLite_x"}
	if errs := option.Validate(o); len(errs) != 1 {
		t.Errorf("found %v for a reserved name", errs)
	}
}

// TestLocked: while another program has the database locked, writes fail, but not for good.
func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	s := open(t, path, "")
	defer closed(t, s)
	other, err := database(t, path).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lock := func(statement string) {
		t.Helper()
		if _, err := other.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	lock("BEGIN IMMEDIATE")
	err = s.Write(t.Context(), batch(0, 2))
	if err == nil || !strings.Contains(err.Error(), "locked by another program") || !transient.IsShort(err) {
		t.Fatalf("found %v, want an error that passes", err)
	}
	lock("ROLLBACK")
	write(t, s, 0, 2)
	// One that reads does not stop us.
	lock("BEGIN")
	lock("SELECT count(*) FROM classifications")
	write(t, s, 1, 3)
	lock("COMMIT")
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if got := one(t, path, "SELECT count(*) FROM classifications"); got != "3" {
		t.Fatalf("found %s, want 3", got)
	}
}

// TestTwoWriters: two processes may write to a table, and each classification is there once.
func TestTwoWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	a, b := open(t, path, ""), open(t, path, "")
	done := make(chan error)
	for _, s := range []sinks.Sink{a, b} {
		go func() {
			var err error
			for i := 0; i < 200 && err == nil; i += 10 {
				err = s.Write(context.WithoutCancel(t.Context()), batch(i, i+20))
			}
			done <- err
		}()
	}
	if err := errors.Join(<-done, <-done); err != nil {
		t.Fatal(err)
	}
	closed(t, a)
	closed(t, b)
	const query = "SELECT count(*) || ' ' || count(DISTINCT event_id) FROM classifications"
	if got := one(t, path, query); got != "210 210" {
		t.Fatalf("found %s", got)
	}
}

// TestRepeated: exactly the classifications that the table holds already are reported.
func TestRepeated(t *testing.T) {
	var repeated []string
	services := sinks.Services{Repeated: func(id record.ID) { repeated = append(repeated, id.String()) }}
	target := sinks.Target{Path: filepath.Join(t.TempDir(), "c.db")}
	s, err := sqlite.Kind.Open(t.Context(), target, sqlite.Kind.Options(target), services)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, 0, 2)
	write(t, s, 1, 3)
	closed(t, s)
	if len(repeated) != 1 || repeated[0] != "s/1" {
		t.Errorf("found %q, want s/1", repeated)
	}
}

// TestMoved: after the file was renamed, rows go to a new one.
func TestMoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	s := open(t, path, "")
	write(t, s, 0, 3)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+suffix, filepath.Dir(path)+"/old.db"+suffix); err != nil {
			t.Fatal(err)
		}
	}
	write(t, s, 3, 5)
	closed(t, s)
	if got := one(t, path, "SELECT count(*) || ' ' || min(seq) FROM classifications"); got != "2 3" {
		t.Errorf("found %s", got)
	}
	if got := one(t, filepath.Dir(path)+"/old.db", "SELECT count(*) FROM classifications"); got != "3" {
		t.Errorf("found %s in the file that was renamed", got)
	}
}

// TestFolderRemoved: while the folder of the database is missing, writes fail; later they go to a new database.
func TestFolderRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a")
	path := filepath.Join(dir, "c.db")
	s := open(t, path, "")
	if err := os.Rename(dir, dir+"2"); err != nil {
		t.Fatal(err)
	}
	row := []record.Classification{sinktest.Classification("s", 1)}
	for range 2 {
		if err := s.Write(t.Context(), row); err == nil || pipeline.IsPermanent(err) {
			t.Fatalf("found %v, want a temporary error", err)
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	if got := one(t, path, "SELECT event_id FROM classifications"); got != row[0].EventID {
		t.Errorf("found %s", got)
	}
}

// TestConstraint: a row that violates a constraint of the user's fails alone and for good.
func TestConstraint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	closed(t, open(t, path, ""))
	execute(t, path, "CREATE UNIQUE INDEX one_per_position ON classifications (stream, seq)")
	s := open(t, path, "")
	cs := []record.Classification{
		sinktest.Classification("s", 1), sinktest.Classification("s", 1), sinktest.Classification("s", 2),
	}
	cs[1].Model.Digest = "another"
	err := s.Write(t.Context(), cs)
	partial, ok := errors.AsType[*pipeline.PartialError](err)
	if !ok || len(partial.Failed) != 1 || !pipeline.IsPermanent(partial.Failed[1]) {
		t.Errorf("found %v, want a permanent error for row 1", err)
	}
	closed(t, s)
	if got := one(t, path, "SELECT count(*) FROM classifications"); got != "2" {
		t.Errorf("found %s rows, want 2", got)
	}
}

// TestValues: what other programs see.
func TestValues(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	s := open(t, path, "")
	write(t, s, 1, 4)
	closed(t, s)
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("found %v for the WAL, want none after Close", err)
	}
	for query, want := range map[string]string{
		"SELECT datetime(time) FROM classifications WHERE seq = 1":            "2023-11-14 22:13:21",
		"SELECT time FROM classifications WHERE seq = 1":                      "2023-11-14T22:13:21.000000500Z",
		"SELECT top_k ->> '$[1].class' FROM classifications WHERE seq = 1":    "2",
		"SELECT typeof(score) || typeof(class) FROM classifications LIMIT 1":  "realinteger",
		"SELECT typeof(time) || typeof(name) FROM classifications LIMIT 1, 1": "texttext",
		"SELECT typeof(time) || typeof(name) FROM classifications LIMIT 2, 1": "nullnull",
		"PRAGMA application_id": "1987016819",
		"PRAGMA user_version":   "1",
	} {
		if got := one(t, path, query); got != want {
			t.Errorf("%s: found %s, want %s", query, got, want)
		}
	}
}

func BenchmarkSink(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "c.db"), "")
	n := 0
	for b.Loop() {
		write(b, s, n, n+256)
		n += 256
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
	closed(b, s)
}

// TestHostile opens databases whose table is not what it seems to be, and one that leads to the same rows for ever.
func TestHostile(t *testing.T) {
	const ours = "PRAGMA application_id = 1987016819" // 0x766f7873
	columns := texts(t, goodDatabase(t), "SELECT sql FROM sqlite_schema WHERE type = 'table'")[0]
	for name, c := range map[string]struct {
		statements []string
		want       string
	}{
		"view": {[]string{
			"CREATE VIEW classifications AS WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) " +
				"SELECT x AS event_id FROM r",
		}, "found 0 tables"},
		"virtual": {[]string{
			"CREATE TABLE o (x)", "DROP TABLE o", "PRAGMA writable_schema = 1",
			"INSERT INTO sqlite_schema VALUES ('table', 'classifications', 'classifications', 0, " +
				"'CREATE VIRTUAL TABLE classifications USING fts5(x)')",
		}, "found 0 tables"},
		"computed": {[]string{
			strings.Replace(columns, "(", "(y AS (hex(zeroblob(100000000))), ", 1),
		}, "column \"y\" is computed"},
		"rowid": {[]string{strings.Replace(columns, "(", "(rowid TEXT, ", 1)}, "want a plain table"},
		"good":  {[]string{columns}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "h.sqlite")
			db := database(t, path)
			db.SetMaxOpenConns(1)
			for _, s := range append(c.statements, ours) {
				if _, err := db.Exec(s); err != nil {
					t.Fatalf("%s: %v", s, err)
				}
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			r, err := sqlite.Format.Open(path)
			if err == nil {
				err = r.Close()
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("found error %v, want %q", err, c.want)
			}
		})
	}
}

// TestRepeatedPages reads a table whose tree leads to its first rows a second time.
func TestRepeatedPages(t *testing.T) {
	path := goodDatabase(t)
	db := database(t, path)
	db.SetMaxOpenConns(1)
	for _, s := range []string{
		"PRAGMA journal_mode = DELETE",
		"WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r WHERE x < 2000) INSERT INTO classifications " +
			"(" + strings.Join(texts(t, path, "SELECT name FROM pragma_table_info('classifications')"),
			",") + ") SELECT " +
			strings.Replace(strings.Join(texts(t, path, "SELECT name FROM pragma_table_info('classifications')"), ","),
				"event_id", "event_id || x", 1) + " FROM classifications, r",
	} {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	root, err := strconv.Atoi(texts(t, path, "SELECT rootpage FROM sqlite_schema WHERE name = 'classifications'")[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := data[(root-1)*4096:]
	if p[0] != 5 {
		t.Fatalf("found page type %d, want a tree of several pages", p[0])
	}
	copy(p[8:12], p[binary.BigEndian.Uint16(p[12:]):]) // the last child is the first one
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := sqlite.Format.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // opened for reading
	rows := make([]record.Classification, 100)
	for err == nil {
		_, err = r.Read(rows)
	}
	if !strings.Contains(err.Error(), "found rowid") {
		t.Errorf("found error %v, want one about rowids", err)
	}
}

// goodDatabase returns the path of a database of one row.
func goodDatabase(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "good.sqlite")
	w, err := sqlite.Format.Create(path, sqlite.Format.Options())
	if err != nil {
		t.Fatal(err)
	}
	c := record.Classification{EventID: "a/1"}
	if err := errors.Join(w.Write([]record.Classification{c}), w.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}
