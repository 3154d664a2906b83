package embedded

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
)

// kfake keeps committed offsets and producer IDs in files of entries: a length and a checksum, both little-endian, which
// are followed by a version and JSON. kfake stops reading at the first damaged entry.
const (
	entryHead    = 8 // length and checksum
	entryVersion = 1
	maxEntry     = 1 << 24
)

// entryAt returns the JSON of the entry at a position and the position after it.
func entryAt(data []byte, at int) (text []byte, next int, ok bool) {
	if at+entryHead+2 > len(data) {
		return nil, 0, false
	}
	n := int(binary.LittleEndian.Uint32(data[at:]))
	if n < 2 || n > maxEntry || at+entryHead+n > len(data) {
		return nil, 0, false
	}
	body := data[at+entryHead : at+entryHead+n]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(data[at+4:]) ||
		binary.LittleEndian.Uint16(body) != entryVersion {
		return nil, 0, false
	}
	return body[2:], at + entryHead + n, true
}

// entries returns the JSON of all intact entries, and the number of damaged places between them. An incomplete entry
// at the end is not damage, because a write may have been interrupted.
func entries(data []byte) (texts [][]byte, damaged int) {
	for at := 0; at < len(data); {
		text, next, ok := entryAt(data, at)
		if !ok {
			if at = nextEntry(data, at+1); at < len(data) {
				damaged++
			}
			continue
		}
		texts, at = append(texts, text), next
	}
	return texts, damaged
}

// nextEntry returns the position of the next intact entry, or the length of the file.
func nextEntry(data []byte, from int) int {
	begin := []byte{entryVersion, 0, '{'}
	for p := from; ; p++ {
		i := bytes.Index(data[min(p+entryHead, len(data)):], begin)
		if i < 0 {
			return len(data)
		}
		p += i
		if _, _, ok := entryAt(data, p); ok {
			return p
		}
	}
}

// appendEntry appends an entry to a file.
func appendEntry(dst []byte, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return dst, err
	}
	return appendEntryText(dst, text), nil
}

func appendEntryText(dst, text []byte) []byte {
	body := append([]byte{entryVersion, 0}, text...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(body)))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(body, castagnoli))
	return append(dst, body...)
}
