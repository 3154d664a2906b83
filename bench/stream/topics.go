package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/voxelstream/voxelstream/pipeline/transport"
	client "github.com/voxelstream/voxelstream/pipeline/transport/kafka"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/volarrow"
)

// volumesTopic is the topic that all parts read.
var volumesTopic = "bench-volumes-" + strconv.Itoa(os.Getpid())

// topics makes, fills, examines and removes topics.
type topics struct {
	client     *client.Client
	admin      *kafka.Client
	partitions int
}

func openTopics(brokers string, partitions int) (*topics, error) {
	c, err := client.Open(client.Config{Brokers: []string{brokers}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	return &topics{c, &kafka.Client{Addr: kafka.TCP(brokers), Timeout: 20 * time.Second}, partitions}, nil
}

func (t *topics) close() { t.client.Close() }

func (t *topics) create(ctx context.Context, name string) error {
	return t.client.EnsureTopics(ctx, client.Topic{Name: name, Partitions: t.partitions})
}

func (t *topics) remove(ctx context.Context, name string) error {
	_, err := t.admin.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{name}})
	return err
}

// written returns the number of messages of a topic, and the time from the first to the last.
func (t *topics) written(ctx context.Context, name string) (n int, span time.Duration, err error) {
	var first, last time.Time
	for m, err := range t.client.Records(ctx, name, false) {
		if err != nil {
			return 0, 0, err
		}
		n++
		if first.IsZero() || m.Appended.Before(first) {
			first = m.Appended
		}
		if m.Appended.After(last) {
			last = m.Appended
		}
	}
	return n, last.Sub(first), nil
}

// load reads the volumes of the archive, by way of a topic.
func (b *bench) load(ctx context.Context) error {
	seed := volumesTopic + "-seed"
	conf := filepath.Join(b.dir, "seed.yaml")
	if err := os.WriteFile(conf, []byte("kafka:\n  volumes: "+seed+"\n"), 0o644); err != nil {
		return err
	}
	if _, _, _, err := b.child(ctx, b.binary, "ingest", b.archive, "--brokers", b.brokers, "--quiet", "--config",
		conf); err != nil {
		return err
	}
	for m, err := range b.topics.client.Records(ctx, seed, false) {
		if err != nil {
			return err
		}
		batch, err := volarrow.Decode(m.Value, string(m.Key))
		if err != nil {
			return err
		}
		b.source = append(b.source, batch.Volumes...)
	}
	if len(b.source) == 0 {
		return errors.New("the archive has no volumes")
	}
	return b.topics.remove(ctx, seed)
}

// message returns message i of a topic.
func (b *bench) message(i int) (transport.Message, error) {
	stream := fmt.Sprintf("stream-%d", i%b.streams)
	vs := make([]voxelize.Volume, b.perMessage)
	for k := range vs {
		vs[k] = b.source[(i*b.perMessage+k)%len(b.source)]
		vs[k].Stream, vs[k].Seq = stream, uint64(i/b.streams*b.perMessage+k)
	}
	value, err := volarrow.Encode(nil, vs)
	return transport.New(stream, vs[0].ID.String(), transport.ContentArrow, value), err
}

// fill writes the volumes to a topic, again and again with other sequence numbers.
func (b *bench) fill(ctx context.Context, topic string) error {
	if err := b.topics.create(ctx, topic); err != nil {
		return err
	}
	p, err := client.NewProducer(b.topics.client, client.ProducerConfig{})
	if err != nil {
		return err
	}
	n := b.volumes / b.perMessage
	b.total = n * b.perMessage
	var ms []transport.Message
	for i := range n {
		m, err := b.message(i)
		if err != nil {
			return err
		}
		if ms = append(ms, m); len(ms)*b.perMessage >= 1024 || i == n-1 {
			if _, err := p.Produce(ctx, topic, ms...); err != nil {
				return err
			}
			ms = nil
		}
	}
	return p.Close(ctx)
}

// classificationBytes is the size of the value that bare writes for a volume, about that of a classification.
const classificationBytes = 400

// bare reads a topic with kafka-go's group reader, writes a message for each volume with kafka-go's writer, and commits
// the offsets of what is written: the least that streaming can cost. Its arguments are the brokers, the topic to read,
// the topic to write, the group and the number of volumes.
func bare(ctx context.Context, args []string) error {
	if len(args) != 5 {
		return errors.New("usage: stream bare BROKERS IN OUT GROUP VOLUMES")
	}
	brokers, in, out, group := args[0], args[1], args[2], args[3]
	n, err := strconv.Atoi(args[4])
	if err != nil {
		return err
	}
	r := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{brokers}, GroupID: group, Topic: in, MinBytes: 1, MaxBytes: 1 << 20,
		MaxWait: 100 * time.Millisecond, QueueCapacity: 256, StartOffset: kafka.FirstOffset,
	})
	w := &kafka.Writer{
		Addr: kafka.TCP(brokers), Topic: out, Balancer: &kafka.Hash{}, RequiredAcks: kafka.RequireAll,
		BatchSize: 128, BatchBytes: 1 << 20, BatchTimeout: 2 * time.Millisecond,
	}
	if err := move(ctx, r, w, n); err != nil {
		return err
	}
	return errors.Join(r.Close(), w.Close())
}

// batch is the number of messages that move writes and commits together, and inFlight the number of such batches on
// their way.
const (
	batch    = 64
	inFlight = 4
)

// move moves n volumes: it reads batches, writes up to inFlight of them at the same time, and commits them in order.
func move(ctx context.Context, r *kafka.Reader, w *kafka.Writer, n int) error {
	type written struct {
		read []kafka.Message
		err  chan error
	}
	order := make(chan written, inFlight-1)
	failed := make(chan error, 1)
	go func() {
		var pending []kafka.Message
		last := time.Now()
		for b := range order {
			if err := <-b.err; err != nil {
				failed <- err
				return
			}
			if pending = append(pending, b.read...); time.Since(last) > 200*time.Millisecond {
				if err := r.CommitMessages(ctx, pending...); err != nil {
					failed <- err
					return
				}
				pending, last = nil, time.Now()
			}
		}
		if len(pending) > 0 {
			failed <- r.CommitMessages(ctx, pending...)
			return
		}
		failed <- nil
	}()
	for n > 0 {
		b := written{err: make(chan error, 1)}
		var ms []kafka.Message
		for len(b.read) < batch && n > 0 {
			m, err := r.FetchMessage(ctx)
			if errors.Is(err, io.EOF) {
				return io.ErrUnexpectedEOF
			}
			if err != nil {
				return err
			}
			b.read = append(b.read, m)
			volumes, err := volumesIn(m.Value)
			if err != nil {
				return err
			}
			n -= volumes
			for range volumes {
				ms = append(ms, kafka.Message{Key: m.Key, Value: m.Value[:classificationBytes]})
			}
		}
		select {
		case order <- b:
		case err := <-failed:
			return err
		}
		go func() { b.err <- w.WriteMessages(ctx, ms...) }()
	}
	close(order)
	return <-failed
}

// volumesIn returns the number of volumes of a message. Those of a single one need no decoding, which is no part of what
// is measured.
func volumesIn(value []byte) (int, error) {
	if len(value) < 8<<10 {
		return 1, nil
	}
	b, err := volarrow.Decode(value, "")
	return len(b.Volumes), err
}
