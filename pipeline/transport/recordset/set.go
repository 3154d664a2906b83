// Package recordset decodes the record sets of Kafka's log without trusting them. A batch is stored as its producer
// sent it, so its counts, lengths and compressed size may be anything. Nothing here allocates memory because of a
// number in a batch: counts are compared with the bytes that are there, and compressed batches are read as a stream
// that ends at a limit. What cannot be decoded is a [Refused] with its coordinates, and reading continues after it.
//
// Formats: https://kafka.apache.org/documentation/#recordbatch (magic 2) and
// https://kafka.apache.org/documentation/#messageset (magic 0 and 1).
package recordset

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// Source tells where a record set comes from and what may be read of it.
type Source struct {
	Topic     string
	Partition int
	// From is the first offset that is wanted. A set may begin before it.
	From int64
	// End is the offset after the last one of the partition that may be read: its high watermark, or the last stable
	// offset. It bounds the offsets that a batch claims for itself. Batches from there on are not part of the set: brokers
	// look for the end before they read, so that a batch that is appended at that moment follows.
	End int64
	// Limit is the maximum size of a batch in bytes, as stored and decompressed.
	Limit int64
	// Rest has what follows the bytes of a set that is too large to be held in memory.
	Rest *Rest
	// Aborted are the aborted transactions of the set. Their records are left out.
	Aborted []Aborted
}

// Aborted is a transaction that its producer has aborted. It begins at its first record. It ends at the next control
// batch of the producer.
type Aborted struct{ Producer, First int64 }

// Rest describes a batch that is larger than the limit, of which only the beginning is in memory.
type Rest struct {
	SHA256 [sha256.Size]byte // of the whole batch
}

// Set is a record set of one partition: batches one after the other, the last of which may be incomplete.
type Set struct {
	Source
	raw     []byte
	batches []span
	next    int64
}

// span is a batch in a set. It has the offsets from base up to, but not including, end.
type span struct {
	raw       []byte
	base, end int64
	err       error // why it is refused without being decoded
	size      int64
	digest    *[sha256.Size]byte // nil: of raw
	aborted   bool               // it belongs to an aborted transaction
}

// Refused is the error of offsets that cannot be decoded.
type Refused struct {
	// From and To are the offsets that are left out, without To. They are what remains of a batch after its last record
	// that could be decoded.
	From, To int64
	// Size is the size of the batch in bytes as it is stored, and SHA256 its digest.
	Size   int64
	SHA256 [sha256.Size]byte
	Reason error
}

func (r *Refused) Error() string {
	if r.To-r.From == 1 {
		return fmt.Sprintf("refused batch of %d bytes, offset %d: %v", r.Size, r.From, r.Reason)
	}
	return fmt.Sprintf("refused batch of %d bytes, offsets %d to %d: %v", r.Size, r.From, r.To-1, r.Reason)
}

func (r *Refused) Unwrap() error { return r.Reason }

// ErrIncomplete is returned by [New] for a set that ends within its first batch.
var ErrIncomplete = errors.New("incomplete batch")

const (
	// logOverhead is the size of the offset and the size in front of each batch.
	logOverhead = 12
	// magicAt is the offset of the format version, which is the same in all formats.
	magicAt = 16
	// headerSize is the size of the header of a batch (magic 2).
	headerSize = 61
	// messageSize0 and messageSize1 are the sizes of a message without key and value (magic 0 and 1).
	messageSize0, messageSize1 = 26, 34
)

// BatchSize returns the size in bytes of the batch at the beginning of a set. It is 0 if the set is too short to tell.
func BatchSize(set []byte) int64 {
	if len(set) < logOverhead {
		return 0
	}
	return logOverhead + int64(int32(binary.BigEndian.Uint32(set[8:])))
}

