package kafka

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestEndedDuringAuthentication: a connection that the broker closes or resets is explained as a wrong password only if
// that happened during its own authentication, whatever other connections do.
func TestEndedDuringAuthentication(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed below
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // no longer needed
	sc, err := SASLOptions{Mechanism: "plain", User: "u", Password: "p"}.Load()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(Config{Brokers: []string{l.Addr().String()}, SASL: sc, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	frame := func(r kmsg.Request) []byte { return kmsg.NewRequestFormatter().AppendRequest(nil, r, 1) }
	login := kmsg.NewPtrSASLAuthenticateRequest()
	login.SASLAuthBytes = frame(kmsg.NewPtrMetadataRequest()) // nobody must take its content for a request
	metadata := frame(kmsg.NewPtrMetadataRequest())
	for name, test := range map[string]struct {
		writes [][]byte
		wrong  bool
	}{
		"login":             {[][]byte{frame(login)}, true},
		"login in pieces":   {[][]byte{frame(login)[:20], frame(login)[20:]}, true},
		"login after hello": {[][]byte{frame(kmsg.NewPtrSASLHandshakeRequest()), frame(login)}, true},
		"logged in":         {[][]byte{frame(login), metadata}, false},
		"two at once":       {[][]byte{append(frame(login), metadata...)}, false},
		"no login":          {[][]byte{metadata}, false},
		"nothing":           {nil, false},
	} {
		for _, reset := range []bool{false, true} {
			conn, err := c.dial(t.Context(), "tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			far, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range test.writes {
				if _, err := conn.Write(w); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(far, make([]byte, len(w))); err != nil {
					t.Fatal(err)
				}
			}
			if reset {
				err = far.(*net.TCPConn).SetLinger(0)
			}
			if err = errors.Join(err, far.Close()); err != nil {
				t.Fatal(err)
			}
			_, err = conn.Read(make([]byte, 1))
			found := c.explain(err)
			if err == nil || errors.Is(found, ErrAccess) != test.wrong ||
				strings.Contains(found.Error(), "authentication failed") != test.wrong {
				t.Errorf("%s, reset %v: found %v", name, reset, found)
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
