package bulk

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/internal/store"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
	"github.com/voxelstream/voxelstream/reprocess"
)

// The shards of a job are tasks on a topic of their own, which a consumer group of the same name shares. A task is the
// key of a shard. Parts are stored under that key, so a task that is done twice, because a worker was slow or its
// result was acknowledged too late, has the same effect as one that is done once.

const (
	topicPrefix = "reprocess-"
	// maxPartitions limits the number of processes that get tasks at the same time.
	maxPartitions = 32
	// donePoll is how often a process checks whether all parts exist.
	donePoll = time.Second
	// idleTime is the time without a task after which a process looks for tasks that another process holds, but may
	// never finish.
	idleTime = 15 * time.Second
)

// spread is the part of one process in a job.
type spread struct {
	app     *app.Env
	job     *reprocess.Job
	plan    *reprocess.Plan
	shards  map[string]*reprocess.Shard
	topic   string
	client  *kafka.Client
	workers chan *reprocess.Worker
	// done counts the shards that this process has done, active those in progress. last is the time of the last
	// activity, in Unix nanoseconds.
	done, active, last atomic.Int64
}

// newSpread connects to the cluster and prepares the workers. The caller must call close.
func newSpread(ctx context.Context, a *app.Env, j *reprocess.Job, p *reprocess.Plan, id string) (_ *spread, err error) {
	s := &spread{
		app: a, job: j, plan: p, topic: topicPrefix + id, shards: map[string]*reprocess.Shard{},
		workers: make(chan *reprocess.Worker, j.Workers),
	}
	for i := range p.Shards {
		s.shards[p.Shards[i].Key] = &p.Shards[i]
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	config, err := a.KafkaConfig()
	if err != nil {
		return nil, err
	}
	if s.client, err = kafka.Open(config); err != nil {
		return nil, err
	}
	if err := a.Reach(ctx, s.client); err != nil {
		return nil, err
	}
	creating, cancel := app.Reaching(ctx)
	defer cancel()
	err = s.client.EnsureTopics(creating, kafka.Topic{
		Name: s.topic, Partitions: max(1, min(maxPartitions, len(p.Shards))), Replication: a.Config.Kafka.Replication,
	})
	if err != nil {
		return nil, err
	}
	for range j.Workers {
		w, err := j.NewWorker()
		if err != nil {
			return nil, err
		}
		s.workers <- w
	}
	return s, nil
}

func (s *spread) close() {
	for range len(s.workers) {
		(<-s.workers).Close()
	}
	if s.client != nil {
		s.client.Close()
	}
}

// put puts tasks on the topic.
func (s *spread) put(ctx context.Context, shards []*reprocess.Shard) error {
	producer, err := kafka.NewProducer(s.client, kafka.ProducerConfig{})
	if err != nil {
		return err
	}
	tasks := make([]transport.Message, len(shards))
	for i, shard := range shards {
		tasks[i] = transport.New(shard.Key, shard.Key, transport.ContentJSON, fmt.Appendf(nil, "%q", shard.Key))
	}
	_, err = producer.Produce(ctx, s.topic, tasks...)
	return errors.Join(err, producer.Close(context.WithoutCancel(ctx)))
}

// work does tasks of the topic until no shard is missing.
func (s *spread) work(ctx context.Context) error {
	consumer, err := kafka.NewConsumer(s.client, kafka.ConsumerConfig{
		Group: s.topic, Topic: s.topic, Budget: pipeline.NewBudget(int64(s.app.Config.Pipeline.Budget)), MaxInFlight: 1,
		SessionTimeout: s.app.Config.Kafka.SessionTimeout, InstanceID: s.app.Config.Kafka.InstanceID,
	})
	if err != nil {
		return err
	}
	soft, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s.last.Store(time.Now().UnixNano())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		stop(s.watch(soft))
	}()
	do := func(ctx context.Context, m transport.Message) ([]string, error) { return nil, s.task(ctx, m.EventID()) }
	p := &pipeline.Pipeline[transport.Message, string, string]{
		Source: consumer, SourceName: "tasks", StageName: "reprocess", Workers: s.job.Workers,
		Stage:   pipeline.StageFunc[transport.Message, string](do),
		Work:    pipeline.Pass[string](),
		Outputs: []pipeline.Output[string]{{Name: "none", Sink: none{}, Queue: 1}},
		Retry:   pipeline.Retry{Attempts: 1}, Drain: s.app.Config.Pipeline.Drain, Abort: s.app.Abort,
		Observer: s.app.Observer,
	}
	err = p.Run(soft)
	stop(nil)
	<-watched
	cause := context.Cause(soft)
	switch {
	case errors.Is(cause, errComplete):
		return nil
	case cause != nil && ctx.Err() == nil && !errors.Is(cause, context.Canceled):
		return cause
	}
	return errors.Join(err, ctx.Err())
}

