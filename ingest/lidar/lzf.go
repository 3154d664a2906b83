package lidar

import "fmt"

// unpackLZF unpacks src into exactly len(dst) bytes. LZF is Marc Lehmann's format (liblzf), what PCL packs its columns with:
//
//	000LLLLL                      L+1 literal bytes follow
//	LLLooooo oooooooo             copy L+2 bytes from o+1 bytes back, L = 1..6
//	111ooooo LLLLLLLL oooooooo    copy L+9 bytes from o+1 bytes back
func unpackLZF(dst, src []byte) error {
	in, out := 0, 0
	for in < len(src) {
		ctrl := int(src[in])
		in++
		if ctrl < 1<<5 {
			n := ctrl + 1
			if in+n > len(src) || out+n > len(dst) {
				return lzfError(in, out, n, len(src), len(dst))
			}
			copy(dst[out:out+n], src[in:in+n])
			in, out = in+n, out+n
			continue
		}
		n := ctrl>>5 + 2
		if ctrl >= 7<<5 {
			if in >= len(src) {
				return lzfError(in, out, n, len(src), len(dst))
			}
			n += int(src[in])
			in++
		}
		if in >= len(src) {
			return lzfError(in, out, n, len(src), len(dst))
		}
		from := out - (ctrl&31<<8 | int(src[in])) - 1
		in++
		if from < 0 || out+n > len(dst) {
			return lzfError(in, out, n, len(src), len(dst))
		}
		if from+n <= out {
			copy(dst[out:out+n], dst[from:from+n])
		} else {
			// Source and target overlap: the bytes just written are read again, which is how runs are packed.
			for i := range n {
				dst[out+i] = dst[from+i]
			}
		}
		out += n
	}
	if out != len(dst) {
		return fmt.Errorf("lzf: found %d unpacked bytes, want %d", out, len(dst))
	}
	return nil
}

func lzfError(in, out, n, have, room int) error {
	return fmt.Errorf("lzf: run of %d at byte %d of %d does not fit: %d of %d unpacked bytes written", n, in, have, out, room)
}
