package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/voxelstream/voxelstream/pipeline"
)

// Topic describes a topic for EnsureTopics.
type Topic struct {
	Name string
	// Partitions is the number of partitions and Replication the replication factor. 0 or -1 selects the default of the
	// cluster.
	Partitions, Replication int
	// Config holds topic settings by their names in Kafka, for example retention.ms: 86400000.
	Config map[string]string
}

// EnsureTopics creates the topics that do not exist, and waits until the leader of every partition answers. It does not
// change existing topics. Compaction keeps one message of each key only, and all messages of a stream have the same key,
// so it is an error if a topic is compacted.
func (c *Client) EnsureTopics(ctx context.Context, topics ...Topic) error {
	var created []string
	err := c.retry(ctx, "create topics", func(ctx context.Context) error {
		missing, err := c.missing(ctx, topics)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			names, err := c.create(ctx, missing)
			created = append(created, names...)
			if err != nil {
				return err
			}
			if missing, err = c.missing(ctx, topics); err == nil && len(missing) > 0 {
				err = fmt.Errorf("topic %s is not known to all brokers yet", missing[0].Name)
			}
			if err != nil {
				return err
			}
		}
		if err := c.checkLeaders(ctx, topics); err != nil {
			return err
		}
		return c.checkPolicies(ctx, topics)
	})
	if err != nil || len(created) == 0 {
		return err
	}
	if res, err := c.kafka.Metadata(ctx, &kafkago.MetadataRequest{Topics: created}); err == nil {
		for _, t := range res.Topics {
			if len(t.Partitions) > 0 {
				c.log.Info("created topic", "topic", t.Name, "partitions", len(t.Partitions),
					"replication", len(t.Partitions[0].Replicas))
			}
		}
	}
	return nil
}

// create creates topics, without retries. It returns the names of those that it has created, also with an error.
func (c *Client) create(ctx context.Context, topics []Topic) (created []string, _ error) {
	if err := c.checkDefaults(ctx, topics); err != nil {
		return nil, err
	}
	req := &kafkago.CreateTopicsRequest{}
	for _, t := range topics {
		tc := kafkago.TopicConfig{
			Topic: t.Name, NumPartitions: orDefault(t.Partitions),
			ReplicationFactor: orDefault(t.Replication),
		}
		for k, v := range t.Config {
			tc.ConfigEntries = append(tc.ConfigEntries, kafkago.ConfigEntry{ConfigName: k, ConfigValue: v})
		}
		req.Topics = append(req.Topics, tc)
	}
	res, err := c.kafka.CreateTopics(ctx, req)
	if err != nil {
		return nil, err
	}
	for name, e := range res.Errors {
		switch {
		case e == nil:
			created = append(created, name)
		case errors.Is(e, kafkago.TopicAlreadyExists):
		case neverWorks(e):
			err = errors.Join(err, pipeline.Permanent(fmt.Errorf("topic %s: %w", name, e)))
		default:
			err = errors.Join(err, fmt.Errorf("topic %s: %w", name, e))
		}
	}
	return created, err
}

// defaultsVersion is the first version of CreateTopics that supports the defaults of the cluster (Kafka 2.4).
const defaultsVersion = 4

// checkDefaults returns an error if topics need the defaults of a cluster that has none.
func (c *Client) checkDefaults(ctx context.Context, topics []Topic) error {
	i := slices.IndexFunc(topics, func(t Topic) bool { return t.Replication <= 0 || t.Partitions <= 0 })
	if i < 0 {
		return nil
	}
	res, err := c.kafka.ApiVersions(ctx, &kafkago.ApiVersionsRequest{})
	if err != nil {
		return err
	}
	for _, k := range res.ApiKeys {
		if k.ApiKey == int(protocol.CreateTopics) && k.MaxVersion < defaultsVersion {
			return pipeline.Permanent(fmt.Errorf("topic %s cannot be created: brokers before Kafka 2.4 have no default for "+
				"the partitions and the replication factor of a topic; set kafka.partitions and kafka.replication",
				topics[i].Name))
		}
	}
	return nil
}

// policySetting is the topic setting that says whether old messages are deleted, compacted, or both.
const policySetting = "cleanup.policy"

