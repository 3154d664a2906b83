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
	Bytes    int       `json:"bytes"`
}

func parseDeadLetter(m transport.Message) (DeadLetter, error) {
	t, err := transport.ReadDeadLetter(m)
	if err != nil {
		return DeadLetter{}, err
	}
	d := DeadLetter{
		ID: deadLetterID(m), EventID: m.EventID(), Topic: t.Topic, Stage: t.Stage, Error: t.Error,
		Attempts: t.Attempts, Time: t.Time, Bytes: len(m.Value),
	}
	if t.Topic != "" {
		d.At = fmt.Sprintf("%d:%d", t.Partition, t.Offset)
		return d, nil
	}
	var l deadLetter
	if err := json.Unmarshal(m.Value, &l); err != nil {
		return d, err
	}
	d.Input = l.Input
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
				a.Log.Warn("not a dead letter", "topic", m.Topic, "partition", m.Partition, "offset", m.Offset, "error", err)
				continue
			}
			if !use(d, m) {
				return nil
			}
		}
		return nil
	})
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
		found = &DeadMessage{
			DeadLetter: d, Key: string(m.Key), Headers: map[string]string{}, Value: m.Value,
			Ordered: m.Headers,
		}
		for _, h := range m.Headers {
			found.Headers[h.Key] = string(h.Value)
		}
		return false
	})
	if err == nil && found == nil {
		err = fmt.Errorf("dead letter %s: not found; run dlq list for the IDs", id)
	}
	return found, err
}

// Replayed is the result of dlq replay.
type Replayed struct {
	Replayed int `json:"replayed"`
}

// Replay sends dead letters back to their topic: those not replayed before or, if ids is not empty, exactly these. An
// ID that does not exist, or whose item never was a message, is an error beside the result.
func Replay(ctx context.Context, a *app.Env, ids []string) (*Replayed, error) {
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
	r := &Replayed{}
	err := withCluster(ctx, a, func(cl *cluster) (err error) {
		r.Replayed, err = cl.client.Replay(ctx, cl.producer, a.Config.Kafka.DeadLetters, a.Config.Kafka.Group+"-replay",
			match)
		return err
	})
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(problems)) {
		errs = append(errs, fmt.Errorf("dead letter %s: %s", id, problems[id]))
	}
	return r, errors.Join(errs...)
}

// deadLetterID returns the ID of a message on the dead letter topic.
func deadLetterID(m transport.Message) string { return fmt.Sprintf("%d:%d", m.Partition, m.Offset) }

// WithClient runs f with a connection to Kafka.
func WithClient(ctx context.Context, a *app.Env, f func(*kafka.Client) error) error {
	return withCluster(ctx, a, func(cl *cluster) error { return f(cl.client) })
}

// withCluster runs f with a connection to Kafka.
func withCluster(ctx context.Context, a *app.Env, f func(*cluster) error) error {
	cl, err := connect(ctx, a)
	if err != nil {
		return err
	}
	return errors.Join(f(cl), cl.close(context.WithoutCancel(ctx)))
}
