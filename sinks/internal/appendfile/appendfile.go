// Package appendfile stores classifications as rows of a text file, JSON lines or CSV. A [File] is the sink that
// appends to one; it holds each classification once, even after crashes and on a full disk. [Create] and [Open] write
// and read a file as a whole.
//
// A file whose name ends in .gz or .zst is compressed. Each write is then a gzip member or Zstandard frame of its own.
// After a crash, any program can read all of them but the last, which may be incomplete.
package appendfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
)

// Config has the parameters of a File.
type Config struct {
	// Layout returns a layout of the rows.
	Layout  func() Layout
	Options Options
	// Log receives warnings. It may be nil.
	Log *slog.Logger
	// Repeated, if set, is called for each classification that is not written because it is stored already.
	Repeated func(*record.Classification)

	now func() time.Time // for tests
}

// File appends to a file and remembers the keys in it. It is a [sinks.Sink], and not safe for concurrent use.
//
// Before each write, a File looks at what others have done to the file. If it has been truncated, the next row follows
// the last one that is there. If it has been renamed or removed, a new one is created.
type File struct {
	path string
	c    Config
	how  *compression
	pack packer

	file   *os.File
	layout Layout
	keys   *dedupe.Set
	// rows is the number of classifications in the file.
	rows int
	// good is the length of the file up to its last complete row. torn is set if there may be more after it, because a
	// write has failed. That is cut off before the next write.
	good int64
	torn bool
	// holes and headless are what is wrong with the file, until it is opened the next time.
	holes    []hole
	headless bool
	// written is when the file was last written to.
	written time.Time
}

// OpenFile opens or creates the file at path and reads its keys. An incomplete last row, left by a crash, is cut off;
// its classification was never acknowledged and will be delivered again. If any other row is not a classification, or
// another process has the file open, OpenFile returns an error and leaves the file unchanged.
func OpenFile(path string, c Config) (*File, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Repeated == nil {
		c.Repeated = func(*record.Classification) {}
	}
	if c.now == nil {
		c.now = time.Now
	}
	f := &File{path: path, c: c, how: compressionOf(path), keys: dedupe.NewSet(path, c.Options.MemoryKeys)}
	f.pack.how = f.how
	err := durable.MkdirAll(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("cannot create the directory: %w", cause(err))
	}
	if err = f.loadRotated(); err == nil {
		err = f.reopen()
	}
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	f.prune()
	return f, nil
}

// cause returns the reason of a failed file operation, without the operation and the path.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// reopen opens or creates the file under its name, in place of one that is open.
func (f *File) reopen() error {
	// With O_APPEND, a file that is truncated while it is written to gets no hole.
	file, err := durable.OpenLocked(f.path, os.O_APPEND)
	if err != nil {
		return fmt.Errorf("cannot open the file: %w", cause(err))
	}
	old := f.file
	f.file = file
	if err = f.load(); err == nil {
		err = f.cut()
	}
	if err == nil && len(f.holes) > 0 {
		err = f.closeHoles()
	}
	if err == nil {
		if l := f.layout.Newer(); l != nil {
			err = f.upgrade(l)
		}
	}
	if err == nil {
		err = durable.Sync(filepath.Dir(f.path))
	}
	if err != nil {
		failed := f.file
		f.file = old
		return errors.Join(err, failed.Close())
	}
	if old != nil {
		return old.Close()
	}
	return nil
}

// load reads the keys and finds the end of the last complete row.
func (f *File) load() error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("found a directory or a device, want a file")
	}
	l, err := f.scan(f.file, info.Size(), f.how)
	if err != nil {
		return err
	}
	f.layout, f.good, f.rows, f.torn, f.written = l.layout, l.good, l.rows, l.torn, info.ModTime()
	f.holes, f.headless = l.holes, l.headless
	return nil
}

// loaded is what is known of a file that was read.
type loaded struct {
	layout Layout
	good   int64
	rows   int
	torn   bool
	// holes are the zeros between rows, and headless is set if the header was in one.
	holes    []hole
	headless bool
}

// hole is a range of offsets.
type hole struct{ from, to int64 }

// tail is the end of a file behind its last complete piece.
type tail struct {
	file io.ReaderAt
	size int64
	how  *compression
	text int64 // length of the complete rows in it
}

// tear reports whether a file that ends with an error, after part of a row, can be cut off after its last complete
// piece. Otherwise it returns the error.
func (l *loaded) tear(s *scanner, part []byte, err error, t tail) (bool, error) {
	if errors.Is(err, io.EOF) {
		if len(part) == 0 {
			return s.hole > 0, nil
		}
		if t.how == plain && (s.n > 0 || mayBegin(l.layout, part)) && !l.holdsRow(part) {
			return true, nil
		}
		return false, place(s.n+1, s.at, fmt.Errorf("found %.60q, want a classification", bytes.TrimSpace(part)))
	}
	damaged, ok := errors.AsType[*damagedError](err)
	if !ok {
		return false, err
	}
	if damaged.at != l.good || t.text > maxPiece || l.good == 0 && !t.mayBegin(l.layout, s, part) {
		return false, damaged
	}
	torn, err := tornAt(t.file, damaged.at, t.size, t.how)
	if err == nil && !torn {
		err = damaged
	}
	return torn, err
}

