package record

import (
	"fmt"
	"strconv"
	"strings"
)

// ID identifies an item for ever: the same input gives the same ID on every machine and in every run, which is how a
// repeat is recognised.
type ID struct {
	// Stream names the input: short, printable, the same for the same content wherever it is stored. It is the Kafka
	// key, so the items of a stream stay in order.
	Stream string
	// Seq is the position of the scan, frame or row in its stream, from 0.
	Seq uint64
	// Object is the number of an object of the scan, from 1; 0 is the whole scan. View is the number of one of
	// several views of it, from 1; 0 is the only one.
	Object, View uint32
}

// String is stream/seq, with #object and ~view behind it where they are not 0: drive-1a2b/17#3~5.
func (id ID) String() string {
	b := make([]byte, 0, len(id.Stream)+24)
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
	return string(b)
}

// ParseID reads what String writes, and only that: every ID has one text. A stream may hold any character, also a
// slash.
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
	return fmt.Errorf("item ID: found %q, want stream/seq, with #object and ~view where there are any", text)
}
