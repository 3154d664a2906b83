//go:build unix

package integration

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/record"
)

// rowFiles are the files of rows that killedRun writes. The name of the archive begins like a formula.
var rowFiles = []string{"a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.csv", "a.tsv.gz", "a.csv.zst", "a.sqlite"}

// killedRun runs an archive into all rowFiles, in processes of which two are killed. after is called after each kill.
// It returns the classifications of the JSON lines.
func killedRun(t *testing.T, after func(w *world)) (*world, []record.Classification) {
	t.Helper()
	needHDF5(t)
	w := newWorld(t)
	w.set("model.path", must(slowModel())(t))
	w.set("pipeline.batch", 8)
	const rows = 300
	args := []string{"run", w.digits("-1.h5", rows, 5)}
	for _, name := range rowFiles {
		args = append(args, "--out", w.path(name))
	}
	first := w.path(rowFiles[0])
	for range 2 {
		before := lines(first)
		p := w.start(args...)
		p.throttle()
		p.until(t, "a new classification", func() bool { return lines(first) > before })
		time.Sleep(50 * time.Millisecond)
		if p.ended() {
			t.Fatal("all was classified before the last kill: more rows are needed")
		}
		p.kill()
		after(w)
	}
	w.do(exitDone, args...)
	cs := stored(t, first)
	if n := len(ids(t, first, cs)); n != rows || len(cs) != rows {
		t.Fatalf("found %d lines with %d classifications, want %d", len(cs), n, rows)
	}
	return w, cs
}

// programOutput runs a program, and reports false if there is none. What a kill has cut off is an error of the program,
// which prints what comes before.
func programOutput(t *testing.T, whole bool, name string, args ...string) (string, bool) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Logf("%s is missing", name)
		return "", false
	}
	var out, stderr bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil && whole {
		t.Fatalf("%s %q: %v\n%s", name, args, err, stderr.String())
	}
	return out.String(), true
}

// TestRowsOfKilledRuns: gzip, zstd and sqlite3 read the files after each kill. They and pandas find each classification
// once in the end, and so does an independent Kafka client on the topic.
func TestRowsOfKilledRuns(t *testing.T) {
	slow(t)
	read := func(w *world, whole bool) map[string][]string {
		found := map[string][]string{}
		for _, name := range rowFiles {
			var text string
			ok := true
			switch filepath.Ext(name) {
			case ".gz":
				text, ok = programOutput(t, whole, "gzip", "-dc", w.path(name))
			case ".zst":
				text, ok = programOutput(t, whole, "zstd", "-dcq", w.path(name))
			case ".sqlite":
				// The transactions are whole at any time.
				const query = "SELECT event_id FROM classifications; PRAGMA integrity_check"
				text, ok = programOutput(t, true, "sqlite3", w.path(name), query)
				text = strings.TrimSuffix(text, "ok\n")
			default:
				text = string(must(os.ReadFile(w.path(name)))(t))
			}
			if ok {
				found[name] = rowIDs(t, name, text, whole)
			}
		}
		return found
	}
	var seen []map[string][]string // after each kill
	w, cs := killedRun(t, func(w *world) { seen = append(seen, read(w, false)) })
	want := sortedIDs(cs)
	for i, found := range seen {
		for name, got := range found {
			slices.Sort(got)
			if n := len(got); len(slices.Compact(got)) != n || !subset(got, want) {
				t.Errorf("%s after kill %d: found %d rows, some of them twice or others than in the end", name, i+1, n)
			}
		}
		if len(found[rowFiles[0]]) == 0 {
			t.Errorf("found nothing in %s after kill %d", rowFiles[0], i+1)
		}
	}
	for name, got := range read(w, true) {
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: found %d rows, want %d, each once", name, len(got), len(want))
		}
	}
	t.Run("pandas", func(t *testing.T) { pandasReads(t, w, cs) })
	t.Run("confluent-kafka", func(t *testing.T) { confluentReads(t, w, cs) })
}

// subset reports whether all of a are in b, which is sorted.
func subset(a, b []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool {
		_, ok := slices.BinarySearch(b, s)
		return !ok
	})
}

func sortedIDs(cs []record.Classification) (out []string) {
	for _, c := range cs {
		out = append(out, c.EventID)
	}
	slices.Sort(out)
	return out
}

// rowIDs returns the IDs in a text of JSON lines, of CSV, or of IDs.
func rowIDs(t *testing.T, name, text string, whole bool) (out []string) {
	t.Helper()
	for i, line := range slices.Collect(strings.Lines(text)) {
		if !strings.HasSuffix(line, "\n") && !whole {
			break // cut off
		}
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.Contains(name, ".jsonl"):
			var c record.Classification
			if err := json.Unmarshal([]byte(line), &c); err != nil {
				t.Fatalf("%s: %v in %q", name, err, line)
			}
			out = append(out, c.EventID)
		case name == "a.sqlite":
			out = append(out, line)
		case i > 0: // behind the header
			id := line[:strings.IndexAny(line, ",\t")]
			if !strings.HasPrefix(id, "'-") {
				t.Fatalf("%s: found the ID %q, which a spreadsheet takes for a formula", name, id)
			}
			out = append(out, id[1:])
		}
	}
	return out
}

