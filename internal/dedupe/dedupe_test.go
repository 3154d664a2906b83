package dedupe

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// odd are keys that no digest is likely to be.
func odd(i int) Key {
	var k Key
	switch {
	case i == 0: // the zero key
	case i%3 == 0:
		k[8], k[keySize-1] = 1, byte(i) // all of the same rank
	case i%3 == 1:
		binary.BigEndian.PutUint64(k[:], ^uint64(0)-uint64(i))
	default:
		binary.LittleEndian.PutUint64(k[8:], uint64(i)<<40) // all of the same slot
	}
	return k
}

// TestWindow compares with a list in which every search is a scan.
func TestWindow(t *testing.T) {
	for _, limit := range []int{1, 2, 31, 32, 33, 500} {
		r := rand.New(rand.NewPCG(1, uint64(limit)))
		w := NewWindow(limit)
		var list []Key
		for range 20_000 {
			k := Of(fmt.Sprint(r.IntN(2*limit + 1)))
			if r.IntN(3) == 0 {
				k = odd(r.IntN(2*limit + 1))
			}
			known := false
			for _, o := range list {
				known = known || o == k
			}
			if w.Has(k) != known {
				t.Fatalf("limit %d: found %v, want %v", limit, !known, known)
			}
			if w.Add(k) == known {
				t.Fatalf("limit %d: Add found %v, want %v", limit, known, !known)
			}
			if !known {
				list = append(list, k)
				list = list[max(0, len(list)-limit):]
			}
			if w.Len() != len(list) {
				t.Fatalf("limit %d: found %d keys, want %d", limit, w.Len(), len(list))
			}
		}
	}
}

// TestWindowMemory: what the documentation says of a million keys.
func TestWindowMemory(t *testing.T) {
	w := NewWindow(1_000_000)
	for i := range 1_100_000 {
		w.Add(Of(fmt.Sprint(i)))
	}
	if n := cap(w.ring)*keySize + 4*len(w.index); n > 24_400_000 {
		t.Errorf("found %d bytes, want 24.4 MB at most", n)
	}
	if !w.Has(Of("100000")) || w.Has(Of("99999")) {
		t.Error("the last million and no other is to be remembered")
	}
}

func TestSet(t *testing.T) {
	for _, memory := range []int{1, 7, 64, 1000, 100_000} {
		t.Run(fmt.Sprint(memory), func(t *testing.T) {
			dir := t.TempDir()
			s := NewSet(filepath.Join(dir, "out.jsonl"), memory)
			r := rand.New(rand.NewPCG(2, uint64(memory)))
			want := map[Key]bool{}
			n := min(20_000, 300*memory)
			for range n {
				k := Of(fmt.Sprint(r.IntN(n)))
				if r.IntN(10) == 0 {
					k = odd(r.IntN(n))
				}
				if ok, err := s.Has(k); ok != want[k] || err != nil {
					t.Fatalf("found %v, %v; want %v", ok, err, want[k])
				}
				if err := s.Reserve(1); err != nil {
					t.Fatal(err)
				}
				s.Add(k)
				want[k] = true
				if s.n > memory {
					t.Fatalf("found %d keys in memory, want %d at most", s.n, memory)
				}
			}
			for k := range want {
				if ok, err := s.Has(k); !ok || err != nil {
					t.Fatalf("%x was forgotten (%v)", k, err)
				}
			}
			if len(s.runs) > 20 {
				t.Errorf("found %d runs", len(s.runs))
			}
			for i := range s.runs[:max(1, len(s.runs))-1] {
				if a, b := s.runs[i].n, s.runs[i+1].n; a < 2*b {
					t.Errorf("found a run of %d before one of %d", a, b)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("found %v left behind (%v)", left, err)
			}
		})
	}
}

// TestSetSearch: a search takes about two reads where keys are digests.
func TestSetSearch(t *testing.T) {
	s := NewSet(filepath.Join(t.TempDir(), "x"), 1<<19)
	const n = 1 << 19
	for i := range n {
		s.Add(Of(fmt.Sprint(i)))
	}
	if err := s.Reserve(1); err != nil {
		t.Fatal(err)
	}
	if len(s.runs) != 1 || s.runs[0].n != n || s.n != 0 {
		t.Fatalf("found %d runs, %d keys in memory", len(s.runs), s.n)
	}
	passed := 0
	for i := range 3000 {
		if s.inFilter(Of(fmt.Sprint(n + i))) {
			passed++
		}
		// The search itself, which the filter spares most new keys.
		if ok, err := s.search(s.runs[0], Of(fmt.Sprint(n+i))); ok || err != nil {
			t.Fatal(ok, err)
		}
		for _, c := range []struct {
			key  string
			want bool
		}{{fmt.Sprint(i * 173), true}, {fmt.Sprint(n + i), false}} {
			if ok, err := s.Has(Of(c.key)); ok != c.want || err != nil {
				t.Fatalf("%s: found %v, %v", c.key, ok, err)
			}
		}
	}
	if passed > 30 {
		t.Errorf("the filter let %d of 3000 new keys pass", passed)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSetMemory: the heap does not grow with the number of keys.
func TestSetMemory(t *testing.T) {
	s := NewSet(filepath.Join(t.TempDir(), "x"), 0)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 1_500_000 {
		if err := s.Reserve(1); err != nil {
			t.Fatal(err)
		}
		s.Add(Of(fmt.Sprint(i)))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 17<<20 {
		t.Errorf("found %d bytes more, want 16 MiB", grown)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSetWithoutRoom: a set whose files cannot be made says so and keeps what it knows.
func TestSetWithoutRoom(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	s := NewSet(filepath.Join(dir, "x"), 10)
	for i := range 10 {
		s.Add(Of(fmt.Sprint(i)))
	}
	for range 2 {
		if err := s.Reserve(1); err == nil || !strings.Contains(err.Error(), "gone") {
			t.Fatalf("found %v", err)
		}
	}
	has := func() {
		t.Helper()
		for i := range 10 {
			if ok, err := s.Has(Of(fmt.Sprint(i))); !ok || err != nil {
				t.Fatal(i, ok, err)
			}
		}
	}
	has()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Reserve(1); err != nil {
		t.Fatal(err)
	}
	has()
	// A file that cannot be read any more is an error of the search, not a key that is new.
	s.runs[0].file.Close() //nolint:errcheck // that is the point
	if _, err := s.Has(Of("3")); err == nil {
		t.Error("a search in a closed file reported no error")
	}
}

// TestSetLeftOvers: what a killed process has left of one output goes, what belongs to another stays.
func TestSetLeftOvers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".out.jsonl.keys-123", ".other.jsonl.keys-123", "out.jsonl"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := NewSet(filepath.Join(dir, "out.jsonl"), 1)
	s.Add(Of("a"))
	if err := s.Reserve(1); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 || left[0].Name() != ".other.jsonl.keys-123" {
		t.Errorf("found %v, %v", left, err)
	}
}

func BenchmarkSet(b *testing.B) {
	s := NewSet(filepath.Join(b.TempDir(), "x"), 0)
	defer s.Close() //nolint:errcheck // temporary
	for i := range 2_000_000 {
		if err := s.Reserve(1); err != nil {
			b.Fatal(err)
		}
		s.Add(Of(fmt.Sprint(i)))
	}
	b.ResetTimer()
	for i := range b.N {
		if ok, err := s.Has(Of(fmt.Sprint(-1 - i))); ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
