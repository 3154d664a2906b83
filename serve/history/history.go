// Package history shows what the topic of classifications still holds: each classification with the volume that it is
// about. Classifications are found by their offsets.
package history

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/frame"
	"github.com/voxelstream/voxelstream/serve/reply"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/volarrow"
)

// Log reads topics. A *kafka.Client of pipeline/transport/kafka is one.
type Log interface {
	Bounds(ctx context.Context, topic string) (from, to []int64, err error)
	Fetch(ctx context.Context, topic string, partition int, offset int64, size int) ([]transport.Message, error)
	Between(ctx context.Context, topic string, partition int, from, to int64) iter.Seq2[transport.Message, error]
	OffsetAt(ctx context.Context, topic string, partition int, t time.Time) (int64, error)
}

// Value returns the value of a message, which may be an object outside the topic. release must be called when the value
// is no longer in use, unless there is an error.
type Value func(ctx context.Context, m *transport.Message) (value []byte, release func(), err error)

// Limits of requests.
const (
	// answerTime limits a request.
	answerTime = 20 * time.Second
	// maxRequests limits the requests at work.
	maxRequests = 8
	// fetchSize is the size of what is read around a message in bytes; neighbours are probably asked for next.
	fetchSize = 1 << 20
	// maxObject limits the volumes that are shown, in bytes, so that a frame can hold one.
	maxObject = frame.MaxSize - 1<<20
	// maxCached limits the messages that are kept, in bytes.
	maxCached = 32 << 20
)

// History answers requests about a topic of classifications and the topic of their volumes.
type History struct {
	log                      Log
	volumes, classifications string
	value                    Value
	names                    func() []string
	working                  chan struct{}
	index                    index

	mu     sync.Mutex
	cached []run // most recently used last
	size   int64
}

// run is a sequence of messages that were read together.
type run struct {
	topic     string
	partition int
	messages  []transport.Message
	size      int64
}

// New returns a History. value returns the values of messages of volumes. names returns those of the model's classes, or
// nil.
func New(log Log, volumes, classifications string, value Value, names func() []string) *History {
	return &History{
		log: log, volumes: volumes, classifications: classifications, value: value, names: names,
		working: make(chan struct{}, maxRequests),
	}
}

// Handlers returns the handlers by their patterns.
func (h *History) Handlers() map[string]http.Handler {
	return map[string]http.Handler{
		"GET /api/timeline": h.limited(h.timeline),
		"GET /api/frame":    h.limited(h.frame),
		"GET /api/find":     h.limited(h.find),
	}
}

func bad(format string, args ...any) error {
	return reply.Errorf(http.StatusBadRequest, format, args...)
}

func missing(format string, args ...any) error {
	return reply.Errorf(http.StatusNotFound, format, args...)
}

// limited is a handler with a time limit. f returns the body: a frame, or a value that is sent as JSON.
func (h *History) limited(f func(r *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), answerTime)
		defer cancel()
		select {
		case h.working <- struct{}{}:
			defer func() { <-h.working }()
		case <-ctx.Done():
			return
		}
		body, err := f(r.WithContext(ctx))
		if err != nil {
			if _, ok := errors.AsType[*reply.Error](err); !ok && ctx.Err() != nil {
				err = &reply.Error{Status: http.StatusGatewayTimeout, Err: err}
			}
			reply.Fail(w, err)
			return
		}
		if b, ok := body.([]byte); ok {
			w.Header().Set("Content-Type", frame.ContentType)
			w.Header().Set("Cache-Control", "no-store")
			_, _ = w.Write(b) // the client may be gone
			return
		}
		reply.JSON(w, http.StatusOK, body)
	})
}

// Partition is a partition of the timeline.
type Partition struct {
	Partition int `json:"partition"`
	// First is the offset of the first classification, and Next the one after the last classification. They are equal if
	// there is none. Not every offset between them holds one: producers leave marks in the topic.
	First     int64     `json:"first"`
	Next      int64     `json:"next"`
	FirstTime time.Time `json:"first_time,omitzero"`
	LastTime  time.Time `json:"last_time,omitzero"`
}

