package mqtt

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	broker "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	brokerpackets "github.com/mochi-mqtt/server/v2/packets"
	"go.uber.org/goleak"

	"github.com/voxelstream/voxelstream/internal/testenv"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
	"github.com/voxelstream/voxelstream/sinks/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bus is a broker that can be stopped and started at the same address.
type bus struct {
	t       *testing.T
	address string
	tls     *tls.Config
	limits  func(*broker.Capabilities)
	ledger  *auth.Ledger
	server  *broker.Server

	listener net.Listener
	serving  sync.WaitGroup

	mu       sync.Mutex
	received []brokerpackets.Packet
}

func newBus(t *testing.T, configure ...func(*bus)) *bus {
	b := &bus{t: t, address: "127.0.0.1:0", limits: func(*broker.Capabilities) {}}
	b.ledger = &auth.Ledger{
		Auth: auth.AuthRules{{Allow: true}}, ACL: auth.ACLRules{{Filters: auth.Filters{"#": auth.ReadWrite}}},
	}
	for _, c := range configure {
		c(b)
	}
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *bus) start() {
	b.t.Helper()
	limits := broker.NewDefaultServerCapabilities()
	b.limits(limits)
	b.server = broker.New(&broker.Options{
		Logger: slog.New(slog.DiscardHandler), Capabilities: limits, InlineClient: true,
	})
	err := errors.Join(b.server.AddHook(new(auth.Hook), &auth.Options{Ledger: b.ledger}),
		b.server.AddHook(&recorder{b: b}, nil), b.server.Serve())
	if err != nil {
		b.t.Fatal(err)
	}
	if b.listener, err = net.Listen("tcp", b.address); err != nil {
		b.t.Fatal(err)
	}
	b.address = b.listener.Addr().String()
	if b.tls != nil {
		b.listener = tls.NewListener(b.listener, b.tls)
	}
	b.serving.Go(b.accept)
}

// accept takes the place of the broker's own listener, which must not be closed while a client connects.
func (b *bus) accept() {
	var conns []net.Conn
	for {
		c, err := b.listener.Accept()
		if err != nil {
			break
		}
		conns = append(conns, c)
		b.serving.Go(func() {
			b.server.EstablishConnection("tcp", c) //nolint:errcheck // the client sees it
			c.Close()                              //nolint:errcheck // of a test
		})
	}
	for _, c := range conns {
		c.Close() //nolint:errcheck // of a test
	}
}

// stop cuts all connections.
func (b *bus) stop() {
	err := b.listener.Close()
	b.serving.Wait()
	if err = errors.Join(err, b.server.Close()); err != nil {
		b.t.Error(err)
	}
}

func (b *bus) messages() []brokerpackets.Packet {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.received)
}

// recorder is the hook that takes down each message before it is acknowledged.
type recorder struct {
	broker.HookBase
	b *bus
}

func (*recorder) ID() string { return "recorder" }

func (*recorder) Provides(event byte) bool { return event == broker.OnPublish }

func (r *recorder) OnPublish(_ *broker.Client, p brokerpackets.Packet) (brokerpackets.Packet, error) {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	r.b.received = append(r.b.received, p.Copy(true))
	return p, nil
}

func (b *bus) ids(t *testing.T) (ids []string) {
	t.Helper()
	for _, p := range b.messages() {
		var c record.Classification
		if err := json.Unmarshal(p.Payload, &c); err != nil {
			t.Fatalf("%s: %v", p.Payload, err)
		}
		want := []brokerpackets.UserProperty{
			{Key: "event-id", Val: c.EventID}, {Key: "model-digest", Val: c.Model.Digest},
		}
		if !slices.Equal(p.Properties.User, want) || p.Properties.ContentType != "application/json" {
			t.Errorf("found the properties %+v", p.Properties)
		}
		ids = append(ids, c.EventID)
	}
	return ids
}

// expect wants each of the stream's first n at least once.
func (b *bus) expect(t *testing.T, n int) {
	t.Helper()
	ids := b.ids(t)
	slices.Sort(ids)
	if got := len(slices.Compact(ids)); got != n {
		t.Errorf("found %d IDs, want %d", got, n)
	}
}

