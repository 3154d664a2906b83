package kafka

import (
	"net"
	"slices"
	"strconv"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestDescribeTopics: offsets, times, sizes and settings of topics. Topics that do not exist are left out.
func TestDescribeTopics(t *testing.T) {
	begin := time.Now().Add(-time.Millisecond).Truncate(time.Millisecond)
	_, c, p := fake(t, 2, "other")
	created, err := c.kafka.CreateTopics(t.Context(), &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{
		Topic: "t", NumPartitions: 2, ReplicationFactor: 1, ConfigEntries: []kafkago.ConfigEntry{
			{ConfigName: "cleanup.policy", ConfigValue: "compact"}, {ConfigName: "retention.ms", ConfigValue: "5000"},
		},
	}}})
	if err == nil {
		err = created.Errors["t"]
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Produce(t.Context(), "t", numbered(3)...); err != nil { // one key, so one partition
		t.Fatal(err)
	}
	state, err := c.DescribeTopics(t.Context(), "t", "missing", "other")
	if err != nil {
		t.Fatal(err)
	}
	if state.Brokers != 1 || len(state.Topics) != 2 || state.Topics[0].Name != "other" || state.Topics[1].Name != "t" {
		t.Fatalf("found %+v", state)
	}
	topic := state.Topics[1]
	if topic.Config["cleanup.policy"] != "compact" || topic.Config["retention.ms"] != "5000" {
		t.Errorf("found the settings %v", topic.Config)
	}
	full, empty := topic.Partitions[0], topic.Partitions[1]
	if empty.Messages() > 0 {
		full, empty = empty, full
	}
	if full.First != 0 || full.End != 3 || full.Messages() != 3 || full.Bytes <= 0 || full.Replicas != 1 ||
		full.InSync != 1 || full.Leader == "" {
		t.Errorf("found %+v", full)
	}
	for _, at := range []time.Time{full.Oldest, full.Newest} {
		if at.Before(begin) || time.Since(at) < 0 {
			t.Errorf("found a message sent at %v, want a time from %v to now", at, begin)
		}
	}
	if empty.Messages() != 0 || !empty.Oldest.IsZero() || !empty.Newest.IsZero() || empty.Bytes != 0 {
		t.Errorf("found %+v", empty)
	}
	every, err := c.DescribeTopics(t.Context())
	if err != nil || len(every.Topics) != 2 {
		t.Errorf("without names: found %+v, %v", every, err)
	}
}

// TestDescribeTopicsOfBroker: the settings that a topic takes from the configuration of its broker.
func TestDescribeTopicsOfBroker(t *testing.T) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"),
		kfake.BrokerConfigs(map[string]string{"log.retention.ms": "7000"}))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	c, err := Open(Config{Brokers: broker.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	state, err := c.DescribeTopics(t.Context(), "t")
	if err != nil || state.Topics[0].Config["retention.ms"] != "7000" {
		t.Errorf("found %+v, %v", state, err)
	}
}

// TestDescribeTopicsUnderReplicated: what the metadata say about replicas and a missing leader.
func TestDescribeTopicsUnderReplicated(t *testing.T) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "t"))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	broker.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		req := r.(*kmsg.MetadataRequest)
		res := req.ResponseKind().(*kmsg.MetadataResponse)
		host, port := hostPort(t, broker.ListenAddrs()[0])
		res.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 0, Host: host, Port: port}}
		res.Topics = []kmsg.MetadataResponseTopic{{Topic: new("t"), Partitions: []kmsg.MetadataResponseTopicPartition{
			{Partition: 0, Leader: 0, Replicas: []int32{0, 1, 2}, ISR: []int32{0}},
			{Partition: 1, Leader: -1, Replicas: []int32{1, 2}, ErrorCode: 5},
		}}}
		return res, nil, true
	})
	c, err := Open(Config{Brokers: broker.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	state, err := c.DescribeTopics(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	ps := state.Topics[0].Partitions
	if ps[0].Replicas != 3 || ps[0].InSync != 1 || ps[0].End != 0 || ps[1].Leader != "" || ps[1].End != -1 {
		t.Errorf("found %+v", ps)
	}
}

// TestDescribeGroup: owner, position and the age of what is not committed. Groups are found by their name.
func TestDescribeGroup(t *testing.T) {
	_, c, p := fake(t, 2, "t")
	before := time.Now().Add(-time.Millisecond).Truncate(time.Millisecond)
	if _, err := p.Produce(t.Context(), "t", numbered(5)...); err != nil {
		t.Fatal(err)
	}
	g, err := c.DescribeGroup(t.Context(), "g")
	if err != nil || g.Members != 0 || len(g.Partitions) != 0 {
		t.Fatalf("a group that does not exist: found %+v, %v", g, err)
	}
	k := consume(t, c, ConsumerConfig{})
	d := next(t, k)
	for range 2 {
		d.Settle(nil)
		d = next(t, k)
	}
	part := d.Value.Partition
	for { // until the commit is there
		if g, err = c.DescribeGroup(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		if len(g.Partitions) == 2 && g.Partitions[part].Committed == 2 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	full, empty := g.Partitions[part], g.Partitions[1-part]
	if g.State != "Stable" || g.Members != 1 || full.Member == "" || full.Host == "" || full.Lag() != 3 ||
		full.End != 5 || empty.Member != full.Member || empty.Lag() != 0 || !empty.Next.IsZero() {
		t.Errorf("found %+v", g)
	}
	if full.Next.Before(before) || time.Since(full.Next) < 0 {
		t.Errorf("the first message that is not committed was sent at %v", full.Next)
	}
	if names, err := c.Groups(t.Context()); err != nil || !slices.Equal(names, []string{"g"}) {
		t.Errorf("found the groups %v, %v", names, err)
	}
	d.Settle(nil)
	if err := k.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if g, err = c.DescribeGroup(t.Context(), "g"); err != nil || g.Members != 0 || g.Partitions[0].Member != "" {
		t.Errorf("without members: found %+v, %v", g, err)
	}
}

// TestGroupLag: positions outside the log.
func TestGroupLag(t *testing.T) {
	for want, p := range map[int64]GroupPartition{
		3: {Committed: -1, First: 2, End: 5},
		1: {Committed: 4, First: 2, End: 5},
		2: {Committed: 0, First: 3, End: 5},
		0: {Committed: 9, First: 2, End: 5}, // the topic was created again
	} {
		if got := p.Lag(); got != want {
			t.Errorf("%+v: found a lag of %d, want %d", p, got, want)
		}
	}
	if got := (&GroupPartition{Committed: 7, First: -1, End: -1}).Lag(); got != 0 {
		t.Errorf("without a leader: found a lag of %d", got)
	}
}

func hostPort(t *testing.T, address string) (string, int32) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return host, int32(n)
}
