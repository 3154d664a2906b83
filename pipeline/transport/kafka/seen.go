package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/recordset"
)

// seen has the latest events of a partition. Its fields are guarded by the Deduper, except reading.
type seen struct {
	reading chan struct{} // held by the goroutine that reads the partition
	ids     *dedupe.Window
	next    int64              // the next offset to read, or unread
	ahead   map[int64]struct{} // offsets from next on that this process wrote
	markers map[int64]int16    // the latest epoch of each producer whose marker was read
	resets  int                // number of times that everything was forgotten
}

// unread is the next offset of a partition of which nothing was read.
const unread = -1

func newSeen(window int) *seen {
	s := &seen{reading: make(chan struct{}, 1)}
	s.reset(window)
	return s
}

// reset forgets everything.
func (s *seen) reset(window int) {
	s.ids, s.next = dedupe.NewWindow(window), unread
	s.ahead, s.markers = map[int64]struct{}{}, map[int64]int16{}
	s.resets++
}

// own adds an event that this process wrote. If no one else wrote before it, its offset need not be read.
func (s *seen) own(id dedupe.Key, offset int64) {
	s.ids.Add(id)
	if offset >= s.next && s.next != unread {
		s.ahead[offset] = struct{}{}
		s.advance(s.next)
	}
}

// advance moves the next offset to read to offset, and beyond what this process wrote.
func (s *seen) advance(offset int64) {
	for at := s.next; at < offset && len(s.ahead) > 0; at++ {
		delete(s.ahead, at)
	}
	s.next = max(s.next, offset)
	for {
		if _, ok := s.ahead[s.next]; !ok {
			return
		}
		delete(s.ahead, s.next)
		s.next++
	}
}

// marked reports whether the marker of a claim was read.
func (s *seen) marked(c *claim) bool {
	epoch, ok := s.markers[c.producer]
	return ok && epoch >= c.epoch
}

// ready returns the queues to write the events of a source to, after everything that other processes have written of
// these events was read.
func (d *Deduper) ready(ctx context.Context, name string) ([]*partitionQueue, error) {
	if name != "" {
		c, err := d.claim(ctx, name, false)
		if err != nil {
			return nil, err
		}
		if c.fenced() {
			d.poll()
			return c.queues, nil
		}
	}
	for {
		// Others may have written to a partition that was added a moment ago.
		queues, err := d.p.queuesSince(ctx, d.topic, time.Now())
		if err != nil {
			return nil, err
		}
		if err = d.catchUp(ctx, len(queues)); !errors.Is(err, errMoved) {
			return queues, err
		}
	}
}

// claim returns the claim of a source. If there is no valid claim, or fresh is set, it makes one.
func (d *Deduper) claim(ctx context.Context, name string, fresh bool) (*claim, error) {
	d.mu.Lock()
	s := d.sources[name]
	if s == nil {
		s = &source{making: make(chan struct{}, 1)}
		d.sources[name] = s
	}
	d.mu.Unlock()
	for failures := 1; ; failures++ {
		queues, err := d.p.queues(ctx, d.topic)
		if err != nil {
			return nil, err
		}
		if c := d.current(s); !fresh && c.valid(len(queues)) {
			return c, nil
		}
		c, err := d.renew(ctx, s, name, len(queues), fresh)
		if err == nil || ctx.Err() != nil {
			return c, err
		}
		d.p.client.logRetry("claim "+name, retrying, failures, err)
		if !(pipeline.Retry{}).Wait(ctx, failures) {
			return nil, ctx.Err()
		}
	}
}

func (d *Deduper) current(s *source) *claim {
	d.mu.Lock()
	defer d.mu.Unlock()
	return s.claim
}

// renew makes a new claim of a source, unless another goroutine has done so in the meantime. The previous claim is
// lost.
func (d *Deduper) renew(ctx context.Context, s *source, name string, partitions int, fresh bool) (*claim, error) {
	select {
	case s.making <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.making }()
	c := d.current(s)
	if !fresh && c.valid(partitions) {
		return c, nil
	}
	if c != nil {
		c.lose()
	}
	// Another process may have written to a partition that was added a moment ago.
	queues, err := d.p.queuesSince(ctx, d.topic, time.Now())
	if err != nil {
		return nil, err
	}
	partitions = len(queues)
	refused := d.refused()
	if !refused {
		c, err = d.p.makeClaim(ctx, name, d.topic, partitions)
	}
	switch {
	case refused, errors.Is(err, errNoClaims):
		c = &claim{source: name, producer: noProducer, made: time.Now()}
		d.unfenced(err)
	case err != nil:
		return nil, err
	default:
		waiting, cancel := context.WithTimeoutCause(ctx, markerTime, fmt.Errorf("no marker within %v", markerTime))
		defer cancel()
		if err := d.followAll(waiting, partitions, func(_ int, s *seen) bool { return s.marked(c) }); err != nil {
			return nil, err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s.claim = c
	return c, nil
}

// refused reports whether the cluster has recently refused a claim.
func (d *Deduper) refused() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.unclaimed.IsZero() && time.Since(d.unclaimed) < unfencedAge
}

// unfenced makes the Deduper continue without claims for a while because of err, if there is one, and logs once what
// that means.
func (d *Deduper) unfenced(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.unclaimed = time.Now()
	}
	if err != nil && !d.warned.claims {
		d.warned.claims = true
		d.p.client.log.Warn("kafka: continuing without protection against two writers; a classification may be stored twice "+
			"when a partition is taken over from a process that still runs. Allow this user to write to transactional IDs that "+
			"begin with the name of the group", "topic", d.topic, "error", err)
	}
}

