//go:build unix

package integration

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/app/stream"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/format"
	"github.com/voxelstream/voxelstream/nn/layers"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
	"github.com/voxelstream/voxelstream/record"
)

// streams writes arrays of grids that differ, each a stream of its own.
func (w *world) streams(n, rows int) (paths []string) {
	w.t.Helper()
	for k := range n {
		values := make([]float32, rows*16*16*16)
		for i := range values {
			values[i] = float32((i*i/7 + i/4096*31 + k*(i%89)) % 251)
		}
		paths = append(paths, w.write(fmt.Sprintf("stream-%d.npy", k), npyOf([]int{rows, 16, 16, 16}, values)))
	}
	return paths
}

// modelOf is what classifications say about a model file.
func modelOf(t *testing.T, path string) record.Model {
	t.Helper()
	sum := sha256.Sum256(must(os.ReadFile(path))(t))
	digest := hex.EncodeToString(sum[:])
	return record.Model{Name: strings.TrimSuffix(filepath.Base(path), ".keras"), Version: digest[:8], Digest: digest}
}

// chosen says whether a stream is one of the canary's, by the rule of the documentation.
func chosen(stream string, percent float64) bool {
	sum := sha256.Sum256([]byte(stream))
	return float64(binary.BigEndian.Uint64(sum[:]))/math.MaxUint64*100 < percent
}

var latencyField = regexp.MustCompile(`"latency_ms":[0-9.e+-]+`)

// storedOn is the messages of a topic by event ID: keys, headers and values without what differs from time to time. No
// event may be there twice.
func storedOn(t *testing.T, c *kafka.Client, topic string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, m := range messages(t, c, topic) {
		text := fmt.Sprintf("%s %s", m.Key, latencyField.ReplaceAll(m.Value, nil))
		for _, h := range m.Headers {
			if h.Key != "checksum" { // of the value with its latency
				text += fmt.Sprintf(" %s=%s", h.Key, h.Value)
			}
		}
		if out[m.EventID()] != "" {
			t.Errorf("%s: %s is there twice", topic, m.EventID())
		}
		out[m.EventID()] = text
	}
	return out
}

// TestShadow: what is on the topic does not depend on a shadow model, whatever it does, apart from the latencies.
func TestShadow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.broker()
	w.set("pipeline.drain", "5m") // the shadow model may finish
	const n = 8 * 10
	w.do(0, append([]string{"ingest", "-q"}, w.streams(8, 10)...)...)
	c := client(t, w.addr())
	run := func(topic string, more ...string) *stream.Rollout {
		t.Helper()
		p := start(t, w.bin, w.dir, append(slices.Clone(w.env), "VOXELSTREAM_KAFKA_GROUP="+topic,
			"VOXELSTREAM_KAFKA_CLASSIFICATIONS="+topic),
			append([]string{"classify", "--once", "--json", "--out", topic + ".jsonl"}, more...)...)
		p.wait(t, 0)
		return one[stream.Summary](t, p.stdout.String()).Rollout
	}
	if r := run("plain"); r != nil {
		t.Errorf("found a comparison without a shadow model: %+v", r)
	}
	want := storedOn(t, c, "plain")
	if len(want) != n || !strings.Contains(want[slices.Collect(maps.Keys(want))[0]], "schema=classification") {
		t.Fatalf("found %d messages, want %d: %v", len(want), n, want)
	}
	r := run("shadowed", "--shadow", must(slowModel())(t))
	if r.Shadow == nil || r.Shadow.Compared+r.Shadow.LeftOut != n || r.Shadow.Compared == 0 || r.Failed != "" ||
		r.Candidate.Model != modelOf(t, must(slowModel())(t)) || r.Serving.Volumes != r.Shadow.Compared {
		t.Errorf("found %+v, %+v", r, r.Shadow)
	}
	if r := run("broken", "--shadow", must(largeModel())(t)); !strings.Contains(r.Failed, "24x24x24") ||
		r.Shadow.LeftOut != n {
		t.Errorf("found %+v, %+v", r, r.Shadow)
	}
	for _, topic := range []string{"shadowed", "broken"} {
		if !maps.Equal(storedOn(t, c, topic), want) {
			t.Errorf("%s: found other messages than without a shadow model", topic)
		}
	}
}

