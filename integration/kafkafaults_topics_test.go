//go:build unix

package integration

import (
	"slices"
	"strings"
	"time"
)

func topicFaults() []faultCase {
	return []faultCase{
		{
			name: "partitions added to volumes", what: "`volumes` grows from 4 to 8 partitions under load, and new streams " +
				"use them", on: onAny, quick: true, external: true, run: growVolumes,
		},
		{
			name: "partitions added to classifications", what: "`classifications` grows from 4 to 7 partitions under load. " +
				"Then a member is killed and all volumes are sent again", on: onAny, quick: true, external: true,
			run: growClassifications,
		},
		{
			name: "volumes recreated under a member", what: "`volumes` is deleted and created again with more messages " +
				"than before, while a running member is frozen",
			// The embedded broker has no IDs of topics, so a longer log looks like the same one.
			on: onKafka, external: true,
			run: func(t *trial) { recreateVolumes(t, true) },
		},
		{
			name: "volumes recreated without a member", what: "`volumes` is deleted and created again with more " +
				"messages than before, while no member runs", on: onAny,
			run: func(t *trial) { recreateVolumes(t, false) },
		},
		{
			name: "classifications recreated", what: "`classifications` is deleted under load and created again with 2 " +
				"partitions instead of 4", on: onAny, quick: true, external: true, run: recreateClassifications,
		},
		{
			name: "dead letters deleted", what: "the dead letter topic is deleted under load. A member is stopped while it " +
				"is missing. Then it is created again",
			on: onAny, run: deleteDeadLetters,
		},
		{
			name: "volumes compacted", what: "`volumes` has cleanup.policy=compact. `classify` refuses to start",
			on: onAny, external: true, run: compactVolumes,
		},
		{
			name: "retention", what: "retention deletes volumes before they are read, once while no member runs and once " +
				"while one is frozen. The log says which were lost, and a metric counts them", on: onAny, run: retention,
		},
		{
			name: "new topics", what: "`classify` creates the topics with the replication factor of the cluster", on: onThree,
			run: newTopics,
		},
	}
}

func growVolumes(t *trial) {
	t.topics()
	first := t.flow(100, nil, names(0, 8)...)
	a, b := t.pair()
	t.some(100, a, b)
	t.strike("%s grows to 8 partitions", t.volumes)
	t.grow(t.volumes, 8)
	t.partitions = 8
	second := t.flow(100, nil, names(8, 16)...)
	time.Sleep(12 * time.Second)
	first()
	second()
	t.finish()
}

func growClassifications(t *trial) {
	t.topics()
	all := t.next(1500, names(0, 8)...)
	t.produce(all...)
	stop := t.flow(60, nil, names(8, 4)...)
	a, b := t.pair()
	t.some(200, a, b)
	t.strike("%s grows to 7 partitions", t.classifications)
	t.grow(t.classifications, 7)
	time.Sleep(2 * time.Second)
	t.strike("%s is killed, and all volumes are sent again", a.name)
	a.kill()
	t.produce(all...)
	a.up()
	time.Sleep(8 * time.Second)
	stop()
	t.finish()
}

func recreateVolumes(t *trial, alive bool) {
	t.w.set("kafka.session_timeout", "2m") // so that the member is still one when it is thawed
	t.topics()
	t.produce(t.next(600, names(0, 8)...)...)
	m := t.join()
	t.settle()
	if alive {
		m.freeze() // so that its next fetch is for the new log
	} else {
		m.terminate(t.T)
		m.wait(t.T, exitDone)
	}
	t.strike("%s is deleted and created again with more messages", t.volumes)
	t.delete(t.volumes)
	t.create(t.volumes, t.partitions, nil)
	t.produce(t.next(1500, names(8, 8)...)...)
	if alive {
		m.thaw()
	} else {
		m.up()
	}
	t.finish()
}

func recreateClassifications(t *trial) {
	t.topics()
	stop := t.flow(100, nil, names(0, 8)...)
	a, b := t.pair()
	t.some(150, a, b)
	t.strike("%s is deleted", t.classifications)
	t.delete(t.classifications)
	time.Sleep(2 * time.Second)
	// What was on the topic, or on its way to it, is gone with it.
	t.mark(toClassify, mayClassify)
	t.create(t.classifications, 2, nil)
	t.strike("%s is created again", t.classifications)
	time.Sleep(8 * time.Second)
	stop()
	t.finish()
}

