package record

import (
	"fmt"
	"strconv"
	"strings"
)

// ID identifies an item permanently. The same input yields the same ID on every machine and in every run, so
// duplicates can be recognized.
type ID struct {
	// Stream names the input. It is short and printable, and the same for the same content wherever it is stored. It
	// is also the Kafka key, so the items of a stream stay in order.
	Stream string
	// Seq is the position of the scan, frame or row in its stream, from 0.
	Seq uint64
	// Object numbers the objects in a scan, from 1. 0 means the whole scan. View numbers the views of an item, from 1.
	// 0 means that there is only one.
	Object, View uint32
}

// String returns stream/seq, followed by #object and ~view if they are not 0: drive-1a2b/17#3~5.
func (id ID) String() string { return string(id.Append(make([]byte, 0, len(id.Stream)+24))) }

// Append appends what String returns.
func (id ID) Append(b []byte) []byte {
	b = append(b, id.Stream...)
	b = append(b, '/')
	b = strconv.AppendUint(b, id.Seq, 10)
	if id.Object != 0 {
		b = append(b, '#')
		b = strconv.AppendUint(b, uint64(id.Object), 10)
	}
	if id.View != 0 {
		b = append(b, '~')
		b = strconv.AppendUint(b, uint64(id.View), 10)
	}
	return b
}

// ParseID parses the output of String. It accepts no other form, so every ID has exactly one text. A stream may contain
// any character, including a slash.
func ParseID(text string) (ID, error) {
	slash := strings.LastIndexByte(text, '/')
	if slash < 0 {
		return ID{}, errID(text)
	}
	id := ID{Stream: text[:slash]}
	rest, view, _ := strings.Cut(text[slash+1:], "~")
	seq, object, _ := strings.Cut(rest, "#")
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil {
		return ID{}, errID(text)
	}
	id.Seq = n
	for _, part := range []struct {
		text string
		to   *uint32
	}{{object, &id.Object}, {view, &id.View}} {
		if part.text == "" {
			continue
		}
		n, err := strconv.ParseUint(part.text, 10, 32)
		if err != nil {
			return ID{}, errID(text)
		}
		*part.to = uint32(n)
	}
	if id.String() != text {
		return ID{}, errID(text)
	}
	return id, nil
}

func errID(text string) error {
	return fmt.Errorf("item ID: found %q, want stream/seq, optionally followed by #object and ~view", text)
}
