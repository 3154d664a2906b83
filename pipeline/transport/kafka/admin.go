package kafka

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/describegroups"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ClusterState describes the brokers and topics of a cluster.
type ClusterState struct {
	// ID is the identifier of the cluster, and Brokers the number of brokers that are alive.
	ID      string
	Brokers int
	// Topics are sorted by name.
	Topics []TopicState

	nodes []int // IDs of the brokers
}

// TopicState describes a topic.
type TopicState struct {
	Name       string
	Partitions []PartitionState
	// Config holds the settings by their names in Kafka. It is nil if the cluster does not tell them, because the
	// client has no right to.
	Config map[string]string
}

// PartitionState describes a partition of a topic.
type PartitionState struct {
	Partition int
	// Leader is host:port. It is empty if no leader is alive.
	Leader string
	// Replicas and InSync are the numbers of replicas, and of those that hold everything.
	Replicas, InSync int
	// First is the offset of the oldest message, and End the offset after the newest one. They are -1 if no leader is
	// alive.
	First, End int64
	// Oldest and Newest are when the first and the last message were sent. They are zero if that is not known.
	Oldest, Newest time.Time
	// Bytes is the size on the leader's disk, or -1 if it is not known.
	Bytes int64
}

// Messages returns the number of offsets in use: the number of messages, unless the topic is compacted or has
// transactions.
func (p *PartitionState) Messages() int64 { return max(0, p.End-p.First) }

// GroupState describes a consumer group.
type GroupState struct {
	Name string
	// State is the state in Kafka's words: Stable, Empty, PreparingRebalance, CompletingRebalance or Dead. It is empty if
	// the cluster does not tell.
	State   string
	Members int
	// Partitions are those with a committed offset or an owner, sorted by topic and number.
	Partitions []GroupPartition
}

// GroupPartition describes the position of a group in a partition.
type GroupPartition struct {
	Topic     string
	Partition int
	// Member is the instance ID of the member that owns the partition, or its member ID if it has none, and Host its
	// address. They are empty without an owner.
	Member, Host string
	// Committed is the next offset that the group will read after a restart, or -1 if it has not committed any.
	Committed int64
	// First is the offset of the oldest message, and End the offset after the newest one. They are -1 if the topic no
	// longer exists or no leader is alive.
	First, End int64
	// Next is when the first message that is not committed was sent. It is zero if there is none, or if the time is not
	// known.
	Next time.Time
}

// Lag returns the number of messages that the group has not committed.
func (p *GroupPartition) Lag() int64 { return max(0, p.End-max(p.Committed, p.First, 0)) }

// adminParallel is the number of partitions whose message times are requested at the same time.
const adminParallel = 8

