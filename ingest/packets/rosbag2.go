package packets

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"go.yaml.in/yaml/v3"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/ingest/internal/sqlitefile"
	"github.com/voxelstream/voxelstream/internal/regular"
)

// Phrases of the reference page for all recordings of ROS.
const (
	bagAssumes = "every topic of packets or, if there are none, of clouds is a stream of its own (--topic chooses); " +
		"messages without a time get the recording time; damaged chunks and data after a truncation are left out"
	bagRefuses = "messages of other types, which are listed"
)

// ROSBag2 is a ROS 2 recording in SQLite (.db3) with messages of the types of [openBag], or the folder of a recording
// with metadata.yaml and one or several files, SQLite or MCAP. The tables are topics (id, name, type,
// serialization_format) and messages (id, topic_id, timestamp, data); data is CDR, and may be compressed.
// https://github.com/ros2/rosbag2/tree/rolling/rosbag2_storage_sqlite3
var ROSBag2 = ingest.Format{
	Name: "rosbag2",
	Doc: "SQLite, or a folder with metadata.yaml and its files (SQLite, MCAP); zstd of files or messages; " +
		"velodyne_msgs/VelodyneScan, pandar_msgs/PandarScan (QT64 with its calibration, " +
		"XT16, 40P), robosense_msgs/RobosenseScan (Helios), nebula_msgs/NebulaPackets, ouster_sensor_msgs/PacketMsg with its " +
		"metadata; sensor_msgs/PointCloud2",
	Assumes:    bagAssumes,
	Refuses:    bagRefuses + "; the content of a write-ahead log beside the file (.db3-wal)",
	Extensions: []string{".db3"},
	Parts:      []string{"rosbag2", "mcap"},
	Library:    "klauspost/compress",
	Tested:     "Nebula VLP-32C, QT64 and Helios-16P recordings with ground truth clouds",
	Options:    newOptions,
	Detect: func(h *ingest.Head) ingest.Confidence {
		switch {
		case h.IsDir() && len(bagParts(h.Names)) > 0:
			return ingest.Sure
		case bytes.HasPrefix(h.Bytes, []byte(sqlitefile.Magic)):
			return ingest.Likely
		}
		return ingest.No
	},
	Open: func(ctx context.Context, path string, o ingest.Options) (ingest.Source, error) {
		return open(ctx, path, o, openROSBag2)
	},
	Inspect: func(ctx context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		return inspect(ctx, path, o, openROSBag2)
	},
}

const (
	bagMetadata = "metadata.yaml"
	// maxBagMetadata limits the size of metadata.yaml.
	maxBagMetadata = 16 << 20
)

// bagParts returns the files of a recording in the order of their numbers, given the names in its folder: those of
// SQLite or MCAP, if there is metadata.yaml or if all have the same name with consecutive numbers.
func bagParts(names []string) []string {
	var parts []string
	stem, alike := "", true
	for _, name := range names {
		if !isPart(name) {
			continue
		}
		parts = append(parts, name)
		s, _ := partNumber(name)
		alike = alike && s != "" && (stem == "" || s == stem)
		stem = s
	}
	if !slices.Contains(names, bagMetadata) && (!alike || len(parts) < 2) {
		return nil
	}
	slices.SortStableFunc(parts, func(a, b string) int {
		stemA, i := partNumber(a)
		stemB, k := partNumber(b)
		return cmp.Or(cmp.Compare(stemA, stemB), cmp.Compare(i, k))
	})
	return parts
}

func isPart(name string) bool {
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".zstd"), ".zst")
	return strings.HasSuffix(name, ".db3") || strings.HasSuffix(name, ".mcap")
}

// partNumber splits NAME_3.db3 into NAME and 3. Without a number the name is empty.
func partNumber(name string) (stem string, number int) {
	base, _, _ := strings.Cut(name, ".")
	i := strings.LastIndexByte(base, '_')
	if i < 0 {
		return "", 0
	}
	n, err := strconv.Atoi(base[i+1:])
	if err != nil || n < 0 {
		return "", 0
	}
	return base[:i], n
}

func openROSBag2(ctx context.Context, path string, o ingest.Options) (opened, error) {
	info, err := regular.Stat(path)
	if err != nil {
		return opened{}, err
	}
	if !info.IsDir() {
		b, err := loadROSBag2(ctx, path, o)
		if err != nil {
			return opened{}, err
		}
		return openBag(ctx, path, b, o)
	}
	files, err := bagFiles(path, o)
	if err != nil {
		return opened{}, err
	}
	b, err := loadParts(ctx, files, o)
	if err != nil {
		return opened{}, err
	}
	return openBag(ctx, filepath.Join(path, bagMetadata), b, o)
}

