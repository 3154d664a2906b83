//go:build unix

package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
	"github.com/voxelstream/voxelstream/sinks/table"
)

// start starts the server that the tests share.
var start = sync.OnceValues(testenv.StartPostgres)

var shared *testenv.Postgres

func TestMain(m *testing.M) {
	code := m.Run()
	if shared != nil {
		if err := shared.Stop(); err != nil {
			fmt.Println(err)
			code = 1
		}
	}
	os.Exit(code)
}

func server(t *testing.T) *testenv.Postgres {
	t.Helper()
	p, err := start()
	if errors.Is(err, testenv.ErrNoPostgres) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	shared = p
	return p
}

// place is an empty database with its own name.
type place struct {
	*testenv.Postgres
	name string
}

func database(t *testing.T) place {
	t.Helper()
	p := server(t)
	name := fmt.Sprintf("test %d", time.Now().UnixNano())
	p.MustSQL(t, "postgres", `CREATE DATABASE "`+name+`"`)
	return place{p, name}
}

// url is the text for --out, over the Unix socket.
func (p place) url(options string) string {
	name := strings.ReplaceAll(p.name, " ", "%20")
	return fmt.Sprintf("postgres://postgres@:%d/%s?host=%s%s", p.Port, name, p.Dir, options)
}

func (p place) sql(t *testing.T, statements string) string {
	t.Helper()
	return p.MustSQL(t, p.name, statements)
}

func openURL(ctx context.Context, text string) (*Sink, error) {
	return sinktest.TryOpen[*Sink](ctx, &Kind, text, sinks.Services{})
}

func open(t *testing.T, text string) *Sink {
	t.Helper()
	return sinktest.Open[*Sink](t, &Kind, text)
}

func batch(from, to int) []record.Classification { return sinktest.Batch("s-0", from, to) }

