package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// topicSource reads a topic each message of which is one file, as the source of a pipeline. The offset of a message
// is committed when all its samples are stored further on. When one of them cannot be, the message becomes a dead
// letter, unchanged, and dlq replay sends it back.
type topicSource struct {
	read     ingest.Options
	dead     *deadLetters
	consumer *kafka.Consumer
	dir      string // of the file that is being read
	current  *topicFile
}

// checkTopics refuses to read files from the topics that this program writes to.
func checkTopics(a *app.Env, inputs []input.Input) error {
	k := &a.Config.Kafka
	for _, in := range inputs {
		if t, ok := in.Topic(); ok && (t.Name == k.Volumes || t.Name == k.Classifications || t.Name == k.DeadLetters) {
			return app.Usage(fmt.Errorf("%v: this program writes to this topic; give a topic of files", in))
		}
	}
	return nil
}

func newTopicSource(
	ctx context.Context, a *app.Env, cl *cluster, dead *deadLetters, t *input.Topic,
) (*topicSource, error) {
	k := &a.Config.Kafka
	group := cmp.Or(t.Group, k.Group+"-"+t.Name)
	reach, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	if err := ensureTopics(reach, a, cl, t.Name); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "voxelstream-topic-")
	if err != nil {
		return nil, err
	}
	consumer, err := kafka.NewConsumer(cl.client, kafka.ConsumerConfig{
		Group: group, Topic: t.Name,
		Budget: pipeline.NewBudget(int64(a.Config.Pipeline.Budget)), MaxInFlight: a.Config.Pipeline.InFlight,
		DeadLetters: cl.producer, DeadLetterTopic: k.DeadLetters, SessionTimeout: k.SessionTimeout,
	})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	a.Ready("group of "+t.Name, consumer.Joined)
	a.Log.Info("reading files", "topic", t.Name, "group", group)
	return &topicSource{read: a.Reading(), dead: dead, consumer: consumer, dir: dir}, nil
}

// Read waits for the next sample. Its errors are those of this machine and the cluster; a message that cannot be read
// is a dead letter.
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

// Close leaves the group. The message that is being read will be read again.
func (s *topicSource) Close(ctx context.Context) error {
	var err error
	if s.current != nil {
		s.current.end(errors.New("the program is stopping"))
		err = s.current.src.Close()
	}
	err = errors.Join(err, s.consumer.Close(ctx), os.RemoveAll(s.dir))
	s.dead.count.Add(s.consumer.Stats().DeadLettered.Load())
	return err
}

// open writes the file of a message and opens it. A permanent error is the message's.
func (s *topicSource) open(ctx context.Context, d pipeline.Delivery[transport.Message]) (*topicFile, error) {
	m := d.Value
	f := &topicFile{name: fileName(m), offset: m.Offset, stream: fmt.Sprintf("%s/%d", m.Topic, m.Partition)}
	f.id, f.named = eventID(m)
	f.path = filepath.Join(s.dir, f.name)
	if err := os.WriteFile(f.path, m.Value, 0o600); err != nil {
		return nil, err
	}
	d.Free()
	var err error
	if f.src, err = formats.Open(ctx, f.path, s.read); err != nil {
		if rm := os.Remove(f.path); rm != nil || ctx.Err() != nil {
			return nil, errors.Join(err, rm)
		}
		return nil, f.fault(err)
	}
	f.add, f.end = pipeline.Unfold[transport.Message, ingest.Sample](d)
	return f, nil
}
