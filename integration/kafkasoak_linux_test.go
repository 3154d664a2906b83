package integration

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// soak is a long trial at a steady rate with many faults.
type soak struct {
	*trial
	steady *member // that is never killed, and is measured
	other  *member

	made     []atomic.Uint64 // volumes of each stream that are acknowledged
	template []byte
	at       []int // where the template has the number of the volume

	mu      sync.Mutex
	samples []soakSample
}

// soakSample is what a process uses at a time.
type soakSample struct {
	at                        time.Duration
	memory, files, goroutines float64
}

const soakStreams = 32

// TestKafkaSoak classifies at 80 % of capacity for as long as VOXELSTREAM_SOAK says, with a fault every 30 s.
func TestKafkaSoak(t *testing.T) {
	text := os.Getenv("VOXELSTREAM_SOAK")
	if text == "" {
		t.Skip("make soak sets VOXELSTREAM_SOAK")
	}
	length := must(time.ParseDuration(text))(t)
	version, brokers := faultCluster(t)
	seed := faultSeed(t)
	t.Logf("VOXELSTREAM_KAFKA_SEED=%d", seed)
	s := &soak{trial: newTrial(t, startCluster(t, version, brokers), seed), made: make([]atomic.Uint64, soakStreams)}
	s.standstill = 3 * time.Minute
	s.w.set("pipeline.batch", 128)
	s.prepareVolumes()
	// A fault of a minute keeps less than a quarter of this waiting.
	config := map[string]string{"retention.bytes": "536870912", "segment.bytes": "67108864"}
	s.create(s.volumes, 8, config)
	s.create(s.classifications, 4, nil)
	s.create(s.dead, 1, nil)
	s.partitions = 8
	s.steady, s.other = s.cuttableOrNot(), s.prepare()
	for _, m := range []*member{s.steady, s.other} {
		// A file of millions of lines would be read at each start.
		m.args, m.lines = []string{"--to-topic=false", "--out", "kafka:" + s.classifications}, ""
		m.up()
	}
	s.run(length)
}

// cuttableOrNot is a member that can be cut off where that is possible.
func (s *soak) cuttableOrNot() *member {
	m := s.prepare()
	if s.links != nil {
		m.env = []string{"VOXELSTREAM_KAFKA_BROKERS=" + s.links.addrs()[0]}
	}
	return m
}

// prepareVolumes encodes one volume and finds its number in the encoding, so that the producer needs little processor
// time.
func (s *soak) prepareVolumes() {
	const a, b = 0x1122334455667788, 0x21222324252627
	first, second := volumeOf(s.T, "s00", a, 16, "Oranges"), volumeOf(s.T, "s00", b, 16, "Oranges")
	var number [8]byte
	binary.LittleEndian.PutUint64(number[:], a)
	for at := 0; ; {
		i := bytes.Index(first.Value[at:], number[:])
		if i < 0 {
			break
		}
		s.at = append(s.at, at+i)
		at += i + 8
	}
	if len(s.at) == 0 || len(first.Value) != len(second.Value) {
		s.Fatal("the encoding of a volume does not have its number as 8 bytes")
	}
	s.template = first.Value
}

// numbered is the volume of a stream with a number.
func (s *soak) numbered(stream int, number uint64) *kgo.Record {
	name := fmt.Sprintf("s%02d", stream)
	value := bytes.ReplaceAll(s.template, []byte("s00"), []byte(name))
	for _, at := range s.at {
		binary.LittleEndian.PutUint64(value[at:], number)
	}
	sum := crc32.Checksum(value, crc32.MakeTable(crc32.Castagnoli))
	m := transport.New(name, name+"/"+strconv.FormatUint(number, 10), transport.ContentArrow, nil)
	m.Value = value
	m.SetHeader("checksum", fmt.Sprintf("crc32c:%08x", sum))
	sent := sending{Message: m, partition: int32(stream % s.partitions)}
	return sent.record()
}

