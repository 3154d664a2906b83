package embedded

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/pipeline"
)

// partitionCheck checks the files of a partition.
type partitionCheck struct {
	*logCheck

	id       partitionID
	dir      string
	sparse   bool
	snapshot snapshot
	had      bool // there was a snapshot
	changed  bool

	next         int64 // the offset that comes next
	epoch        int32
	newest       int64
	transactions bool
	segments     []segmentInfo
	created      int64 // time of the first batch in milliseconds
}

// snapshot is kfake's description of a partition. With it, kfake need not decode all batches at once.
type snapshot struct {
	Version  int           `json:"version"`
	End      int64         `json:"high_watermark"`
	Stable   int64         `json:"last_stable_offset"`
	Start    int64         `json:"log_start_offset"`
	Epoch    int32         `json:"epoch"`
	Leader   int32         `json:"leader_node"`
	Newest   int64         `json:"max_timestamp"`
	Created  time.Time     `json:"created_at"`
	Segments []segmentInfo `json:"segments"`
}

type segmentInfo struct {
	Base     int64 `json:"base_offset"`
	Size     int64 `json:"size"`
	MinEpoch int32 `json:"min_epoch"`
	MaxEpoch int32 `json:"max_epoch"`
}

// maxSegment is the maximum size of a segment in bytes. kfake reads segments as a whole.
const maxSegment = 2 << 30

func (c *logCheck) checkPartition(t *topic, number int) error {
	p := &partitionCheck{
		logCheck: c, id: partitionID{t.Name, number}, sparse: t.sparse(), epoch: -1, newest: -1,
		dir: filepath.Join(c.dir, partitionDir, url.PathEscape(t.Name)+"-"+strconv.Itoa(number)),
	}
	bases, err := p.files()
	if errors.Is(err, fs.ErrNotExist) {
		bases, err = nil, nil
	}
	if err != nil {
		return err
	}
	name, err := filepath.Rel(c.dir, filepath.Join(p.dir, snapshotFile))
	if err != nil {
		return err
	}
	if p.had, err = c.read(name, &p.snapshot); err != nil {
		return err
	}
	for i, base := range bases {
		limit := int64(-1)
		if i+1 < len(bases) {
			limit = bases[i+1]
		}
		if err := p.checkSegment(base, limit); err != nil {
			return err
		}
	}
	if err := p.reserve(len(bases) > 0); err != nil {
		return err
	}
	if p.changed {
		if err := durable.Sync(p.dir); err != nil {
			return err
		}
	}
	return p.writeSnapshot()
}

