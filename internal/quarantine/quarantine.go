// Package quarantine keeps an item that kills the process from killing it for ever. A [Journal] records what is being
// read. What was being read when the process died is read once more, while nothing else is. If the process dies
// again, the item is left alone. A death after which more of the item had been processed than ever before does not
// count: it was probably not the item's fault, and reading still comes to an end.
package quarantine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/internal/regular"
)

// Tries is how often an item is read that kills the process.
const Tries = 2

// Error means that an item is not read, because the process has died each time.
type Error struct{ Deaths int }

func (e *Error) Error() string {
	return fmt.Sprintf("quarantined: the process died %d times while it was being read", e.Deaths)
}

// Journal records which items are being read. It is a file of lines: begin, end, left, died or at, and the quoted key of
// an item. A line is written before the item is read, but not synced: the death of a process does not undo a write. A nil
// Journal records nothing. A Journal is safe for concurrent use.
type Journal struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex
	file    *os.File // nil after Close
	lines   int
	deaths  map[string]int
	open    map[string]int  // items being read, by key
	marks   map[string]mark // how far items that take long have been processed
	suspect string          // the item that is read alone, if any
	changed chan struct{}   // closed when an item ends
	failed  bool            // a failure to write was logged
}

// mark is the largest number of samples of an item that were processed in one reading.
type mark struct {
	samples int
	raised  bool // since the last begin
}

const (
	// markEvery is how often progress is recorded. Items that take less have no marks.
	markEvery = time.Second
	// maxFile bounds a journal in bytes, and maxDeaths the items in it that killed the process.
	maxFile   = 64 << 20
	maxDeaths = 10_000
	// fewLines is the number of lines that are not worth to be written anew.
	fewLines = 4096
)

