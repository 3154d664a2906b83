// Package jsonl stores classifications in a file of JSON lines, one object per line. The file holds each classification
// once, even after crashes and on a full disk.
package jsonl

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
)

// maxLine is the maximum length of a line. A classification with a long list of scores takes a few KiB.
const maxLine = 1 << 20

// Sink appends to a file and remembers the keys in it. It is not safe for concurrent use.
type Sink struct {
	file *os.File
	keys *dedupe.Set
	// lines is the number of classifications in the file.
	lines int
	// good is the length of the file up to its last complete line. torn is set if there may be more after it, because a
	// write has failed. That is cut off before the next write.
	good int64
	torn bool
	// repeated is called for each classification that the file holds already.
	repeated func(*record.Classification)
}

var _ sinks.Sink = (*Sink)(nil)

// Open opens or creates the file at path and reads its keys. An incomplete last line, left by a crash, is cut off; its
// classification was never acknowledged and will be delivered again. If any other line is not a classification, or
// another process has the file open, Open returns an error and leaves the file unchanged.
func Open(path string, o Options) (*Sink, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("cannot create the directory: %w", cause(err))
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot open the file: %w", cause(err))
	}
	s := &Sink{file: f, keys: dedupe.NewSet(path, o.MemoryKeys), repeated: func(*record.Classification) {}}
	if err = lock(f); err == nil {
		if err = s.load(); err == nil {
			if err = s.cut(); err == nil {
				err = syncDir(filepath.Dir(path))
			}
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// cause returns the reason of a failed file operation, without the operation and the path.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// load reads the keys and finds the end of the last complete line.
func (s *Sink) load() error {
	var keys reader
	r := bufio.NewReaderSize(s.file, maxLine)
	for n := 1; ; n++ {
		line, err := r.ReadSlice('\n')
		end := errors.Is(err, io.EOF)
		switch {
		case end && len(line) == 0:
			return nil
		case errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("line %d at offset %d: found more than %d bytes, want a classification", n, s.good, maxLine)
		case err != nil && !end:
			return fmt.Errorf("line %d at offset %d: %w", n, s.good, err)
		}
		key, ok := keys.keyOf(line)
		if end || !ok {
			if _, err := r.Peek(1); errors.Is(err, io.EOF) && (n > 1 || mayBeTorn(line)) {
				s.torn = true
				return nil
			}
			return fmt.Errorf("line %d at offset %d: found %.60q, want a classification", n, s.good, bytes.TrimSpace(line))
		}
		if err := s.keys.Reserve(1); err != nil {
			return err
		}
		s.keys.Add(key)
		s.lines++
		s.good += int64(len(line))
	}
}

// mayBeTorn reports whether the only line of a file can be what a crash has left of a classification: its beginning,
// or zeros, because a power failure may leave a block with its length but without its content. Anything else belongs
// to somebody else and must not be cut off.
func mayBeTorn(line []byte) bool {
	const begin = `{"event_id":"`
	n := min(len(line), len(begin))
	return string(line[:n]) == begin[:n] || bytes.IndexByte(line, 0) >= 0
}

// cut truncates the file after its last complete line.
func (s *Sink) cut() error {
	if s.torn {
		if err := s.file.Truncate(s.good); err != nil {
			return err
		}
		s.torn = false
	}
	_, err := s.file.Seek(s.good, io.SeekStart)
	return err
}

// Len returns the number of classifications in the file.
func (s *Sink) Len() int { return s.lines }

// Has reports whether the file holds the classification with a key.
func (s *Sink) Has(key string) (bool, error) { return s.keys.Has(dedupe.Of(key)) }

// Write appends the new classifications and syncs the file. If that fails, for example on a full disk, the file is
// truncated to its previous length, and nothing of cs is stored. The same call may succeed later.
func (s *Sink) Write(ctx context.Context, cs []record.Classification) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.cut(); err != nil {
		return err
	}
	// Reserve room for the keys before writing, so that every line in the file has its key in the set.
	if err := s.keys.Reserve(len(cs)); err != nil {
		return err
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	fresh := map[dedupe.Key]bool{}
	failed := map[int]error{}
	var repeated []int
	for i := range cs {
		k := dedupe.Of(cs[i].Key())
		stored, err := s.keys.Has(k)
		if err != nil {
			return err
		}
		if stored || fresh[k] {
			repeated = append(repeated, i)
			continue
		}
		if err := enc.Encode(&cs[i]); err != nil {
			failed[i] = pipeline.Permanent(fmt.Errorf("%s: %w", cs[i].EventID, err)) // NaN has no JSON
			continue
		}
		fresh[k] = true
	}
	if buf.Len() > 0 {
		s.torn = true // until the write has succeeded
		if _, err := s.file.Write(buf.Bytes()); err != nil {
			return s.rollBack(err)
		}
		if err := s.file.Sync(); err != nil {
			return s.rollBack(err)
		}
		s.torn = false
		s.good += int64(buf.Len())
		s.lines += len(fresh)
		for k := range fresh {
			s.keys.Add(k)
		}
	}
	for _, i := range repeated {
		s.repeated(&cs[i])
	}
	return pipeline.Partial(failed)
}

func (s *Sink) rollBack(err error) error {
	return errors.Join(err, s.cut())
}

// Close closes the file. All acknowledged lines are already on disk.
func (s *Sink) Close(context.Context) error { return s.close() }

func (s *Sink) close() error { return errors.Join(s.file.Close(), s.keys.Close()) }

// syncDir makes the name of a new file durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // opened for reading
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, os.ErrInvalid) {
		return err
	}
	return nil
}
