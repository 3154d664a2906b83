package table

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/voxelstream/voxelstream/internal/dedupe"
	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/sinks"
)

// Kind returns the kind of sinks that write files of a format that cannot be appended to. New rows are made durable in
// a journal. Publishing writes a new file with the rows of the old one and of the journal, which replaces the old one.
func Kind(f *Format) sinks.Kind {
	return sinks.Kind{
		Name: f.Name,
		Doc: f.Doc + "\n\n" +
			"New classifications are added to those of an existing file. The format cannot be appended to, so the file " +
			"is replaced as a whole: when the sink is closed, and from time to time before (`publish-every`). Until " +
			"then, new classifications are in a journal beside the file, `.FILE.journal`. After a crash or on a full " +
			"disk, they stay in the journal and are added to the file when it is next opened. The file and the journal " +
			"are read once at startup, so that classifications they already hold are skipped. Only one process at a " +
			"time may write to a file. If another program renames or removes the file or the journal, a new one is " +
			"written in its place. If another program changes one of them, writing fails, and the file is left as it is.",
		Guarantee:  sinks.ExactlyOnce,
		Path:       "FILE",
		Extensions: f.Extensions,
		Options:    func(sinks.Target) any { return stagedDefaults(f) },
		Flush:      &sinks.Flush{},
		Open: func(_ context.Context, t sinks.Target, options any, s sinks.Services) (sinks.Sink, error) {
			return openStaged(f, t.Path, options.(*stagedOptions), s, disk{})
		},
	}
}

// stagedOptions are the options of a staged sink, and those of its format.
type stagedOptions struct {
	PublishEvery time.Duration `yaml:"publish_every" above:"0s" doc:"Minimum time between two replacements of the file. New classifications appear in the file only when it is replaced. It is at least 20 times as long as a replacement takes."`
	MemoryKeys   int           `yaml:"memory_keys" min:"1000" max:"1000000000" doc:"Number of keys to keep in memory for deduplication, at 32 to 80 bytes each. Older keys are kept in temporary files next to the output, at 16 bytes each."`
	Format       []any         `yaml:",inline"`
}

func stagedDefaults(f *Format) *stagedOptions {
	o := &stagedOptions{PublishEvery: time.Minute, MemoryKeys: dedupe.DefaultMemory}
	if f.Options != nil {
		o.Format = []any{f.Options()}
	}
	return o
}

// dutyCycle limits the share of the time that is spent on publishing.
const dutyCycle = 20

// staged is a staged sink. It is not safe for concurrent use.
type staged struct {
	format   *Format
	path     string
	options  *stagedOptions
	services sinks.Services
	disk     disk
	claim    func() error // ends it
	journal  *journal
	// keys are those of the file and of the journal. fresh are those of the rows since the last flush.
	keys  *dedupe.Set
	fresh map[dedupe.Key]bool
	// rows is the number of rows in the file. again marks the rows of the journal that are in the file too, because
	// something failed between the replacement of the file and the end of the journal. It may be shorter than the
	// journal.
	rows  int
	again []bool

	// batches collects the rows since the last flush, and frames has their full batches as frames for the journal.
	batches *BatchWriter
	frames  []framed
	// repeated are those since the last flush that are stored already.
	repeated []record.Classification

	// due is when to publish next.
	due time.Time
}

// framed is a frame with a number of rows.
type framed struct {
	bytes []byte
	rows  int
}

