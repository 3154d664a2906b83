package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/internal/clip"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// ReplayOptions say which dead letters are sent back, and how.
type ReplayOptions struct {
	// Filter selects dead letters. Those whose item was never a message are only counted.
	Filter LetterFilter
	// Again sends those that were sent back before, too.
	Again bool
	// MaxReplays is how often a message may be sent back, so that one that always fails is not sent back for ever. 0
	// stands for no limit.
	MaxReplays int
	// Rate is the maximum number of messages per second. 0 stands for no limit.
	Rate float64
	// DryRun counts what would be sent and calls Each, but sends nothing.
	DryRun bool
	// Each, if set, is called with each dead letter that is sent, or would be.
	Each func(DeadLetter)
}

// DefaultMaxReplays is the default of MaxReplays.
const DefaultMaxReplays = 3

// Replayed is the result of dlq replay.
type Replayed struct {
	Replayed int  `json:"replayed"`
	DryRun   bool `json:"dry_run,omitempty"`
	// Before is the number of dead letters that the filter selects but that were sent back before.
	Before int `json:"replayed_before,omitempty"`
	// NeverMessages is the number of dead letters that the filter selects but whose items were never messages, so that
	// there is nothing to send back.
	NeverMessages int `json:"never_messages,omitempty"`
	// Left is the number of dead letters that could not be sent. They stay on their topic.
	Left int `json:"left,omitempty"`
}

const (
	// maxLeft is the number of dead letters that are named if they cannot be sent.
	maxLeft = 100
	// recordEvery limits how many dead letters are sent back, and recordPause how much time passes, before it is recorded
	// that they were. After a crash, so many may be sent again; they are recognized by their event IDs.
	recordEvery = 100
	recordPause = time.Second
)

