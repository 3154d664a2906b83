package live

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/voxelstream/voxelstream/serve/frame"
)

// Limits of clients.
const (
	maxClients = 64
	maxMessage = 16 << 10 // bytes of a client's message
	// maxWaiting limits the streams of which a frame waits for a client.
	maxWaiting = 64
	// window is the number of frames of a stream that a client may have without acknowledgement, and maxWindow that of
	// all streams.
	window    = 2
	maxWindow = 32
	// maxPoints limits the points of a cloud in a frame.
	maxPoints = 1_000_000
	// writeTime is the time that a client has to take a frame, and pingEvery how often it is asked whether it is there.
	writeTime = 15 * time.Second
	pingEvery = 20 * time.Second
)

// hello is what a client asks for.
type hello struct {
	// Streams are names; "*" means all.
	Streams []string `json:"streams"`
	// Points limits the points of a cloud, Rate the frames of a stream per second.
	Points int     `json:"points"`
	Rate   float64 `json:"rate"`
}

// client is a connection to a browser. Its fields are guarded by mu, which is taken after that of the hub.
type client struct {
	wake chan struct{}

	mu      sync.Mutex
	ready   bool // it has said hello
	asked   hello
	control []control // frames without parts
	waiting []*item   // the newest of each stream, in the order of arrival of the streams
	sent    map[string]*progress
	n       uint64   // number of the last frame
	flying  []flying // frames without acknowledgement, oldest first
}

type control struct {
	typ  string
	data []byte
}

// progress is what a client has had of a stream.
type progress struct {
	number uint64    // of the last item, by item.number
	next   time.Time // when the next may be sent
}

type flying struct {
	n      uint64
	stream string
}

// ServeHTTP accepts a WebSocket connection. Requests of other origins are refused.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &client{wake: make(chan struct{}, 1), sent: map[string]*progress{}}
	if status, err := h.join(c); err != nil {
		http.Error(w, err.Error(), status)
		return
	}
	defer h.leave(c)
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		h.log.Debug("a live connection was refused", "error", err)
		return // Accept has answered
	}
	conn.SetReadLimit(maxMessage)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	var reading sync.WaitGroup
	reading.Go(func() {
		defer cancel()
		if err := h.read(ctx, conn, c); err != nil && ctx.Err() == nil {
			h.log.Debug("a live connection ended", "error", err)
		}
	})
	reading.Go(func() {
		select {
		case <-h.stop:
			cancel()
		case <-ctx.Done():
		}
	})
	if err := c.write(ctx, conn); err != nil && ctx.Err() == nil {
		h.log.Debug("a live connection ended", "error", err)
	}
	cancel()
	select {
	case <-h.stop:
		_ = conn.Close(websocket.StatusGoingAway, "the server is stopping") // the client may be gone
	default:
		_ = conn.CloseNow() // it is closed already if the client closed it
	}
	reading.Wait()
}

// join adds a client, or returns an error with a status.
func (h *Hub) join(c *client) (status int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return http.StatusServiceUnavailable, errors.New("the server is stopping")
	}
	if len(h.clients) >= maxClients {
		return http.StatusServiceUnavailable, errors.New("too many pages are connected")
	}
	h.done.Add(1)
	h.clients[c] = struct{}{}
	h.setGap()
	h.wake()
	return 0, nil
}

func (h *Hub) leave(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.clients, c)
	h.setGap()
	h.wake()
	h.done.Done()
}

// read handles the messages of a client until the connection ends.
func (h *Hub) read(ctx context.Context, conn *websocket.Conn, c *client) error {
	for {
		_, b, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		var m struct {
			Type string `json:"type"`
			hello
			N uint64 `json:"n"`
		}
		if err := json.Unmarshal(b, &m); err != nil {
			return errors.Join(err, conn.Close(websocket.StatusInvalidFramePayloadData, "want JSON"))
		}
		switch m.Type {
		case "hello":
			h.greet(c, m.hello)
		case "ack":
			c.acknowledge(m.N)
		}
	}
}

// greet sets what a client wants and offers it the newest frames.
func (h *Hub) greet(c *client, asked hello) {
	run, err := frame.Encode(h.run(), nil)
	h.mu.Lock()
	defer h.mu.Unlock()
	c.mu.Lock()
	first := !c.ready
	c.ready = true
	asked.Points = min(max(asked.Points, 1), maxPoints)
	if !(asked.Rate > 0) {
		asked.Rate = 30
	}
	asked.Rate = min(asked.Rate, maxRate)
	c.asked = asked
	c.waiting = slices.DeleteFunc(c.waiting, func(x *item) bool { return !c.wants(x.id.Stream) })
	c.mu.Unlock()
	h.setGap()
	if !first {
		return
	}
	if err == nil {
		c.push(typeRun, run)
	}
	for _, x := range h.kept {
		c.offer(x)
	}
}

