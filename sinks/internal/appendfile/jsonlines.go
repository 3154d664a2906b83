package appendfile

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/record"
)

// JSONLines is the layout of JSON lines, one object per line.
func JSONLines() Layout { return &jsonLines{} }

type jsonLines struct {
	keys reader
}

func (*jsonLines) Header() []byte    { return nil }
func (*jsonLines) Begin([]byte) bool { return false }
func (*jsonLines) Newer() Layout     { return nil }
func (*jsonLines) Quotes() bool      { return false }

func (l *jsonLines) Append(dst []byte, c *record.Classification) ([]byte, error) {
	b, err := c.AppendJSON(dst)
	if err != nil { // NaN has no JSON
		return dst, fmt.Errorf("%.200s: %w", c.EventID, err)
	}
	return append(b, '\n'), nil
}

func (l *jsonLines) Key(row []byte) (dedupe.Key, bool) { return l.keys.keyOf(row) }

func (*jsonLines) Decode(row []byte, c *record.Classification) error {
	if err := json.Unmarshal(row, c); err != nil {
		return err
	}
	if c.EventID == "" {
		return fmt.Errorf("found %.60q, want a classification", bytes.TrimSpace(row))
	}
	return nil
}

func (*jsonLines) MayBegin(text []byte) bool {
	const begin = `{"event_id":"`
	n := min(len(text), len(begin))
	return string(text[:n]) == begin[:n]
}

// reader extracts the keys from lines. Its speed determines how long opening a file takes. Lines that Append makes of
// names in ASCII are not decoded. Most others are read by a scanner that does not allocate, and the rest by
// encoding/json.
type reader struct {
	line []byte
	at   int
	key  []byte
}

// keyOf returns the key of the classification in a line, or false if the line is not a classification.
func (r *reader) keyOf(line []byte) (dedupe.Key, bool) {
	event, digest, ok := ours(line)
	if !ok {
		event, digest, ok = r.scan(line)
	}
	if ok {
		r.key = append(append(append(r.key[:0], event...), '@'), digest...)
		return dedupe.Of(r.key), true
	}
	var c record.Classification
	if err := json.Unmarshal(line, &c); err != nil || c.EventID == "" {
		return dedupe.Key{}, false
	}
	return dedupe.Of(c.Key()), true
}

// The fields that a line of Append begins with, and what is before the digest.
var (
	eventBegin  = []byte(`{"event_id":"`)
	streamBegin = []byte(`","stream":"`)
	modelBegin  = []byte(`,"model":{`)
	digestBegin = []byte(`"digest":"`)
)

// ours returns event_id and model.digest of a line in the form that Append writes. It returns false for lines with
// escapes, and for lines that may be damaged or run together: with zeros, a second event_id, or brackets or quotation
// marks that do not match.
func ours(line []byte) (event, digest []byte, ok bool) {
	if !bytes.HasPrefix(line, eventBegin) || !bytes.HasSuffix(line, []byte("}\n")) {
		return nil, nil, false
	}
	event, rest, ok := bytes.Cut(line[len(eventBegin):], streamBegin)
	if !ok || len(event) == 0 || bytes.IndexByte(event, '"') >= 0 {
		return nil, nil, false
	}
	model := bytes.Index(rest, modelBegin)
	if model < 0 {
		return nil, nil, false
	}
	inModel := rest[model:]
	if end := bytes.IndexByte(inModel, '}'); end >= 0 {
		inModel = inModel[:end]
	}
	_, digest, ok = bytes.Cut(inModel, digestBegin)
	end := bytes.IndexByte(digest, '"')
	if !ok || end < 0 || bytes.IndexByte(rest, '\\') >= 0 || bytes.IndexByte(line, 0) >= 0 ||
		bytes.Contains(rest, eventBegin) || bytes.Count(line, []byte{'"'})%2 != 0 ||
		bytes.Count(line, []byte{'{'}) != bytes.Count(line, []byte{'}'}) ||
		bytes.Count(line, []byte{'['}) != bytes.Count(line, []byte{']'}) {
		return nil, nil, false
	}
	digest = digest[:end]
	return event, digest, isASCII(event) && isASCII(digest) && bytes.IndexByte(event, '\\') < 0
}