// Replay sends dead letters back to their topic. It sends them only to kafka.volumes and kafka.replay_topics. A dead
// letter that cannot be sent is an error beside the result, and so is an ID that does not exist, was sent back
// before, or belongs to an item that was never a message.
func Replay(ctx context.Context, a *app.Env, o ReplayOptions) (r *Replayed, err error) {
	var problems error
	err = looking(ctx, a, func(cl *cluster) error {
		if err := cl.checkTopic(ctx, a.Config.Kafka.DeadLetters); err != nil {
			return err
		}
		if !o.DryRun {
			if err := cl.produce(a); err != nil {
				return err
			}
		}
		var err error
		r, problems, err = replay(ctx, a, cl, o)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, problems
}

// replaying is a running replay.
type replaying struct {
	ReplayOptions
	Replayed
	a        *app.Env
	cl       *cluster
	past     replayed
	problems map[string]string // by ID
	start    time.Time
	taken    int // dead letters that had to wait for the rate

	record   []string // IDs of dead letters that were sent, but are not recorded yet
	recorded time.Time
}

// replay is Replay with a connection. It returns problems with single dead letters separately from other errors.
func replay(ctx context.Context, a *app.Env, cl *cluster, o ReplayOptions) (r *Replayed, bad, err error) {
	run := &replaying{
		ReplayOptions: o, a: a, cl: cl, problems: map[string]string{}, start: time.Now(), recorded: time.Now(),
	}
	run.Replayed.DryRun = o.DryRun
	for _, id := range o.Filter.IDs {
		run.problems[id] = "not found; run dlq list for the IDs"
	}
	if run.past, err = replays(ctx, a, cl.client); err != nil {
		return nil, nil, err
	}
	if o.DryRun {
		err = eachDeadLetter(ctx, a, cl.client, LetterFilter{}, func(d DeadLetter, _ transport.Message) bool {
			run.try(&d)
			return true
		})
	} else {
		err = run.send(ctx)
	}
	if err != nil {
		return nil, nil, err
	}
	return &run.Replayed, run.errors(), nil
}

// send sends what is selected.
func (r *replaying) send(ctx context.Context) error {
	n, err := r.cl.client.Replay(ctx, r.cl.producer, kafka.ReplayConfig{
		Topic: r.a.Config.Kafka.DeadLetters, To: r.targets(),
		Match: func(m transport.Message, _ transport.DeadLetter) bool {
			d, err := parseDeadLetter(m)
			if err != nil {
				return false
			}
			r.past.enter(&d)
			return r.selects(&d)
		},
		Wait: r.wait, Sent: r.sent,
		Left: func(m transport.Message, reason error) { r.leave(deadLetterID(m), clip.Text(reason.Error())) },
	})
	r.Replayed.Replayed = n
	return errors.Join(err, r.flush(context.WithoutCancel(ctx)))
}

// targets returns the topics to which messages may be sent.
func (r *replaying) targets() []string {
	k := &r.a.Config.Kafka
	return append([]string{k.Volumes}, k.ReplayTopics...)
}

// try does what send would do with a dead letter, without sending it.
func (r *replaying) try(d *DeadLetter) {
	switch to := r.targets(); {
	case !r.selects(d):
	case !slices.Contains(to, d.Topic):
		r.leave(d.ID, fmt.Sprintf("its topic is %q, want one of %q", d.Topic, to))
	case d.Last != 0 || d.Count != 0:
		r.leave(d.ID, "it summarizes several messages and does not contain them")
	case d.Gone:
		r.leave(d.ID, "its message was gone from the topic before it could be copied")
	default:
		r.Replayed.Replayed++
	}
}

// selects reports whether a dead letter is to be sent.
func (r *replaying) selects(d *DeadLetter) bool {
	if !r.Filter.Match(d) {
		return false
	}
	named := len(r.Filter.IDs) > 0
	switch {
	case d.neverMessage():
		r.NeverMessages++
		if named {
			r.problems[d.ID] = "was never a message, so it cannot be sent back; run or ingest its input again"
		}
		return false
	case d.Replayed != nil && !r.Again:
		r.Before++
		delete(r.problems, d.ID)
		if named {
			r.problems[d.ID] = fmt.Sprintf("was already sent back, at %s; --again sends it once more",
				d.Replayed.Format(time.RFC3339))
		}
		return false
	case r.MaxReplays > 0 && d.Replays >= r.MaxReplays:
		r.leave(d.ID, fmt.Sprintf("its message was sent back %s and failed each time; fix the cause and raise "+
			"--max-replays", times(d.Replays)))
		return false
	}
	delete(r.problems, d.ID)
	if r.Each != nil {
		r.Each(*d)
	}
	return true
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// leave counts a dead letter that is not sent. Only the first ones are reported with the reason.
func (r *replaying) leave(id, reason string) {
	delete(r.problems, id)
	if r.Left++; r.Left <= maxLeft {
		r.problems[id] = "left: " + reason
	}
}

// wait waits as long as the rate requires.
func (r *replaying) wait(ctx context.Context) error {
	if r.Rate <= 0 {
		return nil
	}
	due := r.start.Add(time.Duration(float64(r.taken) / r.Rate * float64(time.Second)))
	r.taken++
	if time.Until(due) > recordPause { // what was sent must not wait so long for its record
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	select {
	case <-time.After(time.Until(due)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sent notes that a dead letter was sent.
func (r *replaying) sent(ctx context.Context, m transport.Message) error {
	r.record = append(r.record, deadLetterID(m))
	if len(r.record) < recordEvery && time.Since(r.recorded) < recordPause {
		return nil
	}
	return r.flush(ctx)
}

// flush records what was sent.
func (r *replaying) flush(ctx context.Context) error {
	r.recorded = time.Now()
	if len(r.record) == 0 {
		return nil
	}
	m, err := transport.ReplayRecord{Time: r.recorded.UTC(), Replayed: r.record}.Message()
	if err == nil {
		limited, cancel := context.WithTimeout(ctx, deadLetterTime)
		defer cancel()
		_, err = r.cl.producer.Produce(limited, r.a.Config.Kafka.DeadLetters, m)
	}
	if err != nil {
		return fmt.Errorf("%s sent back, but this could not be recorded, so the next replay sends them again: %w",
			app.Count(len(r.record), "dead letter"), err)
	}
	r.record = r.record[:0]
	return nil
}

// errors returns the problems with dead letters.
func (r *replaying) errors() error {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(r.problems)) {
		errs = append(errs, fmt.Errorf("dead letter %s: %s", id, r.problems[id]))
	}
	if r.Left > maxLeft {
		errs = append(errs, fmt.Errorf("%s more are left", app.Count(r.Left-maxLeft, "dead letter")))
	}
	return errors.Join(errs...)
}
