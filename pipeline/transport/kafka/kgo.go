package kafka

import "github.com/twmb/franz-go/pkg/kgo"

// kgoOptions returns the settings of the connection for franz-go.
func (c *Client) kgoOptions() []kgo.Opt {
	opts := []kgo.Opt{kgo.SeedBrokers(c.cfg.Brokers...), kgo.ClientID(c.cfg.ClientID)}
	if c.cfg.Dial != nil {
		opts = append(opts, kgo.Dialer(c.cfg.Dial))
	}
	return opts
}
