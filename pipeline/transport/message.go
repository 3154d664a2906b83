// Package transport defines the messages between processes: their headers, topics and dead letters. Package kafka is
// the client for a Kafka cluster, package embedded is a broker inside the process, and package transporttest is the
// test suite for a broker and its client.
package transport

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The default topics. Volumes are Arrow streams keyed by stream ID, classifications are JSON.
const (
	TopicVolumes         = "volumes"
	TopicClassifications = "classifications"
	TopicDeadLetters     = "volumes.dlq"
)

// ValidTopic reports whether Kafka allows a topic name: 1 to 249 letters, digits, dots, dashes or underscores.
func ValidTopic(name string) bool {
	return name != "" && len(name) <= 249 && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	})
}

// The headers of a message.
const (
	// HeaderEventID is derived from the input and never random. Delivery is at least once, and duplicates are
	// recognized by it.
	HeaderEventID = "event-id"
	// HeaderVolume is the position of a classification's volume, as PARTITION/OFFSET of the topic of volumes.
	HeaderVolume = "volume"
	// HeaderSchema is the schema of the value, with its version.
	HeaderSchema = "schema"
	// HeaderTrace is the span that sent the message, as in W3C Trace Context. Messages have it if traces are on.
	HeaderTrace       = "traceparent"
	headerContentType = "content-type"
	// headerChecksum guards the value end to end, because kafka-go's readers do not verify Kafka's own checksum.
	headerChecksum = "checksum"
)

// SchemaOfVolumes returns the schema header of volumes. docs/reference/volumes.md describes the versions.
func SchemaOfVolumes(version int) string { return "volumes/" + strconv.Itoa(version) }

// SchemaOfClassification returns the schema header of a classification. The schema is
// docs/reference/classification.schema.json.
func SchemaOfClassification(version int) string { return "classification/" + strconv.Itoa(version) }

// The content types.
const (
	ContentArrow = "application/vnd.apache.arrow.stream"
	ContentJSON  = "application/json"
)

// Header is a named value of a message. If a name repeats, the first header counts.
type Header struct {
	Key   string
	Value []byte
}

// Message is a record of a topic. The event time is stored in the value, never in Kafka's timestamp: a single old
// timestamp would make the broker delete the whole segment as expired.
type Message struct {
	// Key is the stream ID. Messages with the same key share a partition and stay in order. Messages with a nil key are
	// spread over the partitions.
	Key     []byte
	Value   []byte
	Headers []Header

	// Topic, Partition, Offset and Appended are set by consumers and ignored by producers. Appended is the time at
	// which the producer sent the message.
	Topic     string
	Partition int
	Offset    int64
	Appended  time.Time
}

// New returns a message with an event ID, a content type and a checksum, and with more headers.
func New(key, eventID, contentType string, value []byte, more ...Header) Message {
	headers := make([]Header, 0, 3+len(more))
	headers = append(headers, Header{HeaderEventID, []byte(eventID)}, Header{headerContentType, []byte(contentType)},
		Header{headerChecksum, checksum(value)})
	return Message{Key: []byte(key), Value: value, Headers: append(headers, more...)}
}

// Header returns the value of the first header with that name.
func (m *Message) Header(name string) (string, bool) {
	value, ok := m.header(name)
	return string(value), ok
}

func (m *Message) header(name string) ([]byte, bool) {
	for i := range m.Headers {
		if h := &m.Headers[i]; h.Key == name {
			return h.Value, true
		}
	}
	return nil, false
}

// SetHeader replaces the headers with that name by one.
func (m *Message) SetHeader(name, value string) {
	m.Headers = append(slices.DeleteFunc(slices.Clone(m.Headers), func(h Header) bool { return h.Key == name }),
		Header{name, []byte(value)})
}

// EventID returns the event ID header. For a message of another program without one, it returns
// topic/partition/offset, which is just as deterministic.
func (m *Message) EventID() string {
	if id, ok := m.Header(HeaderEventID); ok && id != "" {
		return id
	}
	return fmt.Sprintf("%s/%d/%d", m.Topic, m.Partition, m.Offset)
}

// Size estimates the memory that the message occupies, in bytes. It is charged to the budget.
func (m *Message) Size() int64 {
	n := int64(len(m.Key) + len(m.Value))
	for _, h := range m.Headers {
		n += int64(len(h.Key) + len(h.Value))
	}
	return n + messageOverhead
}

// messageOverhead is the size of the struct and its slice headers, rounded up.
const messageOverhead = 256

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum returns "crc32c:" and the CRC-32C (Castagnoli, as used by Kafka) of the value in hexadecimal.
func checksum(value []byte) []byte {
	sum := binary.BigEndian.AppendUint32(nil, crc32.Checksum(value, castagnoli))
	return hex.AppendEncode([]byte("crc32c:"), sum)
}

// Verify compares the value with its checksum. It accepts messages without one, which come from other programs.
func (m *Message) Verify() error {
	want, ok := m.header(headerChecksum)
	if !ok {
		return nil
	}
	if got := checksum(m.Value); !bytes.Equal(got, want) {
		return fmt.Errorf("damaged message %s at %s/%d offset %d: value of %d bytes has checksum %s, header says %s",
			m.EventID(), m.Topic, m.Partition, m.Offset, len(m.Value), got, want)
	}
	return nil
}
