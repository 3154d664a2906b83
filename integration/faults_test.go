//go:build unix

package integration

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/app/stream"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/volarrow"
)

// volumeOf makes the message of one cube of cells.
func volumeOf(t *testing.T, stream string, seq uint64, side int, palette string) transport.Message {
	t.Helper()
	v := voxelize.Volume{
		ID: record.ID{Stream: stream, Seq: seq}, Label: -1, Dims: [3]int{side, side, side},
		Index: make([]uint8, side*side*side),
	}
	v.Content = voxelize.PaletteContent(palette)
	for i := range v.Index {
		v.Index[i] = uint8(uint64(i) * (seq + 1))
	}
	return transport.New(stream, v.ID.String(), transport.ContentArrow,
		must(volarrow.Encode(nil, []voxelize.Volume{v}))(t))
}

// with is a message with another value and event id, and with the checksum that belongs to the value.
func with(m transport.Message, id string, value []byte) transport.Message {
	return transport.New(string(m.Key), id, transport.ContentArrow, value)
}

// deadLetters lists them by the command line.
func (w *world) deadLetters() []stream.DeadLetter {
	w.t.Helper()
	return jsonLines[stream.DeadLetter](w.t, w.do(0, "dlq", "list", "--json").stdout.String())
}

// TestBadMessages: what is wrong with a message on the topic of volumes makes it a dead letter with its reason, and
// the stream goes on around it; dlq lists, shows and replays it.
func TestBadMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.broker()
	c := client(t, w.addr())

	const name = "stream"
	good := volumeOf(t, name, 0, 16, "Oranges")
	flipped := with(good, "flipped", bytes.Clone(good.Value))
	flipped.Value[len(flipped.Value)/2] ^= 0x10 // the checksum stays that of the whole value
	renamed := bytes.ReplaceAll(good.Value, []byte(volarrow.KeyVersion),
		[]byte(strings.Repeat("x", len(volarrow.KeyVersion))))
	if bytes.Equal(renamed, good.Value) {
		t.Fatal("the schema does not name its version")
	}
	metadata := bytes.Clone(good.Value)
	for i := 8; i < 64; i++ {
		metadata[i] ^= 0xff
	}
	all := []transport.Message{
		good,
		flipped,
		with(good, "metadata", metadata),
		volumeOf(t, name, 1, 16, "Oranges"),
		with(good, "cut", good.Value[:len(good.Value)/3]),
		with(good, "foreign schema", renamed),
		with(good, "text", []byte("hello")),
		with(good, "nothing", nil),
		volumeOf(t, name, 2, 24, "Oranges"),
		volumeOf(t, name, 3, 16, "viridis"),
		volumeOf(t, name, 4, 16, "Oranges"),
	}
	reasons := map[string][2]string{ // stage, part of the reason
		"flipped":        {"checksum", "header says crc32c:"},
		"metadata":       {"decode", ""},
		"cut":            {"decode", ""},
		"foreign schema": {"decode", "schema"},
		"text":           {"decode", ""},
		"nothing":        {"decode", ""},
		name + "/2":      {"classify", "found 24x24x24 cells, want 16x16x16"},
		name + "/3":      {"classify", "found palette viridis, want palette Oranges"},
	}
	produce(t, c, transport.TopicVolumes, all...)

	out := w.path("classifications.jsonl")
	summary := one[stream.Summary](t, w.do(exitDeadLetters, "classify", "--once", "--json").stdout.String())
	if summary.Classified != 3 || summary.DeadLetters != int64(len(reasons)) {
		t.Errorf("the summary says %d classified and %d dead letters, want 3 and %d", summary.Classified,
			summary.DeadLetters, len(reasons))
	}
	wantAll(t, out, stored(t, out), map[string]bool{name + "/0": true, name + "/1": true, name + "/4": true})

	dead := w.deadLetters()
	if len(dead) != len(reasons) {
		t.Errorf("found %d dead letters, want %d", len(dead), len(reasons))
	}
	large := ""
	for _, d := range dead {
		want, ok := reasons[d.EventID]
		if !ok || d.Stage != want[0] || d.Error == "" || !strings.Contains(d.Error, want[1]) ||
			d.Topic != transport.TopicVolumes || d.Attempts != 1 {
			t.Errorf("dead letter %+v, want %v", d, want)
		}
		// Its place is that of the message.
		at := slices.IndexFunc(messages(t, c, transport.TopicVolumes), func(m transport.Message) bool {
			return fmt.Sprintf("%d:%d", m.Partition, m.Offset) == d.At && m.EventID() == d.EventID
		})
		if at < 0 {
			t.Errorf("dead letter %+v: its message is not at %s", d, d.At)
		}
		if d.EventID == name+"/2" {
			large = d.ID
		}
	}
	shown := one[struct {
		stream.DeadLetter
		Key     string
		Headers map[string]string
		Value   []byte
	}](t, w.do(0, "dlq", "show", large, "--json").stdout.String())
	if shown.Key != name || !bytes.Equal(shown.Value, all[8].Value) ||
		shown.Headers[transport.HeaderEventID] != name+"/2" {
		t.Errorf("dlq show %s: %+v", large, shown)
	}
	w.do(1, "dlq", "show", "9:999999").says(t, "9:999999", "not found")

	// The volume of the other size only needs the other model.
	w.set("model.path", must(largeModel())(t))
	if n := one[struct{ Replayed int }](t, w.do(0, "dlq", "replay", large, "--json").stdout.String()); n.Replayed != 1 {
		t.Errorf("replayed %d, want 1", n.Replayed)
	}
	w.do(0, "classify", "--once")
	wantAll(t, out, stored(t, out), map[string]bool{
		name + "/0": true, name + "/1": true, name + "/2": true,
		name + "/4": true,
	})

	// All of them, each once; what was wrong with them still is.
	if n := one[struct{ Replayed int }](t,
		w.do(0, "dlq", "replay", "--json").stdout.String()); n.Replayed != len(reasons)-1 {
		t.Errorf("replayed %d, want %d, all but the one that was sent back before", n.Replayed, len(reasons)-1)
	}
	if n := one[struct{ Replayed int }](t, w.do(0, "dlq", "replay", "--json").stdout.String()); n.Replayed != 0 {
		t.Errorf("replayed %d a second time, want 0", n.Replayed)
	}
	w.do(exitDeadLetters, "classify", "--once")
	wantAll(t, "topic classifications", published(t, c),
		map[string]bool{name + "/0": true, name + "/1": true, name + "/2": true, name + "/4": true})
}

