//go:build unix

package integration

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/voxelstream/voxelstream/pipeline/transport"
)

func messageFaults() []faultCase {
	return []faultCase{
		{
			name: "aborted transactions", what: "the producer of volumes sends them in transactions, and aborts every third one",
			// A reader of the embedded broker does not learn of all aborted transactions.
			on: onKafka, external: true, run: abortTransactions,
		},
		{
			name: "timestamps refused", what: "the brokers refuse the timestamps of classifications for 8 s, as if the " +
				"clock of the machine were wrong", on: onKafka, external: true, run: refuseTimestamps,
		},
		{
			name: "poison", what: "a sixth of the messages are damaged, cut off, empty, in another format or too large, " +
				"and members are killed", on: onAny, run: poison,
		},
		{
			name: "upstream repeats and reorders", what: "each volume is sent one to three times, in random order", on: onAny,
			quick: true, run: repeatAndReorder,
		},
		{
			name: "volumes sent again", what: "the same volumes are sent twice more, each time to a new member and after " +
				"other volumes", on: onAny, run: sendAgain,
		},
		{
			name: "volumes sent again beyond the window", what: "the same volumes are sent again after more " +
				"classifications than the sink remembers. They are recognized, or the log has warned that they may not be",
			on: onAny, run: exceedWindow,
		},
		{
			name: "session timeout", what: "the session timeout is longer than the broker allows. `classify` reports it",
			on: onKafka, external: true, run: longSession,
		},
	}
}

func abortTransactions(t *trial) {
	const transactions, each = 24, 40
	t.topics()
	c := t.upstream(kgo.TransactionalID(t.name), kgo.TransactionTimeout(30*time.Second))
	defer c.Close()
	a, _ := t.pair()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for n := range transactions {
		must(0, c.BeginTransaction())(t)
		all := t.next(each, names(0, 8)...)
		commit := kgo.TryCommit
		if n%3 == 2 {
			commit = kgo.TryAbort
			for i := range all {
				all[i].kind = neverClassify
			}
		}
		must(0, t.send(c, all...))(t)
		t.pause(0, 200*time.Millisecond)
		must(0, c.EndTransaction(ctx, commit))(t)
		if n == transactions/2 {
			t.strike("%s is killed between transactions", a.name)
			a.kill()
			a.up()
		}
	}
	t.finish()
}

// refuseTimestamps puts 60 ms between the member and the brokers, and lets them refuse records that are older than 5.
func refuseTimestamps(t *trial) {
	t.topics()
	m := t.prepare()
	t.slow.lag(60 * time.Millisecond)
	m.env = []string{"VOXELSTREAM_KAFKA_BROKERS=" + t.slow.addrs()[0]}
	m.up()
	stop := t.flow(60, nil, names(0, 8)...)
	t.some(100, m)
	const limit = "message.timestamp.before.max.ms"
	t.strike("timestamps are refused")
	t.configure(t.classifications, limit, "5")
	time.Sleep(8 * time.Second)
	if !strings.Contains(strings.ToLower(m.stderr.String()), "timestamp") {
		t.Errorf("the member does not say why nothing is stored: %s", tail(m.stderr.String()))
	}
	t.strike("timestamps are taken")
	t.configure(t.classifications, limit, "9223372036854775807")
	time.Sleep(3 * time.Second)
	stop()
	t.finish()
}

func poison(t *trial) {
	const volumes = 1200
	t.create(t.volumes, t.partitions, nil)
	t.create(t.classifications, 4, nil)
	t.create(t.dead, 1, map[string]string{"max.message.bytes": "1048576"})
	var all []sending
	for i, s := range t.next(volumes, names(0, 8)...) {
		all = append(all, s)
		if i%5 == 0 {
			all = append(all, t.spoiled(s, i/5))
		}
	}
	t.produce(all...)
	a, b := t.prepare(), t.prepare()
	for _, m := range []*member{a, b} {
		m.slow.Store(true)
		m.up()
	}
	for range 4 {
		m := t.one()
		t.pause(300*time.Millisecond, 1000*time.Millisecond) // there may be nothing left to wait for
		t.strike("%s is killed", m.name)
		m.kill()
		m.up()
	}
	a.slow.Store(false)
	b.slow.Store(false)
	t.finish()
}

// spoiled is a message of a kind that cannot be classified.
func (t *trial) spoiled(s sending, n int) sending {
	m := s.Message
	id := fmt.Sprintf("%s!%d", s.EventID(), n%6)
	switch n % 6 {
	case 0:
		return damaged(s)
	case 1:
		m = with(m, id, m.Value[:len(m.Value)/3])
	case 2:
		m = with(m, id, nil)
	case 3:
		m = with(m, id, []byte("no volume"))
	case 4:
		m = with(m, id, make([]byte, 3<<20)) // too large for the topic of dead letters
	case 5:
		m = volumeOf(t.T, string(m.Key), uint64(n), 24, "Oranges")
		m.SetHeader(transport.HeaderEventID, id)
	}
	return sending{m, s.partition, toDeadLetter}
}

func repeatAndReorder(t *trial) {
	const volumes = 900
	t.topics()
	var all []sending
	for _, s := range t.next(volumes, names(0, 8)...) {
		for range 1 + t.r.IntN(3) {
			all = append(all, s)
		}
	}
	t.r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	a, b := t.pair()
	a.slow.Store(true)
	b.slow.Store(true)
	t.produce(all[:len(all)/2]...)
	t.some(30, a)
	t.strike("%s is killed", a.name)
	a.kill()
	a.up()
	t.produce(all[len(all)/2:]...)
	a.slow.Store(false)
	b.slow.Store(false)
	t.settle()
	t.leave()
	t.count()
	t.verdict.Reordered = 0 // they came so
	for _, f := range t.verdict.failures() {
		t.Error(f)
	}
}

func sendAgain(t *trial) {
	t.topics()
	first := t.next(600, names(0, 8)...)
	t.produce(first...)
	m := t.join()
	for range 2 {
		t.settle()
		m.terminate(t.T)
		m.wait(t.T, exitDone)
		t.strike("a member starts, with other volumes and the first ones again")
		t.produce(t.next(1500, names(8, 8)...)...)
		t.produce(first...)
		m = t.join()
	}
	t.finish()
}

func exceedWindow(t *trial) {
	t.topics()
	first := t.next(200, names(0, 8)...)
	t.produce(first...)
	t.produce(t.next(6000, names(8, 8)...)...)
	m := t.join("--to-topic=false", "--out", "kafka:"+t.classifications+"?window=1000")
	t.settle()
	m.terminate(t.T)
	m.wait(t.T, exitDone)
	t.strike("the first volumes are sent again")
	m.up()
	m.assigned()
	t.produce(first...)
	t.settle()
	warned := strings.Contains(m.stderr.String(), "window")
	t.leave()
	t.count()
	judged := t.verdict // the table shows what is repeated all the same
	if warned {
		t.Logf("the log has warned; %d classifications are repeated", judged.Repeated)
		judged.Repeated = 0
	}
	for _, f := range judged.failures() {
		t.Error(f)
	}
}

func longSession(t *trial) {
	t.topics()
	t.produce(t.next(40, names(0, 8)...)...)
	t.w.set("kafka.session_timeout", "31m") // brokers allow 30
	m := t.join()
	m.refused("group.max.session.timeout.ms", "session_timeout")
	t.mark(toClassify, mayClassify)
	t.exits = append(t.exits, exitFailed, exitUsage)
	t.leave()
	t.count()
}
