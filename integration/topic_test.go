//go:build unix

package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// TestTopicOfFilesIsKilled: run reads a topic whose messages are files, of one sample, of three, or damaged, and is
// killed again and again: each sample is classified once, each damaged message is a dead letter as it was, and at the
// end nothing is left to read.
func TestTopicOfFilesIsKilled(t *testing.T) {
	slow(t)
	w := newWorld(t)
	w.broker()
	c := client(t, w.addr())
	const topic, all, kills = "frames", 400, 3
	var files []transport.Message
	grids := npyOf([]int{3, 16, 16, 16}, make([]float32, 3*16*16*16))
	for i := range all {
		m := transport.Message{
			Key:   fmt.Appendf(nil, "camera-%d", i%7),
			Value: fmt.Appendf(nil, "1 2 3\n4 5 6\n7 8 %d\n", 10+i),
		}
		switch i % 20 {
		case 5:
			m.Value = grids
		case 10:
			m.Value = fmt.Appendf(nil, "\x00damaged %d", i)
		case 15:
			m.SetHeader(transport.HeaderEventID, fmt.Sprintf("shot-%d", i))
		}
		files = append(files, m)
	}
	produce(t, c, topic, files...)
	want, damaged := map[string]bool{}, map[string]bool{}
	for _, m := range messages(t, c, topic) {
		switch id := m.EventID(); {
		case len(m.Value) == len(grids):
			for i := range 3 {
				want[fmt.Sprintf("%s/%d", id, i)] = true
			}
		case strings.Contains(string(m.Value), "damaged"):
			damaged[id] = true
		case strings.HasPrefix(id, "shot"):
			want[id+"/0"] = true
		default:
			want[id] = true
		}
	}
	if len(damaged) != all/20 || len(want) != all-all/20+2*all/20 {
		t.Fatalf("found %d samples and %d damaged messages on the topic", len(want), len(damaged))
	}

	out := w.path("out.jsonl")
	w.set("pipeline.batch", 4)
	w.set("pipeline.in_flight", 32)
	run := func() *process { return w.start("run", "kafka://"+topic, "--out", out) }
	for kill := range kills {
		p, before := run(), lines(out)
		p.throttle()
		p.until(t, "new classifications", func() bool { return lines(out) > before+20 })
		p.kill()
		t.Logf("kill %d after %d of %d", kill+1, lines(out), len(want))
	}
	lag := func(group, topic string) (behind int64) {
		for _, n := range must(c.Lag(t.Context(), group, topic))(t) {
			behind += n
		}
		return behind
	}
	p := run()
	p.until(t, "everything settled", func() bool {
		return lines(out) >= len(want) && lag("voxelstream-frames", topic) == 0 &&
			lag("voxelstream", transport.TopicVolumes) == 0
	})
	p.terminate(t)
	<-p.done
	wantAll(t, "out.jsonl", stored(t, out), want)
	wantAll(t, "topic classifications", published(t, c), want)

	for _, d := range w.deadLetters() {
		if d.Topic != topic || d.Stage != "ingest" || d.Bytes == 0 || strings.Contains(d.Error, "voxelstream-topic-") {
			t.Errorf("found dead letter %+v, want one of a message of %s", d, topic)
		}
	}
	dead := map[string]bool{}
	for _, m := range messages(t, c, transport.TopicDeadLetters) {
		d := must(transport.ReadDeadLetter(m))(t)
		dead[fmt.Sprintf("%s/%d/%d", d.Topic, d.Partition, d.Offset)] = strings.Contains(string(m.Value), "damaged")
	}
	if n := missing(t, "dead letters", dead, damaged); n > 0 {
		t.Errorf("found no dead letters of %d damaged messages", n)
	}

	// What is sent back is read again, and known by the name that it had.
	w.set("kafka.replay_topics", topic)
	w.do(0, "dlq", "replay")
	again := 0
	for _, m := range messages(t, c, topic) {
		if damaged[m.EventID()] && strings.Contains(string(m.Value), "damaged") {
			again++
		}
	}
	if again < 2*len(damaged) {
		t.Errorf("found %d damaged messages by their names, want each twice", again)
	}
	p = w.start("ingest", "kafka://"+topic)
	p.until(t, "everything read", func() bool { return lag("voxelstream-frames", topic) == 0 })
	p.terminate(t)
	<-p.done
	w.do(exitUsage, "ingest", "kafka://"+transport.TopicVolumes)
}
