package embedded

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/internal/regular"
	"github.com/voxelstream/voxelstream/pipeline"
)

// The files of kfake's log.
const (
	metaFile     = "meta.json"
	topicsFile   = "topics.json"
	groupsFile   = "groups.log"
	idsFile      = "pids.log"
	windowsFile  = "seq_windows.json"
	snapshotFile = "snapshot.json"
	partitionDir = "partitions"
	logVersion   = 1
	clusterID    = "kfake" // the default of kfake
)

// maxState is the maximum size of a file of kfake other than segments, in bytes.
const maxState = 256 << 20

// logCheck checks the files of a log before kfake reads them. kfake drops the rest of a segment after a damaged
// batch, trusts offsets and lengths that no checksum covers, and forgets in a crash which batches of a producer it
// has stored. Files that can be derived from the segments are rewritten from them.
type logCheck struct {
	dir           string
	log           *slog.Logger
	observer      pipeline.Observer
	maxPartitions int

	topics  topicList
	commits map[partitionID]int64 // highest committed offset
	windows map[windowID]*window
	entries [][]byte // of transactional producers
	segment []byte   // memory for a segment
}

type partitionID struct {
	topic     string
	partition int
}

// topicList is the content of topics.json.
type topicList struct {
	Version int     `json:"version"`
	Topics  []topic `json:"topics"`
}

type topic struct {
	Name       string            `json:"name"`
	ID         string            `json:"id"`
	Partitions int               `json:"partitions"`
	Replicas   int               `json:"replicas"`
	Configs    map[string]string `json:"configs,omitempty"`
}

// sparse reports whether compaction leaves gaps between the offsets of a topic.
func (t *topic) sparse() bool { return strings.Contains(t.Configs["cleanup.policy"], "compact") }

// run checks the log. It returns an error if the log cannot be used and a person must decide what to do.
func (c *logCheck) run() error {
	if _, err := os.Stat(c.dir); errors.Is(err, fs.ErrNotExist) {
		return nil // a new log
	}
	c.commits, c.windows = map[partitionID]int64{}, map[windowID]*window{}
	stored, err := c.storedPartitions()
	if err != nil {
		return err
	}
	if err := c.checkMeta(len(stored) > 0); err != nil {
		return err
	}
	if err := errors.Join(c.checkTopics(stored), c.checkGroups(), c.checkProducers(), c.checkUnused()); err != nil {
		return err
	}
	for i := range c.topics.Topics {
		t := &c.topics.Topics[i]
		for p := range t.Partitions {
			if err := c.checkPartition(t, p); err != nil {
				return fmt.Errorf("partition %d of topic %s: %w", p, t.Name, err)
			}
		}
	}
	return c.writeProducers()
}