// New finds the batches of a set. It takes possession of raw: messages refer to it. The error is an [ErrIncomplete] if
// the set ends within its first batch and s has no Rest.
func New(s Source, raw []byte) (*Set, error) {
	set := &Set{Source: s, raw: raw, next: s.From}
	for at := 0; len(raw)-at > magicAt; {
		b := span{base: int64(binary.BigEndian.Uint64(raw[at:])), size: BatchSize(raw[at:])}
		switch smallest := smallestSize(raw[at+magicAt]); {
		case smallest == 0, b.size < smallest, b.base < 0:
			// There is no telling where the next batch begins.
			b.raw, b.size, b.err = raw[at:], int64(len(raw)-at), fmt.Errorf("found a batch of format %d, %d bytes and "+
				"offset %d, want a header of a batch", raw[at+magicAt], b.size, b.base)
			b.base = set.next
			b.end = b.base + 1
			at = len(raw)
		case b.base >= s.End, b.size > int64(len(raw)-at) && at > 0:
			at = len(raw) // it is fetched again
			continue
		case b.size > int64(len(raw)-at) && s.Rest == nil:
			return nil, fmt.Errorf("%w: found %d bytes of %d at offset %d", ErrIncomplete, len(raw)-at, b.size, b.base)
		case b.size > int64(len(raw)-at):
			b.raw, b.digest, b.err = raw[at:], &s.Rest.SHA256, tooLarge(b.size, s.Limit)
			b.end = set.lastOf(b.raw, b.base) + 1
			at = len(raw)
		default:
			b.raw = raw[at : at+int(b.size)]
			b.end = set.lastOf(b.raw, b.base) + 1
			at += int(b.size)
		}
		if n := len(set.batches); n > 0 && b.base > set.batches[n-1].base {
			set.batches[n-1].end = min(set.batches[n-1].end, b.base)
		}
		set.batches = append(set.batches, b)
		set.next = max(set.next, b.end)
	}
	if n := len(set.batches); n > 0 {
		set.next = max(s.From, set.batches[n-1].end)
	}
	set.abort()
	return set, nil
}

// abort marks the batches of aborted transactions.
func (s *Set) abort() {
	if len(s.Aborted) == 0 {
		return
	}
	rest := slices.Clone(s.Aborted)
	slices.SortFunc(rest, func(a, b Aborted) int { return cmp.Compare(a.First, b.First) })
	open := map[int64]bool{} // producers in an aborted transaction
	for i := range s.batches {
		b := &s.batches[i]
		for len(rest) > 0 && rest[0].First < b.end {
			open[rest[0].Producer] = true
			rest = rest[1:]
		}
		if len(b.raw) < headerSize || b.raw[magicAt] < 2 {
			continue
		}
		attributes, producer := binary.BigEndian.Uint16(b.raw[21:]), int64(binary.BigEndian.Uint64(b.raw[43:]))
		switch {
		case attributes&control != 0:
			delete(open, producer)
		case attributes&transactional != 0:
			b.aborted = open[producer]
		}
	}
}

func tooLarge(size, limit int64) error {
	return fmt.Errorf("found a batch of %d bytes, limit %d (4 times the maximum message size)", size, limit)
}

// smallestSize returns the size of the smallest batch of a format, or 0 if the format is unknown.
func smallestSize(magic byte) int64 {
	switch magic {
	case 0:
		return messageSize0
	case 1:
		return messageSize1
	case 2:
		return headerSize
	}
	return 0
}

// lastOf returns the last offset of a batch according to its header, but not one beyond the end of the partition.
func (s *Set) lastOf(batch []byte, base int64) int64 {
	if batch[magicAt] < 2 || len(batch) < headerSize {
		return base // the offset of a message set is that of its last message
	}
	delta := int64(int32(binary.BigEndian.Uint32(batch[23:])))
	return max(base, min(base+delta, s.End-1))
}

// Next returns the offset to fetch after this set.
func (s *Set) Next() int64 { return s.next }

// Empty reports whether the set has no batch.
func (s *Set) Empty() bool { return len(s.batches) == 0 }

// First returns the offset of the first batch, or From if that is later or there is none.
func (s *Set) First() int64 {
	if s.Empty() {
		return s.From
	}
	return max(s.From, s.batches[0].base)
}

