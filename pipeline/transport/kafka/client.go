package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"

	"github.com/voxelstream/voxelstream/pipeline"
)

// Config configures a client.
type Config struct {
	// Brokers are the host:port addresses of one or more brokers. One that answers is enough.
	Brokers []string
	// ClientID identifies this process to the brokers. The default is "voxelstream".
	ClientID string
	// TLS, if set, encrypts all connections.
	TLS *TLS
	// SASL, if set, authenticates all connections.
	SASL *SASL
	// MaxMessageBytes is the size in bytes of the largest message that is expected. A batch of more than four times as
	// much, as stored or decompressed, is refused: a consumer makes it a dead letter, and other readers leave it out.
	// The default is 16 MiB.
	MaxMessageBytes int
	// Patience limits how long Ping tries again while no broker listens at the addresses (see [Absent]). The default is
	// until its context ends.
	Patience time.Duration
	// Dial, if set, opens the connections, for example through a proxy.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Log receives messages for the operator about retries, lost messages and rebalances. The default is
	// slog.Default().
	Log *slog.Logger
	// Observer receives connections and retries, as the part "kafka". It is also the default observer of producers and
	// consumers. It may be nil.
	Observer pipeline.Observer
}

// Timeouts of single requests. A produce request that times out too early is stored and sent again, so requestTimeout
// is long. kafka-go lets the broker wait for its replicas for half of it.
const (
	requestTimeout = 20 * time.Second
	dialTimeout    = 3 * time.Second
	// metadataTTL limits how long a new partition leader or a new topic goes unnoticed.
	metadataTTL = 2 * time.Second
)

// Client is a connection to the cluster, shared by producers, consumers and tools. It is safe for concurrent use.
type Client struct {
	cfg       Config
	kafka     *kafkago.Client
	transport *explainingTransport
	cancel    context.CancelFunc
	log       *slog.Logger
	observer  pipeline.Observer
	apis      apis

	clock      clock
	handshakes *handshakes // nil without SASL
	answered   atomic.Bool // the cluster has answered once, so the settings are not the cause of later errors
}

// part is the client's name for the observer.
const part = "kafka"

// Open returns a client. It does not connect; Ping waits for the cluster.
func Open(c Config) (*Client, error) {
	if len(c.Brokers) == 0 {
		return nil, errors.New("kafka: no broker address")
	}
	for _, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return nil, fmt.Errorf("kafka: broker %q: want host:port: %w", b, err)
		}
	}
	log := c.Log
	if log == nil {
		log = slog.Default()
	}
	shakes, err := c.SASL.mechanism(log)
	if err != nil {
		return nil, err
	}
	var mech sasl.Mechanism // must not hold a nil *handshakes
	if shakes != nil {
		mech = shakes
	}
	if c.ClientID == "" {
		c.ClientID = "voxelstream"
	}
	if c.MaxMessageBytes <= 0 {
		c.MaxMessageBytes = defaultMaxMessageBytes
	}
	if c.Observer != nil {
		c.Dial = observedDial(c.Dial, c.Observer)
	}
	// The goroutines of the transport must live until Close, so they need a context of their own.
	ctx, cancel := context.WithCancel(context.Background())
	client := &Client{cfg: c, cancel: cancel, log: log, observer: pipeline.Observed(c.Observer), handshakes: shakes}
	client.transport = &explainingTransport{client: client, Transport: &kafkago.Transport{
		Dial: client.dial, DialTimeout: dialTimeout, MetadataTTL: metadataTTL, ClientID: c.ClientID, SASL: mech,
		Context: ctx,
	}}
	client.kafka = &kafkago.Client{
		Addr: kafkago.TCP(c.Brokers...), Timeout: requestTimeout, Transport: client.transport,
	}
	return client, nil
}

// Close closes all connections. Close consumers and producers first.
func (c *Client) Close() {
	c.transport.CloseIdleConnections()
	c.cancel()
}

// Reach sends one request to the cluster and returns an error if it does not answer.
func (c *Client) Reach(ctx context.Context) error {
	if err := c.ping(ctx); err != nil {
		return fmt.Errorf("kafka: reach %s: %w", c.addresses(), err)
	}
	return nil
}

func (c *Client) ping(ctx context.Context) error {
	r, err := c.kafka.ApiVersions(ctx, &kafkago.ApiVersionsRequest{})
	if err == nil {
		err = r.Error
	}
	if err == nil {
		c.answered.Store(true)
	}
	return c.explain(err)
}

func (c *Client) addresses() string { return strings.Join(c.cfg.Brokers, ", ") }

// Ping waits until the cluster answers or ctx ends. The error includes that of the last attempt. If access is refused
// (see [ErrAccess]), it does not wait.
func (c *Client) Ping(ctx context.Context) error {
	return c.retryFor(ctx, c.cfg.Patience, "reach "+c.addresses(), func(ctx context.Context) error {
		err := c.ping(ctx)
		if errors.Is(err, ErrAccess) {
			err = pipeline.Permanent(err)
		}
		return err
	})
}

// retry calls f until it succeeds, fails permanently, or ctx ends. It logs the 1st, 2nd, 4th, 8th, ... failure.
func (c *Client) retry(ctx context.Context, what string, f func(context.Context) error) error {
	return c.retryFor(ctx, 0, what, f)
}

// retryFor is like retry, but ends after some time, unless that is 0, if no broker listens at the addresses.
func (c *Client) retryFor(
	ctx context.Context, patience time.Duration, what string, f func(context.Context) error,
) error {
	var wait pipeline.Retry
	start := time.Now()
	for failures := 1; ; failures++ {
		err := c.explain(f(ctx))
		if err == nil {
			return nil
		}
		if pipeline.IsPermanent(err) || ctx.Err() != nil {
			return fmt.Errorf("kafka: %s: %w", what, err)
		}
		again := retrying
		if left, limited := timeLeft(ctx, start, patience, err); limited {
			if left <= 0 {
				return fmt.Errorf("kafka: %s: %w", what, err)
			}
			again += " for " + max(time.Second, left.Round(time.Second)).String()
		}
		c.observer.Count(part, pipeline.EventRetried, 1)
		c.logRetry(what, again, failures, err)
		if !wait.Wait(ctx, failures) {
			return fmt.Errorf("kafka: %s: %w (last error: %w)", what, context.Cause(ctx), err)
		}
	}
}

// timeLeft returns for how long something that failed is tried again, if that is limited.
func timeLeft(ctx context.Context, start time.Time, patience time.Duration, err error) (left time.Duration, ok bool) {
	end, ok := ctx.Deadline()
	if patience > 0 && Absent(err) && (!ok || start.Add(patience).Before(end)) {
		end, ok = start.Add(patience), true
	}
	return time.Until(end), ok
}

// retrying is what follows a failure that is retried without a limit.
const retrying = "retrying"

// logRetry logs the 1st, 2nd, 4th, 8th, ... failure of something, and what follows it.
func (c *Client) logRetry(what, again string, failures int, err error) {
	if failures&(failures-1) == 0 {
		c.log.Warn("kafka: "+what+" failed, "+again, "failures", failures, "error", c.explain(err))
	}
}
