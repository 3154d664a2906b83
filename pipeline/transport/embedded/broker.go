package embedded

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/voxelstream/voxelstream/pipeline"
)

// Config says where the broker keeps its data and what its limits are. The zero Config is an ephemeral broker on a free
// port.
type Config struct {
	// DataDir holds the log, made when absent; one process at a time may use it. Empty means a temporary directory,
	// removed by Close.
	DataDir string
	// Port on 127.0.0.1; 0 takes a free one.
	Port int
	// Partitions is how many a topic gets when its creator does not say; the default is 4.
	Partitions int
	// MaxMessageBytes bounds a record batch; the default is 20 MiB.
	MaxMessageBytes int
	// RetentionBytes and Retention bound each partition's log; the defaults are 256 MiB and 24 h. What is beyond is
	// deleted whether it was read or not. The log is read into memory at start, so the bound is also one on memory.
	RetentionBytes int64
	Retention      time.Duration
	// SegmentBytes is the size of a log file, the unit of deletion; the default is 16 MiB.
	SegmentBytes int64
	// RetentionEvery is how often the bounds are applied; the default is 30 s.
	RetentionEvery time.Duration
	// SyncWrites makes each batch survive a loss of power, at about a quarter of the throughput.
	SyncWrites bool
	// Log, if set, gets the broker's warnings: a full disk is told there, its clients only hear of an unknown error.
	Log *slog.Logger
	// Observer is told of connections, requests, errors and the size of the log, as the part "embedded broker"; nil:
	// nobody is.
	Observer pipeline.Observer
}

// part is what the broker is called where it is observed.
const part = "embedded broker"

// warnings passes kfake's warnings and errors on; the rest is about its protocol.
type warnings struct {
	log      *slog.Logger
	observer pipeline.Observer
}

// Logf is kfake's way to log.
func (w warnings) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		w.observer.Count(part, pipeline.EventFailed, 1)
		w.log.Error("embedded broker: " + fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		w.log.Warn("embedded broker: " + fmt.Sprintf(format, args...))
	}
}

// frameSlack is what a request may have beyond the largest batch: its header, topic names, several batches.
const frameSlack = 12 << 20

// Broker is a running broker.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
	lock    *os.File
	temp    string // removed by Close, if not empty

	data     string // the folder of the log
	observer pipeline.Observer

	stop chan struct{}
	done sync.WaitGroup
	once sync.Once
	err  error
}

// Start starts a broker; it answers when Start returns. An error says which directory or port is taken, and by whom.
func Start(c Config) (*Broker, error) {
	b := &Broker{stop: make(chan struct{}), observer: pipeline.Observed(c.Observer)}
	dir := c.DataDir
	if dir == "" {
		temp, err := os.MkdirTemp("", "voxelstream-broker-")
		if err != nil {
			return nil, fmt.Errorf("embedded broker: %w", err)
		}
		b.temp, dir = temp, temp
	}
	if err := b.start(c, dir); err != nil {
		return nil, fmt.Errorf("embedded broker: %w", errors.Join(err, b.release()))
	}
	return b, nil
}

func (b *Broker) start(c Config, dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return err
	}
	b.lock, b.data = lock, filepath.Join(dir, "log")
	batch := cmp.Or(c.MaxMessageBytes, 20<<20)
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.Ports(c.Port),
		// The log has a folder of its own, so that the lock is not among files that kfake scans.
		kfake.DataDir(b.data),
		guarded(batch+frameSlack, b.observer),
		kfake.DefaultNumPartitions(cmp.Or(c.Partitions, 4)),
		kfake.BrokerConfigs(map[string]string{
			"message.max.bytes":   strconv.Itoa(batch),
			"log.segment.bytes":   strconv.FormatInt(cmp.Or(c.SegmentBytes, 16<<20), 10),
			"log.retention.bytes": strconv.FormatInt(cmp.Or(c.RetentionBytes, 256<<20), 10),
			"log.retention.ms":    strconv.FormatInt(cmp.Or(c.Retention, 24*time.Hour).Milliseconds(), 10),
		}),
	}
	if c.Log != nil || c.Observer != nil {
		opts = append(opts, kfake.WithLogger(warnings{cmp.Or(c.Log, slog.New(slog.DiscardHandler)), b.observer}))
	}
	if c.SyncWrites {
		opts = append(opts, kfake.SyncWrites())
	}
	if b.cluster, err = kfake.NewCluster(opts...); err != nil {
		return fmt.Errorf("data in %s, port %d: %w", dir, c.Port, err)
	}
	b.addr = b.cluster.ListenAddrs()[0]
	b.done.Go(func() { b.retain(cmp.Or(c.RetentionEvery, 30*time.Second)) })
	return nil
}

// retain applies retention from a ticker of our own: kfake's is not started for topics loaded from disk, nor for
// broker-wide limits.
func (b *Broker) retain(every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		if b.observer != pipeline.Unobserved {
			b.observer.Level(part, pipeline.LevelStoredBytes, size(b.data))
		}
		select {
		case <-t.C:
			b.cluster.ApplyRetention()
		case <-b.stop:
			return
		}
	}
}

// size is the size of the files below a folder. What is deleted meanwhile counts as nothing.
func size(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // it is gone
		}
		if info, err := d.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

// Addr is the broker's host:port.
func (b *Broker) Addr() string { return b.addr }

// Close stops the broker and writes its snapshots. Close clients first: they would retry.
func (b *Broker) Close() error {
	b.once.Do(func() {
		close(b.stop)
		b.done.Wait()
		b.cluster.Close()
		b.err = b.release()
	})
	return b.err
}

// release gives back the lock and the temporary directory.
func (b *Broker) release() error {
	var errs []error
	if b.lock != nil {
		errs = append(errs, b.lock.Close())
	}
	if b.temp != "" {
		errs = append(errs, os.RemoveAll(b.temp))
	}
	return errors.Join(errs...)
}