// TestBadInputs: what cannot be read or voxelized is a dead letter with its reason, everything else is classified.
func TestBadInputs(t *testing.T) {
	t.Parallel()
	needHDF5(t)
	w := newWorld(t)
	good, later := w.digits("good.h5", 20, 1), w.digits("later.h5", 20, 2)
	b := must(os.ReadFile(good))(t)
	grids := func(rows, side int, change func([]float32)) []byte {
		values := make([]float32, rows*side*side*side)
		for i := range values {
			values[i] = float32(i%5) / 5
		}
		change(values)
		return npyOf([]int{rows, side, side, side}, values)
	}
	w.write("cut.h5", b[:64]) // of a longer piece, some rows would be whole
	w.write("overwritten.h5", append(append(bytes.Clone(b[:64]), bytes.Repeat([]byte{0xa5}, 4000)...), b[4064:]...))
	w.write("nan.npy", grids(3, 16, func(v []float32) { v[16*16*16+77] = float32(math.NaN()) }))
	w.write("half.npy", grids(2, 8, func([]float32) {}))
	w.write("noise.bin", []byte("neither this nor that"))
	w.write("nothing.xyz", nil)
	w.write("empty.pcd", []byte("# .PCD v.7 - Point Cloud Data file format\nVERSION .7\nFIELDS x y z\nSIZE 4 4 "+
		"4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 0\nHEIGHT 1\n"+
		"VIEWPOINT 0 0 0 1 0 0 0\nPOINTS 0\nDATA ascii\n"))
	reasons := map[string]struct {
		reason string
		count  int
	}{
		"cut.h5": {"cut.h5", 1}, "overwritten.h5": {"overwritten.h5", 1},
		"half.npy":  {"8x8x8", 2},
		"noise.bin": {"name the floats of a point", 1}, "nothing.xyz": {"", 1}, "empty.pcd": {"nothing to voxelize", 1},
	}

	args := []string{"run", good, "--json", "nan.npy"} // a NaN is background
	for name := range reasons {
		args = append(args, name)
	}
	p := w.do(exitDeadLetters, append(args, later)...)
	p.says(t, "dead letters")
	const classified, rejected = 20 + 20 + 3, 7
	summary := one[stream.Summary](t, p.stdout.String())
	if summary.Inputs != 9 || summary.Volumes != classified || summary.Classified != classified ||
		summary.DeadLetters != rejected {
		t.Errorf("summary: %+v", summary)
	}
	cs := stored(t, w.path("classifications.jsonl"))
	if n := len(ids(t, "classifications.jsonl", cs)); n != classified {
		t.Errorf("found %d classifications, want %d", n, classified)
	}
	streams := map[string]int{}
	for _, c := range cs {
		name, _, _ := strings.Cut(c.Stream, "-")
		streams[name]++
	}
	if streams["good.h5"] != 20 || streams["later.h5"] != 20 || streams["nan.npy"] != 3 {
		t.Errorf("classifications by input: %v", streams)
	}
	found := map[string]int{}
	for _, d := range w.deadLetters() {
		found[d.Input]++
		if r := reasons[d.Input]; r.count == 0 || !strings.Contains(d.Error, r.reason) {
			t.Errorf("dead letter %+v, want %q", d, r.reason)
		}
	}
	for name, r := range reasons {
		if found[name] != r.count {
			t.Errorf("%s: found %d dead letters, want %d", name, found[name], r.count)
		}
	}
	// They never were messages: nothing goes back.
	if n := one[struct{ Replayed int }](t, w.do(0, "dlq", "replay", "--json").stdout.String()); n.Replayed != 0 {
		t.Errorf("replayed %d, want 0", n.Replayed)
	}
	// Again: the same dead letters are not written twice.
	w.do(exitDeadLetters, append(args, later)...)
	if n := len(w.deadLetters()); n != rejected {
		t.Errorf("found %d dead letters after a second run, want %d", n, rejected)
	}
	w.do(exitFailed, "run", "cut.h5").says(t, "no input could be read")
	w.do(exitFailed, "run", "absent.h5").says(t, "absent.h5", "no such file")
}

