package packets

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/testenv"
)

// endless is a view of rows without end.
const endless = " AS WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT "

// TestROSBag2Hostile reads databases whose tables are not what a recording has. None is read for long.
func TestROSBag2Hostile(t *testing.T) {
	const topics = "CREATE TABLE topics (id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT)"
	const messages = "CREATE TABLE messages (id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB)"
	const topic = "INSERT INTO topics VALUES (1, '/p', 'sensor_msgs/msg/PointCloud2', 'cdr')"
	fill := func(n int, into string) string {
		return fmt.Sprintf("WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r WHERE x < %d) "+
			"INSERT INTO %s FROM r", n, into)
	}
	for name, c := range map[string]struct {
		statements []string
		want       string
	}{
		"view of messages": {
			[]string{topics, topic, "CREATE VIEW messages" + endless +
				"x AS id, 1 AS topic_id, x AS timestamp, x'00' AS data FROM r"},
			"messages: found a view, want a plain table",
		},
		"view of topics": {
			[]string{messages, "CREATE VIEW topics" + endless +
				"x AS id, 'a' AS name, 'b' AS type, 'cdr' AS serialization_format FROM r"},
			"topics: found a view, want a plain table",
		},
		"computed data": {
			[]string{
				topics, topic, "CREATE TABLE messages (id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, " +
					"data AS (zeroblob(900000000)))", fill(1000, "messages SELECT x, 1, x"),
			}, "column data is computed",
		},
		"topics without end": {
			[]string{topics, messages, fill(maxTopics+1, "topics SELECT x, '/' || x, 'a', 'cdr'")},
			"found more than 10000 topics",
		},
		"a long name": {
			[]string{topics, messages, "INSERT INTO topics VALUES (1, printf('%.100000c', 'x'), 'a', 'cdr')"},
			"found text of 100000 bytes, limit 4096",
		},
		"data of numbers": {
			[]string{topics, topic, messages, "INSERT INTO messages VALUES (1, 1, 1, 2.5)"},
			"found topics /p",
		},
		"times of text": {
			[]string{topics, topic, messages, "INSERT INTO messages VALUES (1, 1, 'now', x'00')"},
			"row 1: found text, want an integer",
		},
		"a table without rowids": {
			[]string{topics, topic, "CREATE TABLE messages (id INTEGER PRIMARY KEY, topic_id, timestamp, data) WITHOUT ROWID"},
			"without rowids",
		},
		"no columns": {
			[]string{topics, topic, "CREATE TABLE messages (id INTEGER PRIMARY KEY, topic_id)"},
			"want one named timestamp",
		},
		"many topics, all of clouds": {
			[]string{
				topics, messages, fill(maxTopics,
					"topics SELECT x, '/' || (x % 2), 'sensor_msgs/msg/PointCloud2', 'cdr' || x"),
				fill(maxTopics, "messages SELECT x, x, x, x'00'"),
			}, "found topics",
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.db3")
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range c.statements {
				if _, err := db.Exec(s); err != nil {
					t.Fatalf("%s: %v", s, err)
				}
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			refused(t, path, c.want)
		})
	}
}

// refused opens and inspects a recording, which must fail with an error that contains want.
func refused(t *testing.T, path, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // only a bound on a failing test
	defer cancel()
	if _, err := ROSBag2.Open(ctx, path, ingest.Options{}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("open: found error %v, want %q", err, want)
	}
	if _, err := ROSBag2.Inspect(ctx, path, ingest.Options{}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("inspect: found error %v, want %q", err, want)
	}
}

func TestROSBag2Cases(t *testing.T) {
	dir, ok := testenv.Cases()
	if !ok {
		t.Skip("the case files are not here")
	}
	for name, want := range map[string]string{
		"view_infinite.db3": "messages: found a view", "view_topics_inf.db3": "topics: found a view",
	} {
		path := filepath.Join(dir, "security", "03-db3-view-infinite", name)
		if _, err := os.Stat(path); err != nil {
			t.Skip(err)
		}
		refused(t, path, want)
	}
}

// TestCanceled ends while a recording is opened and inspected.
func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	for name, data := range map[string][]byte{"a.db3": velodyneBag(t)} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ROSBag2.Inspect(ctx, path, ingest.Options{}); err == nil ||
			!strings.Contains(err.Error(), "canceled") {
			t.Errorf("%s: found error %v, want it canceled", name, err)
		}
	}
}