// DescribeTopics describes topics, or all but Kafka's own if no name is given. Those that do not exist are left out.
func (c *Client) DescribeTopics(ctx context.Context, names ...string) (state *ClusterState, err error) {
	err = c.retry(ctx, "describe topics", func(ctx context.Context) error {
		state, err = c.clusterState(ctx, names)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(state.nodes) > 0 {
		if err := c.addConfigs(ctx, state, strconv.Itoa(state.nodes[0])); err != nil {
			return nil, err
		}
	}
	c.addSizes(ctx, state)
	var times []func()
	for i := range state.Topics {
		t := &state.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if p.Messages() > 0 {
				times = append(times,
					func() { p.Oldest = c.sentAt(ctx, t.Name, p.Partition, p.First) },
					func() { p.Newest = c.lastSentAt(ctx, t.Name, p.Partition, p.First, p.End) })
			}
		}
	}
	parallel(times)
	return state, ctx.Err()
}

// clusterState returns the brokers and topics in the metadata, and the offsets.
func (c *Client) clusterState(ctx context.Context, names []string) (*ClusterState, error) {
	res, err := c.kafka.Metadata(ctx, &kafkago.MetadataRequest{Topics: names})
	if err != nil {
		return nil, err
	}
	state := &ClusterState{ID: res.ClusterID, Brokers: len(res.Brokers)}
	for _, b := range res.Brokers {
		state.nodes = append(state.nodes, b.ID)
	}
	for _, t := range res.Topics {
		switch {
		case is(t.Error, kafkago.UnknownTopicOrPartition) || len(names) == 0 && t.Internal:
			continue
		case t.Error != nil:
			return nil, fmt.Errorf("topic %s: %w", t.Name, t.Error)
		}
		topic := TopicState{Name: t.Name}
		var led []int
		for _, p := range t.Partitions {
			s := PartitionState{
				Partition: p.ID, Replicas: len(p.Replicas), InSync: len(p.Isr), First: -1, End: -1, Bytes: -1,
			}
			if p.Leader.Host != "" {
				s.Leader = fmt.Sprintf("%s:%d", p.Leader.Host, p.Leader.Port)
				led = append(led, p.ID)
			}
			topic.Partitions = append(topic.Partitions, s)
		}
		slices.SortFunc(topic.Partitions, func(a, b PartitionState) int { return cmp.Compare(a.Partition, b.Partition) })
		first, end, err := c.bothEnds(ctx, t.Name, led)
		if err != nil {
			return nil, err
		}
		for i := range topic.Partitions {
			p := &topic.Partitions[i]
			if p.Leader != "" {
				p.First, p.End = first[p.Partition], end[p.Partition]
			}
		}
		state.Topics = append(state.Topics, topic)
	}
	slices.SortFunc(state.Topics, func(a, b TopicState) int { return strings.Compare(a.Name, b.Name) })
	return state, nil
}

func (c *Client) bothEnds(ctx context.Context, topic string, partitions []int) (first, end map[int]int64, err error) {
	if len(partitions) == 0 {
		return nil, nil, nil
	}
	if first, err = c.offsets(ctx, topic, firstOffset, partitions...); err != nil {
		return nil, nil, err
	}
	end, err = c.offsets(ctx, topic, lastStable, partitions...)
	return first, end, err
}

// topicSettings are the settings that operators need, with the broker's settings that they default to.
var topicSettings = map[string]string{
	"cleanup.policy": "log.cleanup.policy", "retention.ms": "log.retention.ms", "retention.bytes": "log.retention.bytes",
	"max.message.bytes": "message.max.bytes", "min.insync.replicas": "min.insync.replicas",
}

// sourceDefault is the source of a setting that neither the topic nor the broker sets.
const sourceDefault = 5

// addConfigs adds the settings of topics. Reading them needs a right that reading the topic does not need.
func (c *Client) addConfigs(ctx context.Context, state *ClusterState, broker string) error {
	topics := state.Topics
	if len(topics) == 0 {
		return nil
	}
	req := &kafkago.DescribeConfigsRequest{}
	for _, t := range topics {
		req.Resources = append(req.Resources, kafkago.DescribeConfigRequestResource{
			ResourceType: kafkago.ResourceTypeTopic, ResourceName: t.Name,
			ConfigNames: slices.Sorted(maps.Keys(topicSettings)),
		})
	}
	return c.retry(ctx, "describe the settings of topics", func(ctx context.Context) error {
		res, err := c.kafka.DescribeConfigs(ctx, req)
		if err != nil {
			return err
		}
		var ofBroker map[string]string
		for _, r := range res.Resources {
			i := slices.IndexFunc(topics, func(t TopicState) bool { return t.Name == r.ResourceName })
			if i < 0 || r.Error != nil {
				continue
			}
			topics[i].Config = map[string]string{}
			for _, e := range r.ConfigEntries {
				if e.ConfigSource == sourceDefault && ofBroker == nil {
					ofBroker = c.brokerConfig(ctx, broker)
				}
				v, ok := ofBroker[topicSettings[e.ConfigName]]
				if e.ConfigSource != sourceDefault || !ok {
					v = e.ConfigValue
				}
				topics[i].Config[e.ConfigName] = v
			}
		}
		return nil
	})
}

// brokerConfig returns the settings of a broker that are not defaults. Apache Kafka includes them in those of a topic; the
// embedded broker does not.
func (c *Client) brokerConfig(ctx context.Context, id string) map[string]string {
	out := map[string]string{}
	res, err := c.kafka.DescribeConfigs(ctx, &kafkago.DescribeConfigsRequest{
		Resources: []kafkago.DescribeConfigRequestResource{{
			ResourceType: kafkago.ResourceTypeBroker, ResourceName: id,
			ConfigNames: slices.Sorted(maps.Values(topicSettings)),
		}},
	})
	if err != nil {
		c.log.Debug("kafka: settings of the broker are not known", "broker", id, "error", err)
		return out
	}
	for _, r := range res.Resources {
		for _, e := range r.ConfigEntries {
			if e.ConfigSource != sourceDefault && e.ConfigValue != "" {
				out[e.ConfigName] = e.ConfigValue
			}
		}
	}
	return out
}

// newestLogDirs is the newest version of DescribeLogDirs that is used here.
const newestLogDirs = 4

// addSizes adds the sizes of partitions if the brokers report them.
func (c *Client) addSizes(ctx context.Context, state *ClusterState) {
	type key struct {
		topic     string
		partition int
	}
	sizes := map[key]int64{}
	for _, id := range state.nodes {
		req := kmsg.NewPtrDescribeLogDirsRequest() // of all topics
		res, err := ask[*kmsg.DescribeLogDirsResponse](ctx, c, toBroker(int32(id)), req, newestLogDirs)
		if err != nil {
			c.log.Debug("kafka: sizes of topics are not known", "broker", id, "error", err)
			continue
		}
		for _, dir := range res.Dirs {
			for _, t := range dir.Topics {
				for _, p := range t.Partitions {
					if k := (key{t.Topic, int(p.Partition)}); !p.IsFuture {
						sizes[k] = max(sizes[k], p.Size) // the largest replica: others may be behind
					}
				}
			}
		}
	}
	for i := range state.Topics {
		t := &state.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if n, ok := sizes[key{t.Name, p.Partition}]; ok {
				p.Bytes = n
			}
		}
	}
}