// files returns the base offsets of the segments, in order. It removes empty and temporary files, and indexes without a
// segment.
func (p *partitionCheck) files() ([]int64, error) {
	all, err := os.ReadDir(p.dir)
	if err != nil {
		return nil, err
	}
	var bases []int64
	var indexes []string
	for _, e := range all {
		name := e.Name()
		number, ext := strings.TrimSuffix(name, filepath.Ext(name)), filepath.Ext(name)
		base, numErr := strconv.ParseInt(number, 10, 64)
		switch {
		case ext == ".tmp":
			err = os.Remove(filepath.Join(p.dir, name))
		case ext == ".idx":
			indexes = append(indexes, number)
		case ext == ".dat" && (numErr != nil || base < 0 || number != strconv.FormatInt(base, 10)):
			err = fmt.Errorf("%s: found a file that is not a segment; move it elsewhere", filepath.Join(p.dir, name))
		case ext == ".dat":
			var info fs.FileInfo
			if info, err = e.Info(); err == nil && info.Size() == 0 {
				err = os.Remove(filepath.Join(p.dir, name))
			} else {
				bases = append(bases, base)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(bases)
	for _, number := range indexes {
		if base, err := strconv.ParseInt(number, 10, 64); err == nil && slices.Contains(bases, base) {
			continue
		}
		if err := os.Remove(filepath.Join(p.dir, number+".idx")); err != nil {
			return nil, err
		}
	}
	return bases, nil
}

func (p *partitionCheck) path(base int64, ext string) string {
	return filepath.Join(p.dir, strconv.FormatInt(base, 10)+ext)
}

// checkSegment checks a segment. limit is the base offset of the next one, or -1.
func (p *partitionCheck) checkSegment(base, limit int64) error {
	switch {
	case len(p.segments) == 0:
		p.next = base
	case base > p.next && !p.sparse:
		if err := p.fill(p.next, base, p.newest); err != nil {
			return err
		}
		p.report(loss{from: p.next, to: base}, "the segment is missing")
		p.next = base
	case base < p.next:
		return fmt.Errorf("%s: found a segment that repeats offsets of the segment before it; move one of them elsewhere",
			p.path(base, ".dat"))
	default:
		p.next = base
	}
	data, err := p.readSegment(p.path(base, ".dat"))
	if err != nil {
		return err
	}
	var index []byte
	info := segmentInfo{Base: base}
	s := &segmentCheck{
		data: data, next: p.next, limit: limit, sparse: p.sparse, epoch: p.epoch, newest: p.newest,
		each: func(b batch) {
			if len(index) == 0 {
				info.MinEpoch = b.epoch()
			}
			info.MaxEpoch = b.epoch()
			index = p.add(index, b)
		},
	}
	s.run()
	p.next, p.epoch, p.newest = s.next, s.epoch, s.newest
	content := data
	if s.changed {
		if err := p.repair(base, s); err != nil {
			return err
		}
		content = s.out
	}
	if limit >= 0 && p.next < limit && !p.sparse { // the segment ends too early
		content, index = p.extend(content, index, limit)
		if err := p.repairEnd(base, content, limit); err != nil {
			return err
		}
	}
	if len(content) == 0 {
		return p.removeSegment(base)
	}
	info.Size = int64(len(content))
	p.segments = append(p.segments, info)
	return p.checkIndex(base, index)
}

// readSegment reads a segment. It is valid until the next call.
func (c *logCheck) readSegment(path string) ([]byte, error) {
	f, info, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	size := info.Size()
	if size > maxSegment {
		return nil, fmt.Errorf("%s: found %d bytes, want a segment of at most %d", path, size, int64(maxSegment))
	}
	if int64(cap(c.segment)) < size {
		c.segment = make([]byte, size)
	}
	data := c.segment[:size]
	_, err = io.ReadFull(f, data)
	return data, err
}

// add notes a batch and appends its entry to the index.
func (p *partitionCheck) add(index []byte, b batch) []byte {
	if p.created == 0 {
		p.created = int64(binary.BigEndian.Uint64(b[27:]))
	}
	p.transactions = p.transactions || b.attributes()&transactional != 0
	p.remember(p.id, b)
	return appendIndex(index, b)
}

// extend adds an empty batch for the offsets that are missing at the end of a segment.
func (p *partitionCheck) extend(content, index []byte, limit int64) (newContent, newIndex []byte) {
	b := emptyBatch(p.next, limit, p.epoch, p.newest)
	return append(slices.Clone(content), b...), p.add(index, b)
}

// repairEnd writes a segment whose end was missing.
func (p *partitionCheck) repairEnd(base int64, content []byte, limit int64) error {
	if err := replace(p.path(base, ".dat"), content); err != nil {
		return err
	}
	p.changed = true
	p.report(loss{from: p.next, to: limit}, "the end of the segment is missing")
	p.next = limit
	return nil
}

// repair writes the repaired segment, and keeps what was damaged beside it.
func (p *partitionCheck) repair(base int64, s *segmentCheck) error {
	p.changed = true
	for _, l := range s.losses {
		kept := ""
		if len(l.damaged) > 0 {
			kept = filepath.Join(p.dir, fmt.Sprintf("%d-%d.damaged", l.from, l.to))
			if err := replace(kept, l.damaged); err != nil {
				return err
			}
		}
		p.report(l, kept)
	}
	if s.restored > 0 {
		p.observer.Count(part, pipeline.EventDamaged, s.restored)
		p.log.Warn("embedded broker: restored damaged headers of batches; no message is lost", "topic", p.id.topic,
			"partition", p.id.partition, "batches", s.restored, "file", p.path(base, ".dat"))
	}
	if s.torn > 0 {
		p.log.Warn("embedded broker: removed an incomplete batch from the end of the log", "topic", p.id.topic,
			"partition", p.id.partition, "offset", s.next, "bytes", s.torn, "file", p.path(base, ".dat"))
	}
	if len(s.out) == 0 {
		return nil // the segment is removed
	}
	return replace(p.path(base, ".dat"), s.out)
}

// report reports lost messages.
func (p *partitionCheck) report(l loss, kept string) {
	p.observer.Count(part, pipeline.EventDamaged, 1)
	if l.from == l.to {
		p.log.Warn("embedded broker: removed bytes between two batches; no message is lost", "topic", p.id.topic,
			"partition", p.id.partition, "offset", l.from, "kept", kept)
		return
	}
	p.observer.Count(part, pipeline.EventLost, int(l.to-l.from))
	p.log.Error("embedded broker: the log is damaged; messages are lost", "topic", p.id.topic,
		"partition", p.id.partition, "first_offset", l.from, "last_offset", l.to-1, "messages", l.to-l.from,
		"kept", kept)
}

func (p *partitionCheck) removeSegment(base int64) error {
	p.changed = true
	return errors.Join(os.Remove(p.path(base, ".dat")), ignoreMissing(os.Remove(p.path(base, ".idx"))))
}

// fill adds a segment of empty batches for the offsets from one to another.
func (p *partitionCheck) fill(from, to, millis int64) error {
	if err := os.MkdirAll(p.dir, 0o755); err != nil { // as kfake does
		return err
	}
	b := emptyBatch(from, to, p.epoch, millis)
	if err := replace(p.path(b.base(), ".dat"), b); err != nil {
		return err
	}
	p.changed = true
	p.segments = append(p.segments, segmentInfo{b.base(), int64(len(b)), b.epoch(), b.epoch()})
	return p.checkIndex(b.base(), p.add(nil, b))
}

// trusted is how far a committed offset may be ahead of the log and still be taken for its former end.
const trusted = 1 << 20

// reserve prevents offsets from being used twice. If all messages have expired, or the last ones are lost, kfake
// would continue where the log ends now, and consumers with a larger offset would miss messages.
func (p *partitionCheck) reserve(stored bool) error {
	end := p.next
	if p.had && p.snapshot.End-end <= most || !stored {
		end = max(end, p.snapshot.End)
	}
	if committed := p.commits[p.id]; committed-end <= trusted || !stored {
		end = max(end, committed)
	}
	empty := len(p.segments) == 0
	if end == 0 || end == p.next && !empty {
		return nil
	}
	if stored && end > p.next {
		p.report(loss{from: p.next, to: end}, "the end of the log is missing")
	}
	if empty {
		p.next = end - 1
	}
	// The empty batch must not expire before what is before it.
	if err := p.fill(p.next, end, max(p.newest, time.Now().UnixMilli())); err != nil {
		return err
	}
	p.next = end
	return nil
}

// indexEntry is the size of an entry of an index.
const indexEntry = 15

// appendIndex appends the entry of a batch to an index: version, checksum, leader epoch, a time that kfake does not read
// back, and whether the batch is part of a transaction.
func appendIndex(index []byte, b batch) []byte {
	var e [indexEntry]byte
	e[0] = logVersion
	binary.LittleEndian.PutUint32(e[2:], uint32(b.epoch()))
	binary.LittleEndian.PutUint64(e[6:], uint64(b.newest()))
	if b.inTransaction() {
		e[14] = 1
	}
	e[1] = byte(crc32.Checksum(e[2:], castagnoli))
	return append(index, e[:]...)
}

// sameIndex reports whether kfake reads the same from two indexes.
func sameIndex(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for ; len(a) > 0; a, b = a[indexEntry:], b[indexEntry:] {
		sum := byte(crc32.Checksum(a[2:indexEntry], castagnoli))
		if a[0] != b[0] || a[1] != sum || string(a[2:6]) != string(b[2:6]) || a[14] != b[14] {
			return false
		}
	}
	return true
}

// checkIndex rewrites the index of a segment if it is wrong.
func (p *partitionCheck) checkIndex(base int64, want []byte) error {
	path := p.path(base, ".idx")
	have, err := regular.Read(path, maxState)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if sameIndex(have, want) {
		return nil
	}
	if !p.changed {
		p.log.Warn("embedded broker: rewriting an index that was damaged or incomplete", "file", path)
	}
	p.changed = true
	return replace(path, want)
}

// writeSnapshot writes the snapshot as derived from the segments. That of a partition with transactions contains
// more.
func (p *partitionCheck) writeSnapshot() error {
	path := filepath.Join(p.dir, snapshotFile)
	if len(p.segments) == 0 {
		return ignoreMissing(os.Remove(path))
	}
	if p.transactions {
		if p.had && !p.changed && p.snapshot.End == p.next {
			return nil
		}
		return ignoreMissing(os.Remove(path))
	}
	s := snapshot{
		Version: logVersion, End: p.next, Stable: p.next, Start: p.segments[0].Base, Epoch: max(p.epoch, 0),
		Newest: p.newest, Created: time.UnixMilli(p.created), Segments: p.segments,
	}
	b, err := json.Marshal(s)
	if err == nil {
		err = replace(path, b)
	}
	if err != nil { // on a full disk; kfake then decodes all batches
		p.log.Warn("embedded broker: cannot write a snapshot", "file", path, "error", err)
		return ignoreMissing(os.Remove(path))
	}
	return nil
}
