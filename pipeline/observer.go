package pipeline

import (
	"strconv"
	"time"
)

// Observer receives reports from the parts of the program: stages, sinks, sources, transports and the network. Its
// methods are called from many goroutines for every value, so they must be fast and must not block. Part names come
// from the configuration, never from the data, so there are few. Examples are "decode", "classify",
// "classifications.jsonl", "consumer volumes", and "volumes/3" for a partition (see [Partition]).
type Observer interface {
	// Count reports an event for n values or messages.
	Count(part string, e Event, n int)
	// Time reports that a part worked on n values for d. err is nil if that succeeded.
	Time(part string, n int, d time.Duration, err error)
	// Level reports the current level of something. [Gone] means that it no longer exists.
	Level(part string, l Level, v int64)
}

// Gone is the level of something that no longer exists, such as the lag of a partition that another member has taken
// over.
const Gone = -1

// Partition returns the part name of a partition.
func Partition(topic string, partition int) string { return topic + "/" + strconv.Itoa(partition) }

// Event is something that happens to values or messages. A part may define its own events.
type Event string

// The events.
const (
	// EventRead counts values read from a source.
	EventRead Event = "read"
	// EventFiltered counts values for which a stage returned no results.
	EventFiltered Event = "filtered"
	// EventWritten counts values that are durable at a sink.
	EventWritten Event = "written"
	// EventRepeated counts values that a sink skipped as duplicates.
	EventRepeated Event = "repeated"
	// EventFenced counts values that the broker refused because another process has taken over their partition. They
	// are stored once, here or there.
	EventFenced Event = "fenced"
	// EventRetried counts failed attempts that are retried.
	EventRetried Event = "retried"
	// EventFailed counts failed attempts that are not retried.
	EventFailed Event = "failed"
	// EventDeadLetter counts values that a part gave up for good.
	EventDeadLetter Event = "dead_letter"
	// EventDeadLetterStored counts dead letters that a source has stored on its dead letter topic.
	EventDeadLetterStored Event = "dead_letter_stored"
	// EventUnfinished counts values that were left for the next start.
	EventUnfinished Event = "unfinished"
	// EventDropped counts values dropped by a best-effort sink, and packets dropped by the kernel.
	EventDropped Event = "dropped"
	// EventDamaged counts messages with a wrong checksum, packets that cannot be decoded, and damaged places in the log of
	// the embedded broker.
	EventDamaged Event = "damaged"
	// EventLost counts messages that retention deleted before they were read, messages that damage to the log of the
	// embedded broker has destroyed, and packets that a sensor sent but that never arrived.
	EventLost Event = "lost"
	// EventLogChanged counts the times that the log of a partition was not what it was: another topic of the same name, or
	// truncated.
	EventLogChanged Event = "log_changed"
	// EventRebalance counts assignments of partitions.
	EventRebalance Event = "rebalance"
	// EventBytes counts bytes read or written.
	EventBytes Event = "bytes"
	// EventPacket counts packets from a sensor.
	EventPacket Event = "packet"
	// EventMissed counts sensor sweeps skipped because the reader was too far behind.
	EventMissed Event = "missed"
	// EventFile counts files read from a watched folder or a request.
	EventFile Event = "file"
	// EventPostponed counts failures to read a file or a live source that may pass; it is tried again.
	EventPostponed Event = "postponed"
	// EventQuarantined counts items that are not read because the process died when it read them.
	EventQuarantined Event = "quarantined"
	// EventRequest counts requests received by a server.
	EventRequest Event = "request"
	// EventRefused counts requests that a server rejected.
	EventRefused Event = "refused"
	// EventUnfamiliar counts volumes that are unlike the training data of the model.
	EventUnfamiliar Event = "unfamiliar"
	// EventCompared counts volumes that a shadow model has classified too, EventDisagreed those of which it says something
	// else, and EventLeftOut those that it was to classify and has not.
	EventCompared  Event = "compared"
	EventDisagreed Event = "disagreed"
	EventLeftOut   Event = "left_out"
	// EventModelRefused counts models that failed a check or a volume, so that the model in use remains.
	EventModelRefused Event = "model_refused"
)

// Level is a quantity that rises and falls.
type Level string

// The levels.
const (
	LevelBytesInFlight  Level = "bytes_in_flight"
	LevelValuesInFlight Level = "values_in_flight"
	LevelQueue          Level = "queue"
	LevelLag            Level = "lag"
	LevelPartitions     Level = "partitions"
	LevelConnections    Level = "connections"
	// LevelForgotten is the number of messages of a topic that are too old to be recognized as duplicates.
	LevelForgotten Level = "forgotten"
	// LevelStoredBytes is the size of the data on disk.
	LevelStoredBytes Level = "stored_bytes"
)

// Unobserved is an observer that does nothing.
var Unobserved Observer = unobserved{}

// Observed returns o, or Unobserved if o is nil.
func Observed(o Observer) Observer {
	if o == nil {
		return Unobserved
	}
	return o
}

// Observers returns an observer that passes every report on to all of os.
func Observers(os ...Observer) Observer { return observers(os) }

type observers []Observer

// ScoreObserver is an Observer that also receives the scores of classifications, from 0 to 1.
type ScoreObserver interface {
	Score(part string, score float64)
}

// Score reports a score to an observer that receives scores.
func Score(o Observer, part string, score float64) {
	if s, ok := o.(ScoreObserver); ok {
		s.Score(part, score)
	}
}

func (os observers) Score(part string, score float64) {
	for _, o := range os {
		Score(o, part, score)
	}
}

func (os observers) Count(part string, e Event, n int) {
	for _, o := range os {
		o.Count(part, e, n)
	}
}

func (os observers) Time(part string, n int, d time.Duration, err error) {
	for _, o := range os {
		o.Time(part, n, d, err)
	}
}

func (os observers) Level(part string, l Level, v int64) {
	for _, o := range os {
		o.Level(part, l, v)
	}
}

type unobserved struct{}

func (unobserved) Count(string, Event, int)               {}
func (unobserved) Time(string, int, time.Duration, error) {}
func (unobserved) Level(string, Level, int64)             {}
