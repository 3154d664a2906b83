package unpack

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/voxelstream/voxelstream/internal/budget"
)

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func gunzip(packed []byte) func() (io.Reader, error) {
	return func() (io.Reader, error) { return gzip.NewReader(bytes.NewReader(packed)) }
}

// noise is data that does not compress well, with runs that do.
func noise(n int) []byte {
	out := make([]byte, n)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range out[:n/2] {
		out[i] = byte(r.Uint32())
	}
	return out
}

func limits(t *testing.T, limit, size int64) (Limits, *budget.Budget) {
	t.Helper()
	b := budget.New(size)
	return Limits{Bytes: limit, Account: b.Open(t.Context())}, b
}

// TestAll: whatever size is expected, the result is whole, and no more than its size is held when it is known.
func TestAll(t *testing.T) {
	for _, n := range []int{0, 1, 1000, 1 << 20, blind + 1<<20} {
		data := noise(n)
		packed := gzipped(t, data)
		for _, hint := range []int64{-1, 0, int64(n) / 2, int64(n), int64(n) + 100, 1 << 62} {
			l, b := limits(t, 1<<30, 1<<31)
			out, err := All(gunzip(packed), int64(len(packed)), hint, l)
			if err != nil || !bytes.Equal(out, data) {
				t.Fatalf("%d bytes, hint %d: found %d bytes, %v", n, hint, len(out), err)
			}
			if held := b.InUse(); held != int64(cap(out)) || held > 100+max(int64(n), 4*int64(len(packed))+512) {
				t.Errorf("%d bytes, hint %d: found %d bytes held, %d allocated", n, hint, held, cap(out))
			}
		}
	}
}

