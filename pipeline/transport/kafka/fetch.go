package kafka

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	fetchapi "github.com/segmentio/kafka-go/protocol/fetch"

	"github.com/voxelstream/voxelstream/pipeline/transport/recordset"
)

// fetchRequest is a fetch request whose response is read here. kafka-go decodes batches without limits, so one record
// could end the process, and every process of the group after it. As a protocol.RawExchanger, the request gets the
// connection itself; kafka-go still chooses, opens and authenticates it. The connection is closed after an error.
type fetchRequest struct {
	*fetchapi.Request
	clientID string
	version  int16
	limit    int64 // of the bytes of a batch
}

// fetchResponse is the answer to a fetchRequest.
type fetchResponse struct {
	code int16 // of the error, or 0
	end  int64 // the high watermark
	raw  []byte
	rest *recordset.Rest
}

// ApiKey implements protocol.Message.
//
//nolint:revive,staticcheck // the interface of kafka-go
func (*fetchResponse) ApiKey() protocol.ApiKey { return protocol.Fetch }

var _ protocol.RawExchanger = (*fetchRequest)(nil)

// The versions of the fetch request. Version 4 is the first for batches (Kafka 0.11); version 11 is the last before the
// protocol changed to flexible versions.
const (
	minFetch = 4
	maxFetch = 11
)

// Required implements protocol.RawExchanger.
func (r *fetchRequest) Required(versions map[protocol.ApiKey]int16) bool {
	r.version = versions[protocol.Fetch]
	return true
}

// RawExchange implements protocol.RawExchanger.
func (r *fetchRequest) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if r.version < minFetch || r.version > maxFetch {
		return nil, fmt.Errorf("the broker has version %d of the fetch request, want %d to %d (Kafka 0.11 or newer)",
			r.version, minFetch, maxFetch)
	}
	const correlation = 1
	if err := protocol.WriteRequest(rw, r.version, correlation, r.clientID, r.Request); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(rw, size[:]); err != nil {
		return nil, err
	}
	n := int64(int32(binary.BigEndian.Uint32(size[:])))
	if n < 0 {
		return nil, fmt.Errorf("fetch response: found a size of %d", n)
	}
	in := &frame{in: io.LimitedReader{R: rw, N: n}}
	if got := in.int(4); in.err == nil && got != correlation {
		return nil, fmt.Errorf("fetch response: found the response to request %d, want %d", got, correlation)
	}
	res := r.read(in)
	in.skip(in.in.N)
	if in.err != nil {
		return nil, fmt.Errorf("fetch response: %w", in.err)
	}
	return res, nil
}

// read reads a response with one partition.
func (r *fetchRequest) read(in *frame) *fetchResponse {
	res := &fetchResponse{}
	in.skip(4) // throttling
	if r.version >= 7 {
		res.code = int16(in.int(2))
		in.skip(4) // session
	}
	if n := in.int(4); n == 0 && res.code != 0 {
		return res
	} else if n != 1 {
		in.fail(fmt.Errorf("found %d topics, want 1", n))
	}
	in.skip(in.int(2)) // name
	if n := in.int(4); n != 1 {
		in.fail(fmt.Errorf("found %d partitions, want 1", n))
	}
	if got, want := int32(in.int(4)), r.Topics[0].Partitions[0].Partition; got != want {
		in.fail(fmt.Errorf("found partition %d, want %d", got, want))
	}
	if code := int16(in.int(2)); code != 0 {
		res.code = code
	}
	res.end = in.int(8)
	in.skip(8) // last stable offset
	if r.version >= 5 {
		in.skip(8) // first offset
	}
	if n := in.int(4); n > 0 {
		in.skip(n * 16) // aborted transactions
	}
	if r.version >= 11 {
		in.skip(4) // preferred replica
	}
	res.raw, res.rest = in.records(in.int(4), r.limit)
	return res
}

// frame reads the fields of a response. After an error, all fields are 0.
type frame struct {
	in  io.LimitedReader
	err error
	buf [8]byte
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

// fetch requests the records of a partition from an offset on, about size bytes of them, once. It waits for them as long
// as wait. The set is empty if there are none yet.
func (c *Client) fetch(
	ctx context.Context, topic string, partition int, offset int64, size int, wait time.Duration,
) (*recordset.Set, error) {
	for {
		set, want, err := c.fetchOnce(ctx, topic, partition, offset, size, wait)
		if !errors.Is(err, recordset.ErrIncomplete) || want <= int64(size) || want > c.batchLimit() {
			return set, err
		}
		size = int(want) // the broker sends no more than it is asked for, not even the first batch
	}
}

// fetchOnce is fetch without a second attempt for a batch larger than size. It returns the size of the first batch.
func (c *Client) fetchOnce(
	ctx context.Context, topic string, partition int, offset int64, size int, wait time.Duration,
) (set *recordset.Set, first int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := c.transport.RoundTrip(ctx, c.kafka.Addr, &fetchRequest{
		clientID: c.cfg.ClientID, limit: c.batchLimit(),
		Request: &fetchapi.Request{
			ReplicaID: -1, MaxWaitTime: int32(wait.Milliseconds()), MinBytes: 1, MaxBytes: int32(size),
			SessionID: -1, SessionEpoch: -1,
			Topics: []fetchapi.RequestTopic{{
				Topic: topic,
				Partitions: []fetchapi.RequestPartition{{
					Partition: int32(partition), CurrentLeaderEpoch: -1, FetchOffset: offset, LogStartOffset: -1,
					PartitionMaxBytes: int32(size),
				}},
			}},
		},
	})
	if err != nil {
		return nil, 0, err
	}
	res := m.(*fetchResponse)
	if res.code != 0 {
		return nil, 0, kafkago.Error(res.code)
	}
	set, err = recordset.New(recordset.Source{
		Topic: topic, Partition: partition, From: offset, End: res.end, Limit: c.batchLimit(), Rest: res.rest,
	}, res.raw)
	return set, recordset.BatchSize(res.raw), err
}

// defaultMaxMessageBytes is the default limit of a message.
const defaultMaxMessageBytes = 16 << 20

// batchLimit is the maximum size in bytes of a batch that is read, as stored and decompressed. A batch of several
// messages may be larger than the largest message.
func (c *Client) batchLimit() int64 { return 4 * int64(c.cfg.MaxMessageBytes) }
