// Package transport defines what travels between processes: a [Message] with its headers, the topics, and the dead
// letter form of a message. Package kafka moves messages over a Kafka cluster, package embedded is a broker inside
// the process, transporttest the suite that a broker and its client must pass together.
package transport

import (
	"errors"
	"fmt"
	"hash/crc32"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// The topics of Voxelstream. Volumes carries Arrow streams keyed by stream id, Classifications JSON, DeadLetters what
// could not be processed, Models (compacted) the announcement of a model version.
const (
	TopicVolumes         = "volumes"
	TopicClassifications = "classifications"
	TopicDeadLetters     = "volumes.dlq"
	TopicModels          = "models"
)

// topicName is what Kafka allows.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// ValidTopic says whether Kafka allows a topic of that name: 1 to 249 letters, digits, dots, dashes or underscores.
func ValidTopic(name string) bool { return topicName.MatchString(name) }

// The headers of every message. EventID is deterministic (derived from the input, never random): delivery is at least
// once, and it is how a repeat is recognised. Checksum guards the value end to end, because kafka-go's readers do not
// verify Kafka's own.
const (
	HeaderEventID     = "event-id"
	HeaderContentType = "content-type"
	HeaderTraceparent = "traceparent"
	HeaderChecksum    = "checksum"
	// HeaderSchema names the schema of the value with its version, as SchemaOfVolumes and SchemaClassification do.
	HeaderSchema = "schema"
)

// SchemaClassification is the schema of a classification; docs/reference/classification.schema.json describes it.
const SchemaClassification = "classification/2"

// SchemaOfVolumes is the schema of volumes of a version; docs/reference/volumes.md describes them.
func SchemaOfVolumes(version int) string { return "volumes/" + strconv.Itoa(version) }

// The content types in use.
const (
	ContentArrow = "application/vnd.apache.arrow.stream"
	ContentJSON  = "application/json"
)

// Header is a named value of a message. Names may repeat; the first counts.
type Header struct {
	Key   string
	Value []byte
}

// Message is one record of a topic. The event time is in the value, never in Kafka's timestamp: a broker that sees
// one old timestamp deletes the whole segment as expired.
type Message struct {
	// Key is the stream id: messages of one key share a partition and stay in order. Nil spreads messages over the
	// partitions.
	Key     []byte
	Value   []byte
	Headers []Header

	// Topic, Partition, Offset and Appended (the time the producer sent it) say where the message was read; a
	// producer ignores them.
	Topic     string
	Partition int
	Offset    int64
	Appended  time.Time
}

// New makes a message with its event id, content type and checksum.
func New(key, eventID, contentType string, value []byte) Message {
	return Message{Key: []byte(key), Value: value, Headers: []Header{
		{HeaderEventID, []byte(eventID)},
		{HeaderContentType, []byte(contentType)},
		{HeaderChecksum, checksum(value)},
	}}
}

// Header returns the first header of that name.
func (m *Message) Header(name string) (string, bool) {
	for _, h := range m.Headers {
		if h.Key == name {
			return string(h.Value), true
		}
	}
	return "", false
}

// SetHeader sets a header, in place of the ones of that name.
func (m *Message) SetHeader(name, value string) {
	m.Headers = append(slices.DeleteFunc(slices.Clone(m.Headers), func(h Header) bool { return h.Key == name }),
		Header{name, []byte(value)})
}

// EventID is the header of that name or, for a foreign message without one, topic/partition/offset, which is as
// deterministic.
func (m *Message) EventID() string {
	if id, ok := m.Header(HeaderEventID); ok && id != "" {
		return id
	}
	return fmt.Sprintf("%s/%d/%d", m.Topic, m.Partition, m.Offset)
}

// Size is about what the message occupies in memory, in bytes: what a budget is charged.
func (m *Message) Size() int64 {
	n := int64(len(m.Key) + len(m.Value))
	for _, h := range m.Headers {
		n += int64(len(h.Key) + len(h.Value))
	}
	return n + messageOverhead
}

// messageOverhead is the struct itself with its slice headers, rounded up.
const messageOverhead = 256

// ErrDamaged is wrapped by Verify's errors.
var ErrDamaged = errors.New("damaged message")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is "crc32c:" and the CRC-32C (Castagnoli, the one Kafka uses) of the value in hexadecimal.
func checksum(value []byte) []byte {
	return fmt.Appendf(nil, "crc32c:%08x", crc32.Checksum(value, castagnoli))
}

// Verify compares the value with its checksum. A message without one passes: it was not made by us.
func (m *Message) Verify() error {
	want, ok := m.Header(HeaderChecksum)
	if !ok {
		return nil
	}
	if got := checksum(m.Value); string(got) != want {
		return fmt.Errorf("%w %s at %s/%d offset %d: value of %d bytes has checksum %s, header says %s",
			ErrDamaged, m.EventID(), m.Topic, m.Partition, m.Offset, len(m.Value), got, want)
	}
	return nil
}