// mayBegin reports whether a compressed file can be the beginning of one of ours.
func (t tail) mayBegin(l Layout, s *scanner, part []byte) bool {
	if s.n > 0 {
		return true // the rows were checked
	}
	if len(part) > 0 {
		return mayBegin(l, part)
	}
	begin := make([]byte, min(t.size, int64(len(t.how.magic))))
	_, err := t.file.ReadAt(begin, 0)
	return err == nil && (bytes.HasPrefix(t.how.magic, begin) || bytes.IndexByte(begin, 0) >= 0)
}

// holdsRow reports whether a part of a row has a complete row in it, because a quotation mark before it is wrong.
func (l *loaded) holdsRow(part []byte) bool {
	for line := range bytes.Lines(part) {
		if _, ok := l.layout.Key(line); ok && line[len(line)-1] == '\n' {
			return true
		}
	}
	return false
}

// mayBegin reports whether a text can be what a crash has left of a file: its beginning, or zeros, because a power
// failure may leave a block with its length but without its content. Anything else belongs to somebody else and must
// not be cut off.
func mayBegin(l Layout, text []byte) bool {
	if bytes.IndexByte(text, 0) >= 0 {
		return true
	}
	if h := l.Header(); len(h) > 0 {
		n := min(len(h), len(text))
		return bytes.Equal(h[:n], text[:n])
	}
	return l.MayBegin(text)
}

// cut truncates the file after its last complete row. An empty file gets its header.
func (f *File) cut() error {
	if f.torn {
		info, err := f.file.Stat()
		// A file that somebody has truncated meanwhile must not grow.
		if err == nil && info.Size() > f.good {
			err = f.file.Truncate(f.good)
		}
		if err != nil {
			return err
		}
		f.torn = false
	}
	if f.good > 0 {
		return nil
	}
	f.pack.begin(f.layout)
	begin := f.pack.out.Bytes()
	if len(begin) == 0 {
		return nil
	}
	f.torn = true
	if _, err := f.file.Write(begin); err != nil {
		return errors.Join(err, f.file.Truncate(0))
	}
	f.torn = false
	f.good = int64(len(begin))
	return nil
}

// errChanged means that somebody has changed the file while it was written to, so that rows may be missing.
var errChanged = errors.New("the file was truncated or removed by another program while it was written to")

// Write appends the new classifications and syncs the file. If that fails, for example on a full disk, the file is
// truncated to its previous length, and nothing of cs is stored. The same call may succeed later.
func (f *File) Write(ctx context.Context, cs []record.Classification) error {
	const attempts = 3
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f.write(cs); !errors.Is(err, errChanged) || n == attempts {
			return err
		}
	}
}

func (f *File) write(cs []record.Classification) error {
	if err := f.follow(); err != nil {
		return err
	}
	fresh, repeated, err := f.divide(cs)
	if err == nil && len(fresh) > 0 {
		err = f.add(cs, fresh)
	}
	_, partial := errors.AsType[*pipeline.PartialError](err)
	if err != nil && !partial {
		return err
	}
	for _, i := range repeated {
		if stored, _ := f.keys.Has(dedupe.Of(cs[i].Key())); stored || !partial { // it may repeat one that has failed
			f.c.Repeated(&cs[i])
		}
	}
	return err
}

// add writes the classifications at places of cs.
func (f *File) add(cs []record.Classification, places []int) error {
	if err := f.rotate(); err != nil {
		return err
	}
	if err := f.cut(); err != nil {
		return err
	}
	// Reserve room for the keys before writing, so that every row in the file has its key in the set.
	if err := f.keys.Reserve(len(places)); err != nil {
		return err
	}
	f.pack.reset()
	failed := map[int]error{}
	var keys []dedupe.Key
	for _, i := range places {
		if err := f.pack.add(f.layout, &cs[i]); err != nil {
			failed[i] = err
			continue
		}
		keys = append(keys, dedupe.Of(cs[i].Key()))
	}
	if len(keys) > 0 {
		f.pack.pack()
		if err := f.append(f.pack.out.Bytes()); err != nil {
			return err
		}
		f.rows += len(keys)
		for _, k := range keys {
			f.keys.Add(k)
		}
	}
	return pipeline.Partial(failed)
}

// divide returns the places of classifications that are not stored, and of those that are or occur earlier in cs.
func (f *File) divide(cs []record.Classification) (fresh, repeated []int, err error) {
	seen := make(map[dedupe.Key]bool, len(cs))
	for i := range cs {
		k := dedupe.Of(cs[i].Key())
		stored, err := f.keys.Has(k)
		if err != nil {
			return nil, nil, err
		}
		if stored || seen[k] {
			repeated = append(repeated, i)
		} else {
			fresh = append(fresh, i)
		}
		seen[k] = true
	}
	return fresh, repeated, nil
}

// append appends data and syncs the file, or leaves it as it was.
func (f *File) append(data []byte) error {
	f.torn = true // until the write has succeeded
	_, err := f.file.Write(data)
	if err == nil {
		err = f.file.Sync()
	}
	if err != nil {
		return errors.Join(err, f.cut())
	}
	if err := f.confirm(int64(len(data))); err != nil {
		return err
	}
	f.torn = false
	f.good += int64(len(data))
	f.written = f.c.now()
	return nil
}

// Close closes the file. All acknowledged rows are already on disk.
func (f *File) Close(context.Context) error { return f.close() }

func (f *File) close() error {
	err := f.keys.Close()
	if f.file != nil {
		err = errors.Join(err, f.file.Close())
	}
	return err
}