func (c *client) rate() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked.Rate
}

// wants reports whether the client has asked for a stream. c.mu must be held.
func (c *client) wants(stream string) bool {
	return slices.Contains(c.asked.Streams, "*") || slices.Contains(c.asked.Streams, stream)
}

// push replaces the frame of a type that waits, or adds it.
func (c *client) push(typ string, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.IndexFunc(c.control, func(x control) bool { return x.typ == typ }); i >= 0 {
		c.control[i].data = data
	} else {
		c.control = append(c.control, control{typ, data})
	}
	c.signal()
}

// offer replaces the frame of the stream that waits, or adds it. If too many streams wait, the one that waits longest
// is dropped.
func (c *client) offer(x *item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ready || !c.wants(x.id.Stream) {
		return
	}
	if i := slices.IndexFunc(c.waiting, func(y *item) bool { return y.id.Stream == x.id.Stream }); i >= 0 {
		c.waiting[i] = x
	} else {
		if len(c.waiting) >= maxWaiting {
			c.waiting = slices.Delete(c.waiting, 0, 1)
		}
		c.waiting = append(c.waiting, x)
	}
	c.signal()
}

// signal wakes the writer.
func (c *client) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// acknowledge takes the frame n and those before it as drawn. Any acknowledgement stands for at least one frame.
func (c *client) acknowledge(n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := 0
	for k < len(c.flying) && c.flying[k].n <= n {
		k++
	}
	if len(c.flying) > 0 {
		c.flying = slices.Delete(c.flying, 0, max(k, 1))
	}
	c.signal()
}

// write sends what waits until ctx ends or the client does not take it.
func (c *client) write(ctx context.Context, conn *websocket.Conn) error {
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		b, wait, err := c.next(time.Now())
		if err != nil {
			return err
		}
		if b != nil {
			bounded, cancel := context.WithTimeout(ctx, writeTime)
			err := conn.Write(bounded, websocket.MessageBinary, b)
			cancel()
			if err != nil {
				return err
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-c.wake:
		case <-timer.C:
		case <-ping.C:
			bounded, cancel := context.WithTimeout(ctx, writeTime)
			err := conn.Ping(bounded)
			cancel()
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// next returns the next frame, or the time to wait for one unless the client wakes the writer before.
func (c *client) next(now time.Time) (b []byte, wait time.Duration, err error) {
	c.mu.Lock()
	if len(c.control) > 0 {
		defer c.mu.Unlock()
		b := c.control[0].data
		c.control = slices.Delete(c.control, 0, 1)
		return b, 0, nil
	}
	x, skipped, wait := c.pick(now)
	n, points := c.n, c.asked.Points
	c.mu.Unlock()
	if x == nil {
		return nil, wait, nil
	}
	header, payload := x.frame(points)
	header.N, header.Number, header.Skipped, header.Sent = n, x.number, skipped, now
	b, err = frame.Encode(&header, payload)
	return b, 0, err
}

// pick takes the first frame that waits and may be sent now, with the number of frames of its stream that were left
// out. c.mu must be held.
func (c *client) pick(now time.Time) (x *item, skipped uint64, wait time.Duration) {
	wait = time.Hour
	if len(c.flying) >= maxWindow {
		return nil, 0, wait
	}
	for i, x := range c.waiting {
		stream := x.id.Stream
		unacknowledged := 0
		for _, f := range c.flying {
			if f.stream == stream {
				unacknowledged++
			}
		}
		if unacknowledged >= window {
			continue
		}
		p := c.sent[stream]
		if p == nil {
			p = &progress{}
			c.remember(stream, p)
		}
		if d := p.next.Sub(now); d > 0 {
			wait = min(wait, d)
			continue
		}
		interval := time.Duration(float64(time.Second) / c.asked.Rate)
		if p.next = p.next.Add(interval); p.next.Before(now) {
			p.next = now.Add(interval)
		}
		if p.number > 0 && x.number > p.number {
			skipped = x.number - p.number - 1
		}
		p.number = x.number
		c.waiting = slices.Delete(c.waiting, i, i+1)
		c.n++
		c.flying = append(c.flying, flying{c.n, stream})
		return x, skipped, 0
	}
	return nil, 0, wait
}

// remember adds the progress of a stream. If there are too many, it forgets the one that was sent longest ago.
func (c *client) remember(stream string, p *progress) {
	if len(c.sent) >= maxStreams {
		oldest := ""
		for name, q := range c.sent {
			if oldest == "" || q.next.Before(c.sent[oldest].next) {
				oldest = name
			}
		}
		delete(c.sent, oldest)
	}
	c.sent[stream] = p
}
