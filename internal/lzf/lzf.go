// Package lzf unpacks LZF, the compression of PCD files and of h5py.
package lzf

import "fmt"

// Unpack unpacks src into exactly len(dst) bytes. LZF is Marc Lehmann's format (liblzf), with which PCL
// compresses the columns of a PCD file and h5py the chunks of a dataset:
//
//	000LLLLL                      L+1 literal bytes follow
//	LLLooooo oooooooo             copy L+2 bytes from o+1 bytes back, L = 1..6
//	111ooooo LLLLLLLL oooooooo    copy L+9 bytes from o+1 bytes back
func Unpack(dst, src []byte) error {
	in, out := 0, 0
	for in < len(src) {
		ctrl := int(src[in])
		in++
		if ctrl < 1<<5 {
			n := ctrl + 1
			if in+n > len(src) || out+n > len(dst) {
				return fault(in, out, n, len(src), len(dst))
			}
			if in+32 <= len(src) && out+32 <= len(dst) { // the longest run: a fixed-length copy needs no call
				*(*[32]byte)(dst[out:]) = *(*[32]byte)(src[in:])
			} else {
				copy(dst[out:out+n], src[in:in+n])
			}
			in, out = in+n, out+n
			continue
		}
		n := ctrl>>5 + 2
		if ctrl >= 7<<5 {
			if in >= len(src) {
				return fault(in, out, n, len(src), len(dst))
			}
			n += int(src[in])
			in++
		}
		if in >= len(src) {
			return fault(in, out, n, len(src), len(dst))
		}
		from := out - (ctrl&31<<8 | int(src[in])) - 1
		in++
		if from < 0 || out+n > len(dst) {
			return fault(in, out, n, len(src), len(dst))
		}
		repeat(dst, from, out, n)
		out += n
	}
	if out != len(dst) {
		return fmt.Errorf("lzf: found %d unpacked bytes, want %d", out, len(dst))
	}
	return nil
}

// repeatStep is the number of bytes that repeat copies at once.
const repeatStep = 8

// repeat copies n bytes forward within dst, byte by byte: if source and destination overlap, bytes just written are
// read again, which is how runs are encoded.
func repeat(dst []byte, from, out, n int) {
	apart, i := out-from, 0
	if out+n+repeatStep > len(dst) {
		for ; i < n; i++ {
			dst[out+i] = dst[from+i]
		}
		return
	}
	if apart < repeatStep { // what repeats with some period also repeats with its multiples
		apart *= (repeatStep + apart - 1) / apart
		for ; i < min(n, apart); i++ {
			dst[out+i] = dst[from+i]
		}
	}
	for ; i < n; i += repeatStep {
		*(*[repeatStep]byte)(dst[out+i:]) = *(*[repeatStep]byte)(dst[out+i-apart:])
	}
}

func fault(in, out, n, have, room int) error {
	return fmt.Errorf("lzf: run of %d bytes at byte %d of %d does not fit: %d of %d unpacked bytes written", n, in, have, out, room)
}
