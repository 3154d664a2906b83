package kafka

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestForeignServer checks what a client says about a server that is not a Kafka broker.
func TestForeignServer(t *testing.T) {
	for sent, want := range map[string]string{
		"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n400": `answers, but not as a Kafka broker: it sent "HTTP/1.1 400 Bad Request"`,
		"SSH-2.0-OpenSSH_9.6\r\n":                          `answers, but not as a Kafka broker: it sent "SSH-2.0-OpenSSH_9.6"`,
		"\x15\x03\x01\x00\x02\x02\x46":                     "answers with TLS; enable kafka.tls",
		"\xff\xff\xff\xff":                                 `it sent "\xff\xff\xff\xff"`,
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Read(make([]byte, 4)) // a request
				_, _ = io.WriteString(c, sent)
				_ = c.Close()
			}
		}()
		c, err := Open(Config{Brokers: []string{l.Addr().String()}, Patience: time.Nanosecond})
		if err != nil {
			t.Fatal(err)
		}
		if err = c.Ping(t.Context()); !Absent(err) || !strings.Contains(err.Error(), l.Addr().String()+" ") ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%q: found %v, want %s", sent, err, want)
		}
		c.Close()
		_ = l.Close()
		<-ended
	}
}

// TestBrokerConn checks that a connection returns all that a broker sends, however little is read at once.
func TestBrokerConn(t *testing.T) {
	ours, theirs := net.Pipe()
	sent := "\x00\x00\x00\x05" + strings.Repeat("a response", 50)
	go func() {
		_, _ = io.WriteString(theirs, sent)
		_ = theirs.Close()
	}()
	c := &brokerConn{Conn: ours}
	var found []byte
	for p := make([]byte, 3); ; {
		n, err := c.Read(p)
		found = append(found, p[:n]...)
		if err != nil {
			break
		}
	}
	_ = c.Close()
	if string(found) != sent {
		t.Errorf("found %q", found)
	}
}
