package sqlitefile

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/voxelstream/voxelstream/internal/mutants"
)

// made returns a database that SQLite made by these statements.
func made(tb testing.TB, statements ...string) []byte {
	tb.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		tb.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			tb.Fatalf("%s: %v", s, err)
		}
	}
	conn, err := db.Conn(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	var data []byte
	err = conn.Raw(func(c any) (err error) {
		data, err = c.(interface{ Serialize() ([]byte, error) }).Serialize()
		return err
	})
	if err = errors.Join(err, conn.Close(), db.Close()); err != nil {
		tb.Fatal(err)
	}
	return data
}

// read reads a whole table as texts.
func read(ctx context.Context, data []byte, table string, columns ...string) (rows []string, err error) {
	f, err := Open(ctx, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	t, err := f.Table(table, columns...)
	if err != nil {
		return nil, err
	}
	err = t.Rows(ctx, func(row *Row) error {
		again, err := t.Row(row.Ref)
		if err != nil {
			return err
		}
		var values []string
		for c := range columns {
			if n, err := again.Int(c); err == nil {
				values = append(values, fmt.Sprint(n))
				continue
			}
			b, err := again.Bytes(c)
			if err != nil {
				return err
			}
			if text, err := row.Text(c, math.MaxInt32); err != nil {
				return err
			} else if again.found[c].kind%2 == 1 {
				b = []byte(text)
			}
			values = append(values, string(b))
		}
		rows = append(rows, strings.Join(values, "|"))
		return nil
	})
	return rows, err
}

// TestTables reads tables of all page sizes and encodings as SQLite does.
func TestTables(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, pragmas := range []string{
		"page_size = 512", "page_size = 1024; PRAGMA auto_vacuum = 1", "page_size = 4096; PRAGMA encoding = 'UTF-16le'",
		"page_size = 65536; PRAGMA encoding = 'UTF-16be'",
	} {
		statements := []string{
			"PRAGMA " + pragmas,
			"CREATE TABLE other (x)",
			"CREATE TABLE \"Mes\"\"sages\" (id INTEGER PRIMARY KEY, -- a comment, with a comma\n" +
				"n INT NOT NULL DEFAULT (1 + (2)), [a text] VARCHAR(30, 2) /* , */, data BLOB, " +
				"CHECK (n != 123456), UNIQUE (id, n))",
			"CREATE VIEW v AS SELECT * FROM other",
			"CREATE TRIGGER tr AFTER INSERT ON other BEGIN DELETE FROM other; END",
			"INSERT INTO \"Mes\"\"sages\" VALUES (-7, 9223372036854775807, 'ä€😀', NULL), (0, -1, NULL, x'')",
		}
		for i := range 300 {
			n := r.Int64() >> r.IntN(64)
			statements = append(statements, fmt.Sprintf("INSERT INTO \"Mes\"\"sages\" VALUES (%d, %d, '%s', randomblob(%d))",
				1+r.IntN(3)+3*i, n, strings.Repeat("é", r.IntN(300)), r.IntN(3000)))
		}
		data := made(t, append(statements, "ALTER TABLE \"Mes\"\"sages\" ADD COLUMN later TEXT")...)
		path := filepath.Join(t.TempDir(), "copy.db3")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		rows, err := db.Query("SELECT id, n, \"a text\", data, later FROM \"Mes\"\"sages\"")
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var id, n int64
			var text, later sql.NullString
			var blob []byte
			if err := rows.Scan(&id, &n, &text, &blob, &later); err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprintf("%d|%d|%s|%s|%s", id, n, text.String, blob, later.String))
		}
		if err := errors.Join(rows.Err(), rows.Close(), db.Close()); err != nil {
			t.Fatal(err)
		}
		got, err := read(t.Context(), data, `mes"sages`, "ID", "n", "a text", "data", "later")
		if err != nil || len(want) != 302 || !slices.Equal(got, want) {
			t.Errorf("%s: found %d rows and error %v, want the %d of SQLite", pragmas, len(got), err, len(want))
		}
	}
}

