package kafka

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/voxelstream/voxelstream/internal/clip"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// ReplayConfig says which dead letters are sent back, and where to.
type ReplayConfig struct {
	// Topic has the dead letters.
	Topic string
	// To are the topics to which messages may be sent. Everyone who can write to Topic chooses the topic in a dead
	// letter, but it is sent with the rights of this client.
	To []string
	// Match, if set, selects the dead letters that are sent.
	Match func(transport.Message, transport.DeadLetter) bool
	// Wait, if set, is called before each dead letter that is sent. Its error ends the replay.
	Wait func(context.Context) error
	// Sent is called for a dead letter that was sent. It may be nil. Its error ends the replay.
	Sent func(context.Context, transport.Message) error
	// Left is called for a dead letter that is not sent, with the reason. It may be nil.
	Left func(transport.Message, error)
}

// replayTime is how long a topic may refuse a message before its dead letters are left.
const replayTime = 30 * time.Second

// Replay sends dead letters back to their topics, without the dead letter headers, and returns their number. It reads
// Topic up to its current end. Messages keep their event IDs, so a volume that was classified after all is recognized
// as a duplicate, and count their replays in a header. If the value of a dead letter was left out, the original
// message is sent instead, if it is still on its topic. A dead letter that cannot be sent is left, and the next one
// is sent.
func (c *Client) Replay(ctx context.Context, p *Producer, r ReplayConfig) (int, error) {
	from, to, err := c.Bounds(ctx, r.Topic)
	if err != nil {
		return 0, err
	}
	replay := &replay{client: c, producer: p, ReplayConfig: r, broken: map[string]error{}}
	for m, err := range c.Range(ctx, r.Topic, from, to) {
		if err == nil {
			err = replay.one(ctx, m)
		}
		if err != nil {
			return replay.sent, fmt.Errorf("kafka: replay of %s: %w", r.Topic, err)
		}
	}
	return replay.sent, nil
}

// replay is a running replay.
type replay struct {
	ReplayConfig
	client   *Client
	producer *Producer
	sent     int
	broken   map[string]error // topics that accept nothing
}

// one sends one dead letter or leaves it. An error ends the replay.
func (r *replay) one(ctx context.Context, m transport.Message) error {
	if transport.IsReplayRecord(m) {
		return nil
	}
	d, err := transport.ReadDeadLetter(m)
	if err != nil {
		r.client.log.Warn("kafka: skipped a message that is not a dead letter", "error", clip.Text(err.Error()))
		return nil
	}
	if r.Match != nil && !r.Match(m, d) || d.Topic == "" {
		return nil // without a topic it never was a message, so there is nothing to send back
	}
	if r.Wait != nil {
		if err := r.Wait(ctx); err != nil {
			return err
		}
	}
	switch err := r.send(ctx, m, d); {
	case err == nil:
		r.sent++
		if r.Sent != nil {
			return r.Sent(ctx, m)
		}
	case ctx.Err() != nil:
		return ctx.Err()
	case r.Left != nil:
		r.Left(m, err)
	}
	return nil
}

func (r *replay) send(ctx context.Context, m transport.Message, d transport.DeadLetter) error {
	if !slices.Contains(r.To, d.Topic) {
		return fmt.Errorf("its topic is %q, want one of %q", clip.Text(d.Topic), r.To)
	}
	if d.Last != 0 || d.Count != 0 {
		return errors.New("it summarizes several messages and does not contain them")
	}
	if d.Gone {
		return errors.New("its message was gone from the topic before it could be copied")
	}
	if err := r.broken[d.Topic]; err != nil {
		return err
	}
	limited, cancel := context.WithTimeoutCause(ctx, replayTime, fmt.Errorf("not done within %v", replayTime))
	defer cancel()
	again := transport.Original(m)
	if d.LeftOut() {
		var err error
		if again, err = r.original(limited, d); err != nil {
			return err
		}
	}
	if _, ok := again.Header(transport.HeaderEventID); !ok {
		// The message was identified by its original position. It must keep that ID in its new position.
		was := transport.Message{Topic: d.Topic, Partition: d.Partition, Offset: d.Offset}
		again.SetHeader(transport.HeaderEventID, was.EventID())
	}
	again.SetHeader(transport.HeaderReplays, strconv.Itoa(max(m.Replays(), again.Replays())+1))
	if err := r.client.CheckTopic(limited, d.Topic); err != nil {
		r.broken[d.Topic] = err
		return err
	}
	_, err := r.producer.Produce(limited, d.Topic, again)
	if err != nil && !pipeline.IsPermanent(err) {
		err = fmt.Errorf("topic %s: %w", d.Topic, errors.Join(context.Cause(limited), err))
		r.broken[d.Topic] = err // it would refuse the next one too, for example because of missing rights
	}
	return err
}

// original reads the message of a dead letter that is without its value.
func (r *replay) original(ctx context.Context, d transport.DeadLetter) (m transport.Message, err error) {
	gone := fmt.Errorf("its value was left out, and the message is no longer at %s/%d offset %d", d.Topic, d.Partition,
		d.Offset)
	from, to, err := r.client.Bounds(ctx, d.Topic)
	if err != nil {
		return m, err
	}
	if d.Partition < 0 || d.Partition >= len(from) || d.Offset < from[d.Partition] || d.Offset >= to[d.Partition] {
		return m, gone
	}
	found := false
	_, err = r.client.readRange(ctx, d.Topic, d.Partition, d.Offset, d.Offset+1, func(o transport.Message) bool {
		m, found = o, true
		return false
	})
	if err != nil && !errors.Is(err, errStopped) {
		return m, err
	}
	if sum := sha256.Sum256(m.Value); !found || hex.EncodeToString(sum[:]) != d.SHA256 {
		return m, gone
	}
	return m, nil
}