func (b *bus) url(options string) string { return "mqtt://" + b.address + "/a/{stream}" + options }

func openURL(ctx context.Context, text string) (*Sink, error) {
	return sinktest.TryOpen[*Sink](ctx, &Kind, text, sinks.Services{})
}

func open(t *testing.T, text string) *Sink {
	t.Helper()
	return sinktest.Open[*Sink](t, &Kind, text)
}

func batch(from, to int) []record.Classification { return sinktest.Batch("s-0", from, to) }

func write(t *testing.T, s *Sink, cs []record.Classification) {
	t.Helper()
	if err := s.Write(t.Context(), cs); err != nil {
		t.Fatal("write:", err)
	}
}

func harness(text string, b *bus) sinktest.Harness {
	return sinktest.Harness{
		Kind:   &Kind,
		Open:   func(t *testing.T) sinks.Sink { return open(t, text) },
		Stored: b.ids,
	}
}

func TestSuite(t *testing.T) {
	for _, options := range []string{"", "?qos=0", "?retain=true"} {
		t.Run(options, func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinktest.Harness {
				b := newBus(t)
				return harness(b.url(options), b)
			})
		})
	}
	t.Run("small window", func(t *testing.T) {
		sinktest.Run(t, func(t *testing.T) sinktest.Harness {
			b := newBus(t, func(b *bus) { b.limits = func(c *broker.Capabilities) { c.ReceiveMaximum = 3 } })
			return harness(b.url(""), b)
		})
	})
}

func TestKilled(t *testing.T) {
	var b *bus // nil in a child
	sinktest.Kill(t, func(t *testing.T) string {
		b = newBus(t)
		return b.url("")
	}, func(_ *testing.T, text string) sinktest.Harness { return harness(text, b) })
}

