package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/config"
	"github.com/voxelstream/voxelstream/app/input"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/classify"
	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/internal/tally"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/live"
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
	network  *network
	rollout  *rollout   // nil if no model is on trial
	watch    *announced // nil without an announcement
	parallel int        // batches that the network classifies at the same time
	tally    *tally.Tally
	drops    drops
	outputs  []string
	stdout   bool
	topics   []*kafka.Deduper // the sinks that are topics
	// repeats finds the classifications that every required sink holds already.
	repeats repeats
	traces  traces
	// files are those of this process; nil if it has none.
	files *input.Files
	// failed counts the volumes that became dead letters, and the messages that cannot be decoded.
	failed  atomic.Int64
	lostMu  sync.Mutex
	lostIDs *dedupe.Window
	// repeated counts the classifications that were stored before.
	repeated atomic.Int64
	// voxelize makes the volumes of this process.
	voxelize voxelize.Options
}

// lostWindow is the number of failed volumes to remember, far more than can be in flight. Each takes 24 bytes.
const lostWindow = 1 << 16

// newClassifying connects to Kafka while it loads the model, opens the sinks and joins the group. files are those from
// which this process makes the volumes; nil if it does not. close it after Run, or instead of it.
func newClassifying(ctx context.Context, a *app.Env, files *input.Files) (_ *classifying, err error) {
	c := &classifying{
		app: a, tally: tally.New(), drops: drops{log: a.Log}, files: files,
		lostIDs: dedupe.NewWindow(lostWindow), traces: traces{tracer: a.Tracer},
	}
	connecting, stop := context.WithCancel(ctx)
	defer stop()
	connected := make(chan error, 1)
	go func() {
		cl, err := connect(connecting, a)
		if err == nil {
			c.cluster = cl
			err = cl.objects.Reach(connecting)
		}
		connected <- err
	}()
	err = c.loadNetwork(ctx, files != nil)
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
		SourceName: "messages", Stage: pipeline.StageFunc[transport.Message, classify.Item](c.decode),
		StageName: "decode", Workers: min(2, a.Threads()),
		Work: shown{c.stage(), a.Live, &c.traces}, WorkName: "classify", Parallel: c.parallel,
		Batch: pipeline.Batch{Size: cfg.Batch, Linger: cfg.Linger}, Outputs: out,
		Retry: pipeline.Retry{Attempts: cfg.Attempts}, Exhausted: exhausted, Drain: cfg.Drain, Abort: a.Abort,
		Observer: a.Observer,
		OnDone:   c.done,
		OnDrop:   c.drops.add,
		OnStageFailed: func(m transport.Message, err error) {
			c.traces.failed(&m, err)
			c.lost(record.ID{Stream: string(m.Key), Seq: uint64(m.Offset)}, err) // offsets begin at 0
		},
		OnWorkFailed: func(v classify.Item, err error) {
			c.traces.done(v.Origin, err)
			c.lost(v.ID, err)
		},
		OnOutputFailed: func(x record.Classification, err error) {
			c.repeats.take(x.ID())
			c.traces.done(x.Origin, err)
			c.lost(x.ID(), err)
		},
		OnRetry: func(f *pipeline.Failure) {
			a.Log.Warn("retrying", "stage", f.Stage, "attempt", f.Attempts, "error", f.Err)
		},
	}
	budget := pipeline.NewBudget(int64(cfg.Budget))
	c.consumer, err = kafka.NewConsumer(c.cluster.client, kafka.ConsumerConfig{
		Group: a.Config.Kafka.Group, Topic: a.Config.Kafka.Volumes, Budget: budget,
		Charge: c.cluster.objects.Charge, MaxInFlight: inFlight(cfg.InFlight, out),
		DeadLetters: c.cluster.producer, DeadLetterTopic: a.Config.Kafka.DeadLetters,
		SessionTimeout: a.Config.Kafka.SessionTimeout, InstanceID: a.Config.Kafka.InstanceID,
		OnAssigned: c.own, OnHandover: c.Flush,
	})
	if err != nil {
		return nil, errors.Join(err, sinks.Close(ctx, out), c.close(ctx))
	}
	c.Source = c.consumer
	c.show(out)
	servePage(a, c.cluster, budget, c.network.Classes)
	a.Ready("group", c.consumer.Joined)
	a.Started()
	return c, nil
}