// timeline answers with the partitions. Times are those at which classifications were sent.
func (h *History) timeline(r *http.Request) (any, error) {
	from, to, err := h.log.Bounds(r.Context(), h.classifications)
	if err != nil {
		return nil, err
	}
	out, failed := make([]Partition, len(from)), make([]error, len(from))
	var wait sync.WaitGroup
	for p := range out {
		out[p] = Partition{Partition: p, First: from[p], Next: from[p]}
		if from[p] == to[p] {
			continue
		}
		wait.Go(func() {
			first, err := h.classification(r.Context(), p, from[p], 1, from[p], to[p])
			if err != nil {
				failed[p] = err
				return
			}
			last, err := h.classification(r.Context(), p, to[p]-1, -1, from[p], to[p])
			if err != nil {
				failed[p] = err
				return
			}
			out[p].First, out[p].Next = first.Offset, last.Offset+1
			out[p].FirstTime, out[p].LastTime = first.Appended.UTC(), last.Appended.UTC()
		})
	}
	wait.Wait()
	for _, err := range failed {
		if e, ok := errors.AsType[*reply.Error](err); err != nil && !(ok && e.Status == http.StatusNotFound) {
			return nil, err
		}
	}
	return map[string]any{"topic": h.classifications, "partitions": out}, nil
}

// message returns a message. Its neighbours are kept for later requests.
func (h *History) message(ctx context.Context, topic string, partition int, offset int64) (transport.Message, error) {
	if m, ok := h.kept(topic, partition, offset); ok {
		return m, nil
	}
	ms, err := h.fetch(ctx, topic, partition, offset)
	if err != nil {
		return transport.Message{}, err
	}
	if len(ms) > 0 && ms[0].Offset == offset {
		return ms[0], nil
	}
	return transport.Message{}, missing("%s/%d: offset %d holds no message", topic, partition, offset)
}

// classification returns the classification at an offset. If there is none, because the offset holds a control
// record, it returns the next one in the direction of step (1 or -1), or else the next one in the other direction.
// All are in the range of offsets from (included) to (not included).
func (h *History) classification(ctx context.Context, p int, offset, step, from, to int64) (transport.Message, error) {
	if m, ok := h.kept(h.classifications, p, offset); ok {
		return m, nil
	}
	before, after, err := h.around(ctx, p, offset, offset, to)
	switch {
	case err != nil:
		return transport.Message{}, err
	case after != nil && (after.Offset == offset || step > 0):
		return *after, nil
	}
	for back := int64(1); before == nil && offset-back/4 > from; back *= 4 {
		if before, _, err = h.around(ctx, p, max(from, offset-back), offset, to); err != nil {
			return transport.Message{}, err
		}
	}
	switch {
	case before != nil:
		return *before, nil
	case after != nil:
		return *after, nil
	}
	return transport.Message{}, missing("%s/%d: holds no classification", h.classifications, p)
}

// around reads classifications from an offset on. It returns the last one before another offset and the first one that
// is not, if that is before the offset to.
func (h *History) around(ctx context.Context, p int, from, offset, to int64) (before, after *transport.Message, err error) {
	for from <= offset {
		ms, err := h.fetch(ctx, h.classifications, p, from)
		if err != nil || len(ms) == 0 {
			return before, nil, err
		}
		i, _ := slices.BinarySearchFunc(ms, offset, byOffset)
		if i > 0 {
			before = &ms[i-1]
		}
		if i < len(ms) {
			if ms[i].Offset < to {
				after = &ms[i]
			}
			return before, after, nil
		}
		from = ms[len(ms)-1].Offset + 1
	}
	return before, nil, nil
}

// byOffset compares a message with an offset.
func byOffset(m transport.Message, offset int64) int { return cmp.Compare(m.Offset, offset) }

