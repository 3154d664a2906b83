package recordset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// The attributes of a batch.
const (
	codecMask  = 7
	appendTime = 1 << 3
	control    = 1 << 5
)

// maxHeaders is the maximum number of headers of a record. Kafka has no limit of its own. A header takes 2 bytes in a
// batch and 40 in memory.
const maxHeaders = 1024

// minRecord is the size of the smallest record in bytes: its length, its attributes, two deltas, the lengths of key and
// value, and the number of headers.
const minRecord = 7

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record is a decoded record. Its slices refer to the batch.
type record struct {
	offset     int64
	millis     int64
	key, value []byte
	headers    []transport.Header

	count int64  // of the headers
	raw   []byte // the headers as they are stored
}

// maxMillis is the last millisecond of the year 9999, the latest that RFC 3339 and JSON can express.
const maxMillis = 253402300799999

// time returns the time of the record, or none if it cannot be expressed.
func (r *record) time() time.Time {
	if r.millis < 0 || r.millis > maxMillis {
		return time.Time{}
	}
	return time.UnixMilli(r.millis)
}

// decode calls use for each record of a batch until it returns false. With s, which is memory for one record, records
// are valid only during the call and have no headers, and a batch that has more than its records is an error.
func decode(b []byte, limit int64, s *[]byte, use func(*record) bool) error {
	if b[magicAt] < 2 {
		return decodeMessages(b, limit, use)
	}
	be := binary.BigEndian
	if got, want := crc32.Checksum(b[21:], castagnoli), be.Uint32(b[17:]); got != want {
		return fmt.Errorf("found the checksum %08x, want %08x", got, want)
	}
	attributes := be.Uint16(b[21:])
	if attributes&control != 0 {
		return nil
	}
	base, last := int64(be.Uint64(b)), int64(int32(be.Uint32(b[23:])))
	first, newest := int64(be.Uint64(b[27:])), int64(be.Uint64(b[35:]))
	count := int64(int32(be.Uint32(b[57:])))
	switch {
	case count < 0 || last < 0 && count > 0 || count > last+1:
		return fmt.Errorf("found %d records with a last offset of %d", count, last)
	case count == 0:
		return nil // compaction may leave the header of a batch
	}
	r, err := open(b[headerSize:], attributes&codecMask, limit)
	if err != nil {
		return err
	}
	defer r.close()
	if most := r.atMost() / minRecord; count > most {
		return fmt.Errorf("found %d records, but the batch has space for %d at most", count, most)
	}
	if s != nil {
		r.scratch = s
	}
	rec := record{}
	for i, before := int64(0), int64(-1); i < count; i++ {
		body, err := r.record()
		if err != nil {
			return fmt.Errorf("record %d of %d: %w", i+1, count, eof(err))
		}
		age, delta, err := rec.parse(body, s == nil)
		if err != nil {
			return fmt.Errorf("record %d of %d: %w", i+1, count, err)
		}
		if delta <= before || delta > last {
			return fmt.Errorf("record %d of %d: found the offset %d after %d, want at most %d", i+1, count, delta,
				before,
				last)
		}
		before = delta
		rec.offset, rec.millis = base+delta, first+age
		if attributes&appendTime != 0 {
			rec.millis = newest
		}
		if !use(&rec) {
			return nil
		}
	}
	if s != nil && !r.ended() {
		return fmt.Errorf("found more than the %d records of the batch", count)
	}
	return nil
}

var errRecord = errors.New("a length in the record exceeds it")

// parse parses a record without its length. It returns the deltas of its time, in milliseconds, and of its offset. Unless
// keep is set, it only checks the headers.
func (r *record) parse(b []byte, keep bool) (age, delta int64, err error) {
	f := fields{b: b}
	f.skip(1) // attributes, which are not used
	age, delta = f.varint(), f.varint()
	r.key, r.value = f.bytes(), f.bytes()
	n := f.varint()
	if n < 0 || n > maxHeaders || n > int64(len(f.b)/2) {
		return 0, 0, fmt.Errorf("found %d headers in %d bytes, want at most %d", n, len(f.b), maxHeaders)
	}
	r.headers, r.count, r.raw = nil, n, f.b
	if n > 0 && keep {
		r.headers = make([]transport.Header, 0, n)
	}
	for range n {
		key, value := f.bytes(), f.bytes()
		if keep {
			r.headers = append(r.headers, transport.Header{Key: string(key), Value: value})
		}
	}
	switch {
	case f.failed:
		return 0, 0, errRecord
	case len(f.b) > 0:
		return 0, 0, fmt.Errorf("found %d bytes after the record", len(f.b))
	}
	return age, delta, nil
}

