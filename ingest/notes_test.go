package ingest

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// TestNotes: equal notes are counted, and their number is bounded.
func TestNotes(t *testing.T) {
	o := Options{Notes: new(Notes)}
	var g sync.WaitGroup
	for range 10 {
		g.Go(func() { o.Note("assumed %s", "mm") })
	}
	g.Wait()
	o.Note("left out %d", 1)
	if got := fmt.Sprint(o.Notes.Take()); got != "[assumed mm (10 times) left out 1]" {
		t.Errorf("found %s", got)
	}
	if got := o.Notes.Take(); got != nil {
		t.Errorf("taken twice: found %v", got)
	}
	for i := range maxNotes + 5 {
		o.Note("point %d", i)
	}
	if got := o.Notes.Take(); len(got) != maxNotes+1 || got[maxNotes].Count != 5 {
		t.Errorf("found %d notes: %v", len(got), got)
	}
	Options{}.Note("nobody hears this")
	if got := (*Notes)(nil).Take(); got != nil {
		t.Errorf("found %v", got)
	}
}

// TestInfoNotes: notes are shown in both forms, and only if there are any.
func TestInfoNotes(t *testing.T) {
	i := Info{File: "a", Format: "f", Detail: &Grids{}}
	for _, notes := range [][]Note{nil, {{"assumed mm", 1}, {"left out a row", 3}}} {
		i.Notes = notes
		b, err := json.Marshal(i)
		if err != nil {
			t.Fatal(err)
		}
		want := notes != nil
		if strings.Contains(string(b), `"notes":["assumed mm","left out a row (3 times)"]`) != want ||
			strings.Contains(i.String(), "\n  note    assumed mm\n  note    left out a row (3 times)") != want ||
			strings.Contains(string(b), "notes") != want {
			t.Errorf("%v: found %s and %s", notes, b, i)
		}
	}
}
