package pipeline

import (
	"strconv"
	"time"
)

// Observer is told what the parts of the program do: stages, sinks, sources, transports, the network. It is called from
// many goroutines and on the way of the data, so it must be quick and must not block. A part is named by what it is:
// "decode", "infer", "sink classifications.jsonl", "consumer volumes", "volumes/3" for a partition (see [Partition]).
// Names come from the configuration, never from the data: there are few.
type Observer interface {
	// Count says that something happened to n values or messages at a part.
	Count(part string, e Event, n int)
	// Time says that a part worked on n values for d, and whether that succeeded.
	Time(part string, n int, d time.Duration, err error)
	// Level says how much of something there is at a part now; [Gone] says that the part is not there any more.
	Level(part string, l Level, v int64)
}

// Gone is the level of what is not there any more: the lag of a partition that another member has taken over.
const Gone = -1

// Partition names a partition of a topic as a part of its own.
func Partition(topic string, partition int) string { return topic + "/" + strconv.Itoa(partition) }

// Event is what happens to values and messages. A part may have events of its own.
type Event string

// The events.
const (
	// EventRead counts what was read from a source, EventWritten what is durable at a sink, EventFiltered what a stage
	// made nothing of.
	EventRead     Event = "read"
	EventFiltered Event = "filtered"
	EventWritten  Event = "written"
	// EventRepeated counts what a sink left out because it holds it already.
	EventRepeated Event = "repeated"
	// EventRetried counts attempts that failed and were made again, EventFailed those that were given up without one.
	EventRetried Event = "retried"
	EventFailed  Event = "failed"
	// EventDeadLetter counts what a part gave up for good, EventDeadLetterStored what a source has stored on its dead
	// letter topic since.
	EventDeadLetter       Event = "dead_letter"
	EventDeadLetterStored Event = "dead_letter_stored"
	// EventUnfinished counts what was left for the next start.
	EventUnfinished Event = "unfinished"
	// EventDropped counts what a best-effort sink did not get, or a live source lost.
	EventDropped Event = "dropped"
	// EventDamaged counts messages with a wrong checksum and packets that cannot be decoded, EventLost messages that
	// retention deleted before they were read and packets that a sensor sent but that never came.
	EventDamaged Event = "damaged"
	EventLost    Event = "lost"
	// EventRebalance counts assignments of partitions.
	EventRebalance Event = "rebalance"
	// EventBytes counts bytes read or written.
	EventBytes Event = "bytes"
	// EventPacket counts packets of a sensor, EventMissed its sweeps that were complete while the reader was too far
	// behind, EventFile files that were taken.
	EventPacket Event = "packet"
	EventMissed Event = "missed"
	EventFile   Event = "file"
	// EventRequest counts requests that a server was sent, EventRefused those that it did not accept.
	EventRequest Event = "request"
	EventRefused Event = "refused"
)

// Level is something there is more or less of.
type Level string

// The levels.
const (
	LevelBytesInFlight  Level = "bytes_in_flight"
	LevelValuesInFlight Level = "values_in_flight"
	LevelQueue          Level = "queue"
	LevelLag            Level = "lag"
	LevelPartitions     Level = "partitions"
	LevelConnections    Level = "connections"
	// LevelStoredBytes is the size of what is on disk.
	LevelStoredBytes Level = "stored_bytes"
)

// Unobserved is the observer that does nothing. Parts take it where they are given none.
var Unobserved Observer = unobserved{}

// Observed is o, or Unobserved where o is nil.
func Observed(o Observer) Observer {
	if o == nil {
		return Unobserved
	}
	return o
}

type unobserved struct{}

func (unobserved) Count(string, Event, int)               {}
func (unobserved) Time(string, int, time.Duration, error) {}
func (unobserved) Level(string, Level, int64)             {}
