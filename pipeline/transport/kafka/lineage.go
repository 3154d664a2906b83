package kafka

import (
	"context"
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/voxelstream/voxelstream/pipeline/transport/recordset"
)

// topicID is the ID that a cluster gives a topic when it is created. It is zero if it is not known.
type topicID [16]byte

// String returns the ID as the tools of Apache Kafka print it.
func (id topicID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// lineage identifies the log of a partition: the topic, and the leader epochs that its records were written under. An
// offset means the same message in two logs only if their lineages agree up to it. It is safe for concurrent use.
type lineage struct {
	id topicID

	mu     sync.Mutex
	epochs []recordset.Epoch // the newest ones, in ascending order; each begins at its first record that was read
	gap    bool              // nothing has been read since records were skipped, so the last epoch is not known
}

// maxEpochs is the number of epochs that a lineage remembers. A commit has them in its metadata.
const maxEpochs = 8

// read adds what has been read.
func (l *lineage) read(epochs []recordset.Epoch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range epochs {
		if n := len(l.epochs); e.Epoch >= 0 && (n == 0 || e.Epoch > l.epochs[n-1].Epoch) {
			l.epochs = append(l.epochs, e)
		}
		l.gap = false
	}
	l.epochs = l.epochs[max(0, len(l.epochs)-maxEpochs):]
}

// skip notes that records were not read, so that the epoch of the last one is not known.
func (l *lineage) skip() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gap = true
}

// epoch returns the leader epoch of the last record that was read, or noEpoch.
func (l *lineage) epoch() int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.epochs); n > 0 && !l.gap {
		return l.epochs[n-1].Epoch
	}
	return noEpoch
}

// join returns the offset up to which a diverged log has the records of this lineage. It is at most offset, the next one
// to read.
func (l *lineage) join(d *divergence, offset int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	to := min(offset, d.end)
	for _, e := range l.epochs {
		if e.Epoch > d.epoch {
			to = min(to, e.From) // where the epochs end that both have
		}
	}
	return to
}

// upTo returns the part of the lineage below an offset.
func (l *lineage) upTo(offset int64) *lineage {
	l.mu.Lock()
	defer l.mu.Unlock()
	part := &lineage{id: l.id}
	for _, e := range l.epochs {
		if e.From < offset {
			part.epochs = append(part.epochs, e)
		}
	}
	return part
}

// lineageFormat begins the metadata of a commit.
const lineageFormat = "log "

// metadata returns the part of the lineage below an offset as the metadata of its commit, for example
// "log f3YpZJ2xQhWv0kYtq3mR1A 0:0 4:1200": the topic ID, and the leader epochs with their first offsets.
func (l *lineage) metadata(offset int64) string {
	part := l.upTo(offset)
	if part.id == (topicID{}) && len(part.epochs) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(lineageFormat)
	b.WriteString(part.id.String())
	for _, e := range part.epochs {
		fmt.Fprintf(&b, " %d:%d", e.Epoch, e.From)
	}
	return b.String()
}

// parseLineage parses the metadata of a commit. It is nil if there is no lineage in it.
func parseLineage(metadata string) *lineage {
	text, ok := strings.CutPrefix(metadata, lineageFormat)
	if !ok {
		return nil
	}
	words := strings.Fields(text)
	if len(words) == 0 || len(words) > maxEpochs+1 {
		return nil
	}
	l := &lineage{}
	id, err := base64.RawURLEncoding.DecodeString(words[0])
	if err != nil || copy(l.id[:], id) != len(id) || len(id) != len(l.id) {
		return nil
	}
	for _, w := range words[1:] {
		number, from, ok := strings.Cut(w, ":")
		e, err := strconv.ParseInt(number, 10, 32)
		at, err2 := strconv.ParseInt(from, 10, 64)
		n := len(l.epochs)
		if !ok || err != nil || err2 != nil || e < 0 || at < 0 || n > 0 && l.epochs[n-1].Epoch >= int32(e) {
			return nil
		}
		l.epochs = append(l.epochs, recordset.Epoch{Epoch: int32(e), From: at})
	}
	return l
}