// own claims a partition of the volumes at all topics that are sinks.
func (c *classifying) own(ctx context.Context, partition int) error {
	var g errgroup.Group
	for _, t := range c.topics {
		g.Go(func() error { return t.Own(ctx, fmt.Sprintf("%s/%d", t.Sources, partition)) })
	}
	return g.Wait()
}

// show describes the pipeline to the page.
func (c *classifying) show(out []pipeline.Output[record.Classification]) {
	mode := "classify"
	if c.files != nil {
		mode = "run"
	}
	var parts []string
	for _, o := range out {
		parts = append(parts, o.Name)
	}
	hub := c.app.Live
	hub.Describe("mode", func() any { return mode })
	hub.Show("live", "run")
	hub.Sinks(parts)
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
	var err error
	if c.network, c.parallel, err = newNetwork(ctx, a); err != nil {
		return err
	}
	in := c.network.stage.Input()
	models.LogInput(a, in)
	c.watch = newAnnounced(ctx, a, c.network)
	if c.rollout, err = newRollout(ctx, a, c.network, c.parallel); err != nil {
		return err
	}
	if own {
		c.voxelize, err = models.Volumes(a, in)
	}
	return err
}

// stage returns what classifies the volumes of the topic.
func (c *classifying) stage() pipeline.BatchStage[classify.Item, record.Classification] {
	if c.rollout != nil {
		return c.rollout
	}
	return c.network.stage
}

