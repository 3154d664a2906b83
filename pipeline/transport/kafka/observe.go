package kafka

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/voxelstream/voxelstream/pipeline"
)

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// observedDial wraps dial, or a plain dialer if it is nil. It reports the number of open connections and the time to
// open each.
func observedDial(dial dialFunc, o pipeline.Observer) dialFunc {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	var mu sync.Mutex
	open := int64(0)
	add := func(n int64) {
		mu.Lock()
		defer mu.Unlock()
		open += n
		o.Level(part, pipeline.LevelConnections, open)
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		begin := time.Now()
		c, err := dial(ctx, network, address)
		o.Time(part+" connect", 1, time.Since(begin), err)
		if err != nil {
			return nil, err
		}
		add(1)
		return &observedConn{Conn: c, closed: sync.OnceFunc(func() { add(-1) })}, nil
	}
}

// observedConn is a connection that calls closed when it is closed.
type observedConn struct {
	net.Conn
	closed func()
}

func (c *observedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}