func deleteDeadLetters(t *trial) {
	t.topics()
	spoil := func(some []sending) []sending {
		if len(some) > 0 {
			return append(some, damaged(some[0]))
		}
		return some
	}
	stop := t.flow(100, spoil, names(0, 8)...)
	a, b := t.pair()
	t.some(150, a, b)
	t.strike("%s is deleted", t.dead)
	t.delete(t.dead)
	time.Sleep(5 * time.Second)
	t.strike("%s is told to end", b.name)
	b.terminate(t.T)
	select {
	case <-b.done:
	case <-time.After(time.Minute):
		t.Errorf("%s does not end within a minute of SIGTERM: %s", b.name, tail(b.stderr.String()))
		b.process.kill()
	}
	t.mark(toDeadLetter, mayDeadLetter)
	if t.ends(t.dead) == nil {
		t.create(t.dead, 1, nil)
	}
	t.strike("%s is there again", t.dead)
	b.up()
	time.Sleep(5 * time.Second)
	stop()
	t.finish()
}

// refused waits until a member logs something. The member must then exit with an error, or keep logging it.
func (m *member) refused(texts ...string) {
	m.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(m.stderr.String(), s) }) {
		if time.Now().After(deadline) {
			m.t.Errorf("%s does not say any of %q within a minute; ended: %t\n%s", m.name, texts, m.ended(),
				tail(m.stderr.String()))
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func compactVolumes(t *trial) {
	t.create(t.volumes, 4, map[string]string{"cleanup.policy": "compact"})
	t.create(t.classifications, 4, nil)
	t.create(t.dead, 1, nil)
	t.produce(t.next(40, names(0, 8)...)...)
	m := t.join()
	m.refused("cleanup.policy")
	select {
	case <-m.done:
		if code := m.cmd.ProcessState.ExitCode(); code == exitDone {
			t.Errorf("classify on a compacted topic: exit code 0")
		}
	case <-time.After(time.Minute):
		t.Errorf("classify works on a compacted topic: %s", tail(m.stderr.String()))
	}
	t.mark(toClassify, neverClassify)
	t.exits = append(t.exits, exitFailed)
	t.leave()
	t.count()
	if t.verdict.Records > 0 {
		t.Errorf("found %d classifications of a compacted topic", t.verdict.Records)
	}
}

func retention(t *trial) {
	const each, gone = 400, 150
	t.topics()
	t.produce(t.next(each, names(0, 4)...)...)
	first := t.join()
	t.settle()
	first.terminate(t.T)
	first.wait(t.T, exitDone)

	// While no member lives: the first of the new volumes of each partition.
	t.produce(t.next(each, names(0, 4)...)...)
	t.strike("%d volumes are deleted while no member lives", 4*gone/4)
	t.mark(toClassify, mayClassify)
	for p := range 4 {
		t.truncate(t.volumes, int32(p), int64(each/4+gone/4))
	}
	first.up()
	first.refused("DATA LOST")
	t.settle()

	// While a member is frozen that owns all partitions.
	first.freeze()
	t.produce(t.next(each, names(0, 4)...)...)
	t.mark(toClassify, mayClassify)
	t.strike("%d volumes are deleted while a member is frozen", 4*gone/4)
	for p := range 4 {
		t.truncate(t.volumes, int32(p), int64(2*each/4+gone/4))
	}
	first.thaw()
	t.produce(t.next(each, names(0, 4)...)...)
	t.settle()
	lost := 0.0
	if found := listening.FindStringSubmatch(first.stderr.String()); found != nil {
		lost, _ = first.scrape(found[1], "voxelstream_lost_total", "consumer "+t.volumes)
	}
	t.exits = append(t.exits, exitFailed, exitTerminated)
	t.finish()
	deleted := 2 * 4 * (gone / 4)
	if int(lost) != deleted {
		t.Errorf("the metrics say that %g volumes are lost, want %d", lost, deleted)
	}
	if got, want := t.verdict.Records, 4*each-deleted; got != want {
		t.Errorf("found %d classifications, want %d", got, want)
	}
	if code := first.cmd.ProcessState.ExitCode(); code == exitDone {
		t.Error("a member that has lost volumes has ended with code 0")
	}
}

func newTopics(t *trial) {
	m := t.join()
	m.assigned()
	t.produce(t.next(200, names(0, 8)...)...)
	for _, name := range []string{t.volumes, t.classifications, t.dead} {
		for _, p := range t.leaders(name, 1) {
			if len(p.Replicas) != 3 {
				t.Errorf("%s has partitions with %d replicas, want 3", name, len(p.Replicas))
				break
			}
		}
	}
	t.finish()
}
