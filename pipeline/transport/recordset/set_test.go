package recordset_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/voxelstream/voxelstream/internal/mutants"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/recordset"
	"github.com/voxelstream/voxelstream/pipeline/transport/recordset/recordtest"
)

const limit = 1 << 20

// read decodes a set of which nothing before the offset from is wanted. It fails the test if offsets do not ascend.
func read(t testing.TB, raw []byte, from, end int64) (ms []transport.Message, refused []*recordset.Refused,
	next int64,
) {
	t.Helper()
	set, err := recordset.New(recordset.Source{Topic: "t", Partition: 3, From: from, End: end, Limit: limit}, raw)
	if err != nil {
		if !errors.Is(err, recordset.ErrIncomplete) {
			t.Fatal(err)
		}
		return nil, nil, from
	}
	at := from
	for m, err := range set.Each {
		if err == nil {
			if m.Offset < at {
				t.Fatalf("offset %d after %d", m.Offset, at-1)
			}
			at = m.Offset + 1
			ms = append(ms, m)
			continue
		}
		r, ok := errors.AsType[*recordset.Refused](err)
		if !ok {
			t.Fatalf("%T: %v", err, err)
		}
		if r.From < at || r.To < r.From {
			t.Fatalf("refused %d to %d after %d", r.From, r.To, at-1)
		}
		at = r.To
		refused = append(refused, r)
	}
	if set.Next() < at || !set.Empty() && set.Next() < from {
		t.Fatalf("next %d after %d", set.Next(), at-1)
	}
	return ms, refused, set.Next()
}

// compressed returns three records in one batch.
func compressed(codec uint16) []byte {
	records := slices.Concat(
		recordtest.Record(0, []byte("a"), []byte("first"), []byte{0}),
		recordtest.Record(1, []byte("b"), bytes.Repeat([]byte("second"), 50_000/6), []byte{2, 2, 'h', 2, 'v'}),
		recordtest.Record(2, nil, nil, []byte{0}),
	)
	return recordtest.Batch{
		Base: 100, Count: 3, Last: 2, Attributes: codec, Records: recordtest.Compress(codec, records),
	}.Encode()
}

var codecs = []uint16{0, recordtest.Gzip, recordtest.Snappy, recordtest.LZ4, recordtest.Zstd}

func TestCodecs(t *testing.T) {
	for _, codec := range codecs {
		raw := compressed(codec)
		if err := recordset.Check(raw, limit); err != nil {
			t.Errorf("%v: %v", codec, err)
		}
		for range 2 { // the second time with used decompressors
			ms, refused, next := read(t, slices.Concat(raw, recordtest.Batch{
				Base: 103, Count: 1, Records: recordtest.Record(0, nil, []byte("last"), []byte{0}),
			}.Encode()), 101, 1000)
			if len(refused) > 0 || len(ms) != 3 || next != 104 {
				t.Fatalf("%v: %d messages, refused %v, next %d", codec, len(ms), refused, next)
			}
			m := ms[0]
			if m.Topic != "t" || m.Partition != 3 || m.Offset != 101 || string(m.Key) != "b" || len(m.Value) != 49998 ||
				len(m.Headers) != 1 || m.Headers[0].Key != "h" || string(m.Headers[0].Value) != "v" ||
				m.Appended.UnixMilli() != 1795880000000 {
				t.Errorf("%v: %+v", codec, m)
			}
			if string(ms[2].Value) != "last" || ms[2].Offset != 103 {
				t.Errorf("%v: the next batch: %+v", codec, ms[2])
			}
		}
	}
}

