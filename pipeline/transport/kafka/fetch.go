package kafka

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/voxelstream/voxelstream/pipeline/transport/recordset"
)

// location is where to read: an offset of a partition.
type location struct {
	topic     string
	partition int
	offset    int64
	// id, if known, is the ID of the topic. A topic of the same name with another ID is another topic.
	id topicID
	// epoch, if known, is the leader epoch of the record before offset, or else -1. If the log has another record there,
	// the broker says where the logs diverge.
	epoch int32
}

// at returns a location without topic ID and leader epoch.
func at(topic string, partition int, offset int64) location {
	return location{topic: topic, partition: partition, offset: offset, epoch: noEpoch}
}

// noEpoch stands for an unknown leader epoch.
const noEpoch = -1

// The errors of a fetch request that kafka-go has no names for.
const (
	unknownTopicID      kafkago.Error = 100
	inconsistentTopicID kafkago.Error = 103
)

// divergence is the error of a location that is not in the log any more: after an unclean leader election, for example.
// The largest leader epoch of the log that is not newer than that of the location is epoch. It ends at the offset end.
type divergence struct {
	epoch int32
	end   int64
}

func (d *divergence) Error() string {
	return fmt.Sprintf("the log has diverged: its leader epoch %d ends at offset %d", d.epoch, d.end)
}

// fetchRequest is a fetch request whose response is read here. kafka-go decodes batches without limits, so one record
// could end the process, and every process of the group after it.
type fetchRequest struct {
	location
	client *Client
	size   int
	wait   time.Duration
	limit  int64 // of the bytes of a batch
}

// fetchResponse is the answer to a fetchRequest.
type fetchResponse struct {
	code     int16 // of the error, or 0
	high     int64 // the high watermark
	stable   int64 // the last stable offset
	aborted  []recordset.Aborted
	raw      []byte
	rest     *recordset.Rest
	diverged *divergence
	throttle int64 // in milliseconds
}

// ApiKey implements protocol.Message.
//
//nolint:revive,staticcheck // the interface of kafka-go
func (*fetchResponse) ApiKey() protocol.ApiKey { return protocol.Fetch }

// The versions of the fetch request. Version 4 is the first for batches (Kafka 0.11), version 12 the first that compares
// leader epochs (2.7), and version 13 names topics by their IDs (3.1).
const (
	minFetch    = 4
	epochFetch  = 12
	idFetch     = 13
	readStable  = 1 // the isolation level "read committed"
	maxAborted  = 1 << 18
	abortedSize = 16 // bytes of an aborted transaction in a response
)

// exchange sends the request and reads the response.
func (r *fetchRequest) exchange(rw io.ReadWriter, ranges versions) (protocol.Message, error) {
	newest := int16(idFetch)
	if r.id == (topicID{}) {
		newest = epochFetch
	}
	version, ok := ranges.pick(kmsg.Fetch, newest)
	if !ok || version < minFetch {
		return nil, fmt.Errorf("the broker supports versions %v of the fetch request, want %d to %d (Kafka 0.11 or newer)",
			ranges[kmsg.Fetch], minFetch, newest)
	}
	req := r.encode(version)
	if err := send(rw, r.client.cfg.ClientID, req); err != nil {
		return nil, err
	}
	in, err := receive(rw, req)
	if err != nil {
		return nil, err
	}
	res := r.read(in, version)
	in.skip(in.in.N)
	if in.err != nil {
		return nil, fmt.Errorf("fetch response: %w", in.err)
	}
	return res, nil
}

func (r *fetchRequest) encode(version int16) kmsg.Request {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = int32(r.partition), r.offset, int32(r.size)
	p.LastFetchedEpoch = r.epoch
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID, t.Partitions = r.topic, r.id, append(t.Partitions, p)
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = version, int32(r.wait.Milliseconds()), 1, int32(r.size)
	req.IsolationLevel, req.SessionID, req.SessionEpoch = readStable, 0, -1
	req.Topics = append(req.Topics, t)
	return req
}