func store(t *testing.T, s *Sink, cs []record.Classification) {
	t.Helper()
	if err := s.Write(t.Context(), cs); err != nil {
		t.Fatal("write:", err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal("flush:", err)
	}
}

// ids returns the event IDs in a table.
func (p place) ids(t *testing.T, table string) []string {
	t.Helper()
	return strings.Fields(p.sql(t, "SELECT event_id FROM "+table+" ORDER BY stream, seq"))
}

func (p place) count(t *testing.T, want int) {
	t.Helper()
	n := p.sql(t, "SELECT count(*) || ' ' || count(DISTINCT event_id) FROM classifications")
	if n != fmt.Sprint(want, " ", want) {
		t.Fatalf("found %s rows and event IDs, want %d", n, want)
	}
}

func harness(p place, options, table string) sinktest.Harness {
	return sinktest.Harness{
		Kind:   &Kind,
		Open:   func(t *testing.T) sinks.Sink { return open(t, p.url(options)) },
		Stored: func(t *testing.T) []string { return p.ids(t, table) },
	}
}

func TestSuite(t *testing.T) {
	p := database(t)
	tables := 0
	sinktest.Run(t, func(*testing.T) sinktest.Harness {
		tables++
		return harness(p, fmt.Sprintf(`&table=public.it's%%20an%%20\"odd"%%20name%d`, tables),
			fmt.Sprintf(`public."it's an \""odd"" name%d"`, tables))
	})
}

func TestKilled(t *testing.T) {
	sinktest.Kill(t, func(t *testing.T) string {
		p := database(t)
		return fmt.Sprintf("%s\n%d\n%s", p.Dir, p.Port, p.name)
	}, func(t *testing.T, at string) sinktest.Harness {
		p := place{Postgres: shared} // nil in a child, which does not look at what is stored
		if shared == nil {
			p.Postgres = new(testenv.Postgres)
		}
		lines := strings.Split(at, "\n")
		if _, err := fmt.Sscan(lines[1], &p.Port); err != nil {
			t.Fatal(err)
		}
		p.Dir, p.name = lines[0], lines[2]
		return harness(p, "", "classifications")
	})
}

// TestColumns: PostgreSQL's own text of each value is what was written.
func TestColumns(t *testing.T) {
	p := database(t)
	s := open(t, p.url(""))
	label, energy := int32(-7), float32(-1.5)
	store(t, s, []record.Classification{
		{
			EventID: "sträße/1#2~3", Stream: "sträße", Seq: math.MaxInt64, Object: math.MaxUint32, View: 3,
			Time:  time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
			Model: record.Model{Name: "m\t\\N\n", Version: "'v\"", Digest: "d"}, Class: 4, Name: "four", Score: .1,
			TopK: []record.Score{{Class: 4, Score: .5}, {Class: 1, Score: .25}}, Label: &label, LatencyMS: math.Inf(1),
			Box: &record.Box{
				Center: [3]float64{1e300, -2, 3.25}, Size: [3]float32{4, 5, 6}, Yaw: float32(math.NaN()),
			},
			Track: 8, Energy: &energy, Unfamiliar: true,
			Distance: &record.Distance{Nearest: 1.5, Median: 2, Center: 2.5, Deviation: math.Inf(1), Valid: 1},
			Velocity: &[3]float32{-.5, 0, .25},
		},
		{EventID: "s/0", Stream: "s"},
	})
	want := map[string][2]string{
		"event_id": {"sträße/1#2~3", "s/0"}, "stream": {"sträße", "s"}, "seq": {"9223372036854775807", "0"},
		"object": {"4294967295", "0"}, "view": {"3", "0"}, "time": {"1969-12-31 23:59:59.999999+00", "NULL"},
		"model": {"m\t\\N\n", ""}, "model_version": {"'v\"", ""}, "model_digest": {"d", ""}, "class": {"4", "0"},
		"name": {"four", "NULL"}, "score": {"0.1", "0"}, "label": {"-7", "NULL"}, "latency_ms": {"Infinity", "0"},
		"top_k": {`[{"class": 4, "score": 0.5}, {"class": 1, "score": 0.25}]`, "null"},
		"box_x": {"1e+300", "NULL"}, "box_y": {"-2", "NULL"}, "box_z": {"3.25", "NULL"}, "box_length": {"4", "NULL"},
		"box_width": {"5", "NULL"}, "box_height": {"6", "NULL"}, "box_yaw": {"NaN", "NULL"}, "track": {"8", "0"},
		"energy": {"-1.5", "NULL"}, "unfamiliar": {"true", "NULL"}, "distance_nearest": {"1.5", "NULL"},
		"distance_median": {"2", "NULL"}, "distance_center": {"2.5", "NULL"}, "distance_deviation": {"Infinity", "NULL"},
		"distance_valid": {"1", "NULL"}, "velocity_x": {"-0.5", "NULL"}, "velocity_y": {"0", "NULL"},
		"velocity_z": {"0.25", "NULL"},
	}
	var texts []string
	for _, c := range table.Columns() {
		texts = append(texts, "coalesce("+c.Name+"::text, 'NULL')")
	}
	p.sql(t, "ALTER DATABASE "+quoteName(p.name)+" SET timezone = 'UTC'")
	rows := p.sql(t, "SELECT json_build_array("+strings.Join(texts, ", ")+") FROM classifications ORDER BY seq DESC")
	for i, line := range strings.Split(rows, "\n") {
		var values []string
		if err := json.Unmarshal([]byte(line), &values); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		for k, c := range table.Columns() {
			if values[k] != want[c.Name][i] {
				t.Errorf("%s: found %q, want %q", c.Name, values[k], want[c.Name][i])
			}
		}
	}
	for name, want := range map[string]string{"time": "timestamp with time zone", "top_k": "jsonb", "score": "real"} {
		got := p.sql(t, "SELECT data_type FROM information_schema.columns WHERE table_name = 'classifications' "+
			"AND column_name = '"+name+"'")
		if got != want {
			t.Errorf("%s: found the type %s, want %s", name, got, want)
		}
	}
	if got := p.sql(t, "SELECT col_description('classifications'::regclass, 1)"); got != table.Columns()[0].Doc {
		t.Errorf("found the comment %q", got)
	}
}

// TestRowsAtFault: rows that PostgreSQL or the table cannot hold are named, and all others are stored.
func TestRowsAtFault(t *testing.T) {
	p := database(t)
	s := open(t, p.url(""))
	p.sql(t, "ALTER TABLE classifications ADD CHECK (class <> 7), ADD UNIQUE (track, event_id); "+
		"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$; "+
		"CREATE TRIGGER t BEFORE INSERT ON classifications FOR EACH ROW WHEN (NEW.seq = 31) EXECUTE FUNCTION refuse()")
	cs := batch(0, 40)
	cs[1].Stream = "a\x00b"
	cs[2].Name = "\xff"
	cs[3].Seq = math.MaxUint64
	cs[4].Time = time.Date(300_000, 1, 1, 0, 0, 0, 0, time.UTC)
	cs[5].Time = time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC)
	refused := []int{1, 2, 3, 4, 5}
	err := s.Write(t.Context(), cs)
	named(t, err, refused...)
	// Places at the flush are those among the 35 that were accepted.
	var accepted []record.Classification
	for i, c := range cs {
		if !slices.Contains(refused, i) {
			accepted = append(accepted, c)
		}
	}
	if err := s.Flush(t.Context()); err == nil {
		t.Fatal("found no error, want one for class 7")
	} else {
		var places []int
		for i, c := range accepted {
			if c.Class == 7 || c.Seq == 31 {
				places = append(places, i)
			}
		}
		named(t, err, places...)
	}
	p.count(t, 35-4-1)
	long := sinktest.Classification("s-1", 1) // with an ID that the index cannot hold, even compressed
	for i := range 5000 {
		long.EventID += string(rune(0x4e00 + i*7919%20000))
	}
	if err := s.Write(t.Context(), append(batch(100, 103), long)); err != nil {
		t.Fatal(err)
	}
	named(t, s.Flush(t.Context()), 3)
	p.count(t, 33)
}