func openStaged(f *Format, path string, o *stagedOptions, services sinks.Services, d disk) (*staged, error) {
	if err := durable.MkdirAll(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // replaced instead of the link
	}
	s := &staged{
		format: f, path: path, options: o, services: services, disk: d,
		fresh: map[dedupe.Key]bool{}, due: time.Now().Add(o.PublishEvery),
	}
	if s.services.Log == nil {
		s.services.Log = slog.New(slog.DiscardHandler)
	}
	s.batches = NewBatchWriter(framedRows, 0, s.frame)
	var err error
	if s.claim, err = durable.Claim(path); err != nil {
		return nil, err
	}
	if s.journal, err = openJournal(path, d, func(*Batch) error { return nil }); err != nil {
		return nil, errors.Join(err, s.claim())
	}
	s.keys = dedupe.NewSet(path, o.MemoryKeys) // after the lock, because it removes the files of another set
	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

// load reads the keys of the file and of the journal.
func (s *staged) load() error {
	old, err := s.openFile()
	if err != nil {
		return err
	}
	if s.rows, err = Each(old, func(cs []record.Classification) error {
		_, err := s.add(cs)
		return err
	}); err != nil {
		return errors.Join(err, old.Close())
	}
	if err := old.Close(); err != nil {
		return err
	}
	if _, err := Each(s.journal.reader(), func(cs []record.Classification) error {
		known, err := s.add(cs)
		s.again = append(s.again, known...)
		return err
	}); err != nil {
		return fmt.Errorf("%s: %w", s.journal.path, err)
	}
	switch {
	case !slices.Contains(s.again, true):
		s.again = nil
	case !slices.Contains(s.again, false):
		// The process was killed after it had replaced the file, perhaps before that was durable.
		if err := s.syncFolder(); err != nil {
			return err
		}
		s.again = nil
		return s.journal.empty()
	}
	return nil
}

// syncFolder makes the replacement of the file durable. The journal must not be emptied before.
func (s *staged) syncFolder() error {
	return s.disk.try("sync the folder", func() error { return durable.Sync(filepath.Dir(s.path)) })
}

// add adds the keys of rows and reports which of them were there.
func (s *staged) add(cs []record.Classification) (known []bool, err error) {
	if err := s.keys.Reserve(len(cs)); err != nil {
		return nil, err
	}
	known = make([]bool, len(cs))
	for i := range cs {
		k := dedupe.Of(cs[i].Key())
		if known[i], err = s.keys.Has(k); err != nil {
			return nil, err
		}
		s.keys.Add(k)
	}
	return known, nil
}

// emptyFile is a file without rows.
type emptyFile struct{}

func (emptyFile) Read([]record.Classification) (int, error) { return 0, io.EOF }
func (emptyFile) Close() error                              { return nil }

// openFile opens the file, which has no rows if it does not exist.
func (s *staged) openFile() (Reader, error) {
	r, err := s.format.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return emptyFile{}, nil
	}
	return r, err
}

// Write keeps the new rows in memory.
func (s *staged) Write(ctx context.Context, cs []record.Classification) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	keys, skip := make([]dedupe.Key, len(cs)), make([]bool, len(cs))
	failed := map[int]error{}
	for i := range cs {
		if err := Check(&cs[i]); err != nil {
			failed[i], skip[i] = pipeline.Permanent(err), true
			continue
		}
		keys[i] = dedupe.Of(cs[i].Key())
		var err error
		if skip[i], err = s.keys.Has(keys[i]); err != nil {
			return err
		}
	}
	from := 0
	for i := range cs {
		c := &cs[i]
		if !skip[i] && !s.fresh[keys[i]] {
			s.fresh[keys[i]] = true
			continue
		}
		if failed[i] == nil {
			s.repeated = append(s.repeated, record.Classification{
				Stream: c.Stream, Seq: c.Seq, Object: c.Object, View: c.View,
			})
		}
		if err := s.batches.Write(cs[from:i]); err != nil {
			return err
		}
		from = i + 1
	}
	if err := s.batches.Write(cs[from:]); err != nil {
		return err
	}
	return pipeline.Partial(failed)
}

// frame turns a batch into a frame for the journal.
func (s *staged) frame(b *Batch) error {
	s.frames = append(s.frames, framed{frame(nil, b), b.Rows})
	return nil
}