// TestAllRefuses: too much is refused by the limit, the ratio or the budget, before it is allocated, and nothing stays held.
func TestAllRefuses(t *testing.T) {
	packed := gzipped(t, make([]byte, 30<<20))
	for name, c := range map[string]struct {
		limit, size, packed int64
		want                string
	}{
		"limit":  {30<<20 - 1, 1 << 30, int64(len(packed)), "too many uncompressed bytes, limit 31457279"},
		"budget": {1 << 30, 20 << 20, int64(len(packed)), "found a need of 31457280 bytes of memory, limit 15728640"},
	} {
		for _, hint := range []int64{-1, 100, 30 << 20} {
			l, b := limits(t, c.limit, c.size)
			_, err := All(gunzip(packed), c.packed, hint, l)
			if err == nil || !strings.Contains(err.Error(), c.want) || b.InUse() != 0 {
				t.Errorf("%s, hint %d: found %v, %d bytes held, want %q", name, hint, err, b.InUse(), c.want)
			}
		}
	}
	l, b := limits(t, 1<<40, 1<<31)
	endless := func() (io.Reader, error) { return zeros{}, nil }
	if _, err := All(endless, 100_000, -1, l); err == nil || b.InUse() != 0 ||
		!strings.Contains(err.Error(), "more than 103200000 uncompressed bytes in 100000 compressed ones, limit 1032 times") {
		t.Errorf("found %v, %d bytes held, want the ratio", err, b.InUse())
	}
	for _, n := range []int{12, 30, len(packed) - 1} {
		if _, err := All(gunzip(packed[:n]), int64(n), -1, l); !errors.Is(err, io.ErrUnexpectedEOF) || b.InUse() != 0 {
			t.Errorf("cut at %d: found %v, %d bytes held", n, err, b.InUse())
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestExactly: a result of another size than declared is an error.
func TestExactly(t *testing.T) {
	data := noise(1000)
	for size, want := range map[int64]string{
		1000: "", 999: "found more than 999 decompressed bytes", 1001: "found 1000 decompressed bytes, want 1001",
		1 << 40: "limit",
	} {
		l, _ := limits(t, 1<<30, 1<<31)
		out, err := Exactly(bytes.NewReader(data), 1000, size, l)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%d: found %v, want %q", size, err, want)
		}
		if size < 1<<40 && len(out) != int(min(size, 1000)) {
			t.Errorf("%d: found %d bytes", size, len(out))
		}
	}
}

func zstandard(t *testing.T, data []byte, sized bool) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	if sized {
		return w.EncodeAll(data, nil)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestZstd: frames with and without a size, one after the other, with frames to be skipped.
func TestZstd(t *testing.T) {
	skipped := []byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3}
	var all, packed []byte
	for i, n := range []int{0, 1, 100, 128 << 10, 5 << 20} {
		data := noise(n)
		for _, sized := range []bool{true, false} {
			z := zstandard(t, data, sized)
			l, b := limits(t, 1<<30, 1<<31)
			out, err := Zstd(z, l)
			if err != nil || !bytes.Equal(out, data) {
				t.Errorf("%d bytes, sized %v: found %d bytes, %v", n, sized, len(out), err)
			}
			if held := b.InUse(); held != int64(cap(out)) || held > int64(n+128<<10) || sized && n > 100 &&
				held != int64(n) {
				t.Errorf("%d bytes, sized %v: found %d bytes held, %d allocated", n, sized, held, cap(out))
			}
			all = append(all, data...)
			packed = append(append(packed, z...), skipped[:len(skipped)*(i%2)]...)
		}
	}
	l, _ := limits(t, 1<<30, 1<<31)
	out, err := Zstd(packed, l)
	if err != nil || !bytes.Equal(out, all) {
		t.Errorf("all frames: found %d bytes, %v, want %d", len(out), err, len(all))
	}
	for n := 1; n < len(packed)/2; n += 1 + n/2 {
		out, err := Zstd(packed[:n], l)
		if !bytes.HasPrefix(all, out) || err == nil && n > 20 && len(out) == 0 {
			t.Errorf("cut at %d: found %d bytes, %v", n, len(out), err)
		}
	}
}

// bomb returns a frame of RLE blocks: 128 KiB for 4 bytes each.
func bomb(blocks int) []byte {
	out := append(bytes.Clone(zstdMagic), 0x00, 0x58) // a window of 2 MiB, no size
	for i := range blocks {
		last := 0
		if i == blocks-1 {
			last = 1
		}
		header := maxBlock<<3 | rleBlock<<1 | last
		out = append(out, byte(header), byte(header>>8), byte(header>>16), 0)
	}
	return out
}

// TestZstdRefuses: a frame that is a bomb, or lies about its size, is refused before it is decompressed.
func TestZstdRefuses(t *testing.T) {
	if out, err := Zstd(bomb(100), Limits{Bytes: 1 << 30}); err != nil || len(out) != 100*maxBlock {
		t.Fatalf("found %d bytes, %v: the frame is wrong", len(out), err)
	}
	lying := append(bytes.Clone(zstdMagic), 0xc0, 0x58, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x01, 0, 0)
	short := append(bytes.Clone(zstdMagic), 0x20, 1, byte(4<<3|rleBlock<<1|1), 0, 0, 7) // 4 bytes, 1 declared
	for name, c := range map[string]struct {
		packed      []byte
		limit, size int64
		want        string
	}{
		"ratio":  {bomb(30_000), 1 << 40, 1 << 40, "found more than 123846192 uncompressed bytes"},
		"limit":  {bomb(100), 1 << 20, 1 << 30, "too many uncompressed bytes, limit 1048576"},
		"budget": {bomb(100), 1 << 30, 1 << 20, "limit 786432 (three quarters"},
		"lying":  {lying, 1 << 62, 1 << 62, "found more than"},
		"short":  {short, 1 << 30, 1 << 30, "after"},
	} {
		l, _ := limits(t, c.limit, c.size)
		out, err := Zstd(c.packed, l)
		if err == nil || !strings.Contains(err.Error(), c.want) || cap(out) > maxBlock {
			t.Errorf("%s: found %v and %d bytes, want %q", name, err, cap(out), c.want)
		}
	}
}

// TestReadAll: what arrives is whole, and is held as it arrives.
func TestReadAll(t *testing.T) {
	data := noise(5 << 20)
	for _, n := range []int{0, 1, readAhead - 1, readAhead, readAhead + 1, len(data)} {
		for _, size := range []int64{-1, 0, 100, int64(n), 1 << 40} {
			l, b := limits(t, 0, 1<<30)
			out, err := ReadAll(iotest.HalfReader(bytes.NewReader(data[:n])), size, l.Account)
			if err != nil || !bytes.Equal(out, data[:n]) {
				t.Fatalf("%d bytes, expected %d: found %d bytes, %v", n, size, len(out), err)
			}
			if held := b.InUse(); held < int64(n) || held > int64(2*n+2*readAhead) && held > size {
				t.Errorf("%d bytes, expected %d: found %d bytes held", n, size, held)
			}
		}
	}
	l, _ := limits(t, 0, 4<<20)
	if _, err := ReadAll(zeros{}, 1<<40, l.Account); !errors.Is(err, budget.ErrLimit) {
		t.Errorf("found %v, want the limit of the budget", err)
	}
	broken := io.MultiReader(bytes.NewReader(data[:200_000]), iotest.ErrReader(io.ErrUnexpectedEOF))
	if _, err := ReadAll(broken, 1<<20, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("found %v, want the error of the reader", err)
	}
}
