package embedded_test

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/pipeline/transport/embedded"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
	"github.com/voxelstream/voxelstream/pipeline/transport/recordset/recordtest"
)

// numbered returns a batch of one message of producer 5.
func numbered(sequence int32) []byte {
	b := recordtest.Batch{Count: 1, Records: recordtest.Record(0, nil, []byte("v"), []byte{0})}.Encode()
	binary.BigEndian.PutUint64(b[43:], 5)
	binary.BigEndian.PutUint16(b[51:], 0)
	binary.BigEndian.PutUint32(b[53:], uint32(sequence))
	recordtest.Checksum(b)
	return b
}

// eventually repeats a batch until the broker confirms it.
func eventually(t *testing.T, b *embedded.Broker, batch []byte) {
	t.Helper()
	for deadline := time.Now().Add(testenv.Patience); ; time.Sleep(10 * time.Millisecond) {
		code, err := recordtest.ProduceRaw(b.Addr(), "t", 0, batch)
		if code == 0 && err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("error code %d, %v", code, err)
		}
	}
}

// said collects the log of a broker.
type said struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// TestFailedWrite lets the write of a batch fail. Neither the batch nor its repetition may be confirmed until it is
// stored, and then it must be there once.
func TestFailedWrite(t *testing.T) {
	var log said
	dir := t.TempDir()
	b := start(t, embedded.Config{DataDir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	c := client(t, b)
	if err := c.EnsureTopics(t.Context(), kafka.Topic{Name: "t", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	segment := filepath.Join(dir, "log", "partitions", "t-0", "0.dat")
	if err := os.MkdirAll(filepath.Join(segment, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if code, err := recordtest.ProduceRaw(b.Addr(), "t", 0, numbered(0)); code == 0 && err == nil {
			t.Fatal("the broker confirmed a batch that it could not write")
		}
	}
	if !strings.Contains(log.String(), "cannot write to the disk") {
		t.Errorf("the log says %q", log.String())
	}
	if err := os.RemoveAll(segment); err != nil {
		t.Fatal(err)
	}
	eventually(t, b, numbered(0))
	eventually(t, b, numbered(0))
	eventually(t, b, numbered(1))
	crashed := copyDir(t, dir)
	for _, b := range []*embedded.Broker{b, start(t, embedded.Config{DataDir: crashed})} {
		if n := count(t, client(t, b), "t"); n != 2 {
			t.Errorf("found %d messages, want 2", n)
		}
	}
}

// TestTopicNotWritten creates a topic that cannot be written to the list of topics. Once it is confirmed, and a message
// to it, both must survive a crash.
func TestTopicNotWritten(t *testing.T) {
	dir := t.TempDir()
	b := start(t, embedded.Config{DataDir: dir})
	way := filepath.Join(dir, "log", "topics.json.tmp", "in the way")
	if err := os.MkdirAll(way, 0o700); err != nil {
		t.Fatal(err)
	}
	create := request(19, 0, ints(1), text("t"), ints(1), []byte{0, 1}, ints(0, 0, 5000))
	if res := exchange(t, b, create); res != nil {
		t.Errorf("an answer of %d bytes", len(res))
	}
	if err := os.RemoveAll(filepath.Dir(way)); err != nil {
		t.Fatal(err)
	}
	c := client(t, b)
	if err := c.EnsureTopics(t.Context(), kafka.Topic{Name: "t", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	eventually(t, b, numbered(0))
	if n := count(t, client(t, start(t, embedded.Config{DataDir: copyDir(t, dir)})), "t"); n != 1 {
		t.Errorf("found %d messages, want 1", n)
	}
}

// TestRepeatedAfterCrash repeats batches after a crash, as producers do whose batches were not confirmed. They must not
// be stored again.
func TestRepeatedAfterCrash(t *testing.T) {
	dir := t.TempDir()
	b := start(t, embedded.Config{DataDir: dir})
	if err := client(t, b).EnsureTopics(t.Context(), kafka.Topic{Name: "t", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	const n = 8
	for i := range int32(n) {
		eventually(t, b, numbered(i))
	}
	b = start(t, embedded.Config{DataDir: copyDir(t, dir)})
	for i := range int32(5) {
		eventually(t, b, numbered(n-5+i))
	}
	eventually(t, b, numbered(n))
	if got := count(t, client(t, b), "t"); got != n+1 {
		t.Errorf("found %d messages, want %d", got, n+1)
	}
	if code, err := recordtest.ProduceRaw(b.Addr(), "t", 0, numbered(n+5)); code == 0 && err == nil {
		t.Error("the broker accepted a batch although batches before it are missing")
	}
}
