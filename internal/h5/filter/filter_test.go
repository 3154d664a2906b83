package filter

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zlib"
)

func pack(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestUntranspose compares with the definition: bit b of byte k of element i is bit i of row 8k+b.
func TestUntranspose(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range [][2]int{{8, 1}, {24, 4}, {40, 3}, {16, 8}} {
		n, size := c[0], c[1]
		src := make([]byte, n*size)
		for i := range src {
			src[i] = byte(r.Uint32())
		}
		want := make([]byte, n*size)
		for i := range n {
			for k := range size {
				for b := range 8 {
					row := 8*k + b
					want[i*size+k] |= src[row*n/8+i/8] >> (i % 8) & 1 << b
				}
			}
		}
		got := make([]byte, n*size)
		untranspose(got, src, n, size)
		if !bytes.Equal(got, want) {
			t.Errorf("%d elements of %d bytes: found %x, want %x", n, size, got, want)
		}
	}
}

func TestUnshuffle(t *testing.T) {
	for size := 2; size < 12; size++ {
		for _, n := range []int{5, 16, 77} {
			want := make([]byte, n*size+size/2)
			for i := range want {
				want[i] = byte(i * i / 7)
			}
			src := bytes.Clone(want)
			for k := range size {
				for i := range n {
					src[k*n+i] = want[i*size+k]
				}
			}
			got := make([]byte, len(want))
			if unshuffle(got, src, size); !bytes.Equal(got, want) {
				t.Errorf("%d elements of %d bytes: found %x, want %x", n, size, got, want)
			}
		}
	}
}

func TestBloscLZ(t *testing.T) {
	for name, c := range map[string]struct {
		packed []byte
		want   string
	}{
		"literals":   {[]byte{2, 'a', 'b', 'c'}, "abc"},
		"copy":       {[]byte{2, 'a', 'b', 'c', 1 << 5, 2}, "abcabc"},
		"run":        {[]byte{0, 'a', 3 << 5, 0}, "aaaaaa"},
		"long run":   {[]byte{0, 'a', 7 << 5, 1, 0}, "aaaaaaaaaaa"},
		"longer run": {[]byte{0, 'a', 7 << 5, 255, 0, 0}, strings.Repeat("a", 1+9+255)},
	} {
		dst := make([]byte, len(c.want))
		if err := bloscLZ(dst, c.packed); err != nil || string(dst) != c.want {
			t.Errorf("%s: found %q, %v, want %q", name, dst, err, c.want)
		}
		for _, n := range []int{len(c.want) - 1, len(c.want) + 1} {
			if err := bloscLZ(make([]byte, n), c.packed); err == nil {
				t.Errorf("%s: found no error for %d bytes", name, n)
			}
		}
	}
	far := append(bytes.Repeat([]byte{31}, 1), bytes.Repeat([]byte{'x'}, 32)...)
	for range 300 { // 9632 literals in runs of 32
		far = append(append(far, 31), bytes.Repeat([]byte{'y'}, 32)...)
	}
	n := 32 + 300*32
	far = append(far, 1<<5|31, 255, byte((n-1-8191)>>8), byte(n-1-8191)) // 3 bytes from the start
	dst := make([]byte, n+3)
	if err := bloscLZ(dst, far); err != nil || string(dst[n:]) != "xxx" {
		t.Errorf("far copy: found %q, %v", dst[n:], err)
	}
}

func TestFletcher32(t *testing.T) {
	data := []byte{1, 2, 3, 4, 5}
	// Words 0x0102, 0x0304, 0x0500: sums 0x0906 and 0x0102 + 0x0406 + 0x0906.
	const want = 0x0e0e0906
	if got := checksum(data); got != want {
		t.Errorf("found %08x, want %08x", got, want)
	}
	stored := binary.LittleEndian.AppendUint32(bytes.Clone(data), want)
	if got, err := fletcher32(nil, stored, nil, 0, 0); err != nil || !bytes.Equal(got, data) {
		t.Errorf("found %x, %v", got, err)
	}
	stored[0]++
	if _, err := fletcher32(nil, stored, nil, 0, 0); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("found error %v, want one about the checksum", err)
	}
}

