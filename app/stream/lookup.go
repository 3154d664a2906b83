package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// TopicsReport is the result of the command topics.
type TopicsReport struct {
	Time time.Time `json:"time"`
	// Brokers is the number of brokers that are alive.
	Brokers int           `json:"brokers"`
	Topics  []TopicReport `json:"topics"`
}

// TopicReport describes a topic.
type TopicReport struct {
	Topic string `json:"topic"`
	// Missing topics are created when they are first used.
	Missing     bool       `json:"missing,omitempty"`
	Partitions  int        `json:"partitions"`
	Replication int        `json:"replication"`
	Messages    int64      `json:"messages"`
	Bytes       *int64     `json:"bytes,omitempty"`
	Oldest      *time.Time `json:"oldest,omitempty"`
	Newest      *time.Time `json:"newest,omitempty"`
	// CleanupPolicy, RetentionMS and RetentionBytes (of each partition) are absent if the cluster does not tell them. -1
	// stands for no limit.
	CleanupPolicy  string            `json:"cleanup_policy,omitempty"`
	RetentionMS    *int64            `json:"retention_ms,omitempty"`
	RetentionBytes *int64            `json:"retention_bytes,omitempty"`
	Warnings       []string          `json:"warnings,omitempty"`
	List           []PartitionReport `json:"partition_list,omitempty"`
}

// PartitionReport describes a partition of a topic.
type PartitionReport struct {
	Partition int    `json:"partition"`
	Leader    string `json:"leader,omitempty"`
	Replicas  int    `json:"replicas"`
	InSync    int    `json:"in_sync"`
	// First is the offset of the oldest message, End that after the newest one. They are -1 without a leader.
	First  int64      `json:"first_offset"`
	End    int64      `json:"end_offset"`
	Bytes  *int64     `json:"bytes,omitempty"`
	Oldest *time.Time `json:"oldest,omitempty"`
	Newest *time.Time `json:"newest,omitempty"`
}

// lookupTime is how long the cluster may take to describe its topics and groups.
const lookupTime = 30 * time.Second

// Topics describes topics: those of the configuration if there are no names, or with all, those of the cluster. It
// calls use with a report at once and then after every interval until ctx ends, or only once if the interval is 0.
func Topics(
	ctx context.Context, a *app.Env, names []string, all bool, every time.Duration, use func(*TopicsReport) error,
) error {
	k := &a.Config.Kafka
	if len(names) == 0 {
		names = append([]string{k.Volumes, k.Classifications, k.DeadLetters}, k.ReplayTopics...)
	}
	if all {
		names = nil
	}
	return looking(ctx, a, func(cl *cluster) error {
		return repeatedly(ctx, every, func(ctx context.Context) error {
			state, err := cl.client.DescribeTopics(ctx, names...)
			if err != nil {
				return err
			}
			return use(topicsReport(a, names, state, time.Now()))
		})
	})
}

// repeatedly calls f once if the interval is 0, or else after every interval until ctx ends. Each call has a time
// limit. With an interval, the end of ctx is not an error.
func repeatedly(ctx context.Context, every time.Duration, f func(context.Context) error) error {
	for {
		limited, cancel := context.WithTimeoutCause(ctx, lookupTime, fmt.Errorf("no answer within %v", lookupTime))
		err := f(limited)
		cancel()
		if every == 0 {
			return err
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end of ctx is not an error
		}
		if err != nil {
			return err
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return nil
		}
	}
}

func topicsReport(a *app.Env, names []string, state *kafka.ClusterState, now time.Time) *TopicsReport {
	r := &TopicsReport{Time: now, Brokers: state.Brokers, Topics: []TopicReport{}}
	for i := range state.Topics {
		r.Topics = append(r.Topics, topicReport(a, &state.Topics[i], state.Brokers, now))
	}
	for _, name := range names {
		if !slices.ContainsFunc(r.Topics, func(t TopicReport) bool { return t.Topic == name }) {
			r.Topics = append(r.Topics, TopicReport{Topic: name, Missing: true, Warnings: []string{"does not exist"}})
		}
	}
	if names != nil {
		slices.SortStableFunc(r.Topics, func(a, b TopicReport) int {
			return slices.Index(names, a.Topic) - slices.Index(names, b.Topic)
		})
	}
	return r
}

func topicReport(a *app.Env, t *kafka.TopicState, brokers int, now time.Time) TopicReport {
	r := TopicReport{
		Topic: t.Name, Partitions: len(t.Partitions), CleanupPolicy: t.Config["cleanup.policy"],
		RetentionMS: number(t.Config["retention.ms"]), RetentionBytes: number(t.Config["retention.bytes"]),
	}
	total, known := int64(0), true
	for i := range t.Partitions {
		p := &t.Partitions[i]
		pr := PartitionReport{
			Partition: p.Partition, Leader: p.Leader, Replicas: p.Replicas, InSync: p.InSync, First: p.First, End: p.End,
			Oldest: moment(p.Oldest), Newest: moment(p.Newest),
		}
		if p.Bytes >= 0 {
			pr.Bytes = &p.Bytes
			total += p.Bytes
		} else {
			known = false
		}
		r.List = append(r.List, pr)
		r.Replication = max(r.Replication, p.Replicas)
		r.Messages += p.Messages()
		if pr.Oldest != nil && (r.Oldest == nil || pr.Oldest.Before(*r.Oldest)) {
			r.Oldest = pr.Oldest
		}
		if pr.Newest != nil && (r.Newest == nil || pr.Newest.After(*r.Newest)) {
			r.Newest = pr.Newest
		}
	}
	if known {
		r.Bytes = &total
	}
	r.Warnings = topicWarnings(a, t, &r, brokers, now)
	return r
}