// read reads a response with one partition. A broker that throttles this client answers without one.
func (r *fetchRequest) read(in *frame, version int16) *fetchResponse {
	res := &fetchResponse{high: -1, stable: -1}
	res.throttle = in.int(4)
	if version >= 7 {
		res.code = int16(in.int(2))
		in.skip(4) // session
	}
	if n := in.count(); n == 0 && (res.code != 0 || res.throttle > 0) {
		return res
	} else if n != 1 {
		in.fail(fmt.Errorf("found %d topics, want 1", n))
	}
	if version >= idFetch {
		in.skip(int64(len(topicID{})))
	} else {
		in.skip(in.length(2)) // name
	}
	if n := in.count(); n != 1 {
		in.fail(fmt.Errorf("found %d partitions, want 1", n))
	}
	r.readPartition(in, version, res)
	return res
}

func (r *fetchRequest) readPartition(in *frame, version int16, res *fetchResponse) {
	if got, want := int32(in.int(4)), int32(r.partition); got != want {
		in.fail(fmt.Errorf("found partition %d, want %d", got, want))
	}
	if code := int16(in.int(2)); code != 0 {
		res.code = code
	}
	res.high, res.stable = in.int(8), in.int(8)
	if version >= 5 {
		in.skip(8) // first offset
	}
	n := in.count()
	if n > maxAborted || n*abortedSize > in.in.N {
		in.fail(fmt.Errorf("found %d aborted transactions in %d bytes, limit %d", n, in.in.N, maxAborted))
		n = 0
	}
	for range n {
		res.aborted = append(res.aborted, recordset.Aborted{Producer: in.int(8), First: in.int(8)})
		in.tags(nil)
	}
	if version >= 11 {
		in.skip(4) // preferred replica
	}
	res.raw, res.rest = in.records(in.length(4), r.limit)
	in.tags(func(tag, size int64) {
		if tag == 0 && size >= 12 {
			d := divergence{epoch: int32(in.int(4)), end: in.int(8)}
			size -= 12
			if d.end >= 0 && in.err == nil {
				res.diverged = &d
			}
		}
		in.skip(size)
	})
}

// frame reads the fields of a response. After an error, all fields are 0.
type frame struct {
	in       io.LimitedReader
	flexible bool // lengths are varints, and there are tagged fields
	err      error
	buf      [8]byte
}

func (f *frame) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

// int reads a signed integer of n bytes.
func (f *frame) int(n int) int64 {
	if f.err != nil {
		return 0
	}
	if _, err := io.ReadFull(&f.in, f.buf[:n]); err != nil {
		f.fail(noEOF(err))
		return 0
	}
	v := int64(int8(f.buf[0]))
	for _, b := range f.buf[1:n] {
		v = v<<8 | int64(b)
	}
	return v
}

// uvarint reads an unsigned varint of at most 32 bits.
func (f *frame) uvarint() (v int64) {
	for shift := 0; shift < 35; shift += 7 {
		b := f.int(1)
		v |= (b & 0x7f) << shift
		if b >= 0 { // the first bit of the byte
			return v
		}
	}
	f.fail(errors.New("found a number of more than 32 bits"))
	return 0
}

// length reads the length of a string or of bytes, which has n bytes unless the response is flexible. It is -1 for null.
func (f *frame) length(n int) int64 {
	if f.flexible {
		return f.uvarint() - 1
	}
	return f.int(n)
}

// count reads the length of an array.
func (f *frame) count() int64 { return f.length(4) }

// tags reads tagged fields. It calls use for each, which must read it, or skips them if use is nil.
func (f *frame) tags(use func(tag, size int64)) {
	if !f.flexible {
		return
	}
	for n := f.uvarint(); n > 0 && f.err == nil; n-- {
		tag, size := f.uvarint(), f.uvarint()
		if use != nil {
			use(tag, size)
		} else {
			f.skip(size)
		}
	}
}

func (f *frame) skip(n int64) {
	if f.err != nil || n <= 0 {
		return
	}
	if n > f.in.N {
		f.fail(io.ErrUnexpectedEOF)
		return
	}
	if _, err := io.CopyN(io.Discard, &f.in, n); err != nil {
		f.fail(noEOF(err))
	}
}

