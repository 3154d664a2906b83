package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
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
	// Last is the last offset of several messages that could not be decoded, and Count the number of items of a summary.
	Last  int64 `json:"last,omitempty"`
	Count int64 `json:"count,omitempty"`
}

func parseDeadLetter(m transport.Message) (DeadLetter, error) {
	t, err := transport.ReadDeadLetter(m)
	if err != nil {
		return DeadLetter{}, err
	}
	d := DeadLetter{
		ID: deadLetterID(m), EventID: clip.Text(m.EventID()), Topic: clip.Text(t.Topic), Stage: clip.Text(t.Stage),
		Error: clip.Text(t.Error), Attempts: t.Attempts, Time: t.Time, Bytes: int64(len(m.Value)), SHA256: t.SHA256,
		Last: t.Last, Count: t.Count,
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

// DeadLetters lists the dead letters. Other messages on their topic are logged and skipped.
func DeadLetters(ctx context.Context, a *app.Env) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		stopped := false
		err := eachDeadLetter(ctx, a, func(d DeadLetter, _ transport.Message) bool {
			stopped = !yield(d, nil)
			return !stopped
		})
		if err != nil && !stopped {
			yield(DeadLetter{}, err)
		}
	}
}

// eachDeadLetter calls use for each dead letter until use returns false.
func eachDeadLetter(ctx context.Context, a *app.Env, use func(DeadLetter, transport.Message) bool) error {
	return WithClient(ctx, a, func(client *kafka.Client) error {
		for m, err := range client.Records(ctx, a.Config.Kafka.DeadLetters, false) {
			if err != nil {
				return err
			}
			d, err := parseDeadLetter(m)
			if err != nil {
				a.Log.Warn("not a dead letter", "topic", m.Topic, "partition", m.Partition, "offset", m.Offset,
					"error", err)
				continue
			}
			if !use(d, m) {
				return nil
			}
		}
		return nil
	})
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
	// Ordered has the headers in the order of the message.
	Ordered []transport.Header `json:"-"`
}

// ShowDeadLetter returns the dead letter with an ID.
func ShowDeadLetter(ctx context.Context, a *app.Env, id string) (*DeadMessage, error) {
	var found *DeadMessage
	err := eachDeadLetter(ctx, a, func(d DeadLetter, m transport.Message) bool {
		if d.ID != id {
			return true
		}
		found = deadMessage(d, m)
		return false
	})
	if err == nil && found == nil {
		err = fmt.Errorf("dead letter %s: not found; run dlq list for the IDs", id)
	}
	return found, err
}

func deadMessage(d DeadLetter, m transport.Message) *DeadMessage {
	out := &DeadMessage{
		DeadLetter: d, Key: string(m.Key), Headers: map[string]string{}, Value: m.Value, Ordered: m.Headers,
	}
	for _, h := range m.Headers {
		out.Headers[h.Key] = string(h.Value)
	}
	return out
}

// Replayed is the result of dlq replay.
type Replayed struct {
	Replayed int `json:"replayed"`
	// Left is the number of dead letters that could not be sent. They stay on their topic.
	Left int `json:"left,omitempty"`
}

// maxLeft is the number of dead letters that are named if they cannot be sent.
const maxLeft = 100

// Replay sends dead letters back to their topic: those not replayed before or, if ids is not empty, exactly these. It
// sends them only to kafka.volumes and kafka.replay_topics. A dead letter that cannot be sent, an ID that does not
// exist, and one whose item never was a message, are errors beside the result.
func Replay(ctx context.Context, a *app.Env, ids []string) (r *Replayed, err error) {
	var problems error
	err = withCluster(ctx, a, func(cl *cluster) error {
		var err error
		r, problems, err = replay(ctx, a, cl, ids)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, problems
}

// replay is Replay with a connection. It returns the problems with ids apart from other errors.
func replay(ctx context.Context, a *app.Env, cl *cluster, ids []string) (r *Replayed, bad, err error) {
	problems := map[string]string{} // by ID
	var match func(transport.Message, transport.DeadLetter) bool
	if len(ids) > 0 {
		for _, id := range ids {
			problems[id] = "not found; run dlq list for the IDs"
		}
		match = func(m transport.Message, d transport.DeadLetter) bool {
			id := deadLetterID(m)
			if _, wanted := problems[id]; !wanted {
				return false
			}
			if d.Topic == "" {
				problems[id] = "never was a message that could be sent back; run or ingest its input again"
				return false
			}
			delete(problems, id)
			return true
		}
	}
	r = &Replayed{}
	k := &a.Config.Kafka
	r.Replayed, err = cl.client.Replay(ctx, cl.producer, kafka.ReplayConfig{
		Topic: k.DeadLetters, Group: k.Group + "-replay", To: append([]string{k.Volumes},
			k.ReplayTopics...), Match: match,
		Left: func(m transport.Message, reason error) {
			if r.Left++; r.Left <= maxLeft {
				problems[deadLetterID(m)] = "left: " + clip.Text(reason.Error())
			}
		},
	})
	if err != nil {
		return nil, nil, err
	}
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(problems)) {
		errs = append(errs, fmt.Errorf("dead letter %s: %s", id, problems[id]))
	}
	if r.Left > maxLeft {
		errs = append(errs, fmt.Errorf("%s more are left", app.Count(r.Left-maxLeft, "dead letter")))
	}
	return r, errors.Join(errs...), nil
}

// deadLetterID returns the ID of a message on the dead letter topic.
func deadLetterID(m transport.Message) string { return fmt.Sprintf("%d:%d", m.Partition, m.Offset) }
