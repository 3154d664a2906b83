package history

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/frame"
	"github.com/voxelstream/voxelstream/voxelize"
	"github.com/voxelstream/voxelstream/voxelize/volarrow"
)

// pair is a Log with one classification and the message of its volume.
type pair struct{ classification, volume transport.Message }

func (pair) Bounds(context.Context, string) (from, to []int64, err error) {
	return []int64{0}, []int64{1}, nil
}

func (p pair) Fetch(_ context.Context, topic string, _ int, _ int64, _ int) ([]transport.Message, error) {
	if topic == "volumes" {
		return []transport.Message{p.volume}, nil
	}
	return []transport.Message{p.classification}, nil
}

func (pair) Between(context.Context, string, int, int64, int64) iter.Seq2[transport.Message, error] {
	return func(func(transport.Message, error) bool) {}
}

func (pair) OffsetAt(context.Context, string, int, time.Time) (int64, error) { return 0, nil }

// TestVolumesOutside: a volume that is an object outside the topic is shown, and its memory is released once, whatever
// the object holds. One that no frame can hold is not read.
func TestVolumesOutside(t *testing.T) {
	v := voxelize.Volume{
		ID: record.ID{Stream: "s"}, Label: -1, Dims: [3]int{1, 1, 2}, Content: voxelize.PaletteContent("Oranges"),
		Index: []uint8{1, 2},
	}
	right, err := volarrow.Encode(nil, []voxelize.Volume{v})
	if err != nil {
		t.Fatal(err)
	}
	v.Seq = 1
	other, err := volarrow.Encode(nil, []voxelize.Volume{v})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(&record.Classification{EventID: "s/0@m", Stream: "s"})
	if err != nil {
		t.Fatal(err)
	}
	log := pair{transport.New("s", "s/0@m", transport.ContentJSON, text, transport.Header{
		Key: transport.HeaderVolume, Value: []byte("0/0"),
	}), transport.Message{}}
	for name, c := range map[string]struct {
		size  int64
		value []byte
		err   error
		reads int
		want  string // what is missing
	}{
		"shown":         {5, right, nil, 1, ""},
		"other volumes": {5, other, nil, 1, "holds other volumes"},
		"damaged":       {5, right[:20], nil, 1, "volarrow"},
		"unreachable":   {5, nil, errors.New("no answer"), 1, "no answer"},
		"too large":     {1 << 28, right, nil, 0, "found 268435456 bytes, want at most 267386880"},
	} {
		log.volume = transport.Message{Key: []byte("s")}.WithReference(transport.Reference{
			Size: c.size, SHA256: strings.Repeat("ab", 32),
		})
		reads, held := 0, 0
		h := New(log, "volumes", "classifications", func(context.Context, *transport.Message) ([]byte, func(), error) {
			reads++
			if c.err != nil {
				return nil, nil, c.err
			}
			held++
			return c.value, func() { held-- }, nil
		}, func() []string { return nil })
		w := httptest.NewRecorder()
		h.Handlers()["GET /api/frame"].ServeHTTP(w, httptest.NewRequest("GET", "/?partition=0&offset=0", nil))
		m, err := frame.Decode(w.Body.Bytes())
		var header frame.Header
		if err == nil {
			err = json.Unmarshal(m.Header, &header)
		}
		if err != nil {
			t.Fatalf("%s: %v in %s", name, err, w.Body)
		}
		if (c.want == "") != (header.Volume != nil) || (c.want == "") != (header.Missing == "") ||
			!strings.Contains(header.Missing, c.want) {
			t.Errorf("%s: found %+v, want %q", name, header, c.want)
		}
		if reads != c.reads || held != 0 {
			t.Errorf("%s: found %d reads and %d values in use, want %d and none", name, reads, held, c.reads)
		}
	}
}
