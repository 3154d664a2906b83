package reprocess

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/record"
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
		id, err := identify(path)
		if err != nil || id.bytes != int64(len(content)) {
			t.Fatalf("found size %d, %v", id.bytes, err)
		}
		return id.digest
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

// TestIdentify: a folder is that of its files, also behind links, and large files have the time of their change.
func TestIdentify(t *testing.T) {
	dir := t.TempDir()
	real, outside, link := filepath.Join(dir, "real"), filepath.Join(dir, "outside"), filepath.Join(dir, "link")
	err := errors.Join(os.Mkdir(real, 0o700), os.WriteFile(outside, []byte("a"), 0o600),
		os.Symlink(outside, filepath.Join(real, "file")), os.Symlink(real, link),
		os.Symlink(filepath.Join(dir, "nothing"), filepath.Join(real, "dangling")))
	if err != nil {
		t.Skip(err)
	}
	of := func(path string) identity {
		t.Helper()
		id, err := identify(path)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	before := of(link)
	if direct := of(real); before != direct || !before.folder || before.bytes != 1 || before.modified != 0 {
		t.Errorf("found %+v behind a link, want %+v", before, direct)
	}
	if file := of(outside); file.folder {
		t.Errorf("found %+v, want a file", file)
	}
	if err := os.WriteFile(outside, []byte("b"), 0o600); err != nil {
		t.Fatal(err)
	}
	if now := of(link); now.digest == before.digest {
		t.Error("a changed file of a folder behind a link does not change the digest")
	}
	large := filepath.Join(real, "large")
	err = errors.Join(os.WriteFile(large, nil, 0o600), os.Truncate(large, samples*sampleBytes+1),
		os.Chtimes(large, time.Time{}, time.Unix(1e9, 5)))
	if err != nil {
		t.Fatal(err)
	}
	if now := of(real); now.modified != 1e18+5 {
		t.Errorf("found the time %d of a large file in a folder, want that of its last change", now.modified)
	}
	if s, err := stateOf(real); err != nil || s != of(real).state {
		t.Errorf("found state %+v, %v; want %+v", s, err, of(real).state)
	}
}

// TestUnique: only the same content repeats an input, also where digests cover samples.
func TestUnique(t *testing.T) {
	dir := t.TempDir()
	p := new(Plan)
	for i, at := range []int64{0, 0, sampleBytes + 10} {
		path := filepath.Join(dir, fmt.Sprint(i))
		content := make([]byte, 2*samples*sampleBytes)
		content[at] = byte(at)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		id, err := identify(path)
		if err != nil {
			t.Fatal(err)
		}
		p.Inputs = append(p.Inputs, Input{File: path, Stream: "s", Digest: id.digest, Modified: id.modified})
	}
	if p.Inputs[0].Digest != p.Inputs[2].Digest {
		t.Fatal("the samples cover the difference")
	}
	p.unique()
	if in := p.Inputs[1]; in.Repeats != p.Inputs[0].File {
		t.Errorf("found %+v, want a repeated input", in)
	}
	if in := p.Inputs[2]; !strings.Contains(in.Error, "same IDs") {
		t.Errorf("found %+v, want an error", in)
	}
}

// TestClash: rows of two recordings whose streams have the same name are told apart.
func TestClash(t *testing.T) {
	f := &results{plan: &Plan{Inputs: []Input{{File: "a"}, {File: "b"}}}, owners: map[string]int{}}
	rows := func(stream string) []record.Classification {
		return []record.Classification{{Stream: stream}, {Stream: stream, Seq: 1}}
	}
	for _, c := range []struct {
		input        int
		stream, want string
	}{{0, "x", ""}, {1, "y", ""}, {0, "x", ""}, {1, "x", "a"}, {0, "y", "b"}} {
		if got := f.clash(c.input, rows(c.stream)); got != c.want {
			t.Errorf("stream %s of input %d: found a clash with %q, want %q", c.stream, c.input, got, c.want)
		}
	}
}

// TestCheck: a plan that is not the job's is refused.
func TestCheck(t *testing.T) {
	j := &Job{ShardRows: 1000}
	for name, damage := range map[string]func(*Plan){
		"nothing":       func(*Plan) {},
		"no such input": func(p *Plan) { p.Shards[3].Pieces[0].Input = len(p.Inputs) },
		"other rows":    func(p *Plan) { p.Shards[3].Pieces[0].Rows++ },
		"no rows":       func(p *Plan) { p.Shards[3].Pieces[0].Rows = -2 },
		"other content": func(p *Plan) { p.Inputs[p.Shards[3].Pieces[0].Input].Digest = "00" },
	} {
		p := divided(t, inputs(500))
		damage(p)
		if err := p.check(j); (err == nil) != (name == "nothing") {
			t.Errorf("%s: found %v", name, err)
		}
	}
}

// TestPassing: errors of the machine are told from those of the content.
func TestPassing(t *testing.T) {
	for err, want := range map[error]bool{
		&fs.PathError{Op: "read", Path: "x", Err: syscall.EIO}: true,
		fmt.Errorf("x: %w", h5.ErrWorker):                      true,
		io.ErrUnexpectedEOF:                                    false,
		errors.New("found 3 rows, want 4"):                     false,
	} {
		if got := passing(err); got != want {
			t.Errorf("%v: found %v, want %v", err, got, want)
		}
	}
}