// TestHostile reads hostile batches between good ones, which must be read.
func TestHostile(t *testing.T) {
	good := func(base int64) []byte {
		return recordtest.Batch{
			Base: base, Count: 1, Records: recordtest.Record(0, nil, []byte("good"), []byte{0}),
		}.Encode()
	}
	hostile := recordtest.HostileBatches(8)
	if len(hostile) < 20 {
		t.Fatalf("only %d", len(hostile))
	}
	for _, h := range hostile {
		t.Run(h.Name, func(t *testing.T) {
			if err := recordset.Check(h.Raw, limit); err == nil {
				t.Error("accepted from a producer")
			}
			bad := slices.Clone(h.Raw)
			binary.BigEndian.PutUint64(bad, 11)
			begin := time.Now()
			ms, refused, next := read(t, slices.Concat(good(10), bad, good(12)), 10, 1000)
			if len(refused) != 1 || refused[0].From != 11 || refused[0].To != 12 || next != 13 {
				t.Fatalf("refused %v, next %d", refused, next)
			}
			if r := refused[0]; r.Size != int64(len(bad)) || r.Reason == nil || strings.Contains(r.Error(), "EOF\n") {
				t.Errorf("%+v", r)
			}
			if len(ms) != 2 || ms[0].Offset != 10 || ms[1].Offset != 12 {
				t.Errorf("messages %v", ms)
			}
			t.Log(refused[0], time.Since(begin).Round(time.Millisecond))
		})
	}
}

// TestMemory reads batches that inflate beyond the limit. What is allocated must have the order of the limit.
func TestMemory(t *testing.T) {
	const limit = 8 << 20
	for _, c := range []struct {
		name  string
		batch recordtest.Batch
		read  int // messages before the limit
	}{
		{"one record, gzip", recordtest.Batch{
			Count: 1, Attributes: recordtest.Gzip,
			Records: recordtest.GzipBomb(2 << 10),
		}, 0},
		{"one record, zstd", recordtest.Batch{
			Count: 1, Attributes: recordtest.Zstd,
			Records: recordtest.ZstdBomb(4 << 10),
		}, 0},
		{"many records, zstd", recordtest.Batch{
			Count: 500, Last: 499, Attributes: recordtest.Zstd, Records: recordtest.ZstdRecords(500),
		}, 7},
		{"a large window, zstd", recordtest.Batch{Count: 1, Attributes: recordtest.Zstd, Records: wide(1 << 20)}, 1},
		{"a large window, zstd, too much", recordtest.Batch{
			Count: 1, Attributes: recordtest.Zstd,
			Records: wide(20 << 20),
		}, 0},
	} {
		set, err := recordset.New(recordset.Source{End: 1000, Limit: limit}, c.batch.Encode())
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		n, refused := 0, 0
		for _, err := range set.Each {
			if err != nil {
				refused++
				t.Log(c.name, err)
			} else {
				n++
			}
		}
		runtime.ReadMemStats(&after)
		if allocated := after.TotalAlloc - before.TotalAlloc; n != c.read || n+refused < 1 || refused > 1 ||
			allocated > 8*limit {
			t.Errorf("%s: %d messages, refused %d, allocated %d MiB", c.name, n, refused, allocated>>20)
		}
	}
}

// wide is a zstd frame of a record of n bytes, with a window of 64 MiB.
func wide(n int) []byte {
	w, err := zstd.NewWriter(nil, zstd.WithWindowSize(64<<20), zstd.WithSingleSegment(false))
	if err != nil {
		panic(err)
	}
	frame := w.EncodeAll(recordtest.Record(0, nil, make([]byte, n), []byte{0}), nil)
	if frame[4]&0x20 == 0 {
		frame[5] = 16 << 3 // the encoder has made the window as small as the content
	}
	return frame
}