// TestBrokerRestarts stops and starts the broker between writes and in the middle of them.
func TestBrokerRestarts(t *testing.T) {
	for _, options := range []string{"?timeout=2s", "?timeout=2s&qos=0"} {
		b := newBus(t)
		s := open(t, b.url(options))
		write(t, s, batch(0, 10))
		b.stop()
		for range 3 {
			err := s.Write(t.Context(), batch(5, 20))
			if err == nil || pipeline.IsPermanent(err) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("found %v, want a temporary error in one line", err)
			}
		}
		b.start()
		write(t, s, batch(5, 20))
		b.expect(t, 20)

		var writing sync.WaitGroup
		ended := make(chan struct{})
		writing.Go(func() {
			defer close(ended)
			left := batch(20, 3000)
			for len(left) > 0 {
				err := s.Write(t.Context(), left[:min(64, len(left))])
				if err == nil {
					left = left[min(64, len(left)):]
					continue
				}
				if pipeline.IsPermanent(err) {
					t.Error(err)
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
		for range 5 {
			select {
			case <-ended:
			case <-time.After(30 * time.Millisecond):
				b.stop()
				b.start()
			}
		}
		writing.Wait()
		b.expect(t, 3000)
	}
}

// TestTopics: a message is on the topic of its values, and no value can leave its level.
func TestTopics(t *testing.T) {
	b := newBus(t)
	s := open(t, "mqtt://"+b.address+"/lidar%20{class}/{stream}-x/{model}?retain=true")
	c := sinktest.Classification("a/b+c#d%\x00\xffé�{class}\uffff", 3)
	if err := s.Write(t.Context(), []record.Classification{c}); !pipeline.IsPermanent(err) {
		t.Errorf("found %v, want a permanent error for the event ID", err)
	}
	c.Model.Name, c.EventID = "$SYS", "a/1"
	write(t, s, []record.Classification{c})
	ms := b.messages()
	want := "lidar 3/a%2Fb%2Bc%23d%25%00%FFé�{class}%EF%BF%BF-x/$SYS"
	if len(ms) != 1 || ms[0].TopicName != want || !ms[0].FixedHeader.Retain {
		t.Errorf("found %+v, want the topic %q, retained", ms, want)
	}
	for text, want := range map[string]string{
		"": "classifications/s", "/": "classifications/s", "/{stream}": "s", "/{name}{stream}/": "s/",
		"/%24{stream}": "",
		"/a+b":         "", "/a%23": "", "/{seq}": "", "/{stream": "", "/a}": "", "/%00": "", "/%ff": "", "/a%0a": "",
	} {
		a, err := parse(sinks.Target{Path: "//host" + text})
		if (err == nil) != (want != "") {
			t.Errorf("%s: found %v", text, err)
		} else if err == nil {
			if got, err := a.topic.expand(&record.Classification{Stream: "s"}); err != nil || got != want {
				t.Errorf("%s: found %q, %v, want %q", text, got, err, want)
			}
		}
	}
	got, err := template("{stream}").expand(&record.Classification{Stream: "$SYS/x"})
	if err != nil || got != "%24SYS%2Fx" {
		t.Errorf("found %q, %v", got, err)
	}
	for _, stream := range []string{"", strings.Repeat("x", maxString+1)} {
		if got, err := template("{stream}").expand(&record.Classification{Stream: stream}); err == nil {
			t.Errorf("found %.10q of %d bytes, want an error", got, len(got))
		}
	}
}

// TestRefusals: what the broker refuses for good is permanent, what it lacks is named.
func TestRefusals(t *testing.T) {
	b := newBus(t, func(b *bus) {
		b.ledger = &auth.Ledger{
			Auth: auth.AuthRules{{Username: "ann", Password: "s3cret", Allow: true}},
			ACL:  auth.ACLRules{{Username: "ann", Filters: auth.Filters{"a/#": auth.ReadWrite, "b/#": auth.Deny}}},
		}
	})
	user := func(name string) string { return strings.Replace(b.url(""), "//", "//"+name+"@", 1) }
	write(t, open(t, user("ann:s3cret")), batch(0, 2))
	b.expect(t, 2)

	for text, want := range map[string]string{
		user("ann:hush"):               "the broker refuses the connection: bad user name or password",
		user("ann") + "?password=hush": "bad user name or password",
		b.url(""):                      "bad user name or password",
	} {
		if _, err := openURL(t.Context(), text); err == nil || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: found %v, want %q", text, err, want)
		}
	}
	other := open(t, strings.Replace(user("ann")+"?password=s3cret", "/a/", "/b/", 1))
	err := other.Write(t.Context(), batch(0, 2))
	if err == nil || pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "not authorized") {
		t.Errorf("found %v, want a temporary error", err)
	}

	none, small := byte(0), uint32(1000)
	poor := script(t, packets.Properties{MaximumQOS: &none, RetainAvailable: &none, MaximumPacketSize: &small}, answer)
	for options, want := range map[string]string{"": "use qos=0", "?qos=0&retain=true": "use retain=false"} {
		if _, err := openURL(t.Context(), poor+options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found %v, want %q", options, err, want)
		}
	}
	long := sinktest.Classification("s-0", 1)
	long.Name = strings.Repeat("x", 1000)
	huge := sinktest.Classification("s-0", 2)
	huge.EventID = strings.Repeat("x", maxString+1)
	err = open(t, poor+"?qos=0").Write(t.Context(), append(batch(0, 1), long, huge))
	partial, ok := errors.AsType[*pipeline.PartialError](err)
	if !ok || len(partial.Failed) != 2 || !pipeline.IsPermanent(partial.Failed[1]) ||
		!pipeline.IsPermanent(partial.Failed[2]) {
		t.Errorf("found %v, want permanent errors of 1 and 2", err)
	}
}

// answer answers pings.
func answer(c net.Conn, in *bufio.Reader) {
	for {
		p, err := packets.ReadPacket(in)
		if err != nil {
			return
		}
		if p.Type != packets.PINGREQ {
			continue
		}
		if _, err := (&packets.Pingresp{}).WriteTo(c); err != nil {
			return
		}
	}
}

func TestTLS(t *testing.T) {
	authority := testenv.NewAuthority(t)
	cert, key := authority.Issue("client")
	b := newBus(t, func(b *bus) {
		b.tls = authority.Server("localhost")
		b.tls.ClientAuth = tls.RequireAnyClientCert
	})
	text := "mqtts://" + b.address + "/x?ca-file=" + authority.File
	write(t, open(t, text+"&cert-file="+cert+"&key-file="+key), batch(0, 3))
	b.expect(t, 3)
	for _, c := range []struct{ url, want string }{
		{text, "certificate"},
		{"mqtts://" + b.address + "/x", "certificate"},
		{"mqtt://" + b.address + "/x", "closed the connection"},
		{text + "&cert-file=" + cert, "want both or none"},
		{"mqtts://" + b.address + "/x?ca-file=/none", "ca_file: open /none"},
	} {
		s, err := openURL(t.Context(), c.url)
		if err == nil { // with TLS 1.3, the server rejects the client after its handshake
			err = s.Write(t.Context(), batch(0, 1))
			s.Close(t.Context()) //nolint:errcheck // it returns nil
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found %v, want %q", c.url, err, c.want)
		}
	}
}

// script is a broker that does what a test says after CONNECT.
func script(t *testing.T, welcome packets.Properties, after func(c net.Conn, in *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { l.Close() }) //nolint:errcheck // of a test
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close() //nolint:errcheck // of a test
				in := bufio.NewReader(c)
				if _, err := packets.ReadPacket(in); err != nil {
					return
				}
				if _, err := (&packets.Connack{Properties: &welcome}).WriteTo(c); err != nil {
					return
				}
				after(c, in)
			})
		}
	})
	return "mqtt://" + l.Addr().String()
}

