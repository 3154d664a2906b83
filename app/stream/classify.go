package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/internal/tally"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/stdout"
	"github.com/voxelstream/voxelstream/sinks/terminal"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/volarrow"
)

// classifying is a running member of the consumer group: volumes topic -> network -> sinks.
type classifying struct {
	*pipeline.Pipeline[transport.Message, classify.Item, record.Classification]
	app      *app.Env
	cluster  *cluster
	consumer *kafka.Consumer
	network  *classify.Pool
	tally    *tally.Tally
	model    record.Model
	drops    drops
	outputs  []string
	stdout   bool
	// voxelize makes the volumes of this process.
	voxelize voxelize.Options
}

// newClassifying connects to Kafka while it loads the model, opens the sinks and joins the group. own says that the
// volumes are made by this process. close it after Run, or instead of it.
func newClassifying(ctx context.Context, a *app.Env, own bool) (_ *classifying, err error) {
	c := &classifying{app: a, tally: tally.New(), drops: drops{log: a.Log}}
	connecting, stop := context.WithCancel(ctx)
	defer stop()
	connected := make(chan error, 1)
	go func() {
		cl, err := connect(connecting, a)
		if err == nil {
			c.cluster = cl
		}
		connected <- err
	}()
	err = c.loadNetwork(ctx, own)
	if err != nil {
		stop()
	}
	if clusterErr := <-connected; err == nil {
		err = clusterErr
	}
	var out []pipeline.Output[record.Classification]
	if err == nil {
		out, err = c.openSinks(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, c.close(ctx))
	}
	cfg := &a.Config.Pipeline
	exhausted := pipeline.Stop
	if cfg.Exhaust == "dead-letter" {
		exhausted = pipeline.DeadLetter
	}
	c.Pipeline = &pipeline.Pipeline[transport.Message, classify.Item, record.Classification]{
		SourceName: "messages", Stage: pipeline.StageFunc[transport.Message, classify.Item](decode),
		StageName: "decode", Workers: min(2, a.Threads()),
		Work: c.network, WorkName: "classify", Parallel: c.network.Networks(),
		Batch: pipeline.Batch{Size: cfg.Batch, Linger: cfg.Linger}, Outputs: out,
		Retry: pipeline.Retry{Attempts: cfg.Attempts}, Exhausted: exhausted, Drain: cfg.Drain, Abort: a.Abort,
		Observer: a.Observer,
		OnDone:   func(x record.Classification) { c.tally.Add([]record.Classification{x}) },
		OnDrop:   c.drops.add,
		OnRetry: func(f *pipeline.Failure) {
			a.Log.Warn("retrying", "stage", f.Stage, "attempt", f.Attempts, "error", f.Err)
		},
	}
	c.consumer, err = kafka.NewConsumer(c.cluster.client, kafka.ConsumerConfig{
		Group: a.Config.Kafka.Group, Topic: a.Config.Kafka.Volumes, Budget: pipeline.NewBudget(int64(cfg.Budget)),
		MaxInFlight: inFlight(cfg.InFlight, out),
		DeadLetters: c.cluster.producer, DeadLetterTopic: a.Config.Kafka.DeadLetters,
		SessionTimeout: a.Config.Kafka.SessionTimeout,
		OnHandover:     c.Flush,
	})
	if err != nil {
		return nil, errors.Join(err, sinks.Close(ctx, out), c.close(ctx))
	}
	c.Source = c.consumer
	a.Ready("group", c.consumer.Joined)
	a.Started()
	return c, nil
}

// inFlight returns the maximum number of unsettled messages per partition. It is at least the number of rows that a
// sink holds back until it is flushed, because those are unsettled. Otherwise the sink would wait for rows that
// cannot be read.
func inFlight(configured int, out []pipeline.Output[record.Classification]) int {
	for _, o := range out {
		if _, flushes := o.Sink.(pipeline.Flusher); flushes {
			configured = max(configured, o.Flush.Rows)
		}
	}
	return configured
}

// loadNetwork loads the model and prepares the network.
func (c *classifying) loadNetwork(ctx context.Context, own bool) error {
	a := c.app
	m, err := models.Load(ctx, a.Config.Model.Path, a.Config.Model.Opening())
	if err != nil {
		return err
	}
	c.model = m.Info
	if a.Metrics != nil {
		a.Metrics.Model(m.Info.Name, m.Info.Version)
	}
	c.network, err = classify.NewPool(m.Model, classify.Options{
		Model: m.Info, Preferences: classify.PreferencesIn(a.Config.Voxelize),
		TopK: a.Config.Model.TopK, Batch: a.Config.Pipeline.Batch, Threads: a.Threads(), Observer: a.Observer,
	}, a.Config.Pipeline.Networks)
	if err != nil {
		return err
	}
	in := c.network.Input()
	models.LogInput(a, in)
	if own {
		c.voxelize, err = models.Volumes(a, in)
	}
	return err
}

