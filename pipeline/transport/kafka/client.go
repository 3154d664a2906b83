package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/voxelstream/voxelstream/pipeline"
)

// Config says how to reach the cluster.
type Config struct {
	// Brokers are host:port addresses to start from; one that answers is enough.
	Brokers []string
	// ClientID names this process to the brokers; the default is "voxelstream".
	ClientID string
	// TLS, if set, encrypts all connections.
	TLS *tls.Config
	// SASL, if set, authenticates them.
	SASL *SASL
	// Dial, if set, makes the connections, for example through a proxy.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Log gets what an operator should know (retries, data gaps, rebalances); nil means slog.Default().
	Log *slog.Logger
	// Observer is told of connections and retries, as the part "kafka", and of all that producers and consumers do which have no observer of
	// their own; nil: nobody is.
	Observer pipeline.Observer
}

// SASL holds credentials. A wrong password shows as a closed connection, not as an authentication error: that is all kafka-go sees.
type SASL struct {
	// Mechanism is "plain", "scram-sha-256" or "scram-sha-512".
	Mechanism      string
	User, Password string
}

func (s *SASL) mechanism() (sasl.Mechanism, error) {
	if s == nil {
		return nil, nil
	}
	switch s.Mechanism {
	case "plain":
		return plain.Mechanism{Username: s.User, Password: s.Password}, nil
	case "scram-sha-256":
		return scram.Mechanism(scram.SHA256, s.User, s.Password)
	case "scram-sha-512":
		return scram.Mechanism(scram.SHA512, s.User, s.Password)
	}
	return nil, fmt.Errorf("kafka: SASL mechanism %q, want plain, scram-sha-256 or scram-sha-512", s.Mechanism)
}

// Timeouts of single requests. A produce that is cut off too early is stored and repeated, so the timeout is long; half of it is what
// kafka-go tells the broker to wait for its replicas.
const (
	requestTimeout = 20 * time.Second
	dialTimeout    = 3 * time.Second
	// metadataTTL bounds how long a moved partition leader or a topic made elsewhere goes unnoticed.
	metadataTTL = 2 * time.Second
)

// Client is a connection to the cluster, shared by producers, consumers and tools. Its methods are safe for concurrent use.
type Client struct {
	cfg       Config
	kafka     *kafkago.Client
	dialer    *kafkago.Dialer
	transport *kafkago.Transport
	cancel    context.CancelFunc
	log       *slog.Logger
	observer  pipeline.Observer
}

// part is what the client is called where it is observed.
const part = "kafka"

// Open makes a client. It does not wait for the cluster; Ping does.
func Open(c Config) (*Client, error) {
	if len(c.Brokers) == 0 {
		return nil, errors.New("kafka: no broker address")
	}
	for _, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return nil, fmt.Errorf("kafka: broker %q: want host:port: %w", b, err)
		}
	}
	mech, err := c.SASL.mechanism()
	if err != nil {
		return nil, err
	}
	if c.ClientID == "" {
		c.ClientID = "voxelstream"
	}
	log := c.Log
	if log == nil {
		log = slog.Default()
	}
	if c.Observer != nil {
		c.Dial = observedDial(c.Dial, c.Observer)
	}
	// The transport's own goroutines live until Close, whatever happens to single requests.
	ctx, cancel := context.WithCancel(context.Background())
	tr := &kafkago.Transport{
		Dial: c.Dial, DialTimeout: dialTimeout, MetadataTTL: metadataTTL, ClientID: c.ClientID, TLS: c.TLS, SASL: mech, Context: ctx,
	}
	return &Client{
		cfg:       c,
		kafka:     &kafkago.Client{Addr: kafkago.TCP(c.Brokers...), Timeout: requestTimeout, Transport: tr},
		dialer:    &kafkago.Dialer{ClientID: c.ClientID, Timeout: dialTimeout, DualStack: true, DialFunc: c.Dial, TLS: c.TLS, SASLMechanism: mech},
		transport: tr,
		cancel:    cancel,
		log:       log,
		observer:  pipeline.Observed(c.Observer),
	}, nil
}

// Close closes all connections. Close consumers and producers first.
func (c *Client) Close() {
	c.transport.CloseIdleConnections()
	c.cancel()
}

// Reach asks the cluster once whether it answers.
func (c *Client) Reach(ctx context.Context) error {
	r, err := c.kafka.ApiVersions(ctx, &kafkago.ApiVersionsRequest{})
	if err == nil {
		err = r.Error
	}
	if err != nil {
		return fmt.Errorf("kafka: %v: %w", c.cfg.Brokers, err)
	}
	return nil
}

// Ping waits until the cluster answers or ctx ends; the error says what the last attempt met.
func (c *Client) Ping(ctx context.Context) error {
	return c.retry(ctx, "reach cluster", func(ctx context.Context) error {
		r, err := c.kafka.ApiVersions(ctx, &kafkago.ApiVersionsRequest{})
		if err == nil {
			err = r.Error
		}
		return err
	})
}

// retry repeats f until it succeeds, fails for good, or ctx ends. What is going on is logged at the 1st, 2nd, 4th, 8th ... failure.
func (c *Client) retry(ctx context.Context, what string, f func(context.Context) error) error {
	var wait pipeline.Retry
	for failures := 1; ; failures++ {
		err := f(ctx)
		if err == nil {
			return nil
		}
		if pipeline.IsPermanent(err) || ctx.Err() != nil {
			return fmt.Errorf("kafka: %s: %w", what, err)
		}
		c.observer.Count(part, pipeline.EventRetried, 1)
		c.logRetry(what, failures, err)
		if !wait.Wait(ctx, failures) {
			return fmt.Errorf("kafka: %s: %w (last error: %w)", what, context.Cause(ctx), err)
		}
	}
}

func (c *Client) logRetry(what string, failures int, err error) {
	if failures&(failures-1) == 0 {
		c.log.Warn("kafka: "+what+" failed, trying again", "failures", failures, "error", err)
	}
}
