package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// TestReplayCounts: a message that is sent back says how often, also when its dead letter had to become small. Sent and
// Wait are called for each, and their errors end the replay. Records of replays are no dead letters.
func TestReplayCounts(t *testing.T) {
	_, c, p := fake(t, 1, "t", "dead")
	letter := func(m transport.Message) transport.Message {
		return transport.DeadLetterOf(m, transport.DeadLetter{
			Topic: "t", Stage: "s", Error: "boom", Attempts: 1, Time: time.Now(),
		})
	}
	record, err := transport.ReplayRecord{Time: time.Now(), Replayed: []string{"0:0"}}.Message()
	if err != nil {
		t.Fatal(err)
	}
	ms := numbered(2)
	ms[1].SetHeader(transport.HeaderReplays, "2")
	if _, err := p.Produce(t.Context(), "dead", letter(ms[0]), record, letter(ms[1])); err != nil {
		t.Fatal(err)
	}
	var sent []string
	waits := 0
	stop := errors.New("stop")
	cfg := ReplayConfig{
		Topic: "dead", To: []string{"t"},
		Wait: func(context.Context) error { waits++; return nil },
		Sent: func(_ context.Context, m transport.Message) error {
			sent = append(sent, fmt.Sprint(m.Offset))
			return nil
		},
		Left: func(m transport.Message, err error) { t.Errorf("left %d: %v", m.Offset, err) },
	}
	if n, err := c.Replay(t.Context(), p, cfg); n != 2 || err != nil || waits != 2 ||
		!slices.Equal(sent, []string{"0", "2"}) {
		t.Errorf("sent %d: %v, %v, %d waits", n, sent, err, waits)
	}
	var counts []int
	for m, err := range c.Records(t.Context(), "t", false) {
		if err != nil {
			t.Fatal(err)
		}
		counts = append(counts, m.Replays())
	}
	if !slices.Equal(counts, []int{1, 3}) {
		t.Errorf("found the replays %v, want 1 and 3", counts)
	}
	again := ms[1]
	again.SetHeader(transport.HeaderReplays, "3")
	for i, m := range transport.Smaller(again, transport.DeadLetter{Topic: "t", Time: time.Now()}) {
		if m.Replays() != 3 {
			t.Errorf("smaller dead letter %d: found %d replays, want 3", i, m.Replays())
		}
	}

	cfg.Wait = func(context.Context) error { return stop }
	if n, err := c.Replay(t.Context(), p, cfg); n != 0 || !errors.Is(err, stop) {
		t.Errorf("sent %d, %v", n, err)
	}
	cfg.Wait, cfg.Sent = nil, func(context.Context, transport.Message) error { return stop }
	if n, err := c.Replay(t.Context(), p, cfg); n != 1 || !errors.Is(err, stop) {
		t.Errorf("sent %d, %v", n, err)
	}
}

// commit commits an offset for a group, which must have no members.
func (c *Client) commit(ctx context.Context, group, topic string, partition int, offset int64) error {
	return c.retry(ctx, "commit for "+group, func(ctx context.Context) error {
		res, err := c.kafka.OffsetCommit(ctx, &kafkago.OffsetCommitRequest{
			GroupID: group, GenerationID: -1,
			Topics: map[string][]kafkago.OffsetCommit{topic: {{Partition: partition, Offset: offset}}},
		})
		if err != nil {
			return err
		}
		for _, p := range res.Topics[topic] {
			if p.Error != nil {
				return p.Error
			}
		}
		return nil
	})
}