// bagFiles returns the paths of the files of a recording's folder, in order: those that metadata.yaml lists or, if
// there is none, all.
func bagFiles(dir string, o ingest.Options) ([]string, error) {
	entries, err := regular.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	parts := bagParts(names)
	listed, err := listedFiles(filepath.Join(dir, bagMetadata))
	switch {
	case errors.Is(err, os.ErrNotExist):
		o.Note("found no %s; the files are read in the order of their numbers", bagMetadata)
	case err != nil:
		o.Note("%v; the files are read in the order of their numbers", err)
	default:
		parts = present(parts, listed, o)
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("found none of the recording's files %q", listed)
	}
	for i, name := range parts {
		parts[i] = filepath.Join(dir, name)
	}
	return parts, nil
}

// listedFiles returns the base names of the files that metadata.yaml lists.
func listedFiles(file string) ([]string, error) {
	data, err := ingest.ReadFile(file, ingest.Options{MaxBytes: maxBagMetadata})
	if err != nil {
		return nil, err
	}
	var m struct {
		Info struct {
			Files []string `yaml:"relative_file_paths"`
		} `yaml:"rosbag2_bagfile_information"`
	}
	if err := yaml.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", bagMetadata, err)
	}
	for i, f := range m.Info.Files {
		m.Info.Files[i] = filepath.Base(filepath.FromSlash(f)) // older versions write the folder's name, too
	}
	if len(m.Info.Files) == 0 {
		return nil, fmt.Errorf("%s: found no files", bagMetadata)
	}
	return m.Info.Files, nil
}

// present returns the files that are there, of those that are listed: the same file may have been compressed or
// decompressed since.
func present(there, listed []string, o ingest.Options) (out []string) {
	plain := func(name string) string { return strings.TrimSuffix(strings.TrimSuffix(name, ".zstd"), ".zst") }
	for _, name := range listed {
		i := slices.Index(there, name)
		if i < 0 {
			i = slices.IndexFunc(there, func(s string) bool { return plain(s) == plain(name) })
		}
		if i < 0 {
			o.Note("%s lists %q, which is missing", bagMetadata, name)
			continue
		}
		out = append(out, there[i])
	}
	for _, name := range there {
		if !slices.ContainsFunc(listed, func(s string) bool { return plain(s) == plain(name) }) {
			o.Note("%s does not list %q, which is left out", bagMetadata, name)
		}
	}
	return out
}

// split is a recording of several files. Only one of them is open at a time.
type split struct {
	topicList

	parts []part
	o     ingest.Options
}

// part is a file of a recording, with the indices of its topics among those of all files.
type part struct {
	path   string
	topics []int
}