func TestOffsets(t *testing.T) {
	r := func(delta int64) []byte { return recordtest.Record(delta, nil, []byte("v"), []byte{0}) }
	for _, c := range []struct {
		name  string
		batch []recordtest.Batch
		from  int64
		want  []int64
		next  int64
	}{
		{"compaction left gaps", []recordtest.Batch{
			{Base: 5, Count: 2, Last: 9, Records: slices.Concat(r(3), r(7))},
		}, 0, []int64{8, 12}, 15},
		{"compaction left a header", []recordtest.Batch{{Base: 5, Last: 9}}, 0, nil, 15},
		{"a control batch", []recordtest.Batch{
			{Base: 5, Count: 1, Attributes: 0x20, Records: r(0)},
			{Base: 6, Count: 1, Records: r(0)},
		}, 0, []int64{6}, 7},
		{"the beginning is not wanted", []recordtest.Batch{
			{Base: 5, Count: 3, Last: 2, Records: slices.Concat(r(0), r(1), r(2))},
		}, 7, []int64{7}, 8},
		{"a last offset behind the next batch", []recordtest.Batch{
			{Base: 5, Count: 1, Last: 1 << 30, Records: r(0)},
			{Base: 6, Count: 1, Records: r(0)},
		}, 0, []int64{5, 6}, 7},
		{"a last offset behind the end", []recordtest.Batch{
			{Base: 5, Count: 1, Last: 1 << 30, Records: r(0)},
		}, 0, []int64{5}, 50},
		{"batches that were appended after the end was looked for", []recordtest.Batch{
			{Base: 49, Count: 1, Records: r(0)},
			{Base: 50, Count: 2, Last: 1, Records: slices.Concat(r(0), r(1))},
			{Base: 52, Count: 1, Records: r(0)},
		}, 49, []int64{49}, 50},
		{"only such batches", []recordtest.Batch{
			{Base: 50, Count: 2, Last: 1, Records: slices.Concat(r(0), r(1))},
			{Base: 52, Count: 1, Records: r(0)},
		}, 50, nil, 50},
		{"a batch that is not wanted at all", []recordtest.Batch{
			{Base: 5, Count: 1, Records: r(0)},
			{Base: 6, Count: 1, Records: r(0)},
		}, 6, []int64{6}, 7},
	} {
		var raw []byte
		for _, b := range c.batch {
			raw = append(raw, b.Encode()...)
		}
		ms, refused, next := read(t, raw, c.from, 50)
		var got []int64
		for _, m := range ms {
			got = append(got, m.Offset)
		}
		if !slices.Equal(got, c.want) || next != c.next || len(refused) > 0 {
			t.Errorf("%s: %v, next %d, refused %v; want %v and %d", c.name, got, next, refused, c.want, c.next)
		}
	}
}

// TestAborted checks that the records of aborted transactions are left out, and those of others are not.
func TestAborted(t *testing.T) {
	const transactional, control = 0x10, 0x20
	at := int64(0)
	var raw []byte
	add := func(attributes uint16, producer int64) {
		raw = append(raw, recordtest.Batch{
			Base: at, Count: 1, Attributes: attributes, Producer: producer,
			Records: recordtest.Record(0, nil, []byte("v"), []byte{0}),
		}.Encode()...)
		at++
	}
	add(transactional, 1)         // 0: aborted
	add(transactional, 2)         // 1: committed
	add(0, 1)                     // 2: not in the transaction of its producer
	add(transactional, 1)         // 3: aborted
	add(transactional|control, 2) // 4
	add(transactional|control, 1) // 5: the end of the aborted transaction
	add(transactional, 1)         // 6: of the next one, which is committed
	add(transactional|control, 1) // 7
	add(transactional, 2)         // 8: aborted
	add(transactional|control, 2) // 9
	set, err := recordset.New(recordset.Source{
		End: 10, Limit: limit, Aborted: []recordset.Aborted{{Producer: 2, First: 8}, {Producer: 1, First: 0}},
	}, raw)
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	for m, err := range set.Each {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m.Offset)
	}
	if want := []int64{1, 2, 6}; !slices.Equal(got, want) || set.Next() != 10 {
		t.Errorf("read %v, next %d, want %v", got, set.Next(), want)
	}
}

// TestEpochs checks which leader epochs a set has, and where they begin.
func TestEpochs(t *testing.T) {
	var raw []byte
	for base, epoch := range []int32{3, 3, 5, 9} {
		raw = append(raw, recordtest.Batch{
			Base: int64(base), Count: 1, Epoch: epoch, Records: recordtest.Record(0, nil, nil, []byte{0}),
		}.Encode()...)
	}
	set, err := recordset.New(recordset.Source{From: 1, End: 10, Limit: limit}, append(raw, message(1, 4, 0, nil, nil)...))
	if err != nil {
		t.Fatal(err)
	}
	want := []recordset.Epoch{{Epoch: 3, From: 0}, {Epoch: 5, From: 2}, {Epoch: 9, From: 3}}
	if got := set.Epochs(); !slices.Equal(got, want) || set.First() != 1 {
		t.Errorf("found %v from %d on, want %v", got, set.First(), want)
	}
}

