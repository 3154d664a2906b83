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

	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/pipeline"
)

// Config configures the broker. The zero Config is an ephemeral broker on a free port.
type Config struct {
	// DataDir holds the log. It is created if it does not exist, and only one process at a time may use it. If it is
	// empty, the broker uses a temporary directory and Close removes it.
	DataDir string
	// Port is the port on 127.0.0.1. 0 selects a free port.
	Port int
	// Partitions is the default number of partitions of a topic. The default is 4.
	Partitions int
	// MaxPartitions is the maximum number of partitions of all topics. The default is 4096. Each takes files and memory.
	MaxPartitions int
	// MaxMessageBytes limits a record batch. The default is 20 MiB.
	MaxMessageBytes int
	// RetentionBytes and Retention limit the log of each partition. The defaults are 256 MiB and 24 h. Older messages
	// are deleted, read or not.
	RetentionBytes int64
	Retention      time.Duration
	// SegmentBytes is the size of a log file, which is the unit of deletion. The default is 16 MiB.
	SegmentBytes int64
	// RetentionEvery is how often retention is applied. The default is 30 s.
	RetentionEvery time.Duration
	// SyncWrites makes every batch survive a power loss, at about a quarter of the throughput.
	SyncWrites bool
	// Log, if set, receives the warnings of the broker, such as a full disk and damage in the log.
	Log *slog.Logger
	// Observer receives connections, requests, errors, the size of the log, and damage in it, as the part "embedded
	// broker". It may be nil.
	Observer pipeline.Observer
}

// part is the broker's name for the observer.
const part = "embedded broker"

// frameSlack is the maximum size of a request beyond the largest batch: its header, topic names and further batches.
const frameSlack = 12 << 20

// Broker is a running broker.
type Broker struct {
	addr   string
	lock   *os.File
	remove func() error // removes the temporary directory

	data     string // directory of the log
	log      *slog.Logger
	observer pipeline.Observer
	storage  *storage
	guard    *guard
	opts     []kfake.Opt

	mu      sync.Mutex
	cluster *kfake.Cluster // nil if the log cannot be opened again after a failed write

	stop chan struct{}
	done sync.WaitGroup
	once sync.Once
	err  error
}

// Start starts a broker. It accepts connections when Start returns. The error names a directory or port that is in use.
func Start(c Config) (*Broker, error) {
	b := &Broker{
		stop: make(chan struct{}), observer: pipeline.Observed(c.Observer),
		log: cmp.Or(c.Log, slog.New(slog.DiscardHandler)),
	}
	dir := c.DataDir
	if dir == "" {
		temp, remove, err := durable.TempDir("", "broker")
		if err != nil {
			return nil, fmt.Errorf("embedded broker: %w", err)
		}
		b.remove, dir = remove, temp
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
	b.storage = newStorage(b.data, b.log, b.observer)
	b.guard = &guard{
		maxFrame: batch + frameSlack, maxBatch: 4 * int64(batch), defaultPartitions: cmp.Or(c.Partitions, 4),
		maxPartitions: cmp.Or(c.MaxPartitions, 4096),
		data:          b.data, observer: b.observer, storage: b.storage, conns: map[*guardConn]struct{}{},
	}
	b.opts = []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.Ports(c.Port),
		// The log has its own directory, so that kfake does not scan the lock file.
		kfake.DataDir(b.data),
		kfake.ListenFn(b.guard.listen),
		kfake.MaxVersions(versions()),
		kfake.DefaultNumPartitions(cmp.Or(c.Partitions, 4)),
		kfake.BrokerConfigs(map[string]string{
			"message.max.bytes":   strconv.Itoa(batch),
			"log.segment.bytes":   strconv.FormatInt(cmp.Or(c.SegmentBytes, 16<<20), 10),
			"log.retention.bytes": strconv.FormatInt(cmp.Or(c.RetentionBytes, 256<<20), 10),
			"log.retention.ms":    strconv.FormatInt(cmp.Or(c.Retention, 24*time.Hour).Milliseconds(), 10),
		}),
		kfake.WithLogger(b.storage),
	}
	if c.SyncWrites {
		b.opts = append(b.opts, kfake.SyncWrites())
	}
	if err := b.open(); err != nil {
		return fmt.Errorf("data in %s, port %d: %w", dir, c.Port, err)
	}
	b.addr = b.guard.port.Addr().String()
	b.done.Go(func() { b.retain(cmp.Or(c.RetentionEvery, 30*time.Second)) })
	b.done.Go(b.mend)
	return nil
}

// open checks the log and starts kfake with it.
func (b *Broker) open() error {
	check := &logCheck{
		dir: b.data, log: b.log, observer: b.observer, maxPartitions: b.guard.maxPartitions,
	}
	if err := check.run(); err != nil {
		return err
	}
	cluster, err := kfake.NewCluster(b.opts...)
	if err != nil {
		return err
	}
	cluster.Fault(b.storage.faults()...)
	b.cluster = cluster
	close(b.guard.listener.ready)
	return nil
}

// retain applies retention periodically. kfake's own ticker does not run for topics loaded from disk or for broker-wide
// limits.
func (b *Broker) retain(every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		if b.observer != pipeline.Unobserved {
			b.observer.Level(part, pipeline.LevelStoredBytes, size(b.data))
		}
		select {
		case <-t.C:
			b.applyRetention()
		case <-b.stop:
			return
		}
	}
}

func (b *Broker) applyRetention() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cluster != nil {
		b.cluster.ApplyRetention()
	}
}

// size returns the size of the files below a directory. It ignores files that are deleted meanwhile.
func size(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // the file was deleted
		}
		if info, err := d.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

// Addr returns the broker's host:port.
func (b *Broker) Addr() string { return b.addr }

// Close stops the broker and writes its snapshots. Close clients first, because they would retry.
func (b *Broker) Close() error {
	b.once.Do(func() {
		close(b.stop)
		b.done.Wait()
		if b.cluster != nil {
			b.cluster.Close()
		}
		b.err = b.release()
	})
	return b.err
}

// release releases the lock and removes the temporary directory.
func (b *Broker) release() error {
	var errs []error
	if b.guard != nil && b.guard.port != nil {
		errs = append(errs, b.guard.port.Close())
	}
	if b.lock != nil {
		errs = append(errs, b.lock.Close())
	}
	if b.remove != nil {
		errs = append(errs, b.remove())
	}
	return errors.Join(errs...)
}