// Epoch is a leader epoch: the records from the offset From on were written under it, up to the next one.
type Epoch struct {
	Epoch int32
	From  int64
}

// Epochs returns the leader epochs of the batches, in the order of their offsets. Those of old formats have none.
func (s *Set) Epochs() (out []Epoch) {
	for i := range s.batches {
		b := &s.batches[i]
		if b.err != nil || len(b.raw) < headerSize || b.raw[magicAt] < 2 {
			continue
		}
		e := int32(binary.BigEndian.Uint32(b.raw[12:]))
		if n := len(out); n == 0 || out[n-1].Epoch != e {
			out = append(out, Epoch{Epoch: e, From: b.base})
		}
	}
	return out
}

// Bytes returns the size of the set.
func (s *Set) Bytes() int { return len(s.raw) }

// Each yields the messages from the offset From on, in ascending order, and a *[Refused] for what cannot be decoded. It
// leaves out the records of aborted transactions, and control records, which mark the ends of transactions. The messages
// refer to the memory of the set.
func (s *Set) Each(yield func(transport.Message, error) bool) {
	at := s.From
	for i := range s.batches {
		b := &s.batches[i]
		if b.end <= at {
			continue
		}
		if b.aborted {
			at = b.end
			continue
		}
		more, err := s.batch(b, &at, yield)
		if err != nil && more {
			more = yield(transport.Message{}, s.refuse(b, at, err))
		}
		if !more {
			return
		}
		at = max(at, b.end)
	}
}

// batch yields the messages of a batch from the offset at on, and advances at. It returns false if yield has.
func (s *Set) batch(b *span, at *int64, yield func(transport.Message, error) bool) (bool, error) {
	if b.err != nil {
		return true, b.err
	}
	if b.size > s.Limit {
		return true, tooLarge(b.size, s.Limit)
	}
	more, beyond := true, error(nil)
	err := decode(b.raw, s.Limit, nil, func(r *record) bool {
		if r.offset < *at {
			return true
		}
		if r.offset >= b.end {
			beyond = fmt.Errorf("found a record with the offset %d, want at most %d", r.offset, b.end-1)
			return false
		}
		more = yield(transport.Message{
			Topic: s.Topic, Partition: s.Partition, Offset: r.offset, Appended: r.time(), Key: r.key, Value: r.value,
			Headers: r.headers,
		}, nil)
		*at = r.offset + 1
		return more
	})
	return more, cmp.Or(err, beyond)
}

func (s *Set) refuse(b *span, from int64, reason error) *Refused {
	r := &Refused{From: max(from, b.base), To: b.end, Size: b.size, Reason: reason}
	if b.digest != nil {
		r.SHA256 = *b.digest
	} else {
		r.SHA256 = sha256.Sum256(b.raw)
	}
	return r
}

// Check returns an error unless records is one batch as a producer may send it: magic 2, a count that agrees with its
// offsets, a valid checksum, and exactly as many records as it says, which take at most limit bytes when they are
// decompressed.
func Check(records []byte, limit int64) error {
	if len(records) < headerSize || records[magicAt] != 2 || BatchSize(records) != int64(len(records)) {
		return fmt.Errorf("found %d bytes that are not one batch of format 2", len(records))
	}
	if int64(len(records)) > limit {
		return tooLarge(int64(len(records)), limit)
	}
	count := int32(binary.BigEndian.Uint32(records[57:]))
	delta := int32(binary.BigEndian.Uint32(records[23:]))
	if count < 1 || delta != count-1 {
		return fmt.Errorf("found %d records with a last offset of %d", count, delta)
	}
	if attributes := binary.BigEndian.Uint16(records[21:]); attributes&control != 0 {
		return errors.New("found a control batch, want records")
	}
	var scratch []byte
	return decode(records, limit, &scratch, func(*record) bool { return true })
}

// eof turns the end of the data into an error of its own, because there should be more.
func eof(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