// TestPart checks that the records before a fault are read, and that only the rest is refused.
func TestPart(t *testing.T) {
	raw := recordtest.Batch{Base: 20, Count: 3, Last: 2, Records: slices.Concat(
		recordtest.Record(0, nil, []byte("good"), []byte{0}),
		recordtest.Record(1, nil, []byte("bad"), []byte{0xff}),
		recordtest.Record(2, nil, []byte("good"), []byte{0}),
	)}.Encode()
	ms, refused, next := read(t, raw, 0, 50)
	if len(ms) != 1 || len(refused) != 1 || refused[0].From != 21 || refused[0].To != 23 || next != 23 {
		t.Errorf("%v, refused %v, next %d", ms, refused, next)
	}
}

func TestIncomplete(t *testing.T) {
	raw := compressed(0)
	for _, n := range []int{17, 30, 61, len(raw) - 1} {
		_, err := recordset.New(recordset.Source{End: 1000, Limit: limit}, raw[:n])
		if !errors.Is(err, recordset.ErrIncomplete) {
			t.Errorf("%d bytes: %v", n, err)
		}
		ms, refused, next := read(t, slices.Concat(raw, raw[:n]), 0, 1000)
		if len(ms) != 3 || len(refused) > 0 || next != 103 {
			t.Errorf("%d bytes of the second batch: %d messages, refused %v, next %d", n, len(ms), refused, next)
		}
	}
	set, err := recordset.New(recordset.Source{End: 1000, Limit: limit, Rest: &recordset.Rest{}}, raw[:100])
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range set.Each {
		if r, ok := errors.AsType[*recordset.Refused](err); !ok || r.From != 100 || r.To != 103 ||
			r.Size != int64(len(raw)) {
			t.Errorf("%v", err)
		}
	}
}

// message encodes a message of the format 0 or 1.
func message(magic byte, offset int64, codec byte, key, value []byte) []byte {
	be := binary.BigEndian
	out := be.AppendUint64(nil, uint64(offset))
	out = append(out, make([]byte, 8)...)
	out = append(out, magic, codec)
	if magic == 1 {
		out = be.AppendUint64(out, 1795880000000)
	}
	for _, b := range [][]byte{key, value} {
		n := int32(len(b))
		if b == nil {
			n = -1
		}
		out = append(be.AppendUint32(out, uint32(n)), b...)
	}
	be.PutUint32(out[8:], uint32(len(out)-12))
	be.PutUint32(out[12:], crc32.ChecksumIEEE(out[16:]))
	return out
}

func gzipped(b []byte) []byte { return recordtest.Compress(recordtest.Gzip, b) }

// TestMessageSets reads the formats before Kafka 0.11.
func TestMessageSets(t *testing.T) {
	for magic := range byte(2) {
		inner := slices.Concat(message(magic, 0, 0, nil, []byte("x")), message(magic, 1, 0, []byte("k"), []byte("y")))
		last := int64(1)
		if magic == 1 {
			last = 7 // the offsets within are relative
		}
		raw := slices.Concat(message(magic, last, 1, nil, gzipped(inner)), message(magic, 9, 0, []byte("k"), nil))
		ms, refused, next := read(t, raw, 0, 50)
		if len(ms) != 3 || len(refused) > 0 || ms[0].Offset != last-1 || string(ms[1].Value) != "y" ||
			ms[2].Offset != 9 ||
			ms[2].Value != nil || next != 10 {
			t.Errorf("magic %d: %v, refused %v, next %d", magic, ms, refused, next)
		}
	}
	long := message(1, 3, 0, []byte("k"), []byte("v"))
	binary.BigEndian.PutUint32(long[26:], 1<<31-1)
	binary.BigEndian.PutUint32(long[12:], crc32.ChecksumIEEE(long[16:]))
	damaged := message(0, 3, 0, nil, []byte("v"))
	damaged[len(damaged)-1] ^= 1
	for name, raw := range map[string][]byte{
		"compression within compression": message(1, 3, 1, nil, gzipped(message(1, 0, 1, nil, gzipped([]byte("x"))))),
		"a bomb":                         message(1, 3, 1, nil, gzipped(message(1, 0, 0, nil, make([]byte, 2*limit)))),
		"nothing within":                 message(1, 3, 1, nil, gzipped(nil)),
		"a key of 2^31 bytes":            long,
		"a wrong checksum":               damaged,
		"offsets that descend": message(0, 3, 1, nil,
			gzipped(slices.Concat(message(0, 3, 0, nil, nil), message(0, 2, 0, nil, nil)))),
		"an offset after the set": message(0, 3, 1, nil, gzipped(message(0, 9, 0, nil, nil))),
		"an inner size of -1":     message(1, 3, 1, nil, gzipped(bytes.Repeat([]byte{0xff}, 40))),
	} {
		ms, refused, next := read(t, slices.Concat(raw, message(1, 4, 0, nil, []byte("next"))), 0, 50)
		if len(refused) != 1 || refused[0].To != 4 || len(ms) != 1 || ms[0].Offset != 4 || next != 5 {
			t.Errorf("%s: %v, refused %v, next %d", name, ms, refused, next)
		}
	}
}

