package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/voxelstream/voxelstream/pipeline"
)

// Topic describes a topic for EnsureTopics.
type Topic struct {
	Name string
	// Partitions is the number of partitions and Replication the replication factor. 0 or -1 selects the default of the
	// cluster.
	Partitions, Replication int
	// Config holds topic settings by their names in Kafka, for example cleanup.policy: compact.
	Config map[string]string
}

// EnsureTopics creates the topics that do not exist, and waits until the leader of every partition answers. It does not
// change existing topics.
func (c *Client) EnsureTopics(ctx context.Context, topics ...Topic) error {
	return c.retry(ctx, "create topics", func(ctx context.Context) error {
		missing, err := c.missing(ctx, topics)
		if err != nil {
			return err
		}
		if len(missing) == 0 {
			return c.checkLeaders(ctx, topics)
		}
		req := &kafkago.CreateTopicsRequest{}
		for _, t := range missing {
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
			return err
		}
		for name, err := range res.Errors {
			switch {
			case err == nil || errors.Is(err, kafkago.TopicAlreadyExists):
			case neverWorks(err):
				return pipeline.Permanent(fmt.Errorf("topic %s: %w", name, err))
			default:
				return fmt.Errorf("topic %s: %w", name, err)
			}
		}
		if missing, err = c.missing(ctx, topics); err == nil && len(missing) > 0 {
			err = fmt.Errorf("topic %s is not known to all brokers yet", missing[0].Name)
		}
		if err != nil {
			return err
		}
		return c.checkLeaders(ctx, topics)
	})
}

// checkLeaders requests an offset of every partition of the topics, which only the leader of the partition answers.
func (c *Client) checkLeaders(ctx context.Context, topics []Topic) error {
	for _, t := range topics {
		n, err := c.partitions(ctx, t.Name)
		if err != nil {
			return err
		}
		if _, err := c.offsets(ctx, t.Name, kafkago.LastOffset, all(n)...); err != nil {
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

// bound is one end of a partition: kafkago.FirstOffset or kafkago.LastOffset.
type bound = int64

// offsets returns one bound of each partition, without retries: the offset of the oldest message, or the one after the
// newest.
func (c *Client) offsets(ctx context.Context, topic string, which bound, partitions ...int) (map[int]int64, error) {
	req := &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{}}
	for _, p := range partitions {
		req.Topics[topic] = append(req.Topics[topic], kafkago.OffsetRequest{Partition: p, Timestamp: which})
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
		if which == kafkago.FirstOffset {
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

// committed returns the committed offsets of a group, without retries. The offset is -1 if there is none.
func (c *Client) committed(ctx context.Context, group, topic string, partitions ...int) (map[int]int64, error) {
	res, err := c.kafka.OffsetFetch(ctx, &kafkago.OffsetFetchRequest{
		GroupID: group,
		Topics:  map[string][]int{topic: partitions},
	})
	if err == nil {
		err = res.Error
	}
	out := make(map[int]int64, len(partitions))
	if is(err, kafkago.GroupIdNotFound) {
		for _, p := range partitions {
			out[p] = -1
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
		out[p.Partition] = p.CommittedOffset
	}
	for _, p := range partitions {
		if _, ok := out[p]; !ok {
			return nil, fmt.Errorf("committed offset of %s/%d: not in the response", topic, p)
		}
	}
	return out, nil
}

// Lag returns the number of messages of each partition that a group has not committed yet. kafka-go's own values are
// wrong for groups.
func (c *Client) Lag(ctx context.Context, group, topic string) (map[int]int64, error) {
	n, err := c.partitions(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("kafka: lag of %s on %s: %w", group, topic, err)
	}
	all := all(n)
	lag := make(map[int]int64, n)
	done, err := c.committed(ctx, group, topic, all...)
	if err == nil {
		var first, last map[int]int64
		if last, err = c.offsets(ctx, topic, kafkago.LastOffset, all...); err == nil {
			first, err = c.offsets(ctx, topic, kafkago.FirstOffset, all...)
		}
		for p := range last {
			lag[p] = last[p] - max(done[p], first[p])
		}
	}
	if err != nil {
		return nil, fmt.Errorf("kafka: lag of %s on %s: %w", group, topic, err)
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
