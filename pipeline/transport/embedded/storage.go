package embedded

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/voxelstream/voxelstream/pipeline"
)

// The space that must remain on the disk after a request, in bytes. Records leave more of it free than requests that
// write metadata, so consumers can still commit offsets when producers have to wait.
const (
	recordReserve   = 8 << 20
	metadataReserve = 2 << 20
)

// storage tracks whether kfake can write to the disk. When the write of a batch has failed and the producer repeats
// the batch, kfake answers as if it were stored. It also ignores errors when it writes topics, offsets and producer
// IDs. So requests are refused before the disk is full. If a write fails nevertheless, all requests that write are
// refused until the log has been read again.
type storage struct {
	dir      string
	log      *slog.Logger
	observer pipeline.Observer
	free     func(dir string) (int64, error)

	// failures is the number of failed writes.
	failures atomic.Int64
	// broken is set from a failed write until the log has been read again.
	broken atomic.Bool
	// failed receives a value after a failed write.
	failed chan struct{}

	mu   sync.Mutex
	full bool // records are refused
}

func newStorage(dir string, log *slog.Logger, o pipeline.Observer) *storage {
	return &storage{dir: dir, log: log, observer: o, free: freeBytes, failed: make(chan struct{}, 1)}
}

// Logf implements kfake.Logger. It passes on warnings and errors; other messages are about the protocol. Messages about
// failed writes arrive before the request is answered.
func (s *storage) Logf(level kfake.LogLevel, format string, args ...any) {
	if level != kfake.LogLevelError && level != kfake.LogLevelWarn {
		return
	}
	text := fmt.Sprintf(format, args...)
	if isFailedWrite(format) {
		s.fail(text)
		return
	}
	if level == kfake.LogLevelError {
		s.observer.Count(part, pipeline.EventFailed, 1)
		s.log.Error("embedded broker: " + text)
		return
	}
	s.log.Warn("embedded broker: " + text)
}

// failedWrites are the beginnings of kfake's messages about failed writes.
var failedWrites = []string{
	"persist ", "endTx: failed to persist", "compact pids.log", "compact groups.log", "rebuildSegments ",
	"save session state",
}

func isFailedWrite(format string) bool {
	for _, begin := range failedWrites {
		if strings.HasPrefix(format, begin) {
			return true
		}
	}
	return false
}

// fail notes a failed write.
func (s *storage) fail(text string) {
	s.failures.Add(1)
	s.observer.Count(part, pipeline.EventFailed, 1)
	if !s.broken.Swap(true) {
		s.log.Error("embedded broker: cannot write to the disk; refusing requests that write until it works again",
			"directory", s.dir, "error", text)
	}
	select {
	case s.failed <- struct{}{}:
	default:
	}
}

// room reports whether n more bytes can be written while reserve bytes stay free. If the free space is unknown, it
// returns true.
func (s *storage) room(n, reserve int64) (free int64, ok bool) {
	free, err := s.free(s.dir)
	return free, err != nil || free >= n+reserve
}

// refusesRecords reports whether a produce request must be refused. It reports each change between full and not full.
func (s *storage) refusesRecords(r kmsg.Request) bool {
	if s.broken.Load() {
		return true
	}
	var n int64
	if p, ok := r.(*kmsg.ProduceRequest); ok {
		for _, t := range p.Topics {
			for _, p := range t.Partitions {
				n += int64(len(p.Records))
			}
		}
	}
	free, ok := s.room(n, recordReserve)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full == ok {
		s.full = !ok
		if ok {
			s.log.Info("embedded broker: the disk has space again; accepting messages", "directory", s.dir,
				"free_bytes", free)
		} else {
			s.observer.Count(part, pipeline.EventFailed, 1)
			s.log.Error("embedded broker: the disk is full; refusing messages until there is space; free some or "+
				"lower broker.retention_bytes", "directory", s.dir, "free_bytes", free,
				"needed_bytes", n+recordReserve)
		}
	}
	return !ok
}

// refusesMetadata reports whether a request that writes metadata must be refused.
func (s *storage) refusesMetadata(kmsg.Request) bool {
	if s.broken.Load() {
		return true
	}
	_, ok := s.room(0, metadataReserve)
	return !ok
}

// faults returns the errors for requests that cannot be stored. Clients retry all of them.
func (s *storage) faults() []kfake.Fault {
	broken := func(kmsg.Request) bool { return s.broken.Load() }
	const always = -1
	return []kfake.Fault{
		{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.KafkaStorageError, Count: always, When: s.refusesRecords},
		{
			Keys: []kmsg.Key{kmsg.CreateTopics, kmsg.CreatePartitions},
			Err:  kerr.KafkaStorageError, Count: always, When: s.refusesMetadata,
		},
		{
			Keys: []kmsg.Key{kmsg.InitProducerID, kmsg.OffsetCommit, kmsg.TxnOffsetCommit, kmsg.AddPartitionsToTxn},
			Err:  kerr.CoordinatorNotAvailable, Count: always, When: s.refusesMetadata,
		},
		{
			// These free space, or write only a little.
			Keys: []kmsg.Key{
				kmsg.DeleteTopics, kmsg.DeleteRecords, kmsg.AlterConfigs, kmsg.IncrementalAlterConfigs,
				kmsg.OffsetDelete, kmsg.DeleteGroups,
			},
			Err: kerr.KafkaStorageError, Count: always, When: broken,
		},
	}
}

// The pauses between attempts to read the log again after a failed write.
const (
	firstPause = 200 * time.Millisecond
	maxPause   = 30 * time.Second
)

// mend reads the log again after failed writes, as soon as there is space. Then the files hold what was acknowledged,
// and the state of kfake agrees with them.
func (b *Broker) mend() {
	for {
		select {
		case <-b.stop:
			return
		case <-b.storage.failed:
		}
		for pause := firstPause; b.storage.broken.Load(); pause = min(2*pause, maxPause) {
			select {
			case <-b.stop:
				return
			case <-time.After(pause):
			}
			if _, ok := b.storage.room(0, 2*metadataReserve); !ok {
				pause = firstPause // until there is space
				continue
			}
			if err := b.reopen(); err != nil {
				b.storage.log.Error("embedded broker: cannot reopen the log after a failed write; retrying",
					"directory", b.data, "error", err)
			}
		}
	}
}

// reopen closes kfake, which writes what it has in memory, and opens it again.
func (b *Broker) reopen() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cluster != nil {
		b.cluster.Close()
		b.cluster = nil
	}
	before := b.storage.failures.Load()
	if err := b.open(); err != nil {
		return err
	}
	if b.storage.failures.Load() == before {
		b.storage.broken.Store(false)
		b.storage.log.Info("embedded broker: the log was reopened; accepting requests", "directory", b.data)
	}
	return nil
}