// acknowledge sends PUBACK.
func acknowledge(c net.Conn, id uint16, code byte) {
	p := &packets.Puback{PacketID: id, ReasonCode: code, Properties: &packets.Properties{}}
	p.WriteTo(c) //nolint:errcheck // of a test
}

// TestHostileBroker: whatever a broker sends, or does not send, ends as a temporary error.
func TestHostileBroker(t *testing.T) {
	wait := func(in *bufio.Reader) { io.Copy(io.Discard, in) } //nolint:errcheck // of a test
	for name, c := range map[string]struct {
		after func(c net.Conn, in *bufio.Reader)
		want  string
	}{
		"silent": {func(_ net.Conn, in *bufio.Reader) { wait(in) }, "found no acknowledgement within 200ms"},
		"closed": {func(_ net.Conn, in *bufio.Reader) {
			in.Peek(1) //nolint:errcheck // of a test
		}, "the broker has closed the connection"},
		"acknowledges others": {func(c net.Conn, in *bufio.Reader) {
			for id := uint16(100); id < 5000; id++ {
				acknowledge(c, id, 0)
			}
			wait(in)
		}, "found no acknowledgement"},
		"huge packet": {func(c net.Conn, in *bufio.Reader) {
			c.Write([]byte{0x40, 0xff, 0xff, 0xff, 0x7f}) //nolint:errcheck // of a test
			wait(in)
		}, "found a packet of more than 65536 bytes"},
		"endless length": {func(c net.Conn, in *bufio.Reader) {
			c.Write(bytes.Repeat([]byte{0x80}, 1000)) //nolint:errcheck // of a test
			wait(in)
		}, "found a packet of more than 65536 bytes"},
		"garbage": {func(c net.Conn, in *bufio.Reader) {
			c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) //nolint:errcheck // of a test
			wait(in)
		}, ""},
		"another packet": {func(c net.Conn, in *bufio.Reader) {
			(&packets.Pubrec{PacketID: 1, Properties: &packets.Properties{}}).WriteTo(c) //nolint:errcheck // of a test
			wait(in)
		}, "found the packet PUBREC, want PUBACK"},
		"disconnects": {func(c net.Conn, in *bufio.Reader) {
			p := &packets.Disconnect{ReasonCode: 0x8e, Properties: &packets.Properties{ReasonString: "two of you"}}
			p.WriteTo(c) //nolint:errcheck // of a test
			wait(in)
		}, `the broker has ended the connection: another client has the same identifier ("two of you"), code 0x8e`},
		"busy": {func(c net.Conn, in *bufio.Reader) {
			acknowledge(c, 1, packets.PubackQuotaExceeded)
			acknowledge(c, 2, 0)
			wait(in)
		}, "the broker refuses the message: quota exceeded, code 0x97"},
	} {
		t.Run(name, func(t *testing.T) {
			hello := make(chan struct{})
			s := open(t, script(t, packets.Properties{}, func(conn net.Conn, in *bufio.Reader) {
				<-hello
				c.after(conn, in)
			})+"?timeout=200ms")
			close(hello)
			err := s.Write(t.Context(), batch(0, 2))
			if err == nil || pipeline.IsPermanent(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("found %v, want a temporary error with %q", err, c.want)
			}
		})
	}
}

