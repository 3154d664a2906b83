package pipeline

import "time"

// Observer is told what the parts of the program do: stages, sinks, sources, transports, the network. It is called from many goroutines and on the
// way of the data, so it must be quick and must not block. A part is named by what it is: "decode", "infer", "sink classifications.jsonl",
// "consumer volumes", "volumes/3" for a partition.
type Observer interface {
	// Count says that something happened to n values or messages at a part.
	Count(part string, e Event, n int)
	// Time says that a part worked on n values for d, and whether that succeeded.
	Time(part string, n int, d time.Duration, err error)
	// Level says how much of something there is at a part now.
	Level(part string, l Level, v int64)
}

// Event is what happens to values and messages.
type Event string

// The events.
const (
	// EventRead counts what was read from a source, EventWritten what is durable at a sink, EventFiltered what a stage made nothing of.
	EventRead     Event = "read"
	EventFiltered Event = "filtered"
	EventWritten  Event = "written"
	// EventRepeated counts what a sink left out because it holds it already.
	EventRepeated Event = "repeated"
	// EventRetried counts attempts that failed and were made again, EventDeadLetter what became a dead letter, EventUnfinished what was left
	// for the next start.
	EventRetried    Event = "retried"
	EventDeadLetter Event = "dead_letter"
	EventUnfinished Event = "unfinished"
	// EventDropped counts what a best-effort sink did not get, or a live source lost.
	EventDropped Event = "dropped"
	// EventDamaged counts messages with a wrong checksum, EventLost those that retention deleted before they were read.
	EventDamaged Event = "damaged"
	EventLost    Event = "lost"
	// EventRebalance counts assignments of partitions.
	EventRebalance Event = "rebalance"
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
