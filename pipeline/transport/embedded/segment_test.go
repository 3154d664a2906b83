package embedded

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/voxelstream/voxelstream/pipeline/transport/recordset/recordtest"
)

// sampleSegment returns a segment of batches whose first offset is base, and the batches.
func sampleSegment(rng *rand.Rand, base int64, sizes ...int) (data []byte, all []batch) {
	for _, size := range sizes {
		count := int32(rng.IntN(4) + 1)
		records := make([]byte, size)
		for i := range records {
			records[i] = byte(rng.IntN(4)) // many look like the format of a batch
		}
		b := recordtest.Batch{Base: base, Count: count, Last: count - 1, Records: records}.Encode()
		binary.BigEndian.PutUint32(b[epochAt:], 0)
		base += int64(count)
		data, all = append(data, b...), append(all, b)
	}
	return data, all
}

func checked(data []byte, next, limit int64) (*segmentCheck, []batch) {
	var got []batch
	s := &segmentCheck{
		data: data, next: next, limit: limit, epoch: -1, newest: -1,
		each: func(b batch) { got = append(got, bytes.Clone(b)) },
	}
	s.run()
	return s, got
}

// TestEveryByte damages each byte of a segment in several ways. All batches but the damaged one must be found as they
// were, and the damaged one as it was or not at all. Offsets must have no gaps, and the repaired segment no damage.
func TestEveryByte(t *testing.T) {
	const base = 1000
	rng := rand.New(rand.NewPCG(22, 1))
	data, want := sampleSegment(rng, base, 40, 3, 150, 1, 60, 90)
	end := want[len(want)-1].end()
	for _, flip := range []byte{1, 2, 4, 8, 16, 32, 64, 128, 0xff, byte(rng.IntN(255) + 1)} {
		for at := range data {
			for _, limit := range []int64{-1, end} {
				damaged := bytes.Clone(data)
				damaged[at] ^= flip
				s, got := checked(damaged, base, limit)
				verify(t, want, got, at)
				last := at >= len(data)-len(want[len(want)-1])
				if s.next != end && (limit >= 0 || !last || s.next < want[len(want)-1].base()) {
					t.Fatalf("byte %d ^ %#x, limit %d: ends at offset %d, want %d", at, flip, limit, s.next, end)
				}
				if !s.changed {
					t.Fatalf("byte %d ^ %#x: the damage was not found", at, flip)
				}
				if again, _ := checked(s.out, base, limit); again.changed && s.next == end {
					t.Fatalf("byte %d ^ %#x: the repaired segment is damaged", at, flip)
				}
			}
		}
	}
}

// verify compares the batches that were found with those that were written. damaged is the place of the damage in the
// file, or beyond it.
func verify(t *testing.T, want, got []batch, damaged int) {
	t.Helper()
	from, next := 0, want[0].base()
	for i, g := range got {
		if g.base() != next {
			t.Fatalf("damage at %d: batch %d has the offset %d, want %d", damaged, i, g.base(), next)
		}
		next = g.end()
	}
	found := map[int64]batch{}
	for _, g := range got {
		if g.count() > 0 {
			found[g.base()] = g
		}
	}
	for i, w := range want {
		g, ok := found[w.base()]
		delete(found, w.base())
		hit := damaged >= from && damaged < from+len(w)
		if ok && !bytes.Equal(g, w) || !ok && !hit {
			t.Fatalf("damage at %d: batch %d (%d to %d) was found: %v", damaged, i, from, from+len(w), ok)
		}
		from += len(w)
	}
	if len(found) > 0 {
		t.Fatalf("damage at %d: found %d batches that were not written", damaged, len(found))
	}
}

// TestEveryLength cuts a segment at each place. The batches before it must be found.
func TestEveryLength(t *testing.T) {
	const base = 1000
	data, want := sampleSegment(rand.New(rand.NewPCG(22, 2)), base, 40, 3, 150, 1, 60, 90)
	end := want[len(want)-1].end()
	for n := range data {
		whole, size := 0, 0
		for size+len(want[whole]) <= n {
			size += len(want[whole])
			whole++
		}
		s, got := checked(data[:n], base, -1)
		if len(got) != whole || s.torn != n-size || len(s.losses) > 0 {
			t.Fatalf("length %d: found %d batches and %d torn bytes, want %d and %d; lost %v", n, len(got), s.torn, whole,
				n-size, s.losses)
		}
		s, got = checked(data[:n], base, end) // a segment follows
		if n > size && (s.next != end || len(got) != whole+1 || got[whole].count() != 0) {
			t.Fatalf("length %d before another segment: ends at offset %d with %d batches", n, s.next, len(got))
		}
		for i, w := range want[:whole] {
			if !bytes.Equal(got[i], w) {
				t.Fatalf("length %d: batch %d has changed", n, i)
			}
		}
	}
}