// storedPartitions returns the number of partitions of each topic that has a directory.
func (c *logCheck) storedPartitions() (map[string]int, error) {
	stored := map[string]int{}
	dirs, err := os.ReadDir(filepath.Join(c.dir, partitionDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, d := range dirs {
		name := d.Name()
		i := strings.LastIndexByte(name, '-')
		if i < 0 || !d.IsDir() {
			continue
		}
		topic, err := url.PathUnescape(name[:i])
		n, numErr := strconv.Atoi(name[i+1:])
		if err != nil || numErr != nil || n < 0 || n >= c.maxPartitions {
			return nil, fmt.Errorf("%s: found a directory that does not belong to a partition; move it elsewhere",
				filepath.Join(c.dir, partitionDir, name))
		}
		stored[topic] = max(stored[topic], n+1)
	}
	return stored, nil
}

// read decodes a file of JSON. It reports false if there is none. A damaged file is renamed, and reported.
func (c *logCheck) read(name string, v any) (bool, error) {
	path := filepath.Join(c.dir, name)
	b, err := regular.Read(path, maxState)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, c.setAside(path, err)
	}
	return true, nil
}

// setAside renames a damaged file.
func (c *logCheck) setAside(path string, cause error) error {
	kept := path + ".damaged"
	c.observer.Count(part, pipeline.EventDamaged, 1)
	c.log.Error("embedded broker: found a damaged file; keeping it under another name and writing a new one", "file", path,
		"kept", kept, "error", cause)
	return os.Rename(path, kept)
}

// replace writes a file. After a crash, the file has either its new or its previous content.
func replace(path string, data []byte) error {
	temp := path + ".tmp"
	err := os.WriteFile(temp, data, 0o644) // as kfake does
	if err == nil {
		err = durable.Sync(temp)
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(temp)))
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (c *logCheck) writeJSON(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return replace(filepath.Join(c.dir, name), b)
}

// checkMeta checks the file whose absence makes kfake start an empty log.
func (c *logCheck) checkMeta(used bool) error {
	var meta struct {
		Version   int    `json:"version"`
		ClusterID string `json:"cluster_id"`
	}
	found, err := c.read(metaFile, &meta)
	if err != nil {
		return err
	}
	if found && meta.Version > logVersion {
		return fmt.Errorf("%s: found version %d, want %d: a newer version of this program has written the log, or the "+
			"file is damaged", filepath.Join(c.dir, metaFile), meta.Version, logVersion)
	}
	if found && meta.Version == logVersion && meta.ClusterID == clusterID {
		return nil
	}
	if !found && !used {
		return nil // kfake makes it
	}
	c.log.Warn("embedded broker: rewriting a file that was missing or damaged",
		"file", filepath.Join(c.dir, metaFile))
	meta.Version, meta.ClusterID = logVersion, clusterID
	return c.writeJSON(metaFile, meta)
}

// checkTopics reads the list of topics. Topics and partitions that have directories but are not in the list are
// added, because their messages would be lost otherwise.
func (c *logCheck) checkTopics(stored map[string]int) error {
	if _, err := c.read(topicsFile, &c.topics); err != nil {
		return err
	}
	changed := false
	for _, name := range slices.Sorted(maps.Keys(stored)) {
		i := slices.IndexFunc(c.topics.Topics, func(t topic) bool { return t.Name == name })
		if i < 0 {
			id := sha256.Sum256([]byte(name))
			i = len(c.topics.Topics)
			c.topics.Topics = append(c.topics.Topics, topic{
				Name: name, ID: base64.StdEncoding.EncodeToString(id[:16]), Replicas: 1,
			})
		}
		if t := &c.topics.Topics[i]; t.Partitions < stored[name] {
			c.log.Error("embedded broker: added partitions with messages that were missing from the list of topics",
				"topic", name, "partitions", stored[name], "listed", t.Partitions,
				"file", filepath.Join(c.dir, topicsFile))
			t.Partitions, changed = stored[name], true
		}
	}
	total := 0
	for _, t := range c.topics.Topics {
		if t.Partitions < 0 || t.Partitions > c.maxPartitions-total {
			return fmt.Errorf("%s: found topic %.100q with %d partitions, limit %d; correct the number",
				filepath.Join(c.dir, topicsFile), t.Name, t.Partitions, c.maxPartitions)
		}
		total += t.Partitions
	}
	if !changed {
		return nil
	}
	c.topics.Version = logVersion
	return c.writeJSON(topicsFile, c.topics)
}

// entriesOf reads a file of entries. If some are damaged, the others are written to a new file.
func (c *logCheck) entriesOf(name string) ([][]byte, error) {
	path := filepath.Join(c.dir, name)
	data, err := regular.Read(path, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	texts, damaged := entries(data)
	if damaged == 0 {
		return texts, nil
	}
	if err := c.setAside(path, fmt.Errorf("found damage in %d places", damaged)); err != nil {
		return nil, err
	}
	var kept []byte
	for _, text := range texts {
		kept = appendEntryText(kept, text)
	}
	return texts, replace(path, kept)
}

// checkGroups reads the committed offsets.
func (c *logCheck) checkGroups() error {
	texts, err := c.entriesOf(groupsFile)
	if err != nil {
		return err
	}
	type groupID struct {
		group string
		partitionID
	}
	latest := map[groupID]int64{}
	for _, text := range texts {
		var e struct {
			Type      string `json:"type"`
			Group     string `json:"g"`
			Topic     string `json:"t"`
			Partition int    `json:"p"`
			Offset    int64  `json:"o"`
		}
		if json.Unmarshal(text, &e) != nil {
			continue // kfake ignores it too
		}
		id := groupID{e.Group, partitionID{e.Topic, e.Partition}}
		switch e.Type {
		case "commit":
			latest[id] = e.Offset
		case "delete":
			delete(latest, id)
		}
	}
	for id, offset := range latest {
		c.commits[id.partitionID] = max(c.commits[id.partitionID], offset)
	}
	return nil
}

// checkUnused renames damaged files of functions that this broker does not use, because kfake would not start with
// them.
func (c *logCheck) checkUnused() error {
	var errs []error
	for _, name := range []string{"acls.json", "sasl.json", "quotas.json", "broker_configs.json"} {
		var v map[string]any
		_, err := c.read(name, &v)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// windowID names the state of a producer in a partition.
type windowID struct {
	producer int64
	partitionID
}

// window is the state of a producer in a partition, in kfake's format: its last batches.
type window struct {
	Producer  int64          `json:"pid"`
	Topic     string         `json:"topic"`
	Partition int            `json:"partition"`
	Entries   [5]windowEntry `json:"entries"`
	Count     int            `json:"count"`
	At        int            `json:"at"`
	Term      int16          `json:"epoch"`
	Seen      bool           `json:"seen"`
	Next      int32          `json:"next_seq"`
}

type windowEntry struct {
	First  int32 `json:"first_seq"`
	Next   int32 `json:"next_seq"`
	Offset int64 `json:"offset"`
}

// remember notes a stored batch of a producer.
func (c *logCheck) remember(id partitionID, b batch) {
	if b.producer() < 0 || b.attributes()&controlBatch != 0 {
		return
	}
	key := windowID{b.producer(), id}
	w := c.windows[key]
	if w == nil || w.Term != b.producerTerm() {
		w = &window{
			Producer: b.producer(), Topic: id.topic, Partition: id.partition, Term: b.producerTerm(), Seen: true,
		}
		c.windows[key] = w
	}
	w.Next = int32((int64(b.sequence()) + int64(b.delta()) + 1) % math.MaxInt32) // as kfake counts
	w.Entries[w.At] = windowEntry{b.sequence(), w.Next, b.base()}
	w.At = (w.At + 1) % len(w.Entries)
	w.Count = min(w.Count+1, len(w.Entries))
}

// idEntry is an entry of the file of producer IDs.
type idEntry struct {
	Type          string `json:"type"`
	Producer      int64  `json:"pid"`
	Term          int16  `json:"epoch"`
	Transactional string `json:"txid,omitempty"`
}

// checkProducers reads the producers with transactions, whose IDs are kept.
func (c *logCheck) checkProducers() error {
	texts, err := c.entriesOf(idsFile)
	if err != nil {
		return err
	}
	withTransactions := map[int64]bool{}
	for _, text := range texts {
		var e idEntry
		if json.Unmarshal(text, &e) != nil {
			continue
		}
		if e.Transactional != "" {
			withTransactions[e.Producer] = true
		}
		if withTransactions[e.Producer] {
			c.entries = append(c.entries, text)
		}
	}
	return nil
}

// writeProducers writes the state of the producers that have batches in the log. kfake writes it only when it is
// closed, so after a crash it would store batches again that a producer repeats.
func (c *logCheck) writeProducers() error {
	known := map[int64]bool{}
	var ids []byte
	for _, text := range c.entries {
		var e idEntry
		if json.Unmarshal(text, &e) == nil {
			known[e.Producer] = true
		}
		ids = appendEntryText(ids, text)
	}
	all := slices.SortedFunc(maps.Values(c.windows), func(a, b *window) int {
		return cmp.Or(cmp.Compare(a.Producer, b.Producer), cmp.Compare(a.Topic, b.Topic),
			cmp.Compare(a.Partition, b.Partition))
	})
	for _, w := range all {
		if known[w.Producer] {
			continue
		}
		known[w.Producer] = true
		var err error
		if ids, err = appendEntry(ids, idEntry{Type: "init", Producer: w.Producer, Term: w.Term}); err != nil {
			return err
		}
	}
	err := replace(filepath.Join(c.dir, idsFile), ids)
	if err == nil {
		err = c.writeJSON(windowsFile, map[string]any{"version": logVersion, "windows": all})
	}
	if err != nil {
		// On a full disk, the log can still be read. What is there may be of an earlier state.
		c.log.Warn("embedded broker: cannot write the state of producers; batches that they repeat may be stored twice",
			"error", err)
		return errors.Join(ignoreMissing(os.Remove(filepath.Join(c.dir, windowsFile))),
			ignoreMissing(os.Remove(filepath.Join(c.dir, idsFile))))
	}
	return nil
}
