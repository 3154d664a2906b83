package transport

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/internal/clip"
)

// The headers that DeadLetterOf adds to those of the message.
const (
	deadLetterPrefix = "dlq-"

	headerDeadTopic     = deadLetterPrefix + "topic"
	headerDeadPartition = deadLetterPrefix + "partition"
	headerDeadOffset    = deadLetterPrefix + "offset"
	headerDeadStage     = deadLetterPrefix + "stage"
	headerDeadError     = deadLetterPrefix + "error"
	headerDeadAttempts  = deadLetterPrefix + "attempts"
	headerDeadTime      = deadLetterPrefix + "time"

	// These are optional.
	headerDeadLast   = deadLetterPrefix + "last-offset"
	headerDeadBytes  = deadLetterPrefix + "bytes"
	headerDeadSHA256 = deadLetterPrefix + "sha256"
	headerDeadCount  = deadLetterPrefix + "count"
	headerDeadGone   = deadLetterPrefix + "gone"
)

// DeadLetter is the information in the headers of a dead letter.
type DeadLetter struct {
	// Topic, Partition and Offset are where the message was read.
	Topic     string
	Partition int
	Offset    int64
	// Stage is the stage that failed, with Error, after Attempts.
	Stage    string
	Error    string
	Attempts int
	Time     time.Time

	// Last is the last offset of a dead letter for several messages, which are not in it. It is 0 for a single message.
	Last int64
	// Count is the number of items that a dead letter summarizes. It is 0 if it is about one item.
	Count int64
	// Bytes and SHA256 are the size and the digest, in hexadecimal, of a value that was left out: that of the message,
	// or that of the batch for several messages. SHA256 is empty if nothing was left out.
	Bytes  int64
	SHA256 string
	// Gone means that the message was no longer on its topic when it was to be copied, or was damaged there. Its key,
	// value and headers are not in the dead letter.
	Gone bool
}

// LeftOut reports whether the dead letter is without the value of its message.
func (d *DeadLetter) LeftOut() bool { return d.SHA256 != "" }

// DeadLetterOf returns the dead letter of m. It keeps the key, value and headers, so that [Original] can restore the
// message. It replaces the headers of an earlier dead letter. A long error is cut, because it may quote data.
func DeadLetterOf(m Message, d DeadLetter) Message {
	out := Original(m)
	add := func(k, v string) { out.Headers = append(out.Headers, Header{k, []byte(v)}) }
	add(headerDeadTopic, d.Topic)
	add(headerDeadPartition, strconv.Itoa(d.Partition))
	add(headerDeadOffset, strconv.FormatInt(d.Offset, 10))
	add(headerDeadStage, d.Stage)
	add(headerDeadError, clip.Text(strings.ToValidUTF8(d.Error, "")))
	add(headerDeadAttempts, strconv.Itoa(d.Attempts))
	add(headerDeadTime, d.Time.UTC().Format(time.RFC3339Nano))
	if d.Last != 0 {
		add(headerDeadLast, strconv.FormatInt(d.Last, 10))
	}
	if d.Count != 0 {
		add(headerDeadCount, strconv.FormatInt(d.Count, 10))
	}
	if d.LeftOut() {
		add(headerDeadBytes, strconv.FormatInt(d.Bytes, 10))
		add(headerDeadSHA256, d.SHA256)
	}
	if d.Gone {
		add(headerDeadGone, "true")
	}
	return out
}

// Smaller returns versions of a dead letter that are smaller each time, for a topic that refuses the dead letter as too
// large. The first has no value, but its size and digest. The second also has no headers of its own and no key, only the
// number of replays, and the event ID if it is short. The last has a shorter error too.
func Smaller(m Message, d DeadLetter) []Message {
	m, d = WithoutValue(m, d)
	without := DeadLetterOf(m, d)
	id, replays := m.EventID(), m.Replays()
	m.Key, m.Headers = nil, nil
	if len(id) <= maxID {
		m.Headers = []Header{{HeaderEventID, []byte(id)}}
	}
	if replays > 0 {
		m.SetHeader(HeaderReplays, strconv.Itoa(replays))
	}
	bare := DeadLetterOf(m, d)
	d.Error, d.Stage = clip.To(d.Error, maxID), clip.To(d.Stage, maxID)
	return []Message{without, bare, DeadLetterOf(m, d)}
}

