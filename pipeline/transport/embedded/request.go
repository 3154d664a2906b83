package embedded

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/pipeline/transport/recordset"
)

// newestPlain has the newest version of each request without tagged fields.
var newestPlain = sync.OnceValue(func() map[int16]int16 {
	newest := map[int16]int16{}
	for key := range int16(kmsg.MaxKey + 1) {
		r := kmsg.RequestForKey(key)
		if r == nil {
			continue
		}
		for v := r.MaxVersion(); v >= 0; v-- {
			if r.SetVersion(v); !r.IsFlexible() {
				newest[key] = v
				break
			}
		}
	}
	return newest
})

// versions returns the newest version of each request that the broker accepts: the last one before tagged fields. kfake
// counts to the number of tags in a request even if they are not there, which takes a minute for 4 billion. Clients
// choose a version that both sides know.
func versions() *kversion.Versions {
	v := &kversion.Versions{}
	for key, newest := range newestPlain() {
		v.SetMaxKeyVersion(key, newest)
	}
	for key, form := range tagged {
		v.SetMaxKeyVersion(key, form.newest)
	}
	return v
}

// form is the layout of a request with tagged fields: "s" is a string, a digit is a number of as many bytes, and "t" are
// the tags. Newer versions are accepted where a client may begin with them.
type form struct {
	oldest, newest int16
	newer          bool
	fields         func(version int16) string
}

// tagged has the requests with tagged fields that are accepted.
var tagged = map[int16]form{
	int16(kmsg.ApiVersions): {oldest: 3, newest: 4, newer: true, fields: func(v int16) string {
		if v >= 5 {
			return "sss4t"
		}
		return "sst"
	}},
	int16(kmsg.InitProducerID): {oldest: 2, newest: 4, fields: func(v int16) string {
		if v >= 3 {
			return "s482t"
		}
		return "s4t"
	}},
}

// newerVersions is how far a request may exceed the newest version. Clients begin with the newest version of ApiVersions
// that they know.
const newerVersions = 5

// maxResponse is the size of a response to a fetch request in bytes, unless a single batch is larger.
const maxResponse = 64 << 20

// request is a request whose header has been read.
type request struct {
	conn         *guardConn
	key, version int16
}

// known returns an error unless the broker accepts the request in this version.
func (r *request) known() error {
	if newest, ok := newestPlain()[r.key]; ok && r.version >= 0 && r.version <= newest {
		return nil
	}
	f, ok := tagged[r.key]
	if ok && r.version >= f.oldest && (r.version <= f.newest || f.newer && r.version <= f.newest+newerVersions) {
		return nil
	}
	return fmt.Errorf("%w: API key %d version %d", errFrame, r.key, r.version)
}

// check checks the rest of a request, after its version. What asks for too much is changed so that kfake answers it with
// an error, which is better for clients than a closed connection.
func (r *request) check(b []byte) error {
	f := fields{b: b}
	f.skip(4) // correlation ID
	f.string()
	switch form, ok := tagged[r.key]; {
	case ok && r.version >= form.oldest:
		f.tags()
		f.form(form.fields(r.version))
	case r.key == int16(kmsg.Produce):
		r.produce(&f)
	case r.key == int16(kmsg.Fetch):
		r.fetch(&f)
	case r.key == int16(kmsg.CreateTopics):
		r.conn.guard.grant(r.conn, func(have int) int { return r.createTopics(&f, have) })
	case r.key == int16(kmsg.CreatePartitions):
		r.conn.guard.grant(r.conn, func(have int) int { return r.createPartitions(&f, have) })
	}
	if f.failed {
		return fmt.Errorf("%w: API key %d version %d: a length exceeds the request", errFrame, r.key, r.version)
	}
	return nil
}

// produce checks the batches of a produce request.
func (r *request) produce(f *fields) {
	if r.version >= 3 {
		f.string() // transactional ID
	}
	f.skip(2 + 4) // acknowledgements, timeout
	for range f.count() {
		f.string()
		for range f.count() {
			f.skip(4) // partition
			batch := f.take(f.int32())
			if !f.failed && recordset.Check(batch, r.conn.guard.maxBatch) != nil {
				invalidate(batch)
			}
		}
	}
}

