package ingest

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestDistance(t *testing.T) {
	f := &Frame{Width: 4, Height: 3, Depth: []Metres{
		1, 2, 3, 0, // regions are columns 0, 1, and 2 to 3
		0, 0, 5, 6,
		4, 0, 0.5, 7,
	}}
	d := f.Distance()
	got, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	// The eight depths are 0.5 1 2 3 4 5 6 7.
	const want = `{"nearest_m":0.5,"median_m":3,"regions":[` +
		`[{"nearest_m":1,"median_m":1},{"nearest_m":2,"median_m":2},{"nearest_m":3,"median_m":3}],` +
		`[null,null,{"nearest_m":5,"median_m":5}],` +
		`[{"nearest_m":4,"median_m":4},null,{"nearest_m":0.5,"median_m":0.5}]]}`
	if string(got) != want {
		t.Errorf("found %s, want %s", got, want)
	}
	if text := d.Text(); !strings.Contains(text, "nearest 0.500 m, median 3.000 m") || !strings.Contains(text, "        -        -    5.000") {
		t.Errorf("found %s", text)
	}
	if none := (&Frame{Width: 2, Height: 1, Depth: []Metres{0, 0}}).Distance(); none != nil {
		t.Errorf("nothing seen: found %+v", none)
	}
}

func TestNthIsThatOfSorting(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		s := make([]Metres, 1+r.IntN(40))
		for i := range s {
			s[i] = Metres(r.IntN(12))
		}
		k := r.IntN(len(s))
		sorted := slices.Sorted(slices.Values(s))
		if got := nth(slices.Clone(s), k); got != sorted[k] {
			t.Fatalf("%v: found %g at %d, want %g", s, got, k, sorted[k])
		}
	}
}
