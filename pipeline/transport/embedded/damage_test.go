package embedded_test

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/pipelinetest"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/embedded"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// small is a broker whose segments are small.
func small(dir string) embedded.Config {
	return embedded.Config{DataDir: dir, SegmentBytes: 8 << 10, RetentionEvery: time.Hour}
}

// produce stores messages with the IDs from, from+1, ... to-1, each in its own batch.
func produce(t *testing.T, b *embedded.Broker, topic string, from, to int) {
	t.Helper()
	c := client(t, b)
	defer c.Close()
	if err := c.EnsureTopics(t.Context(), kafka.Topic{Name: topic, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	p, err := kafka.NewProducer(c, kafka.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for i := from; i < to; i++ {
		m := transport.New("k", fmt.Sprintf("s/%d", i), "text/plain", bytes.Repeat([]byte{byte(i)}, 300))
		at, err := p.Produce(t.Context(), topic, m)
		if err != nil || at[0].Offset != int64(i) {
			t.Fatalf("message %d: offset %v, %v", i, at, err)
		}
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// messages returns the IDs of the messages of a topic by offset, and checks their content.
func messages(t *testing.T, b *embedded.Broker, topic string) map[int64]bool {
	t.Helper()
	c := client(t, b)
	defer c.Close()
	got := map[int64]bool{}
	for m, err := range c.Records(t.Context(), topic, false) {
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Repeat([]byte{byte(m.Offset)}, 300)
		if m.EventID() != fmt.Sprintf("s/%d", m.Offset) || !bytes.Equal(m.Value, want) || got[m.Offset] {
			t.Fatalf("offset %d holds the message %q", m.Offset, m.EventID())
		}
		got[m.Offset] = true
	}
	return got
}

// copyDir copies the files of a running broker, as they would be if it were killed.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// segmentsOf returns the segments of a partition in order.
func segmentsOf(t *testing.T, dir, partition string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "log", "partitions", partition, "*.dat"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no segments: %v", err)
	}
	slices.SortFunc(files, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) // numbers have no leading zeros
	})
	return files
}

// alter changes a file.
func alter(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDamage damages a byte of a log of 200 messages, or cuts a segment, and starts a broker with it: after it was
// closed and after it was killed. It must deliver all messages but one batch, and continue at the next offset.
func TestDamage(t *testing.T) {
	const n = 200
	killed := filepath.Join(t.TempDir(), "kafka")
	b, err := embedded.Start(small(killed))
	if err != nil {
		t.Fatal(err)
	}
	produce(t, b, "t", 0, n)
	origin := map[string]string{"killed": copyDir(t, killed), "closed": killed}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for i := range 40 {
		kind := []string{"killed", "closed"}[i%2]
		dir := copyDir(t, origin[kind])
		files := segmentsOf(t, dir, "t-0")
		k := rng.IntN(len(files))
		what := ""
		least := n - 1
		alter(t, files[k], func(b []byte) []byte {
			at := rng.IntN(len(b))
			if i%5 == 4 {
				what = fmt.Sprintf("%s: cut %s at %d of %d", kind, files[k], at, len(b))
				least = n - 25 // a segment
				return b[:at]
			}
			bit := byte(1) << rng.IntN(8)
			what = fmt.Sprintf("%s: byte %d of %s ^ %#x", kind, at, files[k], bit)
			b[at] ^= bit
			return b
		})
		var seen pipelinetest.Recorder
		conf := small(dir)
		conf.Observer = &seen
		b := start(t, conf)
		got := messages(t, b, "t")
		if len(got) < least {
			t.Errorf("%s: found %d messages, want %d at least", what, len(got), least)
		}
		last := k == len(files)-1
		if lost := seen.Counted("embedded broker", pipeline.EventLost); lost != n-len(got) && !last {
			t.Errorf("%s: %d messages are missing, and %d were reported", what, n-len(got), lost)
		}
		c := client(t, b)
		_, end, err := c.Bounds(t.Context(), "t")
		if err != nil || end[0] != n && !last {
			t.Errorf("%s: the log ends at %v, %v; want %d", what, end, err, n)
		}
		c.Close()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		// The second start finds nothing.
		var again pipelinetest.Recorder
		conf.Observer = &again
		b = start(t, conf)
		if d := again.Counted("embedded broker", pipeline.EventDamaged); d > 0 {
			t.Errorf("%s: found damage again", what)
		}
		if now := messages(t, b, "t"); len(now) != len(got) {
			t.Errorf("%s: found %d messages at the second start, and %d at the first", what, len(now), len(got))
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDamagedFiles damages or removes other files of a closed broker. No message and no offset must be lost.
func TestDamagedFiles(t *testing.T) {
	const n = 60
	origin := filepath.Join(t.TempDir(), "kafka")
	b, err := embedded.Start(small(origin))
	if err != nil {
		t.Fatal(err)
	}
	produce(t, b, "t", 0, n)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	log := func(name string) string { return filepath.Join("log", name) }
	snapshot := log("partitions/t-0/snapshot.json")
	for _, c := range []struct {
		name   string
		file   string
		change func([]byte) []byte // nil removes the file
		says   string
	}{
		{"no meta", log("meta.json"), nil, "meta.json"},
		{"damaged meta", log("meta.json"), func(b []byte) []byte { b[1] ^= 1; return b }, "meta.json"},
		{"no topics", log("topics.json"), nil, "missing from the list of topics"},
		{"damaged topics", log("topics.json"), func(b []byte) []byte { b[1] = 0; return b }, "topics.json"},
		{"another name of the topic", log("topics.json"), func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"name":"t"`), []byte(`"name":"u"`), 1)
		}, "missing from the list of topics"},
		{"no partitions", log("topics.json"), func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"partitions":1`), []byte(`"partitions":0`), 1)
		}, "missing from the list of topics"},
		{"damaged snapshot", snapshot, func(b []byte) []byte { return b[:len(b)/2] }, "snapshot.json"},
		{"a later start", snapshot, func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"log_start_offset":0`), []byte(`"log_start_offset":9`), 1)
		}, ""},
		{"an earlier end", snapshot, func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"high_watermark":60`), []byte(`"high_watermark":20`), 1)
		}, ""},
		{"damaged index", log("partitions/t-0/0.idx"), func(b []byte) []byte { b[20] ^= 4; return b }, "index"},
		{"no index", log("partitions/t-0/0.idx"), nil, "index"},
		{"damaged IDs", log("pids.log"), func(b []byte) []byte { b[12] ^= 4; return b }, ""},
		{"damaged windows", log("seq_windows.json"), func(b []byte) []byte { b[0] = 0; return b }, ""},
		{"damaged ACLs", log("acls.json"), func(b []byte) []byte { b[0] = 0; return b }, "acls.json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := copyDir(t, origin)
			path := filepath.Join(dir, c.file)
			if c.change == nil {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			} else {
				alter(t, path, c.change)
			}
			var said bytes.Buffer
			conf := small(dir)
			conf.Log = slog.New(slog.NewTextHandler(&said, nil))
			b := start(t, conf)
			if got := messages(t, b, "t"); len(got) != n {
				t.Errorf("found %d messages, want %d", len(got), n)
			}
			produce(t, b, "t", n, n+2)
			if got := messages(t, b, "t"); len(got) != n+2 {
				t.Errorf("found %d messages, want %d", len(got), n+2)
			}
			if !strings.Contains(said.String(), c.says) {
				t.Errorf("the log says %q, want %q", said.String(), c.says)
			}
		})
	}
}