// invalidate turns a batch into a control batch, which kfake refuses as an invalid record.
func invalidate(batch []byte) {
	if len(batch) < 61 {
		return // kfake refuses it as it is
	}
	batch[22] |= 1 << 5
	batch[16] = 2
	binary.BigEndian.PutUint64(batch, 0)
	binary.BigEndian.PutUint32(batch[8:], uint32(len(batch)-12))
	binary.BigEndian.PutUint32(batch[17:], crc32.Checksum(batch[21:], castagnoli))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// fetch limits the sizes that a fetch request asks for.
func (r *request) fetch(f *fields) {
	f.skip(4 + 4 + 4) // replica, maximum wait, minimum bytes
	if r.version >= 3 {
		f.atMost(maxResponse)
	}
	if r.version >= 4 {
		f.skip(1) // isolation level
	}
	if r.version >= 7 {
		f.skip(4 + 4) // session
	}
	for range f.count() {
		f.string()
		for range f.count() {
			f.skip(4 + 8) // partition, offset
			if r.version >= 9 {
				f.skip(4) // leader epoch
			}
			if r.version >= 5 {
				f.skip(8) // first offset
			}
			f.atMost(maxResponse)
		}
	}
}

// createTopics limits the number of partitions, and requires a name that Kafka allows. With 0 partitions, kfake refuses a
// topic. It returns the number of accepted partitions.
func (r *request) createTopics(f *fields, have int) (accepted int) {
	limit := r.conn.guard.maxPartitions
	for range f.count() {
		name := f.string()
		n := f.peek()
		f.skip(4 + 2) // partitions, replicas
		number := f.read
		assigned := f.count()
		for range assigned {
			f.skip(4)
			f.skip(4 * f.count())
		}
		switch {
		case assigned > 0:
			n = assigned
		case n <= 0:
			n = r.conn.guard.defaultPartitions
		}
		switch {
		case have+accepted+n <= limit && transport.ValidTopic(string(name)):
			accepted += n
		case assigned > 0:
			f.fail()
		case !f.failed:
			binary.BigEndian.PutUint32(number, 0)
		}
		for range f.count() { // settings
			f.string()
			f.string()
		}
	}
	return accepted
}

// createPartitions limits the number of partitions. It returns the number of accepted ones.
func (r *request) createPartitions(f *fields, have int) (accepted int) {
	for range f.count() {
		f.string()
		n := max(f.int32(), 0) // at most so many are new
		if have+accepted+n <= r.conn.guard.maxPartitions {
			accepted += n
		} else if !f.failed {
			f.replace(-1) // fewer than there are
		}
		for range f.count() {
			f.skip(4 * f.count())
		}
	}
	return accepted
}

// fields reads the fields of a request. After a failure, all fields are empty.
type fields struct {
	b      []byte
	read   []byte // what has been read last
	failed bool
}

func (f *fields) fail() { f.b, f.read, f.failed = nil, nil, true }

func (f *fields) skip(n int) { f.take(n) }

func (f *fields) take(n int) []byte {
	if n < 0 || n > len(f.b) {
		f.fail()
		return nil
	}
	f.read, f.b = f.b[:n:n], f.b[n:]
	return f.read
}

// peek returns the next 4 bytes as a number.
func (f *fields) peek() int {
	if len(f.b) < 4 {
		return 0
	}
	return int(int32(binary.BigEndian.Uint32(f.b)))
}

func (f *fields) int32() int {
	v := f.peek()
	f.skip(4)
	return v
}

// replace replaces the number that has been read last.
func (f *fields) replace(v int32) { binary.BigEndian.PutUint32(f.read, uint32(v)) }

// atMost limits the next number.
func (f *fields) atMost(n int) {
	if f.int32() > n {
		f.replace(int32(n))
	}
}

// count reads the number of elements of an array. Each takes a byte at least.
func (f *fields) count() int {
	n := f.int32()
	if n > len(f.b) {
		f.fail()
		return 0
	}
	return max(n, 0)
}

// string reads a string, which may be null.
func (f *fields) string() []byte {
	b := f.take(2)
	if b == nil {
		return nil
	}
	return f.take(max(0, int(int16(binary.BigEndian.Uint16(b)))))
}

// form skips the fields of a form.
func (f *fields) form(fields string) {
	for _, c := range fields {
		switch c {
		case 's':
			if n := f.size(); n > 0 {
				f.skip(n - 1)
			}
		case 't':
			f.tags()
		default:
			f.skip(int(c - '0'))
		}
	}
}

// tags skips tagged fields.
func (f *fields) tags() {
	for n := f.size(); n > 0 && !f.failed; n-- {
		f.uvarint() // its name
		f.skip(f.size())
	}
}

func (f *fields) uvarint() uint64 {
	v, n := binary.Uvarint(f.b)
	if n <= 0 || n > binary.MaxVarintLen32 {
		f.fail()
		return 0
	}
	f.b = f.b[n:]
	return v
}

// size reads a number that cannot exceed the rest of the request by more than one.
func (f *fields) size() int {
	v := f.uvarint()
	if v > uint64(len(f.b)+1) {
		f.fail()
		return 0
	}
	return int(v)
}
