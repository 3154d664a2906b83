//go:build linux

package integration

import (
	"fmt"
	"io"
	"iter"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/ingest/simulate"
	"github.com/voxelstream/voxelstream/record"
)

// liveSensor is a simulated lidar, and when each of its packets was sent.
type liveSensor struct {
	name    string // of the decoder, which the stream begins with
	address string
	packets func(simulate.Scene, time.Time) iter.Seq2[simulate.Packet, error]
	// period is between packets.
	period time.Duration
	begun  time.Time
	sent   []time.Time
	conn   io.Writer
}

const sweep = 100 * time.Millisecond // both sensors turn ten times a second

// Write sends a packet.
func (s *liveSensor) Write(b []byte) (int, error) {
	s.sent = append(s.sent, time.Now())
	return s.conn.Write(b)
}

// complete is when the packet was sent that ended the sweep that began at a time, by the sensor's clock: the first
// that has a part of the next. ok is false for the last sweep, which nothing follows.
func (s *liveSensor) complete(began time.Time) (t time.Time, ok bool) {
	n := began.Sub(s.begun).Round(sweep)/sweep + 1
	i := int(n * sweep / s.period)
	if i >= len(s.sent) {
		return t, false
	}
	return s.sent[i], true
}

// TestLive: a VLP-16 and an Ouster with 64 beams at their own pace for as long as VOXELSTREAM_LIVE says, or for 12
// seconds at a quarter of it, because the machine may be slow. No packet is lost, each sweep is classified once, and
// the process's memory is bounded. With VOXELSTREAM_LIVE, the time from the end of a sweep to its durable
// classification is below 100 ms for 99 of 100. The test is not parallel to others: it measures time.
func TestLive(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as the sensors turn")
	}
	length, pace, limit := 12*time.Second, 0.25, time.Duration(0)
	if v := os.Getenv("VOXELSTREAM_LIVE"); v != "" {
		length, pace, limit = must(time.ParseDuration(v))(t), 1, sweep
	}
	turned := time.Duration(float64(length) * pace)
	w := newWorld(t)
	w.set("model.path", "")
	metadata := w.write("os64.json", must(simulate.Ouster{}.Metadata())(t))
	sensors := []*liveSensor{
		{name: "velodyne", packets: simulate.VLP16, period: 1327104 * time.Nanosecond},
		{name: "ouster", packets: simulate.Ouster{}.Packets, period: sweep / 64},
	}
	var inputs []string
	for _, s := range sensors {
		s.address = fmt.Sprintf("127.0.0.1:%d", freeUDPPort(t))
		input := fmt.Sprintf("udp://%s?sensor=%s&duration=%v", s.address, s.name, length+3*time.Second)
		if s.name == "ouster" {
			input += "&calibration=" + metadata
		}
		inputs = append(inputs, input)
	}
	p := w.start(append([]string{"run", "--json"}, inputs...)...)
	p.until(t, "sensors' ports", func() bool { return strings.Count(p.stderr.String(), "listening") == len(sensors) })

	var players sync.WaitGroup
	scene := must(simulate.NamedScene("room", 0))(t)
	for _, s := range sensors {
		conn := must(net.Dial("udp", s.address))(t)
		defer conn.Close() //nolint:errcheck // UDP
		s.conn, s.begun = conn, time.Now()
		players.Go(func() {
			if _, err := simulate.Play(t.Context(), s, simulate.Take(s.packets(scene, s.begun), turned),
				pace); err != nil {
				t.Error(err)
			}
		})
	}
	seen := follow(t, p, w.path("classifications.jsonl"), length)
	players.Wait()
	p.wait(t, exitDone)
	checkLive(t, p, sensors, seen, int(turned/sweep), limit)
}

func freeUDPPort(t *testing.T) int {
	t.Helper()
	c := must(net.ListenPacket("udp", "127.0.0.1:0"))(t)
	defer c.Close() //nolint:errcheck // only its number is wanted
	return c.LocalAddr().(*net.UDPAddr).Port
}