// TestMissingSegment removes a segment between others. Its messages are reported, and the others delivered.
func TestMissingSegment(t *testing.T) {
	const n = 100
	dir := filepath.Join(t.TempDir(), "kafka")
	b, err := embedded.Start(small(dir))
	if err != nil {
		t.Fatal(err)
	}
	produce(t, b, "t", 0, n)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(segmentsOf(t, dir, "t-0")[1]); err != nil {
		t.Fatal(err)
	}
	var seen pipelinetest.Recorder
	conf := small(dir)
	conf.Observer = &seen
	b = start(t, conf)
	got := messages(t, b, "t")
	if lost := seen.Counted("embedded broker", pipeline.EventLost); lost == 0 || len(got) != n-lost || !got[0] || !got[n-1] {
		t.Errorf("found %d messages of %d, and %d were reported as lost", len(got), n, lost)
	}
}

// TestExpired lets all messages of a partition expire and starts the broker again, as after Close and as after a crash.
// New messages must get the offsets behind the old ones: a consumer that has read those would miss them otherwise.
func TestExpired(t *testing.T) {
	for _, crash := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "kafka")
		conf := small(dir)
		conf.Retention, conf.RetentionEvery = 50*time.Millisecond, 10*time.Millisecond
		b, err := embedded.Start(conf)
		if err != nil {
			t.Fatal(err)
		}
		produce(t, b, "t", 0, 20)
		c := client(t, b)
		if crash { // a group has read them
			commit(t, b, "t", 20)
		}
		for begin := []int64{0}; begin[0] != 20; {
			if begin, _, err = c.Bounds(t.Context(), "t"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		c.Close()
		if crash {
			dir = copyDir(t, dir)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		produce(t, start(t, small(dir)), "t", 20, 22)
	}
}

// TestTemporaryFiles checks that nothing of a check is left behind.
func TestTemporaryFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kafka")
	b, err := embedded.Start(small(dir))
	if err != nil {
		t.Fatal(err)
	}
	produce(t, b, "t", 0, 100)
	crashed := copyDir(t, dir)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, small(crashed))
	err = filepath.WalkDir(crashed, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".tmp") || strings.HasSuffix(path, ".damaged") {
			t.Errorf("found %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
