package history

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"strconv"
	"sync"

	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/record"
)

// entry is what a search needs to know of a classification: class, score and whether it is wrong or unfamiliar, in 4
// bytes. The zero entry is no classification.
type entry uint32

// Layout of an entry: from the lowest bit, valid, wrong, unfamiliar, 14 bits of score and 15 bits of class.
const (
	entryValid      = 1
	entryWrong      = 2
	entryUnfamiliar = 4
	scoreShift      = 3
	scoreMax        = 1<<14 - 1
	classShift      = 17
	maxClass        = 1<<15 - 1
)

func (e entry) wrong() bool      { return e&entryWrong != 0 }
func (e entry) unfamiliar() bool { return e&entryUnfamiliar != 0 }
func (e entry) class() int       { return int(e >> classShift) }

// score returns the score, rounded down to a multiple of 1/16383.
func (e entry) score() float64 { return float64(e>>scoreShift&scoreMax) / scoreMax }

func entryOf(c *record.Classification) entry {
	e := entry(entryValid)
	if c.Label != nil && int(*c.Label) != c.Class {
		e |= entryWrong
	}
	if c.Unfamiliar {
		e |= entryUnfamiliar
	}
	e |= entry(min(max(float64(c.Score), 0), 1)*scoreMax) << scoreShift
	return e | entry(min(max(c.Class, 0), maxClass))<<classShift
}

// parse decodes what an entry needs from the JSON of a classification, several times as fast as the decoder. Quotes in
// texts are escaped, so a member's name with its quotes and colon cannot occur in them; class and score of the record
// come before those of its top_k. It falls back to the decoder for JSON that is written in another way.
func parse(value []byte) entry {
	c := record.Classification{Unfamiliar: bytes.Contains(value, []byte(`"unfamiliar":true`))}
	before, _, found := bytes.Cut(value, []byte(`"top_k":`))
	class, ok := number(before, `"class":`)
	score, ok2 := number(before, `"score":`)
	if found && ok && ok2 {
		c.Class, c.Score = int(class), float32(score)
		if label, labelled := number(value, `"label":`); labelled {
			l := int32(label)
			c.Label = &l
		}
		return entryOf(&c)
	}
	if json.Unmarshal(value, &c) != nil || c.EventID == "" {
		return 0
	}
	return entryOf(&c)
}

// number returns the number after a text.
func number(value []byte, name string) (float64, bool) {
	i := bytes.Index(value, []byte(name))
	if i < 0 {
		return 0, false
	}
	rest := value[i+len(name):]
	end := bytes.IndexAny(rest, ",}")
	if end < 0 {
		return 0, false
	}
	x, err := strconv.ParseFloat(string(rest[:end]), 64)
	return x, err == nil
}

// blockSize is the number of offsets of a block, and maxBlocks the number of blocks that are kept: 16 MiB, for 4
// million classifications.
const (
	blockSize = 1 << 14
	maxBlocks = 256
)

// index keeps entries of what was searched, by offset. Its zero value is empty.
type index struct {
	mu     sync.Mutex
	blocks map[blockKey]*block
	clock  int64
}

type blockKey struct {
	partition int
	number    int64
}

// block has the entries of blockSize offsets. Those below filled are known.
type block struct {
	mu      sync.Mutex
	filled  int
	entries [blockSize]entry
	used    int64 // guarded by index.mu
}

// get returns a block, which may be new.
func (x *index) get(k blockKey) *block {
	x.mu.Lock()
	defer x.mu.Unlock()
	b := x.blocks[k]
	if b == nil {
		if x.blocks == nil {
			x.blocks = map[blockKey]*block{}
		}
		if len(x.blocks) >= maxBlocks {
			var oldest blockKey
			least := int64(-1)
			for k, b := range x.blocks {
				if least < 0 || b.used < least {
					oldest, least = k, b.used
				}
			}
			delete(x.blocks, oldest)
		}
		b = &block{}
		x.blocks[k] = b
	}
	x.clock++
	b.used = x.clock
	return b
}

// search is a search from the offset at, in steps of 1 or -1, within the offsets from (included) to (not included).
type search struct {
	partition int
	at, step  int64
	from, to  int64
	match     func(entry) bool
}

// reader reads the messages of a range of offsets.
type reader func(ctx context.Context, from, to int64) iter.Seq2[transport.Message, error]

// search returns the first offset that matches, or where it ended.
func (x *index) search(ctx context.Context, read reader, s search) (found bool, at int64, err error) {
	at = s.at
	for at >= s.from && at < s.to {
		number := at / blockSize
		b := x.get(blockKey{s.partition, number})
		first, end := number*blockSize, min((number+1)*blockSize, s.to)
		b.mu.Lock()
		err := b.fill(ctx, read, first, max(first, s.from), end)
		if err != nil {
			b.mu.Unlock()
			return false, at, err
		}
		for ; at >= max(first, s.from) && at < end; at += s.step {
			if e := b.entries[at-first]; e&entryValid != 0 && s.match(e) {
				b.mu.Unlock()
				return true, at, nil
			}
		}
		b.mu.Unlock()
	}
	return false, at, nil
}

// fill makes the entries below end known. Those below from no longer exist. b.mu must be held.
func (b *block) fill(ctx context.Context, read reader, first, from, end int64) error {
	start := max(first+int64(b.filled), from)
	if start >= end {
		return nil
	}
	for m, err := range read(ctx, start, end) {
		if err != nil {
			return err
		}
		b.entries[m.Offset-first] = parse(m.Value)
		b.filled = int(m.Offset-first) + 1
	}
	b.filled = int(end - first)
	return nil
}
