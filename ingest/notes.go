package ingest

import (
	"fmt"
	"sync"
)

// Note is a remark about an input: what a reader assumed, left out or repaired.
type Note struct {
	Text string
	// Count is how often the remark was made: once per item it concerns.
	Count int
}

// String returns the text, with the count if it is more than 1.
func (n Note) String() string {
	if n.Count == 1 {
		return n.Text
	}
	return fmt.Sprintf("%s (%d times)", n.Text, n.Count)
}

// maxNotes limits the distinct texts that are kept for one input. Further ones are only counted.
const maxNotes = 32

// Notes collects the notes about one input. It may be used by several goroutines. A nil *Notes collects nothing.
type Notes struct {
	mu   sync.Mutex
	list []Note // in the order of their first occurrence
	more int
}

// Add adds a note that was made Count times.
func (n *Notes) Add(note Note) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.list {
		if n.list[i].Text == note.Text {
			n.list[i].Count += note.Count
			return
		}
	}
	if len(n.list) < maxNotes {
		n.list = append(n.list, note)
	} else {
		n.more += note.Count
	}
}

// Take returns the notes so far, and forgets them.
func (n *Notes) Take() []Note {
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	out := n.list
	if n.more > 0 {
		out = append(out, Note{"further notes were left out", n.more})
	}
	n.list, n.more = nil, 0
	return out
}

// Note records a remark about the input: an assumption that the data leave open, something left out, something
// repaired. Equal texts are counted, so a reader may repeat one for every item; a text names no item number unless
// it is about that item only. Without o.Notes nothing happens.
func (o Options) Note(format string, args ...any) {
	if o.Notes != nil {
		o.Notes.Add(Note{fmt.Sprintf(format, args...), 1})
	}
}