// WithoutValue leaves out the value of a message, and returns its dead letter with the size and the digest. The value of
// a message that is gone was never there.
func WithoutValue(m Message, d DeadLetter) (Message, DeadLetter) {
	if !d.LeftOut() && !d.Gone {
		sum := sha256.Sum256(m.Value)
		d.Bytes, d.SHA256 = int64(len(m.Value)), hex.EncodeToString(sum[:])
	}
	m.Value = nil
	return m, d
}

// maxID is the maximum size in bytes of an event ID that is kept in the smallest dead letter.
const maxID = 256

// Identity returns what distinguishes a message from all others on its topic, given its headers. For the dead letter
// of a message, it is the position of that message, the stage that failed, and the event ID: a message that is sent
// back and fails again is another dead letter. For every other message, it is the event ID, or "" if it has none.
func Identity(header func(name string) (string, bool)) string {
	id, _ := header(HeaderEventID)
	offset, ok := header(headerDeadOffset)
	if !ok || strings.HasPrefix(offset, "-") {
		return id
	}
	topic, _ := header(headerDeadTopic)
	partition, _ := header(headerDeadPartition)
	stage, _ := header(headerDeadStage)
	return strings.Join([]string{topic, partition, offset, stage, id}, "\x00")
}

// PartitionOfVolume returns the partition of the topic of volumes from which a message was made, given its headers:
// for a classification, the partition of its volume, and for a dead letter, that of the message that failed. It
// returns "" if there is none.
func PartitionOfVolume(header func(name string) (string, bool)) string {
	if at, ok := header(HeaderVolume); ok {
		partition, _, _ := strings.Cut(at, "/")
		return partition
	}
	if offset, ok := header(headerDeadOffset); ok && !strings.HasPrefix(offset, "-") {
		partition, _ := header(headerDeadPartition)
		return partition
	}
	return ""
}

// IsPosition reports whether a header of a dead letter says where its message was read. It says nothing if the item of
// the dead letter never was a message.
func IsPosition(header string) bool {
	return header == headerDeadTopic || header == headerDeadPartition || header == headerDeadOffset
}

// Original returns the message of a dead letter, without the headers that DeadLetterOf added.
func Original(m Message) Message {
	m.Headers = slices.DeleteFunc(slices.Clone(m.Headers), func(h Header) bool {
		return strings.HasPrefix(h.Key, deadLetterPrefix)
	})
	return m
}

// ReadDeadLetter parses the headers of a dead letter. The error names the first header that is missing or invalid.
func ReadDeadLetter(m Message) (DeadLetter, error) {
	var d DeadLetter
	var first error
	get := func(name string, parse func(string) error) {
		v, ok := m.Header(name)
		err := error(nil)
		if !ok {
			err = fmt.Errorf("header %s is missing", name)
		} else if e := parse(v); e != nil {
			err = fmt.Errorf("header %s: %w", name, e)
		}
		if first == nil && err != nil {
			first = fmt.Errorf("not a dead letter: %s/%d offset %d: %w", m.Topic, m.Partition, m.Offset, err)
		}
	}
	get(headerDeadTopic, func(v string) error { d.Topic = v; return nil })
	get(headerDeadPartition, func(v string) (err error) { d.Partition, err = strconv.Atoi(v); return })
	get(headerDeadOffset, func(v string) (err error) { d.Offset, err = strconv.ParseInt(v, 10, 64); return })
	get(headerDeadStage, func(v string) error { d.Stage = v; return nil })
	get(headerDeadError, func(v string) error { d.Error = v; return nil })
	get(headerDeadAttempts, func(v string) (err error) { d.Attempts, err = strconv.Atoi(v); return })
	get(headerDeadTime, func(v string) (err error) { d.Time, err = time.Parse(time.RFC3339Nano, v); return })
	option := func(name string, parse func(string) error) {
		if _, ok := m.Header(name); ok {
			get(name, parse)
		}
	}
	option(headerDeadLast, func(v string) (err error) { d.Last, err = strconv.ParseInt(v, 10, 64); return })
	option(headerDeadCount, func(v string) (err error) { d.Count, err = strconv.ParseInt(v, 10, 64); return })
	option(headerDeadBytes, func(v string) (err error) { d.Bytes, err = strconv.ParseInt(v, 10, 64); return })
	option(headerDeadSHA256, func(v string) error { d.SHA256 = v; return nil })
	option(headerDeadGone, func(v string) (err error) { d.Gone, err = strconv.ParseBool(v); return })
	return d, first
}
