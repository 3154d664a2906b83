package dedupe

// Window remembers the latest keys. Adding a key to a full window removes the oldest. A window starts small and takes
// 24 to 32 bytes per key when it is full: 24.4 MB for a million keys.
type Window struct {
	limit int
	ring  []Key // by age; once it is full, the oldest key is at head
	head  int
	// index is an open-addressing hash table of positions in ring, plus 1. 0 marks an empty slot. It is at most half
	// full.
	index []uint32
}

// minIndex is the size of the smallest table. All sizes are powers of two.
const minIndex = 64

// NewWindow returns a window of limit keys, from 1 to 2^31.
func NewWindow(limit int) *Window {
	return &Window{limit: min(max(limit, 1), 1<<31), index: make([]uint32, minIndex)}
}

// Len returns the number of keys in the window.
func (w *Window) Len() int { return len(w.ring) }

// Has reports whether k is in the window.
func (w *Window) Has(k Key) bool {
	_, ok := w.find(k)
	return ok
}

// Add adds k and reports whether it was new. A key that is already in the window keeps its age.
func (w *Window) Add(k Key) bool {
	if w.Has(k) {
		return false
	}
	at := len(w.ring)
	switch {
	case at < w.limit:
		w.grow()
		w.ring = append(w.ring, k)
	default:
		at = w.head
		w.forget(w.ring[at])
		w.ring[at] = k
		w.head = (at + 1) % w.limit
	}
	slot, _ := w.find(k)
	w.index[slot] = uint32(at) + 1
	return true
}

// find returns the slot of k, or the empty slot where it belongs.
func (w *Window) find(k Key) (slot uint64, ok bool) {
	mask := uint64(len(w.index) - 1)
	for slot = k.slot(mask); ; slot = (slot + 1) & mask {
		switch at := w.index[slot]; {
		case at == 0:
			return slot, false
		case w.ring[at-1] == k:
			return slot, true
		}
	}
}

// grow makes room for one more key in ring and index.
func (w *Window) grow() {
	if n := len(w.ring); n == cap(w.ring) {
		// append might allocate more than the limit.
		ring := make([]Key, n, min(w.limit, max(minIndex, 2*n)))
		copy(ring, w.ring)
		w.ring = ring
	}
	if 2*(len(w.ring)+1) <= len(w.index) {
		return
	}
	w.index = make([]uint32, 2*len(w.index))
	for i, k := range w.ring {
		slot, _ := w.find(k)
		w.index[slot] = uint32(i) + 1
	}
}

// forget removes k from the index. Keys that were stored further on because of it move up, so that no search ends too
// early.
func (w *Window) forget(k Key) {
	mask := uint64(len(w.index) - 1)
	hole, _ := w.find(k)
	for next := (hole + 1) & mask; w.index[next] != 0; next = (next + 1) & mask {
		home := w.ring[w.index[next]-1].slot(mask)
		if (next-home)&mask >= (next-hole)&mask { // the hole is between the key's home slot and its slot
			w.index[hole] = w.index[next]
			hole = next
		}
	}
	w.index[hole] = 0
}
