package reprocess

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// inputs returns inputs with numbers of rows, some of them unknown.
func inputs(n int) []Input {
	var out []Input
	for i := range n {
		sum := sha256.Sum256(fmt.Append(nil, i))
		in := Input{File: fmt.Sprintf("%05d", i), Stream: "s", Digest: hex.EncodeToString(sum[:]), Bytes: 5000, Rows: i % 7}
		switch {
		case i%11 == 0:
			in.Rows = unknown
		case i%97 == 0:
			in.Rows = 2500
		case i%101 == 0:
			in.Error = "damaged"
		}
		out = append(out, in)
	}
	return out
}

func divided(t *testing.T, in []Input) *Plan {
	t.Helper()
	p := &Plan{Inputs: in}
	if err := p.divide(&Job{ShardRows: 1000}); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestDivide: every row is in one shard, in order, and shards have a size at which they are worth their cost.
func TestDivide(t *testing.T) {
	p := divided(t, inputs(5000))
	next := map[int]int{} // by input, the next row
	last := -1
	keys := map[string]bool{}
	for _, s := range p.Shards {
		rows := 0
		for _, piece := range s.Pieces {
			in := &p.Inputs[piece.Input]
			if piece.Input < last || !in.Used() || piece.First != next[piece.Input] {
				t.Fatalf("found %+v after input %d", piece, last)
			}
			last = piece.Input
			next[piece.Input] += piece.Rows
			rows += max(piece.Rows, 1)
		}
		if rows > 1000+7 || len(s.Pieces) > maxPieces {
			t.Errorf("found a shard of %d rows in %d pieces", rows, len(s.Pieces))
		}
		if keys[s.Key] {
			t.Errorf("found the key %s twice", s.Key)
		}
		keys[s.Key] = true
	}
	for i, in := range p.Inputs {
		if in.Used() && next[i] != in.Rows {
			t.Errorf("input %d: found %d rows, want %d", i, next[i], in.Rows)
		}
	}
	if len(p.Shards) > 400 {
		t.Errorf("found %d shards of 5000 small inputs", len(p.Shards))
	}
}

// TestDivideMore: a new input changes the shards near it only.
func TestDivideMore(t *testing.T) {
	before := divided(t, inputs(5000))
	more := inputs(5001)
	more = slices.Insert(more[:5000], 2500, more[5000])
	after := divided(t, more)
	known := map[string]bool{}
	for _, s := range before.Shards {
		known[s.Key] = true
	}
	fresh := 0
	for _, s := range after.Shards {
		if !known[s.Key] {
			fresh++
		}
	}
	if fresh == 0 || fresh > 8 {
		t.Errorf("found %d new shards of %d, want a few", fresh, len(after.Shards))
	}
}

// TestDigest: any change of a small file, and a change of size or at the ends of a large one, changes the digest.
func TestDigest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	sum := func(content []byte) string {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		d, size, err := digest(path)
		if err != nil || size != int64(len(content)) {
			t.Fatalf("found size %d, %v", size, err)
		}
		return d
	}
	small := make([]byte, 200_000)
	large := make([]byte, samples*sampleBytes+12345)
	seen := map[string]string{}
	add := func(what, d string) {
		if other, again := seen[d]; again {
			t.Errorf("%s has the digest of %s", what, other)
		}
		seen[d] = what
	}
	add("nothing", sum(nil))
	add("zeros", sum(small))
	small[100_000] = 1
	add("a changed byte", sum(small))
	add("large", sum(large))
	large[len(large)-1] = 1
	add("large, changed at its end", sum(large))
	large[0] = 1
	add("large, changed at its beginning", sum(large))
	add("a byte less", sum(large[:len(large)-1]))
}