// Open opens or creates a journal. Only one process uses it at a time: if there is another, the error wraps
// [durable.ErrLocked]. log receives what cannot be written later.
func Open(path string, log *slog.Logger) (*Journal, error) {
	file, err := durable.OpenLocked(path, os.O_APPEND)
	if err != nil {
		return nil, err
	}
	j := &Journal{
		path: path, log: log, file: file, deaths: map[string]int{}, open: map[string]int{},
		marks: map[string]mark{}, changed: make(chan struct{}),
	}
	data, err := regular.Read(path, maxFile)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	j.load(data)
	if err := j.compact(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return j, nil
}

// load reads the lines. What was begun and neither ended nor left was being read when the process died. Lines that are
// not as they should be were cut by a crash of the machine and are left out.
func (j *Journal) load(data []byte) {
	begun := map[string]int{}
	for line := range bytes.Lines(data) {
		verb, rest, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
		n, quoted := 1, rest
		if verb == "died" || verb == "at" {
			var digits string
			digits, quoted, _ = strings.Cut(rest, " ")
			n, _ = strconv.Atoi(digits)
		}
		key, err := strconv.Unquote(quoted)
		if err != nil {
			continue
		}
		switch verb {
		case "begin":
			begun[key]++
			if m, ok := j.marks[key]; ok {
				j.marks[key] = mark{samples: m.samples}
			}
		case "left":
			begun[key]--
		case "end":
			begun[key]--
			delete(j.deaths, key)
			delete(j.marks, key)
		case "died":
			j.deaths[key] = n
		case "at":
			if n > j.marks[key].samples {
				j.marks[key] = mark{n, true}
			}
		}
	}
	for key, n := range begun {
		switch {
		case n <= 0:
		case j.marks[key].raised:
			delete(j.deaths, key)
		default:
			j.deaths[key]++
		}
	}
}

// compact writes the journal anew with what is still of interest.
func (j *Journal) compact() error {
	var out bytes.Buffer
	keys := slices.Sorted(maps.Keys(j.deaths))
	for _, key := range keys[max(0, len(keys)-maxDeaths):] {
		fmt.Fprintf(&out, "died %d %s\n", j.deaths[key], strconv.Quote(key))
	}
	keys = slices.Sorted(maps.Keys(j.marks))
	for _, key := range keys[max(0, len(keys)-maxDeaths):] {
		if m := j.marks[key]; j.open[key] == 0 || !m.raised {
			fmt.Fprintf(&out, "at %d %s\n", m.samples, strconv.Quote(key))
		}
	}
	for key, n := range j.open {
		for range n {
			fmt.Fprintf(&out, "begin %s\n", strconv.Quote(key))
		}
		if m := j.marks[key]; m.raised {
			fmt.Fprintf(&out, "at %d %s\n", m.samples, strconv.Quote(key))
		}
	}
	j.lines = bytes.Count(out.Bytes(), []byte("\n"))
	// A process that is killed between the two calls loses counts, no item.
	if err := j.file.Truncate(0); err != nil {
		return err
	}
	_, err := j.file.Write(out.Bytes())
	return err
}

// Item is an item that is being read. The methods of a nil Item do nothing.
type Item struct {
	j    *Journal
	key  string
	once sync.Once

	samples int       // that were processed
	marked  time.Time // when progress was last recorded
}

// Begin records that an item is going to be read. The key should change when the item does. If the process has died
// [Tries] times while the item was read, the error is an *[Error]. If it has died once, Begin waits until no other item
// is being read, and others wait until this one has ended.
func (j *Journal) Begin(ctx context.Context, key string) (*Item, error) {
	if j == nil {
		return nil, nil //nolint:nilnil // a nil Item is usable
	}
	for {
		j.mu.Lock()
		n := j.deaths[key]
		if n >= Tries {
			j.mu.Unlock()
			return nil, &Error{n}
		}
		if j.suspect == "" && (n == 0 || len(j.open) == 0) {
			break
		}
		changed := j.changed
		j.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer j.mu.Unlock()
	if j.deaths[key] > 0 {
		j.suspect = key
		j.log.Warn("reading alone what was being read when the process died", "item", key)
	}
	j.open[key]++
	if m, ok := j.marks[key]; ok {
		j.marks[key] = mark{samples: m.samples}
	}
	j.write("begin", key)
	return &Item{j: j, key: key, marked: time.Now()}, nil
}

// Processed records that one more sample of the item was processed.
func (i *Item) Processed() {
	if i == nil {
		return
	}
	j := i.j
	j.mu.Lock()
	defer j.mu.Unlock()
	i.samples++
	now := time.Now()
	if j.open[i.key] == 0 || i.samples <= j.marks[i.key].samples || now.Sub(i.marked) < markEvery {
		return
	}
	i.marked = now
	j.marks[i.key] = mark{i.samples, true}
	j.write(fmt.Sprintf("at %d", i.samples), i.key)
}

// End records that an item was read without harm.
func (i *Item) End() { i.close("end") }

// Leave records that reading was stopped in good order and may begin again.
func (i *Item) Leave() { i.close("left") }

func (i *Item) close(verb string) {
	if i == nil {
		return
	}
	i.once.Do(func() {
		j := i.j
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.open[i.key]--; j.open[i.key] <= 0 {
			delete(j.open, i.key)
		}
		if j.suspect == i.key {
			j.suspect = ""
		}
		if verb == "end" {
			delete(j.deaths, i.key)
			delete(j.marks, i.key)
		}
		j.write(verb, i.key)
		close(j.changed)
		j.changed = make(chan struct{})
	})
}

// Forgive forgets the deaths of an item, so that it is read again.
func (j *Journal) Forgive(key string) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.deaths[key] > 0 {
		delete(j.deaths, key)
		delete(j.marks, key)
		j.write("end", key)
	}
}

// write appends a line. j.mu must be held. A line that cannot be written is logged, once, because reading goes on
// without.
func (j *Journal) write(verb, key string) {
	if j.file == nil {
		return
	}
	j.lines++
	_, err := fmt.Fprintf(j.file, "%s %s\n", verb, strconv.Quote(key))
	if err == nil && j.lines > fewLines && j.lines > 4*(len(j.deaths)+len(j.open)+len(j.marks)) {
		err = j.compact()
	}
	if err != nil && !j.failed {
		j.failed = true
		j.log.Warn("what kills the process will not be found: the journal cannot be written", "error", err)
	}
}

// Close leaves all items in good order and closes the journal.
func (j *Journal) Close() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	clear(j.open)
	err := j.compact()
	err = errors.Join(err, j.file.Close())
	j.file = nil
	return err
}