// TestCanary: two members, one of which is killed with SIGKILL, choose the same streams for the canary. Each volume has
// one classification, by the model of its stream.
func TestCanary(t *testing.T) {
	slow(t)
	w := newWorld(t)
	w.broker()
	w.set("pipeline.batch", 4)
	candidate := must(slowModel())(t)
	const streams, rows, percent, n = 24, 40, 40, 24 * 40
	c := client(t, w.addr())
	classify := []string{
		"classify", "--canary", candidate, "--canary-percent", fmt.Sprint(percent), "--out", "",
	}
	done := func() int { return len(published(t, c)) }
	first, second := w.start(classify...), w.start(classify...)
	for _, p := range []*process{first, second} {
		p.until(t, "its half of the partitions", func() bool { return strings.Contains(p.stderr.String(), "partitions=2") })
		p.throttle()
	}
	files := w.streams(streams, rows)
	w.do(0, append([]string{"ingest", "-q"}, files[:streams/2]...)...)
	second.until(t, "some classifications", func() bool { return done() > n/20 })
	first.kill()
	w.do(0, append([]string{"ingest", "-q"}, files[streams/2:]...)...)
	second.until(t, "all classifications", func() bool { return done() >= n })
	second.terminate(t)
	<-second.done
	again := one[stream.Summary](t, w.do(0, append(classify, "--once", "--json", "--group", "again")...).stdout.String())
	if again.New != 0 || again.Repeated != n {
		t.Errorf("all volumes again: found %d new, %d repeated, want 0 and %d", again.New, again.Repeated, n)
	}
	all := published(t, c)
	if got := ids(t, "topic classifications", all); len(got) != n {
		t.Errorf("found %d volumes, want %d", len(got), n)
	}
	models := map[bool]record.Model{false: modelOf(t, must(smallModel())(t)), true: modelOf(t, candidate)}
	count := map[bool]int{}
	last := map[string]uint64{}
	for _, x := range all {
		mine := chosen(x.Stream, percent)
		count[mine]++
		if x.Model != models[mine] {
			t.Errorf("%s: found model %+v, want %+v", x.EventID, x.Model, models[mine])
		}
		if seq, ok := last[x.Stream]; ok && x.Seq != seq+1 {
			t.Errorf("found %s after %d, want the order of the stream", x.EventID, seq)
		}
		last[x.Stream] = x.Seq
	}
	if count[true] == 0 || count[false] == 0 {
		t.Errorf("found %v by canary: the test proves nothing", count)
	}
}

// TestBadCanary: a candidate that gives NaN for some volumes is left, and every volume is classified once.
func TestBadCanary(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.broker()
	w.set("voxelize.values", "raw")
	bad := must(nn.Sequential("bad", nn.Shape{16, 16, 16, 1}, layers.NewFlatten(), layers.NewDense(3, "softmax")))(t)
	bad.Init(1)
	for class := range 3 {
		bad.Params()[0].Value[class] = math.MaxFloat32 // of the first cell
	}
	if err := format.Save(w.path("bad.keras"), bad); err != nil {
		t.Fatal(err)
	}
	w.do(0, append([]string{"ingest", "-q"}, w.streams(6, 10)...)...)
	serving := w.rawModel()
	p := w.do(0, "classify", "--once", "--json", "--out", "", "--model", serving, "--canary", "bad.keras",
		"--canary-percent", "100", "--http", "127.0.0.1:0")
	p.says(t, "the canary model failed", "NaN", "ERROR")
	s := one[stream.Summary](t, p.stdout.String())
	all := published(t, client(t, w.addr()))
	if n := len(ids(t, "topic classifications", all)); n != 60 || s.Failed != 0 || s.DeadLetters != 0 {
		t.Errorf("found %d volumes, %+v, want 60", n, s)
	}
	if !strings.Contains(s.Rollout.Failed, "NaN") || s.Rollout.Serving.Volumes == 0 {
		t.Errorf("found %+v", s.Rollout)
	}
	for _, x := range all {
		if x.Score != x.Score || x.Model.Digest == "" {
			t.Errorf("found %+v", x)
		}
	}
}

