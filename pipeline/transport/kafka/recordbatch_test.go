package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// TestEncodeBatch reads our batches with kafka-go's decoder, which checks the CRC.
func TestEncodeBatch(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_123)
	ms := []transport.Message{
		transport.New("key", "s/1", transport.ContentJSON, []byte(`{"a":1}`)),
		{Value: bytes.Repeat([]byte{7}, 300_000)},
		{Key: []byte{}, Value: nil},
		{Key: []byte("k"), Value: []byte{}, Headers: []transport.Header{{Key: "empty", Value: []byte{}}, {Key: "nil"}}},
	}
	for _, codec := range []compress.Compression{
		compress.None, compress.Gzip, compress.Snappy, compress.Lz4, compress.Zstd,
	} {
		t.Run(codec.String(), func(t *testing.T) {
			b, err := encodeBatch(ms, codec, now)
			if err != nil {
				t.Fatal(err)
			}
			b.stamp(42, 3, 1000)
			if got := int(binary.BigEndian.Uint32(b.raw)); got != len(b.raw)-sizePrefix {
				t.Errorf("size prefix %d, want %d", got, len(b.raw)-sizePrefix)
			}
			var rs protocol.RecordSet
			if _, err := rs.ReadFrom(bytes.NewReader(b.raw)); err != nil {
				t.Fatal(err)
			}
			batch, ok := rs.Records.(*protocol.RecordStream)
			if !ok {
				t.Fatalf("records are %T", rs.Records)
			}
			head := batch.Records[0].(*protocol.RecordBatch)
			if head.ProducerID != 42 || head.ProducerEpoch != 3 || head.BaseSequence != 1000 {
				t.Errorf("stamped %d %d %d", head.ProducerID, head.ProducerEpoch, head.BaseSequence)
			}
			for i, m := range ms {
				r, err := rs.Records.ReadRecord()
				if err != nil {
					t.Fatal(err)
				}
				key, _ := protocol.ReadAll(r.Key)
				value, _ := protocol.ReadAll(r.Value)
				if r.Offset != int64(i) || !r.Time.Equal(now) || !bytes.Equal(key, m.Key) || !bytes.Equal(value, m.Value) {
					t.Errorf("record %d: offset %d, time %v, key %q, value of %d", i, r.Offset, r.Time, key, len(value))
				}
				if (r.Key == nil) != (m.Key == nil) || (r.Value == nil) != (m.Value == nil) ||
					len(r.Headers) != len(m.Headers) {
					t.Errorf("record %d: nil key %v, nil value %v, %d headers", i, r.Key == nil, r.Value == nil,
						len(r.Headers))
					continue
				}
				for j, h := range m.Headers {
					if r.Headers[j].Key != h.Key || !bytes.Equal(r.Headers[j].Value, h.Value) {
						t.Errorf("record %d header %d: %+v, want %+v", i, j, r.Headers[j], h)
					}
				}
			}
			if _, err := rs.Records.ReadRecord(); !errors.Is(err, io.EOF) {
				t.Errorf("after the last record: %v", err)
			}
			if n := int(binary.BigEndian.Uint32(b.raw[sizePrefix+57:])); n != len(ms) {
				t.Errorf("record count %d, want %d", n, len(ms))
			}
		})
	}
}

// TestRecordBound checks that recordBound is at least the encoded size, and not much more.
func TestRecordBound(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 8191, 8192, 1 << 20} {
		m := transport.New("key", "event", "type", make([]byte, n))
		if got, bound := len(appendRecord(nil, 1<<20, &m)), recordBound(&m); got > bound || bound > got+100 {
			t.Errorf("%d bytes: encoded in %d, bound %d", n, got, bound)
		}
	}
}

// TestSeen checks that offsets that this process wrote need not be read, in whatever order they are acknowledged, and
// that those of others do.
func TestSeen(t *testing.T) {
	s := newSeen(3)
	ids := []dedupe.Key{dedupe.Of("a"), dedupe.Of("b"), dedupe.Of("c"), dedupe.Of("d")}
	s.own(ids[0], 5) // nothing was read yet
	if s.next != unread || len(s.ahead) > 0 {
		t.Errorf("next %d, ahead %v", s.next, s.ahead)
	}
	s.advance(0)
	for i, id := range ids {
		s.own(id, int64(3-i)) // 3, 2, 1, 0
		if want := map[int64]int64{3: 0, 2: 0, 1: 0, 0: 4}[int64(3-i)]; s.next != want {
			t.Errorf("after offset %d: next %d, want %d", 3-i, s.next, want)
		}
	}
	if s.ids.Has(ids[0]) || !s.ids.Has(ids[1]) || !s.ids.Has(ids[3]) || s.ids.Len() != 3 {
		t.Errorf("window holds %d", s.ids.Len())
	}
	s.own(ids[0], -1) // stored by an earlier attempt, at an unknown offset
	s.own(ids[1], 10)
	if s.next != 4 {
		t.Errorf("next %d after a gap, want 4", s.next)
	}
	s.advance(9)
	s.advance(7)
	if s.next != 9 {
		t.Errorf("next %d, want 9", s.next)
	}
	s.advance(10)
	if s.next != 11 || len(s.ahead) > 0 {
		t.Errorf("next %d, ahead %v; want 11", s.next, s.ahead)
	}
}