// TestGarbage reads bytes that are no batches. There must be progress.
func TestGarbage(t *testing.T) {
	for _, raw := range [][]byte{
		bytes.Repeat([]byte{0xff}, 100), make([]byte, 100), bytes.Repeat([]byte{9}, 200), []byte("short"), nil,
	} {
		_, refused, next := read(t, raw, 7, 50)
		if len(raw) > 20 && (len(refused) != 1 || next != 8) {
			t.Errorf("%d bytes of %x: refused %v, next %d", len(raw), raw[:1], refused, next)
		}
	}
}

// seeds are the real batches that are mutated.
func seeds() (out [][]byte) {
	for _, c := range codecs {
		out = append(out, compressed(c))
	}
	for magic := range byte(2) {
		inner := slices.Concat(message(magic, 0, 0, nil, []byte("x")), message(magic, 1, 0, []byte("k"), []byte("y")))
		out = append(out, message(magic, 1, 1, nil, gzipped(inner)))
	}
	for _, h := range recordtest.HostileBatches(2) {
		if len(h.Raw) < 64<<10 {
			out = append(out, h.Raw)
		}
	}
	return out
}

// visited checks that Visit passes the messages that Each yields, with the same headers.
func visited(t testing.TB, raw []byte, ms []transport.Message, end int64) {
	t.Helper()
	set, err := recordset.New(recordset.Source{Topic: "t", Partition: 3, End: end, Limit: limit}, raw)
	if err != nil {
		return
	}
	i := 0
	set.Visit(recordset.Visitor{
		Record: func(e *recordset.Entry) {
			if i >= len(ms) || ms[i].Offset != e.Offset {
				t.Fatalf("record %d: visited offset %d, want those of %d messages", i, e.Offset, len(ms))
			}
			for _, h := range ms[i].Headers {
				want, _ := ms[i].Header(h.Key)
				if got, ok := e.Text(h.Key); !ok || got != want {
					t.Fatalf("offset %d: visited header %q with %q, want %q", e.Offset, h.Key, got, want)
				}
			}
			i++
		},
		Marker:  func(int64, int16) {},
		Refused: func(*recordset.Refused) {},
	})
	if i != len(ms) {
		t.Fatalf("visited %d records, want %d", i, len(ms))
	}
}

// TestMarkers checks which producers and epochs of control records are visited. A damaged one says nothing.
func TestMarkers(t *testing.T) {
	marker := func(base, producer int64) []byte {
		b := recordtest.Batch{
			Base: base, Count: 1, Attributes: 0x30, Producer: producer, Records: recordtest.Record(0, nil, nil, []byte{0}),
		}.Encode()
		binary.BigEndian.PutUint16(b[51:], 7)
		recordtest.Checksum(b)
		return b
	}
	damaged := marker(1, 2)
	damaged[50] ^= 4 // the ID of another producer
	set, err := recordset.New(recordset.Source{End: 3, Limit: limit}, slices.Concat(marker(0, 1), damaged, marker(2, 3)))
	if err != nil {
		t.Fatal(err)
	}
	var found []int64
	var refused []*recordset.Refused
	set.Visit(recordset.Visitor{
		Record: func(e *recordset.Entry) { t.Errorf("visited a record at %d", e.Offset) },
		Marker: func(producer int64, epoch int16) {
			if found = append(found, producer); epoch != 7 {
				t.Errorf("found the epoch %d, want 7", epoch)
			}
		},
		Refused: func(r *recordset.Refused) { refused = append(refused, r) },
	})
	if !slices.Equal(found, []int64{1, 3}) || len(refused) != 1 || refused[0].From != 1 || refused[0].To != 2 {
		t.Errorf("found markers of %v, refused %v; want those of 1 and 3, and a refused one at offset 1", found, refused)
	}
}