// The versions of the requests for the lineage of a log.
const (
	idsMetadata    = 10 // the first version with the IDs of topics (Kafka 2.8)
	newestEpochEnd = 4
)

// topicID returns the ID of a topic, without retries. It is zero if the cluster does not tell. The error is an
// UnknownTopicOrPartition if the topic does not exist.
func (c *Client) topicID(ctx context.Context, topic string) (topicID, error) {
	res, err := c.metadata(ctx, c.transport, topic)
	if err != nil {
		return topicID{}, err
	}
	for _, t := range res.Topics {
		switch {
		case t.Topic == nil || *t.Topic != topic:
		case t.ErrorCode != 0 && kafkago.Error(t.ErrorCode) != kafkago.LeaderNotAvailable:
			return topicID{}, kafkago.Error(t.ErrorCode)
		case res.Version < idsMetadata:
			return topicID{}, nil
		default:
			return t.TopicID, nil
		}
	}
	return topicID{}, kafkago.UnknownTopicOrPartition
}

// diverges asks the leader of a partition whether its log has the records of a lineage below an offset. If not, it
// returns the point where the logs diverge. It returns nil if they agree, or if the broker does not support the
// request.
func (c *Client) diverges(
	ctx context.Context, topic string, partition int, l *lineage, offset int64,
) (*divergence, error) {
	epoch := l.upTo(offset).epoch()
	if epoch == noEpoch {
		return nil, nil //nolint:nilnil // nothing to compare
	}
	p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	p.Partition, p.LeaderEpoch = int32(partition), epoch
	t := kmsg.NewOffsetForLeaderEpochRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, p)
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.ReplicaID, req.Topics = -1, append(req.Topics, t)
	res, err := ask[*kmsg.OffsetForLeaderEpochResponse](ctx, c, toLeader(topic, partition), req, newestEpochEnd)
	if is(err, kafkago.UnsupportedVersion) {
		return nil, nil //nolint:nilnil // nothing to compare
	}
	if err != nil {
		return nil, err
	}
	if len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1 {
		return nil, fmt.Errorf("leader epoch of %s/%d: not in the response", topic, partition)
	}
	switch p := res.Topics[0].Partitions[0]; {
	case is(kafkago.Error(p.ErrorCode), kafkago.TopicAuthorizationFailed, kafkago.ClusterAuthorizationFailed),
		res.Version == 0, p.EndOffset < 0:
		return nil, nil //nolint:nilnil // the broker does not tell
	case p.ErrorCode != 0:
		return nil, fmt.Errorf("leader epoch of %s/%d: %w", topic, partition, kafkago.Error(p.ErrorCode))
	case p.LeaderEpoch < epoch || p.EndOffset < offset:
		return &divergence{epoch: p.LeaderEpoch, end: p.EndOffset}, nil
	}
	return nil, nil //nolint:nilnil // they agree
}

// openTransaction returns the ID of the producer whose transaction holds back the records of a partition, or -1 if it
// is not known. It needs Kafka 2.8 or newer.
func (c *Client) openTransaction(ctx context.Context, topic string, partition int) int64 {
	t := kmsg.NewDescribeProducersRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, int32(partition))
	req := kmsg.NewPtrDescribeProducersRequest()
	req.Topics = append(req.Topics, t)
	res, err := ask[*kmsg.DescribeProducersResponse](ctx, c, toLeader(topic, partition), req, 0)
	producer, first := int64(-1), int64(math.MaxInt64)
	if err != nil {
		return producer
	}
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			for _, a := range p.ActiveProducers {
				if at := a.CurrentTxnStartOffset; at >= 0 && at < first {
					producer, first = a.ProducerID, at
				}
			}
		}
	}
	return producer
}