// TestFullDisk: when the disk of the JSON lines is full the process says so and tries again; when there is room
// everything is stored, once, by the same process or by the next one.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	needHDF5(t)
	for _, returns := range []bool{true, false} {
		t.Run("space returns "+strconv.FormatBool(returns), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			const digits = 150
			input := w.digits("digits.h5", digits, 3)
			small := w.path("small")
			if err := os.Mkdir(small, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := mountSmall(small, 96<<10); err != nil {
				t.Skipf("user %d may not mount a small disk on %s: %v", os.Getuid(), runtime.GOOS, err)
			}
			t.Cleanup(func() {
				if err := unmount(small); err != nil {
					t.Error(err)
				}
			})
			filler := w.write("small/filler", make([]byte, 64<<10))
			out := w.path("small/classifications.jsonl")
			w.set("pipeline.batch", 16)
			w.set("pipeline.attempts", map[bool]int{true: 0, false: 5}[returns])
			p := w.start("run", input, "--out", out, "--json")
			p.until(t, "complaint", func() bool {
				return strings.Contains(p.stderr.String(),
					"no space left on device")
			})
			if !returns {
				p.wait(t, exitFailed)
			}
			some := len(ids(t, out, stored(t, out)))
			if some == 0 || some == digits {
				t.Errorf("found %d classifications on a full disk, want some of %d", some, digits)
			}
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			if !returns {
				p = w.start("run", input, "--out", out, "--json")
			}
			p.wait(t, exitDone)
			if n := len(ids(t, out, stored(t, out))); n != digits {
				t.Errorf("found %d classifications, want %d", n, digits)
			}
			w.broker()
			if n := len(ids(t, "topic classifications", published(t, client(t, w.addr())))); n != digits {
				t.Errorf("found %d classifications on the topic, want %d", n, digits)
			}
		})
	}
}

