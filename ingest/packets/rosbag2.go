package packets

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"modernc.org/sqlite" // and the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/voxelstream/voxelstream/ingest"
)

// Phrases of the reference page for all recordings of ROS.
const (
	bagAssumes = "every topic of packets or, if there are none, of clouds is a stream of its own (--topic chooses); " +
		"messages without a time have that of recording; damaged chunks and what follows a cut are left out"
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
	Refuses:    bagRefuses + "; what a write-ahead log beside the file holds (.db3-wal)",
	Extensions: []string{".db3"},
	Parts:      []string{"rosbag2", "mcap"},
	Library:    "modernc.org/sqlite, klauspost/compress",
	Tested:     "Nebula VLP-32C, QT64 and Helios-16P recordings with ground truth clouds",
	Options:    newOptions,
	Detect: func(h *ingest.Head) ingest.Confidence {
		switch {
		case h.IsDir() && len(bagParts(h.Names)) > 0:
			return ingest.Sure
		case bytes.HasPrefix(h.Bytes, []byte(sqliteMagic)):
			return ingest.Likely
		}
		return ingest.No
	},
	Open: func(_ context.Context, path string, o ingest.Options) (ingest.Source, error) {
		return open(path, o, openROSBag2)
	},
	Inspect: func(ctx context.Context, path string, o ingest.Options) (ingest.Detail, error) {
		return inspect(ctx, path, o, openROSBag2)
	},
}