// TestRowid finds which column is the rowid, as SQLite does.
func TestRowid(t *testing.T) {
	for columns, want := range map[string]string{
		"id INTEGER PRIMARY KEY":                        "7",
		"id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT": "7",
		"id INTEGER PRIMARY KEY ASC":                    "7",
		"id INTEGER, PRIMARY KEY (id)":                  "7",
		"id INTEGER, CONSTRAINT c PRIMARY KEY (id)":     "7",
		"id \"INTEGER\" PRIMARY KEY":                    "7",
		"id INTEGER PRIMARY KEY DESC":                   "7",
		"id INT PRIMARY KEY":                            "7",
		"id INTEGER":                                    "7",
		"id BIG INTEGER PRIMARY KEY":                    "7",
	} {
		data := made(t, "CREATE TABLE t ("+columns+")", "INSERT INTO t (id) VALUES (7)")
		if got, err := read(t.Context(), data, "t", "id"); err != nil || !slices.Equal(got, []string{want}) {
			t.Errorf("%s: found %q and error %v, want %q", columns, got, err, want)
		}
	}
}

// hostile are statements that make a table t with the column x which is not to be read, and the reason.
var hostile = map[string]struct {
	statements []string
	change     func(data []byte) // damages the file, whose pages have 512 bytes
	want       string
}{
	"view": {
		[]string{"CREATE VIEW t AS WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT x FROM r"},
		nil, "found a view",
	},
	"virtual": {
		[]string{
			"CREATE TABLE o (x)", "PRAGMA writable_schema = 1",
			"INSERT INTO sqlite_schema VALUES ('table', 't', 't', 0, 'CREATE VIRTUAL TABLE t USING fts5(x)')",
		},
		nil, "found a virtual table",
	},
	"virtual with pages": {
		[]string{
			"CREATE TABLE o (x)", "PRAGMA writable_schema = 1",
			"INSERT INTO sqlite_schema VALUES ('table', 't', 't', 2, 'CREATE VIRTUAL TABLE t USING fts5(x)')",
		},
		nil, "want a plain table",
	},
	"generated": {[]string{"CREATE TABLE t (y, x AS (y + 1) VIRTUAL)"}, nil, "column x is computed"},
	"stored":    {[]string{"CREATE TABLE t (y, x INT GENERATED ALWAYS AS (y) STORED)"}, nil, "column x is computed"},
	"rowid":     {[]string{"CREATE TABLE t (x PRIMARY KEY) WITHOUT ROWID"}, nil, "without rowids"},
	"missing":   {[]string{"CREATE TABLE o (x)"}, nil, "found no table t"},
	"column":    {[]string{"CREATE TABLE t (y)"}, nil, "want one named x"},
	"index": {
		[]string{
			"CREATE TABLE t (x)", "CREATE INDEX i ON t (x)", "PRAGMA writable_schema = 1",
			"UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'i')",
		}, nil, "want a page of a table",
	},
	"tree that contains itself": {
		[]string{"PRAGMA page_size = 512", "CREATE TABLE t (x)", many}, func(data []byte) {
			p := data[512:]
			binary.BigEndian.PutUint32(p[binary.BigEndian.Uint16(p[12:]):], 2) // the first child is the root
		}, "page 2: found in the tree twice",
	},
	"children of several parents": {
		[]string{"PRAGMA page_size = 512", "CREATE TABLE t (x)", many}, func(data []byte) {
			p := data[512:]
			first := binary.BigEndian.Uint32(p[binary.BigEndian.Uint16(p[12:]):])
			binary.BigEndian.PutUint32(p[8:], first) // the last child is the first, too
		}, "found in the tree twice",
	},
	"cells of several rows": {
		[]string{"PRAGMA page_size = 512", "CREATE TABLE t (x)", "INSERT INTO t VALUES (1), (2)"}, func(data []byte) {
			copy(data[512+8:512+10], data[512+10:512+12])
		}, "found row 2 after 2",
	},
	"schema that contains itself": {
		append([]string{"PRAGMA page_size = 512"}, tables(40)...), func(data []byte) {
			binary.BigEndian.PutUint32(data[108:], 1)
		}, "schema: page 1: found in the tree twice",
	},
	"page outside": {
		[]string{"PRAGMA page_size = 512", "CREATE TABLE t (x)", many}, func(data []byte) {
			binary.BigEndian.PutUint32(data[512+8:], math.MaxUint32)
		}, "page 4294967295: missing",
	},
	"record that is larger than all": {
		[]string{"PRAGMA page_size = 512", "CREATE TABLE t (x)", "INSERT INTO t VALUES (1), (randomblob(2000))"},
		func(data []byte) {
			at := bytes.Index(data, []byte{0x8f, 0x53, 2}) // the second row, with a payload of 2003 bytes
			copy(data[at:], []byte{0xff, 0xff})            // and a length of three bytes
		}, "",
	},
	"rest of a record that goes round": {
		[]string{"PRAGMA page_size = 512", "CREATE TABLE t (x)", "INSERT INTO t VALUES (1), (randomblob(2000))"},
		func(data []byte) { binary.BigEndian.PutUint32(data[2*512:], 3) }, "", // only so often as the record is long
	},
	"page size": {[]string{"CREATE TABLE t (x)"}, func(data []byte) { data[16], data[17] = 3, 0 }, "page size: found 768"},
	"reserved": {
		[]string{"PRAGMA page_size = 512", "CREATE TABLE t (x)"},
		func(data []byte) { data[20] = 255 }, "255 reserved",
	},
	"encoding": {[]string{"CREATE TABLE t (x)"}, func(data []byte) { data[59] = 9 }, "text encoding: found 9"},
	"objects": {
		[]string{
			"CREATE TABLE t (x)", "PRAGMA writable_schema = 1",
			"WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r WHERE x < 10001) " +
				"INSERT INTO sqlite_schema SELECT 'index', 'i', 't', 0, NULL FROM r",
		}, nil, "found more than 10000 objects",
	},
	"table twice": {
		[]string{
			"CREATE TABLE t (x)", "PRAGMA writable_schema = 1",
			"INSERT INTO sqlite_schema SELECT * FROM sqlite_schema",
		}, nil, `found "t" twice`,
	},
	"unbalanced": {
		[]string{
			"CREATE TABLE t (x)", "PRAGMA writable_schema = 1", "UPDATE sqlite_schema SET sql = 'CREATE TABLE t (x'",
		}, nil, "the columns are cut off",
	},
	"large schema": {[]string{
		"CREATE TABLE t (x)",
		"CREATE VIEW v AS SELECT '" + strings.Repeat("a", maxSchema) + "'",
	}, nil, "more bytes than the file"},
}