// checkPolicies returns an error if a topic is compacted. If this client may not see the settings, it logs a warning.
func (c *Client) checkPolicies(ctx context.Context, topics []Topic) error {
	req := &kafkago.DescribeConfigsRequest{}
	for _, t := range topics {
		req.Resources = append(req.Resources, kafkago.DescribeConfigRequestResource{
			ResourceType: kafkago.ResourceTypeTopic, ResourceName: t.Name, ConfigNames: []string{policySetting},
		})
	}
	res, err := c.kafka.DescribeConfigs(ctx, req)
	if err != nil {
		return err
	}
	for _, r := range res.Resources {
		if is(r.Error, kafkago.TopicAuthorizationFailed, kafkago.ClusterAuthorizationFailed) {
			c.log.Warn("kafka: the settings of a topic cannot be checked; if it is compacted, messages will be lost. "+
				"Allow DescribeConfigs on the topic", "topic", r.ResourceName, "error", r.Error)
			continue
		}
		if r.Error != nil {
			return fmt.Errorf("settings of topic %s: %w", r.ResourceName, r.Error)
		}
		for _, e := range r.ConfigEntries {
			if e.ConfigName == policySetting && strings.Contains(e.ConfigValue, "compact") {
				return pipeline.Permanent(fmt.Errorf("topic %s: found %s=%s, want delete: compaction would remove all but the "+
					"last message of each stream. Change it with: kafka-configs.sh --bootstrap-server %s --alter "+
					"--entity-type topics --entity-name %s --add-config %s=delete", r.ResourceName, policySetting,
					e.ConfigValue, c.cfg.Brokers[0], r.ResourceName, policySetting))
			}
		}
	}
	return nil
}

// checkLeaders requests an offset of every partition of the topics, which only the leader of the partition answers.
func (c *Client) checkLeaders(ctx context.Context, topics []Topic) error {
	for _, t := range topics {
		n, err := c.partitions(ctx, t.Name)
		if err != nil {
			return err
		}
		if _, err := c.offsets(ctx, t.Name, highWatermark, all(n)...); err != nil {
			return err
		}
	}
	return nil
}

func orDefault(n int) int {
	if n <= 0 {
		return -1
	}
	return n
}

func (c *Client) missing(ctx context.Context, topics []Topic) ([]Topic, error) {
	var names []string
	for _, t := range topics {
		names = append(names, t.Name)
	}
	res, err := c.kafka.Metadata(ctx, &kafkago.MetadataRequest{Topics: names})
	if err != nil {
		return nil, err
	}
	var out []Topic
	for _, t := range topics {
		i := slices.IndexFunc(res.Topics, func(m kafkago.Topic) bool {
			return m.Name == t.Name && m.Error == nil && len(m.Partitions) > 0
		})
		if i < 0 {
			out = append(out, t)
		}
	}
	return out, nil
}

// Partitions returns the number of partitions of a topic. It waits until the topic exists.
func (c *Client) Partitions(ctx context.Context, topic string) (n int, err error) {
	err = c.retry(ctx, "look up topic "+topic, func(ctx context.Context) error {
		n, err = c.partitions(ctx, topic)
		return err
	})
	return n, err
}

// ErrNoTopic means that a topic does not exist.
var ErrNoTopic = errors.New("the topic does not exist")

// CheckTopic returns an error that wraps [ErrNoTopic] if a topic does not exist. It does not wait for one.
func (c *Client) CheckTopic(ctx context.Context, topic string) error {
	return c.retry(ctx, "look up topic "+topic, func(ctx context.Context) error {
		_, err := c.partitions(ctx, topic)
		if is(err, kafkago.UnknownTopicOrPartition) {
			return pipeline.Permanent(fmt.Errorf("%s: %w", topic, ErrNoTopic))
		}
		return err
	})
}

// partitions is Partitions without retries.
func (c *Client) partitions(ctx context.Context, topic string) (int, error) {
	res, err := c.kafka.Metadata(ctx, &kafkago.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return 0, err
	}
	for _, t := range res.Topics {
		if t.Name == topic && t.Error == nil && len(t.Partitions) > 0 {
			return len(t.Partitions), nil
		} else if t.Name == topic && t.Error != nil {
			return 0, t.Error
		}
	}
	return 0, kafkago.UnknownTopicOrPartition
}

// partitionsNow is partitions, but does not use kafka-go's copy of the metadata.
func (c *Client) partitionsNow(ctx context.Context, topic string) (int, error) {
	res, err := c.metadata(ctx, c.transport, topic)
	if err != nil {
		return 0, err
	}
	for _, t := range res.Topics {
		switch {
		case t.Topic == nil || *t.Topic != topic:
		case t.ErrorCode != 0:
			return 0, kafkago.Error(t.ErrorCode)
		case len(t.Partitions) > 0:
			return len(t.Partitions), nil
		}
	}
	return 0, kafkago.UnknownTopicOrPartition
}

// bound is an offset that every partition has.
type bound int

const (
	// firstOffset is the offset of the oldest message.
	firstOffset bound = iota
	// lastStable is the offset after the newest message that does not belong to an open transaction or follow one.
	lastStable
	// highWatermark is the offset after the newest message.
	highWatermark
)

