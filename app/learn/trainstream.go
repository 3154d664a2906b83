package learn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/stream"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport/claimcheck"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
	"github.com/voxelstream/voxelstream/voxelize"
)

// follow trains on the labelled volumes of the topic as they arrive, each once. The checkpoint stores the position in
// the topic together with the weights.
func (tr *trainer) follow(ctx context.Context) error {
	a, c := tr.env, &tr.settings
	tr.rows = c.StepsPerEpoch * c.BatchSize
	if err := tr.prepare(ctx, tr.rows); err != nil {
		return err
	}
	return stream.WithClient(ctx, a, func(client *kafka.Client) error {
		consumer, err := client.JoinExclusive(ctx, a.Config.Kafka.Group+"-train", a.Config.Kafka.Volumes,
			a.Config.Kafka.SessionTimeout)
		if err != nil {
			return err
		}
		s := &topicStream{
			env: a, consumer: consumer, input: tr.input, objects: a.ClaimCheck(),
		}
		tr.options.Checkpoint.Settings = map[string]string{topicSetting: fmt.Sprintf("%s of %d partitions",
			a.Config.Kafka.Volumes, consumer.Partitions())}
		log := newTrainingLog(a, tr.model, tr.o)
		tr.options.Progress = log.progress
		tr.board.begin(ctx, nil, nil, &tr.options)
		tr.history, err = train.FitStream(ctx, tr.model, s, c.StepsPerEpoch, tr.options)
		return errors.Join(err, log.close(), consumer.Close(), s.objects.Close())
	})
}

// topicStream reads the labelled volumes of a topic. It skips messages that cannot be decoded and volumes without
// label.
type topicStream struct {
	env      *app.Env
	consumer *kafka.ExclusiveConsumer
	input    *classify.Input
	objects  *claimcheck.Store
	at       topicPosition
	// volumes holds the labelled volumes of the current message. Those before at.Used have been used.
	volumes []voxelize.Volume
}

// topicPosition is a position in a topic.
type topicPosition struct {
	// Next is, by partition, the offset of the first message that has not been used completely. Used is the number of
	// labelled volumes used of the current message, which is in partition Turn.
	Next []int64 `json:"next"`
	Turn int     `json:"turn"`
	Used int     `json:"used"`
}

func (s *topicStream) Colours() *nn.Palette { return s.input.Colours() }

func (s *topicStream) Seek(ctx context.Context, position json.RawMessage) (err error) {
	s.volumes = nil
	if position == nil {
		s.at = topicPosition{}
		s.at.Next, err = s.consumer.First(ctx)
	} else {
		err = json.Unmarshal(position, &s.at)
	}
	if err != nil {
		return err
	}
	return s.consumer.Seek(s.at.Next, s.at.Turn)
}

func (s *topicStream) Next(ctx context.Context, b *train.Batch) error {
	size, indices := s.input.Size()
	for i := range b.Labels {
		for s.at.Used >= len(s.volumes) {
			if err := s.read(ctx); err != nil {
				return err
			}
		}
		v := &s.volumes[s.at.Used]
		if indices {
			copy(b.Index[i*size:(i+1)*size], v.Index)
		} else if err := s.input.Put(b.X[i*size:(i+1)*size], v); err != nil {
			return err
		}
		b.Labels[i], b.Weights[i] = v.Label, 1
		s.at.Used++
	}
	return nil
}

// read advances to the next message. After Seek, that is the current one, which may be partly consumed.
func (s *topicStream) read(ctx context.Context) error {
	if s.volumes != nil {
		s.at.Next[s.at.Turn]++
		s.at.Turn, s.at.Used = (s.at.Turn+1)%len(s.at.Next), 0
	}
	m, err := s.consumer.Read(ctx)
	if err != nil {
		return err
	}
	s.at.Turn, s.at.Next[m.Partition] = m.Partition, m.Offset
	bad := func(err error) {
		s.env.Log.Warn("skipped a message", "topic", m.Topic, "partition", m.Partition, "offset", m.Offset, "error",
			err)
	}
	batch, err := decode(ctx, s.objects, pipeline.Retry{Attempts: s.env.Config.Pipeline.Attempts}, &m)
	if pipeline.IsPermanent(err) {
		bad(err)
	} else if err != nil {
		return err
	}
	s.volumes = labelled(s.input, batch.Volumes, bad)
	return nil
}

// labelled returns those of the volumes that have a label and that a model takes. It never returns nil.
func labelled(in *classify.Input, volumes []voxelize.Volume, bad func(error)) []voxelize.Volume {
	return slices.DeleteFunc(append([]voxelize.Volume{}, volumes...), func(v voxelize.Volume) bool {
		if v.Label < 0 {
			return true
		}
		err := in.Check(&v)
		if err != nil {
			bad(fmt.Errorf("volume %s: %w", v.ID.String(), err))
		}
		return err != nil
	})
}

func (s *topicStream) Position() json.RawMessage {
	text, err := json.Marshal(s.at)
	if err != nil {
		panic(err) // numbers can always be marshalled
	}
	return text
}

func (s *topicStream) Stored(ctx context.Context, position json.RawMessage) error {
	var at topicPosition
	if err := json.Unmarshal(position, &at); err != nil {
		return err
	}
	return s.consumer.Commit(ctx, at.Next)
}