// try reads a set twice: as it is, and with a valid checksum of its first batch, so that what is behind the checksum is
// tested too.
func try(t testing.TB, raw []byte) {
	for range 2 {
		ms, _, _ := read(t, raw, 0, 1<<40)
		visited(t, raw, ms, 1<<40)
		size := 0
		for _, m := range ms {
			size += len(m.Key) + len(m.Value)
		}
		if batches := len(raw)/26 + 1; size > batches*limit {
			t.Fatalf("%d bytes in %d batches", size, batches)
		}
		if recordset.Check(raw, limit) == nil {
			if count := int(int32(binary.BigEndian.Uint32(raw[57:]))); int64(binary.BigEndian.Uint64(raw)) == 0 &&
				count != len(ms) {
				t.Fatalf("%d messages of %d in a batch that passed the check", len(ms), count)
			}
		}
		if len(raw) < 61 || int64(len(raw)) < recordset.BatchSize(raw) || recordset.BatchSize(raw) < 61 {
			return
		}
		raw = slices.Clone(raw)
		if raw[16] == 2 {
			recordtest.Checksum(raw[:recordset.BatchSize(raw)])
		} else {
			binary.BigEndian.PutUint32(raw[12:], crc32.ChecksumIEEE(raw[16:recordset.BatchSize(raw)]))
		}
	}
}

func FuzzSet(f *testing.F) {
	mutants.Fuzz(f, "kafka batch", seeds(), func(t *testing.T, raw []byte) { try(t, raw) })
}

// TestMutants reads damaged batches: VOXELSTREAM_MUTANTS of each, or 100.
func TestMutants(t *testing.T) {
	n := 100
	if s := os.Getenv("VOXELSTREAM_MUTANTS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(1, 16))
	extreme := []uint64{0, 1, 1<<31 - 1, 1 << 31, 1 << 40, 1<<63 - 1, ^uint64(0)}
	total := 0
	slowest := time.Duration(0)
	for i, seed := range seeds() {
		for range n {
			raw := slices.Clone(seed)
			for range 1 + rng.IntN(4) {
				at := rng.IntN(len(raw))
				switch rng.IntN(7) {
				case 0:
					raw[at] ^= 1 << rng.IntN(8)
				case 1:
					raw[at] = byte(rng.Uint32())
				case 2: // a number
					b := binary.BigEndian.AppendUint64(nil, extreme[rng.IntN(len(extreme))])
					copy(raw[at:], b[rng.IntN(8):])
				case 3:
					raw = slices.Insert(raw, at, binary.AppendVarint(nil, int64(extreme[rng.IntN(len(extreme))]))...)
				case 4:
					raw = slices.Delete(raw, at, min(len(raw), at+1+rng.IntN(8)))
				case 5:
					raw = raw[:at]
				case 6: // a field of the header
					if len(raw) > 62 {
						raw[[]int{8, 11, 16, 22, 23, 26, 57, 60, 61, 62}[rng.IntN(10)]] = byte(rng.Uint32())
					}
				}
				if len(raw) == 0 {
					break
				}
			}
			begin := time.Now()
			func() {
				defer func() {
					if p := recover(); p != nil {
						t.Fatalf("mutant of seed %d: %v: %x", i, p, raw[:min(len(raw), 500)])
					}
				}()
				try(t, raw)
			}()
			slowest = max(slowest, time.Since(begin))
			total++
		}
	}
	t.Logf("%d mutants, the slowest took %v", total, slowest)
}

func BenchmarkEach(b *testing.B) {
	for _, codec := range codecs {
		b.Run(fmt.Sprint(codec), func(b *testing.B) {
			raw := compressed(codec)
			b.SetBytes(50_000)
			for b.Loop() {
				set, err := recordset.New(recordset.Source{End: 1000, Limit: limit}, raw)
				if err != nil {
					b.Fatal(err)
				}
				for _, err := range set.Each {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
