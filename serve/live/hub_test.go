package live

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/testenv"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/frame"
	"github.com/voxelstream/voxelstream/voxelize"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve returns a hub and the address of its server.
func serve(t *testing.T) (*Hub, string) {
	t.Helper()
	h := New(slog.New(slog.DiscardHandler))
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		h.Close()
		s.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return h, "ws" + strings.TrimPrefix(s.URL, "http")
}

// dial connects a client and says hello.
func dial(t *testing.T, address, hello string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), address, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadLimit(frame.MaxSize)
	t.Cleanup(func() { _ = c.CloseNow() })
	say(t, c, hello)
	return c
}

func say(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	if err := c.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// next returns the next frame of a type.
func next(t *testing.T, c *websocket.Conn, typ string) (*frame.Message, frame.Header) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	for {
		_, b, err := c.Read(ctx)
		if err != nil {
			t.Fatalf("waiting for a frame of type %s: %v", typ, err)
		}
		m, err := frame.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if m.Type == typ {
			var h frame.Header
			if typ == frame.TypeFrame {
				if err := m.Into(&h); err != nil {
					t.Fatal(err)
				}
			}
			return m, h
		}
	}
}

// greeted waits until the hub has handled the hello of n clients.
func greeted(t *testing.T, h *Hub, n int) {
	t.Helper()
	for {
		h.mu.Lock()
		ready := 0
		for c := range h.clients {
			c.mu.Lock()
			if c.ready {
				ready++
			}
			c.mu.Unlock()
		}
		h.mu.Unlock()
		if ready == n {
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("the hello was not handled")
		}
	}
}

// item reports one item to the hub, without waiting for the gap between items.
func report(h *Hub, stream string, seq uint64, points int) {
	h.mu.Lock()
	if st := h.streams[stream]; st != nil {
		st.sample = time.Time{}
	}
	h.mu.Unlock()
	id := record.ID{Stream: stream, Seq: seq}
	cloud := &ingest.PointCloud{X: make([]float64, points), Y: make([]float64, points), Z: make([]float64, points)}
	for i := range cloud.X {
		cloud.X[i] = float64(i)
	}
	h.Sample(&ingest.Sample{ID: id, Label: -1, Data: cloud})
	v := voxelize.Volume{
		ID: id, Label: -1, Dims: [3]int{2, 2, 2}, Content: voxelize.PaletteContent("gray"), Index: make([]byte, 8),
	}
	v.Index[0] = byte(seq)
	h.Volume(&v)
	v.Index[0] = 99 // the memory is used for something else
	h.Classified(&record.Classification{EventID: id.String(), Stream: stream, Seq: seq, Class: int(seq % 3)})
}

const all = `{"type":"hello","streams":["*"],"points":100,"rate":60}`

// TestFrames: a client receives sample, volume and classification of an item together.
func TestFrames(t *testing.T) {
	h, address := serve(t)
	c := dial(t, address, all)
	greeted(t, h, 1)
	report(h, "s", 5, 1000)
	m, f := next(t, c, frame.TypeFrame)
	if f.N != 1 || f.EventID != "s/5" || f.Classification.Class != 2 || f.Sensor.Points != 100 || f.LeftOut != 900 ||
		f.Offset != nil {
		t.Errorf("found %+v", f)
	}
	if v, err := m.Volume(); err != nil || v.Index[0] != 5 {
		t.Errorf("found %+v, %v", v, err)
	}
	m, _ = next(t, c, typeRun)
	var run Run
	if err := json.Unmarshal(m.Header, &run); err != nil || run.Total != 1 {
		t.Errorf("found %s, %v", m.Header, err)
	}
}