// many fills several pages.
const many = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r WHERE x < 500) INSERT INTO t SELECT x FROM r"

func tables(n int) []string {
	out := []string{"BEGIN", "CREATE TABLE t (x)"}
	for i := range n - 1 {
		out = append(out, fmt.Sprintf("CREATE TABLE t%d (x)", i))
	}
	return append(out, "COMMIT")
}

func TestHostile(t *testing.T) {
	for name, h := range hostile {
		t.Run(name, func(t *testing.T) {
			data := made(t, h.statements...)
			if h.change != nil {
				h.change(data)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // only a bound on a failing test
			defer cancel()
			_, err := read(ctx, data, "t", "x")
			if h.want == "" && ctx.Err() == nil {
				return
			}
			if err == nil || !strings.Contains(err.Error(), h.want) {
				t.Errorf("found error %v, want %q", err, h.want)
			}
		})
	}
}

// TestSharedRest lets all rows have the same rest: a file of 20 MB that would hold 180.
func TestSharedRest(t *testing.T) {
	const local = 39 // what SQLite keeps in a page of 512 bytes of a record of this size
	data := made(t, "PRAGMA page_size = 512", "CREATE TABLE t (x)",
		fmt.Sprintf("INSERT INTO t VALUES (zeroblob(%d))", local+508*40000-5))
	p := data[512:1024]
	at := binary.BigEndian.Uint16(p[8:])
	cell := bytes.Clone(p[at:])
	for i := uint16(1); i < 9; i++ {
		cell[4]++ // the rowid
		begin := at - i*uint16(len(cell))
		copy(p[begin:], cell)
		binary.BigEndian.PutUint16(p[8+2*i:], begin)
	}
	binary.BigEndian.PutUint16(p[3:], 9)
	rows, err := read(t.Context(), data, "t", "x")
	if err == nil || !strings.Contains(err.Error(), "more bytes than the file") || len(rows) != 4 {
		t.Errorf("found %d rows and error %v", len(rows), err)
	}
}

func TestCanceled(t *testing.T) {
	data := made(t, "PRAGMA page_size = 512", "CREATE TABLE t (x)", many)
	f, err := Open(t.Context(), bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	table, err := f.Table("t", "x")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	rows := 0
	err = table.Rows(ctx, func(*Row) error {
		rows++
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || rows > 256 {
		t.Errorf("found %d rows and error %v, want it canceled", rows, err)
	}
}

func FuzzRead(f *testing.F) {
	m := mutants.New(f, "sqlite")
	m.Add(made(f, "PRAGMA page_size = 512", "CREATE TABLE t (x)", many))
	m.Add(made(f, "PRAGMA page_size = 512", "CREATE TABLE t (a, x TEXT)", "INSERT INTO t VALUES (1, zeroblob(2000))"))
	m.Fuzz(func(t *testing.T, data []byte) {
		_, _ = read(t.Context(), data, "t", "x")
	})
}