// catchUp reads what was written to the topic before the call and has not been read.
func (d *Deduper) catchUp(ctx context.Context, partitions int) error {
	asked := time.Now()
	select {
	case d.catching <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-d.catching }()
	if d.caught.After(asked) {
		return nil // another goroutine has begun to do so after the call
	}
	begin := time.Now()
	if err := d.readAll(ctx, partitions); err != nil {
		return err
	}
	d.caught = begin
	return nil
}

// readAll reads all partitions up to their current end.
func (d *Deduper) readAll(ctx context.Context, partitions int) error {
	d.mu.Lock()
	var read []int64 // this process may write more while the ends are looked up
	for _, s := range d.parts {
		read = append(read, s.next)
	}
	d.mu.Unlock()
	var ends map[int]int64
	err := d.whileThere(ctx, "list offsets of "+d.topic, partitions-1, func(ctx context.Context) (err error) {
		ends, err = d.p.client.offsets(ctx, d.topic, highWatermark, all(partitions)...)
		return err
	})
	if err != nil {
		return err
	}
	d.mu.Lock()
	for i, s := range d.parts[:min(len(read), len(d.parts), partitions)] {
		if read[i] > ends[i] { // the topic was created again
			d.recreated(s)
		}
	}
	d.mu.Unlock()
	err = d.followAll(ctx, partitions, func(i int, s *seen) bool { return s.next >= ends[i] })
	d.compare(ctx, ends)
	return err
}

// recreated forgets what was read of a partition, and all claims, because the log is another one. d.mu must be held.
func (d *Deduper) recreated(s *seen) {
	s.reset(d.window)
	for _, s := range d.sources {
		if s.claim != nil {
			s.claim.lose()
		}
	}
}

const (
	// pollEvery is how often a process with claims reads what others have written.
	pollEvery = time.Second
	// compareEvery is how often the topic is compared with the window.
	compareEvery = time.Minute
)

// poll reads in the background what other processes have written, at most once in pollEvery. With claims, no other
// process writes the events of the same sources. So this is only needed for events that two sources have in common,
// and for later claims.
func (d *Deduper) poll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.polled) < pollEvery {
		return
	}
	d.polled = time.Now()
	d.p.start(func() {
		ctx, cancel := context.WithTimeout(d.p.background, requestTimeout)
		defer cancel()
		queues, err := d.p.queues(ctx, d.topic)
		if err == nil {
			err = d.catchUp(ctx, len(queues))
		}
		if err != nil && ctx.Err() == nil {
			d.p.client.log.Debug("kafka: cannot read what other processes have written", "topic", d.topic, "error", err)
		}
	})
}

// compare reports how much of the topic is too old to be remembered.
func (d *Deduper) compare(ctx context.Context, ends map[int]int64) {
	d.mu.Lock()
	due := time.Since(d.measure) >= compareEvery
	if due {
		d.measure = time.Now()
	}
	d.mu.Unlock()
	if !due {
		return
	}
	first, err := d.p.client.offsets(ctx, d.topic, firstOffset, slices.Collect(maps.Keys(ends))...)
	if err != nil {
		return // it is only for information
	}
	held, forgotten := int64(0), int64(0)
	for p, end := range ends {
		held += end - first[p]
		forgotten += max(0, end-first[p]-int64(d.window))
	}
	d.p.observer.Level(producerPart(d.topic), pipeline.LevelForgotten, forgotten)
	d.mu.Lock()
	defer d.mu.Unlock()
	if forgotten > 0 && !d.warned.window {
		d.warned.window = true
		d.p.client.log.Warn("kafka: the topic holds more messages than are remembered. If the volume of an older message is "+
			"sent again, it is stored a second time. To cover all messages, raise the option window of the sink", "topic", d.topic,
			"messages", held, "not_remembered", forgotten, "window_per_partition", d.window)
	}
}