// clockSlack is how far clocks may differ before it is reported.
const clockSlack = 5 * time.Second

// topicWarnings lists what an operator should look at.
func topicWarnings(a *app.Env, t *kafka.TopicState, r *TopicReport, brokers int, now time.Time) []string {
	var out []string
	warn := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	k := &a.Config.Kafka
	if strings.Contains(r.CleanupPolicy, "compact") && t.Name != k.Classifications {
		warn("cleanup.policy is %s: compaction deletes all but the newest message of each stream", r.CleanupPolicy)
	}
	leaderless, under, below := []string(nil), []string(nil), []string(nil)
	needed := number(t.Config["min.insync.replicas"])
	for i := range t.Partitions {
		p := &t.Partitions[i]
		name := strconv.Itoa(p.Partition)
		switch {
		case p.Leader == "":
			leaderless = append(leaderless, name)
		case needed != nil && int64(p.InSync) < *needed:
			below = append(below, name)
		case p.InSync < p.Replicas:
			under = append(under, name)
		}
	}
	if len(leaderless) > 0 {
		warn("no broker leads partition %s: it can be neither read nor written", strings.Join(leaderless, ", "))
	}
	if len(below) > 0 {
		warn("partition %s has fewer replicas in sync than min.insync.replicas (%d): writes fail",
			strings.Join(below, ", "), *needed)
	}
	if len(under) > 0 {
		warn("under-replicated: partition %s", strings.Join(under, ", "))
	}
	if brokers >= 3 && r.Replication == 1 {
		warn("replication factor 1 on a cluster of %d brokers: if a broker is lost, so are its messages", brokers)
	}
	if needed != nil && *needed > 1 && int64(r.Replication) <= *needed {
		warn("min.insync.replicas is %d of %s: one lost broker stops all writes", *needed,
			app.Count(r.Replication, "replica"))
	}
	if limit := number(t.Config["max.message.bytes"]); limit != nil && t.Name == k.Volumes &&
		*limit < int64(k.MaxMessage) {
		warn("max.message.bytes is %d: larger messages are refused, and kafka.max_message allows %d", *limit,
			int64(k.MaxMessage))
	}
	if r.Newest != nil && r.Newest.Sub(now) > clockSlack {
		warn("the newest message was sent %v in the future: the clock of a producer or of this machine is wrong",
			r.Newest.Sub(now).Round(time.Second))
	}
	if t.Config == nil {
		warn("the settings of the topic are not known: this user may not read them")
	}
	return out
}

// number returns the value of a setting, or nil if it is absent.
func number(setting string) *int64 {
	n, err := strconv.ParseInt(setting, 10, 64)
	if err != nil {
		return nil
	}
	return &n
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// LagReport is the result of the command lag.
type LagReport struct {
	Time   time.Time     `json:"time"`
	Groups []GroupReport `json:"groups"`
}

// GroupReport describes how far a consumer group is behind.
type GroupReport struct {
	Group string `json:"group"`
	// Missing means that the group does not exist: it has no members and has committed nothing.
	Missing bool `json:"missing,omitempty"`
	// State is the state in Kafka's words. It is absent if the group does not exist.
	State   string `json:"state,omitempty"`
	Members int    `json:"members"`
	Lag     int64  `json:"lag"`
	// BehindSeconds is that of the partition that is furthest behind.
	BehindSeconds *float64    `json:"behind_seconds,omitempty"`
	Warnings      []string    `json:"warnings,omitempty"`
	Partitions    []LagOfPart `json:"partitions"`
}

// LagOfPart describes how far a group is behind in a partition.
type LagOfPart struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	// Owner is the instance ID of the member that owns the partition, or its member ID, and Host its address.
	Owner string `json:"owner,omitempty"`
	Host  string `json:"host,omitempty"`
	// Committed is the next offset that is read after a restart, or -1 if none is committed. First is the offset of the
	// oldest message, and End that after the newest one; -1 if they are not known.
	Committed int64 `json:"committed_offset"`
	First     int64 `json:"first_offset"`
	End       int64 `json:"end_offset"`
	Lag       int64 `json:"lag"`
	// BehindSeconds is the age of the oldest message that is not committed: 0 without a lag, absent if it is not known.
	BehindSeconds *float64 `json:"behind_seconds,omitempty"`
	Warning       string   `json:"warning,omitempty"`
}

