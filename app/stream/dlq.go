package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/internal/clip"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// DeadLetter describes a dead letter.
type DeadLetter struct {
	// ID is partition:offset on the dead letter topic.
	ID      string `json:"id"`
	EventID string `json:"event_id"`
	// Stream is the key of the message, or the stream of the item.
	Stream string `json:"stream,omitempty"`
	// Topic is where the message was read, At its partition:offset there. They are absent for an item that never was a
	// message, so that nothing can be sent back.
	Topic    string    `json:"topic,omitempty"`
	At       string    `json:"at,omitempty"`
	Input    string    `json:"input,omitempty"`
	Stage    string    `json:"stage"`
	Error    string    `json:"error"`
	Attempts int       `json:"attempts"`
	Time     time.Time `json:"time"`
	// Bytes is the size of the value, or of what was left out because it was too large or could not be decoded. In that
	// case, SHA256 is its digest in hexadecimal.
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256,omitempty"`
	// Gone means that the message was deleted from its topic, or damaged there, before it could be copied. Only its
	// position is known.
	Gone bool `json:"gone,omitempty"`
	// Last is the last offset of several messages that could not be decoded, and Count the number of items of a summary.
	Last  int64 `json:"last,omitempty"`
	Count int64 `json:"count,omitempty"`
	// Replays is how often the message had been sent back before it failed this time, and Replayed when this dead letter
	// was sent back last.
	Replays  int        `json:"replays,omitempty"`
	Replayed *time.Time `json:"replayed,omitempty"`

	partition int // where the message was read; -1 for an item that never was a message
	offset    int64
}

// neverMessage reports whether the item of a dead letter never was a message.
func (d *DeadLetter) neverMessage() bool { return d.Topic == "" }

// hasMessage reports whether a dead letter is about one message that can be sent back.
func (d *DeadLetter) hasMessage() bool {
	return !d.neverMessage() && !d.Gone && d.Last == 0 && d.Count == 0
}

func parseDeadLetter(m transport.Message) (DeadLetter, error) {
	t, err := transport.ReadDeadLetter(m)
	if err != nil {
		return DeadLetter{}, err
	}
	d := DeadLetter{
		ID: deadLetterID(m), EventID: clip.Text(m.EventID()), Topic: clip.Text(t.Topic), Stage: clip.Text(t.Stage),
		Error: clip.Text(t.Error), Attempts: t.Attempts, Time: t.Time, Bytes: int64(len(m.Value)), SHA256: t.SHA256,
		Gone: t.Gone, Last: t.Last, Count: t.Count, Stream: clip.Text(string(m.Key)), Replays: m.Replays(),
		partition: t.Partition, offset: t.Offset,
	}
	if t.LeftOut() {
		d.Bytes = t.Bytes
	}
	if t.Topic != "" {
		d.At = fmt.Sprintf("%d:%d", t.Partition, t.Offset)
		return d, nil
	}
	var l deadLetter
	if err := json.Unmarshal(m.Value, &l); err != nil && !t.LeftOut() {
		return d, err
	}
	d.Input = clip.Text(l.Input)
	return d, nil
}

// DeadLetters lists the dead letters that a filter selects. Other messages on their topic are logged and skipped.
func DeadLetters(ctx context.Context, a *app.Env, f LetterFilter) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		stopped := false
		err := Reading(ctx, a, a.Config.Kafka.DeadLetters, func(client *kafka.Client) error {
			return eachDeadLetter(ctx, a, client, f, func(d DeadLetter, _ transport.Message) bool {
				stopped = !yield(d, nil)
				return !stopped
			})
		})
		if err != nil && !stopped {
			yield(DeadLetter{}, err)
		}
	}
}

// eachDeadLetter calls use for each dead letter that a filter selects, until use returns false.
func eachDeadLetter(
	ctx context.Context, a *app.Env, client *kafka.Client, f LetterFilter, use func(DeadLetter, transport.Message) bool,
) error {
	past, err := replays(ctx, a, client)
	if err != nil {
		return err
	}
	for m, err := range client.Records(ctx, a.Config.Kafka.DeadLetters, false) {
		if err != nil {
			return err
		}
		if transport.IsReplayRecord(m) {
			continue
		}
		d, err := parseDeadLetter(m)
		if err != nil {
			a.Log.Warn("not a dead letter", "topic", m.Topic, "partition", m.Partition, "offset", m.Offset,
				"error", err)
			continue
		}
		past.enter(&d)
		if f.Match(&d) && !use(d, m) {
			return nil
		}
	}
	return nil
}

// replayed holds the time of the last replay of each dead letter, by its ID.
type replayed map[string]time.Time

