package transport

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The headers that a dead letter has besides those of the message itself: where it was read, what failed and why,
// after how many attempts, when.
const (
	deadLetterPrefix = "dlq-"

	HeaderDeadTopic     = deadLetterPrefix + "topic"
	HeaderDeadPartition = deadLetterPrefix + "partition"
	HeaderDeadOffset    = deadLetterPrefix + "offset"
	HeaderDeadStage     = deadLetterPrefix + "stage"
	HeaderDeadError     = deadLetterPrefix + "error"
	HeaderDeadAttempts  = deadLetterPrefix + "attempts"
	HeaderDeadTime      = deadLetterPrefix + "time"
)

// maxReason bounds the error text in a header: an error may quote data.
const maxReason = 4096

// DeadLetter is what the headers of a dead letter say.
type DeadLetter struct {
	// Topic, Partition and Offset are where the message was.
	Topic     string
	Partition int
	Offset    int64
	// Stage failed with Error after Attempts.
	Stage    string
	Error    string
	Attempts int
	Time     time.Time
}

// DeadLetterOf makes the dead letter of m: key, value and headers stay, so that [Original] gives the message back
// unchanged. The headers of an earlier dead letter are replaced.
func DeadLetterOf(m Message, d DeadLetter) Message {
	out := Original(m)
	add := func(k, v string) { out.Headers = append(out.Headers, Header{k, []byte(v)}) }
	add(HeaderDeadTopic, d.Topic)
	add(HeaderDeadPartition, strconv.Itoa(d.Partition))
	add(HeaderDeadOffset, strconv.FormatInt(d.Offset, 10))
	add(HeaderDeadStage, d.Stage)
	add(HeaderDeadError, strings.ToValidUTF8(d.Error[:min(len(d.Error), maxReason)], ""))
	add(HeaderDeadAttempts, strconv.Itoa(d.Attempts))
	add(HeaderDeadTime, d.Time.UTC().Format(time.RFC3339Nano))
	return out
}

// Original is the message that a dead letter was made of: it removes the headers that DeadLetterOf added.
func Original(m Message) Message {
	m.Headers = slices.DeleteFunc(slices.Clone(m.Headers), func(h Header) bool { return strings.HasPrefix(h.Key, deadLetterPrefix) })
	return m
}

// ReadDeadLetter reads the dead letter headers of m. The error names the first header that is missing or wrong.
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
	get(HeaderDeadTopic, func(v string) error { d.Topic = v; return nil })
	get(HeaderDeadPartition, func(v string) (err error) { d.Partition, err = strconv.Atoi(v); return })
	get(HeaderDeadOffset, func(v string) (err error) { d.Offset, err = strconv.ParseInt(v, 10, 64); return })
	get(HeaderDeadStage, func(v string) error { d.Stage = v; return nil })
	get(HeaderDeadError, func(v string) error { d.Error = v; return nil })
	get(HeaderDeadAttempts, func(v string) (err error) { d.Attempts, err = strconv.Atoi(v); return })
	get(HeaderDeadTime, func(v string) (err error) { d.Time, err = time.Parse(time.RFC3339Nano, v); return })
	return d, first
}