// TestObjects: a scan is shown once, with the boxes of its own objects: when all of them are classified, when the next
// scan begins, or when no more come.
func TestObjects(t *testing.T) {
	h, address := serve(t)
	c := dial(t, address, all)
	greeted(t, h, 1)
	scan := func(seq uint64) record.ID {
		id := record.ID{Stream: "s", Seq: seq}
		h.mu.Lock()
		for _, st := range h.streams { // without waiting for the gap between items
			st.sample, st.volume = time.Time{}, time.Time{}
		}
		h.mu.Unlock()
		h.Sample(&ingest.Sample{ID: id, Label: -1, Data: &ingest.PointCloud{
			X: make([]float64, 10), Y: make([]float64, 10), Z: make([]float64, 10),
		}})
		return id
	}
	object := func(id record.ID, object uint32) {
		id.Object = object
		v := voxelize.Volume{
			ID: id, Label: -1, Dims: [3]int{2, 2, 2}, Content: voxelize.PaletteContent("gray"),
			Index: make([]byte, 8), Box: &record.Box{Size: [3]float32{float32(id.Seq), 2, 3}},
		}
		h.Volume(&v)
		h.Classified(&record.Classification{
			EventID: id.String(), Stream: "s", Seq: id.Seq, Object: object, Box: v.Box,
		})
	}
	shown := func(seq uint64, boxes int) {
		t.Helper()
		_, f := next(t, c, frame.TypeFrame)
		say(t, c, fmt.Sprintf(`{"type":"ack","n":%d}`, f.N))
		if f.Seq != seq || f.Object != 1 || f.Sensor == nil || f.Sensor.Points != 10 || len(f.Boxes) != boxes {
			t.Fatalf("found %+v, want scan %d with %d boxes", f, seq, boxes)
		}
		for _, b := range f.Boxes {
			if b.Size[0] != float32(seq) {
				t.Errorf("scan %d: found a box of scan %g", seq, b.Size[0])
			}
		}
	}
	id := scan(0)
	h.Objects(id, 3)
	for n := range uint32(3) {
		object(id, n+1)
	}
	shown(0, 3)
	id = scan(1) // how many objects it has is unknown
	object(id, 1)
	object(id, 2)
	id = scan(2)
	h.Objects(id, 2)
	object(id, 1)
	shown(1, 2)
	shown(2, 1)        // the other one became a dead letter
	object(scan(1), 1) // late
	h.mu.Lock()
	h.streams["s"].current.last = time.Now().Add(-2 * restartTime)
	h.mu.Unlock()
	id = scan(0) // the recording is read once more
	h.Objects(id, 1)
	object(id, 1)
	shown(0, 1)
	id = scan(1)
	h.Objects(id, 1)
	object(id, 1)
	shown(1, 1)
}

// TestManyObjects: the number of objects of a scan is remembered however many scans without objects follow, and a scan
// with more objects than boxes is complete.
func TestManyObjects(t *testing.T) {
	h, address := serve(t)
	dial(t, address, all)
	greeted(t, h, 1)
	h.Objects(record.ID{Stream: "s", Seq: 1}, 2*maxBoxes)
	for seq := range uint64(maxScans) {
		h.Objects(record.ID{Stream: "s", Seq: 2 + seq}, 0)
	}
	for n := range uint32(maxBoxes) {
		h.Classified(&record.Classification{Stream: "s", Seq: 1, Object: n + 1, Box: &record.Box{}})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.streams["s"].objects) > 0 {
		t.Error("the scan is not complete")
	}
}

// TestPace: without acknowledgements, a client gets two frames of a stream. Then it gets the newest, which says how
// many were left out.
func TestPace(t *testing.T) {
	h, address := serve(t)
	c := dial(t, address, all)
	greeted(t, h, 1)
	for seq := range uint64(2) {
		report(h, "s", seq, 10)
		if _, f := next(t, c, frame.TypeFrame); f.Seq != seq || f.Skipped != 0 {
			t.Errorf("found %+v", f)
		}
	}
	for seq := range uint64(50) {
		report(h, "s", 2+seq, 10)
	}
	report(h, "other", 0, 10)
	if _, f := next(t, c, frame.TypeFrame); f.Stream != "other" { // streams do not hold each other up
		t.Errorf("found %+v", f)
	}
	say(t, c, `{"type":"ack","n":1}`)
	if _, f := next(t, c, frame.TypeFrame); f.Seq != 51 || f.Skipped != 49 || f.N != 4 {
		t.Errorf("found %+v, want the frame 51 with 49 left out", f)
	}
}

