package embedded_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/pipelinetest"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/embedded"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
	"github.com/voxelstream/voxelstream/pipeline/transport/recordset/recordtest"
)

// request encodes a request of client "a". Flexible versions have one more byte, the number of tags, in body.
func request(key, version int16, body ...[]byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = append(b, 0, 0, 0, 7, 0, 1, 'a')
	b = append(b, slices.Concat(body...)...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func ints(vs ...int32) (b []byte) {
	for _, v := range vs {
		b = binary.BigEndian.AppendUint32(b, uint32(v))
	}
	return b
}

func text(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

// exchange sends a frame and returns the response, or nothing if the broker closes the connection.
func exchange(t *testing.T, b *embedded.Broker, frame []byte) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(frame); err != nil {
		return nil
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() { //nolint:errorlint // of this connection
			t.Fatalf("no answer to %x", frame[:min(len(frame), 40)])
		}
		return nil
	}
	res := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(conn, res); err != nil {
		t.Fatal(err)
	}
	return res
}

// TestCounts sends requests whose counts exceed them. The broker must close the connection at once.
func TestCounts(t *testing.T) {
	b := start(t, embedded.Config{})
	bomb := []byte("\xff\xff\xff\xff\x0f")
	for _, c := range []struct {
		name  string
		frame []byte
	}{
		{"tags of ApiVersions", request(18, 3, bomb)},
		{"tags of ApiVersions, newer", request(18, 9, bomb)},
		{"tags of ApiVersions, later", request(18, 3, []byte{0, 2, 'a', 2, 'b'}, bomb)},
		{"a string of ApiVersions", request(18, 3, []byte{0}, bomb)},
		{"the size of a tag", request(18, 3, []byte{1, 0}, bomb)},
		{"tags of InitProducerID", request(22, 4, []byte{0, 0}, make([]byte, 14), bomb)},
		{"tags of Metadata", request(3, 9, bomb)},
		{"tags of Fetch", request(1, 12, bomb)},
		{"tags of Produce", request(0, 9, bomb)},
		{"tags of FindCoordinator", request(10, 3, bomb)},
		{"tags of JoinGroup", request(11, 6, bomb)},
		{"tags of CreateTopics", request(19, 5, bomb)},
		{"tags of ConsumerGroupHeartbeat", request(68, 0, bomb)},
		{"topics of Metadata", request(3, 0, ints(1<<31-1))},
		{"topics of Fetch", request(1, 4, ints(-1, 100, 1, 1<<30), []byte{0}, ints(1<<31-1))},
		{"topics of ListOffsets", request(2, 1, ints(-1, 1<<31-1))},
		{"topics of Produce", request(0, 3, []byte{0xff, 0xff, 0, 1}, ints(1000, 1<<31-1))},
		{"partitions of Produce", request(0, 3, []byte{0xff, 0xff, 0, 1}, ints(1000, 1), text("t"), ints(1<<31-1))},
		{"a batch of Produce", request(0, 3, []byte{0xff, 0xff, 0, 1}, ints(1000, 1), text("t"), ints(1, 0, 1<<31-1))},
		{"topics of CreateTopics", request(19, 0, ints(1<<31-1))},
		{"replicas of CreateTopics", request(19, 0, ints(1), text("t"), ints(1), []byte{0, 1}, ints(1<<30))},
		{"topics of OffsetFetch", request(9, 1, text("g"), ints(1<<31-1))},
		{"topics of OffsetCommit", request(8, 2, text("g"), ints(1), text(""), make([]byte, 8), ints(1<<31-1))},
		{"a large Metadata request", request(3, 0, ints(1<<20), make([]byte, 3<<20))},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if res := exchange(t, b, c.frame); res != nil {
			t.Errorf("%s: an answer of %d bytes", c.name, len(res))
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
			t.Errorf("%s: allocated %d MiB", c.name, n>>20)
		}
	}
	if res := exchange(t, b, request(18, 3, []byte{0, 2, 'a', 2, 'b', 0})); len(res) < 100 {
		t.Errorf("ApiVersions 3: an answer of %d bytes", len(res))
	}
	if res := exchange(t, b, request(18, 9, []byte{0, 2, 'a', 2, 'b', 0, 0xff, 0xff, 0xff, 0xff, 0})); len(res) < 6 {
		t.Errorf("ApiVersions 9: an answer of %d bytes", len(res))
	}
}

// TestHostileProduce checks that the broker stores no batch that its readers would refuse.
func TestHostileProduce(t *testing.T) {
	b := start(t, embedded.Config{MaxMessageBytes: 2 << 20})
	c := client(t, b)
	if err := c.EnsureTopics(t.Context(), kafka.Topic{Name: "t", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	for _, h := range recordtest.HostileBatches(64) {
		code, err := recordtest.ProduceRaw(b.Addr(), "t", 0, h.Raw)
		if err != nil || code == 0 {
			t.Errorf("%s: error code %d, %v", h.Name, code, err)
		}
	}
	for codec := range uint16(5) {
		records := recordtest.Record(0, nil, []byte("v"), []byte{0})
		code, err := recordtest.ProduceRaw(b.Addr(), "t", 0, recordtest.Batch{
			Count: 1, Attributes: codec, Records: recordtest.Compress(codec, records),
		}.Encode())
		if err != nil || code != 0 {
			t.Errorf("codec %d: error code %d, %v", codec, code, err)
		}
	}
	if n := count(t, c, "t"); n != 5 {
		t.Errorf("%d messages are stored, want 5", n)
	}
}

// TestManyPartitions asks for more partitions than the broker may have.
func TestManyPartitions(t *testing.T) {
	dir := t.TempDir()
	b := start(t, embedded.Config{DataDir: dir, MaxPartitions: 45})
	create := func(name string, partitions int32) int16 {
		res := exchange(t, b, request(19, 0, ints(1), text(name), ints(partitions), []byte{0, 1}, ints(0, 0, 5000)))
		if len(res) < 2 {
			t.Fatalf("%s: an answer of %d bytes", name, len(res))
		}
		return int16(binary.BigEndian.Uint16(res[len(res)-2:]))
	}
	const invalidPartitions = 37
	if code := create("big", 1_000_000); code != invalidPartitions {
		t.Errorf("a million partitions: error code %d", code)
	}
	stored := 0
	for i := range 5 {
		if create(fmt.Sprintf("many-%d", i), 10) == 0 {
			stored++
		}
	}
	if stored != 4 {
		t.Errorf("%d topics of 10 partitions were created, want 4", stored)
	}
	if code := create("few", 1); code != 0 {
		t.Errorf("a small topic: error code %d", code)
	}
	res := exchange(t, b, request(37, 0, ints(1), text("few"), ints(100_000, -1, 5000), []byte{0}))
	if !bytes.Contains(res, []byte{0, invalidPartitions}) {
		t.Errorf("a hundred thousand more partitions: %x", res)
	}
	// Without a number, a topic has 4 partitions: 2,000 of them are too many.
	var topics []byte
	for i := range 2000 {
		topics = slices.Concat(topics, text(fmt.Sprintf("default-%d", i)), ints(-1), []byte{0xff, 0xff}, ints(0, 0))
	}
	exchange(t, b, request(19, 4, ints(2000), topics, ints(5000), []byte{0}))
	files := 0
	err := filepath.WalkDir(dir, func(string, os.DirEntry, error) error {
		files++
		return nil
	})
	if err != nil || files > 500 {
		t.Errorf("%d files, %v", files, err)
	}
	for _, name := range []string{"../../../pwn", "..", "a/b"} {
		if code := create(name, 1); code == 0 {
			t.Errorf("topic %q was created", name)
		}
	}
}

// TestManyConnections opens more connections than the broker keeps. It must keep those that are in use.
func TestManyConnections(t *testing.T) {
	var seen pipelinetest.Recorder
	b := start(t, embedded.Config{Observer: &seen})
	c := client(t, b)
	var open []net.Conn
	defer func() {
		for _, conn := range open {
			_ = conn.Close()
		}
	}()
	half := request(0, 3, make([]byte, 20<<20))[:16<<20]
	for i := range 600 {
		conn, err := net.Dial("tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
		if i%60 == 0 { // an unfinished request of 16 MiB
			if err := conn.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			_, _ = conn.Write(half) // the broker may close the connection meanwhile
		}
		if i%50 == 0 {
			if err := c.Reach(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, n := range seen.Levels("embedded broker", pipeline.LevelConnections) {
		if n > 257 {
			t.Fatalf("%d connections", n)
		}
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// commit commits an offset of partition 0 for group "g".
func commit(t *testing.T, b *embedded.Broker, topic string, offset int64) {
	t.Helper()
	res := exchange(t, b, request(8, 2, text("g"), ints(-1), text(""), binary.BigEndian.AppendUint64(nil, ^uint64(0)),
		ints(1), text(topic), ints(1, 0), binary.BigEndian.AppendUint64(nil, uint64(offset)), text("")))
	if len(res) < 2 || res[len(res)-1] != 0 || res[len(res)-2] != 0 {
		t.Fatalf("cannot commit: %x", res)
	}
}

// descriptors returns the number of open files of this process, or 0 if the system does not tell.
func descriptors() int {
	files, _ := os.ReadDir("/proc/self/fd")
	return len(files)
}

// TestNothingLeaks sends 2,000 bad requests, and opens connections that send nothing, a part of a request, or a byte at
// a time. When they are closed, the broker must hold as many goroutines and open files as before.
func TestNothingLeaks(t *testing.T) {
	b := start(t, embedded.Config{})
	c := client(t, b)
	if err := c.EnsureTopics(t.Context(), kafka.Topic{Name: "t", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	c.Close()
	await(t, "the client to be gone", func() bool { return b.Connections() == 0 })
	goroutines, files := runtime.NumGoroutine(), descriptors()
	good := request(18, 3, []byte{0, 2, 'a', 2, 'b', 0})
	rng := rand.New(rand.NewPCG(22, 5))
	var open []net.Conn
	for i := range 2000 {
		conn, err := net.Dial("tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(good)
		bad[rng.IntN(len(bad))] ^= byte(rng.IntN(255) + 1)
		switch i % 4 {
		case 0:
			_, _ = conn.Write(bad) // the broker may close the connection meanwhile
		case 1:
			_, _ = conn.Write(bad[:rng.IntN(len(bad))])
		case 2:
			for _, one := range bad[:3] {
				_, _ = conn.Write([]byte{one})
			}
		}
		if i%8 < 4 { // the others stay open
			_ = conn.Close()
			continue
		}
		open = append(open, conn)
	}
	if n := b.Connections(); n > 256 {
		t.Errorf("%d connections are open, limit 256", n)
	}
	if res := exchange(t, b, good); len(res) < 100 {
		t.Errorf("an answer of %d bytes", len(res))
	}
	for _, conn := range open {
		_ = conn.Close()
	}
	await(t, "goroutines and files to be as before", func() bool {
		return runtime.NumGoroutine() <= goroutines && descriptors() <= files
	})
}

// TestMemory stores far more than retention keeps. The broker must not remember what it has deleted.
func TestMemory(t *testing.T) {
	b := start(t, embedded.Config{
		DataDir: t.TempDir(), RetentionBytes: 2 << 20, SegmentBytes: 256 << 10, RetentionEvery: 10 * time.Millisecond,
	})
	c := client(t, b)
	if err := c.EnsureTopics(t.Context(), kafka.Topic{Name: "t", Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	p, err := kafka.NewProducer(c, kafka.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 32<<10)
	produce := func(n int) uint64 {
		for i := range n {
			key := fmt.Sprint(i)
			if _, err := p.Produce(t.Context(), "t", transport.New(key, key, "text/plain", value)); err != nil {
				t.Fatal(err)
			}
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := produce(200)
	if after := produce(3000); after > before+8<<20 {
		t.Errorf("%d KiB in use after 6 MiB, %d KiB after 100 MiB", before>>10, after>>10)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