// batchSlack is what a response may hold beyond the limit of a batch.
const batchSlack = 64 << 10

// piece is how much memory is allocated before its content has arrived.
const piece = 2 << 20

// records reads a record set of n bytes. It holds no more than the limit of one batch in memory. If its first batch is
// larger, it returns the beginning, and the digest of the batch.
func (f *frame) records(n, limit int64) ([]byte, *recordset.Rest) {
	if f.err != nil || n <= 0 {
		return nil, nil
	}
	if n > f.in.N {
		f.fail(io.ErrUnexpectedEOF)
		return nil, nil
	}
	keep := min(n, limit+batchSlack)
	raw := make([]byte, 0, min(keep, piece))
	for int64(len(raw)) < keep {
		have := len(raw)
		if have == cap(raw) {
			grown := make([]byte, have, min(keep, 2*int64(have)))
			copy(grown, raw)
			raw = grown
		}
		raw = raw[:cap(raw)]
		if _, err := io.ReadFull(&f.in, raw[have:]); err != nil {
			f.fail(noEOF(err))
			return nil, nil
		}
	}
	first := recordset.BatchSize(raw)
	switch {
	case first > n && first > limit:
		return raw, &recordset.Rest{SHA256: sha256.Sum256(raw)} // the broker has sent the beginning only
	case first <= keep || first > n:
		return raw, nil // what does not fit is fetched again
	}
	h := sha256.New()
	h.Write(raw)
	if _, err := io.CopyN(h, &f.in, first-keep); err != nil {
		f.fail(noEOF(err))
	}
	return raw[:batchSlack], &recordset.Rest{SHA256: [sha256.Size]byte(h.Sum(nil))}
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// page is the answer to a fetch request.
type page struct {
	*recordset.Set
	high int64 // the high watermark, which is beyond the end of the set while transactions are open; -1: not known
}

// fetch requests the records from a location on, about size bytes of them, once. It waits for them as long as wait. The
// set is empty if there are none yet. Records of open transactions are not returned until the transactions end, those of
// aborted transactions never are. The error may be a *divergence.
func (c *Client) fetch(ctx context.Context, from location, size int, wait time.Duration) (page, error) {
	for {
		p, want, err := c.fetchOnce(ctx, from, size, wait)
		if !errors.Is(err, recordset.ErrIncomplete) || want <= int64(size) || want > c.batchLimit() {
			return p, err
		}
		size = int(want) // the broker sends no more than it is asked for, not even the first batch
	}
}

// fetchOnce is fetch without a second attempt for a batch larger than size. It returns the size of the first batch.
func (c *Client) fetchOnce(
	ctx context.Context, from location, size int, wait time.Duration,
) (p page, first int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	r := &fetchRequest{location: from, client: c, size: size, wait: wait, limit: c.batchLimit()}
	m, err := c.transport.RoundTrip(ctx, c.kafka.Addr, &request{
		Topic: from.topic, client: c, route: toLeader(from.topic, from.partition), key: kmsg.Fetch,
		exchange: r.exchange,
	})
	if err != nil {
		return p, 0, err
	}
	res := m.(*fetchResponse)
	if res.code != 0 {
		return p, 0, kafkago.Error(res.code)
	}
	if res.diverged != nil {
		return p, 0, res.diverged
	}
	end := res.high
	if res.stable >= 0 {
		end = min(end, res.stable)
	}
	p.high = res.high
	p.Set, err = recordset.New(recordset.Source{
		Topic: from.topic, Partition: from.partition, From: from.offset, End: end, Limit: c.batchLimit(),
		Rest: res.rest, Aborted: res.aborted,
	}, res.raw)
	return p, recordset.BatchSize(res.raw), err
}

// defaultMaxMessageBytes is the default limit of a message.
const defaultMaxMessageBytes = 16 << 20

// batchLimit is the maximum size in bytes of a batch that is read, as stored and decompressed. A batch of several
// messages may be larger than the largest message.
func (c *Client) batchLimit() int64 { return 4 * int64(c.cfg.MaxMessageBytes) }