// run measures the capacity, then lets volumes flow at 80 % of it.
func (s *soak) run(length time.Duration) {
	t := s.T
	c := s.upstream(kgo.MaxBufferedRecords(1<<14), kgo.ProducerBatchMaxBytes(1<<20))
	defer c.Close()
	var rate atomic.Int64
	end, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- s.pour(c, &rate, end) }()

	rate.Store(-1) // as many as the members take
	s.steady.until(t, "classifications", func() bool { return s.classifiedSoFar() > 4000 })
	before, begin := s.classifiedSoFar(), time.Now()
	time.Sleep(20 * time.Second)
	capacity := float64(s.classifiedSoFar()-before) / time.Since(begin).Seconds()
	rate.Store(int64(capacity * .8))
	t.Logf("capacity %.0f volumes/s with the producer on this machine; going on at %d", capacity, rate.Load())

	stopMeasuring := s.measure()
	faults := 0
	for deadline := time.Now().Add(length); time.Now().Before(deadline); faults++ {
		next := time.Now().Add(30 * time.Second)
		s.fault()
		time.Sleep(time.Until(next))
	}
	close(end)
	if err := <-done; err != nil {
		t.Errorf("upstream: %v", err)
	}
	s.drain()
	stopMeasuring()
	s.leave()
	s.check(faults, length)
}

// pour stores volumes at a rate, or at -1 as many as the members keep up with.
func (s *soak) pour(c *kgo.Client, rate *atomic.Int64, end chan struct{}) error {
	const tick = 20 * time.Millisecond
	var failed atomic.Pointer[error]
	var next [soakStreams]uint64
	owed, last, turn, sent := 0.0, time.Now(), 0, int64(0)
	lag := int64(0)
	for n := 0; ; n++ {
		select {
		case <-end:
			ctx, cancel := context.WithTimeout(s.Context(), s.standstill)
			defer cancel()
			return c.Flush(ctx)
		case <-time.After(tick):
		}
		if err := failed.Load(); err != nil {
			return *err
		}
		now := time.Now()
		switch r := rate.Load(); {
		case r >= 0:
			owed += float64(r) * now.Sub(last).Seconds()
		default:
			if n%10 == 0 {
				lag = sent - s.classifiedSoFar()
			}
			owed = 0
			if lag < 8000 {
				owed = 400
			}
		}
		last = now
		for ; owed >= 1; owed-- {
			stream := turn % soakStreams
			turn++
			sent++
			made := &s.made[stream]
			c.Produce(s.Context(), s.numbered(stream, next[stream]), func(_ *kgo.Record, err error) {
				if err != nil {
					failed.Store(&err)
					return
				}
				made.Add(1)
			})
			next[stream]++
		}
	}
}

// classifiedSoFar is how many records the topic of classifications has had.
func (s *soak) classifiedSoFar() (n int64) {
	for _, end := range s.ends(s.classifications) {
		n += end
	}
	return n
}

func (s *soak) total() (n int64) {
	for i := range s.made {
		n += int64(s.made[i].Load())
	}
	return n
}

// fault causes a fault that is over within 20 s.
func (s *soak) fault() {
	hold := func() { s.pause(5*time.Second, 13*time.Second) }
	broker := s.nodes[s.r.IntN(len(s.nodes))]
	faults := []func(){
		func() {
			s.strike("m2 is killed")
			s.other.kill()
			hold()
			s.other.up()
		},
		func() { s.strike("m2 is killed and starts again"); s.other.kill(); s.other.up() },
		func() {
			s.strike("m2 ends and starts again")
			s.other.terminate(s.T)
			s.other.wait(s.T, exitDone)
			s.other.up()
		},
		func() { s.strike("m2 is frozen"); s.other.freeze(); hold(); s.other.thaw() },
		func() { s.strike("m1 is frozen"); s.steady.freeze(); hold(); s.steady.thaw() },
		func() {
			s.strike("broker %d is killed", broker.id)
			s.kill(broker)
			s.pause(time.Second, 5*time.Second)
			s.start(broker)
		},
		func() {
			s.strike("broker %d is frozen", broker.id)
			s.signal(broker, syscall.SIGSTOP)
			s.pause(time.Second, 8*time.Second)
			s.signal(broker, syscall.SIGCONT)
		},
	}
	if s.links != nil {
		faults = append(faults, func() {
			s.strike("m1 is cut off")
			s.links.cut()
			hold()
			s.links.heal()
		})
	}
	if len(s.nodes) == 3 {
		faults = append(faults, func() {
			s.strike("the coordinator is killed")
			n := s.coordinator(s.group)
			s.kill(n)
			hold()
			s.start(n)
		})
	}
	faults[s.r.IntN(len(faults))]()
}