// TestRepeated: exactly those that the table holds already are reported, after the flush that stores the others.
func TestRepeated(t *testing.T) {
	p := database(t)
	store(t, open(t, p.url("")), batch(3, 6))
	p.sql(t, "ALTER TABLE classifications ADD CHECK (seq NOT IN (12, 14))")
	var repeated []string
	s, err := sinktest.TryOpen[*Sink](t.Context(), &Kind, p.url(""), sinks.Services{
		Repeated: func(id record.ID) { repeated = append(repeated, id.String()) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // it returns nil
	if err := s.Write(t.Context(), append(batch(0, 20), batch(9, 11)...)); err != nil {
		t.Fatal(err)
	}
	named(t, s.Flush(t.Context()), 12, 14)
	slices.Sort(repeated)
	if want := []string{"s-0/10", "s-0/3", "s-0/4", "s-0/5", "s-0/9"}; !slices.Equal(repeated, want) {
		t.Errorf("found %q, want %q", repeated, want)
	}
}

// named wants a partial error with permanent errors of exactly these places.
func named(t *testing.T, err error, places ...int) {
	t.Helper()
	partial, ok := errors.AsType[*pipeline.PartialError](err)
	if !ok || len(partial.Failed) != len(places) {
		t.Fatalf("found %v, want a partial error of %d", err, places)
	}
	for _, i := range places {
		if !pipeline.IsPermanent(partial.Failed[i]) {
			t.Errorf("%d: found %v, want a permanent error", i, partial.Failed[i])
		}
	}
}

// TestServerKilled kills the server between flushes and in the middle of them, and starts it again.
func TestServerKilled(t *testing.T) {
	p := database(t)
	s := open(t, p.url(""))
	store(t, s, batch(0, 10))
	p.Kill()
	if err := s.Write(t.Context(), batch(5, 20)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.Flush(t.Context()); err == nil || pipeline.IsPermanent(err) || strings.Contains(err.Error(), "\n") {
			t.Fatalf("found %v, want a temporary error", err)
		}
	}
	restart := func() {
		if err := p.Start(); err != nil {
			t.Error(err)
		}
	}
	restart()
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.count(t, 20)
	total := 20
	for round := range 3 {
		if err := s.Write(t.Context(), batch(total, total+20_000)); err != nil {
			t.Fatal(err)
		}
		total += 20_000
		var killed sync.WaitGroup
		killed.Go(func() {
			time.Sleep(time.Duration(20+60*round) * time.Millisecond)
			p.Kill()
			restart()
		})
		if _, err := (pipeline.Retry{}).Do(t.Context(), s.Flush); err != nil {
			t.Fatal(err)
		}
		killed.Wait()
	}
	p.count(t, total)
}

// TestConnectionCut cuts the connection after each number of bytes of a flush, in both directions. What was committed
// and not confirmed must not be stored twice.
func TestConnectionCut(t *testing.T) {
	p := database(t)
	for _, fromServer := range []bool{false, true} {
		through := newProxy(t, fmt.Sprintf("127.0.0.1:%d", p.Port))
		s := open(t, fmt.Sprintf("postgres://postgres@%s/%s?sslmode=disable&password=%s&table=cut%v", through.Addr(),
			strings.ReplaceAll(p.name, " ", "%20"), testenv.PostgresPassword, fromServer))
		n, failures := 0, 0
		for after := 0; ; after += 31 {
			through.cut(fromServer, after)
			if err := s.Write(t.Context(), batch(n, n+2)); err != nil {
				t.Fatal(err)
			}
			n += 2
			err := s.Flush(t.Context())
			if err == nil {
				break
			}
			failures++
			if pipeline.IsPermanent(err) {
				t.Fatal(err)
			}
			through.cut(fromServer, -1)
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if failures > 500 {
				t.Fatal("every flush fails")
			}
		}
		got := p.sql(t, fmt.Sprintf("SELECT count(*) || ' ' || count(DISTINCT event_id) FROM cut%v", fromServer))
		if want := fmt.Sprint(n, " ", n); got != want {
			t.Errorf("found %s, want %s", got, want)
		}
		if failures < 5 {
			t.Errorf("found %d failures, want more", failures)
		}
	}
}

// proxy passes connections on, and cuts them.
type proxy struct {
	net.Listener
	mu   sync.Mutex
	left [2]int // bytes until the cut to the server and from it; negative: no cut
}

func newProxy(t *testing.T, target string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() }) //nolint:errcheck // of a test
	p := &proxy{Listener: l, left: [2]int{-1, -1}}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close() //nolint:errcheck // of a test
				continue
			}
			go p.pass(client, server, 0)
			go p.pass(server, client, 1)
		}
	}()
	return p
}

