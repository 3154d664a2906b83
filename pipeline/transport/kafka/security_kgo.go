package kafka

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"

	"github.com/twmb/franz-go/pkg/kgo"
)

// dial opens a connection for either client library.
func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.dialSecure(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn = &brokerConn{Conn: conn, address: address}
	if c.cfg.SASL == nil {
		return conn, nil
	}
	return &authConn{Conn: conn}, nil
}

// dialSecure opens a connection through the configured dialer, encrypted if TLS is on. The certificates are those that
// the files have now.
func (c *Client) dialSecure(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	open := c.cfg.Dial
	if open == nil {
		open = (&net.Dialer{}).DialContext
	}
	conn, err := open(ctx, network, address)
	if err != nil || c.cfg.TLS == nil {
		return conn, err
	}
	encrypted := tls.Client(conn, c.cfg.TLS.client(address, c.log))
	if err := encrypted.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the error of the handshake is the one to report
		return nil, err
	}
	return encrypted, nil
}

// kgoOptions returns the options for a client of franz-go that connects to the same cluster in the same way: addresses,
// dialer, TLS, SASL and log.
func (c *Client) kgoOptions() []kgo.Opt {
	o := []kgo.Opt{
		kgo.SeedBrokers(c.cfg.Brokers...), kgo.ClientID(c.cfg.ClientID), kgo.Dialer(c.dial),
		kgo.WithLogger(kgoLog{c.log}), kgo.DisableClientMetrics(),
	}
	if c.handshakes != nil {
		o = append(o, kgo.SASL(c.handshakes))
	}
	return o
}

// kgoLog logs the messages of franz-go at level debug, because this package logs itself what operators need.
type kgoLog struct{ log *slog.Logger }

// Level returns the least severe level that is logged.
func (l kgoLog) Level() kgo.LogLevel {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelNone
}

// Log logs a message.
func (l kgoLog) Log(_ kgo.LogLevel, text string, pairs ...any) {
	l.log.Debug("kafka: franz-go: "+text, pairs...)
}