// measure notes what the steady member uses, until the function that it returns is called.
func (s *soak) measure() (stop func()) {
	end, done := make(chan struct{}), make(chan struct{})
	addr := s.steady.httpAddr(s.T)
	begin := time.Now()
	go func() {
		defer close(done)
		for {
			select {
			case <-end:
				return
			case <-time.After(2 * time.Second):
			}
			if s.steady.frozen.Load() {
				continue
			}
			goroutines, ok := s.steady.scrape(addr, "go_goroutines", "")
			if !ok {
				continue
			}
			pid := s.steady.cmd.Process.Pid
			s.mu.Lock()
			s.samples = append(s.samples, soakSample{
				time.Since(begin), float64(resident(pid)), float64(openFiles(pid)), goroutines,
			})
			s.mu.Unlock()
		}
	}()
	return func() { close(end); <-done }
}

// drain waits until everything is classified, or nothing has happened for a long time.
func (s *soak) drain() {
	last, since := int64(-1), time.Now()
	for {
		n := s.classifiedSoFar()
		if n != last {
			last, since = n, time.Now()
		}
		if still := time.Since(since); n >= s.total() && still > 5*time.Second || still > s.standstill {
			return
		}
		time.Sleep(time.Second)
	}
}

// check counts with the independent client and prints the slopes.
func (s *soak) check(faults int, length time.Duration) {
	t := s.T
	streams := map[string]uint64{}
	for i := range s.made {
		streams[fmt.Sprintf("s%02d", i)] = s.made[i].Load()
	}
	job := map[string]any{
		"brokers": strings.Join(s.addrs(), ","), "classifications": s.classifications, "dead_letters": s.dead,
		"required": []string{}, "optional": []string{}, "dead": []string{}, "dead_optional": []string{},
		"since": float64(s.struck.UnixMilli()) / 1000, "streams": streams,
	}
	python := filepath.Join(os.Getenv("VOXELSTREAM_CLIENTS"), "bin", "python")
	c := exec.Command(python, "scripts/kafka_count.py")
	var stderr bytes.Buffer
	c.Stdin, c.Stderr = bytes.NewReader(must(json.Marshal(job))(t)), &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("kafka_count.py: %v: %s", err, stderr.String())
	}
	v := &s.verdict
	must(0, json.Unmarshal(out, v))(t)
	for _, f := range v.failures() {
		t.Error(f)
	}
	for _, n := range s.repeats {
		v.Redelivered += int(n)
	}
	t.Logf("%d volumes in %v with %d faults: %d lost, %d repeated, %d reordered, longest gap %.1f s, %d redelivered",
		s.total(), length, faults, v.Lost, v.Repeated, v.Reordered, v.Gap, v.Redelivered)
	for _, row := range []struct {
		what, unit string
		of         func(soakSample) float64
	}{
		{"memory", "MiB", func(x soakSample) float64 { return x.memory / (1 << 20) }},
		{"goroutines", "", func(x soakSample) float64 { return x.goroutines }},
		{"descriptors", "", func(x soakSample) float64 { return x.files }},
	} {
		// The first fifth is warming up.
		some := s.samples[len(s.samples)/5:]
		if len(some) < 2 {
			break
		}
		values := make([]float64, len(some))
		for i, x := range some {
			values[i] = row.of(x)
		}
		t.Logf("%s: slope %+.2f %s per minute, from %.0f to %.0f, median %.0f", row.what, slope(some, row.of), row.unit,
			slices.Min(values), slices.Max(values), medianOf(values))
	}
}

// slope is the change per minute of a value, by least squares.
func slope(some []soakSample, of func(soakSample) float64) float64 {
	var x, y, xx, xy float64
	n := float64(len(some))
	for _, s := range some {
		at, v := s.at.Minutes(), of(s)
		x, y, xx, xy = x+at, y+v, xx+at*at, xy+at*v
	}
	return (n*xy - x*y) / cmp.Or(n*xx-x*x, 1)
}

func medianOf(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