// cut cuts connections after some more bytes in a direction.
func (p *proxy) cut(fromServer bool, after int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left[0], p.left[1] = -1, -1; fromServer {
		p.left[1] = after
	} else {
		p.left[0] = after
	}
}

func (p *proxy) pass(from, to net.Conn, direction int) {
	defer from.Close() //nolint:errcheck // of a test
	defer to.Close()   //nolint:errcheck // of a test
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		left := p.left[direction]
		over := left >= 0 && n >= left
		if over {
			n, p.left[direction] = left, 0
		} else if left >= 0 {
			p.left[direction] -= n
		}
		p.mu.Unlock()
		if _, err := to.Write(buf[:n]); err != nil || over {
			return
		}
	}
}

// TestWriters: several sinks create the table at once and store the same rows in different orders.
func TestWriters(t *testing.T) {
	p := database(t)
	const n = 3000
	var all sync.WaitGroup
	for writer := range 4 {
		all.Go(func() {
			s, err := openURL(t.Context(), p.url(""))
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // it returns nil
			for from := 0; from < n; from += 100 {
				cs := batch(from, from+100)
				if writer%2 == 1 {
					cs = batch(n-from-100, n-from)
					slices.Reverse(cs)
				}
				if err := errors.Join(s.Write(t.Context(), cs), s.Flush(t.Context())); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	p.count(t, n)
}

// TestMigrations: tables of every version become those of the current one and keep their rows.
func TestMigrations(t *testing.T) {
	p := database(t)
	newer := append(slices.Clone(migrations), func(identifier string) string {
		return "ALTER TABLE " + identifier + " ADD COLUMN extra text NOT NULL DEFAULT 'none'"
	})
	s := open(t, p.url(""))
	store(t, s, batch(0, 5))
	tables := []name{{"classifications"}, {"fresh"}}
	var all sync.WaitGroup
	for range 4 {
		for _, n := range tables {
			all.Go(func() {
				s, err := openURL(t.Context(), p.url("&table=another"))
				if err != nil {
					t.Error(err)
					return
				}
				defer s.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // it returns nil
				if err := migrate(t.Context(), s.conn, n, newer); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	var want []string
	for _, n := range []string{"another", "classifications", "fresh"} {
		versions := len(newer)
		if n == "another" {
			versions = len(migrations)
		}
		for v := range versions {
			want = append(want, fmt.Sprintf("%s|%d", n, v+1))
		}
	}
	if got := p.sql(t, "SELECT table_name, version FROM voxelstream_migrations ORDER BY 1, 2"); got !=
		strings.Join(want, "\n") {
		t.Errorf("found %s, want %s", got, want)
	}
	if got := p.sql(t, "SELECT count(*), max(extra) FROM classifications"); got != "5|none" {
		t.Errorf("found %s, want the 5 rows with the new column", got)
	}
	store(t, s, batch(5, 6)) // the earlier release goes on
	p.count(t, 6)
	refusal := fmt.Sprintf("found version %d", len(newer))
	if _, err := openURL(t.Context(), p.url("")); err == nil || !strings.Contains(err.Error(), refusal) {
		t.Errorf("found %v, want a refusal of the newer version", err)
	}
	broken := append(slices.Clone(newer), func(string) string { return "CREATE TABLE half (x int); SELECT 1/0" })
	if err := migrate(t.Context(), s.conn, tables[0], broken); err == nil {
		t.Error("a migration that fails reported success")
	}
	if got := p.sql(t, "SELECT to_regclass('half') IS NULL, max(version) FROM voxelstream_migrations"); got !=
		fmt.Sprintf("t|%d", len(newer)) {
		t.Errorf("found %s after a migration that failed, want nothing changed", got)
	}
	if want := len(table.Columns()); want != columnsOfVersion2+8 || len(migrations) != 3 {
		t.Errorf("found %d columns, and no migration that adds the last of them", want)
	}
}

// TestErrors: what the configuration lacks is found when the sink is opened, and named.
func TestErrors(t *testing.T) {
	p := database(t)
	open(t, p.url(""))
	p.sql(t, "CREATE TABLE bare (event_id text, model_digest text); CREATE SCHEMA closed; CREATE ROLE guest LOGIN; "+
		"CREATE TABLE bag ("+definitions(table.Columns())+"); "+
		"CREATE TABLE typed (LIKE classifications INCLUDING ALL); "+
		"ALTER TABLE typed ALTER seq TYPE date USING NULL; CREATE VIEW v AS SELECT 1 AS event_id; "+
		"REVOKE CREATE ON SCHEMA public FROM public")
	t.Cleanup(func() { p.sql(t, "DROP OWNED BY guest; DROP ROLE guest") })
	guest := func(options string) string { return strings.Replace(p.url(options), "postgres@", "guest@", 1) }
	tcp := func(user, options string) string {
		return fmt.Sprintf("postgres://%s@127.0.0.1:%d/postgres?sslmode=disable%s", user, p.Port, options)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refuses := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ url, want string }{
		{
			p.url("&table=none&create=false"),
			`relation "none" does not exist (SQLSTATE 42P01); create the table, or let create=true do it`,
		},
		{p.url("&table=bare"), `column "stream"`},
		{p.url("&table=bag"), "(SQLSTATE 42P10); the table needs a primary key or a unique index on (event_id, "},
		{p.url("&table=typed"), `column "seq" is of type date but expression is of type bigint`},
		{p.url("&table=nowhere.x"), `schema "nowhere" does not exist (SQLSTATE 3F000); create the schema`},
		{guest(""), "permission denied for table"},
		{guest("&table=new"), "permission denied for"},
		{guest("&create=false"), "permission denied for table classifications (SQLSTATE 42501); grant the role"},
		{strings.Replace(p.url(""), "/test", "/absent", 1), "does not exist (SQLSTATE 3D000); create the database"},
		{
			tcp("postgres:hush", ""),
			`password authentication failed for user "postgres" (SQLSTATE 28P01); check user and password`,
		},
		{tcp("postgres", "&password=hush"), "(SQLSTATE 28P01)"},
		{"postgres://x:hush@" + refuses + "/db?sslmode=disable", refuses + ": connection refused"},
		{"postgres://x:hush@127.0.0.1:99999/db", "found an invalid host, port or user"},
		{"postgres://x:hush@127.0.0.1/db?sslmode=verify-full&sslrootcert=/none", "/none"},
	} {
		s, err := openURL(t.Context(), c.url)
		if err == nil {
			s.Close(t.Context()) //nolint:errcheck // it returns nil
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found %v, want %q", c.url, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "\n")) {
			t.Errorf("found %v, want one line without the password", err)
		}
	}
	p.sql(t, "GRANT INSERT, SELECT ON classifications TO guest")
	store(t, open(t, guest("&create=false")), batch(0, 3))
	p.sql(t, "GRANT SELECT ON voxelstream_migrations TO guest")
	s := open(t, guest(""))
	store(t, s, batch(0, 4))
	p.count(t, 4)

	// While it runs, such errors are temporary: the rows are not at fault.
	p.sql(t, "REVOKE INSERT ON classifications FROM guest")
	if err := s.Write(t.Context(), batch(4, 6)); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context()); err == nil || pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "42501") {
		t.Errorf("found %v, want a temporary error", err)
	}
	p.sql(t, "GRANT INSERT ON classifications TO guest")
	if err := s.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	p.count(t, 6)
	p.sql(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'guest'")
	_ = s.Write(t.Context(), batch(6, 7))
	if err := s.Flush(t.Context()); err == nil || pipeline.IsPermanent(err) {
		t.Errorf("found %v, want a temporary error", err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	p.count(t, 7)
}

// TestBlocked: a flush that waits for a lock ends with its context, or when the time is over, and can be repeated.
func TestBlocked(t *testing.T) {
	p := database(t)
	s, locker := open(t, p.url("&timeout=300ms")), open(t, p.url(""))
	if _, err := exec(t.Context(), locker.conn, "BEGIN; LOCK TABLE classifications"); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), batch(0, 3)); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "found no answer within 300ms") {
		t.Errorf("found %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if err := s.Flush(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("found %v, want context.Canceled", err)
	}
	if _, err := exec(t.Context(), locker.conn, "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	p.count(t, 3)
}

func TestTLS(t *testing.T) {
	p := database(t)
	authority := testenv.NewAuthority(t)
	cert, key := authority.Issue("db.example")
	for name, from := range map[string]string{"server.crt": cert, "server.key": key} {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Put("data/"+name, string(content)); err != nil {
			t.Fatal(err)
		}
	}
	p.sql(t, "ALTER SYSTEM SET ssl = on")
	p.sql(t, "SELECT pg_reload_conf()")
	t.Cleanup(func() {
		p.sql(t, "ALTER SYSTEM RESET ssl")
		p.sql(t, "SELECT pg_reload_conf()")
	})
	t.Setenv("TEST_PG_PASSWORD", testenv.PostgresPassword)
	url := fmt.Sprintf("postgresql://postgres@127.0.0.1:%d/%s?password-env=TEST_PG_PASSWORD", p.Port,
		strings.ReplaceAll(p.name, " ", "%20"))
	for options, want := range map[string]string{
		"&sslmode=verify-full&sslrootcert=" + authority.File: "on",
		"&sslmode=require": "on",
		"&sslmode=disable": "off",
		"":                 "on",
		"&sslmode=verify-full&sslrootcert=" + testenv.NewAuthority(t).File: "certificate",
	} {
		s, err := openURL(t.Context(), url+options)
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: found %v, want %s", options, err, want)
			}
			continue
		}
		got, err := exec(t.Context(), s.conn,
			"SELECT CASE WHEN ssl THEN 'on' ELSE 'off' END FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
		if err != nil || got[0] != want {
			t.Errorf("%s: found TLS %s, %v, want %s", options, got, err, want)
		}
		s.Close(t.Context()) //nolint:errcheck // it returns nil
	}
}
