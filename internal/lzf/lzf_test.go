package lzf

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestUnpack(t *testing.T) {
	for name, c := range map[string]struct {
		packed []byte
		want   string
	}{
		"literals":     {[]byte{2, 'a', 'b', 'c'}, "abc"},
		"short copy":   {[]byte{2, 'a', 'b', 'c', 1 << 5, 2}, "abcabc"},
		"run":          {[]byte{0, 'a', 3 << 5, 0}, "aaaaaa"},
		"long copy":    {[]byte{0, 'a', 7 << 5, 1, 0}, "aaaaaaaaaaa"},
		"long overlap": {[]byte{1, 'a', 'b', 7 << 5, 0, 1}, "abababababa"},
	} {
		dst := make([]byte, len(c.want))
		if err := Unpack(dst, c.packed); err != nil || string(dst) != c.want {
			t.Errorf("%s: found %q, %v, want %q", name, dst, err, c.want)
		}
		if err := Unpack(make([]byte, len(c.want)+1), c.packed); err == nil {
			t.Errorf("%s: found no error with one byte missing", name)
		}
		if err := Unpack(make([]byte, len(c.want)-1), c.packed); err == nil {
			t.Errorf("%s: found no error with one byte too many", name)
		}
	}
	if err := Unpack(make([]byte, 3), []byte{1 << 5, 9}); err == nil {
		t.Error("found no error for a copy from before the start")
	}
}

// TestRuns packs what the plain loops of the format unpack, of all lengths and distances.
func TestRuns(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var packed, want []byte
		for range 1 + r.IntN(60) {
			if len(want) == 0 || r.IntN(3) == 0 {
				n := 1 + r.IntN(32)
				packed = append(packed, byte(n-1))
				for range n {
					packed = append(packed, byte(r.Uint32()))
				}
				want = append(want, packed[len(packed)-n:]...)
				continue
			}
			apart := 1 + r.IntN(min(len(want), 1+r.IntN(40)))
			n := 3 + r.IntN(6)
			if long := r.IntN(2) == 0; long {
				n = 9 + r.IntN(256)
				packed = append(packed, byte(7<<5|(apart-1)>>8), byte(n-9), byte(apart-1))
			} else {
				packed = append(packed, byte((n-2)<<5|(apart-1)>>8), byte(apart-1))
			}
			for range n {
				want = append(want, want[len(want)-apart])
			}
		}
		dst := make([]byte, len(want), len(want)+64)
		if err := Unpack(dst, packed); err != nil || !bytes.Equal(dst, want) {
			t.Fatalf("%x: found %x, %v, want %x", packed, dst, err, want)
		}
		if tail := dst[len(dst):cap(dst)]; !bytes.Equal(tail, make([]byte, len(tail))) {
			t.Fatalf("%x: wrote behind the end", packed)
		}
	}
}
