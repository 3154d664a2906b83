package history

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"

	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/record"
)

func classification(i int, r *rand.Rand) record.Classification {
	label := int32(r.IntN(50))
	c := record.Classification{
		EventID: fmt.Sprint("a \"class\":7,\"score\":1/", i), Stream: "a \"class\":7,\"score\":1", Class: r.IntN(50),
		Name: `x","class":8`, Score: r.Float32(), TopK: []record.Score{{Class: 3, Score: .5}}, Unfamiliar: i%7 == 0,
	}
	if i%2 == 0 {
		c.Label = &label
	}
	return c
}

// TestParse: the fast reader finds what the decoder finds, whatever texts contain.
func TestParse(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 1000 {
		c := classification(i, r)
		b, err := json.Marshal(&c)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := parse(b), entryOf(&c); got != want {
			t.Fatalf("%s: found %b, want %b", b, got, want)
		}
	}
	for text, want := range map[string]entry{
		`{"top_k":[{"class":3,"score":1}],"event_id":"x","class":2,"score":0,"label":2}`: entryOf(&record.Classification{
			Class: 2, Label: new(int32(2)),
		}),
		`{"score": 1, "class": 5, "event_id": "x"}`: entryOf(&record.Classification{Class: 5, Score: 1}),
		`{}`: 0, `[`: 0, ``: 0, `{"class":`: 0,
	} {
		if got := parse([]byte(text)); got != want {
			t.Errorf("%s: found %b, want %b", text, got, want)
		}
	}
}

// TestSearch: the index finds what a scan finds, and reads nothing twice.
func TestSearch(t *testing.T) {
	const first, end = 1000, 3*blockSize + 500
	r := rand.New(rand.NewPCG(3, 4))
	values := make([][]byte, end)
	for i := first; i < end; i++ {
		c := classification(i, r)
		if i%1000 != 0 { // errors are rare
			c.Label = nil
		}
		values[i], _ = json.Marshal(&c)
	}
	read := 0
	reader := func(_ context.Context, from, to int64) iter.Seq2[transport.Message, error] {
		return func(yield func(transport.Message, error) bool) {
			for i := max(from, first); i < to; i++ {
				read++
				if !yield(transport.Message{Offset: i, Value: values[i]}, nil) {
					return
				}
			}
		}
	}
	var x index
	for range 200 {
		at, step := first+r.Int64N(end-first), 1-2*r.Int64N(2)
		found, got, err := x.search(t.Context(), reader, search{
			at: at, step: step, from: first, to: end, match: entry.wrong,
		})
		want := at
		for want >= first && want < end && !parse(values[want]).wrong() {
			want += step
		}
		if err != nil || got != want || found != (want >= first && want < end) {
			t.Fatalf("from %d in steps of %d: found %d, %v, %v, want %d", at, step, got, found, err, want)
		}
	}
	if read > end-first {
		t.Errorf("read %d messages, want at most %d", read, end-first)
	}
	// New messages are found, also in a block that was searched before.
	c := record.Classification{EventID: "x", Class: 1, Label: new(int32(2))}
	b, _ := json.Marshal(&c)
	values = append(values, values[first+1], b)
	if found, at, err := x.search(t.Context(), reader, search{
		at: end, step: 1, from: first, to: end + 2, match: entry.wrong,
	}); !found || at != end+1 || err != nil {
		t.Errorf("found %v, %d, %v", found, at, err)
	}
}

// BenchmarkSearch measures a first search for what does not exist, per classification.
func BenchmarkSearch(b *testing.B) {
	c := classification(1, rand.New(rand.NewPCG(1, 2)))
	value, _ := json.Marshal(&c)
	for b.Loop() {
		if parse(value) == 0 {
			b.Fatal("found nothing")
		}
	}
}
