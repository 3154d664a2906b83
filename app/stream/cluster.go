package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/pipeline/transport/claimcheck"
	"github.com/voxelstream/voxelstream/pipeline/transport/embedded"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// shortPatience is how long commands that only look try to reach a cluster at whose addresses no broker listens.
// Services keep trying for longer, because the broker may be starting.
const shortPatience = 4 * time.Second

// cluster is a connection to a Kafka cluster or to an embedded broker of this or another process.
type cluster struct {
	broker   *embedded.Broker // nil for a cluster and for the broker of another process
	client   *kafka.Client
	producer *kafka.Producer
	objects  *claimcheck.Store // the values of messages that are too large for Kafka
	drain    time.Duration
}

// startBroker starts the embedded broker as configured.
func startBroker(a *app.Env) (*embedded.Broker, error) {
	c := &a.Config.Broker
	b, err := embedded.Start(embedded.Config{
		DataDir: c.DataDir, Port: c.Port, Partitions: a.Config.Kafka.Partitions,
		MaxMessageBytes: int(a.Config.Kafka.MaxMessage) + 64<<10,
		// the broker's limit applies to the batch that contains the message
		RetentionBytes: int64(c.RetentionBytes), Retention: c.Retention, SyncWrites: c.SyncWrites, Log: a.Log,
		Observer: a.Observer,
	})
	if errors.Is(err, durable.ErrLocked) {
		address := cmp.Or(runningAddress(c.DataDir), "ADDRESS")
		err = fmt.Errorf("%w; connect to its broker with --brokers %s, or use another directory with --broker-data-dir "+
			"(broker.data_dir)", err, address)
	}
	if err == nil && c.DataDir != "" {
		if err := publishAddress(c.DataDir, b.Addr()); err != nil {
			a.Log.Warn("other commands cannot find this embedded broker by itself; pass its address with --brokers", "address",
				b.Addr(), "error", err)
		}
	}
	return b, err
}

// connect opens a connection, waits until the cluster answers, and creates missing topics.
func connect(ctx context.Context, a *app.Env) (*cluster, error) {
	cl, err := dial(ctx, a, startBroker, app.ReachTime)
	if err != nil {
		return nil, err
	}
	return cl.complete(ctx, a)
}

// dial opens a connection and waits until the cluster answers, or for patience if no broker listens at its addresses.
// start starts the embedded broker, or returns nil if another process runs it.
func dial(
	ctx context.Context, a *app.Env, start func(*app.Env) (*embedded.Broker, error), patience time.Duration,
) (_ *cluster, err error) {
	cl := &cluster{drain: a.Config.Pipeline.Drain, objects: a.ClaimCheck()}
	defer func() {
		if err != nil {
			err = errors.Join(err, cl.close(ctx))
		}
	}()
	var conf kafka.Config
	if len(a.Config.Kafka.Brokers) > 0 {
		conf, err = a.KafkaConfig()
	} else {
		if cl.broker, err = start(a); err != nil {
			return nil, err
		}
		address := ""
		if cl.broker != nil {
			address = cl.broker.Addr()
		} else {
			address = runningAddress(a.Config.Broker.DataDir)
		}
		conf, err = a.EmbeddedConfig(address)
		a.Log.Debug("embedded broker", "address", address, "data", a.Config.Broker.DataDir)
	}
	if err != nil {
		return nil, err
	}
	conf.Patience = patience
	if cl.client, err = kafka.Open(conf); err != nil {
		return nil, err
	}
	a.Ready("kafka", cl.client.Reach)
	return cl, a.Reach(ctx, cl.client)
}

// complete creates missing topics and the producer. If it fails, the cluster is closed.
func (cl *cluster) complete(ctx context.Context, a *app.Env) (_ *cluster, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, cl.close(ctx))
		}
	}()
	k := &a.Config.Kafka
	reach, cancel := app.Reaching(ctx)
	defer cancel()
	if err = ensureTopics(reach, a, cl, k.Volumes, k.Classifications, k.DeadLetters); err != nil {
		return nil, err
	}
	return cl, cl.produce(a)
}

// produce creates the producer.
func (cl *cluster) produce(a *app.Env) (err error) {
	cl.producer, err = kafka.NewProducer(cl.client, kafka.ProducerConfig{
		MaxMessageBytes: int(a.Config.Kafka.MaxMessage),
		Compression:     a.Config.Kafka.Compression,
	})
	return err
}

// ensureTopics creates the topics that do not exist.
func ensureTopics(ctx context.Context, a *app.Env, cl *cluster, names ...string) error {
	replication := a.Config.Kafka.Replication
	if len(a.Config.Kafka.Brokers) == 0 { // the embedded broker
		replication = 1
	}
	var topics []kafka.Topic
	for _, name := range names {
		topics = append(topics, kafka.Topic{Name: name, Partitions: a.Config.Kafka.Partitions, Replication: replication})
	}
	return cl.client.EnsureTopics(ctx, topics...)
}

// close closes producer, client and broker, in that order. Messages that are not sent yet have the drain time from the
// end of ctx: a broker without space on its disk never takes them.
func (cl *cluster) close(ctx context.Context) error {
	var errs []error
	if cl.producer != nil {
		sending, giveUp := context.WithCancelCause(context.WithoutCancel(ctx))
		defer giveUp(nil)
		stop := context.AfterFunc(ctx, func() {
			select {
			case <-time.After(cl.drain):
				giveUp(fmt.Errorf("not sent within %v", cl.drain))
			case <-sending.Done():
			}
		})
		defer stop()
		errs = append(errs, cl.producer.Close(sending))
	}
	if cl.client != nil {
		cl.client.Close()
	}
	if cl.broker != nil {
		errs = append(errs, cl.broker.Close())
	}
	errs = append(errs, cl.objects.Close())
	return errors.Join(errs...)
}
