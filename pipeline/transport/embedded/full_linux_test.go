package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// process starts a broker in a process of its own.
func process(t *testing.T, dir string) (addr string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0]) //nolint:noctx // this test
	cmd.Env = append(os.Environ(), brokerDir+"="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.HasPrefix(line, "error") {
		t.Fatalf("%s%v", line, err)
	}
	killed := false
	kill = func() {
		if !killed {
			killed = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			_ = in.Close()
		}
	}
	t.Cleanup(kill)
	return strings.TrimSpace(line), kill
}

// TestFullDisk fills the disk of a broker while messages are produced: slowly by the messages themselves, and at once
// by another program. It kills the broker with SIGKILL and starts it again each time. Every confirmed message must be
// there, and production must continue when there is space again.
func TestFullDisk(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=33554432"); err != nil {
		t.Skipf("user %d may not mount a small disk: %v", os.Getuid(), err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	dir, filler := filepath.Join(disk, "kafka"), filepath.Join(disk, "filler")
	var confirmed atomic.Int64
	for round := range 4 {
		addr, kill := process(t, dir)
		c, err := kafka.Open(kafka.Config{Brokers: []string{addr}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			if err := c.EnsureTopics(t.Context(), kafka.Topic{Name: "t", Partitions: 2}); err != nil {
				t.Fatal(err)
			}
		}
		check(t, c, confirmed.Load()) // on a full disk
		_ = os.Remove(filler)
		before := confirmed.Load()
		stop := produceUntilStopped(t, c, &confirmed)
		await(t, "messages", func() bool { return confirmed.Load() > before+20 })
		if round%2 == 0 {
			fill(t, filler) // beyond the reserve of the broker
		} else {
			reserve(t, filler, disk, 10<<20)
		}
		last := int64(-1)
		await(t, "the disk to be full", func() bool {
			now := confirmed.Load()
			full := now == last
			last = now
			time.Sleep(300 * time.Millisecond)
			return full
		})
		if round >= 2 { // it goes on without a restart
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			full := confirmed.Load()
			await(t, "messages after there is space", func() bool { return confirmed.Load() > full+5 })
		}
		stop()
		check(t, c, confirmed.Load())
		c.Close()
		kill()
	}
	addr, _ := process(t, dir)
	c, err := kafka.Open(kafka.Config{Brokers: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	check(t, c, confirmed.Load())
	t.Logf("%d messages were confirmed", confirmed.Load())
}

// produceUntilStopped produces messages whose IDs count the confirmed ones.
func produceUntilStopped(t *testing.T, c *kafka.Client, confirmed *atomic.Int64) (stop func()) {
	t.Helper()
	p, err := kafka.NewProducer(c, kafka.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			i := confirmed.Load()
			m := transport.New(fmt.Sprint(i), fmt.Sprint(i), "text/plain", make([]byte, 16<<10))
			if _, err := p.Produce(ctx, "t", m); err == nil {
				confirmed.Add(1)
			}
		}
	}()
	return func() {
		cancel()
		<-done
		closing, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = p.Close(closing) // what was not confirmed may be lost
	}
}

// check checks that all confirmed messages are there.
func check(t *testing.T, c *kafka.Client, confirmed int64) {
	t.Helper()
	have := map[string]bool{}
	if confirmed > 0 {
		for m, err := range c.Records(t.Context(), "t", false) {
			if err != nil {
				t.Fatal(err)
			}
			have[m.EventID()] = true
		}
	}
	missing := 0
	for i := range confirmed {
		if !have[fmt.Sprint(i)] {
			missing++
		}
	}
	if missing > 0 {
		t.Fatalf("%d of %d confirmed messages are missing", missing, confirmed)
	}
}

// fill takes all space of the disk.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 64<<10))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// reserve takes all but some bytes of the space of the disk.
func reserve(t *testing.T, path, disk string, left int64) {
	t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(disk, &s); err != nil {
		t.Fatal(err)
	}
	n := max(0, int64(s.Bavail)*s.Bsize-left)
	if err := os.WriteFile(path, make([]byte, n), 0o600); err != nil {
		t.Fatal(err)
	}
}
