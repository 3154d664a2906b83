// Package claimcheck keeps the values of messages that are too large for Kafka in a folder or an object store. The
// message then has a reference in place of its value.
//
// Objects are named by their SHA-256: a message that is sent again writes the same object again. They are never removed
// here; a rule of the bucket or a job of the system removes old ones.
package claimcheck

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/voxelstream/voxelstream/internal/clip"
	"github.com/voxelstream/voxelstream/internal/store"
	"github.com/voxelstream/voxelstream/internal/transient"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
)

// Store is the place of the objects, which is opened when it is first used. Its methods may be called concurrently. A nil
// *Store, and one without a place, have no objects: messages that refer to one are refused.
type Store struct {
	place string
	limit int64
	log   *slog.Logger

	read, write opener
}

// attemptTime limits an attempt to read or write an object: 1 GiB at 4 MB/s.
const attemptTime = 5 * time.Minute

// The pause between attempts to write an object.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = 10 * time.Second
)

// New returns a store at a place, as in [store.Open]. Without a place, it has no objects. limit is the maximum size of an
// object in bytes.
func New(place string, limit int64, log *slog.Logger) *Store {
	return &Store{place: place, limit: limit, log: log, read: newOpener(store.Attach), write: newOpener(store.Open)}
}

// opener opens the place once.
type opener struct {
	open   func(ctx context.Context, place string) (store.Store, error)
	using  chan struct{} // full while opened is used
	opened store.Store
}

func newOpener(open func(ctx context.Context, place string) (store.Store, error)) opener {
	return opener{open: open, using: make(chan struct{}, 1)}
}

func (o *opener) at(ctx context.Context, place string) (store.Store, error) {
	select {
	case o.using <- struct{}{}:
	case <-ctx.Done(): // another caller opens the place, which may take long
		return nil, ctx.Err()
	}
	defer func() { <-o.using }()
	if o.opened != nil {
		return o.opened, nil
	}
	var err error
	o.opened, err = o.open(ctx, place)
	return o.opened, err
}

func (o *opener) close() error {
	o.using <- struct{}{}
	defer func() { <-o.using }()
	if o.opened == nil {
		return nil
	}
	return o.opened.Close()
}

// On reports whether there is a place.
func (c *Store) On() bool { return c != nil && c.place != "" }

// Prepare reports whether the place can be written to. It creates a folder. If the error may pass, there is only a
// warning, because Deposit waits.
func (c *Store) Prepare(ctx context.Context) error {
	if !c.On() {
		return nil
	}
	return c.reach(ctx, &c.write, "large values cannot be stored outside Kafka now; their messages will wait")
}

// Reach reports whether the place can be read. If the error may pass, there is only a warning. A folder need not exist,
// because the first process that writes creates it.
func (c *Store) Reach(ctx context.Context) error {
	if !c.On() {
		return nil
	}
	return c.reach(ctx, &c.read, "objects outside Kafka cannot be read now; messages that refer to them will wait")
}

func (c *Store) reach(ctx context.Context, o *opener, warning string) error {
	_, err := o.at(ctx, c.place)
	if err == nil || !passing(err) {
		return c.fail(err)
	}
	c.log.Warn(warning, "place", store.Mask(c.place), "error", err)
	return nil
}

// fail names the setting of an error.
func (c *Store) fail(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("kafka.claim_check: %w", err)
}

// passing reports whether an error may pass without anybody's doing.
func passing(err error) bool { return store.Transient(err) || transient.IsShort(err) }

// Deposit stores the value of a message, and returns the message with a reference in its place. The object is durable
// when it returns. It waits for a place that does not answer until ctx ends. A value above the limit is a permanent error.
func (c *Store) Deposit(ctx context.Context, m transport.Message) (transport.Message, error) {
	size := int64(len(m.Value))
	if size > c.limit {
		return m, pipeline.Permanent(fmt.Errorf("found a value of %d bytes, want at most %d (kafka.claim_check_max)", size,
			c.limit))
	}
	sum := sha256.Sum256(m.Value)
	ref := transport.Reference{Size: size, SHA256: hex.EncodeToString(sum[:])}
	pause := pipeline.Retry{First: firstPause, Max: maxPause}
	for failures := 1; ; failures++ {
		err := c.put(ctx, ref.Object(), m.Value)
		if err == nil {
			return m.WithReference(ref), nil
		}
		if ctx.Err() != nil || !passing(err) && !errors.Is(err, context.DeadlineExceeded) {
			return m, c.fail(err)
		}
		c.log.Warn("an object outside Kafka cannot be written; it is tried again", "object", ref.Object(), "event_id",
			clip.Text(m.EventID()), "failures", failures, "error", err)
		if !pause.Wait(ctx, failures) {
			return m, c.fail(err)
		}
	}
}

