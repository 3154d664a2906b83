//go:build unix

package integration

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// losses count what is not where it should be in the end: volumes in the JSON lines file and on the topic, damaged
// messages among the dead letters.
type losses struct{ file, topic, deadLetters int }

// killScenario lets volumes flow through a classify process that is killed with SIGKILL five times while it works,
// and started again. It returns what was lost; a classification that is stored twice is an error.
//
// Every tenth volume is followed by a damaged message, which goes to the dead letters at once, ahead of volumes
// before it that are still in the network. So outcomes come out of order, and what is committed matters: two batches
// of 128 volumes are in flight, and far less than that is done between two commits, because the process gets a tenth
// of its time.
func killScenario(t *testing.T, bin string, seed uint64) losses {
	t.Helper()
	needHDF5(t)
	const archives, perArchive, kills, batch = 6, 500, 5, 128
	r := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t)
	w.set("model.path", must(slowModel())(t))
	w.broker()

	args := []string{"ingest", "--json"}
	for i := range archives {
		args = append(args, w.digits("digits-"+strconv.Itoa(i)+".h5", perArchive, i))
	}
	ingest := start(t, w.bin, w.dir, append(w.env, "VOXELSTREAM_KAFKA_VOLUMES=arrivals",
		"VOXELSTREAM_PIPELINE_BATCH=1"), args...)
	ingest.wait(t, 0)

	// The volumes to classify, with damage among them.
	c := client(t, w.addr())
	want, damaged := map[string]bool{}, map[string]bool{}
	var all []transport.Message
	keys := map[string]int{}
	for _, m := range messages(t, c, "arrivals") {
		want[m.EventID()] = true
		all = append(all, m)
		if keys[string(m.Key)]++; keys[string(m.Key)]%10 == 0 {
			bad := m
			bad.Value = bytes.Clone(m.Value)
			bad.Value[len(bad.Value)/2] ^= 1
			bad.SetHeader(transport.HeaderEventID, m.EventID()+"!damaged")
			damaged[bad.EventID()] = true
			all = append(all, bad)
		}
	}
	if len(want) != archives*perArchive || len(keys) != archives {
		t.Fatalf("found %d volumes in %d streams, want %d in %d", len(want), len(keys), archives*perArchive, archives)
	}
	produce(t, c, transport.TopicVolumes, all...)

	out := w.path("classifications.jsonl")
	w.set("pipeline.batch", batch)
	classify := []string{"classify", "--once", "--out", out}
	for kill := range kills {
		before := lines(out)
		p := start(t, bin, w.dir, w.env, classify...)
		p.throttle()
		p.until(t, "a new classification", func() bool { return lines(out) > before })
		time.Sleep(200*time.Millisecond + time.Duration(r.IntN(400))*time.Millisecond)
		if p.ended() {
			t.Fatalf("all was classified before kill %d of %d: the scenario needs more volumes", kill+1, kills)
		}
		p.kill()
		t.Logf("kill %d after %d of %d volumes", kill+1, lines(out), len(want))
	}
	last := start(t, bin, w.dir, w.env, classify...)
	<-last.done
	if code := last.cmd.ProcessState.ExitCode(); code != 0 && code != 3 {
		t.Fatalf("classify: exit code %d, want 0 or 3\n%s", code, tail(last.stderr.String()))
	}

	dead := map[string]bool{}
	for _, m := range messages(t, c, transport.TopicDeadLetters) {
		dead[m.EventID()] = true
	}
	const file, topic, deadLetters = "classifications.jsonl", "topic classifications", "dead letters"
	return losses{
		file:        missing(t, file, ids(t, file, stored(t, out)), want),
		topic:       missing(t, topic, ids(t, topic, published(t, c)), want),
		deadLetters: missing(t, deadLetters, dead, damaged),
	}
}

// throttle stops the process for nine tenths of the time, until it ends: what it does takes ten times as long, what
// the clock does comes as often as ever.
func (p *process) throttle() {
	const slice = 4 * time.Millisecond
	go func() {
		for signal := syscall.SIGSTOP; !p.ended(); {
			_ = p.cmd.Process.Signal(signal) // it may just have ended
			if signal == syscall.SIGSTOP {
				time.Sleep(9 * slice)
				signal = syscall.SIGCONT
			} else {
				time.Sleep(slice)
				signal = syscall.SIGSTOP
			}
		}
	}()
}

// TestKill: no volume is without a classification, and none has two, however often the classifying process is killed.
func TestKill(t *testing.T) {
	slow(t)
	if lost := killScenario(t, voxelstream(t), 1); lost != (losses{}) {
		t.Errorf("lost %+v", lost)
	}
}

// TestKillMutant: the same scenario notices a process that commits the highest finished offset in place of the
// contiguous prefix.
func TestKillMutant(t *testing.T) {
	slow(t)
	lost := killScenario(t, must(buildMutant())(t), 1)
	if lost.file == 0 {
		t.Errorf("the mutant lost %+v: the scenario proves nothing", lost)
	}
	t.Logf("the mutant lost %+v", lost)
}
