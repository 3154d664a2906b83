// Package live shows browsers what a running pipeline does. The pipeline reports samples, volumes and classifications
// to a [Hub], which joins them and sends frames (package frame) to its clients over WebSocket, at the pace at which
// each client draws them.
package live

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/frame"
	"github.com/voxelstream/voxelstream/voxelize"
)

// Limits of a hub.
const (
	// maxStored limits the samples and volumes that wait for their classification, in bytes.
	maxStored = 64 << 20
	// maxAge is how long they wait: a volume that became a dead letter is never classified.
	maxAge = time.Minute
	// maxStreams limits the streams that are remembered.
	maxStreams = 1024
	// maxKept is the number of streams whose newest frame is kept for those who connect later, and maxKeptBytes the
	// size of its sample and volume.
	maxKept      = 8
	maxKeptBytes = 4 << 20
	// maxRate limits the frames of a stream per second.
	maxRate = 60
	// idleEvery is how often an item is taken while nobody watches, so that the first view is not empty.
	idleEvery = 500 * time.Millisecond
	// scanTime is how long a scan waits for classifications of more objects: some may have become dead letters.
	scanTime = 200 * time.Millisecond
	// restartTime is how long the objects of a stream may only be of earlier scans. After that, the stream has begun anew.
	restartTime = time.Second
	// maxScans limits the scans of a stream whose numbers of objects are remembered.
	maxScans = 256
	// sampledFor is how long volumes without a sample are left out after one with a sample: while this process reads
	// the stream, what the sensor saw should not flicker.
	sampledFor = 500 * time.Millisecond
)

// Hub receives what a pipeline does and sends it to its clients. All methods may be called on a nil Hub, which does
// nothing, and from any goroutine.
type Hub struct {
	// Stats counts what the pipeline does.
	Stats  *Stats
	log    *slog.Logger
	about  about
	active atomic.Bool // someone watches, an item is wanted, or items wait for their classification
	stop   chan struct{}
	done   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	wanted  bool // an item is wanted while nobody watches
	clients map[*client]struct{}
	gap     time.Duration // shortest time between two items of a stream
	streams map[string]*stream
	store   store
	kept    []*item // the newest of some streams, oldest first
	names   []string
}

// stream is what the hub remembers of a stream.
type stream struct {
	classified uint64    // items, and scans whose objects are, while someone watches or an item waits
	sample     time.Time // when the last sample was taken
	volume     time.Time // when the last volume was taken, and the last one with a sample
	sampled    time.Time
	used       time.Time
	scan       uint64 // the one whose object became a volume last
	took       bool   // a volume of an object of that scan was taken
	// objects are the numbers of objects of the scans that are not complete, by the numbers of the scans.
	objects map[uint64]int
	current *scan // whose objects are being classified; nil if there is none
}

// scan is a scan whose objects are being classified. It is shown when all of them are, when the next scan begins, or
// after scanTime.
type scan struct {
	seq   uint64
	boxes []frame.Box
	shown *item // the first object whose volume was taken; nil if none was
	last  time.Time
}

// New returns a hub. Close must be called.
func New(log *slog.Logger) *Hub {
	h := &Hub{
		Stats: newStats(), log: log, stop: make(chan struct{}), clients: map[*client]struct{}{},
		streams: map[string]*stream{}, wanted: true,
	}
	h.wake()
	h.about.set("streams", func() any { return h.streamNames() })
	h.done.Go(h.tick)
	return h
}

// Close disconnects all clients and waits for them.
func (h *Hub) Close() {
	if h == nil {
		return
	}
	h.mu.Lock()
	closed := h.closed
	h.closed = true
	h.mu.Unlock()
	if !closed {
		close(h.stop)
	}
	h.done.Wait()
}

// tick measures rates each second and pushes them.
func (h *Hub) tick() {
	idle, second := time.NewTicker(idleEvery), time.NewTicker(time.Second)
	defer idle.Stop()
	defer second.Stop()
	for {
		select {
		case <-h.stop:
			return
		case <-idle.C:
			h.mu.Lock()
			h.wanted = true
			h.wake()
			h.showLate(time.Now())
			h.mu.Unlock()
		case now := <-second.C:
			h.Stats.measure(now)
			if h.Watched() {
				h.Push(h.run(), nil)
			}
		}
	}
}