// sentAt returns when a message was sent, or the zero time if it cannot be read: compaction may have deleted it, and a
// transaction ends with a record that is not a message.
func (c *Client) sentAt(ctx context.Context, topic string, partition int, offset int64) time.Time {
	ms, err := c.Fetch(ctx, topic, partition, offset, 1)
	if err != nil || len(ms) == 0 {
		c.log.Debug("kafka: time of a message is not known", "topic", topic, "partition", partition, "offset", offset,
			"error", err)
		return time.Time{}
	}
	return ms[0].Appended
}

// maxMarkers is how many records at the end of a partition may be no messages for the time of the last one to be found.
const maxMarkers = 1 << 12

// lastSentAt returns when the last message of a partition was sent, or the zero time if it is not found. The last
// records may not be messages: each claim of a source leaves one on every partition.
func (c *Client) lastSentAt(ctx context.Context, topic string, partition int, first, end int64) time.Time {
	for back := int64(1); back <= maxMarkers; back *= 2 {
		ms, err := c.Fetch(ctx, topic, partition, max(first, end-back), maxFetchBytes)
		if err != nil {
			c.log.Debug("kafka: time of the last message is not known", "topic", topic, "partition", partition, "error", err)
			break
		}
		if len(ms) > 0 {
			return ms[len(ms)-1].Appended
		}
		if end-back <= first {
			break
		}
	}
	return time.Time{}
}

// parallel runs functions, a few at a time.
func parallel(fs []func()) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, adminParallel)
	for _, f := range fs {
		slots <- struct{}{}
		wg.Go(func() {
			f()
			<-slots
		})
	}
	wg.Wait()
}

// Groups returns the names of the consumer groups that this client may see, sorted.
func (c *Client) Groups(ctx context.Context) (names []string, err error) {
	err = c.retry(ctx, "list groups", func(ctx context.Context) error {
		res, err := c.kafka.ListGroups(ctx, &kafkago.ListGroupsRequest{})
		if err == nil {
			err = res.Error
		}
		if err != nil {
			return err
		}
		names = nil
		for _, g := range res.Groups {
			if g.ProtocolType == "consumer" || g.ProtocolType == "" { // "" is a group without members
				names = append(names, g.GroupID)
			}
		}
		slices.Sort(names)
		names = slices.Compact(names)
		return nil
	})
	return names, err
}

