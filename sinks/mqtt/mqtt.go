// Package mqtt publishes classifications on topics of an MQTT broker.
package mqtt

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
)

// Sink publishes messages. It is not safe for concurrent use.
type Sink struct {
	settings settings
	topic    template
	conn     *connection // nil, or ended, after a failure
	seen     *dedupe.Window
	// report is called for each classification that was published already.
	report func(*record.Classification)
}

// Open connects to the broker of a target.
func Open(ctx context.Context, t sinks.Target, o Options) (*Sink, error) {
	a, err := parse(t)
	if err != nil {
		return nil, err
	}
	s := &Sink{
		settings: settings{
			address: a.hostPort, keepAlive: o.KeepAlive, timeout: o.Timeout, qos: byte(o.QoS), retain: o.Retain,
			hello: packets.Connect{
				ProtocolName: "MQTT", ProtocolVersion: 5, CleanStart: true,
				KeepAlive: uint16(o.KeepAlive / time.Second),
				ClientID:  cmp.Or(o.ClientID, clientID(t)), Properties: &packets.Properties{},
			},
		},
		topic: a.topic, seen: dedupe.NewWindow(o.Window), report: func(*record.Classification) {},
	}
	hello := &s.settings.hello
	hello.Username = a.user.Username()
	password, _ := a.user.Password()
	hello.Password = []byte(cmp.Or(o.Password, password))
	hello.UsernameFlag, hello.PasswordFlag = hello.Username != "", len(hello.Password) > 0
	if len(hello.ClientID) > maxString || len(hello.Username) > maxString || len(hello.Password) > maxString {
		return nil, fmt.Errorf("found a client identifier, user or password of more than %d bytes", maxString)
	}
	if a.secure {
		if s.settings.tls, err = o.TLS.Load(); err != nil {
			return nil, err
		}
		s.settings.tls.ServerName = a.host
	}
	s.conn, err = dial(ctx, &s.settings)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// clientID returns an identifier that every broker must accept: 23 letters and digits (MQTT 5.0, section 3.1.3.1). It
// differs between hosts, processes and targets.
func clientID(t sinks.Target) string {
	host, err := os.Hostname()
	if err != nil {
		host = "" // the process makes a difference
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %s", host, os.Getpid(), t.Path))
	return "voxelstream" + hex.EncodeToString(sum[:6])
}

// message is a message for the classification with an index in a batch.
type message struct {
	index  int
	packet packets.Publish
}

// Write publishes classifications. It returns when the broker has acknowledged them.
func (s *Sink) Write(ctx context.Context, cs []record.Classification) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	failed := map[int]error{}
	batch := map[dedupe.Key]bool{}
	var repeated []int
	var messages []message
	for i := range cs {
		key := dedupe.Of(cs[i].Key())
		if s.seen.Has(key) || batch[key] {
			repeated = append(repeated, i)
			continue
		}
		p, err := s.publication(&cs[i])
		if err != nil {
			failed[i] = pipeline.Permanent(fmt.Errorf("%.100s: %w", cs[i].EventID, err))
			continue
		}
		batch[key] = true
		messages = append(messages, message{i, p})
	}
	if len(messages) > 0 {
		if err := s.connect(ctx); err != nil {
			return err
		}
		s.publish(ctx, messages, failed)
	}
	for i := range cs {
		if key := dedupe.Of(cs[i].Key()); batch[key] && failed[i] == nil {
			s.seen.Add(key)
		}
	}
	for _, i := range repeated {
		s.report(&cs[i])
	}
	return pipeline.Partial(failed)
}

// publication returns the message for a classification.
func (s *Sink) publication(c *record.Classification) (p packets.Publish, err error) {
	for _, text := range []string{c.EventID, c.Model.Digest} {
		if len(text) > maxString || !valid(text) {
			return p, fmt.Errorf("found an event ID or model digest %.100q, want UTF-8 of at most %d bytes without "+
				"control characters", text, maxString)
		}
	}
	payload, err := json.Marshal(c) // NaN has no JSON
	if err != nil {
		return p, err
	}
	topic, err := s.topic.expand(c)
	if err != nil {
		return p, err
	}
	utf8 := byte(1)
	return packets.Publish{
		Topic: topic, Payload: payload, QoS: s.settings.qos, Retain: s.settings.retain,
		Properties: &packets.Properties{
			PayloadFormat: &utf8, ContentType: "application/json",
			User: []packets.User{{Key: "event-id", Value: c.EventID}, {Key: "model-digest", Value: c.Model.Digest}},
		},
	}, nil
}

// connect connects again if the connection has ended. The pipeline's retries are the pauses between attempts.
func (s *Sink) connect(ctx context.Context) (err error) {
	if s.conn != nil && !s.conn.ended() {
		return nil
	}
	if s.conn != nil {
		s.conn.close()
	}
	s.conn, err = dial(ctx, &s.settings)
	return err
}

// publish sends messages. failed gets the errors of those that the broker does not have. After an error of the network,
// the connection has ended, because late acknowledgements could be taken for those of other messages.
func (s *Sink) publish(ctx context.Context, messages []message, failed map[int]error) {
	stop := context.AfterFunc(ctx, func() { s.conn.fail(ctx.Err()) })
	defer stop()
	messages = slices.DeleteFunc(messages, func(m message) bool {
		size := uint32(5) // of the fixed header, at most
		for _, b := range m.packet.Buffers() {
			size += uint32(len(b))
		}
		if size > s.conn.maxPacket {
			failed[m.index] = pipeline.Permanent(fmt.Errorf("found a message of %d bytes, and the broker's limit is %d",
				size, s.conn.maxPacket))
		}
		return size > s.conn.maxPacket
	})
	if s.settings.qos == 0 {
		if err := s.conn.publishUnacknowledged(messages); err != nil {
			for i := range messages {
				failed[messages[i].index] = err
			}
		}
		return
	}
	acknowledged := map[int]bool{}
	err := s.conn.publish(messages, func(m *message, p *packets.Puback) {
		acknowledged[m.index] = true
		if e := refusal(p); e != nil {
			failed[m.index] = e
		}
	})
	for i := range messages {
		if index := messages[i].index; !acknowledged[index] {
			failed[index] = err
		}
	}
}

// refusal returns the error in an acknowledgement. Only for an invalid topic or payload is the classification at fault.
func refusal(p *packets.Puback) error {
	if p.ReasonCode < 0x80 {
		return nil
	}
	err := fmt.Errorf("the broker refuses the message: %s", reason(p.ReasonCode, p.Properties))
	if p.ReasonCode == packets.PubackTopicNameInvalid || p.ReasonCode == packets.PubackPayloadFormatInvalid {
		return pipeline.Permanent(err)
	}
	return err
}

// Close disconnects from the broker.
func (s *Sink) Close(context.Context) error {
	if s.conn != nil {
		s.conn.close()
	}
	return nil
}