// followAll reads the first partitions of the topic until enough reports true for each.
func (d *Deduper) followAll(ctx context.Context, partitions int, enough func(partition int, s *seen) bool) error {
	d.mu.Lock()
	// Others may know of more partitions since this caller has counted them. What was read of those is kept.
	d.parts = d.parts[:min(len(d.parts), max(partitions, d.p.counted(d.topic)))]
	for len(d.parts) < partitions {
		d.parts = append(d.parts, newSeen(d.window))
	}
	parts := slices.Clone(d.parts[:partitions])
	var behind []int
	for i, s := range parts {
		if !enough(i, s) {
			behind = append(behind, i)
		}
	}
	d.mu.Unlock()
	if len(behind) == 0 {
		return nil
	}
	errs := make([]error, len(behind))
	var wg sync.WaitGroup
	for j, i := range behind {
		wg.Go(func() { errs[j] = d.follow(ctx, i, parts[i], func() bool { return enough(i, parts[i]) }) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// follow reads a partition until enough reports true. enough is called with d.mu held.
func (d *Deduper) follow(ctx context.Context, partition int, s *seen, enough func() bool) error {
	for _, turn := range []chan struct{}{s.reading, d.reading} {
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		d.mu.Lock()
		done, next, resets := enough(), s.next, s.resets
		d.mu.Unlock()
		if done {
			return nil
		}
		what := fmt.Sprintf("read %s/%d", d.topic, partition)
		err := d.whileThere(ctx, what, partition, func(ctx context.Context) error {
			return d.step(ctx, partition, s, next, resets)
		})
		if err != nil {
			return err
		}
	}
}

// whileThere retries f while the topic has a partition, or does not exist. If it exists without the partition, because
// it was created again, the error is errMoved.
func (d *Deduper) whileThere(ctx context.Context, what string, partition int, f func(context.Context) error) error {
	err := d.p.client.retry(ctx, what, func(ctx context.Context) error {
		err := f(ctx)
		if unknownPartition(err) {
			if n, e := d.p.client.partitionsNow(ctx, d.topic); e == nil && n <= partition {
				return pipeline.Permanent(errMoved)
			}
		}
		return err
	})
	if errors.Is(err, errMoved) {
		return errMoved
	}
	return err
}

// step reads a part of a partition from the offset next. If nothing is there yet, it waits a little. If everything was
// forgotten since the given number of resets, the part is of another log and is dropped.
func (d *Deduper) step(ctx context.Context, partition int, s *seen, next int64, resets int) error {
	if next == unread {
		return d.begin(ctx, partition, s, resets)
	}
	set, err := d.p.client.fetch(ctx, at(d.topic, partition, next), fetchBytes, rangeWait)
	if is(err, kafkago.OffsetOutOfRange) {
		return d.reposition(ctx, partition, s, next, resets)
	}
	if err != nil || set.Empty() {
		return err
	}
	var ids []dedupe.Key
	markers := map[int64]int16{}
	set.Visit(recordset.Visitor{
		Record: func(e *recordset.Entry) { ids = append(ids, d.entryID(e, partition)) },
		Marker: func(producer int64, epoch int16) { markers[producer] = epoch },
		Refused: func(r *recordset.Refused) {
			d.p.client.refused(d.topic, partition, r)
		},
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.resets != resets {
		return nil
	}
	for _, id := range ids {
		s.ids.Add(id)
	}
	maps.Copy(s.markers, markers)
	s.advance(set.Next())
	return nil
}

// entryID is idOf for a record.
func (d *Deduper) entryID(e *recordset.Entry, partition int) dedupe.Key {
	if id := transport.Identity(e.Text); id != "" {
		return dedupe.Of(id)
	}
	m := transport.Message{Topic: d.topic, Partition: partition, Offset: e.Offset}
	return dedupe.Of(m.EventID())
}

// begin sets the first offset to read: that of the oldest message to be remembered.
func (d *Deduper) begin(ctx context.Context, partition int, s *seen, resets int) error {
	first, last, err := d.bounds(ctx, partition)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.next == unread && s.resets == resets {
		s.next = max(first, last-int64(d.window))
	}
	return nil
}

// reposition sets the next offset to read after the broker has refused it: retention has deleted it, or the topic was
// created again.
func (d *Deduper) reposition(ctx context.Context, partition int, s *seen, next int64, resets int) error {
	first, last, err := d.bounds(ctx, partition)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case s.resets != resets:
	case next > last:
		d.recreated(s)
	default:
		s.advance(first)
	}
	return nil
}

func (d *Deduper) bounds(ctx context.Context, partition int) (first, last int64, err error) {
	from, err := d.p.client.offsets(ctx, d.topic, firstOffset, partition)
	if err != nil {
		return 0, 0, err
	}
	to, err := d.p.client.offsets(ctx, d.topic, highWatermark, partition)
	return from[partition], to[partition], err
}