// TestFileLimit: the same with a limit on the size of files, which needs no privileges and also cuts a line in two.
func TestFileLimit(t *testing.T) {
	t.Parallel()
	needHDF5(t)
	w := newWorld(t)
	w.broker()
	const digits = 300
	w.do(exitDone, "ingest", w.digits("digits.h5", digits, 9))
	out := w.path("classifications.jsonl")
	w.set("pipeline.batch", 16)
	w.set("pipeline.attempts", 4)
	w.set("model.path", "") // the built-in one needs no file of its own
	p := start(t, "sh", w.dir, w.env, "-c", `ulimit -f 50 && exec "$0" classify --once`,
		w.bin) // 25 KiB or 50, as the shell counts
	p.wait(t, exitFailed)
	p.says(t, "classifications.jsonl", "file too large")
	if n := len(ids(t, out, stored(t, out))); n == 0 || n == digits {
		t.Errorf("found %d classifications in a file of limited size, want some of %d", n, digits)
	}
	w.do(exitDone, "classify", "--once")
	if n := len(ids(t, out, stored(t, out))); n != digits {
		t.Errorf("found %d classifications, want %d", n, digits)
	}
	if n := len(ids(t, "topic classifications", published(t, client(t, w.addr())))); n != digits {
		t.Errorf("found %d classifications on the topic, want %d", n, digits)
	}
}

