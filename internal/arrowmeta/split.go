package arrowmeta

import (
	"fmt"
	"slices"
)

// Split returns a stream as streams of one record batch each, all with the schema of the stream. The end marker may be
// missing. A stream of one batch is not copied.
func Split(b []byte) ([][]byte, error) {
	_, rest, err := ReadSchema(b)
	if err != nil {
		return nil, err
	}
	schema := b[:len(b)-len(rest)]
	var out [][]byte
	for len(rest) > 0 && string(rest[:min(len(endMarker), len(rest))]) != endMarker {
		m, err := readMessage(rest)
		if err != nil {
			return nil, fmt.Errorf("message %d: %w", len(out)+1, err)
		}
		if m.kind != headerRecord {
			return nil, fmt.Errorf("message %d: found kind %d, want a record batch (%d)", len(out)+1, m.kind,
				headerRecord)
		}
		if m.body < 0 || m.body > int64(len(m.rest)) {
			return nil, fmt.Errorf("message %d: found a body of %d bytes with %d bytes left", len(out)+1, m.body,
				len(m.rest))
		}
		after := m.rest[m.body:]
		if len(out) == 0 && string(after) == endMarker {
			return [][]byte{b}, nil
		}
		out = append(out, slices.Concat(schema, rest[:len(rest)-len(after)], []byte(endMarker)))
		rest = after
	}
	if len(rest) > len(endMarker) {
		return nil, fmt.Errorf("found %d bytes after the end of the stream", len(rest)-len(endMarker))
	}
	return out, nil
}