// close closes the network and the connection.
func (c *classifying) close(ctx context.Context) error {
	if c.network != nil {
		c.network.Close()
	}
	if c.cluster != nil {
		return c.cluster.close(context.WithoutCancel(ctx))
	}
	return nil
}

// Run classifies until ctx ends or something fails for good.
func (c *classifying) Run(ctx context.Context) error {
	err := c.Pipeline.Run(ctx)
	if n := c.consumer.Stats().Lost.Load(); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d messages were deleted by broker retention before they were read", n))
	}
	return err
}

// decode extracts the volumes from a message. Its errors are permanent.
func decode(_ context.Context, m transport.Message) ([]classify.Item, error) {
	now := time.Now()
	batch, err := volarrow.Decode(m.Value, string(m.Key))
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	items := make([]classify.Item, len(batch.Volumes))
	for i := range items {
		items[i] = classify.Item{Volume: batch.Volumes[i], Read: now}
	}
	return items, nil
}

// openSinks opens the configured sinks. The summary lists those that store classifications. Without a screen, the sink
// terminal is left out.
func (c *classifying) openSinks(ctx context.Context) ([]pipeline.Output[record.Classification], error) {
	a := c.app
	all, problems := a.Config.Outputs()
	if len(problems) > 0 {
		return nil, &config.Error{Problems: problems}
	}
	var outputs []*sinks.Output
	for _, o := range all {
		if o.Kind == &terminal.Kind && a.Screen == nil {
			continue
		}
		outputs = append(outputs, o)
		c.stdout = c.stdout || o.Kind == &stdout.Kind
		if o.Kind.Guarantee != sinks.BestEffort {
			c.outputs = append(c.outputs, o.Target.Text)
		} else {
			c.drops.ignore = append(c.drops.ignore, o.Target.Text)
		}
	}
	return sinks.OpenAll(ctx, outputs, sinks.Services{
		Log: a.Log, Observer: pipeline.Observed(a.Observer), Stdout: a.Stdout, Screen: a.Screen,
		Topic: func(ctx context.Context, name string, window int) (pipeline.Sink[transport.Message], error) {
			if err := ensureTopics(ctx, a, c.cluster, name); err != nil {
				return nil, err
			}
			return kafka.NewDeduper(c.cluster.producer, name, window), nil
		},
	})
}

// settledPoll is how often the lag is checked.
const settledPoll = 20 * time.Millisecond

// stall is how long the lag may stay unchanged before the sinks are flushed.
const stall = 500 * time.Millisecond

// whenSettled waits until the group has settled everything on the topic, or ctx ends. If the lag does not change for a
// while, sinks that store many rows at once may hold everything back, so it calls flush.
func (cl *cluster) whenSettled(ctx context.Context, group, topic string, flush func()) error {
	t := time.NewTicker(settledPoll)
	defer t.Stop()
	last, since := int64(-1), time.Now()
	for {
		lag, err := cl.client.Lag(ctx, group, topic)
		if err == nil {
			behind := int64(0)
			for _, n := range lag {
				behind += n
			}
			if behind == 0 {
				return nil
			}
			if behind != last {
				last, since = behind, time.Now()
			} else if time.Since(since) >= stall {
				flush()
				since = time.Now()
			}
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Classify classifies as a member of the consumer group until ctx ends or, with once, until everything on the topic is
// settled. If there are dead letters, or once is interrupted, it returns a result and an error.
func Classify(ctx context.Context, a *app.Env, once bool) (*Summary, error) {
	c, err := newClassifying(ctx, a, false)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	soft, stop := context.WithCancel(ctx)
	defer stop()
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		if once && c.cluster.whenSettled(soft, a.Config.Kafka.Group, a.Config.Kafka.Volumes, c.Flush) == nil {
			stop()
		}
	}()
	err = c.Run(soft)
	stop()
	<-waited
	s := c.summary(start)
	if err = errors.Join(err, c.close(ctx)); err != nil {
		return nil, err
	}
	if once {
		err = app.Interrupted(ctx, nil)
	}
	return s, errors.Join(err, s.failure())
}