// TestKeepAlive: pings keep an idle connection open, and a broker that does not answer them is noticed.
func TestKeepAlive(t *testing.T) {
	second, four := uint16(1), uint16(4)
	answered := open(t, script(t, packets.Properties{ServerKeepAlive: &four}, answer))
	silent := open(t, script(t, packets.Properties{ServerKeepAlive: &second}, func(_ net.Conn, in *bufio.Reader) {
		io.Copy(io.Discard, in) //nolint:errcheck // of a test
	}))
	<-silent.conn.done
	if want := "the broker does not answer pings"; silent.conn.err.Error() != want {
		t.Errorf("found %v, want %s", silent.conn.err, want)
	}
	select {
	case <-answered.conn.ponged:
	case <-answered.conn.done:
		t.Errorf("found %v, want an answer to a ping", answered.conn.err)
	}
}

// TestCancelled: a write that waits ends with its context. What was acknowledged is not sent again.
func TestCancelled(t *testing.T) {
	b := newBus(t)
	first := true
	var mu sync.Mutex
	text := script(t, packets.Properties{}, func(c net.Conn, in *bufio.Reader) {
		mu.Lock()
		half := first
		first = false
		mu.Unlock()
		for {
			p, err := packets.ReadPacket(in)
			if err != nil {
				return
			}
			publish, ok := p.Content.(*packets.Publish)
			if !ok || half && publish.PacketID > 2 {
				continue
			}
			if err := b.server.Publish("t", publish.Payload, false, 1); err != nil {
				t.Error(err)
			}
			acknowledge(c, publish.PacketID, 0)
		}
	})
	s := open(t, text)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := s.Write(ctx, batch(0, 5))
	partial, ok := errors.AsType[*pipeline.PartialError](err)
	if !ok || len(partial.Failed) != 3 || !errors.Is(partial.Failed[2], context.DeadlineExceeded) {
		t.Fatalf("found %v, want the end of the context for the last three", err)
	}
	write(t, s, batch(0, 5))
	if got := len(b.messages()); got != 5 {
		t.Errorf("found %d messages, want 5", got)
	}
}

func TestTargets(t *testing.T) {
	for text, want := range map[string]string{
		"mqtt://Host":                          "mqtt://host:1883/classifications/{stream}",
		"mqtts://u:p%40@host/a/b":              "mqtt://host:8883/a/b",
		"mqtt://[::1]:5/a?qos=0&keep-alive=60": "mqtt://[::1]:5/a",
		"mqtt:host/a":                          "",
		"mqtt://u:pa%zz@host/a":                "",
		"mqtt://host/a#b":                      "",
		"mqtt://host/a?qos=2":                  "",
		"mqtt://host/a?keep-alive=0":           "",
	} {
		o, problems := sinks.Parse([]*sinks.Kind{&Kind}, text, sinks.Defaults{})
		err := errors.Join(problems...)
		switch {
		case want == "":
			if err == nil || strings.Contains(err.Error(), "pa%zz") {
				t.Errorf("%s: found %v, want an error without the password", text, err)
			}
		case err != nil || o.Place != want:
			t.Errorf("%s: found %+v, %v, want %s", text, o, err, want)
		}
	}
	if id := clientID(sinks.Target{Path: "//host/a"}); len(id) != 23 || id == clientID(sinks.Target{Path: "//host/b"}) {
		t.Errorf("found the client identifier %s", id)
	}
	if _, err := openURL(t.Context(), "mqtt://127.0.0.1:1/x"); err == nil || err.Error() !=
		"sink mqtt://127.0.0.1:1/x: 127.0.0.1:1: connection refused" {
		t.Errorf("found %v", err)
	}
}