// TestManyAfterDamage: a header whose number of offsets and length are both damaged takes one pass, also before many
// batches. Memory stands for time here, because each attempt to restore a batch copied it.
func TestManyAfterDamage(t *testing.T) {
	const n = 3000
	data, _ := sampleSegment(rand.New(rand.NewPCG(22, 5)), 0, slices.Repeat([]int{40}, n)...)
	length := len(data) - (batchHeader + 40) - lengthEnd
	binary.BigEndian.PutUint32(data[8:], uint32(length))
	data[26] ^= 64
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s := &segmentCheck{data: data, limit: -1, epoch: -1, newest: -1, each: func(batch) {}}
	end := s.damageEnd(0)
	runtime.ReadMemStats(&after)
	if end != lengthEnd+length {
		t.Errorf("the damage ends at %d, want %d, where the length leads to", end, lengthEnd+length)
	}
	if used, most := after.TotalAlloc-before.TotalAlloc, uint64(len(data)); used > most {
		t.Errorf("took %d bytes of memory for a segment of %d", used, len(data))
	}
}

// TestBeginning: it finds the same ends as restore.
func TestBeginning(t *testing.T) {
	data, all := sampleSegment(rand.New(rand.NewPCG(22, 6)), 7, 40, 3, 60)
	data[magicAt], data[lengthEnd-1] = 9, 9
	b, found := begin(data), 0
	for n := range len(data) + 1 {
		_, want := restore(data[:n])
		if got := b.endsAt(n); got != want {
			t.Errorf("%d bytes: found %v, want %v", n, got, want)
		} else if got {
			found = n
		}
	}
	if found != len(all[0]) {
		t.Errorf("found the end at %d, want %d", found, len(all[0]))
	}
	data[23] = 0x80 // a negative number of offsets
	if begin(data).endsAt(len(all[0])) || begin(data[:batchHeader-1]).endsAt(batchHeader) {
		t.Error("found a batch where none begins")
	}
}

// TestGarbage overwrites stretches of a segment with random bytes. Batches that have none of them must be found.
func TestGarbage(t *testing.T) {
	const base = 1000
	rng := rand.New(rand.NewPCG(22, 3))
	data, want := sampleSegment(rng, base, 40, 3, 150, 1, 60, 90, 20, 300, 12, 33)
	for range 20_000 {
		from := rng.IntN(len(data))
		to := min(len(data), from+1+rng.IntN(400))
		damaged := bytes.Clone(data)
		for i := from; i < to; i++ {
			damaged[i] = byte(rng.IntN(4))
		}
		_, got := checked(damaged, base, want[len(want)-1].end())
		found := map[int64]batch{}
		for _, g := range got {
			if g.count() > 0 {
				found[g.base()] = g
			}
		}
		at := 0
		for i, w := range want {
			if g := found[w.base()]; (at+len(w) <= from || at >= to) && !bytes.Equal(g, w) {
				t.Fatalf("bytes %d to %d: batch %d at %d is missing", from, to, i, at)
			}
			at += len(w)
		}
	}
}

// TestNestedBatch damages the length of a batch whose message holds batches. Those must not become messages.
func TestNestedBatch(t *testing.T) {
	rng := rand.New(rand.NewPCG(22, 4))
	inner, _ := sampleSegment(rng, 1002, 30)
	data, want := sampleSegment(rng, 1000, 20)
	next := want[0].end()
	outer := recordtest.Batch{Base: next, Count: 1, Records: append(append([]byte("begin"), inner...), "end"...)}.Encode()
	binary.BigEndian.PutUint32(outer[epochAt:], 0)
	data, want = append(data, outer...), append(want, outer)
	more, rest := sampleSegment(rng, next+1, 20, 20)
	data, want = append(data, more...), append(want, rest...)
	for i := range len(outer) {
		for _, flip := range []byte{1, 16, 0xff} {
			damaged := bytes.Clone(data)
			damaged[len(want[0])+i] ^= flip
			_, got := checked(damaged, 1000, -1)
			verify(t, want, got, len(want[0])+i)
		}
	}
}
