package stream

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/claimcheck"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/volarrow"
)

// IngestSummary is the result of ingest.
type IngestSummary struct {
	Inputs      int     `json:"inputs"`
	Volumes     int64   `json:"volumes"`
	Messages    int64   `json:"messages"`
	DeadLetters int64   `json:"dead_letters"`
	Seconds     float64 `json:"seconds"`
	// Failed counts the rows that could not be used, and the files that could not be read to their end.
	Failed int64             `json:"failed"`
	Files  []app.FileOutcome `json:"files"`
}

// errUnreadable reports that there was nothing to read. It accompanies a result.
var errUnreadable = errors.New("no input could be read; run dlq list for the reasons")

// Ingest sends inputs to the volumes topic. Once it has started, it returns a result, with an error too if sending
// fails for good, there are dead letters, or no input could be read.
func Ingest(ctx context.Context, a *app.Env, args []string) (*IngestSummary, error) {
	inputs, err := parseInputs(a, args)
	if err != nil {
		return nil, err
	}
	open, release := openAhead(ctx, inputs, openerOf(a))
	defer release()
	cl, err := connect(ctx, a)
	if err != nil {
		return nil, err
	}
	a.Started()
	bar := a.Bar("volumes")
	s, err := send(ctx, a, cl, sending{
		options: a.Config.Voxelize, backlog: backlogOf(a, cl, cl.broker != nil), inputs: inputs, files: &input.Files{},
		open: open, bar: bar,
	})
	bar.Done()
	if !input.Endless(inputs) {
		err = app.Interrupted(ctx, err)
	}
	if err = errors.Join(err, cl.close(ctx)); err != nil {
		return &s, err
	}
	return &s, deadLettered(s.DeadLetters, input.Endless(inputs), ctx.Err() != nil)
}

// parseInputs parses the inputs of a command.
func parseInputs(a *app.Env, args []string) ([]input.Input, error) {
	inputs, err := input.Parse(args)
	if err != nil {
		return nil, err
	}
	return inputs, checkTopics(a, inputs)
}

// sending is what send needs.
type sending struct {
	options voxelize.Options
	backlog *backlog
	inputs  []input.Input
	files   *input.Files
	open    opener  // of files and live sources
	bar     app.Bar // may be nil
}

// send voxelizes the inputs on all threads and sends them to the topic, in the order in which they were read.
func send(ctx context.Context, a *app.Env, cl *cluster, o sending) (IngestSummary, error) {
	v, err := voxelize.New(o.options)
	if err != nil {
		return IngestSummary{}, err
	}
	if err := cl.objects.Prepare(ctx); err != nil {
		return IngestSummary{}, err
	}
	start := time.Now()
	dead := newDeadLetters(a.Log, a.Observer, kafka.NewDeduper(cl.producer, a.Config.Kafka.DeadLetters, 0))
	src, err := newSources(ctx, a, o.inputs, o.files, o.open, cl, dead)
	if err != nil {
		return IngestSummary{}, err
	}
	out := &volumes{
		topic: cl.producer.Sink(a.Config.Kafka.Volumes), limit: messageBytes(a), backlog: o.backlog, bar: o.bar,
		tracer: a.Tracer, name: a.Config.Kafka.Volumes, objects: cl.objects, fits: cl.producer.Fits,
	}
	var source pipeline.Source[ingest.Sample] = src
	stage := voxelizing(a, v)
	if a.Config.Perception.Objects {
		if source, stage, err = finding(a, v, src); err != nil {
			return IngestSummary{}, errors.Join(err, src.Close(ctx))
		}
	}
	p := &pipeline.Pipeline[ingest.Sample, voxelize.Volume, voxelize.Volume]{
		Source:     source,
		Stage:      stage,
		SourceName: "inputs", StageName: "voxelize", Workers: a.Threads(), Work: pipeline.Pass[voxelize.Volume](),
		WorkName: "pass",
		Outputs:  []pipeline.Output[voxelize.Volume]{{Name: "produce", Sink: out, Queue: 1}},
		Retry:    pipeline.Retry{Attempts: 1}, // the producer retries by itself
		Batch:    pipeline.Batch{Size: messageVolumes(a, o.options), Linger: a.Config.Pipeline.Linger, Gap: nextSample},
		Drain:    a.Config.Pipeline.Drain, Abort: a.Abort, Observer: a.Observer,
	}
	err = p.Run(ctx)
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), deadLetterTime)
	dead.done(ending)
	cancel()
	s := IngestSummary{
		Inputs: len(o.inputs), Volumes: out.volumes.Load(), Messages: out.messages.Load(),
		DeadLetters: dead.count.Load(), Seconds: time.Since(start).Seconds(), Files: o.files.List(),
	}
	var nothing bool
	s.Failed, nothing = src.unreadable()
	for _, f := range s.Files {
		s.Failed += f.Failed
	}
	if err == nil && s.Volumes == 0 && nothing {
		err = errUnreadable
	}
	return s, err
}

// nextSample is how long a message waits for the next sample. Those of an archive follow each other faster, those of a
// sensor do not.
const nextSample = time.Millisecond