// DescribeGroup describes a consumer group. One that does not exist has no partitions.
func (c *Client) DescribeGroup(ctx context.Context, name string) (*GroupState, error) {
	g := &GroupState{Name: name}
	err := c.retry(ctx, "describe group "+name, func(ctx context.Context) error {
		g.Partitions = nil
		committed, err := c.allCommitted(ctx, name)
		if err != nil {
			return err
		}
		g.Partitions = committed
		return c.addOwners(ctx, g)
	})
	if err != nil {
		return nil, err
	}
	if err := c.addEnds(ctx, g); err != nil {
		return nil, err
	}
	slices.SortFunc(g.Partitions, func(a, b GroupPartition) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	var times []func()
	for i := range g.Partitions {
		if p := &g.Partitions[i]; p.Lag() > 0 {
			times = append(times, func() { p.Next = c.sentAt(ctx, p.Topic, p.Partition, p.End-p.Lag()) })
		}
	}
	parallel(times)
	return g, ctx.Err()
}

// allCommitted returns all offsets that a group has committed, without retries.
func (c *Client) allCommitted(ctx context.Context, group string) ([]GroupPartition, error) {
	res, err := c.kafka.OffsetFetch(ctx, &kafkago.OffsetFetchRequest{GroupID: group}) // nil stands for all topics
	if err == nil {
		err = res.Error
	}
	if is(err, kafkago.GroupIdNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []GroupPartition
	for topic, ps := range res.Topics {
		for _, p := range ps {
			if p.Error != nil {
				return nil, fmt.Errorf("committed offset of %s/%d: %w", topic, p.Partition, p.Error)
			}
			if p.CommittedOffset >= 0 {
				out = append(out, GroupPartition{
					Topic: topic, Partition: p.Partition, Committed: p.CommittedOffset,
					First: -1, End: -1,
				})
			}
		}
	}
	return out, nil
}

// addOwners adds the state of the group and the owners of its partitions, without retries. kafka-go's own method fails if
// the metadata of a member are newer than it knows, such as those of franz-go.
func (c *Client) addOwners(ctx context.Context, g *GroupState) error {
	m, err := c.transport.RoundTrip(ctx, c.kafka.Addr, &describegroups.Request{Groups: []string{g.Name}})
	if err != nil {
		return err
	}
	for _, found := range m.(*describegroups.Response).Groups {
		if code := kafkago.Error(found.ErrorCode); code == kafkago.GroupIdNotFound {
			continue
		} else if code != 0 {
			return code
		}
		g.State, g.Members = found.GroupState, len(found.Members)
		for _, m := range found.Members {
			var a kmsg.ConsumerMemberAssignment
			if err := a.ReadFrom(m.MemberAssignment); err != nil {
				c.log.Debug("kafka: partitions of a member are not known", "group", g.Name, "member", m.MemberID,
					"error", err)
				continue
			}
			for _, t := range a.Topics {
				for _, p := range t.Partitions {
					g.own(t.Topic, int(p), cmp.Or(m.GroupInstanceID, m.MemberID), strings.TrimPrefix(m.ClientHost, "/"))
				}
			}
		}
	}
	return nil
}

// own sets the owner of a partition.
func (g *GroupState) own(topic string, partition int, member, host string) {
	for i := range g.Partitions {
		if p := &g.Partitions[i]; p.Topic == topic && p.Partition == partition {
			p.Member, p.Host = member, host
			return
		}
	}
	g.Partitions = append(g.Partitions, GroupPartition{
		Topic: topic, Partition: partition, Member: member, Host: host, Committed: -1, First: -1, End: -1,
	})
}

// addEnds adds the partitions of the group's topics that it has neither committed nor assigned, and the offsets of all.
func (c *Client) addEnds(ctx context.Context, g *GroupState) error {
	var names []string
	for _, p := range g.Partitions {
		if !slices.Contains(names, p.Topic) {
			names = append(names, p.Topic)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return c.retry(ctx, "list offsets of the topics of "+g.Name, func(ctx context.Context) error {
		state, err := c.clusterState(ctx, names)
		if err != nil {
			return err
		}
		for _, t := range state.Topics {
			for _, s := range t.Partitions {
				i := slices.IndexFunc(g.Partitions, func(p GroupPartition) bool {
					return p.Topic == t.Name && p.Partition == s.Partition
				})
				if i < 0 {
					i = len(g.Partitions)
					g.Partitions = append(g.Partitions, GroupPartition{
						Topic: t.Name, Partition: s.Partition, Committed: -1,
					})
				}
				g.Partitions[i].First, g.Partitions[i].End = s.First, s.End
			}
		}
		return nil
	})
}
