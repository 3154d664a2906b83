package embedded_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/testenv"

	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/pipelinetest"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/embedded"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

func start(t *testing.T, c embedded.Config) *embedded.Broker {
	t.Helper()
	b, err := embedded.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func client(t *testing.T, b *embedded.Broker) *kafka.Client {
	t.Helper()
	c, err := kafka.Open(kafka.Config{Brokers: []string{b.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDirectoryIsLocked(t *testing.T) {
	dir := t.TempDir()
	b := start(t, embedded.Config{DataDir: dir})
	_, err := embedded.Start(embedded.Config{DataDir: dir})
	want := fmt.Sprintf("in use by another process, pid %d", os.Getpid())
	if err == nil || !strings.Contains(err.Error(), want) ||
		!strings.Contains(err.Error(), dir) {
		t.Errorf("a second broker: %v, want %q", err, want)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, embedded.Config{DataDir: dir})
}

func TestPortIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	port := l.Addr().(*net.TCPAddr).Port
	dir := t.TempDir()
	if _, err := embedded.Start(embedded.Config{DataDir: dir, Port: port}); err == nil ||
		!strings.Contains(err.Error(), fmt.Sprint(port)) {
		t.Errorf("a taken port: %v", err)
	}
	start(t, embedded.Config{DataDir: dir}) // fails if the lock was not released
}

func TestEphemeralLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	b := start(t, embedded.Config{})
	client(t, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestGuard sends bytes that are not Kafka requests. The broker must close those connections and keep serving others.
func TestGuard(t *testing.T) {
	var seen pipelinetest.Recorder
	b := start(t, embedded.Config{Observer: &seen})
	c := client(t, b)
	send := func(frame []byte) {
		t.Helper()
		conn, err := net.Dial("tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := conn.Write(frame); err != nil {
			return // the broker closed the connection during the write
		}
		_ = conn.(*net.TCPConn).CloseWrite()
		_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, _ = conn.Read(make([]byte, 64))
	}
	frame := func(size int32, key, version int16, body []byte) []byte {
		f := binary.BigEndian.AppendUint32(nil, uint32(size))
		f = binary.BigEndian.AppendUint16(f, uint16(key))
		f = binary.BigEndian.AppendUint16(f, uint16(version))
		return append(f, body...)
	}
	for _, f := range [][]byte{
		[]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		{0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03}, // TLS
		frame(100, -1, 0, make([]byte, 96)),
		frame(100, 5000, 0, make([]byte, 96)),
		frame(100, 3, -1, make([]byte, 96)),
		frame(100, 3, 900, make([]byte, 96)),
		frame(-4, 3, 1, nil),
		frame(1<<31-1, 0, 8, make([]byte, 1000)),
		{0, 0},
	} {
		send(f)
	}
	rng := rand.New(rand.NewPCG(1, 5))
	for range 300 {
		body := make([]byte, rng.IntN(80)+8)
		for i := range body {
			body[i] = byte(rng.Uint32())
		}
		send(frame(int32(len(body)+4), int16(rng.IntN(100)), int16(rng.IntN(14)), body))
	}
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	if err := c.Ping(ctx); err != nil {
		t.Errorf("the broker no longer answers: %v", err)
	}
	if err := c.EnsureTopics(ctx, kafka.Topic{Name: "after"}); err != nil {
		t.Error(err)
	}
	refused := seen.Counted("embedded broker", pipeline.EventRefused)
	requests := seen.Counted("embedded broker", pipeline.EventRequest)
	if refused < 100 || requests < 10 {
		t.Errorf("observed %d requests and %d refused ones", requests, refused)
	}
	if n := seen.Counted("embedded broker", pipeline.EventBytes); n < requests*16 {
		t.Errorf("observed %d bytes", n)
	}
	c.Close()
	for open := []int64{-1}; open[len(open)-1] != 0; open = seen.Levels("embedded broker", pipeline.LevelConnections) {
		if time.Sleep(time.Millisecond); ctx.Err() != nil {
			t.Fatalf("observed %d connections at the end", open[len(open)-1])
		}
	}
}

// TestRetention fills a partition beyond its limit, restarts the broker, and checks that the oldest messages are
// deleted. kfake alone would keep what it loaded.
func TestRetention(t *testing.T) {
	conf := embedded.Config{
		DataDir: t.TempDir(), RetentionBytes: 1 << 20, SegmentBytes: 256 << 10,
		RetentionEvery: time.Hour,
	}
	b := start(t, conf)
	c := client(t, b)
	if err := c.EnsureTopics(t.Context(), kafka.Topic{Name: "log", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	p, err := kafka.NewProducer(c, kafka.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 64 {
		m := transport.New("k", fmt.Sprint(i), "text/plain", make([]byte, 64<<10))
		if _, err := p.Produce(t.Context(), "log", m); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := count(t, c, "log"); n != 64 {
		t.Fatalf("%d messages before retention", n)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	var seen pipelinetest.Recorder
	conf.RetentionEvery, conf.Observer = 20*time.Millisecond, &seen
	c = client(t, start(t, conf))
	for range 100 {
		// 1 MiB is 16 messages; deletion is by whole segments.
		if n := count(t, c, "log"); n >= 14 && n <= 24 {
			sizes := seen.Levels("embedded broker", pipeline.LevelStoredBytes)
			if first, last := sizes[0], sizes[len(sizes)-1]; first < 60*64<<10 || last > first/2 {
				t.Errorf("observed %d bytes at first and %d at the end", first, last)
			}
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("%d messages after retention, want about 16", count(t, c, "log"))
}

// await waits for a condition.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testenv.Patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func count(t *testing.T, c *kafka.Client, topic string) (n int) {
	t.Helper()
	for _, err := range c.Records(t.Context(), topic, false) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}