// Lag describes how far groups are behind: the given ones or, without names, kafka.group and all others that read
// topics of the configuration. It calls use with a report at once and after every interval until ctx ends, or only
// once if the interval is 0.
func Lag(ctx context.Context, a *app.Env, names []string, every time.Duration, use func(*LagReport) error) error {
	return looking(ctx, a, func(cl *cluster) error {
		return repeatedly(ctx, every, func(ctx context.Context) error {
			groups, err := groupsOf(ctx, a, cl.client, names)
			if err != nil {
				return err
			}
			now := time.Now()
			r := &LagReport{Time: now, Groups: []GroupReport{}}
			for _, g := range groups {
				r.Groups = append(r.Groups, groupReport(g, now))
			}
			return use(r)
		})
	})
}

func groupsOf(
	ctx context.Context, a *app.Env, client *kafka.Client, names []string,
) (groups []*kafka.GroupState, err error) {
	k := &a.Config.Kafka
	topics := append([]string{k.Volumes, k.Classifications, k.DeadLetters}, k.ReplayTopics...)
	given := len(names) > 0
	if !given {
		if names, err = client.Groups(ctx); err != nil {
			return nil, err
		}
		if !slices.Contains(names, k.Group) {
			names = append(names, k.Group)
		}
	}
	for _, name := range names {
		g, err := client.DescribeGroup(ctx, name)
		if err != nil {
			return nil, err
		}
		if given || name == k.Group || slices.ContainsFunc(g.Partitions, func(p kafka.GroupPartition) bool {
			return slices.Contains(topics, p.Topic)
		}) {
			groups = append(groups, g)
		}
	}
	return groups, nil
}

func groupReport(g *kafka.GroupState, now time.Time) GroupReport {
	r := GroupReport{Group: g.Name, State: g.State, Members: g.Members, Partitions: []LagOfPart{}}
	unowned, ahead := 0, time.Duration(0)
	for i := range g.Partitions {
		p := &g.Partitions[i]
		l := LagOfPart{
			Topic: p.Topic, Partition: p.Partition, Owner: p.Member, Host: p.Host, Committed: p.Committed, First: p.First,
			End: p.End, Lag: p.Lag(), Warning: positionWarning(p),
		}
		switch {
		case l.Lag == 0:
			l.BehindSeconds = new(float64)
		case !p.Next.IsZero():
			behind := now.Sub(p.Next)
			ahead = max(ahead, -behind)
			seconds := max(0, behind).Seconds()
			l.BehindSeconds = &seconds
		}
		if l.BehindSeconds != nil && (r.BehindSeconds == nil || *l.BehindSeconds > *r.BehindSeconds) {
			r.BehindSeconds = l.BehindSeconds
		}
		if l.Owner == "" && l.Lag > 0 {
			unowned++
		}
		r.Lag += l.Lag
		r.Partitions = append(r.Partitions, l)
	}
	warn := func(format string, args ...any) { r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...)) }
	switch {
	case !exists(g):
		r.Missing, r.State = true, ""
		warn("the group does not exist: it has no members and has committed nothing")
	case unowned > 0 && g.Members == 0:
		warn("no member reads %s", app.Count(r.Lag, "waiting message"))
	case unowned > 0 && g.State == "Stable":
		warn("no member owns %s with a lag", app.Count(unowned, "partition"))
	}
	if ahead > clockSlack {
		warn("messages were sent %v in the future: the clock of a producer or of this machine is wrong",
			ahead.Round(time.Second))
	}
	return r
}

// exists reports whether a group has members or has committed something. Kafka calls other groups dead.
func exists(g *kafka.GroupState) bool { return g.Members > 0 || len(g.Partitions) > 0 }

// positionWarning says what is wrong with the position of a group.
func positionWarning(p *kafka.GroupPartition) string {
	switch {
	case p.End < 0:
		return "the partition does not exist or has no leader"
	case p.Committed > p.End:
		return fmt.Sprintf("committed beyond the end by %s: the topic was created again or has lost messages",
			app.Count(p.Committed-p.End, "message"))
	case p.Committed >= 0 && p.Committed < p.First:
		return fmt.Sprintf("%s deleted by retention before they were read", app.Count(p.First-p.Committed, "message"))
	}
	return ""
}

// ErrNoGroup reports that a group does not exist. It accompanies a result.
var ErrNoGroup = errors.New("the consumer group does not exist")

// CheckGroups returns [ErrNoGroup] if one of the groups with the given names does not exist.
func CheckGroups(r *LagReport, names []string) error {
	for _, g := range r.Groups {
		if g.Missing && slices.Contains(names, g.Group) {
			return fmt.Errorf("%s: %w", g.Group, ErrNoGroup)
		}
	}
	return nil
}

// ErrBehind reports that a group is further behind than allowed. It accompanies a result.
var ErrBehind = errors.New("a group is further behind than allowed")

// CheckLag returns [ErrBehind] if the lag of a group exceeds a limit. 0 stands for no limit.
func CheckLag(r *LagReport, limit int64) error {
	for _, g := range r.Groups {
		if limit > 0 && g.Lag > limit {
			return fmt.Errorf("%w: group %s has a lag of %s, want at most %d", ErrBehind, g.Group,
				app.Count(g.Lag, "message"), limit)
		}
	}
	return nil
}