// voxelizing returns the stage that makes a volume of each sample.
func voxelizing(a *app.Env, v *voxelize.Voxelizer) pipeline.Stage[ingest.Sample, voxelize.Volume] {
	return pipeline.StageFunc[ingest.Sample, voxelize.Volume](func(_ context.Context,
		s ingest.Sample,
	) ([]voxelize.Volume, error) {
		a.Live.Sample(&s)
		vol, err := v.Volume(s)
		if err != nil {
			return nil, pipeline.Permanent(err)
		}
		vol.Compact()
		return []voxelize.Volume{vol}, nil
	})
}

// messageVolumes returns the maximum number of volumes of one channel per message: as many as configured, or as fit
// into messageBytes.
func messageVolumes(a *app.Env, vo voxelize.Options) int {
	size := vo.Dims[0] * vo.Dims[1] * vo.Dims[2] * vo.CellBytes()
	return max(1, min(a.Config.Pipeline.Batch, messageBytes(a)/size))
}

// messageBytes returns the maximum size of the volumes of a message, unless a single volume is larger: half of the
// maximum message size.
func messageBytes(a *app.Env) int { return int(a.Config.Kafka.MaxMessage) / 2 }

// volumes is a sink that sends volumes. Consecutive volumes of a batch share a message if possible.
type volumes struct {
	topic             pipeline.Sink[transport.Message]
	limit             int // maximum bytes of the volumes of a message
	backlog           *backlog
	bar               app.Bar
	tracer            pipeline.Tracer // nil without traces
	name              string          // of the topic
	objects           *claimcheck.Store
	fits              func(*transport.Message) bool // used with objects only
	volumes, messages atomic.Int64
}

// Write encodes and sends vs.
func (s *volumes) Write(ctx context.Context, vs []voxelize.Volume) error {
	failed := map[int]error{}
	var ms []transport.Message
	var spans []pipeline.Span
	ended := func(err error) {
		for _, span := range spans {
			span.End(err)
		}
	}
	var parts [][2]int // for each message, the index of its first volume, and the index after its last one
	for first, end := 0, 0; first < len(vs); first = end {
		end = first + s.together(vs[first:])
		m, span, err := s.message(ctx, vs[first:end])
		if err != nil && span != nil {
			span.End(err)
		}
		if pipeline.IsPermanent(err) {
			for i := first; i < end; i++ {
				failed[i] = err
			}
			continue
		}
		if err != nil {
			ended(err)
			return err
		}
		if span != nil {
			spans = append(spans, span)
		}
		ms, parts = append(ms, m), append(parts, [2]int{first, end})
	}
	var partial *pipeline.PartialError
	err := s.topic.Write(ctx, ms)
	ended(err)
	if err != nil && !errors.As(err, &partial) {
		return err
	}
	sent := len(ms)
	if partial != nil {
		sent -= len(partial.Failed)
		for j, err := range partial.Failed {
			for i := parts[j][0]; i < parts[j][1]; i++ {
				failed[i] = err
			}
		}
	}
	s.messages.Add(int64(sent))
	n := s.volumes.Add(int64(len(vs) - len(failed)))
	if s.bar != nil {
		s.bar.Set(n, 0, "")
	}
	return pipeline.Partial(failed)
}

// message returns the message of volumes that can share one, and its span. A value that does not fit becomes an object
// outside Kafka. It waits while the consumers are far behind.
func (s *volumes) message(ctx context.Context, vs []voxelize.Volume,
) (m transport.Message, span pipeline.Span, err error) {
	if m, err = volumeMessage(vs); err != nil {
		return m, nil, pipeline.Permanent(err)
	}
	span = traceSent(s.tracer, &m, s.name, len(vs))
	if s.objects.On() && !s.fits(&m) {
		m, err = s.objects.Deposit(ctx, m)
	}
	if err == nil {
		err = s.backlog.wait(ctx, m.Size())
	}
	return m, span, err
}

// Close does nothing, because the producer is shared.
func (s *volumes) Close(context.Context) error { return nil }

// together returns how many of the first volumes can share a message: those of one stream, size and content, up to the
// limit.
func (s *volumes) together(vs []voxelize.Volume) int {
	first := &vs[0]
	size := len(first.Index) + 4*len(first.Values)
	n := 1
	for n < len(vs) && (n+1)*size <= s.limit &&
		vs[n].Stream == first.Stream && vs[n].Dims == first.Dims && vs[n].Content == first.Content {
		n++
	}
	return n
}

// volumeMessage returns a message of volumes that can share one. Its event ID has the first and the last of them:
// stream/17-19 for scans, stream/17#1-18#2 for objects.
func volumeMessage(vs []voxelize.Volume) (transport.Message, error) {
	value, err := volarrow.Encode(nil, vs)
	if err != nil {
		return transport.Message{}, err
	}
	id := vs[0].ID.String()
	if last := vs[len(vs)-1].ID; len(vs) > 1 {
		id += "-" + strings.TrimPrefix(last.String(), last.Stream+"/")
	}
	schema := transport.Header{
		Key: transport.HeaderSchema, Value: []byte(transport.SchemaOfVolumes(volarrow.Version(vs))),
	}
	return transport.New(vs[0].Stream, id, transport.ContentArrow, value, schema), nil
}