// TestFullBrokerDisk: when the disk of the broker is full nothing is acknowledged that is not stored; when there is
// room everything arrives.
func TestFullBrokerDisk(t *testing.T) {
	t.Parallel()
	needHDF5(t)
	w := newWorld(t)
	const digits = 500
	input := w.digits("digits.h5", digits, 6)
	if err := os.Mkdir(w.path("kafka"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := mountSmall(w.path("kafka"), 32<<20); err != nil {
		t.Skipf("user %d may not mount a small disk on %s: %v", os.Getuid(), runtime.GOOS, err)
	}
	t.Cleanup(func() {
		if err := unmount(w.path("kafka")); err != nil {
			t.Error(err)
		}
	})
	filler := w.write("kafka/filler", make([]byte, 27<<20)) // leaves room for topics, not for records
	w.set("pipeline.batch", 8)
	p := w.start("ingest", input)
	p.until(t, "complaint", func() bool { return strings.Contains(p.stderr.String(), "Storage Error") })
	time.Sleep(300 * time.Millisecond)
	if p.ended() {
		t.Error("ingest has ended, but its volumes do not fit on the disk")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	p.wait(t, exitDone)
	w.do(exitDone, "classify", "--once")
	out := w.path("classifications.jsonl")
	if n := len(ids(t, out, stored(t, out))); n != digits {
		t.Errorf("found %d classifications, want %d", n, digits)
	}
}

// TestBrokerAway: the broker is killed while ingest and classify work, and comes back ten seconds later.
func TestBrokerAway(t *testing.T) {
	slow(t)
	needHDF5(t)
	w := newWorld(t)
	w.set("model.path", must(slowModel())(t))
	broker := w.broker()
	const count = 1500
	first, second := w.digits("first.h5", count, 1), w.digits("second.h5", count, 2)
	out := w.path("classifications.jsonl")
	c := start(t, w.bin, w.dir, append(w.env, "VOXELSTREAM_PIPELINE_BATCH=16"), "classify", "--json")
	ingest := start(t, w.bin, w.dir, append(w.env, "VOXELSTREAM_PIPELINE_BATCH=1"), "ingest", first, second)
	c.until(t, "some classifications", func() bool { return lines(out) > 50 })
	broker.kill()
	away := lines(out)
	time.Sleep(10 * time.Second)
	if c.ended() || lines(out) >= 2*count {
		t.Fatalf("%d of %d volumes were classified while the broker was away, and classify is over: %v",
			lines(out)-away, 2*count, c.ended())
	}
	_, port, _ := strings.Cut(w.addr(), ":")
	w.startBroker(must(strconv.Atoi(port))(t))
	ingest.wait(t, exitDone)
	c.until(t, "all classifications", func() bool { return lines(out) >= 2*count })
	c.terminate(t)
	c.wait(t, exitDone)
	w.do(exitDone, "classify", "--once") // what could not be committed comes again, and adds nothing
	if n := len(ids(t, out, stored(t, out))); n != 2*count {
		t.Errorf("found %d classifications, want %d", n, 2*count)
	}
	if n := len(ids(t, "topic classifications", published(t, client(t, w.addr())))); n != 2*count {
		t.Errorf("found %d classifications on the topic, want %d", n, 2*count)
	}
}

// TestOneProcessPerDirectory: a second broker on the data directory, and a second writer of the file, are refused and
// told why.
func TestOneProcessPerDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("grid.npy", npyOf([]int{1, 16, 16, 16}, make([]float32, 4096)))
	p := w.startBroker(freePort(t))
	second := w.do(exitFailed, "run", "grid.npy", "--broker-data-dir", "kafka")
	second.says(t, "kafka is in use by another process, pid "+strconv.Itoa(p.cmd.Process.Pid))
	w.do(exitFailed, "broker", "--broker-data-dir", "kafka").says(t, "pid "+strconv.Itoa(p.cmd.Process.Pid), "--brokers",
		"--broker-data-dir")
	p.terminate(t)
	p.wait(t, exitDone)

	w.broker()
	c := w.start("classify", "--out", "c.jsonl")
	c.until(t, "start", func() bool { return strings.Contains(c.stderr.String(), "assigned") })
	w.do(exitFailed, "classify", "--once", "--out", "c.jsonl").says(t, "c.jsonl", "another process")
	c.terminate(t)
	c.wait(t, exitDone)
	w.do(exitDone, "run", "grid.npy", "--out", "c.jsonl")
}

// TestDrain: after SIGTERM what is in flight is finished and committed, so the next process does exactly the rest.
func TestDrain(t *testing.T) {
	t.Parallel()
	needHDF5(t)
	w := newWorld(t)
	w.set("model.path", must(slowModel())(t))
	w.set("pipeline.batch", 8)
	w.broker()
	const count = 1200
	w.do(exitDone, "ingest", w.digits("digits.h5", count, 4))
	out := w.path("classifications.jsonl")
	total := 0
	for i := range 3 {
		before := lines(out)
		p := w.start("classify", "--json")
		p.until(t, "new classifications", func() bool { return lines(out) > before+20 })
		p.terminate(t)
		p.wait(t, exitDone)
		n := one[stream.Summary](t, p.stdout.String()).Classified
		if total += n; lines(out) != total || total == count {
			t.Errorf("after signal %d: %d lines, the summaries say %d of %d", i+1, lines(out), total, count)
		}
	}
	n := one[stream.Summary](t, w.do(exitDone, "classify", "--once", "--json").stdout.String()).Classified
	if total += n; total != count {
		t.Errorf("the summaries say %d, want %d: something was repeated or left out", total, count)
	}
	if n := len(ids(t, out, stored(t, out))); n != count {
		t.Errorf("found %d classifications, want %d", n, count)
	}
}

// TestInterruptedRun: a run that is told to end says so, and the next one completes what is missing.
func TestInterruptedRun(t *testing.T) {
	t.Parallel()
	needHDF5(t)
	w := newWorld(t)
	w.set("model.path", must(slowModel())(t))
	w.set("pipeline.batch", 8)
	const count = 1000
	input, out := w.digits("digits.h5", count, 5), w.path("classifications.jsonl")
	p := w.start("run", input)
	p.until(t, "some classifications", func() bool { return lines(out) > 20 })
	p.terminate(t)
	p.wait(t, exitTerminated)
	p.says(t, "interrupted")
	if n := lines(out); n == count {
		t.Errorf("all %d volumes were classified before the signal", n)
	}
	w.do(exitDone, "run", input)
	if n := len(ids(t, out, stored(t, out))); n != count {
		t.Errorf("found %d classifications, want %d", n, count)
	}
}

// TestSecondSignal: while the broker is away nothing can be drained; the second signal does not wait for it.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	broker := w.broker()
	produce(t, client(t, w.addr()), transport.TopicVolumes, volumeOf(t, "stream", 0, 16, "Oranges"))
	out := w.path("classifications.jsonl")
	w.set("pipeline.drain", "10m")
	p := w.start("classify")
	p.until(t, "a classification", func() bool { return lines(out) == 1 })
	broker.kill()
	p.terminate(t)
	time.Sleep(time.Second)
	began := time.Now()
	if !p.ended() { // with nothing in flight it may go at once
		p.terminate(t)
	}
	select {
	case <-p.done:
	case <-time.After(timeout):
		t.Fatalf("still there %v after the second signal", time.Since(began))
	}
	if n := len(stored(t, out)); n != 1 {
		t.Errorf("found %d classifications, want 1", n)
	}
}

// TestTwoMembers: two processes share the partitions; one is killed, and the other does what is left.
func TestTwoMembers(t *testing.T) {
	slow(t)
	needHDF5(t)
	w := newWorld(t)
	w.set("model.path", must(slowModel())(t))
	w.broker()
	const archives, count = 6, 400
	args := []string{"ingest"}
	for i := range archives {
		args = append(args, w.digits("digits-"+strconv.Itoa(i)+".h5", count, i))
	}
	a, b := w.path("a.jsonl"), w.path("b.jsonl")
	w.set("pipeline.batch", 8)
	first, second := w.start("classify", "--out", a), w.start("classify", "--out", b)
	both := func() bool {
		return strings.Contains(first.stderr.String(), "partitions=2") &&
			strings.Contains(second.stderr.String(), "partitions=2")
	}
	first.until(t, "partitions for both", both)
	first.throttle()
	second.throttle()
	ingest := w.start(args...)
	first.until(t, "classifications by both", func() bool { return lines(a) > 40 && lines(b) > 40 })
	first.kill()
	ingest.wait(t, exitDone)
	second.until(t, "all classifications", func() bool {
		all := map[string]bool{}
		for _, c := range append(stored(t, a), stored(t, b)...) {
			all[c.EventID] = true
		}
		return len(all) == archives*count
	})
	if n := len(ids(t, a, stored(t, a))) + len(ids(t, b, stored(t, b))); n > archives*count+1000 {
		t.Errorf("%d classifications of %d volumes: more was repeated than was in flight", n, archives*count)
	}
	// The file is written before the topic: a batch of the killed member may be in its file alone until the other has
	// done it again.
	c := client(t, w.addr())
	second.until(t, "all classifications on the topic", func() bool {
		return len(ids(t, "topic classifications", published(t, c))) == archives*count
	})
}