// Flush makes the rows durable in the journal, and publishes them if it is time.
func (s *staged) Flush(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.batches.Flush(); err != nil {
		return err
	}
	// Reserve room for the keys before writing, so that every row in the journal has its key in the set.
	if err := s.keys.Reserve(len(s.fresh)); err != nil {
		return err
	}
	for len(s.frames) > 0 {
		if err := s.journal.append(s.frames[0].bytes, s.frames[0].rows); err != nil {
			return err
		}
		s.frames = s.frames[1:]
	}
	s.frames = nil
	for k := range s.fresh {
		s.keys.Add(k)
	}
	clear(s.fresh)
	for i := range s.repeated {
		s.services.Repeat(&s.repeated[i])
	}
	s.repeated = s.repeated[:0]
	if s.journal.rows > 0 && !time.Now().Before(s.due) {
		if err := s.publish(ctx); err != nil {
			s.services.Log.Warn("the new classifications are not in the file yet, but in its journal", "file", s.path,
				"journal", s.journal.path, "error", err)
		}
	}
	return nil
}

// publish replaces the file by one that also has the rows of the journal.
func (s *staged) publish(ctx context.Context) (err error) {
	start := time.Now()
	defer func() {
		now := time.Now()
		s.due = now.Add(max(s.options.PublishEvery, dutyCycle*now.Sub(start)))
	}()
	var out *durable.Output
	if err := s.disk.try("create a folder for the new file", func() (err error) {
		out, err = durable.Create(s.path)
		return err
	}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	temp := out.Path()
	rows, err := s.writeAll(ctx, temp)
	if err != nil {
		return err
	}
	if err := s.disk.try("sync the new file", func() error { return durable.Sync(temp) }); err != nil {
		return err
	}
	if err := s.disk.try("replace the file", func() error { return os.Rename(temp, s.path) }); err != nil {
		return err
	}
	s.rows, s.again = rows, slices.Repeat([]bool{true}, s.journal.rows)
	if err := s.syncFolder(); err != nil {
		return err
	}
	err = s.journal.empty()
	if s.journal.rows == 0 {
		s.again = nil
	}
	return err
}

// writeAll writes a file with the rows of the old one and of the journal.
func (s *staged) writeAll(ctx context.Context, path string) (rows int, err error) {
	old, err := s.openFile()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, old.Close()) }()
	var options any
	if len(s.options.Format) > 0 {
		options = s.options.Format[0]
	}
	var w Writer
	if err := s.disk.try("create the new file", func() (err error) {
		w, err = s.format.Create(path, options)
		return err
	}); err != nil {
		return 0, err
	}
	was := s.rows
	if _, gone := old.(emptyFile); gone && was > 0 {
		s.services.Log.Warn("the file was renamed or removed by another program; writing a new one", "file", s.path)
		was = 0
	}
	write := func(cs []record.Classification) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return s.disk.try("write the new file", func() error { return w.Write(cs) })
	}
	if rows, err = Each(old, write); err == nil && rows != was {
		err = fmt.Errorf("found %d rows in the file, want %d: another program has changed it", rows, was)
	}
	if err == nil {
		n := 0
		_, err = Each(s.journal.reader(), func(cs []record.Classification) error {
			known := s.again[min(n, len(s.again)):min(n+len(cs), len(s.again))]
			n += len(cs)
			fresh := cs[:0]
			for i := range cs {
				if i >= len(known) || !known[i] {
					fresh = append(fresh, cs[i])
				}
			}
			rows += len(fresh)
			return write(fresh)
		})
	}
	if err != nil {
		return 0, errors.Join(err, w.Close())
	}
	if err := s.disk.try("complete the new file", w.Close); err != nil {
		return 0, err
	}
	if info, err := os.Stat(s.path); err == nil {
		return rows, os.Chmod(path, info.Mode().Perm())
	}
	return rows, nil
}

// Close publishes all rows. If that fails, they stay in the journal.
func (s *staged) Close(ctx context.Context) error {
	var err error
	if _, missing := os.Stat(s.path); s.journal.rows > 0 || errors.Is(missing, fs.ErrNotExist) {
		if err = s.publish(ctx); err != nil && s.journal.rows > 0 {
			err = fmt.Errorf("%d rows remain in %s and are added to the file when it is next opened: %w", s.journal.rows,
				s.journal.path, err)
		}
	}
	return errors.Join(err, s.release())
}

// release closes everything.
func (s *staged) release() error { return errors.Join(s.journal.close(), s.keys.Close(), s.claim()) }