// none is a sink for a stage without results.
type none struct{}

func (none) Write(context.Context, []string) error { return nil }
func (none) Close(context.Context) error           { return nil }

// task does the shard with a key, unless it is done.
func (s *spread) task(ctx context.Context, key string) error {
	shard, ok := s.shards[key]
	if !ok {
		return fmt.Errorf("task %q: found no such shard in the plan: %w", key, reprocess.ErrOther)
	}
	s.active.Add(1)
	defer func() {
		s.last.Store(time.Now().UnixNano())
		s.active.Add(-1)
	}()
	if done, err := s.job.Done(ctx, shard); err != nil || done {
		return err
	}
	if err := s.plan.Verify(shard); err != nil {
		return err
	}
	var w *reprocess.Worker
	select {
	case w = <-s.workers:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.workers <- w }()
	err := w.Do(ctx, s.plan, shard, nil)
	if err == nil {
		s.done.Add(1)
	}
	return err
}

// errComplete means that no shard is missing.
var errComplete = errors.New("the job is complete")

// watch returns errComplete when no shard is missing. If this process has had nothing to do for a while, it does shards
// that others have not finished, the last ones first.
func (s *spread) watch(ctx context.Context) error {
	t := time.NewTicker(donePoll)
	defer t.Stop()
	for {
		missing, err := s.job.Missing(ctx, s.plan)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case len(missing) == 0:
			return errComplete
		}
		if s.active.Load() == 0 && time.Since(time.Unix(0, s.last.Load())) > idleTime {
			if err := s.task(ctx, missing[len(missing)-1].Key); err != nil {
				return err
			}
			s.last.Store(time.Now().Add(-idleTime).UnixNano()) // still idle
			continue
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Joined is the result of reprocess join.
type Joined struct {
	// Shards is the number of shards that this process has done, of Total.
	Shards  int64   `json:"shards"`
	Total   int     `json:"total"`
	Seconds float64 `json:"seconds"`
	Out     string  `json:"out"`
}

// Join works on a job that another process has begun with brokers, until it is complete.
func Join(ctx context.Context, a *app.Env, o Options) (_ *Joined, err error) {
	if len(a.Config.Kafka.Brokers) == 0 {
		return nil, app.Usage(errors.New("missing --brokers, the cluster that the job was started with"))
	}
	start := time.Now()
	j, err := newJob(ctx, a, o, store.Open)
	if err != nil {
		return nil, err
	}
	defer j.Store.Close() //nolint:errcheck // everything in it is durable
	p, id, err := j.Join(ctx)
	if err != nil {
		return nil, refused(err)
	}
	s, err := newSpread(ctx, a, j, p, id)
	if err != nil {
		return nil, err
	}
	defer s.close()
	a.Started()
	if err := s.work(ctx); err != nil {
		return nil, app.Interrupted(ctx, err)
	}
	return &Joined{
		Shards: s.done.Load(), Total: len(p.Shards), Seconds: time.Since(start).Seconds(), Out: j.Store.String(),
	}, nil
}

// dispatch returns the function that has shards done by this process and those that join.
func dispatch(a *app.Env, j *reprocess.Job) func(context.Context, *reprocess.Plan, []*reprocess.Shard) error {
	return func(ctx context.Context, p *reprocess.Plan, missing []*reprocess.Shard) error {
		if len(missing) == 0 {
			return nil
		}
		s, err := newSpread(ctx, a, j, p, p.ID())
		if err != nil {
			return err
		}
		defer s.close()
		if err := s.put(ctx, missing); err != nil {
			return err
		}
		return s.work(ctx)
	}
}
