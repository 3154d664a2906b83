package textnum

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// Text returns text as the readers expect it: UTF-8 without a byte order mark, lines that end with a line feed, and no
// end-of-file character (Ctrl-Z) or zeros at the end. It is b itself where possible; b is not changed.
func Text(b []byte) []byte { return Lines(UTF8(b)) }

// UTF8 removes a byte order mark, and decodes UTF-16, which has a mark or begins with two ASCII characters.
func UTF8(b []byte) []byte {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(b, []byte("\xef\xbb\xbf")):
		return b[3:]
	case bytes.HasPrefix(b, []byte("\xff\xfe")), len(b) >= 4 && b[0] > 0 && b[1] == 0 && b[2] > 0 && b[3] == 0 &&
		ascii(b[0]) && ascii(b[2]):
		order = binary.LittleEndian
	case bytes.HasPrefix(b, []byte("\xfe\xff")), len(b) >= 4 && b[0] == 0 && b[2] == 0 && ascii(b[1]) && ascii(b[3]):
		order = binary.BigEndian
	default:
		return b
	}
	out := make([]byte, 0, len(b)/2)
	for i := 0; i+1 < len(b); i += 2 {
		r := rune(order.Uint16(b[i:]))
		if utf16.IsSurrogate(r) && i+3 < len(b) {
			r = utf16.DecodeRune(r, rune(order.Uint16(b[i+2:])))
			i += 2
		}
		if r != 0xfeff {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

func ascii(c byte) bool { return c >= ' ' && c < 0x7f || c == '\n' || c == '\r' || c == '\t' }

// Lines makes a carriage return that no line feed follows a line feed, as it ends the lines of old Macintosh files, and
// removes what follows the text.
func Lines(b []byte) []byte {
	b = bytes.TrimRight(b, "\x1a\x00")
	out := b
	for i := 0; ; i++ {
		at := bytes.IndexByte(b[i:], '\r')
		if at < 0 {
			return out
		}
		if i += at; i+1 < len(b) && b[i+1] == '\n' {
			continue
		}
		if &out[0] == &b[0] {
			out = bytes.Clone(b)
		}
		out[i] = '\n'
	}
}