// loadPart opens one file of a recording.
func loadPart(ctx context.Context, path string, o ingest.Options) (bag, error) {
	head, err := ingest.ReadHead(path)
	if err != nil {
		return nil, err
	}
	var b bag
	if bytes.HasPrefix(head.Bytes, []byte(mcapMagic)) {
		b, err = loadMCAP(ctx, path, o)
	} else {
		b, err = loadROSBag2(ctx, path, o)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return b, nil
}

// loadParts finds the topics of all files. Files that cannot be read are left out with a note, unless all are.
func loadParts(ctx context.Context, files []string, o ingest.Options) (bag, error) {
	if len(files) == 1 {
		return loadPart(ctx, files[0], o)
	}
	s := &split{o: o}
	var errs []error
	for _, file := range files {
		b, err := loadPart(ctx, file, o)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p := part{path: file}
		for _, t := range b.topics() {
			i, err := s.add(topic{name: t.name, kind: t.kind, encoding: t.encoding})
			if err != nil {
				return nil, errors.Join(err, b.close())
			}
			p.topics = append(p.topics, i)
			all := &s.found[i]
			if all.first == nil {
				all.first = t.first
			}
			if all.count += t.count; t.count < 0 {
				all.count = -1
			}
		}
		s.parts = append(s.parts, p)
		if err := b.close(); err != nil {
			return nil, err
		}
	}
	if len(s.parts) == 0 {
		return nil, errors.Join(errs...)
	}
	for _, err := range errs {
		o.Note("left out %v", err)
	}
	return s, nil
}

func (s *split) close() error { return nil }

func (s *split) read(_ context.Context, topics []int) (messages, error) {
	silent := s.o
	silent.Notes = nil // noted when the topics were found
	return &splitMessages{wanted: topics, rest: s.parts, o: silent}, nil
}

// splitMessages returns the messages of one file after another.
type splitMessages struct {
	wanted []int
	rest   []part
	o      ingest.Options

	part part
	bag  bag
	messages
}

func (s *splitMessages) message(ctx context.Context) (message, bool, error) {
	for {
		if s.messages != nil {
			m, ok, err := s.messages.message(ctx)
			if ok && err == nil {
				m.topic = s.part.topics[m.topic]
				return m, true, nil
			}
			if err = errors.Join(err, s.close()); err != nil {
				return m, false, err
			}
		}
		if len(s.rest) == 0 {
			return message{}, false, nil
		}
		s.part, s.rest = s.rest[0], s.rest[1:]
		if err := s.begin(ctx); err != nil {
			return message{}, false, err
		}
	}
}

// begin opens the current file. It has changed if it has other topics than before.
func (s *splitMessages) begin(ctx context.Context) (err error) {
	if s.bag, err = loadPart(ctx, s.part.path, s.o); err != nil {
		return err
	}
	if len(s.bag.topics()) != len(s.part.topics) {
		return errors.Join(fmt.Errorf("%s: changed while it was read", s.part.path), s.bag.close())
	}
	var topics []int
	for i, all := range s.part.topics {
		if slices.Contains(s.wanted, all) {
			topics = append(topics, i)
		}
	}
	if s.messages, err = s.bag.read(ctx, topics); err != nil {
		s.messages = nil
		return errors.Join(err, s.bag.close())
	}
	return nil
}

func (s *splitMessages) close() error {
	if s.messages == nil {
		return nil
	}
	err := errors.Join(s.messages.close(), s.bag.close())
	s.messages = nil
	return err
}

// rosbag2 is a recording in SQLite.
type rosbag2 struct {
	topicList

	file  io.Closer
	data  *sqlitefile.Table // the messages
	rows  []bagRow
	wrong error // why messages are missing; nil if all are there
	o     ingest.Options
}

// bagRow is the place of a message. The recording is read by time, in which the file need not be sorted.
type bagRow struct {
	time, id int64
	ref      sqlitefile.Ref
	topic    int32
}

// The columns of messages.
const (
	messageID = iota
	messageTopic
	messageTime
	messageData
)

const (
	// maxRows limits the messages of a file, which are sorted in memory.
	maxRows = 32 << 20
	// rowsAtOnce is for how many messages memory is taken at a time.
	rowsAtOnce = 1 << 16
	// maxTopicText limits the name, type and encoding of a topic, in bytes.
	maxTopicText = 4096
)

// loadROSBag2 opens a database and finds its topics.
func loadROSBag2(ctx context.Context, path string, o ingest.Options) (*rosbag2, error) {
	b := &rosbag2{o: o}
	data, size, err := b.open(path)
	if err == nil {
		err = b.find(ctx, data, size)
	}
	if ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), b.close())
	}
	if log := path + "-wal"; err != nil || len(b.found) == 0 {
		if info, serr := regular.Stat(log); serr == nil && info.Size() > 0 {
			err = errors.Join(err, fmt.Errorf("%s was not written back into the recording: sqlite3 %s "+
				"'PRAGMA wal_checkpoint(TRUNCATE)' does that", filepath.Base(log), filepath.Base(path)))
		}
	} else if info, serr := regular.Stat(log); serr == nil && info.Size() > 0 {
		o.Note("what %s holds is left out: sqlite3 %s 'PRAGMA wal_checkpoint(TRUNCATE)' writes it back", filepath.Base(log),
			filepath.Base(path))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("rosbag2: %w", err), b.close())
	}
	if b.wrong != nil {
		o.Note("the database is cut off or damaged: the messages before the damage are read (%v)", b.wrong)
	}
	return b, nil
}

