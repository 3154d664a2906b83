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

// topicSource is a source that reads a topic on which each message is one file. The offset of a message is committed
// when all its samples are stored. If one of them cannot be, the unchanged message becomes a dead letter, and dlq
// replay can send it back.
type topicSource struct {
	read     ingest.Options
	dead     *deadLetters
	consumer *kafka.Consumer
	dir      string // directory of the file being read
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
	err = errors.Join(err, s.consumer.Close(ctx), os.RemoveAll(s.dir))
	s.dead.count.Add(s.consumer.Stats().DeadLettered.Load())
	return err
}

// open writes a message to a file and opens that. The error is permanent if the message is at fault.
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