func decode(src []byte, steps []Step, mask uint32, size int) ([]byte, error) {
	dst := make([]byte, size)
	var d Decoder
	return dst, d.Decode(dst, src, steps, mask)
}

// TestDecodeLongPipelines undoes filters of which some leave the values where they are.
func TestDecodeLongPipelines(t *testing.T) {
	data := make([]byte, 4000)
	for i := range data {
		data[i] = byte(i * i / 7)
	}
	summed := func(b []byte) []byte { return binary.LittleEndian.AppendUint32(bytes.Clone(b), checksum(b)) }
	stored := pack(t, summed(pack(t, pack(t, data))))
	steps := []Step{{ID: Deflate}, {ID: Deflate}, {ID: Fletcher32}, {ID: Deflate}}
	for range 2 {
		if got, err := decode(stored, steps, 0, len(data)); err != nil || !bytes.Equal(got, data) {
			t.Errorf("found error %v, want the values", err)
		}
	}
	damaged := bytes.Clone(pack(t, data))
	damaged[len(damaged)-1]++
	if _, err := decode(damaged, steps[:1], 0, len(data)); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("found error %v, want one about the checksum", err)
	}
	if got, err := decode(append(pack(t, data), 1, 2), steps[:1], 0, len(data)); err != nil || !bytes.Equal(got, data) {
		t.Errorf("with bytes behind the stream: found error %v, want the values", err)
	}
}

func TestDecodeHonoursMaskAndLimit(t *testing.T) {
	data := bytes.Repeat([]byte{1, 2, 3, 4}, 100)
	steps := []Step{{ID: Shuffle, Values: []uint32{4}}, {ID: Deflate}}
	shuffled := make([]byte, len(data))
	for k := range 4 {
		for i := range 100 {
			shuffled[k*100+i] = data[i*4+k]
		}
	}
	for mask, stored := range map[uint32][]byte{0: pack(t, shuffled), 1: pack(t, data), 2: shuffled, 3: data} {
		if got, err := decode(stored, steps, mask, len(data)); err != nil || !bytes.Equal(got, data) {
			t.Errorf("mask %b: found error %v, want the values", mask, err)
		}
	}
	bomb := pack(t, make([]byte, 64<<20))
	for _, steps := range [][]Step{{{ID: Deflate}}, {{ID: Deflate}, {ID: Bzip2}}, {{ID: LZ4}, {ID: Deflate}}} {
		if _, err := decode(bomb, steps, 0, 16); err == nil {
			t.Errorf("%v: found no error for a bomb", steps)
		}
	}
	if _, err := decode(data, []Step{{ID: 32013}}, 0, len(data)); err == nil ||
		!strings.Contains(err.Error(), "zfp (number 32013)") {
		t.Errorf("found error %v, want the name and number of the filter", err)
	}
}

func FuzzDecode(f *testing.F) {
	ids := []int{Deflate, Shuffle, Fletcher32, Bzip2, LZF, Blosc, LZ4, Bitshuffle, Zstd}
	f.Add(uint8(5), uint32(4), uint32(0), []byte("\x02\x01\x01\x04\x10\x00\x00\x00"+
		"\x10\x00\x00\x00\x20\x00\x00\x00\x14\x00\x00\x00\x04\x00\x00\x00abcd"))
	f.Add(uint8(7), uint32(4), uint32(2), []byte("\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00\x20\x00\x00\x00\x04abcd"))
	f.Add(uint8(6), uint32(0), uint32(0), []byte("\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00\x20\x00\x00\x00\x04abcd"))
	f.Add(uint8(8), uint32(0), uint32(0), []byte("\x28\xb5\x2f\xfd\x04\x00\x21\x00\x00abcd\xb4\x1d\x5b\x0c"))
	f.Fuzz(func(t *testing.T, which uint8, size, compressor uint32, src []byte) {
		steps := []Step{{ID: ids[int(which)%len(ids)], Values: []uint32{0, 0, size, 0, compressor % 4}}}
		if which > 128 {
			steps = append(steps, Step{ID: Shuffle, Values: []uint32{size % 16}})
		}
		_, _ = decode(src, steps, 0, 64)
	})
}