// open opens a database file, or decompresses one into memory.
func (b *rosbag2) open(path string) (io.ReaderAt, int64, error) {
	f, info, err := ingest.OpenRegular(path)
	if err != nil {
		return nil, 0, err
	}
	b.file = f
	var magic [len(sqlitefile.Magic)]byte
	if _, err := f.ReadAt(magic[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	if string(magic[:]) == sqlitefile.Magic {
		return f, info.Size(), nil
	}
	data, err := ingest.ReadFile(path, b.o)
	return bytes.NewReader(data), int64(len(data)), err
}

// find reads the topics, the first message of each, and where all messages are.
func (b *rosbag2) find(ctx context.Context, r io.ReaderAt, size int64) error {
	db, err := sqlitefile.Open(ctx, r, size)
	if err != nil {
		return err
	}
	index, err := b.findTopics(ctx, db)
	if err != nil {
		return err
	}
	if b.data, err = db.Table("messages", "id", "topic_id", "timestamp", "data"); err != nil {
		return err
	}
	first := make([]sqlitefile.Ref, len(b.found))
	counts := make([]int, len(b.found))
	var left int
	var limit error
	b.wrong = b.data.Rows(ctx, func(row *sqlitefile.Row) error {
		id, err := row.Int(messageTopic)
		if err != nil {
			return err
		}
		i, ok := index[id]
		if !ok {
			return nil
		}
		if row.Size(messageData) > maxMessage {
			left++
			return nil
		}
		at := bagRow{topic: int32(i), ref: row.Ref}
		if at.id, err = row.Int(messageID); err != nil {
			return err
		}
		if at.time, err = row.Int(messageTime); err != nil {
			return err
		}
		if len(b.rows)%rowsAtOnce == 0 {
			if limit = b.room(); limit != nil {
				return limit
			}
		}
		if counts[i]++; counts[i] == 1 {
			first[i] = row.Ref
		}
		b.rows = append(b.rows, at)
		return nil
	})
	if limit != nil || b.wrong != nil && len(b.rows) == 0 {
		return cmp.Or(limit, b.wrong)
	}
	for range left {
		b.o.Note("a message of more than %d bytes is left out", maxMessage)
	}
	for i := range b.found {
		t := &b.found[i]
		if counts[i] == 0 {
			if b.wrong == nil {
				t.count = 0
			}
			continue
		}
		data, err := b.message(first[i])
		if err != nil {
			b.o.Note("%s: %v", t.name, err)
			continue
		}
		t.first = data
	}
	return nil
}

// room takes memory for the places of further messages.
func (b *rosbag2) room() error {
	if len(b.rows) >= maxRows {
		return fmt.Errorf("found more than %d messages", maxRows)
	}
	return b.o.Account.Take(2 * rowsAtOnce * int64(unsafe.Sizeof(bagRow{}))) // read copies them
}

// findTopics returns the indices of topics by their ids.
func (b *rosbag2) findTopics(ctx context.Context, db *sqlitefile.File) (map[int64]int, error) {
	table, err := db.Table("topics", "id", "name", "type", "serialization_format")
	if err != nil {
		return nil, err
	}
	type numbered struct {
		topic

		id int64
	}
	var all []numbered
	err = table.Rows(ctx, func(row *sqlitefile.Row) (err error) {
		if len(all) == maxTopics {
			return fmt.Errorf("found more than %d topics", maxTopics)
		}
		t := numbered{topic: topic{count: -1}}
		if t.id, err = row.Int(0); err != nil {
			return err
		}
		for i, text := range []*string{&t.name, &t.kind, &t.encoding} {
			if *text, err = row.Text(1+i, maxTopicText); err != nil {
				return err
			}
		}
		all = append(all, t)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b numbered) int { return cmp.Compare(a.id, b.id) })
	index := map[int64]int{}
	for _, t := range all {
		n := len(b.found)
		i, err := b.add(t.topic)
		if err != nil {
			return nil, err
		}
		if i == n { // the same topic twice has one id only
			index[t.id] = n
		}
	}
	return index, nil
}

func (b *rosbag2) close() error {
	if b.file == nil {
		return nil
	}
	return b.file.Close()
}

// message reads the data at a place.
func (b *rosbag2) message(at sqlitefile.Ref) ([]byte, error) {
	row, err := b.data.Row(at)
	if err != nil {
		return nil, err
	}
	data, err := row.Bytes(messageData)
	if data == nil {
		data = []byte{} // an empty message
	}
	return data, err
}

func (b *rosbag2) read(_ context.Context, topics []int) (messages, error) {
	rows := make([]bagRow, 0, len(b.rows))
	chosen := wanted(topics)
	for _, row := range b.rows {
		if chosen[int(row.topic)] {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b bagRow) int { return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.id, b.id)) })
	return &rosbag2Rows{bag: b, rest: rows}, nil
}

// rosbag2Rows are the messages of topics in time order.
type rosbag2Rows struct {
	bag  *rosbag2
	rest []bagRow
	some bool
}

func (r *rosbag2Rows) message(ctx context.Context) (m message, ok bool, err error) {
	if len(r.rest) == 0 || ctx.Err() != nil {
		return m, false, ctx.Err()
	}
	next := r.rest[0]
	r.rest = r.rest[1:]
	m.topic, m.time = int(next.topic), time.Unix(0, next.time).UTC()
	if m.data, err = r.bag.message(next.ref); err == nil {
		r.some = true
		return m, true, nil
	}
	r.rest = nil
	if !r.some {
		return m, false, fmt.Errorf("rosbag2: %w", err)
	}
	if r.bag.wrong == nil {
		r.bag.o.Note("the database is damaged, the messages behind are left out: %v", err)
	}
	return m, false, nil
}

func (r *rosbag2Rows) close() error { return nil }
