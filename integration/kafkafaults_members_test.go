//go:build unix

package integration

import (
	"context"
	"net"
	"time"
)

func memberFaults() []faultCase {
	return []faultCase{
		{
			name: "members killed", what: "one of two members is killed while it works, four times, with damaged volumes " +
				"in between", on: onAny, quick: true, external: true,
			run: func(t *trial) { killMembers(t); t.finish() },
		},
		{
			name: "member frozen", what: "one of two members is frozen for 15 s", on: onAny,
			run: freezeMember,
		},
		{
			name: "member cut off", what: "the network between one of two members and the brokers is cut for 13 s",
			on: onAny, quick: true, external: true, run: cutMember,
		},
		{
			name: "members join and leave", what: "every 1 to 4 s, a member starts, stops or is killed, at random",
			on: onAny, run: comeAndGo,
		},
		{
			name: "member restarted at once", what: "one of two members is killed and restarted at once, twice",
			on: onAny, run: restartMember,
		},
	}
}

// killMembers lets two members work through volumes of which every tenth is followed by a damaged one. That becomes a
// dead letter ahead of the volumes before it, which are still in the network: outcomes come out of order, and what is
// committed matters. The members get a tenth of their time, so far less than a batch is done between two commits.
func killMembers(t *trial) {
	const volumes, kills = 600, 4
	t.w.set("model.path", must(slowModel())(t))
	t.w.set("pipeline.batch", 128)
	t.topics()
	more := func() {
		var all []sending
		for i, s := range t.next(volumes, names(0, 8)...) {
			if all = append(all, s); i/8%10 == 9 {
				all = append(all, damaged(s))
			}
		}
		t.produce(all...)
	}
	more()
	a, b := t.prepare(), t.prepare()
	for _, m := range []*member{a, b} {
		m.slow.Store(true)
		m.up()
	}
	for range kills {
		more()
		victim := t.one()
		t.some(1, victim)
		t.pause(200*time.Millisecond, 600*time.Millisecond)
		t.strike("%s is killed after %d lines", victim.name, victim.count())
		victim.kill()
		t.pause(0, time.Second)
		victim.up()
	}
	a.slow.Store(false)
	b.slow.Store(false)
}

// busy starts two members, gives them a tenth of their time and volumes to work through, and lets more flow.
func (t *trial) busy(a, b *member) (stop func()) {
	t.Helper()
	t.both(a, b)
	a.slow.Store(true)
	b.slow.Store(true)
	t.produce(t.next(3000, names(0, 8)...)...)
	stop = t.flow(60, nil, names(8, 8)...)
	t.some(60, a, b)
	return stop
}

func freezeMember(t *trial) {
	t.topics()
	a, b := t.prepare(), t.prepare()
	stop := t.busy(a, b)
	t.strike("%s is frozen", a.name)
	a.freeze()
	b.slow.Store(false)
	time.Sleep(15 * time.Second)
	t.strike("%s is thawed", a.name)
	a.thaw()
	a.slow.Store(false)
	time.Sleep(5 * time.Second)
	stop()
	t.finish()
}

// cuttable makes a member that reaches the brokers through a network that can be cut.
func (t *trial) cuttable() (*member, *network) {
	t.Helper()
	m := t.prepare()
	if t.links != nil {
		// The brokers have a listener whose address is that of the proxies.
		m.env = []string{"VOXELSTREAM_KAFKA_BROKERS=" + t.links.addrs()[0]}
		return m, t.links
	}
	space, err := newNamespace(t.T)
	if err != nil {
		t.Skipf("the embedded broker has one address, so a member that can be cut off needs a network namespace: %v", err)
	}
	links := newNetwork(t.T)
	for _, n := range t.nodes {
		links.listen(must(space.listen(n.addr))(t), n.addr)
	}
	m.begin = space.start
	m.dial = func(_ context.Context, _, addr string) (net.Conn, error) { return space.dial(addr) }
	return m, links
}

func cutMember(t *trial) {
	t.topics()
	a, links := t.cuttable()
	links.lag(20 * time.Millisecond) // so that the cut finds something on its way
	stop := t.busy(a, t.prepare())
	b := t.members[1]
	t.strike("%s is cut off", a.name)
	links.cut()
	b.slow.Store(false)
	time.Sleep(13 * time.Second)
	t.strike("the network is whole")
	links.heal()
	links.lag(0)
	a.slow.Store(false)
	time.Sleep(5 * time.Second)
	stop()
	t.finish()
}

func comeAndGo(t *trial) {
	t.topics()
	stop := t.flow(150, nil, names(0, 8)...)
	t.join().assigned()
	for begin := time.Now(); time.Since(begin) < 25*time.Second; {
		t.pause(time.Second, 4*time.Second)
		var alive, gone []*member
		for _, m := range t.members {
			if m.ended() {
				gone = append(gone, m)
			} else {
				alive = append(alive, m)
			}
		}
		switch turn := t.r.IntN(4); {
		case len(alive) == 1 || len(alive) < 3 && turn < 2:
			if len(gone) > 0 && t.r.IntN(2) == 0 {
				t.strike("%s starts again", gone[0].name)
				gone[0].up()
			} else {
				t.join()
				t.strike("m%d joins", len(t.members))
			}
		case turn == 3:
			t.strike("%s is killed", alive[0].name)
			alive[0].kill()
		default:
			m := t.one()
			t.strike("%s leaves", m.name)
			m.assigned() // one that is told to end before it works ends with another code
			m.terminate(t.T)
			m.wait(t.T, exitDone)
		}
	}
	stop()
	t.finish()
}

func restartMember(t *trial) {
	t.topics()
	stop := t.flow(150, nil, names(0, 8)...)
	a, b := t.pair()
	for _, m := range []*member{a, b} {
		time.Sleep(2 * time.Second)
		t.strike("%s is killed and starts again", m.name)
		m.kill()
		m.up()
		t.some(100, m)
	}
	stop()
	t.finish()
}