// arrival is a classification, and when it was found in the file.
type arrival struct {
	c  record.Classification
	at time.Time
}

// follow reads the classifications as they come until the process ends. Memory is measured from a third of the length
// on.
func follow(t *testing.T, p *process, path string, length time.Duration) (seen []arrival) {
	t.Helper()
	begin, calm, most := time.Now(), 0, 0
	var f *os.File
	var pending []byte
	buf := make([]byte, 1<<16)
	for last := false; ; time.Sleep(500 * time.Microsecond) {
		if f == nil {
			if opened, err := os.Open(path); err == nil {
				f = opened
				defer f.Close() //nolint:errcheck // read from
			}
		}
		for f != nil {
			n, _ := f.Read(buf)
			if n == 0 {
				break
			}
			pending = append(pending, buf[:n]...)
			if end := strings.LastIndexByte(string(pending), '\n') + 1; end > 0 {
				at := time.Now()
				for _, c := range parse(t, pending[:end]) {
					seen = append(seen, arrival{c, at})
				}
				pending = append(pending[:0], pending[end:]...)
			}
		}
		if rss := resident(p.cmd.Process.Pid); rss > 0 {
			most = max(most, rss)
			if time.Since(begin) < length/3 {
				calm = most
			}
		}
		if last {
			break
		}
		last = p.ended()
	}
	t.Logf("memory: %d MiB after a third of the time, %d MiB at most", calm>>20, most>>20)
	// The broker keeps the volumes of the retention in memory, 4 KiB each.
	if allowed := calm + 64<<20 + int(length/sweep)*2*8<<10; most > allowed {
		t.Errorf("found %d MiB, want at most %d", most>>20, allowed>>20)
	}
	return seen
}

// resident is the memory of a process in bytes, 0 when it is over.
func resident(pid int) int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.Atoi(f[1])
	return pages * os.Getpagesize()
}

// checkLive wants each sweep of each sensor once, no packet lost, and latencies below a limit, unless that is 0.
func checkLive(t *testing.T, p *process, sensors []*liveSensor, seen []arrival, sweeps int, limit time.Duration) {
	t.Helper()
	log := p.stderr.String()
	if n := strings.Count(log,
		`lost=0, repeated=0, dropped by the kernel=0, bad=0, of another kind=0, sweeps left out=0`); n != len(sensors) {
		t.Errorf("a sensor lost something: %s", tail(log))
	}
	for _, s := range sensors {
		if want := fmt.Sprintf("packets=%d", len(s.sent)); !strings.Contains(log, want) {
			t.Errorf("%s: found no %s in %s", s.name, want, tail(log))
		}
		var latencies []time.Duration
		ids := map[uint64]bool{}
		for _, a := range seen {
			if !strings.HasPrefix(a.c.Stream, s.name) {
				continue
			}
			if ids[a.c.Seq] {
				t.Errorf("%s: sweep %d was classified twice", s.name, a.c.Seq)
			}
			ids[a.c.Seq] = true
			if in, ok := s.complete(a.c.Time); ok {
				latencies = append(latencies, a.at.Sub(in))
			}
		}
		if len(ids) < sweeps || len(ids) > sweeps+1 { // a VLP-16's packets do not end where the sweep does
			t.Errorf("%s: found %d sweeps, want %d", s.name, len(ids), sweeps)
		}
		if len(latencies) == 0 {
			t.Fatalf("%s: found no latency", s.name)
		}
		slices.Sort(latencies)
		p50, p99 := quantile(latencies, 0.5), quantile(latencies, 0.99)
		t.Logf("%s: %d packets, %d sweeps, from the end of a sweep to its durable classification p50 %v, p99 "+
			"%v, most %v", s.name, len(s.sent), len(ids),
			p50.Round(100*time.Microsecond), p99.Round(100*time.Microsecond),
			latencies[len(latencies)-1].Round(100*time.Microsecond))
		if limit > 0 && p99 > limit {
			t.Errorf("%s: p99 is %v, want %v at most", s.name, p99, limit)
		}
	}
}

// quantile is the nearest rank of sorted values.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}
