package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/formats"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// topicSource reads a topic each message of which is one file, as the source of a pipeline. Its offset is committed when all samples of the file
// are stored further on. A message with a sample that never will be becomes a dead letter as it is, so that dlq replay sends it back.
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
			return app.Usage(fmt.Errorf("%v: found one of the topics that this program writes to, want one of files", in))
		}
	}
	return nil
}

func newTopicSource(ctx context.Context, a *app.Env, cl *cluster, dead *deadLetters, t *input.Topic) (*topicSource, error) {
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
		Group: group, Topic: t.Name, Budget: pipeline.NewBudget(int64(a.Config.Pipeline.Budget)), MaxInFlight: a.Config.Pipeline.InFlight,
		DeadLetters: cl.producer, DeadLetterTopic: k.DeadLetters, SessionTimeout: k.SessionTimeout,
	})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	a.Log.Info("reading files", "topic", t.Name, "group", group)
	return &topicSource{read: a.Config.Ingest, dead: dead, consumer: consumer, dir: dir}, nil
}

// Read waits for the next sample. An error is one of this machine or the cluster; what is wrong with a message is not.
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

// Close hands the file that is being read back, and leaves the group.
func (s *topicSource) Close(ctx context.Context) error {
	var err error
	if s.current != nil {
		s.current.end(errors.New("the program ends"))
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

// topicFile is the message that is being read.
type topicFile struct {
	name, path string
	id         string // the message's event id
	named      bool   // by its producer
	stream     string // topic/partition
	offset     int64
	src        ingest.Source
	count      uint64
	ahead      *lookahead
	failed     error // the first fault of an item
	add        func(ingest.Sample) pipeline.Delivery[ingest.Sample]
	end        func(error)
}

// lookahead is what the source gave before it was asked for.
type lookahead struct {
	sample ingest.Sample
	err    error
}

// next gives the next sample, named so that the message read a second time gives the same names. A message of one sample, which no producer
// named, is one of its partition's stream: topic/partition/offset. So those of a camera stay in order, and travel in batches. Other messages
// are streams of their own: event id/sample.
func (f *topicFile) next(ctx context.Context) (ingest.Sample, error) {
	at, err := f.take(ctx)
	if err != nil {
		return at, err
	}
	if f.count == 0 && !f.named {
		second, err := f.take(ctx)
		if ctx.Err() != nil {
			return second, ctx.Err()
		}
		f.ahead = &lookahead{second, err}
		if errors.Is(err, io.EOF) {
			at.Stream, at.Seq = f.stream, uint64(f.offset) //nolint:gosec // offsets begin at 0
			f.count++
			return at, nil
		}
	}
	at.Stream, at.Seq = f.id, f.count
	f.count++
	return at, nil
}

func (f *topicFile) take(ctx context.Context) (ingest.Sample, error) {
	if a := f.ahead; a != nil {
		f.ahead = nil
		return a.sample, a.err
	}
	return f.src.Read(ctx)
}

// close ends the file: its message settles with what was wrong with it, if anything, when its samples have settled.
func (f *topicFile) close() error {
	err := errors.Join(f.src.Close(), os.Remove(f.path))
	switch {
	case err != nil:
		f.end(err)
	case f.failed != nil:
		f.end(f.fault(f.failed))
	default:
		f.end(nil)
	}
	return err
}

// fault is an error of the message's content, without the name of the file that it was for a while.
func (f *topicFile) fault(err error) error {
	return pipeline.Permanent(&pipeline.Failure{Stage: "ingest", Attempts: 1, Err: errors.New(strings.ReplaceAll(err.Error(), f.path, f.name))})
}

// maxName bounds the names that a message brings along.
const maxName = 200

func printable(s string) bool {
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) })
}

// eventID is the message's id, and whether it has one from its producer. One that cannot be shown does not count.
func eventID(m transport.Message) (id string, named bool) {
	if id, _ := m.Header(transport.HeaderEventID); printable(id) {
		return id, true
	}
	m.Headers = nil
	return m.EventID(), false
}

// fileName is the name of a message's file: that of the header name, or its key, where that can be one. The format is found from the content;
// the name's extension helps where that is ambiguous.
func fileName(m transport.Message) string {
	name, _ := m.Header("name")
	for _, n := range []string{name, string(m.Key)} {
		if printable(n) && filepath.IsLocal(n) && n != "." && !strings.ContainsAny(n, `/\`) {
			return n
		}
	}
	return "message"
}
