package transport

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
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
)

// maxReason bounds the error text in a header in bytes, because an error may quote data.
const maxReason = 4096

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
}

// DeadLetterOf returns the dead letter of m. It keeps the key, value and headers, so that [Original] can restore the
// message. It replaces the headers of an earlier dead letter.
func DeadLetterOf(m Message, d DeadLetter) Message {
	out := Original(m)
	add := func(k, v string) { out.Headers = append(out.Headers, Header{k, []byte(v)}) }
	add(headerDeadTopic, d.Topic)
	add(headerDeadPartition, strconv.Itoa(d.Partition))
	add(headerDeadOffset, strconv.FormatInt(d.Offset, 10))
	add(headerDeadStage, d.Stage)
	add(headerDeadError, strings.ToValidUTF8(d.Error[:min(len(d.Error), maxReason)], ""))
	add(headerDeadAttempts, strconv.Itoa(d.Attempts))
	add(headerDeadTime, d.Time.UTC().Format(time.RFC3339Nano))
	return out
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
	return d, first
}