// TestAfterwards: a page that is opened when everything is over shows the last frame, although nobody watched.
func TestAfterwards(t *testing.T) {
	h, address := serve(t)
	report(h, "s", 1, 10) // the first item is taken at once: the pipeline may end soon
	report(h, "s", 2, 10) // nobody watches, so it is not taken
	c := dial(t, address, `{"type":"hello","streams":["s"]}`)
	if _, f := next(t, c, frame.TypeFrame); f.Seq != 1 || f.Sensor.Points != 1 { // points: at least 1
		t.Errorf("found %+v", f)
	}
	_ = c.CloseNow()
	again := dial(t, address, all) // a reconnection
	if _, f := next(t, again, frame.TypeFrame); f.Seq != 1 || f.N != 1 || f.Skipped != 0 {
		t.Errorf("found %+v", f)
	}
}

// TestBurst: the items after the newest frame, which no frame follows, are counted by the state of the pipeline.
func TestBurst(t *testing.T) {
	h, address := serve(t)
	c := dial(t, address, all)
	greeted(t, h, 1)
	report(h, "s", 0, 10)
	_, f := next(t, c, frame.TypeFrame)
	for seq := range uint64(5) {
		h.Classified(&record.Classification{Stream: "s", Seq: 1 + seq}) // volumes that were not taken
	}
	for {
		m, _ := next(t, c, typeRun)
		var run Run
		if err := json.Unmarshal(m.Header, &run); err != nil || len(run.Streams) != 1 {
			t.Fatalf("found %s, %v", m.Header, err)
		}
		if n := run.Streams[0].N; n == f.N+5 {
			return
		} else if n > f.N+5 {
			t.Fatalf("found number %d after frame %d, want %d", n, f.N, f.N+5)
		}
	}
}

// TestStreams: a client gets the streams that it asked for.
func TestStreams(t *testing.T) {
	h, address := serve(t)
	c := dial(t, address, `{"type":"hello","streams":["b"],"points":10,"rate":60}`)
	greeted(t, h, 1)
	report(h, "a", 0, 10)
	report(h, "b", 0, 10)
	if _, f := next(t, c, frame.TypeFrame); f.Stream != "b" {
		t.Errorf("found %+v", f)
	}
}