// offsets returns a bound of each partition, without retries.
func (c *Client) offsets(ctx context.Context, topic string, which bound, partitions ...int) (map[int]int64, error) {
	req := &kafkago.ListOffsetsRequest{
		Topics: map[string][]kafkago.OffsetRequest{}, IsolationLevel: kafkago.ReadUncommitted,
	}
	when := kafkago.LastOffset
	switch which {
	case firstOffset:
		when = kafkago.FirstOffset
	case lastStable:
		req.IsolationLevel = kafkago.ReadCommitted
	case highWatermark:
	}
	for _, p := range partitions {
		req.Topics[topic] = append(req.Topics[topic], kafkago.OffsetRequest{Partition: p, Timestamp: when})
	}
	res, err := c.kafka.ListOffsets(ctx, req)
	if err != nil {
		return nil, err
	}
	out := make(map[int]int64, len(partitions))
	for _, p := range res.Topics[topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("offsets of %s/%d: %w", topic, p.Partition, p.Error)
		}
		out[p.Partition] = p.LastOffset
		if which == firstOffset {
			out[p.Partition] = p.FirstOffset
		}
	}
	for _, p := range partitions {
		if _, ok := out[p]; !ok {
			return nil, fmt.Errorf("offsets of %s/%d: not in the response", topic, p)
		}
	}
	return out, nil
}

// commit is what a group has committed for a partition.
type commit struct {
	offset int64    // -1: nothing
	log    *lineage // of the log that the offset belongs to; nil: not known
}

// commits returns what a group has committed, without retries.
func (c *Client) commits(ctx context.Context, group, topic string, partitions ...int) (map[int]commit, error) {
	res, err := c.kafka.OffsetFetch(ctx, &kafkago.OffsetFetchRequest{
		GroupID: group,
		Topics:  map[string][]int{topic: partitions},
	})
	if err == nil {
		err = res.Error
	}
	out := make(map[int]commit, len(partitions))
	if is(err, kafkago.GroupIdNotFound) {
		for _, p := range partitions {
			out[p] = commit{offset: -1}
		}
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	for _, p := range res.Topics[topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("committed offset of %s/%d: %w", topic, p.Partition, p.Error)
		}
		out[p.Partition] = commit{offset: p.CommittedOffset, log: parseLineage(p.Metadata)}
	}
	for _, p := range partitions {
		if _, ok := out[p]; !ok {
			return nil, fmt.Errorf("committed offset of %s/%d: not in the response", topic, p)
		}
	}
	return out, nil
}

// changed returns nil if a committed offset belongs to the current log of a partition, or else the position to
// continue at. id is the ID of the topic.
func (c *Client) changed(ctx context.Context, topic string, partition int, id topicID, was commit) (*moved, error) {
	if was.log == nil || was.offset < 0 {
		return nil, nil //nolint:nilnil // it is not known
	}
	if old := was.log.id; old != id && old != (topicID{}) && id != (topicID{}) {
		return &moved{}, nil
	}
	d, err := c.diverges(ctx, topic, partition, was.log, was.offset)
	if d == nil || err != nil {
		return nil, err
	}
	to := was.log.join(d, was.offset)
	m := &moved{to: to, log: was.log.upTo(to)}
	m.log.id = id
	return m, nil
}

// Lag returns the number of messages of each partition that a group has not committed yet. kafka-go's own values are
// wrong for groups. Messages of open transactions, and those after them, do not count yet.
func (c *Client) Lag(ctx context.Context, group, topic string) (map[int]int64, error) {
	lag, err := c.lag(ctx, group, topic)
	if err != nil {
		return nil, fmt.Errorf("kafka: lag of %s on %s: %w", group, topic, err)
	}
	return lag, nil
}

func (c *Client) lag(ctx context.Context, group, topic string) (map[int]int64, error) {
	n, err := c.partitions(ctx, topic)
	if err != nil {
		return nil, err
	}
	all := all(n)
	done, err := c.commits(ctx, group, topic, all...)
	if err != nil {
		return nil, err
	}
	last, err := c.offsets(ctx, topic, lastStable, all...)
	if err != nil {
		return nil, err
	}
	first, err := c.offsets(ctx, topic, firstOffset, all...)
	if err != nil {
		return nil, err
	}
	lag := make(map[int]int64, n)
	sum := int64(0)
	for p := range last {
		from := max(done[p].offset, first[p])
		if from > last[p] {
			from = first[p] // the offset is of another log
		}
		lag[p] = last[p] - from
		sum += lag[p]
	}
	if sum > 0 {
		return lag, nil
	}
	// Nothing seems to be left. Offsets of other logs may look so.
	id, err := c.topicID(ctx, topic)
	if err != nil {
		return nil, err
	}
	for p := range last {
		m, err := c.changed(ctx, topic, p, id, done[p])
		if err != nil {
			return nil, err
		}
		if m != nil {
			lag[p] = last[p] - max(first[p], m.to)
		}
	}
	return lag, nil
}

// all returns the partitions from 0 to n-1.
func all(n int) []int {
	ps := make([]int, n)
	for i := range ps {
		ps[i] = i
	}
	return ps
}
