package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/internal/transient"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// topicSource is a source that reads a topic on which each message is one file. The offset of a message is committed
// when all its samples are stored. If one of them cannot be, the unchanged message becomes a dead letter, and dlq
// replay can send it back.
type topicSource struct {
	log      *slog.Logger
	read     ingest.Options
	dead     *deadLetters
	consumer *kafka.Consumer
	dir      string // directory of the file being read
	remove   func() error
	current  *topicFile
}

// checkTopics rejects inputs that are topics to which this program writes.
func checkTopics(a *app.Env, inputs []input.Input) error {
	k := &a.Config.Kafka
	for _, in := range inputs {
		if t, ok := in.Topic(); ok && (t.Name == k.Volumes || t.Name == k.Classifications || t.Name == k.DeadLetters) {
			return app.Usage(fmt.Errorf("%v: this program writes to this topic, want a topic of files", in))
		}
	}
	return nil
}

func newTopicSource(
	ctx context.Context, a *app.Env, cl *cluster, dead *deadLetters, t *input.Topic,
) (*topicSource, error) {
	k := &a.Config.Kafka
	group := cmp.Or(t.Group, k.Group+"-"+t.Name)
	reach, cancel := app.Reaching(ctx)
	defer cancel()
	if err := ensureTopics(reach, a, cl, t.Name); err != nil {
		return nil, err
	}
	dir, remove, err := durable.TempDir("", "topic")
	if err != nil {
		return nil, err
	}
	instance := k.InstanceID
	if instance != "" {
		instance += "-" + t.Name // several topics may have one group, in which it must be unique
	}
	consumer, err := kafka.NewConsumer(cl.client, kafka.ConsumerConfig{
		Group: group, Topic: t.Name,
		Budget: pipeline.NewBudget(int64(a.Config.Pipeline.Budget)), MaxInFlight: a.Config.Pipeline.InFlight,
		DeadLetters: cl.producer, DeadLetterTopic: k.DeadLetters, SessionTimeout: k.SessionTimeout,
		InstanceID: instance,
	})
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	a.Ready("group of "+t.Name, consumer.Joined)
	a.Log.Info("reading files", "topic", t.Name, "group", group)
	return &topicSource{log: a.Log, read: a.Arriving(), dead: dead, consumer: consumer, dir: dir, remove: remove}, nil
}

// Read waits for the next sample. A message that cannot be read becomes a dead letter. Errors are those of this machine
// and of the cluster.
func (s *topicSource) Read(ctx context.Context) (none pipeline.Delivery[ingest.Sample], err error) {
	for {
		if s.current == nil {
			d, err := s.consumer.Read(ctx)
			if err != nil {
				return none, err
			}
			if s.current, err = s.open(ctx, d); err != nil {
				d.Settle(err)
				if !pipeline.IsPermanent(err) {
					return none, err
				}
				continue
			}
		}
		f := s.current
		sample, err := f.next(ctx)
		if err == nil {
			return f.add(sample), nil
		}
		if ctx.Err() != nil {
			return none, ctx.Err()
		}
		if _, ok := errors.AsType[*ingest.ItemError](err); ok {
			f.failed = cmp.Or(f.failed, err)
			continue
		}
		if !errors.Is(err, io.EOF) {
			f.failed = cmp.Or(f.failed, err)
		}
		s.current = nil
		if err := f.close(); err != nil {
			return none, err
		}
	}
}

// Close leaves the group. The message being read will be delivered again.
func (s *topicSource) Close(ctx context.Context) error {
	var err error
	if s.current != nil {
		s.current.end(errors.New("the program is stopping"))
		err = s.current.src.Close()
	}
	err = errors.Join(err, s.consumer.Close(ctx), s.remove())
	s.dead.count.Add(s.consumer.Stats().DeadLettered.Load())
	return err
}

// patience is how often a message is tried again that cannot be read for a reason that may pass: for about a minute.
const patience = 10

// patiently calls f again, after growing pauses, while it fails for a reason that may pass within seconds, such as a lack
// of descriptors. After that the message may be the reason.
func (s *topicSource) patiently(ctx context.Context, m transport.Message, f func() error) error {
	for failures := 1; ; failures++ {
		err := f()
		if failures > patience || !transient.IsShort(err) || ctx.Err() != nil {
			return err
		}
		pause := transient.Pause(failures, firstPause, maxPause)
		s.log.Warn("a message cannot be read; it is tried again", "topic", m.Topic, "partition", m.Partition, "offset",
			m.Offset, "failures", failures, "pause", pause.Round(time.Millisecond), "error", err)
		if err := transient.Wait(ctx, pause); err != nil {
			return err
		}
	}
}

// open writes a message to a file and opens that. The error is permanent if the message is at fault.
func (s *topicSource) open(ctx context.Context, d pipeline.Delivery[transport.Message]) (*topicFile, error) {
	m := d.Value
	f := &topicFile{name: fileName(m), offset: m.Offset, stream: fmt.Sprintf("%s/%d", m.Topic, m.Partition)}
	f.id, f.named = eventID(m)
	f.path = filepath.Join(s.dir, f.name)
	if err := s.patiently(ctx, m, func() error { return os.WriteFile(f.path, m.Value, 0o600) }); err != nil {
		return nil, err
	}
	d.Free()
	if err := s.patiently(ctx, m, func() (err error) {
		f.src, err = formats.Open(ctx, f.path, s.read)
		return err
	}); err != nil {
		if rm := os.Remove(f.path); rm != nil || ctx.Err() != nil {
			return nil, errors.Join(err, rm)
		}
		return nil, f.fault(err)
	}
	f.add, f.end = pipeline.Unfold[transport.Message, ingest.Sample](d)
	return f, nil
}
