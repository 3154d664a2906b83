package history

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/frame"
)

// gappy is a Log in which only some offsets hold a message.
type gappy struct {
	end  int64
	held [][]int64 // offsets by partition
}

func (g *gappy) Bounds(context.Context, string) (from, to []int64, err error) {
	from, to = make([]int64, len(g.held)), make([]int64, len(g.held))
	for p := range to {
		to[p] = g.end
	}
	return from, to, nil
}

// Fetch returns three messages at most.
func (g *gappy) Fetch(_ context.Context, topic string, p int, offset int64, _ int) (ms []transport.Message, err error) {
	for _, o := range g.held[p] {
		if o >= offset && len(ms) < 3 {
			value, err := json.Marshal(&record.Classification{EventID: fmt.Sprint("s/", o, "@m"), Stream: "s", Seq: uint64(o)})
			if err != nil {
				return nil, err
			}
			ms = append(ms, transport.Message{Topic: topic, Partition: p, Offset: o, Value: value})
		}
	}
	return ms, nil
}

func (g *gappy) Between(context.Context, string, int, int64, int64) iter.Seq2[transport.Message, error] {
	return func(func(transport.Message, error) bool) {}
}

func (g *gappy) OffsetAt(context.Context, string, int, time.Time) (int64, error) { return 0, nil }

// TestGaps: offsets without a classification lead to the next one in the wanted direction, else to one in the other
// direction, and are no part of the timeline at its ends.
func TestGaps(t *testing.T) {
	log := &gappy{end: 100, held: [][]int64{{3, 4, 5, 40, 41, 90}, {}, {50}}}
	ask := func(h *History, pattern, query string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.Handlers()[pattern].ServeHTTP(w, httptest.NewRequest("GET", "/?"+query, nil))
		return w
	}
	h := New(log, "volumes", "classifications", inside, func() []string { return nil })
	var timeline struct{ Partitions []Partition }
	if err := json.Unmarshal(ask(h, "GET /api/timeline", "").Body.Bytes(), &timeline); err != nil {
		t.Fatal(err)
	}
	want := []Partition{{Partition: 0, First: 3, Next: 91}, {Partition: 1}, {Partition: 2, First: 50, Next: 51}}
	if !slices.Equal(timeline.Partitions, want) {
		t.Errorf("found the timeline %+v, want %+v", timeline.Partitions, want)
	}
	for p, held := range log.held {
		for offset := range log.end {
			for _, direction := range []string{"next", "previous"} {
				i, found := slices.BinarySearch(held, offset)
				if !found && direction == "previous" && i > 0 || i == len(held) {
					i--
				}
				// A new History has kept nothing.
				w := ask(New(log, "volumes", "classifications", inside, func() []string { return nil }), "GET /api/frame",
					fmt.Sprintf("partition=%d&offset=%d&direction=%s", p, offset, direction))
				if len(held) == 0 {
					if w.Code != 404 {
						t.Fatalf("partition %d, offset %d: found status %d, want 404", p, offset, w.Code)
					}
					continue
				}
				m, err := frame.Decode(w.Body.Bytes())
				var header frame.Header
				if err == nil {
					err = json.Unmarshal(m.Header, &header)
				}
				if err != nil {
					t.Fatalf("partition %d, offset %d: %d %s: %v", p, offset, w.Code, w.Body, err)
				}
				if header.Offset.Offset != held[i] {
					t.Fatalf("partition %d, %s from offset %d: found offset %d, want %d", p, direction, offset,
						header.Offset.Offset, held[i])
				}
			}
		}
	}
	if w := ask(h, "GET /api/frame", "partition=0&offset=3&direction=up"); w.Code != 400 {
		t.Errorf("direction=up: found status %d, want 400", w.Code)
	}
}

// inside returns the values of messages that have them.
func inside(_ context.Context, m *transport.Message) ([]byte, func(), error) {
	return m.Value, func() {}, nil
}