// readByPandas prints what Python's modules and pandas see in files of rows.
const readByPandas = `
import csv, gzip, json, sqlite3, sys
import pandas as pd

def text(id):
    return id.removeprefix("'")

out = {}
for path in sys.argv[1:]:
    name = path.rsplit("/", 1)[1]
    tab = "\t" if ".tsv" in name else ","
    if ".jsonl" in name:
        frame = pd.read_json(path, lines=True)
        frame["model_digest"] = [m["digest"] for m in frame["model"]]
    elif name.endswith(".sqlite"):
        with sqlite3.connect("file:" + path + "?mode=ro", uri=True) as db:
            frame = pd.read_sql("SELECT * FROM classifications", db)
    else:
        frame = pd.read_csv(path, sep=tab)
        frame["event_id"] = frame["event_id"].map(text)
        frame["top_k"] = frame["top_k"].map(json.loads)
        if not name.endswith(".zst"):
            opener = gzip.open if name.endswith(".gz") else open
            with opener(path, "rt", newline="", encoding="utf-8") as f:
                rows = list(csv.DictReader(f, delimiter=tab, strict=True))
            assert [text(r["event_id"]) for r in rows] == list(frame["event_id"])
            assert all(len(json.loads(r["top_k"])) > 0 for r in rows)
    frame["time"] = pd.to_datetime(frame["time"]) if "time" in frame else pd.NaT
    out[name] = {
        "ids": sorted(frame["event_id"]),
        "classes": int(frame["class"].sum()),
        "labels": int(frame["label"].sum()),
        "score": float(frame["score"].mean()),
        "digests": frame["model_digest"].nunique(),
        "kind": frame["class"].dtype.kind + frame["score"].dtype.kind,
    }
print(json.dumps(out))
`

// pandasReads wants pandas, and Python's csv, gzip and sqlite3, to see the classifications.
func pandasReads(t *testing.T, w *world, cs []record.Classification) {
	py := python(t, "pandas, zstandard")
	args := []string{"-c", readByPandas}
	for _, name := range rowFiles {
		args = append(args, w.path(name))
	}
	text, _ := programOutput(t, true, py, args...)
	type seen struct {
		IDs             []string
		Classes, Labels int
		Score           float64
		Digests         int
		Kind            string
	}
	var got map[string]seen
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	want := seen{IDs: sortedIDs(cs), Digests: 1, Kind: "if"}
	for _, c := range cs {
		want.Classes += c.Class
		want.Labels += int(*c.Label)
		want.Score += float64(c.Score) / float64(len(cs))
	}
	for _, name := range rowFiles {
		g := got[name]
		if !slices.Equal(g.IDs, want.IDs) || g.Classes != want.Classes || g.Labels != want.Labels ||
			g.Digests != 1 || g.Kind != want.Kind || g.Score < want.Score-1e-6 || g.Score > want.Score+1e-6 {
			t.Errorf("%s: found %d IDs, %+v, want %d, %+v", name, len(g.IDs), g, len(want.IDs), want)
		}
	}
}

// readByConfluent prints the classifications on a topic, as confluent-kafka reads them: from the start of each
// partition up to the end that the broker states.
const readByConfluent = `
import json, sys
from confluent_kafka import Consumer, KafkaError, TopicPartition

c = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "check", "enable.auto.commit": False, "check.crcs": True,
              "enable.partition.eof": True})
topic = sys.argv[2]
out = []
for p in c.list_topics(topic, timeout=30).topics[topic].partitions:
    low, high = c.get_watermark_offsets(TopicPartition(topic, p), timeout=30)
    c.assign([TopicPartition(topic, p, low)])
    last = low - 1
    while True:
        m = c.poll(30)
        assert m is not None, (p, last)
        if m.error():
            assert m.error().code() == KafkaError._PARTITION_EOF and m.offset() == high, (p, last, m.error())
            break
        assert last < m.offset() < high, (p, last, m.offset())  # the markers of claims have offsets too
        last = m.offset()
        v = json.loads(m.value())
        assert m.key().decode() == v["stream"], (m.key(), v)
        out.append(v)
print(json.dumps(out))
`

// confluentReads wants an independent client to find each classification on the topic once.
func confluentReads(t *testing.T, w *world, cs []record.Classification) {
	py := python(t, "confluent_kafka")
	broker := w.broker()
	text, _ := programOutput(t, true, py, "-c", readByConfluent, w.addr(), "classifications")
	broker.kill()
	var got []record.Classification
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(sortedIDs(got), sortedIDs(cs)) {
		t.Fatalf("found %d classifications, want %d, each once", len(got), len(cs))
	}
	want := map[string]record.Classification{}
	for _, c := range cs {
		want[c.EventID] = c
	}
	for _, c := range got {
		if x := want[c.EventID]; c.Class != x.Class || c.Score != x.Score || c.Model != x.Model {
			t.Errorf("found %+v, want %+v", c, x)
		}
	}
}