// put writes an object. One that exists is written again: rules that remove objects by age then count from the last
// message that refers to it, and a damaged object is replaced.
func (c *Store) put(ctx context.Context, name string, value []byte) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	s, err := c.write.at(ctx, c.place)
	if err != nil {
		return err
	}
	return s.Put(ctx, name, func(path string) error { return os.WriteFile(path, value, 0o666) })
}

// Charge returns the memory that a message takes with its value, in bytes: a reference that Value would follow counts as
// the object.
func (c *Store) Charge(m *transport.Message) int64 {
	n := m.Size()
	if ref, err := c.refers(m); ref != nil && err == nil {
		n += ref.Size
	}
	return n
}

// refers returns the reference in a message that may be followed, or nil if the message has its value. Errors are
// permanent.
func (c *Store) refers(m *transport.Message) (*transport.Reference, error) {
	ref, err := m.Reference()
	switch {
	case ref == nil || err != nil:
	case !c.On():
		err = fmt.Errorf("the value is outside Kafka, in the object %s of %d bytes; set kafka.claim_check to the folder or "+
			"bucket in which the producer keeps objects", ref.Object(), ref.Size)
	case ref.Size > c.limit:
		err = fmt.Errorf("object %s: found %d bytes, want at most %d (kafka.claim_check_max)", ref.Object(), ref.Size,
			c.limit)
	}
	return ref, pipeline.Permanent(err)
}

// Value returns the value of a message, from the object that it refers to if it refers to one. A reference that cannot
// be followed, an object that does not exist, and one with another size or digest are permanent errors. Everything else,
// such as a place that does not answer, may pass. No memory is taken for an object before its size is known to be right.
func (c *Store) Value(ctx context.Context, m *transport.Message) ([]byte, error) {
	ref, err := c.refers(m)
	if err != nil {
		return nil, err
	}
	if ref == nil {
		return m.Value, nil
	}
	attempt, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	value, err := c.load(attempt, ref)
	switch wrong, size := errors.AsType[*store.SizeError](err); {
	case err == nil:
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case size:
		return nil, pipeline.Permanent(fmt.Errorf("object %w", wrong))
	case errors.Is(err, fs.ErrNotExist):
		return nil, pipeline.Permanent(fmt.Errorf("object %s: not found at %s, want %d bytes; was it removed before the "+
			"message was?", ref.Object(), store.Mask(c.place), ref.Size))
	default:
		return nil, fmt.Errorf("object %s: %w", ref.Object(), c.fail(err))
	}
	if sum := sha256.Sum256(value); hex.EncodeToString(sum[:]) != ref.SHA256 {
		return nil, pipeline.Permanent(fmt.Errorf("object %s: found content with the SHA-256 %x, want %s", ref.Object(), sum,
			ref.SHA256))
	}
	return value, nil
}

func (c *Store) load(ctx context.Context, ref *transport.Reference) ([]byte, error) {
	s, err := c.read.at(ctx, c.place)
	if err != nil {
		// Whatever it is that does not exist, it is not the object.
		return nil, errors.New(err.Error())
	}
	return s.Load(ctx, ref.Object(), ref.Size)
}

// ValueWithin is Value for readers other than a consumer with a budget: what it reads is taken from a budget. release
// returns it, and must be called unless there is an error.
func (c *Store) ValueWithin(ctx context.Context, b *pipeline.Budget, m *transport.Message,
) (value []byte, release func(), err error) {
	n := c.Charge(m) - m.Size()
	if err := b.Acquire(ctx, n); err != nil {
		return nil, nil, err
	}
	if value, err = c.Value(ctx, m); err != nil {
		b.Release(n)
		return nil, nil, err
	}
	return value, func() { b.Release(n) }, nil
}

// Close closes the place.
func (c *Store) Close() error {
	if c == nil {
		return nil
	}
	return cmp.Or(c.read.close(), c.write.close())
}
