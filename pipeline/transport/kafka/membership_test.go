package kafka

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/voxelstream/voxelstream/pipeline"
)

// tenures returns the partitions that a consumer owns, with the tenures of which they are part.
func (k *Consumer) tenures() map[int]*tenure {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.owned)
}

// waitOwned waits until each consumer owns a number of partitions.
func waitOwned(t *testing.T, want int, ks ...*Consumer) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for _, k := range ks {
		for len(k.tenures()) != want {
			if time.Now().After(deadline) {
				t.Fatalf("owns %d partitions, want %d", len(k.tenures()), want)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// TestSurvivorsContinue checks that a partition that does not move when a member joins or leaves is consumed without a
// break.
func TestSurvivorsContinue(t *testing.T) {
	_, c, _ := fake(t, 4, "t")
	first := consume(t, c, ConsumerConfig{})
	waitOwned(t, 4, first)
	before := first.tenures()

	second := consume(t, c, ConsumerConfig{})
	waitOwned(t, 2, first, second)
	kept := first.tenures()
	for p, tenure := range kept {
		if tenure != before[p] {
			t.Errorf("partition %d began anew when a member joined", p)
		}
	}
	for p := range second.tenures() {
		if kept[p] != nil {
			t.Errorf("both members own partition %d", p)
		}
	}

	if err := second.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitOwned(t, 4, first)
	after := first.tenures()
	for p, tenure := range kept {
		if tenure != after[p] {
			t.Errorf("partition %d began anew when a member left", p)
		}
	}
}

// TestStaticMember checks that a static member that comes back gets its partitions, and that the other members are
// not affected.
func TestStaticMember(t *testing.T) {
	_, c, p := fake(t, 4, "t")
	const session = 30 * time.Second // longer than the test
	one := consume(t, c, ConsumerConfig{InstanceID: "one", SessionTimeout: session})
	waitOwned(t, 4, one)
	two := consume(t, c, ConsumerConfig{InstanceID: "two", SessionTimeout: session})
	waitOwned(t, 2, one, two)
	others, had := one.tenures(), slices.Sorted(maps.Keys(two.tenures()))

	if err := two.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	two = consume(t, c, ConsumerConfig{InstanceID: "two", SessionTimeout: session})
	waitOwned(t, 2, two)
	if has := slices.Sorted(maps.Keys(two.tenures())); !slices.Equal(has, had) {
		t.Errorf("came back to partitions %v, had %v", has, had)
	}
	if now := one.tenures(); !maps.Equal(now, others) {
		t.Errorf("the other member owned %v, now %v", others, now)
	}
	// Commits of the member that came back are accepted.
	ms := numbered(40)
	for i := range ms {
		ms[i].Key = nil // to all partitions
	}
	if _, err := p.Produce(t.Context(), "t", ms...); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		next(t, one).Settle(nil)
		next(t, two).Settle(nil)
	}
	for behind := int64(1); behind > 0; time.Sleep(10 * time.Millisecond) {
		lag, err := c.Lag(t.Context(), "g", "t")
		if err != nil {
			t.Fatal(err)
		}
		behind = 0
		for _, n := range lag {
			behind += n
		}
	}
}

// TestInstanceIDTwice checks that a process exits with an error if another process uses the same instance ID.
func TestInstanceIDTwice(t *testing.T) {
	_, c, _ := fake(t, 1, "t")
	first := consume(t, c, ConsumerConfig{InstanceID: "one"})
	waitOwned(t, 1, first)
	second := consume(t, c, ConsumerConfig{InstanceID: "one"})
	if _, err := first.Read(t.Context()); !errors.Is(err, kerr.FencedInstanceID) || !pipeline.IsPermanent(err) {
		t.Errorf("the first of two processes with an instance ID: %v", err)
	}
	waitOwned(t, 1, second)
}

// TestSessionTimeoutRefused checks that a session timeout that the brokers do not allow ends the consumer.
func TestSessionTimeoutRefused(t *testing.T) {
	broker, c, _ := fake(t, 1, "t")
	broker.ControlKey(int16(kmsg.JoinGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		res := r.(*kmsg.JoinGroupRequest).ResponseKind().(*kmsg.JoinGroupResponse)
		res.ErrorCode = kerr.InvalidSessionTimeout.Code
		return res, nil, true
	})
	k := consume(t, c, ConsumerConfig{})
	if _, err := k.Read(t.Context()); !errors.Is(err, kerr.InvalidSessionTimeout) || !pipeline.IsPermanent(err) {
		t.Errorf("Read: %v", err)
	}
}

// TestTogetherWithOlderMembers checks that members of releases that know only eager rebalancing share the group, and
// that the group becomes cooperative when they have left.
func TestTogetherWithOlderMembers(t *testing.T) {
	_, c, _ := fake(t, 4, "t")
	older, err := kafkago.NewConsumerGroup(kafkago.ConsumerGroupConfig{
		ID: "g", Brokers: c.cfg.Brokers, Topics: []string{"t"}, HeartbeatInterval: 200 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	assigned := make(chan int, 100)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			g, err := older.Next(ctx)
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				assigned <- len(g.Assignments["t"])
			}
		}
	}()
	waitFor := func(want int) {
		t.Helper()
		for {
			select {
			case n := <-assigned:
				if n == want {
					return
				}
			case <-time.After(30 * time.Second):
				t.Fatalf("the older member does not own %d partitions", want)
			}
		}
	}
	waitFor(4)
	k := consume(t, c, ConsumerConfig{})
	waitFor(2)
	waitOwned(t, 2, k)
	stop()
	if err := older.Close(); err != nil {
		t.Fatal(err)
	}
	<-ended
	waitOwned(t, 4, k)
	// Only in a cooperative group does the joining of a member leave partitions alone.
	before := k.tenures()
	other := consume(t, c, ConsumerConfig{})
	waitOwned(t, 2, k, other)
	for p, tenure := range k.tenures() {
		if tenure != before[p] {
			t.Errorf("partition %d began anew: the group is not cooperative", p)
		}
	}
}

// TestLeavesWhenAborted: a consumer that is closed without time for its messages in flight still leaves
// the group.
func TestLeavesWhenAborted(t *testing.T) {
	_, c, p := fake(t, 2, "t")
	first := consume(t, c, ConsumerConfig{Handover: time.Hour})
	waitOwned(t, 2, first)
	if _, err := p.Produce(t.Context(), "t", numbered(1)...); err != nil {
		t.Fatal(err)
	}
	next(t, first) // it is never settled
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := first.Close(ctx); err != nil {
		t.Errorf("found %v, want the group to be left", err)
	}
	g, err := c.DescribeGroup(t.Context(), "g")
	if err != nil || g.Members != 0 {
		t.Errorf("found the group %+v, %v, want it without members", g, err)
	}
}
