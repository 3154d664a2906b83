package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/voxelstream/voxelstream/pipeline"
)

const (
	// defaultSession is the default session timeout, the shortest that brokers accept unless configured otherwise.
	defaultSession = 6 * time.Second
	// rebalanceTimeout is how long a rebalance waits for a member to hand over its partitions.
	rebalanceTimeout  = 10 * time.Second
	heartbeatInterval = time.Second
	// partitionWatch is how often the leader of the group looks for new partitions.
	partitionWatch = 5 * time.Second
)

// memberConfig configures a member of a consumer group.
type memberConfig struct {
	group, topic string
	instance     string        // of a static member; empty for a dynamic one
	session      time.Duration // 0 means defaultSession

	// assigned, revoked and lost are called one after the other. assigned is called with the partitions that the member
	// owns in addition to those that it owned before, possibly none. revoked is called with those that it must hand
	// over, while it is still a member: it may commit until the call returns. lost is called with those that other
	// members may own already.
	assigned, revoked, lost func(partitions []int)
	// failed is called when the member cannot join or has left the group because of an error, and joins again. A
	// permanent error means that it never can.
	failed func(error)
}

// member is a member of a consumer group. It only manages the membership; records are read elsewhere. franz-go
// manages the membership, because kafka-go has neither cooperative rebalancing nor static members (decision 0051). A
// rebalance stops only the partitions that move, and a static member that restarts within the session timeout gets
// its partitions back at once. Members of earlier releases share the group by the "range" protocol until the last one
// has left.
type member struct {
	cfg    memberConfig
	on     *Client
	client *kgo.Client
	wg     sync.WaitGroup
	cancel context.CancelFunc
}

// join starts a member that joins the group in the background.
func (c *Client) join(cfg memberConfig) (*member, error) {
	m := &member{cfg: cfg, on: c}
	report := func(f func([]int)) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, by map[string][]int32) {
			var ps []int
			for _, p := range by[cfg.topic] {
				ps = append(ps, int(p))
			}
			f(ps)
		}
	}
	// From version 10 on, OffsetCommit names topics by IDs only.
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(kmsg.OffsetCommit.Int16(), 9)
	opts := append(c.kgoOptions(),
		kgo.MaxVersions(versions),
		kgo.ConsumerGroup(cfg.group), kgo.ConsumeTopics(cfg.topic), kgo.DisableAutoCommit(),
		kgo.Balancers(kgo.CooperativeStickyBalancer(), kgo.RangeBalancer()),
		kgo.SessionTimeout(cmp.Or(cfg.session, defaultSession)), kgo.HeartbeatInterval(heartbeatInterval),
		kgo.RebalanceTimeout(rebalanceTimeout),
		kgo.MetadataMaxAge(partitionWatch), kgo.MetadataMinAge(partitionWatch/20),
		kgo.RetryBackoffFn(func(failures int) time.Duration { return min(time.Second, 50*time.Millisecond<<min(failures, 8)) }),
		kgo.OnPartitionsAssigned(report(cfg.assigned)),
		kgo.OnPartitionsRevoked(report(cfg.revoked)),
		kgo.OnPartitionsLost(report(cfg.lost)),
		kgo.WithHooks(m),
	)
	if cfg.instance != "" {
		opts = append(opts, kgo.InstanceID(cfg.instance))
	}
	var err error
	if m.client, err = kgo.NewClient(opts...); err != nil {
		return nil, fmt.Errorf("kafka: group %s: %w", cfg.group, err)
	}
	m.client.PauseFetchTopics(cfg.topic) // records are fetched by Client.fetch
	var ctx context.Context
	ctx, m.cancel = context.WithCancel(context.Background())
	m.wg.Go(func() {
		for ctx.Err() == nil { // takes the errors that OnGroupManageError has reported already
			m.client.PollFetches(ctx)
		}
	})
	return m, nil
}

// OnGroupManageError implements kgo.HookGroupManageError.
func (m *member) OnGroupManageError(err error) {
	switch {
	case errors.Is(err, kerr.InvalidSessionTimeout):
		err = pipeline.Permanent(fmt.Errorf("the brokers do not allow a session timeout of %v: choose one between their "+
			"group.min.session.timeout.ms and group.max.session.timeout.ms (kafka.session_timeout): %w",
			cmp.Or(m.cfg.session, defaultSession), err))
	case errors.Is(err, kerr.FencedInstanceID):
		err = pipeline.Permanent(fmt.Errorf("another process has joined with the instance ID %q, which must be unique "+
			"in the group (kafka.instance_id): %w", m.cfg.instance, err))
	case errors.Is(err, kerr.InconsistentGroupProtocol):
		err = fmt.Errorf("the other members have neither the protocol cooperative-sticky nor range: %w", err)
	}
	m.cfg.failed(m.on.explainGroup(err, m.cfg.group, m.cfg.topic))
}

var _ kgo.HookGroupManageError = (*member)(nil)

// generation is the state of a membership in which offsets may be committed.
type generation struct {
	member string
	number int32
}

// generation returns the current one.
func (m *member) generation() generation {
	id, number := m.client.GroupMetadata()
	return generation{id, number}
}

// commit commits the offset of a partition. The broker refuses it if the generation is over. note is stored with the
// offset.
func (m *member) commit(ctx context.Context, g generation, partition int, offset int64, note string) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation, req.MemberID = m.cfg.group, g.number, g.member
	if m.cfg.instance != "" {
		req.InstanceID = &m.cfg.instance
	}
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.Metadata = int32(partition), offset, &note
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.Partitions = m.cfg.topic, append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	res, err := req.RequestWith(ctx, m.client)
	if err != nil {
		return m.on.explainGroup(err, m.cfg.group, m.cfg.topic)
	}
	if len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1 {
		return errors.New("commit: the response is for another partition")
	}
	return m.on.explainGroup(kerr.ErrorForCode(res.Topics[0].Partitions[0].ErrorCode), m.cfg.group, m.cfg.topic)
}

// leave hands over all partitions and leaves the group. A static member stays in the group until its session times
// out, so that it gets its partitions back when it is restarted.
func (m *member) leave(ctx context.Context) error {
	err := m.client.LeaveGroupContext(ctx)
	m.cancel()
	m.wg.Wait()
	m.client.Close()
	if err != nil {
		return fmt.Errorf("leave group %s: %w", m.cfg.group, err)
	}
	return nil
}