// fetch reads messages that are stored together, from an offset on, and keeps them.
func (h *History) fetch(ctx context.Context, topic string, partition int, offset int64) ([]transport.Message, error) {
	ms, err := h.log.Fetch(ctx, topic, partition, offset, fetchSize)
	if err != nil {
		return nil, err
	}
	x := run{topic: topic, partition: partition, messages: ms}
	for i := range ms {
		x.size += ms[i].Size()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cached, h.size = append(h.cached, x), h.size+x.size; h.size > maxCached {
		n := 0
		for ; n < len(h.cached)-1 && h.size > maxCached; n++ {
			h.size -= h.cached[n].size
		}
		h.cached = slices.Delete(h.cached, 0, n)
	}
	return ms, nil
}

// kept looks for a message among those that are kept.
func (h *History) kept(topic string, partition int, offset int64) (transport.Message, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, x := range slices.Backward(h.cached) {
		if x.topic != topic || x.partition != partition {
			continue
		}
		j, found := slices.BinarySearchFunc(x.messages, offset, byOffset)
		if found {
			h.cached = append(slices.Delete(h.cached, i, i+1), x)
			return x.messages[j], true
		}
	}
	return transport.Message{}, false
}

// position parses the parameters partition and offset, and checks them against what the topic holds.
func (h *History) position(r *http.Request) (p int, offset int64, from, to []int64, err error) {
	q := r.URL.Query()
	p, err = strconv.Atoi(q.Get("partition"))
	if err == nil {
		offset, err = strconv.ParseInt(q.Get("offset"), 10, 64)
	}
	if err != nil {
		return 0, 0, nil, nil, bad("found partition=%.32q and offset=%.32q, want numbers", q.Get("partition"),
			q.Get("offset"))
	}
	if from, to, err = h.log.Bounds(r.Context(), h.classifications); err != nil {
		return 0, 0, nil, nil, err
	}
	if p < 0 || p >= len(from) {
		return 0, 0, nil, nil, missing("found partition %d, want 0 to %d", p, len(from)-1)
	}
	return p, offset, from, to, nil
}

// stepOf parses the parameter direction: 1 for the next offset, which is the default, and -1 for the previous one.
func stepOf(r *http.Request) (int64, error) {
	switch d := r.URL.Query().Get("direction"); d {
	case "", "next":
		return 1, nil
	case "previous":
		return -1, nil
	default:
		return 0, bad("direction: found %.32q, want next or previous", d)
	}
}

// frame answers with the frame of the classification at an offset. Where there is none, it is that of the next one, or of
// the previous one if the direction is that.
func (h *History) frame(r *http.Request) (any, error) {
	p, offset, from, to, err := h.position(r)
	if err != nil {
		return nil, err
	}
	if offset < from[p] || offset >= to[p] {
		return nil, missing("%s/%d: found offset %d, want %d to %d, which the topic holds", h.classifications, p,
			offset,
			from[p], to[p]-1)
	}
	step, err := stepOf(r)
	if err != nil {
		return nil, err
	}
	m, err := h.classification(r.Context(), p, offset, step, from[p], to[p])
	if err != nil {
		return nil, err
	}
	c, err := classificationOf(m)
	if err != nil {
		return nil, err
	}
	header, payload := frame.Of(c.ID()), &frame.Payload{}
	header.Offset = &frame.Offset{Topic: h.classifications, Partition: p, Offset: m.Offset}
	header.Classification, header.Label, header.Time, header.ClassNames = c, c.Label, c.Time, h.names()
	if box, ok := frame.BoxOf(c); ok {
		header.Boxes = []frame.Box{box}
	}
	v, release, err := h.volume(r.Context(), m, c)
	if release != nil {
		defer release()
	}
	if err != nil {
		if r.Context().Err() != nil {
			return nil, err
		}
		header.Missing = err.Error()
	} else {
		payload.AddVolume(&header, v)
	}
	return frame.Encode(&header, payload)
}

// classificationOf decodes a message.
func classificationOf(m transport.Message) (*record.Classification, error) {
	c := &record.Classification{}
	if err := json.Unmarshal(m.Value, c); err != nil {
		return nil, reply.Errorf(http.StatusUnprocessableEntity,
			"%s/%d: offset %d: found no classification in JSON: %w",
			m.Topic, m.Partition, m.Offset, err)
	}
	return c, nil
}

// volume returns the volume of a classification. The error says why there is none. release, unless it is nil, must be
// called when the volume is no longer in use.
func (h *History) volume(ctx context.Context, m transport.Message, c *record.Classification,
) (v *voxelize.Volume, release func(), err error) {
	text, ok := m.Header(transport.HeaderVolume)
	if !ok {
		return nil, nil, errors.New("the classification does not say where its volume is")
	}
	at, err := record.ParseOrigin(text)
	if err != nil {
		return nil, nil, err
	}
	from, to, err := h.log.Bounds(ctx, h.volumes)
	if err != nil {
		return nil, nil, err
	}
	if at.Partition >= len(from) || at.Offset < from[at.Partition] || at.Offset >= to[at.Partition] {
		return nil, nil, errors.New("the topic of volumes no longer holds the volume")
	}
	vm, err := h.message(ctx, h.volumes, at.Partition, at.Offset)
	if err != nil {
		return nil, nil, err
	}
	if r, _ := vm.Reference(); r != nil && r.Size > maxObject {
		return nil, nil, fmt.Errorf("the volume is too large to be shown: found %d bytes, want at most %d", r.Size, maxObject)
	}
	value, release, err := h.value(ctx, &vm)
	if err != nil {
		return nil, nil, err
	}
	batch, err := volarrow.Decode(value, string(vm.Key))
	if err != nil {
		return nil, release, err
	}
	i := slices.IndexFunc(batch.Volumes, func(v voxelize.Volume) bool { return v.ID == c.ID() })
	if i < 0 {
		return nil, release, fmt.Errorf("%s/%d: offset %d holds other volumes", h.volumes, at.Partition, at.Offset)
	}
	return &batch.Volumes[i], release, nil
}

// Found is the answer of /api/find.
type Found struct {
	Partition int `json:"partition"`
	// Offset is nil if nothing matches, or if time ran out at the offset Until.
	Offset   *int64 `json:"offset"`
	Until    int64  `json:"until"`
	Complete bool   `json:"complete"`
}

// find answers with the next or the previous classification that matches. The time moves the position first.
func (h *History) find(r *http.Request) (any, error) {
	p, offset, from, to, err := h.position(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	match, err := matcher(q.Get("where"), q.Get("class"), q.Get("below"))
	if err != nil {
		return nil, err
	}
	step, err := stepOf(r)
	if err != nil {
		return nil, err
	}
	offset += step
	if text := q.Get("time"); text != "" {
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return nil, bad("time: found %.64q, want a time such as 2026-11-29T12:00:00Z", text)
		}
		if offset, err = h.log.OffsetAt(r.Context(), h.classifications, p, t); err != nil {
			return nil, err
		}
		if step < 0 {
			offset--
		}
		offset = min(offset, to[p]-1)
	}
	if step > 0 {
		offset = max(offset, from[p])
	} else {
		offset = min(offset, to[p]-1)
	}
	out := &Found{Partition: p}
	found, until, err := h.index.search(r.Context(), h.reader(p), search{
		partition: p, at: offset, step: step, from: from[p], to: to[p], match: match,
	})
	if err != nil && r.Context().Err() == nil {
		return nil, err
	}
	out.Until, out.Complete = until, err == nil
	if found {
		out.Offset = &until
	}
	return out, nil
}

// reader returns what the index reads a partition with.
func (h *History) reader(p int) func(ctx context.Context, from, to int64) iter.Seq2[transport.Message, error] {
	return func(ctx context.Context, from, to int64) iter.Seq2[transport.Message, error] {
		return h.log.Between(ctx, h.classifications, p, from, to)
	}
}

// matcher returns the condition of a search.
func matcher(where, class, below string) (func(entry) bool, error) {
	switch where {
	case "":
		return func(entry) bool { return true }, nil
	case "error":
		return entry.wrong, nil
	case "unfamiliar":
		return entry.unfamiliar, nil
	case "low":
		limit := .5
		if below != "" {
			var err error
			if limit, err = strconv.ParseFloat(below, 64); err != nil || !(limit >= 0 && limit <= 1) {
				return nil, bad("below: found %.32q, want a number from 0 to 1", below)
			}
		}
		return func(e entry) bool { return e.score() < limit }, nil
	case "class":
		k, err := strconv.Atoi(class)
		if err != nil || k < 0 || k > maxClass {
			return nil, bad("class: found %.32q, want a number from 0 to %d", class, maxClass)
		}
		return func(e entry) bool { return e.class() == k }, nil
	}
	return nil, bad("where: found %.32q, want %s", where,
		strings.Join([]string{"error", "low", "class", "unfamiliar"}, ", "))
}