// enter sets the time of the last replay in a dead letter.
func (r replayed) enter(d *DeadLetter) {
	if t, ok := r[d.ID]; ok {
		d.Replayed = &t
	}
}

// replays reads which dead letters were sent back.
func replays(ctx context.Context, a *app.Env, client *kafka.Client) (replayed, error) {
	out := replayed{}
	for m, err := range client.Records(ctx, a.Config.Kafka.DeadLetters, false) {
		if err != nil {
			return nil, err
		}
		if !transport.IsReplayRecord(m) {
			continue
		}
		r, err := transport.ReadReplayRecord(m)
		if err != nil {
			a.Log.Warn("a record of replayed dead letters cannot be read", "topic", m.Topic, "partition", m.Partition,
				"offset", m.Offset, "error", err)
			continue
		}
		for _, id := range r.Replayed {
			if r.Time.After(out[id]) {
				out[id] = r.Time
			}
		}
	}
	return out, nil
}

// newestDeadLetters returns the newest dead letters, the newest first, and whether there are older ones. It reads the
// last messages of each partition only.
func newestDeadLetters(ctx context.Context, a *app.Env, client *kafka.Client, limit int) ([]DeadLetter, bool, error) {
	from, to, err := client.Bounds(ctx, a.Config.Kafka.DeadLetters)
	if err != nil {
		return nil, false, err
	}
	more := false
	for p := range from {
		if start := to[p] - int64(limit); start > from[p] {
			from[p], more = start, true
		}
	}
	out := []DeadLetter{}
	for m, err := range client.Range(ctx, a.Config.Kafka.DeadLetters, from, to) {
		if err != nil {
			return nil, false, err
		}
		if transport.IsReplayRecord(m) {
			continue
		}
		if d, err := parseDeadLetter(m); err == nil {
			out = append(out, d)
		}
	}
	slices.SortStableFunc(out, func(a, b DeadLetter) int { return b.Time.Compare(a.Time) })
	if len(out) > limit {
		out, more = out[:limit], true
	}
	return out, more, nil
}

// DeadMessage is a dead letter with its message.
type DeadMessage struct {
	DeadLetter
	Key     string            `json:"key"`
	Headers map[string]string `json:"headers"`
	Value   []byte            `json:"value"`
	// Reference is the object that has the value, if it is outside Kafka. Value is then empty.
	Reference *transport.Reference `json:"reference,omitempty"`
	// Ordered has the headers in the order of the message, without those that have no meaning for this dead letter.
	Ordered []transport.Header `json:"-"`
}

// ShowDeadLetter returns the dead letter with an ID.
func ShowDeadLetter(ctx context.Context, a *app.Env, id string) (*DeadMessage, error) {
	var found *DeadMessage
	err := Reading(ctx, a, a.Config.Kafka.DeadLetters, func(client *kafka.Client) error {
		return eachDeadLetter(ctx, a, client, LetterFilter{IDs: []string{id}},
			func(d DeadLetter, m transport.Message) bool {
				found = deadMessage(d, m)
				return false
			})
	})
	if err == nil && found == nil {
		err = fmt.Errorf("dead letter %s: not found; run dlq list for the IDs", id)
	}
	return found, err
}

// ValueOf returns the value of the message of a dead letter, from the object that it refers to if it refers to one.
func ValueOf(ctx context.Context, a *app.Env, d *DeadMessage) (_ []byte, err error) {
	if d.SHA256 != "" {
		return nil, fmt.Errorf("dead letter %s: its value of %d bytes was left out", d.ID, d.Bytes)
	}
	if d.Gone {
		return nil, fmt.Errorf("dead letter %s: its message was gone from the topic before it could be copied", d.ID)
	}
	objects := a.ClaimCheck()
	defer func() { err = errors.Join(err, objects.Close()) }()
	value, err := objects.Value(ctx, &transport.Message{Value: d.Value, Headers: d.Ordered})
	if err != nil {
		return nil, fmt.Errorf("dead letter %s: %w", d.ID, err)
	}
	return value, nil
}

func deadMessage(d DeadLetter, m transport.Message) *DeadMessage {
	out := &DeadMessage{
		DeadLetter: d, Key: string(m.Key), Headers: map[string]string{}, Value: m.Value,
	}
	out.Reference, _ = m.Reference() // the headers are shown as they are
	for _, h := range m.Headers {
		if d.neverMessage() && transport.IsPosition(h.Key) {
			continue
		}
		out.Headers[h.Key] = string(h.Value)
		out.Ordered = append(out.Ordered, h)
	}
	return out
}

// deadLetterID returns the ID of a message on the dead letter topic.
func deadLetterID(m transport.Message) string { return fmt.Sprintf("%d:%d", m.Partition, m.Offset) }
