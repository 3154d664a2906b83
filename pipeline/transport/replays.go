package transport

import (
	"encoding/json"
	"strconv"
	"time"
)

// HeaderReplays counts how often a message was sent back from the dead letters. It stays with the message, so a dead
// letter of a message that was sent back has it.
const HeaderReplays = "replays"

// Replays returns how often a message, or that of a dead letter, was sent back.
func (m *Message) Replays() int {
	v, _ := m.Header(HeaderReplays)
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0
	}
	return max(0, n)
}

// schemaOfReplay is the schema of a record on the topic of dead letters that says which of them were sent back.
const schemaOfReplay = "replay/1"

// ReplayRecord says which dead letters were sent back, by their IDs: PARTITION:OFFSET on their topic. It is stored on
// the same topic, so it is kept as long as they are.
type ReplayRecord struct {
	Time     time.Time `json:"time"`
	Replayed []string  `json:"replayed"`
}

// Message returns the message that stores the record.
func (r ReplayRecord) Message() (Message, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return Message{}, err
	}
	m := New("", "replay/"+r.Time.UTC().Format(time.RFC3339Nano), ContentJSON, value)
	m.Key = nil
	m.SetHeader(HeaderSchema, schemaOfReplay)
	return m, nil
}

// IsReplayRecord reports whether a message on the topic of dead letters is a [ReplayRecord] and not a dead letter.
func IsReplayRecord(m Message) bool {
	schema, _ := m.Header(HeaderSchema)
	if schema != schemaOfReplay {
		return false
	}
	_, dead := m.Header(headerDeadTopic) // the dead letter of a message that has this schema
	return !dead
}

// ReadReplayRecord parses a record for which [IsReplayRecord] is true.
func ReadReplayRecord(m Message) (ReplayRecord, error) {
	var r ReplayRecord
	if err := m.Verify(); err != nil {
		return r, err
	}
	err := json.Unmarshal(m.Value, &r)
	return r, err
}
