//go:build unix

package integration

import (
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func brokerFaults() []faultCase {
	return []faultCase{
		{
			name: "broker killed", what: "the only broker is killed and restarted after 5 s, twice", on: onEmbedded | onOne,
			quick: true, alone: true, run: killBroker,
		},
		{
			name: "slow broker", what: "for 15 s, a broker stops repeatedly for 0.2 to 2 s", on: onAny, alone: true,
			run: slowBroker,
		},
		{
			name: "one of three brokers killed", what: "a broker is killed and restarted after 12 s, then another one",
			on: onThree, alone: true, run: killOneOfThree,
		},
		{
			name: "one of three brokers frozen", what: "a broker is frozen for 20 s", on: onThree, alone: true,
			run: freezeOneOfThree,
		},
		{
			name: "leaders moved", what: "every 2 s, the leaders of all partitions of `volumes` and `classifications` move, " +
				"six times", on: onThree, run: moveLeaders,
		},
		{
			name: "coordinator moved", what: "the coordinator of the group moves to another broker, three times",
			on: onThree, alone: true, run: moveCoordinator,
		},
		{
			name: "coordinator killed", what: "the broker that coordinates the group is killed and restarted after 10 s",
			on: onThree, alone: true, run: killCoordinator,
		},
		{
			name: "unclean leader election", what: "while a member is frozen, a replica whose log ends before the member's " +
				"position becomes the leader of `volumes`. New messages take the offsets of the lost ones", on: onThree,
			alone: true, run: uncleanElection,
		},
	}
}

// load begins two members and a flow of volumes.
func (t *trial) load(rate int) (stop func()) {
	t.topics()
	stop = t.flow(rate, nil, names(0, 8)...)
	a, b := t.pair()
	t.some(100, a, b)
	return stop
}

func killBroker(t *trial) {
	stop := t.load(120)
	for range 2 {
		t.strike("the broker is killed")
		t.kill(t.nodes[0])
		time.Sleep(5 * time.Second)
		t.start(t.nodes[0])
		t.strike("the broker has started")
		time.Sleep(12 * time.Second)
	}
	stop()
	t.finish()
}

func slowBroker(t *trial) {
	stop := t.load(120)
	for begin := time.Now(); time.Since(begin) < 15*time.Second; {
		n := t.nodes[t.r.IntN(len(t.nodes))]
		t.strike("broker %d stops for a moment", n.id)
		t.signal(n, syscall.SIGSTOP)
		t.pause(200*time.Millisecond, 2*time.Second)
		t.signal(n, syscall.SIGCONT)
		t.pause(100*time.Millisecond, 500*time.Millisecond)
	}
	time.Sleep(3 * time.Second)
	stop()
	t.finish()
}

func killOneOfThree(t *trial) {
	stop := t.load(120)
	first := t.r.IntN(3)
	for i := range 2 {
		t.bounce(t.nodes[(first+i)%3], 12*time.Second)
	}
	stop()
	t.finish()
}

// bounce kills a broker, starts it again after a while, and waits a little.
func (t *trial) bounce(n *node, away time.Duration) {
	t.strike("broker %d is killed", n.id)
	t.kill(n)
	time.Sleep(away)
	t.start(n)
	t.strike("broker %d has started", n.id)
	time.Sleep(10 * time.Second)
}

func freezeOneOfThree(t *trial) {
	stop := t.load(120)
	n := t.nodes[t.r.IntN(3)]
	t.strike("broker %d is frozen", n.id)
	t.signal(n, syscall.SIGSTOP)
	time.Sleep(20 * time.Second)
	t.signal(n, syscall.SIGCONT)
	t.strike("broker %d is thawed", n.id)
	time.Sleep(8 * time.Second)
	stop()
	t.finish()
}

func moveLeaders(t *trial) {
	stop := t.load(120)
	for range 6 {
		time.Sleep(2 * time.Second)
		next := func(p kmsg.MetadataResponseTopicPartition) int32 { return p.Leader%3 + 1 }
		t.strike("the leaders move")
		t.lead(t.volumes, next)
		t.lead(t.classifications, next)
	}
	time.Sleep(3 * time.Second)
	stop()
	t.finish()
}

func moveCoordinator(t *trial) {
	stop := t.load(120)
	for range 3 {
		time.Sleep(3 * time.Second)
		to := t.coordinator(t.group).id%3 + 1
		t.strike("the coordinator moves to broker %d", to)
		t.lead("__consumer_offsets", func(kmsg.MetadataResponseTopicPartition) int32 { return to })
	}
	time.Sleep(8 * time.Second)
	stop()
	t.finish()
}

func killCoordinator(t *trial) {
	stop := t.load(120)
	t.bounce(t.coordinator(t.group), 10*time.Second)
	stop()
	t.finish()
}

// uncleanElection makes a topic with two replicas lose its leader while the other replica lacks messages.
func uncleanElection(t *trial) {
	t.w.set("kafka.session_timeout", "5m") // so that the member is still one when it is thawed
	t.partitions = 1
	t.createAt(t.volumes, 1, 2, map[string]string{
		"min.insync.replicas": "1", "unclean.leader.election.enable": "true",
	})
	t.create(t.classifications, 4, nil)
	t.create(t.dead, 1, nil)
	part := t.leaders(t.volumes, 1)[0]
	leader := t.node(part.Leader)
	var behind *node
	for _, id := range part.Replicas {
		if id != part.Leader {
			behind = t.node(id)
		}
	}
	m := t.join()
	t.produce(t.next(300, "s00", "s01")...)
	t.settle()
	t.strike("broker %d ends; broker %d takes 400 volumes alone", behind.id, leader.id)
	t.kill(behind)
	t.produce(t.next(400, "s02", "s03")...)
	t.settle()
	m.freeze() // so that its next fetch is for the other log
	t.strike("broker %d is killed, broker %d starts again with 300 of 700 volumes", leader.id, behind.id)
	t.kill(leader)
	t.start(behind)
	t.elect(t.volumes, 1, 0)
	t.leaders(t.volumes, 1)
	// The new log grows beyond the position of the member.
	t.produce(t.next(700, "s04", "s05")...)
	m.thaw()
	t.settle()
	t.start(leader)
	t.produce(t.next(100, "s06", "s07")...)
	t.finish()
}