const (
	sqliteMagic = "SQLite format 3\x00"
	bagMetadata = "metadata.yaml"
	// maxTopics limits the topics of a recording, maxBagMetadata the size of metadata.yaml.
	maxTopics      = 10000
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

func openROSBag2(path string, o ingest.Options) (opened, error) {
	info, err := os.Stat(path)
	if err != nil {
		return opened{}, err
	}
	if !info.IsDir() {
		b, err := loadROSBag2(path, o)
		if err != nil {
			return opened{}, err
		}
		return openBag(path, b, o)
	}
	files, err := bagFiles(path, o)
	if err != nil {
		return opened{}, err
	}
	b, err := loadParts(files, o)
	if err != nil {
		return opened{}, err
	}
	return openBag(filepath.Join(path, bagMetadata), b, o)
}

// bagFiles returns the paths of the files of a recording's folder, in order: those that metadata.yaml lists or, if
// there is none, all.
func bagFiles(dir string, o ingest.Options) ([]string, error) {
	entries, err := os.ReadDir(dir)
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
func loadPart(path string, o ingest.Options) (bag, error) {
	head, err := ingest.ReadHead(path)
	if err != nil {
		return nil, err
	}
	var b bag
	if bytes.HasPrefix(head.Bytes, []byte(mcapMagic)) {
		b, err = loadMCAP(path, o)
	} else {
		b, err = loadROSBag2(path, o)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return b, nil
}

// loadParts finds the topics of all files. Files that cannot be read are left out with a note, unless all are.
func loadParts(files []string, o ingest.Options) (bag, error) {
	if len(files) == 1 {
		return loadPart(files[0], o)
	}
	s := &split{o: o}
	var errs []error
	for _, file := range files {
		b, err := loadPart(file, o)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p := part{path: file}
		for _, t := range b.topics() {
			i := s.add(topic{name: t.name, kind: t.kind, encoding: t.encoding})
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

func (s *split) read(topics []int) (messages, error) {
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

func (s *splitMessages) message() (message, bool, error) {
	for {
		if s.messages != nil {
			m, ok, err := s.messages.message()
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
		if err := s.begin(); err != nil {
			return message{}, false, err
		}
	}
}

// begin opens the current file. It has changed if it has other topics than before.
func (s *splitMessages) begin() (err error) {
	if s.bag, err = loadPart(s.part.path, s.o); err != nil {
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
	if s.messages, err = s.bag.read(topics); err != nil {
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

	db  *sql.DB
	ids []int64 // of the topics
	cut bool    // a part of the database is missing
	o   ingest.Options
}

// loadROSBag2 opens a database and finds its topics.
func loadROSBag2(path string, o ingest.Options) (*rosbag2, error) {
	b := &rosbag2{o: o}
	var err error
	if b.db, err = openSQLite(path, o, ""); err != nil {
		return nil, err
	}
	if err = b.find(); damaged(err) {
		// A file shorter than its header says is refused unless the schema may be written, which it is not.
		b.cut = true
		if err = b.db.Close(); err == nil {
			b.db, err = openSQLite(path, o, "&_pragma=writable_schema(1)")
		}
		if err == nil {
			err = b.find()
		}
	}
	if log := path + "-wal"; err != nil || len(b.found) == 0 {
		if info, serr := os.Stat(log); serr == nil && info.Size() > 0 {
			err = errors.Join(err, fmt.Errorf("%s was not written back into the recording: sqlite3 %s "+
				"'PRAGMA wal_checkpoint(TRUNCATE)' does that", filepath.Base(log), filepath.Base(path)))
		}
	} else if info, serr := os.Stat(log); serr == nil && info.Size() > 0 {
		o.Note("what %s holds is left out: sqlite3 %s 'PRAGMA wal_checkpoint(TRUNCATE)' writes it back", filepath.Base(log),
			filepath.Base(path))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("rosbag2: %w", err), b.db.Close())
	}
	if b.cut {
		o.Note("the database is cut off or damaged: the messages before the damage are read")
	}
	return b, nil
}

// damaged reports whether a database is not as SQLite wrote it.
func damaged(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code()&0xff == sqlite3.SQLITE_CORRUPT
}

// openSQLite opens a database file, or one that is compressed in memory. Code in an untrusted file's schema is not run,
// nothing is written, and no journal is read.
func openSQLite(path string, o ingest.Options, more string) (*sql.DB, error) {
	pragmas := "_pragma=trusted_schema(0)&_pragma=cell_size_check(1)" + more
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	var magic [len(sqliteMagic)]byte
	if f, _, err := ingest.OpenRegular(path); err == nil {
		_, err = f.Read(magic[:])
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
	if string(magic[:]) == sqliteMagic {
		dsn := url.URL{Scheme: "file", Path: abs, RawQuery: "mode=ro&immutable=1&" + pragmas}
		return sql.Open("sqlite", dsn.String())
	}
	data, err := ingest.ReadFile(path, o)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(data, []byte(sqliteMagic)) {
		return nil, fmt.Errorf("found %.8q, want a SQLite database", data)
	}
	db, err := sql.Open("sqlite", "file::memory:?"+pragmas)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // the data are those of the connection
	db.SetMaxIdleConns(1)
	db.SetConnMaxLifetime(0)
	if err := fill(db, data); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// fill copies a database into the memory of a connection.
func fill(db *sql.DB, data []byte) error {
	conn, err := db.Conn(context.Background())
	if err != nil {
		return err
	}
	err = conn.Raw(func(c any) error {
		d, ok := c.(interface{ Deserialize([]byte) error })
		if !ok {
			return errors.New("the database driver cannot read from memory")
		}
		return d.Deserialize(data)
	})
	return errors.Join(err, conn.Close())
}

// find reads the topics and the first message of each.
func (b *rosbag2) find() error {
	rows, err := b.db.Query("SELECT id, name, type, serialization_format FROM topics ORDER BY id LIMIT ?", maxTopics)
	if err != nil {
		return err
	}
	for rows.Next() {
		var id int64
		t := topic{count: -1}
		if err := rows.Scan(&id, &t.name, &t.kind, &t.encoding); err != nil {
			return errors.Join(err, rows.Close())
		}
		if i := b.add(t); i == len(b.ids) { // the same topic twice has one id only
			b.ids = append(b.ids, id)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for i, id := range b.ids {
		t := &b.found[i]
		const first = "SELECT data FROM messages WHERE topic_id = ? AND length(data) <= ? LIMIT 1"
		err := b.db.QueryRow(first, id, maxMessage).Scan(&t.first)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			t.count = 0
		case err != nil && t.first == nil:
			b.o.Note("%s: %v", t.name, err)
		case t.first == nil: // an empty message
			t.first = []byte{}
		}
	}
	return nil
}

func (b *rosbag2) close() error { return b.db.Close() }

func (b *rosbag2) read(topics []int) (messages, error) {
	index := map[int64]int{}
	var ids []string
	for _, i := range topics {
		index[b.ids[i]] = i
		ids = append(ids, strconv.FormatInt(b.ids[i], 10))
	}
	order := "timestamp, id"
	if b.cut { // by the table itself, because a part of the index is missing
		order = "id"
	}
	rows, err := b.db.Query("SELECT topic_id, timestamp, length(data), CASE WHEN length(data) <= ? THEN data END "+
		"FROM messages WHERE topic_id IN ("+strings.Join(ids, ",")+") ORDER BY "+order, maxMessage)
	if err != nil {
		return nil, fmt.Errorf("rosbag2: %w", err)
	}
	return &rosbag2Rows{rows: rows, index: index, cut: b.cut, o: b.o}, nil
}

// rosbag2Rows are the messages of topics in time order.
type rosbag2Rows struct {
	rows  *sql.Rows
	index map[int64]int // topics by id
	cut   bool
	o     ingest.Options
	some  bool
}

func (r *rosbag2Rows) message() (m message, ok bool, err error) {
	for r.rows.Next() {
		var id, stamp, size int64
		if err := r.rows.Scan(&id, &stamp, &size, &m.data); err != nil {
			return m, false, err
		}
		if size > maxMessage {
			r.o.Note("a message of more than %d bytes is left out", maxMessage)
			continue
		}
		r.some = true
		m.topic, m.time = r.index[id], time.Unix(0, stamp).UTC()
		return m, true, nil
	}
	if err := r.rows.Err(); err != nil {
		if !r.some {
			return m, false, fmt.Errorf("rosbag2: %w", err)
		}
		if !r.cut {
			r.o.Note("the database is damaged, the messages behind are left out: %v", err)
		}
	}
	return m, false, nil
}

func (r *rosbag2Rows) close() error { return r.rows.Close() }
