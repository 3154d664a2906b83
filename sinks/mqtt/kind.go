package mqtt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/internal/tlsfile"
	"github.com/voxelstream/voxelstream/sinks"
)

// Kind is a topic of an MQTT broker.
var Kind = sinks.Kind{
	Name:    "mqtt",
	Schemes: []string{"mqtts"},
	Doc: "A topic of an MQTT 5 broker; `mqtts:` uses TLS. Each message is a JSON object " +
		"([schema](classification.schema.json)) with the user properties `event-id` and `model-digest`. A batch is " +
		"stored when the broker has acknowledged every message in it. After a lost connection, the sink connects " +
		"again and sends what was not acknowledged, so a subscriber may receive a message twice.\n\n" +
		"The topic may contain `{stream}`, `{class}`, `{name}` and `{model}`, which are replaced by values of the " +
		"classification; the default is `classifications/{stream}`. Characters that a topic level cannot contain " +
		"(`/`, `+`, `#`, control characters) and `%` are percent-encoded in these values. With `qos=0`, the broker " +
		"confirms only that it has received a batch.",
	Guarantee: sinks.AtLeastOnce,
	Path:      "//[USER@]HOST[:PORT][/TOPIC]",
	Options: func(sinks.Target) any {
		return &Options{QoS: 1, KeepAlive: 30 * time.Second, Timeout: 30 * time.Second, Window: 1 << 18}
	},
	Resolve: func(t *sinks.Target, _ sinks.Defaults) (string, error) {
		a, err := parse(*t)
		if err != nil {
			return "", err
		}
		return "mqtt://" + a.hostPort + "/" + string(a.topic), nil
	},
	Open: func(ctx context.Context, t sinks.Target, options any, services sinks.Services) (sinks.Sink, error) {
		s, err := Open(ctx, t, *options.(*Options))
		if err != nil {
			return nil, err
		}
		s.report = services.Repeat
		return s, nil
	},
}

// Options are the options of the topic and of the connection.
type Options struct {
	QoS       int             `yaml:"qos" min:"0" max:"1" doc:"Quality of service. 1: the broker acknowledges each message. 0: it acknowledges none, so messages may be lost."`
	Retain    bool            `yaml:"retain" doc:"Make the broker keep the last message of each topic for later subscribers."`
	Password  string          `yaml:"password" secret:"true" doc:"Password, in place of the one in the URL."`
	ClientID  string          `yaml:"client_id" doc:"Client identifier. Default: one that is derived from the host, the process and the topic. Two clients with the same identifier disconnect each other."`
	TLS       tlsfile.Options `yaml:",inline"`
	KeepAlive time.Duration   `yaml:"keep_alive" unit:"s" min:"1s" max:"18h" doc:"Maximum time without a packet, after which broker and sink consider the connection lost."`
	Timeout   time.Duration   `yaml:"timeout" above:"0s" doc:"Maximum time to connect, and to wait for an acknowledgement."`
	Window    int             `yaml:"window" min:"1" max:"1000000000" doc:"Number of recent classifications to remember for deduplication, at 24 to 32 bytes each."`
}

// addressee is the broker and the topic of a target.
type addressee struct {
	hostPort string // with the default port
	host     string
	user     *url.Userinfo
	topic    template
	secure   bool
}

func parse(t sinks.Target) (a addressee, err error) {
	a.secure = t.Scheme == "mqtts"
	u, err := url.Parse("mqtt:" + t.Path)
	if err != nil || !strings.HasPrefix(t.Path, "//") || u.Hostname() == "" || u.Fragment != "" {
		// The text could contain the password.
		return a, errors.New("found an invalid URL, want mqtt://HOST/TOPIC, in which special characters are " +
			"percent-encoded")
	}
	port := u.Port()
	switch {
	case port == "" && a.secure:
		port = "8883"
	case port == "":
		port = "1883"
	}
	a.host, a.hostPort, a.user = u.Hostname(), net.JoinHostPort(strings.ToLower(u.Hostname()), port), u.User
	a.topic = template(strings.TrimPrefix(u.Path, "/"))
	if a.topic == "" {
		a.topic = "classifications/{stream}"
	}
	if err := a.topic.validate(); err != nil {
		return a, fmt.Errorf("topic %q: %w", a.topic, err)
	}
	return a, nil
}
