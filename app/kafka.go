package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/voxelstream/voxelstream/pipeline/transport/claimcheck"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// KafkaConfig returns the connection settings of the configured cluster. It reads certificates and the password from
// their files.
func (a *Env) KafkaConfig() (kafka.Config, error) {
	k := &a.Config.Kafka
	c := a.kafkaConfig(k.Brokers)
	var err error
	if c.TLS, err = k.TLS.Load(); err != nil {
		return c, fmt.Errorf("kafka.%w", err)
	}
	if c.SASL, err = k.SASL.Load(); err != nil {
		return c, fmt.Errorf("kafka.%w", err)
	}
	if c.SASL != nil && c.TLS == nil && c.SASL.Unencrypted() {
		a.Log.Warn("the password or token is sent to the brokers unencrypted; enable kafka.tls or use a SCRAM mechanism")
	}
	return c, nil
}

// EmbeddedConfig returns the connection settings of the embedded broker at an address. The broker supports neither TLS
// nor SASL, so a configuration that enables them is an error.
func (a *Env) EmbeddedConfig(address string) (kafka.Config, error) {
	k := &a.Config.Kafka
	if k.TLS.Enabled || k.SASL.Mechanism != "none" {
		return kafka.Config{}, Usage(errors.New(
			"kafka.tls, kafka.sasl: the embedded broker supports neither; set kafka.brokers to use a cluster"))
	}
	return a.kafkaConfig([]string{address}), nil
}

// ClaimCheck returns the place for the values of messages above the limit. It is opened when it is first used.
func (a *Env) ClaimCheck() *claimcheck.Store {
	k := &a.Config.Kafka
	return claimcheck.New(string(k.ClaimCheck), int64(k.ClaimCheckMax), a.Log)
}

func (a *Env) kafkaConfig(brokers []string) kafka.Config {
	k := &a.Config.Kafka
	return kafka.Config{
		Brokers: brokers, ClientID: k.ClientID, MaxMessageBytes: int(k.MaxMessage), Log: a.Log, Observer: a.Observer,
	}
}

// ReachTime is how long commands wait for the cluster to answer at startup.
const ReachTime = 30 * time.Second

// Reaching returns a context for requests to the cluster at startup. It ends after ReachTime.
func Reaching(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, ReachTime, fmt.Errorf("no answer within %v", ReachTime))
}

// Reach waits until the cluster answers.
func (a *Env) Reach(ctx context.Context, client *kafka.Client) error {
	ctx, cancel := Reaching(ctx)
	defer cancel()
	err := client.Ping(ctx)
	if kafka.Absent(err) && len(a.Config.Kafka.Brokers) > 0 {
		err = fmt.Errorf("%w; check host and port in --brokers (kafka.brokers), and that a broker is running there", err)
	}
	return err
}