// close closes the networks and the connection.
func (c *classifying) close(ctx context.Context) error {
	c.watch.Close()
	if c.rollout != nil {
		c.rollout.Close()
	}
	if c.network != nil {
		c.network.Close()
	}
	if c.cluster != nil {
		return c.cluster.close(ctx)
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

// done counts a classification that every required sink has stored.
func (c *classifying) done(x record.Classification) {
	c.traces.done(x.Origin, nil)
	repeated := c.repeats.take(x.ID())
	if !c.tally.Count(&x) {
		return
	}
	if repeated {
		c.repeated.Add(1)
	}
	if f := c.owner(x.Stream); f != nil {
		f.Stored(repeated)
	}
}

// lost counts a volume that became a dead letter, each once.
func (c *classifying) lost(id record.ID, err error) {
	c.lostMu.Lock()
	fresh := c.lostIDs.Add(dedupe.Of(id.String()))
	c.lostMu.Unlock()
	if !fresh {
		return
	}
	c.failed.Add(1)
	if f, ok := errors.AsType[*pipeline.Failure](err); ok {
		err = f.Err
	}
	if f := c.owner(id.Stream); f != nil {
		f.Lost(err)
	}
}

// owner returns the file of a stream, if it is one of this process.
func (c *classifying) owner(stream string) *app.FileTally {
	if c.files == nil {
		return nil
	}
	return c.files.Owner(stream)
}

// repeats counts how many sinks have reported that they hold a classification already. Its zero value is for no sink.
type repeats struct {
	sinks int // that are required

	mu    sync.Mutex
	count map[record.ID]int
}

// add counts a report about a classification that is not done yet.
func (r *repeats) add(id record.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count == nil {
		r.count = map[record.ID]int{}
	}
	r.count[id]++
}

// take reports whether every required sink holds the classification already, and forgets the reports.
func (r *repeats) take(id record.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.count[id]
	delete(r.count, id)
	return r.sinks > 0 && n >= r.sinks
}

// decode extracts the volumes from a message, or from the object that it refers to.
func (c *classifying) decode(ctx context.Context, m transport.Message) ([]classify.Item, error) {
	now := time.Now()
	value, err := c.cluster.objects.Value(ctx, &m)
	if err != nil {
		return nil, err
	}
	batch, err := volarrow.Decode(value, string(m.Key))
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	items := make([]classify.Item, len(batch.Volumes))
	origin := &record.Origin{Partition: m.Partition, Offset: m.Offset}
	c.traces.begin(&m, origin, len(items))
	for i := range items {
		c.app.Live.Volume(&batch.Volumes[i])
		items[i] = classify.Item{Volume: batch.Volumes[i], Read: now, Origin: origin}
	}
	return items, nil
}

// shown is the network, whose classifications the page shows.
type shown struct {
	pipeline.BatchStage[classify.Item, record.Classification]
	hub    *live.Hub
	traces *traces
}

// ProcessBatch classifies a batch.
func (s shown) ProcessBatch(ctx context.Context, items []classify.Item) ([]record.Classification, error) {
	span := s.traces.batch(items)
	out, err := s.BatchStage.ProcessBatch(ctx, items)
	if span != nil {
		span.End(err)
	}
	for i := range out {
		if out[i].EventID != "" { // it was classified
			s.hub.Classified(&out[i])
		}
	}
	return out, err
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
		if o.Delivery.Policy == sinks.PolicyRequired {
			c.repeats.sinks++
		}
		if o.Kind.Guarantee != sinks.BestEffort {
			c.outputs = append(c.outputs, o.Target.Text)
		} else {
			c.drops.ignore = append(c.drops.ignore, o.Target.Text)
		}
	}
	out, err := sinks.OpenAll(ctx, outputs, sinks.Services{
		Log: a.Log, Observer: pipeline.Observed(a.Observer), Stdout: a.Stdout, Screen: a.Screen,
		Repeated: c.repeats.add,
		Topic: func(ctx context.Context, name string, window int) (pipeline.Sink[transport.Message], error) {
			if err := ensureTopics(ctx, a, c.cluster, name); err != nil {
				return nil, err
			}
			d := kafka.NewDeduper(c.cluster.producer, name, window)
			d.Sources = a.Config.Kafka.Group + "/" + a.Config.Kafka.Volumes
			c.topics = append(c.topics, d)
			d.OnRepeated = func(m *transport.Message) {
				event := m.EventID() // the key of a classification
				if id, err := record.ParseID(event[:max(0, strings.LastIndexByte(event, '@'))]); err == nil {
					c.repeats.add(id)
				}
			}
			return d, nil
		},
	})
	if errors.Is(err, durable.ErrLocked) {
		err = fmt.Errorf("%w; name another file with --out (sinks.out)", err)
	}
	return out, err
}

// The lag is checked every settledPoll when at most settledNear messages are left, and less often before that, because
// each look costs the broker several requests.
const (
	settledPoll = 20 * time.Millisecond
	settledFar  = 200 * time.Millisecond
	settledNear = 1000
)

// stall is how long the lag may stay unchanged before the sinks are flushed.
const stall = 500 * time.Millisecond

// whenSettled waits until the group has settled everything on the topic of volumes, or ctx ends. If the lag does not
// change for a while, sinks that store many rows at once may hold everything back, so it calls flush.
func (cl *cluster) whenSettled(ctx context.Context, a *app.Env, flush func()) error {
	lags := lags{env: a, client: cl.client}
	last, since := int64(-1), time.Now()
	for {
		pause := settledPoll
		lag, err := lags.get(ctx)
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
			if behind > settledNear {
				pause = settledFar
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lags looks up how far the group is behind on the topic of volumes, again and again. It logs the 1st, 2nd, 4th, 8th, ...
// failure in sequence.
type lags struct {
	env      *app.Env
	client   *kafka.Client
	failures int
}

// get returns the number of messages of each partition that the group has not committed.
func (l *lags) get(ctx context.Context) (map[int]int64, error) {
	lag, err := l.client.Lag(ctx, l.env.Config.Kafka.Group, l.env.Config.Kafka.Volumes)
	if err == nil || ctx.Err() != nil {
		l.failures = 0
		return lag, err
	}
	if l.failures++; l.failures&(l.failures-1) == 0 {
		l.env.Log.Warn("cannot find out how many volumes are waiting; trying again", "failures", l.failures, "error", err)
	}
	return nil, err
}

// Classify classifies as a member of the consumer group until ctx ends or, with once, until everything on the topic is
// settled. Once it has started, it returns a result, with an error too if something fails for good or, with once, if
// there are dead letters or ctx ends.
func Classify(ctx context.Context, a *app.Env, once bool) (*Summary, error) {
	c, err := newClassifying(ctx, a, nil)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	soft, stop := context.WithCancel(ctx)
	defer stop()
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		if once && c.cluster.whenSettled(soft, a, c.Flush) == nil {
			stop()
		}
	}()
	err = c.Run(soft)
	stop()
	<-waited
	s := c.summary(ctx, start)
	s.Volumes = int64(s.Classified) + s.Failed
	if err = errors.Join(err, c.close(ctx)); err != nil {
		return s, err
	}
	if once {
		err = app.Interrupted(ctx, nil)
	}
	return s, errors.Join(err, deadLettered(s.DeadLetters, !once, ctx.Err() != nil))
}