// TestNeverReads: a client that reads nothing does not hold up the pipeline or the others, and memory stays bounded.
func TestNeverReads(t *testing.T) {
	h, address := serve(t)
	dial(t, address, `{"type":"hello","streams":["*"],"points":1000000,"rate":60}`)
	c := dial(t, address, all)
	greeted(t, h, 2)
	for seq := range uint64(300) {
		for s := range 3 {
			report(h, fmt.Sprint("s", s), seq, 20_000)
		}
	}
	seen := map[string]bool{}
	for len(seen) < 3 {
		_, f := next(t, c, frame.TypeFrame)
		seen[f.Stream] = true
		say(t, c, fmt.Sprintf(`{"type":"ack","n":%d}`, f.N))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.clients {
		c.mu.Lock()
		if len(c.waiting) > 3 || len(c.flying) > 6 || len(c.control) > 1 {
			t.Errorf("found %d frames that wait, %d in flight and %d others", len(c.waiting), len(c.flying),
				len(c.control))
		}
		c.mu.Unlock()
	}
	if h.store.len() != 0 || h.store.size != 0 || len(h.store.order) > maxItems {
		t.Errorf("found %d items of %d bytes", h.store.len(), h.store.size)
	}
}

// TestStoreIsBounded: volumes that are never classified do not accumulate.
func TestStoreIsBounded(t *testing.T) {
	var s store
	now := time.Now()
	for i := range uint64(3 * maxItems) {
		s.add(&item{id: record.ID{Seq: i}, size: 1, at: now})
	}
	if s.len() != maxItems || s.size != maxItems {
		t.Errorf("found %d items", s.len())
	}
	if s.add(&item{id: record.ID{Stream: "x"}, size: 1, at: now}) {
		t.Error("an item was added to a full store")
	}
	if !s.add(&item{id: record.ID{Stream: "x"}, size: 1, at: now.Add(2 * maxAge)}) || s.len() != 1 || s.size != 1 {
		t.Errorf("found %d items of %d bytes after a while", s.len(), s.size)
	}
	if s.add(&item{id: record.ID{Stream: "y"}, size: maxStored, at: now.Add(2 * maxAge)}) {
		t.Error("an item was added that does not fit")
	}
	s.take(record.ID{Stream: "x"})
	if !s.add(&item{id: record.ID{Stream: "y"}, size: 2 * maxStored, at: now.Add(2 * maxAge)}) {
		t.Error("a large item was not added to an empty store")
	}
}

// TestScansOfObjects: the samples of scans whose objects became volumes make room for those of later scans, which are
// never classified themselves.
func TestScansOfObjects(t *testing.T) {
	var s store
	now := time.Now()
	for i := range uint64(1000) {
		scan := &item{id: record.ID{Stream: "s", Seq: i}, sample: &ingest.Sample{}, size: maxStored / 4, at: now}
		s.passed("s", i)
		if !s.add(scan) {
			t.Fatalf("scan %d was refused", i)
		}
		object := &item{id: record.ID{Stream: "s", Seq: i, Object: 1}, volume: &voxelize.Volume{}, size: 1, at: now}
		if !s.add(object) || s.get(scan.id) == nil || s.take(object.id) != object {
			t.Fatalf("scan %d: its object was lost", i)
		}
	}
	s.add(&item{id: record.ID{Stream: "s", Seq: 5}, volume: &voxelize.Volume{}, size: 1, at: now})
	s.passed("s", 2000)
	if s.len() != 1 {
		t.Errorf("found %d items, want 1: the unclassified volume", s.len())
	}
}

// TestConnections: connections that come and go leave nothing behind.
func TestConnections(t *testing.T) {
	h, address := serve(t)
	for i := range 100 {
		c, _, err := websocket.Dial(t.Context(), address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if i%3 != 0 {
			say(t, c, all)
		}
		if i%2 == 0 {
			_ = c.CloseNow()
		} else if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Error(err)
		}
	}
	for h.Watched() {
		time.Sleep(time.Millisecond)
	}
}

// TestRefused: pages of other origins and clients that send something else are refused, and so is one too many.
func TestRefused(t *testing.T) {
	h, address := serve(t)
	_, res, err := websocket.Dial(t.Context(), address, &websocket.DialOptions{
		HTTPHeader: http.Header{"Origin": {"https://elsewhere.example"}},
	})
	if err == nil || res.StatusCode != http.StatusForbidden {
		t.Errorf("another origin: found %v", err)
	}
	for _, bad := range []string{"hello", strings.Repeat(" ", maxMessage) + all} {
		c := dial(t, address, bad)
		for {
			if _, _, err = c.Read(t.Context()); err != nil {
				break
			}
		}
	}
	for h.Watched() {
		time.Sleep(time.Millisecond)
	}
	for range maxClients {
		dial(t, address, all)
	}
	if _, res, err := websocket.Dial(t.Context(), address, nil); err == nil ||
		res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one client too many: found %v", err)
	}
	h.Close()
	if _, _, err := websocket.Dial(t.Context(), address, nil); err == nil {
		t.Error("found a connection to a closed hub")
	}
}

// TestNil: without a listener, everything does nothing.
func TestNil(*testing.T) {
	var h *Hub
	h.Sample(&ingest.Sample{})
	h.Volume(&voxelize.Volume{})
	h.Classified(&record.Classification{})
	h.Push(&Run{}, nil)
	h.Show("live")
	h.Sinks(nil)
	h.End()
	h.Describe("mode", nil)
	h.Close()
}

// BenchmarkUnwatched measures what a pipeline pays per item while nobody watches.
func BenchmarkUnwatched(b *testing.B) {
	h := New(slog.New(slog.DiscardHandler))
	defer h.Close()
	s, v := &ingest.Sample{}, &voxelize.Volume{}
	c := &record.Classification{Stream: "s", Name: "three", Class: 3}
	for b.Loop() {
		h.Sample(s)
		h.Volume(v)
		h.Classified(c)
	}
}
