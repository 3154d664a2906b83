package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/segmentio/kafka-go/compress"

	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// recordBatch is an encoded batch of the Kafka record format, version 2 (magic 2), preceded by its size in 4 bytes,
// as RawProduce requires. Layout: https://kafka.apache.org/documentation/#recordbatch. The offsets below are from the
// start of the batch.
//
//	 0 base offset      8 length of the rest  12 leader epoch  16 magic          17 crc-32c of all from 21
//	21 attributes      23 last offset delta   27 first time    35 max time       43 producer id
//	51 producer epoch  53 base sequence       57 records       61 the records, compressed as a whole
type recordBatch struct {
	raw     []byte
	records int
}

const (
	sizePrefix  = 4
	batchHeader = 61
)

// encodeBatch encodes ms without a producer ID, which stamp adds. The timestamp is the time of sending, not the time of
// the events, because retention is based on it.
func encodeBatch(ms []transport.Message, codec compress.Compression, now time.Time) (recordBatch, error) {
	size := sizePrefix + batchHeader
	for i := range ms {
		size += recordBound(&ms[i])
	}
	raw := make([]byte, sizePrefix+batchHeader, size)
	for i := range ms {
		raw = appendRecord(raw, i, &ms[i])
	}
	if codec != compress.None {
		buf := bytes.NewBuffer(make([]byte, 0, len(raw)/2))
		buf.Write(raw[:sizePrefix+batchHeader])
		w := codec.Codec().NewWriter(buf)
		if _, err := w.Write(raw[sizePrefix+batchHeader:]); err != nil {
			return recordBatch{}, fmt.Errorf("%s compression: %w", codec, err)
		}
		if err := w.Close(); err != nil {
			return recordBatch{}, fmt.Errorf("%s compression: %w", codec, err)
		}
		raw = buf.Bytes()
	}
	b, be := raw[sizePrefix:], binary.BigEndian
	be.PutUint32(raw, uint32(len(b)))
	be.PutUint32(b[8:], uint32(len(b)-12))
	be.PutUint32(b[12:], 0xffffffff) // leader epoch unknown
	b[16] = 2
	be.PutUint16(b[21:], uint16(codec))
	be.PutUint32(b[23:], uint32(len(ms)-1))
	be.PutUint32(b[57:], uint32(len(ms)))
	out := recordBatch{raw, len(ms)}
	out.restamp(now)
	return out, nil
}

// restamp sets the time of sending. The batch must be stamped afterwards.
func (r recordBatch) restamp(now time.Time) {
	b, be := r.raw[sizePrefix:], binary.BigEndian
	be.PutUint64(b[27:], uint64(now.UnixMilli()))
	be.PutUint64(b[35:], uint64(now.UnixMilli()))
}

// stamp sets the fields by which the broker recognizes duplicates. A retry must not be stamped again.
func (r recordBatch) stamp(producer int64, epoch int16, sequence int32) {
	b, be := r.raw[sizePrefix:], binary.BigEndian
	be.PutUint64(b[43:], uint64(producer))
	be.PutUint16(b[51:], uint16(epoch))
	be.PutUint32(b[53:], uint32(sequence))
	be.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// recordBound returns an upper bound of the encoded size of m.
func recordBound(m *transport.Message) int {
	n := len(m.Key) + len(m.Value) + 6*binary.MaxVarintLen32
	for _, h := range m.Headers {
		n += len(h.Key) + len(h.Value) + 2*binary.MaxVarintLen32
	}
	return n
}

func appendRecord(b []byte, i int, m *transport.Message) []byte {
	n := 1 + 1 + varintLen(int64(i)) + bytesLen(m.Key) + bytesLen(m.Value) + varintLen(int64(len(m.Headers)))
	for _, h := range m.Headers {
		n += varintLen(int64(len(h.Key))) + len(h.Key) + bytesLen(h.Value)
	}
	b = binary.AppendVarint(b, int64(n))
	b = append(b, 0)                     // attributes
	b = binary.AppendVarint(b, 0)        // time delta
	b = binary.AppendVarint(b, int64(i)) // offset delta
	b = appendBytes(b, m.Key)
	b = appendBytes(b, m.Value)
	b = binary.AppendVarint(b, int64(len(m.Headers)))
	for _, h := range m.Headers {
		b = binary.AppendVarint(b, int64(len(h.Key)))
		b = append(b, h.Key...)
		b = appendBytes(b, h.Value)
	}
	return b
}

func appendBytes(b, p []byte) []byte {
	if p == nil {
		return binary.AppendVarint(b, -1)
	}
	return append(binary.AppendVarint(b, int64(len(p))), p...)
}

func bytesLen(p []byte) int {
	if p == nil {
		return 1
	}
	return varintLen(int64(len(p))) + len(p)
}

// varintLen returns the length of v as a zigzag varint.
func varintLen(v int64) int {
	var b [binary.MaxVarintLen64]byte
	return binary.PutVarint(b[:], v)
}
