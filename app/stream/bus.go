package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/pipeline/transport/embedded"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// reachTime is how long a cluster may take to answer at start.
const reachTime = 30 * time.Second

// bus is a connection to Kafka: to the cluster, or to a broker of our own.
type bus struct {
	broker   *embedded.Broker // nil with a cluster
	client   *kafka.Client
	producer *kafka.Producer
}

// startBroker starts the broker of the configuration.
func startBroker(a *app.Env) (*embedded.Broker, error) {
	c := &a.Config.Broker
	return embedded.Start(embedded.Config{
		DataDir: c.DataDir, Port: c.Port, Partitions: a.Config.Kafka.Partitions,
		MaxMessageBytes: int(a.Config.Kafka.MaxMessage) + 64<<10, // the broker's limit covers the batch around the message
		RetentionBytes:  int64(c.RetentionBytes), Retention: c.Retention, SyncWrites: c.SyncWrites, Log: a.Log,
	})
}

// openBus connects, waits until the cluster answers, and makes the topics.
func openBus(ctx context.Context, a *app.Env) (_ *bus, err error) {
	b := &bus{}
	k := &a.Config.Kafka
	addrs := k.Brokers
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close(context.WithoutCancel(ctx)))
		}
	}()
	if len(addrs) == 0 {
		if b.broker, err = startBroker(a); err != nil {
			return nil, err
		}
		addrs = []string{b.broker.Addr()}
		a.Log.Debug("embedded broker", "address", b.broker.Addr(), "data", a.Config.Broker.DataDir)
	}
	if b.client, err = kafka.Open(kafka.Config{Brokers: addrs, Log: a.Log}); err != nil {
		return nil, err
	}
	reach, cancel := context.WithTimeoutCause(ctx, reachTime, fmt.Errorf("no answer within %v", reachTime))
	defer cancel()
	if err = b.client.Ping(reach); err != nil {
		return nil, err
	}
	if err = ensureTopics(reach, a, b, k.Volumes, k.Classifications, k.DeadLetters); err != nil {
		return nil, err
	}
	b.producer, err = kafka.NewProducer(b.client, kafka.ProducerConfig{MaxMessageBytes: int(k.MaxMessage)})
	return b, err
}

// ensureTopics makes the topics that are not there.
func ensureTopics(ctx context.Context, a *app.Env, b *bus, names ...string) error {
	replication := a.Config.Kafka.Replication
	if b.broker != nil {
		replication = 1
	}
	var topics []kafka.Topic
	for _, name := range names {
		topics = append(topics, kafka.Topic{Name: name, Partitions: a.Config.Kafka.Partitions, Replication: replication})
	}
	return b.client.EnsureTopics(ctx, topics...)
}

// close ends producer, client and broker, in that order.
func (b *bus) close(ctx context.Context) error {
	var errs []error
	if b.producer != nil {
		errs = append(errs, b.producer.Close(ctx))
	}
	if b.client != nil {
		b.client.Close()
	}
	if b.broker != nil {
		errs = append(errs, b.broker.Close())
	}
	return errors.Join(errs...)
}
