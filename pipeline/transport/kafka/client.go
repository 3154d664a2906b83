package kafka

import (
	"context"
	"crypto/tls"
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
	// Observer is told of connections and retries, as the part "kafka", and of all that producers and consumers do
	// which have no observer of their own; nil: nobody is.
	Observer pipeline.Observer
}

// Timeouts of single requests. A produce that is cut off too early is stored and repeated, so the timeout is long; half
// of it is what kafka-go tells the broker to wait for its replicas.
const (
	requestTimeout = 20 * time.Second
	dialTimeout    = 3 * time.Second
	// metadataTTL bounds how long a moved partition leader or a topic made elsewhere goes unnoticed.
	metadataTTL = 2 * time.Second
)

// Client is a connection to the cluster, shared by producers, consumers and tools. Its methods are safe for concurrent
// use.
type Client struct {
	cfg       Config
	kafka     *kafkago.Client
	dialer    *kafkago.Dialer
	transport *kafkago.Transport
	cancel    context.CancelFunc
	log       *slog.Logger
	observer  pipeline.Observer

	handshakes *handshakes // nil without SASL
	answered   atomic.Bool // once: what fails later is no matter of the settings
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
	shakes, err := c.SASL.mechanism()
	if err != nil {
		return nil, err
	}
	var mech sasl.Mechanism // not a nil *handshakes in an interface
	if shakes != nil {
		mech = shakes
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
		Dial: c.Dial, DialTimeout: dialTimeout, MetadataTTL: metadataTTL, ClientID: c.ClientID, TLS: c.TLS,
		SASL: mech, Context: ctx,
	}
	return &Client{
		cfg:   c,
		kafka: &kafkago.Client{Addr: kafkago.TCP(c.Brokers...), Timeout: requestTimeout, Transport: tr},
		dialer: &kafkago.Dialer{
			ClientID: c.ClientID, Timeout: dialTimeout, DualStack: true, DialFunc: c.Dial,
			TLS: c.TLS, SASLMechanism: mech,
		},
		transport: tr,
		cancel:    cancel,
		log:       log,
		observer:  pipeline.Observed(c.Observer),

		handshakes: shakes,
	}, nil
}

// Close closes all connections. Close consumers and producers first.
func (c *Client) Close() {
	c.transport.CloseIdleConnections()
	c.cancel()
}

// Reach asks the cluster once whether it answers.
func (c *Client) Reach(ctx context.Context) error {
	if err := c.ask(ctx); err != nil {
		return fmt.Errorf("kafka: reach %s: %w", c.addresses(), err)
	}
	return nil
}

func (c *Client) ask(ctx context.Context) error {
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

// Ping waits until the cluster answers or ctx ends; the error says what the last attempt met. It does not wait where
// certificates or the password are wrong (see [ErrAccess]).
func (c *Client) Ping(ctx context.Context) error {
	return c.retry(ctx, "reach "+c.addresses(), func(ctx context.Context) error {
		err := c.ask(ctx)
		if errors.Is(err, ErrAccess) {
			err = pipeline.Permanent(err)
		}
		return err
	})
}

// retry repeats f until it succeeds, fails for good, or ctx ends. What is going on is logged at the 1st, 2nd, 4th, 8th
// ... failure.
func (c *Client) retry(ctx context.Context, what string, f func(context.Context) error) error {
	var wait pipeline.Retry
	for failures := 1; ; failures++ {
		err := c.explain(f(ctx))
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
		c.log.Warn("kafka: "+what+" failed, retrying", "failures", failures, "error", c.explain(err))
	}
}