// TestAnnouncement: members use the announced model, also after they were killed, and keep it when another one is
// announced that they cannot use.
func TestAnnouncement(t *testing.T) {
	slow(t)
	w := newWorld(t)
	w.broker()
	first, second, large := must(smallModel())(t), must(slowModel())(t), must(largeModel())(t)
	c := client(t, w.addr())
	announce := func(path, digest string) {
		t.Helper()
		// As Kubernetes and editors do: the file is replaced.
		w.write("announcement.new", fmt.Appendf(nil, `{"model": %q, "sha256": %q}`, path, digest))
		must(0, os.Rename(w.path("announcement.new"), w.path("announcement.json")))(t)
	}
	args := []string{"classify", "--out", "", "--model-announcement", w.path("announcement.json")}
	p := w.start(args...)
	sent := 0
	files := w.streams(5, 8)
	classified := func(by string) {
		t.Helper()
		w.do(0, "ingest", "-q", files[sent])
		sent++
		p.until(t, fmt.Sprintf("%d classifications", 8*sent), func() bool { return len(published(t, c)) >= 8*sent })
		all := published(t, c)
		ids(t, "topic classifications", all)
		for _, x := range all {
			if strings.HasPrefix(x.Stream, fmt.Sprintf("stream-%d", sent-1)) && x.Model != modelOf(t, by) {
				t.Errorf("%s: found model %+v, want that of %s", x.EventID, x.Model, by)
			}
		}
	}
	says := func(text string) {
		t.Helper()
		p.until(t, text, func() bool { return strings.Contains(p.stderr.String(), text) })
	}
	classified(first)
	p.says(t, "found no announced model")
	announce(second, modelOf(t, second).Digest)
	says("switched the model")
	classified(second)
	announce(large, modelOf(t, large).Digest)
	says("24x24x24")
	classified(second)
	announce(first, modelOf(t, large).Digest)
	says("found SHA-256 " + modelOf(t, first).Digest)
	announce(second, modelOf(t, second).Digest)
	p.kill()
	p = w.start(args...)
	classified(second)
	announce(first, modelOf(t, first).Digest) // roll back
	says("to=" + modelOf(t, first).Name)
	classified(first)
}

// TestReplayThroughModel: a group of its own sends all volumes of a topic through a new model into a new topic. Each
// classification is there once, although the process is killed, and the first topic stays as it is.
func TestReplayThroughModel(t *testing.T) {
	slow(t)
	w := newWorld(t)
	w.broker()
	const n = 10 * 60
	files := w.streams(10, 60)
	w.do(0, append([]string{"ingest", "-q"}, files[:5]...)...)
	c := client(t, w.addr())
	w.do(0, "classify", "--once", "-q", "--out", "")
	before := storedOn(t, c, transport.TopicClassifications)

	candidate := must(slowModel())(t)
	w.set("kafka.classifications", "classifications-new")
	w.set("pipeline.batch", 4)
	replay := []string{"classify", "--once", "--json", "--out", "", "--group", "new", "--model", candidate}
	p := w.start(replay...)
	p.throttle()
	p.until(t, "some classifications", func() bool { return len(messages(t, c, "classifications-new")) > n/20 })
	p.kill()
	w.do(0, append([]string{"ingest", "-q"}, files[5:]...)...)
	w.do(0, replay...)
	if again := one[stream.Summary](t, w.do(0, append(replay, "--group", "newer")...).stdout.String()); again.New != 0 {
		t.Errorf("a further group: found %d new classifications, want 0", again.New)
	}
	got := map[string]bool{}
	for _, m := range messages(t, c, "classifications-new") {
		for _, x := range parse(t, m.Value) {
			if x.Model != modelOf(t, candidate) || got[x.EventID] {
				t.Errorf("found %s by %+v, again: %v", x.EventID, x.Model, got[x.EventID])
			}
			got[x.EventID] = true
		}
	}
	if len(got) != n || len(before) != n/2 {
		t.Errorf("found %d and %d classifications, want %d and %d", len(before), len(got), n/2, n)
	}
	for key := range before {
		if id, _, _ := strings.Cut(key, "@"); !got[id] {
			t.Errorf("found no classification of %s", id)
		}
	}
	if !maps.Equal(storedOn(t, c, transport.TopicClassifications), before) {
		t.Error("the first topic has changed")
	}
}