// run returns the state of the pipeline.
func (h *Hub) run() *Run {
	r := h.Stats.Run()
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range r.Streams {
		if st := h.streams[r.Streams[i].Stream]; st != nil {
			r.Streams[i].N = st.classified
		}
	}
	return r
}

// Sinks sets the parts that are sinks, which are shown as stages.
func (h *Hub) Sinks(parts []string) {
	if h != nil {
		h.Stats.sinksAre(parts)
	}
}

// Classes sets the names of the model's classes, for the figures and for frames that are made from now on.
func (h *Hub) Classes(names []string) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names = names
	h.Stats.classesAre(names)
}

// End tells the page that all inputs have ended and everything is classified.
func (h *Hub) End() {
	if h != nil {
		h.Stats.end()
	}
}

// Watched reports whether there are clients.
func (h *Hub) Watched() bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.clients) > 0
}

// wake updates active. h.mu must be held.
func (h *Hub) wake() { h.active.Store(len(h.clients) > 0 || h.wanted || h.store.len() > 0) }

// Push sends a frame to all clients. parts may be nil. header must encode as a JSON object with the member "type". If a
// client is slow, a frame replaces the one of the same type that waits, so a frame must hold the whole state.
func (h *Hub) Push(header Typed, parts *frame.Payload) {
	if h == nil {
		return
	}
	b, err := frame.Encode(header, parts)
	if err != nil {
		h.log.Error("the page gets no frame", "type", header.FrameType(), "error", err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.clients {
		c.push(header.FrameType(), b)
	}
}

// Typed is the header of a frame. FrameType returns its member "type".
type Typed interface{ FrameType() string }

// Sample reports what a sensor saw, before it is voxelized. The data must not change afterwards.
func (h *Hub) Sample(s *ingest.Sample) {
	if h == nil || !h.active.Load() {
		return
	}
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	st := h.stream(s.Stream, now)
	if !h.due(st.sample, now) {
		return
	}
	if h.store.add(&item{id: s.ID, sample: sampleOf(s), size: sizeOfSample(s), at: now}) {
		st.sample = now
		h.wanted = false
	}
	h.wake()
}

// due reports whether an item of a stream may be taken, if the last one was taken at a certain time. h.mu must be held.
func (h *Hub) due(last, now time.Time) bool {
	if len(h.clients) == 0 {
		return h.wanted
	}
	return now.Sub(last) >= h.gap
}

// Volume reports a volume that will be classified. It is copied if it is needed.
func (h *Hub) Volume(v *voxelize.Volume) {
	if h == nil || !h.active.Load() {
		return
	}
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	st := h.stream(v.Stream, now)
	if v.Object != 0 && v.Seq != st.scan {
		st.scan, st.took = v.Seq, false
		h.store.passed(v.Stream, v.Seq)
	}
	if x := h.store.get(v.ID); x != nil {
		if x.volume == nil {
			h.store.grow(x, sizeOfVolume(v))
			x.volume = volumeOf(v)
		}
		st.volume, st.sampled = now, now
		return
	}
	x := &item{id: v.ID, size: sizeOfVolume(v), at: now}
	if v.Object != 0 {
		if v.Seq == st.scan && st.took {
			return // one volume is shown of each scan
		}
		if scan := h.store.get(record.ID{Stream: v.Stream, Seq: v.Seq}); scan != nil {
			x.sample, st.sampled = scan.sample, now
		}
	}
	if x.sample == nil && (!h.due(st.volume, now) || now.Sub(st.sampled) < sampledFor) {
		return
	}
	if h.store.fits(x) {
		x.volume = volumeOf(v)
		h.store.add(x)
		st.volume, st.took = now, v.Object != 0 && v.Seq == st.scan
		h.wanted = false
	}
	h.wake()
}

// Classified reports a classification. It is counted, and shown if its volume was taken.
func (h *Hub) Classified(c *record.Classification) {
	if h == nil {
		return
	}
	h.Stats.classified(c)
	if !h.active.Load() {
		return
	}
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	st := h.stream(c.Stream, now)
	x := h.store.take(c.ID())
	h.wake()
	if x != nil && x.volume == nil {
		x = nil
	}
	box, object := frame.BoxOf(c)
	cur := st.current
	begins := object && (cur == nil || c.Seq > cur.seq || c.Seq < cur.seq && now.Sub(cur.last) > restartTime)
	if begins {
		h.showScan(st)
		st.current = &scan{seq: c.Seq}
	}
	if begins || !object {
		st.classified++
	}
	if x != nil {
		x.classification, x.number, x.names = *c, st.classified, h.names
	}
	if !object {
		h.show(x)
		return
	}
	if st.current.seq > c.Seq {
		return // an object of an earlier scan, which has been shown
	}
	st.current.add(box, x, now)
	if n := st.objects[c.Seq]; n > 0 && len(st.current.boxes) >= min(n, maxBoxes) {
		h.showScan(st)
	}
}

// Objects reports the number of objects of a scan, before their classifications.
func (h *Hub) Objects(id record.ID, n int) {
	if h == nil || n == 0 || !h.active.Load() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	st := h.stream(id.Stream, time.Now())
	if st.objects == nil || len(st.objects) >= maxScans {
		st.objects = map[uint64]int{}
	}
	st.objects[id.Seq] = n
}

// maxBoxes limits the boxes of a scan.
const maxBoxes = 1000

// add adds a classified object. x is its item, or nil if its volume was not taken.
func (s *scan) add(b frame.Box, x *item, now time.Time) {
	s.last = now
	if len(s.boxes) < maxBoxes {
		s.boxes = append(s.boxes, b)
	}
	if s.shown == nil {
		s.shown = x
	}
}

// showScan shows the current scan of a stream, if there is one, with the boxes of its objects. h.mu must be held.
func (h *Hub) showScan(st *stream) {
	s := st.current
	if s == nil {
		return
	}
	delete(st.objects, s.seq)
	if s.shown != nil {
		s.shown.boxes = slices.Clip(s.boxes)
		h.show(s.shown)
		s.shown = nil
	}
}

// showLate shows the scans whose objects have not all been classified, although no more came for a while. h.mu must be
// held.
func (h *Hub) showLate(now time.Time) {
	for _, st := range h.streams {
		if st.current != nil && now.Sub(st.current.last) > scanTime {
			h.showScan(st)
		}
	}
}

// show offers an item to the clients, unless it is nil. h.mu must be held.
func (h *Hub) show(x *item) {
	if x == nil {
		return
	}
	h.keep(x)
	for client := range h.clients {
		client.offer(x)
	}
}

// keep keeps the newest item of a stream for those who connect later. h.mu must be held.
func (h *Hub) keep(x *item) {
	if x.size > maxKeptBytes {
		x = &item{
			id: x.id, volume: x.volume, classification: x.classification, boxes: x.boxes, number: x.number,
			names: x.names,
		}
	}
	h.kept = slices.DeleteFunc(h.kept, func(y *item) bool { return y.id.Stream == x.id.Stream })
	if h.kept = append(h.kept, x); len(h.kept) > maxKept {
		h.kept = slices.Delete(h.kept, 0, 1)
	}
}

// stream returns what is remembered of a stream. h.mu must be held.
func (h *Hub) stream(name string, now time.Time) *stream {
	st := h.streams[name]
	if st == nil {
		if len(h.streams) >= maxStreams {
			h.forget()
		}
		st = &stream{}
		h.streams[name] = st
	}
	st.used = now
	return st
}

// forget forgets half of the streams, those that were not used for the longest time.
func (h *Hub) forget() {
	var times []time.Time
	for _, st := range h.streams {
		times = append(times, st.used)
	}
	slices.SortFunc(times, time.Time.Compare)
	limit := times[len(times)/2]
	for name, st := range h.streams {
		if !st.used.After(limit) {
			delete(h.streams, name)
		}
	}
}

// setGap sets the shortest time between two items of a stream: half of what the fastest client takes, so that each of
// its frames is fresh. h.mu must be held.
func (h *Hub) setGap() {
	rate := 1.0
	for c := range h.clients {
		rate = max(rate, c.rate())
	}
	h.gap = time.Duration(float64(time.Second) / rate / 2)
}

func (h *Hub) streamNames() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	names := []string{}
	for name := range h.streams {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