// isASCII reports whether a text has only printable ASCII characters.
func isASCII(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c >= 0x80 {
			return false
		}
	}
	return true
}

// maxDepth is the maximum nesting depth for scan. A classification has three levels.
const maxDepth = 8

// scan returns event_id and model.digest of a JSON object. It returns false if they are not plain ASCII strings, if the
// object has other features that need a full parser, and if it is invalid.
func (r *reader) scan(line []byte) (event, digest []byte, ok bool) {
	r.line, r.at = line, 0
	ok = r.object(func(name []byte) bool {
		switch string(name) {
		case "event_id":
			var ok bool
			again := event != nil
			event, ok = r.text()
			return ok && !again && len(event) > 0
		case "model":
			return digest == nil && r.object(func(name []byte) bool {
				if string(name) != "digest" {
					return r.value(2)
				}
				var ok bool
				again := digest != nil
				digest, ok = r.text()
				return ok && !again
			})
		}
		return r.value(1)
	})
	r.space()
	return event, digest, ok && r.at == len(r.line) && event != nil && digest != nil
}

func (r *reader) space() {
	for r.at < len(r.line) && (r.line[r.at] == ' ' || r.line[r.at] == '\n' || r.line[r.at] == '\r' ||
		r.line[r.at] == '\t') {
		r.at++
	}
}

// next skips white space and then c, if it is next.
func (r *reader) next(c byte) bool {
	r.space()
	if r.at < len(r.line) && r.line[r.at] == c {
		r.at++
		return true
	}
	return false
}

// object reads an object. member reads the value of a name. Names must consist of lower-case letters and underscores,
// as ours do, because encoding/json ignores case.
func (r *reader) object(member func(name []byte) bool) bool {
	if !r.next('{') {
		return false
	}
	for first := true; !r.next('}'); first = false {
		if !first && !r.next(',') {
			return false
		}
		name, ok := r.text()
		if !ok || !r.next(':') {
			return false
		}
		for _, c := range name {
			if (c < 'a' || c > 'z') && c != '_' {
				return false
			}
		}
		if !member(name) {
			return false
		}
	}
	return true
}

// text reads an ASCII string without escapes. The result is not nil.
func (r *reader) text() ([]byte, bool) {
	if !r.next('"') {
		return nil, false
	}
	for i := r.at; i < len(r.line); i++ {
		switch c := r.line[i]; {
		case c == '"':
			s := r.line[r.at:i]
			r.at = i + 1
			return s, true
		case c == '\\' || c < ' ' || c >= 0x80:
			return nil, false
		}
	}
	return nil, false
}

// value reads any value at a nesting depth.
func (r *reader) value(depth int) bool {
	r.space()
	if r.at >= len(r.line) || depth > maxDepth {
		return false
	}
	switch c := r.line[r.at]; {
	case c == '"':
		_, ok := r.text()
		return ok
	case c == '{':
		return r.object(func([]byte) bool { return r.value(depth + 1) })
	case c == '[':
		return r.array(depth)
	case c == '-' || c >= '0' && c <= '9':
		return r.number()
	}
	for _, word := range []string{"true", "false", "null"} {
		if len(r.line)-r.at >= len(word) && string(r.line[r.at:r.at+len(word)]) == word {
			r.at += len(word)
			return true
		}
	}
	return false
}

func (r *reader) array(depth int) bool {
	r.at++
	for first := true; !r.next(']'); first = false {
		if !first && !r.next(',') || !r.value(depth+1) {
			return false
		}
	}
	return true
}

// number reads a number by the JSON grammar: no leading zeros, and a digit on both sides of the point.
func (r *reader) number() bool {
	r.one('-', '-')
	if !r.one('0', '0') && !r.digits() {
		return false
	}
	if r.one('.', '.') && !r.digits() {
		return false
	}
	if r.one('e', 'E') {
		r.one('+', '-')
		return r.digits()
	}
	return true
}

func (r *reader) one(a, b byte) bool {
	if r.at < len(r.line) && (r.line[r.at] == a || r.line[r.at] == b) {
		r.at++
		return true
	}
	return false
}

func (r *reader) digits() bool {
	from := r.at
	for r.at < len(r.line) && r.line[r.at] >= '0' && r.line[r.at] <= '9' {
		r.at++
	}
	return r.at > from
}
