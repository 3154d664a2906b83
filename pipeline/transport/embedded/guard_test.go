package embedded

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/voxelstream/voxelstream/pipeline"
)

// TestTimes checks how long a connection may take for its requests.
func TestTimes(t *testing.T) {
	metadata := []byte{0, 0, 0, 15, 0, 3, 0, 0, 0, 0, 0, 7, 0, 1, 'a', 0, 0, 0, 0}
	for _, c := range []struct {
		name string
		send [][]byte // with 20 s between them
		want time.Duration
		read int
	}{
		{"nothing", nil, firstTime, 0},
		{"a part of a request", [][]byte{metadata[:10]}, frameTime, 0},
		{"a byte every 20 s", [][]byte{metadata[:1], metadata[1:2], metadata[2:3], metadata[3:4]}, frameTime, 0},
		{"a request in two parts", [][]byte{metadata[:10], metadata[10:]}, 20*time.Second + idleTime, len(metadata)},
		{"a request and a half", [][]byte{metadata, metadata[:3]}, 20*time.Second + frameTime, len(metadata)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, client := net.Pipe()
				defer func() { _ = client.Close() }()
				g := &guard{maxFrame: 1 << 20, observer: pipeline.Unobserved, conns: map[*guardConn]struct{}{}}
				conn := &guardConn{Conn: server, guard: g, active: time.Now()}
				g.add(conn)
				sent := make(chan struct{})
				defer func() { <-sent }()
				go func() {
					defer close(sent)
					for i, b := range c.send {
						if i > 0 {
							time.Sleep(20 * time.Second)
						}
						_, _ = client.Write(b)
					}
				}()
				begin := time.Now()
				got, err := io.ReadAll(conn)
				if err == nil || len(got) != c.read || time.Since(begin) != c.want || len(g.conns) != 0 {
					t.Errorf("closed after %v with %d bytes, %v; want %v and %d bytes", time.Since(begin), len(got),
						err,
						c.want, c.read)
				}
			})
		})
	}
}

// FuzzRequest checks requests with any content. What passes must be decoded by kfake's library at once.
func FuzzRequest(f *testing.F) {
	for key := range int16(kmsg.MaxKey + 1) {
		if r := kmsg.RequestForKey(key); r != nil {
			r.SetVersion(newestPlain()[key])
			f.Add(key, newestPlain()[key], append([]byte{0, 0, 0, 7, 0, 1, 'a', 0}, r.AppendTo(nil)...))
		}
	}
	f.Add(int16(18), int16(3), []byte("\x00\x00\x00\x07\x00\x01a\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		g := &guard{
			maxBatch: 1 << 20, maxPartitions: 10, defaultPartitions: 1, data: t.TempDir(), observer: pipeline.Unobserved,
			conns: map[*guardConn]struct{}{},
		}
		r := request{conn: &guardConn{guard: g}, key: key, version: version}
		if r.known() != nil || r.check(body) != nil {
			return
		}
		b := kbin.Reader{Src: body}
		b.Int32()
		b.NullableString()
		k := kmsg.RequestForKey(key)
		k.SetVersion(version)
		if k.IsFlexible() {
			kmsg.SkipTags(&b)
		}
		_ = k.ReadFrom(b.Src) // an error closes the connection
	})
}
