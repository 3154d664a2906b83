package embedded_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/pipeline/transport/embedded"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// TestGoneWhileJoining: members whose connections end while they wait to join a group get partitions, and lose them after
// their session timeout.
func TestGoneWhileJoining(t *testing.T) {
	b := start(t, embedded.Config{})
	if err := client(t, b).EnsureTopics(t.Context(), kafka.Topic{Name: "t", Partitions: 4}); err != nil {
		t.Fatal(err)
	}
	var owned, revocations atomic.Int64
	assigned := func(_ context.Context, _ *kgo.Client, ps map[string][]int32) { owned.Add(int64(len(ps["t"]))) }
	revoked := func(_ context.Context, _ *kgo.Client, ps map[string][]int32) {
		owned.Add(-int64(len(ps["t"])))
		revocations.Add(1)
	}
	member, err := kgo.NewClient(
		kgo.SeedBrokers(b.Addr()), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.Balancers(kgo.RangeBalancer()),
		kgo.HeartbeatInterval(100*time.Millisecond), kgo.SessionTimeout(6*time.Second),
		kgo.OnPartitionsAssigned(assigned), kgo.OnPartitionsRevoked(revoked), kgo.OnPartitionsLost(revoked),
	)
	if err != nil {
		t.Fatal(err)
	}
	defer member.Close()
	wait := func(what string, done func() bool) {
		t.Helper()
		for end := time.Now().Add(testenv.Patience); !done(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: the living member has %d partitions of 4", what, owned.Load())
			}
		}
	}
	wait("alone", func() bool { return owned.Load() == 4 })

	// Version 1: group, session and rebalance timeout, no member ID, type, one protocol with its metadata: version 0, one
	// topic, no user data.
	metadata := append(append([]byte{0, 0}, ints(1)...), append(text("t"), ints(-1)...)...)
	join := request(11, 1, text("g"), ints(6000, 10_000), text(""), text("consumer"), ints(1), text("range"),
		ints(int32(len(metadata))), metadata)
	for range 6 { // to notice what happens every other time
		conn, err := net.Dial("tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(join); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wait("with the members that are gone", func() bool { return revocations.Load() > 0 })
	wait("after their session timeout", func() bool { return owned.Load() == 4 })
}