// fields reads the fields of a record. After a failure, all fields are empty.
type fields struct {
	b      []byte
	failed bool
}

func (f *fields) fail() {
	f.b, f.failed = nil, true
}

func (f *fields) skip(n int) {
	if n > len(f.b) {
		f.fail()
		return
	}
	f.b = f.b[n:]
}

func (f *fields) varint() int64 {
	v, n := binary.Varint(f.b)
	if n <= 0 {
		f.fail()
		return 0
	}
	f.b = f.b[n:]
	return v
}

// bytes reads a length and as many bytes. A negative length is nil.
func (f *fields) bytes() []byte {
	return f.take(f.varint())
}

func (f *fields) take(n int64) []byte {
	switch {
	case n < 0:
		return nil
	case n > int64(len(f.b)) || f.failed:
		f.fail()
		return nil
	}
	b := f.b[:n:n]
	f.b = f.b[n:]
	return b
}

// int32 reads a length of the formats 0 and 1.
func (f *fields) int32() int64 {
	if len(f.b) < 4 {
		f.fail()
		return 0
	}
	v := int64(int32(binary.BigEndian.Uint32(f.b)))
	f.b = f.b[4:]
	return v
}

// decodeMessages decodes a message of the format 0 or 1, which may contain compressed messages.
func decodeMessages(b []byte, limit int64, use func(*record) bool) error {
	outer, codec, err := parseMessage(b)
	if err != nil {
		return err
	}
	if codec == 0 {
		use(&outer)
		return nil
	}
	r, err := open(outer.value, codec, limit)
	if err != nil {
		return err
	}
	defer r.close()
	// In format 1, the offsets of the inner messages begin at 0, and only the last one is known, so all of them have to
	// be read first. They take at most limit bytes.
	var inner []record
	for !r.ended() {
		m, err := r.message()
		if err != nil {
			return fmt.Errorf("inner message %d: %w", len(inner)+1, eof(err))
		}
		rec, codec, err := parseMessage(m)
		switch {
		case err != nil:
			return fmt.Errorf("inner message %d: %w", len(inner)+1, err)
		case codec != 0:
			return fmt.Errorf("inner message %d: found compression within compression", len(inner)+1)
		case len(inner) > 0 && rec.offset <= inner[len(inner)-1].offset, rec.offset < 0:
			return fmt.Errorf("inner message %d: found the offset %d, want ascending ones", len(inner)+1, rec.offset)
		}
		inner = append(inner, rec)
	}
	if len(inner) == 0 {
		return errors.New("found compressed messages without a message")
	}
	shift := int64(0)
	if b[magicAt] == 1 {
		shift = outer.offset - inner[len(inner)-1].offset
	}
	for i := range inner {
		inner[i].offset += shift
		if inner[i].offset > outer.offset {
			return fmt.Errorf("inner message %d: found the offset %d, want at most %d", i+1, inner[i].offset,
				outer.offset)
		}
		if !use(&inner[i]) {
			return nil
		}
	}
	return nil
}

// parseMessage parses one message of the format 0 or 1, and returns it with its codec.
func parseMessage(b []byte) (r record, codec uint16, err error) {
	be := binary.BigEndian
	magic := b[magicAt]
	if magic > 1 || int64(len(b)) < smallestSize(magic) {
		return r, 0, fmt.Errorf("found a message of format %d and %d bytes", magic, len(b))
	}
	if got, want := crc32.ChecksumIEEE(b[16:]), be.Uint32(b[12:]); got != want {
		return r, 0, fmt.Errorf("found the checksum %08x, want %08x", got, want)
	}
	r.offset = int64(be.Uint64(b))
	f := fields{b: b[18:]}
	if magic == 1 {
		r.millis = int64(be.Uint64(f.b))
		f.skip(8)
	}
	r.key = f.take(f.int32())
	r.value = f.take(f.int32())
	switch {
	case f.failed:
		return r, 0, errRecord
	case len(f.b) > 0:
		return r, 0, fmt.Errorf("found %d bytes after the message", len(f.b))
	}
	return r, uint16(b[17]) & codecMask, nil
}
